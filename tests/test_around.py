"""What scikit-learn does around an estimator: routing, callbacks, selection, pictures, arrays."""

import numpy as np
import pandas as pd
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.metrics import PredictionErrorDisplay, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    LearningCurveDisplay,
    ValidationCurveDisplay,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from test_estimator import weights_of

from fastbp import BackpropEnsembleRegressor, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {"hidden_layer_sizes": (6,), "max_iter": 3, "n_iter_no_change": np.inf, "random_state": 0}
WEIGHT = np.linspace(0.5, 2, 60)


def ensemble(n_estimators=3, **params):
    params = {"random_state": 0} | params
    return BackpropEnsembleRegressor(founding(**QUICK), n_estimators, **params)


# ---------------------------------------------------------------------------- metadata


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


def asking(model):
    return model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


@pytest.mark.parametrize("make", [lambda: founding(**QUICK), ensemble], ids=["network", "ensemble"])
def test_weights_are_routed_through_pipelines_and_searches(make, table, routing):
    X, y = table
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), asking(make()))
    pipeline.fit(X, y, sample_weight=WEIGHT)
    scaled = pipeline[0].transform(X)
    alone = make().fit(scaled, y, sample_weight=WEIGHT)
    assert_array_equal(pipeline.predict(X), alone.predict(scaled))
    assert not np.array_equal(alone.predict(scaled), make().fit(scaled, y).predict(scaled))
    assert pipeline.score(X, y, sample_weight=WEIGHT) == alone.score(scaled, y, WEIGHT)

    search = GridSearchCV(asking(make()), {"random_state": [0]}, cv=2)
    search.fit(X, y, sample_weight=WEIGHT)
    by_hand = [
        make().fit(X[train], y[train], WEIGHT[train]).score(X[test], y[test], WEIGHT[test])
        for train, test in [(slice(30, 60), slice(0, 30)), (slice(0, 30), slice(30, 60))]
    ]
    assert_allclose(search.best_score_, np.mean(by_hand))


def test_rows_to_validate_on_are_routed_and_transformed_by_a_pipeline(table, routing):
    X, y = table
    held_out = {"X_val": X[40:], "y_val": y[40:], "sample_weight_val": WEIGHT[40:]}
    model = founding(**QUICK).set_fit_request(**dict.fromkeys(held_out, True))
    pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
    pipeline.fit(X[:40], y[:40], **held_out)
    scaled = pipeline[0].transform
    alone = founding(**QUICK).fit(scaled(X[:40]), y[:40], **held_out | {"X_val": scaled(X[40:])})
    assert pipeline[-1].validation_scores_ == alone.validation_scores_


def test_what_nobody_asked_for_is_not_routed(table, routing):
    with pytest.raises(ValueError, match="sample_weight"):
        cross_validate(founding(**QUICK), *table, params={"sample_weight": WEIGHT}, cv=2)


# --------------------------------------------------------------------------- callbacks


def test_callbacks_of_an_ensemble_hear_of_each_member(table):
    X, y = table
    monitor = ScoringMonitor(scoring="r2")
    model = ensemble(n_threads=1).set_callbacks(monitor).fit(X, y, WEIGHT)
    scores = {row["task_name"]: [] for row in monitor.get_logs().data}
    for row in monitor.get_logs().data:
        scores[row["task_name"]].append(row["r2"])
    so_far = [np.mean([m.predict(X) for m in model.estimators_[:k]], axis=0) for k in (1, 2, 3)]
    expected = [r2_score(y, predicted, sample_weight=WEIGHT) for predicted in so_far]
    assert_allclose(scores["member"], expected)
    assert scores["fit"] == [model.score(X, y, WEIGHT)]
    assert_array_equal(model.predict(X), ensemble().fit(X, y, WEIGHT).predict(X))


def test_callbacks_hear_of_members_in_threads_inside_a_pipeline_and_a_search(table):
    monitor = ScoringMonitor(scoring="r2")
    model = ensemble(2, n_threads=2).set_callbacks(monitor)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        {"backpropensembleregressor__resample": ["folds", None]},
        cv=2, refit=False,
    )  # fmt: skip
    search.fit(*table)
    rows = [row for run in monitor.get_logs(select="all") for row in run.data]
    assert sum(row["task_name"] == "member" for row in rows) == 2 * 2 * 2


@pytest.mark.parametrize("make", [lambda: founding(**QUICK), ensemble], ids=["network", "ensemble"])
def test_a_progress_bar_on_a_search_reaches_the_model(make, table, capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), make())
    GridSearchCV(pipeline, {}, cv=2).set_callbacks(ProgressBar(max_propagation_depth=None)).fit(
        *table
    )
    assert type(make()).__name__ in capsys.readouterr().out


def test_an_error_in_a_callback_is_the_callers(table, no_thread_is_left):
    class Failing:
        def setup(self, estimator, context):
            pass

        teardown = on_fit_task_begin = setup

        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("so be it")

    with pytest.raises(RuntimeError, match="so be it"):
        ensemble(n_threads=2).set_callbacks(Failing()).fit(*table)


# ------------------------------------------------------------------------ importances


def test_importances_of_a_linear_network_are_its_weights_times_deviations(table):
    X, y = table
    model = founding((), max_iter=20, random_state=0).fit(X, y)
    expected = np.abs(model.coefs_[0].ravel()) * X.std(axis=0)
    assert_allclose(model.feature_importances_, expected / expected.sum(), rtol=1e-5)
    raw = founding((), max_iter=2, standardize=False, learning_rate_init=1e-4).fit(X, y)
    expected = np.abs(raw.coefs_[0].ravel())
    assert_allclose(raw.feature_importances_, expected / expected.sum(), rtol=1e-5)


def test_importances_go_by_what_columns_deviate_not_by_what_they_are_divided_by(table):
    X, y = table
    X = np.column_stack([X, np.full(len(X), 5.0)])
    model = founding((), max_iter=20, random_state=0).fit(X, y)
    before, learnt = model.feature_importances_, model._learnt
    assert_array_equal(before > 0, [True, True, True, False])
    drawn_in = learnt.scaling.X_scale / [1, 0.1, 0.01, 1]  # as trials do with what means little
    model._learnt = learnt._replace(scaling=learnt.scaling._replace(X_scale=drawn_in))
    assert_allclose(model.feature_importances_, before)
    model._learnt = learnt._replace(seen=None)  # of a file that doesn't say it
    assert_allclose(
        model.feature_importances_[:3] / before[:3], model.feature_importances_[:3].sum()
    )


def test_importances_are_the_mean_over_outputs_and_0_where_nothing_matters(two_outputs):
    X, Y = two_outputs
    model = founding((), max_iter=20, random_state=0).fit(X, Y)
    each = np.abs(model.coefs_[0]) * X.std(axis=0)[:, None]
    expected = (each / each.sum(axis=0)).mean(axis=1)
    assert_allclose(model.feature_importances_, expected, rtol=1e-5)
    model.coefs_ = [model.coefs_[0] * [1, 0]]  # a constant
    assert_allclose(model.feature_importances_, each[:, 0] / each[:, 0].sum(), rtol=1e-5)
    model.coefs_ = [0 * W for W in model.coefs_]
    assert_array_equal(model.feature_importances_, 0)


def test_importances_of_an_ensemble_are_those_of_its_mean(table):
    model = ensemble(2, resample=None).fit(*table)
    one, other = model.estimators_
    other.coefs_, other.intercepts_ = one.coefs_, one.intercepts_
    assert_allclose(model.feature_importances_, one.feature_importances_)
    other.coefs_ = [one.coefs_[0], -one.coefs_[1]]  # the mean is constant
    assert_array_equal(model.feature_importances_, 0)


def test_without_a_fit_there_are_no_importances():
    assert not hasattr(BackpropRegressor(), "feature_importances_")
    assert not hasattr(BackpropEnsembleRegressor(), "feature_importances_")


@pytest.mark.parametrize("encoding", [None, "piecewise_linear"])
def test_columns_are_selected_by_importance(encoding):
    random = np.random.default_rng(0)
    X = random.normal(3, 2, (200, 5)) * [1, 100, 1, 0.01, 1]
    y = np.sin(X[:, 0]) + 50 * X[:, 3]
    model = founding((8,), solver="adam", max_iter=60, encoding=encoding, random_state=0)
    expected = [True, False, False, True, False]
    assert_array_equal(RFE(model, n_features_to_select=2, step=3).fit(X, y).support_, expected)
    assert_array_equal(SelectFromModel(model).fit(X, y).get_support(), expected)
    ranks = permutation_importance(model.fit(X, y), X, y, random_state=0).importances_mean
    assert set(np.argsort(ranks)[-2:]) == set(np.flatnonzero(expected))


# -------------------------------------------------------------- pages, arrays, frames


@pytest.mark.parametrize("cls", [BackpropRegressor, BackpropEnsembleRegressor])
def test_a_notebook_shows_what_each_parameter_means(cls):
    page = estimator_html_repr(make_pipeline(StandardScaler(), cls()))
    for name in cls().get_params(deep=False):
        link, _, described = page.partition(f"--doc-link-{name};")
        assert link.endswith('style="anchor-name: ')
        assert described.partition("</span>")[0].count(f"{name}: ") == 1
    assert 'href="#' not in page  # there is no page to go to
    assert 'href="https://scikit-learn.org' in page  # but for the others


def test_a_notebook_shows_what_was_learnt(table):
    page = estimator_html_repr(ensemble(1).fit(*table).estimators_[0])
    for name in ("loss_curve_", "feature_importances_", "coefs_", "kernel_"):
        assert f"--doc-link-{name};" in page


@pytest.mark.parametrize("weight", [np.nan, np.zeros((1, 1))], ids=["NaN", "shape"])
def test_a_notebook_shows_a_model_that_is_broken(weight, table):
    model = ensemble(2).fit(*table)
    one = model.estimators_[0]
    one.coefs_[0] = np.full_like(one.coefs_[0], weight) if np.isscalar(weight) else weight
    for each in (one, model):
        assert {"feature_importances_", "coefs_" if each is one else "estimators_"} < {*dir(each)}
        page = each._repr_html_()
        assert f"--doc-link-{'coefs_' if each is one else 'estimators_'};" in page
        assert "ValueError(" in page.partition("--doc-link-feature_importances_;")[2]
    model.estimators_.clear()
    assert "--doc-link-estimators_;" in model._repr_html_()


def test_with_array_api_dispatch_all_is_as_without(table, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else it can't be switched on
    X, y = table
    expected = founding(**QUICK).fit(X, y, WEIGHT)
    with config_context(array_api_dispatch=True):
        model = founding(**QUICK).fit(X, y, WEIGHT)
        assert_array_equal(model.predict(X), expected.predict(X))
        assert model.score(X, y, WEIGHT) == expected.score(X, y, WEIGHT)
        assert_array_equal(weights_of(model), weights_of(expected))
        several = ensemble(2).fit(X, y, WEIGHT)
        scores = cross_validate(make_pipeline(StandardScaler(), model), X, y, cv=2)["test_score"]
    assert_array_equal(several.predict(X), ensemble(2).fit(X, y, WEIGHT).predict(X))
    assert np.isfinite(scores).all()


def test_a_frame_of_polars_is_a_table(table):
    polars = pytest.importorskip("polars")
    X, y = table
    frame = polars.DataFrame(dict(zip("abc", X.T, strict=True)))
    model = founding(**QUICK).fit(frame, polars.Series("y", y), polars.Series("w", WEIGHT))
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert_array_equal(model.predict(frame), founding(**QUICK).fit(X, y, WEIGHT).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.select("c", "a", "b"))


@pytest.mark.parametrize(
    "kinds",
    [{}, {"a": "float32", "b": "int8"}, {"a": bool}, {"b": "Float64"}, dict.fromkeys("abc", bool)],
    ids=str,
)
def test_a_frame_is_predicted_from_as_its_values_are(kinds, table):
    X, y = table
    frame = pd.DataFrame(np.abs(np.round(X)), columns=list("abc")).astype(kinds)
    values = frame.to_numpy(np.float64)
    with_names, without = founding(**QUICK).fit(frame, y), founding(**QUICK).fit(values, y)
    expected = without.predict(values)
    assert_array_equal(with_names.predict(frame), expected)
    with pytest.warns(UserWarning, match="X has feature names"):
        assert_array_equal(without.predict(frame), expected)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_array_equal(with_names.predict(values), expected)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_array_equal(with_names.predict(values.tolist()), expected)
    for wrong, words in ((frame[["b", "a", "c"]], "same order"), (frame[["a", "b"]], "missing")):
        with pytest.raises(ValueError, match=words):
            with_names.predict(wrong)
    with pytest.raises(ValueError, match="3 features"):
        without.predict(values[:, :2])
    assert not hasattr(with_names.fit(values, y), "feature_names_in_")


# --------------------------------------------------------------------------- pictures


def drawn(what, model, X, y):
    """The numbers that a display of scikit-learn draws."""
    if what == "learning curve":
        display = LearningCurveDisplay.from_estimator(model, X, y, cv=2, train_sizes=[0.5, 1.0])
        return display.test_scores.mean(axis=1)
    if what == "validation curve":
        display = ValidationCurveDisplay.from_estimator(
            model, X, y, cv=2, param_name="max_iter", param_range=[1, 40]
        )
        return display.test_scores.mean(axis=1)
    model.fit(X, y)
    if what == "partial dependence":
        display = PartialDependenceDisplay.from_estimator(
            model, X, [2, (0, 2)], grid_resolution=5, kind="average"
        )
        return display.pd_results[0]["average"][0]
    display = PredictionErrorDisplay.from_estimator(model, X, y, kind="actual_vs_predicted")
    return display.y_pred


@pytest.mark.parametrize(
    "what", ["learning curve", "validation curve", "partial dependence", "prediction error"]
)
def test_scikit_learns_displays_draw_it(what, table):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    X, y = table
    model = founding(**QUICK | {"solver": "adam", "max_iter": 40})
    values = drawn(what, model, X, y)
    if what == "prediction error":
        assert_array_equal(values, model.predict(X))
    else:  # more rows, more epochs, a greater x: more
        assert values[-1] > values[0]
    pyplot.gcf().canvas.draw()
    pyplot.close("all")
