"""`linear_part`: ridge regression beside the network."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from test_export import ROWS, compiled, needs_compiler

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.explain import explain_step
from fastbp.export import onnx
from fastbp.fitting import linear, survey, trials
from fastbp.fitting.plan import samples_of


def rows_of(seed, n, noise=1.0):
    """A table that is linear but for noise, of so many rows, and 500 others without."""
    random = np.random.default_rng(seed)
    X = 3 + 2 * random.normal(size=(n + 500, 3))
    y = 5 + X @ [1.0, -2.0, 0.5]
    return X[:n], y[:n] + noise * random.normal(size=n), X[n:], y[n:]


def quick(**params):
    return BackpropRegressor(
        **{"hidden_layer_sizes": (9,), "max_iter": 8, "random_state": 0} | params
    )


#: With these the network of `both` knows something, too.
WIDE = {"hidden_layer_sizes": (32,), "max_iter": 100}


@pytest.fixture(scope="module")
def both():
    """A model that is a network and a line, and its table."""
    X, y, *_ = rows_of(0, 120)
    X, y = np.float32(X), y + 2 * np.sin(X[:, 0])
    model = quick(**WIDE).fit(X, y)
    assert model.linear_part_.shape == (3,)
    assert np.abs(model.coefs_[-1]).max() > 0
    return model, X, y


def by_hand(model, X):
    """The network's textbook pass, and the line."""
    (V, W), (a, b) = model.coefs_, model.intercepts_
    return (1 / (1 + np.exp(-(X @ V + a))) @ W + b).ravel() + X @ model.linear_part_


def test_on_a_noisy_linear_table_it_is_as_good_as_linear_regression():
    ratios = []
    for seed in range(4):
        X, y, X_new, y_new = rows_of(seed, 60)
        of_line = LinearRegression().fit(X, y).predict(X_new)
        for part in ("auto", None):
            model = BackpropRegressor(random_state=0, linear_part=part).fit(X, y)
            errors = [np.mean((said - y_new) ** 2) for said in (model.predict(X_new), of_line)]
            ratios.append(errors[0] / errors[1])
    with_line, without = np.reshape(ratios, (4, 2)).T
    assert with_line.mean() < 0.7 * without.mean()


@pytest.mark.parametrize("n", [12, 16, 30])
def test_very_few_linear_rows_are_predicted_as_well_as_by_linear_regression(n):
    ratios = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        X = random.normal(size=(n + 500, 3))
        y = X @ [1.0, -2.0, 0.5] + random.normal(0, 0.5, n + 500)
        model = BackpropRegressor(random_state=seed).fit(X[:n], y[:n])
        line = LinearRegression().fit(X[:n], y[:n])
        ratios.append((1 - model.score(X[n:], y[n:])) / (1 - line.score(X[n:], y[n:])))
    assert np.mean(ratios) < 1.15


def test_where_columns_have_heavy_tails_it_goes_on_straight():
    random = np.random.default_rng(0)
    X = np.exp(1.5 * random.normal(size=(600, 3)))
    y = X @ [1.0, 2.0, -1.0]
    model = quick().fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.99


def test_what_is_not_linear_at_all_has_none():
    X = np.random.default_rng(0).normal(size=(300, 2))
    assert quick(max_iter=100).fit(X, np.sign(X[:, 0] * X[:, 1])).linear_part_ is None


def test_what_is_clearly_bent_is_not_trained_once_more_to_say_so(monkeypatch):
    trials_made, trial = [], trials.Search.trial
    monkeypatch.setattr(
        trials.Search,
        "trial",
        lambda *given, **how: trials_made.append(given) or trial(*given, **how),
    )
    X, y, *_ = rows_of(0, 300)
    numbers = []
    bent = np.abs(X[:, 0] - 3)
    for part, target in (("auto", bent), (None, bent), ("auto", y)):
        trials_made.clear()
        quick(linear_part=part, max_iter=100).fit(X, target)
        numbers.append(len(trials_made))
    assert numbers[0] == numbers[1]
    assert len(trials_made[-1][0].parts) == linear.n_parts(300) == 2


@pytest.mark.parametrize("n", [25, 300])
def test_a_limit_of_time_that_is_far_away_changes_nothing(n):
    X, y, *_ = rows_of(0, n)
    lines = [quick(max_time=limit).fit(X, y).linear_part_ for limit in (None, 60.0)]
    assert lines[0] is not None
    assert_array_equal(*lines)


def test_trials_of_a_line_take_a_third_of_what_time_is_left(monkeypatch):
    seconds, trial = [], trials.Search.trial
    monkeypatch.setattr(
        trials.Search,
        "trial",
        lambda *given, **how: seconds.append(given[0].seconds) or trial(*given, **how),
    )
    X, y, *_ = rows_of(0, 30)
    quick(max_time=60.0).fit(X, y)
    assert 0 < seconds[-1] <= 60 / (3 * linear.n_parts(30)) == 2


def test_a_trial_of_a_line_that_diverges_ends_no_fit(monkeypatch):
    def diverges(*given):
        raise ValueError("Training diverged.")

    monkeypatch.setattr(linear.Beside, "found", diverges)
    X, y, *_ = rows_of(0, 300)
    assert quick().fit(X, y).linear_part_ is None


def test_what_a_line_leaves_is_compared_in_units_of_the_loss(monkeypatch):
    said, excess = [], linear.Beside.excess
    monkeypatch.setattr(
        linear.Beside, "excess", lambda *given: said.append(excess(*given)) or said[-1]
    )
    X, y, *_ = rows_of(0, 300)
    for loss in ("squared_error", "half_squared_error"):
        quick(loss=loss, max_iter=60).fit(X, y)
    assert abs(said[0] - said[1]) < 0.3


@pytest.mark.parametrize(
    "params",
    [
        {"linear_part": None}, {"loss": "absolute_error"}, {"standardize": False},
        {"init": "glorot"}, {"solver": "lbfgs"}, {"early_stopping": False},
        {"early_stopping": True}, {"hidden_layer_sizes": (4,)}, {"hidden_layer_sizes": ()},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_for_searches_of_squared_errors(params):
    X, y, *_ = rows_of(0, 50)
    assert quick(**params).fit(X, y).linear_part_ is None


def test_of_sparse_tables_few_rows_and_weights_of_outputs_it_knows_nothing():
    X, y, *_ = rows_of(0, 50)
    assert quick().fit(sparse.csr_matrix(X), y).linear_part_ is None
    assert quick().fit(X[:11], y[:11]).linear_part_ is None
    Y = np.column_stack([y, y])
    assert quick().fit(X, Y, np.ones((50, 2)) * [1, 2]).linear_part_ is None
    assert quick().fit(X, Y).linear_part_.shape == (3, 2)


def test_predictions_are_those_of_the_network_and_of_the_line(both):
    model, X, _ = both
    expected = by_hand(model, np.float64(X))
    assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-5)
    assert_allclose(model.predict(sparse.csr_matrix(X)), expected, rtol=1e-5, atol=1e-5)
    f = model.as_njit()
    assert_allclose([f(np.float64(x))[0] for x in X], expected, rtol=1e-5, atol=1e-5)
    assert_array_equal(model.predict(X[:1]), model.predict(X)[:1])
    assert model.predict(X).dtype == np.float64
    assert quick().fit(X, np.float32(both[2])).predict(X).dtype == np.float32


def test_it_can_not_be_changed(both):
    X, y, *_ = rows_of(0, 50)
    for model in (both[0], quick().fit(X, np.column_stack([y, y]))):
        with pytest.raises(ValueError, match="read-only"):
            model.linear_part_[0] = np.nan
        assert np.isfinite(model.predict(X)).all()


def test_derivatives_are_those_of_both(both):
    model, X, _ = both
    step = 1e-4
    for j in range(3):
        to = step * np.eye(3)[j]
        slope = (by_hand(model, X + to) - by_hand(model, X - to)) / (2 * step)
        assert_allclose(model.predict_jacobian(X)[:, j], slope, rtol=1e-4, atol=1e-5)


def test_files_and_pickles_keep_it(both, tmp_path):
    model, X, _ = both
    model.save(tmp_path / "model.bp")
    for again in (BackpropRegressor.load(tmp_path / "model.bp"), pickle.loads(pickle.dumps(model))):
        assert_array_equal(again.predict(X), model.predict(X))
        assert_array_equal(again.linear_part_, model.linear_part_)


@needs_compiler
@pytest.mark.parametrize("real", ["float", "double", "int16"])
def test_c_has_it(both, real, tmp_path):
    model, _, _ = both
    got = compiled(model, tmp_path, real=real)(ROWS)
    tolerance = 1e-5 if real != "int16" else 1e-2
    assert_allclose(got, model.predict(ROWS), rtol=tolerance, atol=tolerance)


def test_onnx_has_it(both):
    reference = pytest.importorskip("onnx.reference")
    model, X, _ = both
    (y,) = reference.ReferenceEvaluator(onnx.proto(model)).run(None, {"X": X})
    assert_allclose(y.ravel(), model.predict(X), rtol=1e-5, atol=2e-6)  # in float32


def test_scikit_learns_network_has_none(both):
    with pytest.raises(ValueError, match=r"no linear part.*linear_part=None"):
        both[0].to_sklearn()


def test_who_goes_on_trains_on_what_the_line_leaves(both, tmp_path):
    model, X, y = both
    model.save(tmp_path / "model.bp")
    first, second = (BackpropRegressor.load(tmp_path / "model.bp") for _ in range(2))
    for _ in range(3):
        first.partial_fit(X, y)
    second.partial_fit(X, y)
    second = pickle.loads(pickle.dumps(second)).partial_fit(X, y).partial_fit(X, y)
    assert_array_equal(first.predict(X), second.predict(X))
    assert_array_equal(first.linear_part_, model.linear_part_)
    second.set_params(warm_start=True, max_iter=50).fit(X, y)
    assert_array_equal(second.linear_part_, model.linear_part_)
    assert second.score(X, y) > model.score(X, y) - 0.01


@pytest.fixture(scope="module")
def far():
    """A model that is a network and a line, of a column of seconds since 1970, and its table."""
    X, y, *_ = rows_of(0, 120, noise=0.1)
    y += 2 * np.sin(X[:, 0])
    X[:, 0] += 1.7e9
    model = quick(**WIDE).fit(X, y)
    assert np.abs(model.linear_part_[0]) > 1e-5
    assert np.abs(model.coefs_[-1]).max() > 0
    return model, X, y


@pytest.mark.parametrize("model", ["both", "far"])
@pytest.mark.parametrize("whole_bytes", [survey.WHOLE_BYTES, 0], ids=["whole", "in windows"])
def test_scores_and_losses_of_who_goes_on_are_of_y(model, whole_bytes, request, monkeypatch):
    model, X, y = request.getfixturevalue(model)
    monkeypatch.setattr(survey, "WHOLE_BYTES", whole_bytes)
    again = pickle.loads(pickle.dumps(model)).set_params(warm_start=True, max_iter=5)
    again.fit(X, y, X_val=X, y_val=y)
    assert_allclose(again.best_validation_score_, again.score(X, y), rtol=1e-3)
    assert_allclose(again.best_validation_score_, 1 - min(again.validation_loss_curve_), rtol=1e-3)


@pytest.mark.parametrize("whole_bytes", [survey.WHOLE_BYTES, 0], ids=["whole", "in windows"])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_who_goes_on_from_a_line_has_learnt_something(offset, whole_bytes, monkeypatch):
    X, y, *_ = rows_of(0, 120)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = quick().fit(X + offset, y)
        monkeypatch.setattr(survey, "WHOLE_BYTES", whole_bytes)
        model.set_params(warm_start=True, max_iter=2).fit(X + offset, y)
    assert model.linear_part_ is not None and model.learning_rate_init_ == 0.01


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("params", [{}, {"loss": "half_squared_error"}], ids=str)
def test_a_line_that_says_nothing_is_told(n_outputs, params, monkeypatch):
    """Of columns that are constant: the network's loss knows nothing of it."""
    monkeypatch.setattr(linear, "share_of", lambda *_: 1.0)
    X, y = np.ones((60, 3)), np.random.default_rng(3).normal(size=(60, n_outputs)).squeeze()
    told = r"learnt nothing: its loss, (\S+), is no better .* best constant, \1\. Leave max_iter"
    with pytest.warns(ConvergenceWarning, match=told) as warned:
        model = quick(**params).fit(X, y)
    assert model.linear_part_ is not None and not model.coefs_[-1].any()
    assert "hidden layer" not in str(warned[0].message)  # which is left out
    model = BackpropEnsembleRegressor(quick(**params), 2, random_state=0)
    with pytest.warns(ConvergenceWarning, match="learnt nothing") as warned:
        model.fit(X, y)
    assert len(warned) == 1
    assert any(member.linear_part_ is not None for member in model.estimators_)


@pytest.mark.filterwarnings("error", "ignore:One row holds")
def test_a_line_that_says_something_is_not_told_to_say_nothing(both):
    X, y, *_ = rows_of(0, 200, noise=0.3)
    y[3] = 1e4  # which is taken for wrong: of this y all say nothing
    assert quick().fit(X, y).linear_part_ is not None
    X, y = np.random.default_rng(0).normal(size=(2, 300))
    X, y = X[:, None], y + 0.15 * X
    model = quick().fit(X, y)
    assert model.linear_part_ is not None and 0 < model.score(X, y) < 0.05
    model, X, y = both
    model = pickle.loads(pickle.dumps(model)).set_params(warm_start=True, missing_targets="omit")
    model.fit(X, np.where(np.arange(120) % 3, y, np.nan))


def test_losses_and_steps_are_of_what_the_line_leaves(both):
    model, X, y = both
    loss, *_ = model.loss_gradient(X, y)
    assert_allclose(loss, np.mean((model.predict(X) - y) ** 2), rtol=1e-4)
    step = explain_step(model, X[0], y[0], raw_units=True)
    assert_allclose(step.loss, (model.predict(X[:1])[0] - y[0]) ** 2, rtol=1e-3)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_bits_are_the_same_for_any_number_of_threads(both, n_threads):
    model, X, y = both
    again = quick(**WIDE, n_threads=n_threads).fit(X, y)
    assert_array_equal(again.predict(X), model.predict(X))


def test_members_have_each_the_line_of_their_own_rows():
    X, y, X_new, _ = rows_of(0, 60)
    model = BackpropEnsembleRegressor(quick(), 3, random_state=0).fit(X, y)
    lines = [member.linear_part_ for member in model.estimators_]
    assert np.ptp(lines, axis=0).min() > 0
    f = model.as_njit()
    assert_allclose([f(x)[0] for x in X_new], model.predict(X_new), rtol=1e-5)
    assert model.predict(X_new, return_std=True)[1].min() > 0


def test_each_output_has_its_own_share():
    X, y, *_ = rows_of(0, 300, noise=0.3)
    bent = np.sign(X[:, 0] - 3) * np.sign(X[:, 1] - 3)
    model = quick(**WIDE).fit(X, np.column_stack([y, bent, y]))
    assert_array_equal(model.linear_part_[:, 1], 0)
    assert_allclose(model.linear_part_[:, [0, 2]], np.tile([[1.0], [-2.0], [0.5]], 2), atol=0.1)
    of_each = model.score(X, np.column_stack([y, bent, y]))
    assert of_each > 0.8


def test_ridge_regression_is_nearly_linear_regression_and_knows_weights():
    X, y, *_ = rows_of(0, 50, noise=0.01)
    weight = np.where(np.arange(50) < 30, 1.0, 1e-9)
    y[30:] += 9 * X[30:, 0]
    A, b = linear.ridge(X, samples_of(X, y[:, None], weight), np.arange(50))
    exact = LinearRegression().fit(X[:30], y[:30])
    assert_allclose(A.ravel(), exact.coef_, rtol=1e-3)
    assert_allclose(b, exact.intercept_, rtol=1e-3)


@pytest.mark.parametrize("n_features, n_rows", [(2, 8_000), (60, 12_000)])
def test_it_looks_at_enough_rows_for_its_columns_and_at_no_more(monkeypatch, n_features, n_rows):
    looked_at = []

    class Ridge(linear_model.RidgeCV):
        def fit(self, X, y, sample_weight=None):
            looked_at.append(len(X))
            return super().fit(X, y, sample_weight)

    monkeypatch.setattr(linear_model, "RidgeCV", Ridge)
    X = np.random.default_rng(0).normal(size=(24_000, n_features))
    A, _ = linear.ridge(X, samples_of(X, X[:, :1] - X[:, 1:2]), np.arange(len(X)))
    assert looked_at == [n_rows]  # a third of all, of which the limit is 10,000, and half
    assert_allclose(A[:2, 0], [1, -1], atol=1e-6)


def test_a_column_that_is_constant_but_for_rounding_has_no_slope():
    X, y, *_ = rows_of(0, 50)
    X[:, 2] = np.where(y > y.mean(), 0.3, 0.1 + 0.2)
    A, _ = linear.ridge(X, samples_of(X, y[:, None]), np.arange(50))
    assert np.abs(A[2]) < 1e-3


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e200, 1e300])
def test_columns_have_any_magnitude(unit):
    X, y, X_new, _ = rows_of(0, 50)
    said = quick().fit(X, y).predict(X_new)
    X[:, :2], X_new[:, :2] = unit * X[:, :2], unit * X_new[:, :2]
    model = quick().fit(X, y)
    assert model.linear_part_ is not None
    assert_allclose(model.predict(X_new), said, rtol=1e-6, atol=1e-6)


def test_a_slope_that_is_beyond_all_numbers_is_none():
    X, y, X_new, _ = rows_of(0, 50)
    model = quick().fit(1e-120 * X, 1e200 * y)
    assert model.linear_part_ is None
    assert np.isfinite(model.predict(1e-120 * X_new)).all()


@pytest.mark.parametrize("y_of_one", ["is right", "is wrong"])
@pytest.mark.filterwarnings("ignore:One row holds")
def test_a_row_whose_y_is_taken_for_wrong_bends_no_line(y_of_one):
    X, y, X_new, y_new = rows_of(0, 200, noise=0.3)
    others = LinearRegression().fit(np.delete(X, 3, axis=0), np.delete(y, 3))
    X[3] *= 1e3
    y[3] = others.predict(X[3:4])[0] if y_of_one == "is right" else 1e4
    model = quick().fit(X, y)
    assert_allclose(model.linear_part_, others.coef_, rtol=0.02)
    assert model.score(X_new, y_new) > 0.99


def test_numbers_too_large_for_squares_have_no_line():
    X, y, *_ = rows_of(0, 50)
    X = 1.7e308 * np.sign(X - X.mean(axis=0))
    with np.errstate(all="ignore"):
        A, b = linear.ridge(X, samples_of(X, y[:, None]), np.arange(50))
    assert_array_equal(A, 0)
    assert_allclose(b, y.mean())


def test_rows_without_a_weight_are_none():
    X, y, *_ = rows_of(0, 50)
    for n in (1, 3, 11):
        assert quick(max_iter=2).fit(X, y, np.arange(50) < n).linear_part_ is None
    assert quick(max_iter=2).fit(X, y, np.arange(50) < 40).linear_part_ is not None


def test_of_many_rows_none_is_looked_at_that_has_no_weight(monkeypatch):
    """Where each third row has one, each third row might be another."""
    X, y, *_ = rows_of(0, 150)
    monkeypatch.setattr(linear, "most_rows", lambda X: 50)
    model = quick(max_iter=2).fit(X, y, np.arange(150) % 3 == 1)
    expected = LinearRegression().fit(X[1::3], y[1::3]).coef_
    assert_allclose(model.linear_part_, expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("whole_bytes", [survey.WHOLE_BYTES, 100], ids=["whole", "in windows"])
def test_far_from_0_all_is_as_precise(whole_bytes, monkeypatch):
    X, y, X_new, _ = rows_of(0, 200)
    bent, said = y + np.sin(X[:, 0]), []
    for offset in (0.0, 1e8):
        model = quick(warm_start=True).fit(X + offset, bent)
        monkeypatch.setattr(survey, "WHOLE_BYTES", whole_bytes)
        each = [model.predict(X_new + offset)]
        for goes_on in (model.partial_fit, model.partial_fit, model.fit):
            goes_on(X + offset, bent)
            each.append(model.predict(X_new + offset))
        said.append(each)
        monkeypatch.undo()
    assert_allclose(*said, rtol=1e-4, atol=1e-4)


def test_what_it_says_and_the_network_takes_off_is_not_rounded_between():
    X, y, X_new, _ = rows_of(0, 60)
    X, X_new = (np.float32(1e7 + np.round(100 * each)) for each in (X, X_new))
    model = quick().fit(X, np.float32(y))
    ensemble = BackpropEnsembleRegressor(quick(), 2, random_state=0).fit(X, np.float32(y))
    for each in (model, ensemble):
        assert each.predict(X_new).dtype == np.float32
        assert_allclose(each.predict(X_new), each.predict(np.float64(X_new)), rtol=1e-6)


def test_how_rows_lie_in_memory_is_no_matter():
    X = np.random.default_rng(0).normal(size=(60, 17))
    y = X.sum(axis=1) + 0.1 * np.sin(9 * X[:, 0])
    model = quick().fit(X, y)
    assert model.linear_part_ is not None
    one_by_one = [model.predict(x[None])[0] for x in X]
    for lying in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
        assert_array_equal(model.predict(lying), one_by_one)


def test_terms_beyond_all_numbers_have_a_sum():
    X, y, *_ = rows_of(0, 50, noise=0.01)
    model = quick().fit(X, y)
    A = model.linear_part_
    for far in (np.full(3, 1.7e308), np.array([1e308, 1e308, 1.0])):
        expected = 4 * (far / 4 @ A)
        assert_allclose(model.predict(far[None]), expected, rtol=1e-6)
        assert_allclose(model.predict(sparse.csr_array(far[None])), expected, rtol=1e-6)
    assert_array_equal(model.predict([[-1.7e308, 1.7e308, 0]]), -np.inf)


def test_its_share_is_the_best_or_one_that_can_not_be_told_from_it():
    random = np.random.default_rng(0)
    y, f, g = random.normal(size=(3, 1000))
    shares = [linear.share_of(y, *pair, None) for pair in ((y + f, y + g), (y + f, y), (y, y + g))]
    assert 0.45 < shares[0] < 0.6
    assert shares[1:] == [1.0, 0.0]
    assert linear.share_of(y, y + f, y + f, None) == 0
    shares = [linear.share_of(y, y + a * f, y + g, None) for a in (0.3, 1.2, 3.0)]
    assert shares[0] == 0 and 0.5 < shares[1] < 0.8 and shares[2] == 1  # of 0.08, 0.6 and 0.9
    far = np.where(np.arange(1000) < 500, y + 9 * f, y)
    weight = np.repeat([0.0, 1.0], 500)
    assert linear.share_of(y, y + g, far, weight) == 1


def test_of_few_rows_what_is_taken_for_equal_may_differ_by_more(monkeypatch):
    said, share_of = [], linear.share_of

    def noted(*given):
        said.append(given[-1])
        return share_of(*given)

    monkeypatch.setattr(linear, "share_of", noted)
    for n in (100, 200, 300):
        quick().fit(*rows_of(0, n)[:2])
    assert_allclose(said, [2, 1, 1])
    random = np.random.default_rng(0)
    y, f = random.normal(size=(2, 60))
    shares = [linear.share_of(y, y + 0.9 * f, y + f[::-1], None, slack) for slack in (0, 1, 2, 9)]
    assert np.all(np.diff(shares) >= 0) and shares[0] < shares[2] and shares[-1] == 1


def test_a_line_of_other_columns_is_refused(both, tmp_path):
    model, *_ = both
    for wrong in (np.zeros((2, 1)), np.full((3, 1), np.nan)):
        other = pickle.loads(pickle.dumps(model))
        other._learnt = other._learnt._replace(linear=wrong)
        with pytest.raises(ValueError, match="linear part"):
            other.save(tmp_path / "model.bp")
