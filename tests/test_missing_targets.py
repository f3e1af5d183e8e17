"""Weights of each output, and y that are missing: what is not there counts nothing."""

import io
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.metrics import make_scorer, r2_score

from fastbp import BackpropEnsembleRegressor, BackpropRegressor, entries
from fastbp.fitting import survey

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {
    "hidden_layer_sizes": (5,), "batch_size": 16, "max_iter": 6, "learning_rate": "constant",
    "random_state": 0, "dtype": "float64",
}  # fmt: skip
OMIT = {"missing_targets": "omit"}


def everything(model):
    curves = model.loss_curve_, model.validation_scores_ or [], model.validation_loss_curve_ or []
    return np.concatenate([np.ravel(a) for a in (*model.coefs_, *model.intercepts_, *curves)])


@pytest.fixture
def holed(two_outputs):
    """X (60, 3) and Y (60, 2), of other units; a third of Y is NaN, and of some rows all."""
    X, Y = two_outputs
    random = np.random.default_rng(2)
    Y = Y * [3.0, 50.0] + [100.0, -7.0]
    Y[random.uniform(size=Y.shape) < 0.3] = np.nan
    Y[[3, 7, 8]] = np.nan
    assert np.isnan(Y).any(axis=1).sum() > np.isnan(Y).all(axis=1).sum() > 3
    return X, Y


def filled_in(Y, value):
    """Y with something else where it is missing, and its weights."""
    return np.where(np.isnan(Y), value, Y), (~np.isnan(Y)).astype(float)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_what_stands_where_y_weighs_nothing_makes_no_difference(loss, standardize, holed):
    X, Y = holed
    params = QUICK | {"loss": loss, "standardize": standardize, "learning_rate_init": 1e-4}
    models = [
        founding(**params).fit(X, *filled_in(Y, value), X_val=X, y_val=W_val[0],
                               sample_weight_val=W_val[1])
        for value, W_val in ((0.0, filled_in(Y, 1e3)), (-999.0, filled_in(Y, 0.0)))
    ]  # fmt: skip
    missing = founding(**params, **OMIT).fit(X, Y, X_val=X, y_val=Y)
    for other in models:
        assert_allclose(everything(other), everything(missing), rtol=1e-12)
    assert np.isfinite(everything(missing)).all()


def test_a_y_that_weighs_nothing_rules_nothing(two_outputs, recwarn):
    X, Y = two_outputs
    weight, models = np.ones_like(Y), []
    weight[5, 1] = 0
    for value in (0.0, 1e9):
        Y = Y.copy()
        Y[5, 1] = value
        models.append(founding(**QUICK).fit(X, Y, weight))
    assert_array_equal(*map(everything, models))
    assert not any("One row holds" in str(each.message) for each in recwarn)


@pytest.mark.parametrize("by_output", [True, False])
@pytest.mark.parametrize("loss", ["squared_error", "gamma"])
def test_fill_values_without_weight_make_no_difference(loss, by_output, two_outputs):
    """0 times an infinite loss is no number."""
    X, Y = two_outputs
    params = QUICK | {"loss": loss, "hidden_layer_sizes": (), "dtype": "float32"}
    is_filled = np.arange(60) % 4 == 1
    weight, models = np.ones_like(Y) if by_output else np.ones(60), []
    weight[is_filled, ...] = 0
    if by_output:
        weight[:, 0] = 1
    for value in (1.0, 9.97e36):  # that of netCDF files
        of_X, of_y = X.copy(), np.exp(Y / 5)
        of_y[weight == 0] = value
        if not by_output:
            of_X[is_filled] = value
        given = of_X, of_y, weight
        held_out = dict(zip(("X_val", "y_val", "sample_weight_val"), given, strict=True))
        models.append(founding(**params).fit(*given, **held_out))
    assert_array_equal(*map(everything, models))


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("sparse", {}),
        ("sparse", {"solver": "lbfgs"}),
        ("by entries", {}),
        ("large", {"solver": "lbfgs"}),
        ("large", {"encoding": "periodic"}),
        ("large", {}),
    ],
)
def test_fill_values_without_weight_make_no_difference_to_other_tables(
    kind, params, two_outputs, monkeypatch
):
    X, Y = two_outputs
    X = np.where(np.abs(X) < 0.5, 0.0, X)
    if kind == "large":
        monkeypatch.setattr(survey, "WHOLE_BYTES", 0)
    elif kind == "by entries":
        monkeypatch.setattr(entries, "FEW_VALUES", 0)
        monkeypatch.setattr(entries, "DENSE", 1.1)
    is_filled, models = np.arange(60) % 4 == 1, []
    for value in (1.0, 1e300):
        of_X, of_y = X.copy(), Y.copy()
        of_X[is_filled, 1] = of_y[is_filled] = value
        of_X = of_X if kind == "large" else sparse.csr_array(of_X)
        given = of_X.copy(), of_y, (~is_filled).astype(float)
        held_out = {}
        if params.get("solver") != "lbfgs":
            held_out = dict(zip(("X_val", "y_val", "sample_weight_val"), given, strict=True))
        models.append(founding(**QUICK | {"dtype": "float32"} | params).fit(*given, **held_out))
        assert_array_equal(*[each if kind == "large" else each.data for each in (given[0], of_X)])
    assert_allclose(*map(everything, models), rtol=1e-12)


@pytest.mark.parametrize(("n_there", "drawn_in"), [(39, False), (45, True)])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_row_that_rules_y_is_drawn_in_by_those_that_are_there(
    outputs, n_there, drawn_in, two_outputs
):
    X, Y = two_outputs
    Y = Y[:, :outputs] + 7.0
    Y[11, -1] = 1e6
    there = Y[:n_there, -1].copy()
    Y[n_there:, -1] = np.nan
    deviations = []
    for of_X, of_y in ((X[:n_there], there), (X, Y if outputs > 1 else Y.ravel())):
        said = pytest.warns(UserWarning, match="One row holds") if drawn_in else nullcontext()
        with said:
            model = founding(**QUICK, **OMIT).fit(of_X, of_y)
        deviations.append(model._learnt.seen.y_deviation[-1])
    assert_allclose(*deviations)
    assert (deviations[0] < 1e5) == drawn_in


def test_units_and_scores_are_those_of_the_y_that_are_there(holed):
    X, Y = holed
    model = founding(**QUICK, **OMIT).fit(X, Y, X_val=X[:30], y_val=Y[:30])
    assert_allclose(model._scaling.y_mean, np.nanmean(Y, axis=0))
    assert_allclose(model._scaling.y_scale, np.nanstd(Y, axis=0))
    there, predicted = ~np.isnan(Y), model.predict(X)
    for rows, score in ((slice(None), model.score(X, Y)), (slice(30), None)):
        each = [
            r2_score(Y[rows][there[rows, k], k], predicted[rows][there[rows, k], k])
            for k in range(2)
        ]
        if score is None:
            score = model.best_validation_score_
        assert_allclose(score, np.mean(each), rtol=1e-8)
    Y[:, 1] = np.nan
    there = there[:, 0]
    assert_allclose(model.score(X, Y), r2_score(Y[there, 0], predicted[there, 0]))
    weight = np.linspace(1, 2, 60)
    expected = r2_score(Y[there, 0], predicted[there, 0], sample_weight=weight[there])
    assert_allclose(model.score(X, Y, weight), expected)
    assert_allclose(model.score(X, Y, np.column_stack([weight, weight])), expected)


def test_a_sample_all_of_whose_targets_are_missing_is_not_there(holed):
    X, Y = holed
    there = ~np.isnan(Y).all(axis=1)
    # In batches of all samples: else others are other ones.
    params = QUICK | OMIT | {"batch_size": 60, "shuffle": False}
    model = founding(**params).fit(X, Y)
    other = founding(**params | {"batch_size": int(there.sum())}).fit(X[there], Y[there])
    assert_allclose(everything(model), everything(other), rtol=1e-10)


@pytest.mark.parametrize("given", [None, 1, 2])
def test_missing_targets_are_weights_of_0(given, holed):
    """Also with weights of samples or outputs, and of a single y."""
    X, Y = holed
    random = np.random.default_rng(5)
    weight = None if given is None else random.uniform(1, 2, (60, 2)[:given])
    full, W = filled_in(Y, 0.0)
    if given:
        W = W * weight.reshape(60, -1)
    model = founding(**QUICK, **OMIT).fit(X, Y, weight)
    assert_allclose(everything(model), everything(founding(**QUICK).fit(X, full, W)), rtol=1e-10)
    weight = weight if given != 2 else weight[:, 0]
    one, w = founding(**QUICK, **OMIT).fit(X, Y[:, 0], weight), (~np.isnan(Y[:, 0])).astype(float)
    w = w if weight is None else w * weight
    other = founding(**QUICK).fit(X, full[:, 0], w)
    assert_allclose(everything(one), everything(other), rtol=1e-10)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_equal_weights_of_all_outputs_are_weights_of_samples_to_the_last_bit(solver, two_outputs):
    X, Y = two_outputs
    w, params = np.random.default_rng(0).uniform(0, 2, 60), QUICK | {"solver": solver, "alpha": 0.1}
    models = [
        founding(**params).fit(X, Y, weight, X_val=X, y_val=Y, sample_weight_val=weight)
        for weight in (w, np.column_stack([w, w]), pd.DataFrame({"a": w, "b": w}))
    ]
    for model in models[1:]:
        assert_array_equal(everything(model), everything(models[0]))
    ones = founding(**params).fit(X, Y, np.ones((60, 2)))
    assert_array_equal(everything(ones), everything(founding(**params).fit(X, Y, np.ones(60))))
    without = founding(**params, **OMIT).fit(X, Y)
    assert_array_equal(everything(without), everything(founding(**params).fit(X, Y)))


def test_without_hidden_layers_each_output_is_a_regression_on_its_own_rows(holed):
    X, Y = holed
    params = {"solver": "lbfgs", "early_stopping": False, "tol": 1e-9, "random_state": 0} | OMIT
    model = BackpropRegressor((), **params).fit(X, Y)
    for k in range(2):
        there = ~np.isnan(Y[:, k])
        A = np.column_stack([X[there], np.ones(there.sum())])
        solution = np.linalg.lstsq(A, Y[there, k], rcond=None)[0]
        assert_allclose(model.coefs_[0][:, k], solution[:-1], rtol=1e-3, atol=1e-3)
        assert_allclose(model.intercepts_[0][k], solution[-1], rtol=1e-4)


def test_the_gradient_is_that_of_what_is_there(holed):
    X, Y = holed
    model = founding(**QUICK, **OMIT).fit(X, Y)
    loss, dW, db = model.loss_gradient(X, Y)
    there = ~np.isnan(Y)
    error = np.where(there, model.predict(X) - np.nan_to_num(Y), 0.0)
    n = there.mean(axis=1).sum()
    assert_allclose(loss, (error**2).sum() / n, rtol=1e-10)
    assert_allclose(db[-1], 2 * error.sum(axis=0) / n, rtol=1e-10)
    model.intercepts_[0][2] += 1e-6
    moved = model.loss_gradient(X, Y)[0]
    assert_allclose((moved - loss) / 1e-6, db[0][2], rtol=1e-3)
    assert dW[0].shape == (3, 5)


def test_of_several_quantiles_of_one_y_all_miss_it():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 3)), random.normal(size=60)
    holed, there = y.copy(), np.arange(60) % 4 > 0
    holed[~there] = np.nan
    params = QUICK | OMIT | {"loss": "quantile", "loss_parameter": (0.1, 0.5, 0.9)}
    model = founding(**params).fit(X, holed)
    other = founding(**params).fit(X, y, there.astype(float))
    assert_allclose(everything(model), everything(other), rtol=1e-10)
    assert_allclose(model.score(X, holed), model.score(X[there], y[there]))


def test_a_stream_remembers_what_it_has_seen_of_each_output(holed):
    X, Y = holed
    Y[:20, 1] = np.nan  # nothing at first
    model = founding(**QUICK, **OMIT).partial_fit(X[:20], Y[:20])
    model.partial_fit(X[20:40], Y[20:40])
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = BackpropRegressor.load(file)
    for each in (model, loaded):
        each.partial_fit(X[40:], Y[40:])
    assert_array_equal(everything(loaded), everything(model))
    loaded._learnt.seen.y_weight[1] = 0.0
    with pytest.raises(ValueError, match="weight above 0"):
        loaded.partial_fit(X, Y)
    assert_allclose(model._scaling.y_mean, np.nanmean(Y, axis=0), rtol=1e-12)
    assert_allclose(model._scaling.y_scale, np.nanstd(Y, axis=0), rtol=1e-12)


@pytest.mark.parametrize("early_stopping", [True, "refit"])
@pytest.mark.parametrize("loss", ["squared_error", "gamma"])
def test_the_default_fit_takes_them(loss, early_stopping, holed):
    X, Y = holed
    Y = np.exp(Y / 100)
    full = np.column_stack([np.exp(1 + 0.1 * X[:, 0]), np.exp(0.5 * X[:, 1])])
    Y = np.where(np.isnan(Y), np.nan, full)
    model = BackpropRegressor(
        (8,), loss=loss, max_iter=60, early_stopping=early_stopping, random_state=0, **OMIT
    ).fit(X, Y)
    assert model.score(X, Y) > 0.8
    assert model.score(X, full) > 0.8


@pytest.mark.parametrize(
    "y", [pd.Series([1.0, None, 3.0] * 20), [1.0, np.nan, 3.0] * 20,
          pd.array([1, None, 3] * 20, dtype="Int64"), np.array([1, None, 3] * 20, object)],
    ids=["series", "list", "Int64", "objects"],
)  # fmt: skip
def test_missing_y_come_in_many_forms(y, two_outputs):
    X, there = two_outputs[0], np.arange(60) % 3 != 1
    model = founding(**QUICK, **OMIT).fit(X, y)
    expected = founding(**QUICK).fit(X, [1.0, 2.0, 3.0] * 20, there.astype(float))
    assert_allclose(everything(model), everything(expected), rtol=1e-10)


def test_what_cannot_be_is_refused(holed):
    X, Y = holed
    full, W = filled_in(Y, 0.0)
    model = founding(**QUICK, **OMIT)
    for params in ({}, {"missing_targets": "raise"}):
        with pytest.raises(ValueError, match="NaN"):
            founding(**QUICK | params).fit(X, Y)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(X, np.where(np.isnan(Y), np.inf, Y))
    with pytest.raises(ValueError, match="All of y"):
        model.fit(X, np.full((60, 2), np.nan))
    with pytest.raises(ValueError, match="output 1"):
        model.fit(X, np.where([True, False], full, np.nan))
    for weight in (np.ones((60, 3)), np.ones((60, 1)), np.ones((60, 2, 1)), -W, np.zeros((60, 2)),
                   W * np.nan):  # fmt: skip
        with pytest.raises(ValueError, match=r"[Ss]ample.weight|Negative|dim 3"):
            founding(**QUICK).fit(X, full, weight)
    with pytest.raises(ValueError, match="outputs weigh differently"):
        model.set_params(scoring=make_scorer(r2_score)).fit(X, Y, X_val=X, y_val=Y)
    member = BackpropRegressor((4,), max_iter=2, **OMIT)
    with pytest.raises(ValueError, match="ensemble takes one weight"):
        BackpropEnsembleRegressor(member, 2).fit(X, Y)


def test_an_ensemble_is_scored_on_the_targets_that_are_there(holed):
    X, Y = holed[:2]
    member = BackpropRegressor((4,), max_iter=2, **OMIT)
    y, ensemble = Y[:, 0], BackpropEnsembleRegressor(member, 2, random_state=0)
    there = ~np.isnan(y)
    assert 0 < there.sum() < len(y)
    ensemble.fit(X, y)
    assert_allclose(ensemble.score(X, y), ensemble.score(X[there], y[there]), rtol=1e-12)


@pytest.mark.parametrize("by_output", [True, False])
def test_a_score_is_of_the_y_that_weigh_something(by_output, two_outputs):
    X, Y = two_outputs
    model = founding(**QUICK).fit(X, Y)
    weight = np.ones_like(Y) if by_output else np.ones(60)
    weight[::3, ...] = 0
    filled = np.where((weight == 0) if by_output else (weight == 0)[:, None], 1e308, Y)
    assert model.score(X, filled, weight) == model.score(X, Y, weight) < 1
