"""`scoring`: what judges held-out rows after each epoch."""

import io
import pickle
import signal

import numpy as np
import pandas as pd
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import make_scorer, median_absolute_error, r2_score

from fastbp import BackpropEnsembleRegressor, BackpropRegressor

#: Trainings that end where the score no longer improves, and where the loss doesn't.
STOPPING = {
    "by the score": {"early_stopping": True, "validation_fraction": 0.3},
    "by the loss": {},
}

QUICK = {
    "hidden_layer_sizes": (5,), "batch_size": 16, "max_iter": 40, "learning_rate_init": 0.05,
    "n_iter_no_change": 3, "tol": 1e-3, "random_state": 0, "learning_rate": "constant",
}  # fmt: skip

ignored = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def noisy(table):
    """X and y to train on, and held out: the more it is trained, the worse."""
    X, y = table
    y = y + np.random.default_rng(1).normal(0, 20, len(y))
    return X[:40], y[:40], X[40:], y[40:]


def fit(model, noisy):
    """With its own split, or with these held-out rows."""
    X, y, X_val, y_val = noisy
    return model.fit(X, y) if model.early_stopping else model.fit(X, y, X_val=X_val, y_val=y_val)


def everything(model):
    curves = model.loss_curve_, model.validation_loss_curve_
    return np.concatenate([np.ravel(a) for a in (*model.coefs_, *model.intercepts_, *curves)])


@ignored
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("stopping", STOPPING)
def test_a_scorer_that_says_what_the_kernel_says_makes_the_same_model(stopping, solver, noisy):
    params = QUICK | STOPPING[stopping] | {"solver": solver, "dtype": "float64"}
    if solver == "lbfgs":
        params |= {"early_stopping": False}
    compiled, python = (
        fit(founding(**params, scoring=scoring), noisy) for scoring in ("r2", make_scorer(r2_score))
    )
    assert compiled.n_iter_ > 1
    assert_array_equal(everything(python), everything(compiled))
    assert_allclose(python.validation_scores_, compiled.validation_scores_, rtol=1e-9)
    assert_allclose(python.best_validation_score_, max(compiled.validation_scores_), rtol=1e-9)
    plain = fit(founding(**params), noisy)
    assert_array_equal(everything(plain), everything(compiled))


@ignored
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_weights_that_a_scorer_finds_best_are_kept(shuffle, noisy):
    params = QUICK | {"tol": 0.0, "max_iter": 12, "n_iter_no_change": np.inf, "shuffle": shuffle}
    model = fit(founding(**params, scoring="neg_median_absolute_error"), noisy)
    scores = []
    for n in range(1, 13):  # as it was after each epoch
        after = founding(**params | {"max_iter": n}).fit(*noisy[:2])
        scores.append(-median_absolute_error(noisy[3], after.predict(noisy[2])))
    assert_allclose(model.validation_scores_, scores, rtol=1e-5)
    best = int(np.argmax(scores))
    assert 0 < best < 11
    assert model.best_validation_score_ == max(model.validation_scores_)
    after = founding(**params | {"max_iter": best + 1}).fit(*noisy[:2])
    assert_array_equal(model.predict(noisy[2]), after.predict(noisy[2]))
    assert best != np.argmin(model.validation_loss_curve_)


@ignored
@pytest.mark.parametrize(
    ("loss", "scoring", "curve"),
    [
        ("squared_error", "loss", "loss"), ("squared_error", None, "score"),
        ("absolute_error", "r2", "score"), ("absolute_error", None, "loss"),
    ],
)  # fmt: skip
def test_the_loss_or_r2_judges(loss, scoring, curve, noisy):
    params = QUICK | {"max_iter": 10, "n_iter_no_change": np.inf, "loss": loss}
    X, y, X_val, y_val = noisy
    y_val = np.column_stack([y_val, X_val[:, 0]])  # R² and loss weigh these otherwise
    Y = np.column_stack([y, X[:, 0]])
    params |= {"standardize": False, "learning_rate_init": 1e-3, "dtype": "float64"}
    model = founding(**params, scoring=scoring).fit(X, Y, X_val=X_val, y_val=y_val)
    by_loss = int(np.argmin(model.validation_loss_curve_))
    by_score = int(np.argmax(model.validation_scores_))
    best = by_loss if curve == "loss" else by_score
    after = founding(**params | {"max_iter": best + 1}).fit(X, Y)
    assert_array_equal(model.predict(X), after.predict(X))
    assert model.best_validation_score_ == model.validation_scores_[best]


class Noting:
    """A scorer that notes what it is given."""

    def __init__(self, score=0.0):
        self.score, self.calls = score, []

    def __call__(self, estimator, X, y):
        self.calls.append((estimator.predict(X), X, y))
        return self.score


class NotingWeights(Noting):
    def __call__(self, estimator, X, y, sample_weight=None):
        self.calls.append(sample_weight)
        return self.score


def test_a_scorer_is_given_raw_rows_and_the_weights_of_the_epoch(noisy):
    X, y, X_val, y_val = noisy
    scorer = Noting()
    frame = pd.DataFrame(X, columns=list("abc"))
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        model = founding(**QUICK | {"max_iter": 3}, scoring=scorer).fit(
            frame, y, X_val=pd.DataFrame(X_val, columns=list("abc")), y_val=y_val
        )
    predictions, of_x, of_y = zip(*scorer.calls, strict=True)
    assert len(predictions) == 3
    assert_array_equal(of_x[0], X_val)
    assert_array_equal(of_y[0], y_val)
    # Of equal scores the first is kept.
    assert_array_equal(model.predict(pd.DataFrame(X_val, columns=list("abc"))), predictions[0])
    assert not np.array_equal(predictions[0], predictions[1])


@ignored
def test_weights_go_to_scorers_that_take_them(noisy):
    X, y, X_val, y_val = noisy
    weight = np.arange(1.0, 1 + len(y_val))
    held_out = {"X_val": X_val, "y_val": y_val, "sample_weight_val": weight}
    model = founding(**QUICK | {"max_iter": 2})
    takes, takes_not = NotingWeights(), Noting()
    for scorer in (takes, takes_not, "neg_max_error", "neg_mean_squared_error"):
        model.set_params(scoring=scorer).fit(X, y, **held_out)
    assert_array_equal(takes.calls[-1], weight)
    assert len(takes_not.calls) == 2
    kept = np.argmax(model.validation_scores_)
    mean = np.average((model.predict(X_val) - y_val) ** 2, weights=weight)
    assert_allclose(model.validation_scores_[kept], -mean, rtol=1e-5)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    model.set_params(scoring=takes).fit(X, y, X_val=X_val, y_val=y_val)
    assert takes.calls[-1] is None


@ignored
def test_a_scorer_sees_one_y_of_which_several_quantiles_are_predicted(noisy):
    X, y, X_val, y_val = noisy
    scorer = Noting()
    params = {"loss": "quantile", "loss_parameter": (0.2, 0.8), "scoring": scorer}
    founding(**QUICK | {"max_iter": 2} | params).fit(X, y, X_val=X_val, y_val=y_val)
    predicted, _, of_y = scorer.calls[0]
    assert predicted.shape == (len(y_val), 2)
    assert_array_equal(of_y, y_val)


@pytest.mark.parametrize("score", [np.nan, np.inf, "high", None, np.zeros(2)])
def test_a_score_that_is_no_number_is_an_error(score, noisy):
    with pytest.raises(ValueError, match="no finite number"):
        fit(founding(**QUICK, scoring=Noting(score)), noisy)


def test_ctrl_c_in_a_scorer_leaves_the_last_whole_epoch(noisy, ctrl_c_is_heard):
    class Pressing(Noting):
        def __call__(self, *of_it):
            super().__call__(*of_it)
            if len(self.calls) == 3:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return float(len(self.calls))

    with pytest.warns(ConvergenceWarning, match="Interrupted after 2 epochs"):
        model = fit(founding(**QUICK, scoring=Pressing()), noisy)
    assert model.validation_scores_ == [1.0, 2.0]
    assert len(model.validation_loss_curve_) == len(model.loss_curve_) == 2


@ignored
def test_a_warm_start_goes_on_from_the_best_score_and_not_from_another_ones(noisy):
    model = founding(**QUICK | {"max_iter": 2}, warm_start=True, scoring="neg_mean_absolute_error")
    fit(model, noisy)
    again = pickle.loads(pickle.dumps(model))
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = BackpropRegressor.load(file)
    best = model._optimizer.state["best_held_out"][0]
    for each in (model, again, loaded):
        fit(each, noisy)
        assert each._optimizer.state["best_held_out"][0] <= best
        assert_array_equal(everything(each), everything(model))
    fit(model.set_params(scoring="neg_max_error"), noisy)
    assert model._optimizer.state["best_held_out"][0] == -max(model.validation_scores_[-2:])


def test_a_function_is_no_part_of_a_file(noisy):
    model, file = founding(**QUICK | {"max_iter": 2}, scoring=Noting()), io.BytesIO()
    with pytest.warns(ConvergenceWarning):
        fit(model, noisy)
    with pytest.warns(UserWarning, match="can't hold scoring=Noting: the loaded model has None"):
        model.save(file)
    file.seek(0)
    loaded = BackpropRegressor.load(file)
    assert loaded.scoring is None
    assert_array_equal(loaded.predict(noisy[0]), model.predict(noisy[0]))
    assert clone(model).scoring is not None


@ignored
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_the_best_of_a_training_that_diverges_is_a_number(loss, table):
    """It keeps the best weights, whose score that is; so does a warm start."""
    X, y = table[0], np.abs(table[1])
    params = {"activation": "identity", "early_stopping": True, "loss": loss, "init": "glorot"}
    params = QUICK | params | {"solver": "sgd", "max_iter": 30, "n_iter_no_change": 100}
    model = BackpropRegressor(**params, warm_start=True).fit(X, y)
    for times in (1, 2):
        scores, losses = model.validation_scores_, model.validation_loss_curve_
        best = np.nanargmax(scores) if loss == "squared_error" else np.nanargmin(losses)
        assert model.best_validation_score_ == scores[best]
        assert np.isnan(scores).any() == np.isnan(losses).any() == (times == 2)
        if times == 1:
            model.set_params(learning_rate_init=1e6).fit(X, y)
    assert best < 30
    model.set_params(learning_rate_init=1e-3).fit(X, y)
    assert np.isfinite(model.best_validation_score_)


@ignored
def test_scores_of_another_judge_are_none_to_go_on_with(noisy):
    """They are on another scale; so are those that a function gave to a model that was loaded."""

    def hundredfold(model, X, y):
        return 100 * r2_score(y, model.predict(X))

    model = founding(**QUICK | {"max_iter": 2}, warm_start=True, scoring=hundredfold)
    fit(fit(model, noisy), noisy)
    assert len(model.validation_scores_) == 4
    with pytest.warns(UserWarning, match=r"scoring=\S*hundredfold"):
        model.save(file := io.BytesIO())
    file.seek(0)
    for other in (BackpropRegressor.load(file), model.set_params(scoring="r2")):
        fit(other, noisy)
        assert len(other.validation_scores_) == len(other.validation_loss_curve_) == 2
        assert other.best_validation_score_ == max(other.validation_scores_) < 1
        fit(other.set_params(loss="absolute_error"), noisy)
        assert len(other.validation_scores_) == 2


def test_of_an_ensemble_it_is_said_what_a_file_can_not_hold(noisy):
    member = BackpropRegressor((4,), early_stopping=True, max_iter=2, scoring=make_scorer(r2_score))
    random_state = np.random.RandomState(0)
    model = BackpropEnsembleRegressor(member, 2, random_state=random_state).fit(*noisy[:2])
    words = "random_state=RandomState and scoring=_Scorer"
    for estimator in (member, None, BackpropRegressor(scoring="r2")):
        with pytest.warns(UserWarning, match=words) as told:
            model.set_params(estimator=estimator).save(io.BytesIO())
        assert len(told) == 1 and told[0].filename == __file__


def test_members_of_an_ensemble_are_judged_too(noisy):
    member = BackpropRegressor((4,), early_stopping=True, max_iter=8, scoring="neg_max_error")
    model = BackpropEnsembleRegressor(member, 2, random_state=0).fit(*noisy[:2])
    for each in model.estimators_:
        assert each.best_validation_score_ == max(each.validation_scores_) < 0


def test_a_line_of_verbose_names_the_score(noisy, capsys):
    with pytest.warns(ConvergenceWarning):
        fit(founding(**QUICK | {"max_iter": 1}, verbose=True, scoring="neg_max_error"), noisy)
    assert "validation score -" in capsys.readouterr().out
