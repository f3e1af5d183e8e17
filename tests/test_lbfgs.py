"""`solver="lbfgs"`: what it is told, what it tells, and how it ends."""

import copy
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropRegressor
from fastbp.fitting import lbfgs

PARAMS = {"hidden_layer_sizes": (4,), "solver": "lbfgs", "max_iter": 8, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore:Stopped after")


@pytest.mark.parametrize("loss", ["squared_error", "half_squared_error", "poisson"])
def test_it_ends_where_the_gradient_is_zero(loss, table):
    (X, y), weight = table, np.linspace(0, 2, 60)
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), y / 50
    params = {"hidden_layer_sizes": (), "standardize": False, "tol": 1e-6, "max_iter": 500}
    model = founding(**PARAMS | params, loss=loss).fit(X, y, weight)
    assert model.n_iter_ < 100
    _, dW, db = model.loss_gradient(X, y, weight)
    assert_allclose(np.r_[dW[0].ravel(), db[0]], 0, atol=1e-4)


def test_the_loss_and_its_curve_are_those_of_the_model(table):
    X, y = table
    model = founding(**PARAMS, alpha=0.0, standardize=False).fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_ == 8
    assert (np.diff(model.loss_curve_) < 0).all()
    assert_allclose(model.loss_, np.mean((model.predict(X) - y) ** 2), rtol=1e-9)
    assert_allclose(model.best_loss_, model.loss_)


def test_it_trains_in_float64_whatever_dtype_is(table):
    X, y = table
    one, other = (founding(**PARAMS, dtype=d).fit(X, y) for d in ("float32", "float64"))
    assert_array_equal(one.predict(X), other.predict(X))


def test_threads_make_no_difference(table):
    X, y = np.repeat(table[0], 20, axis=0), np.repeat(table[1], 20)
    one, two = (founding(**PARAMS, n_threads=n).fit(X, y).predict(X) for n in (1, 2))
    assert_array_equal(one, two)


def test_refit_finds_how_many_iterations_do_good():
    random = np.random.default_rng(0)
    X = random.normal(size=(90, 3))
    y = X[:, 0] + random.normal(size=90)
    X_test = random.normal(size=(500, 3))
    params = {"hidden_layer_sizes": (30,), "solver": "lbfgs", "max_iter": 300, "random_state": 0}
    found = BackpropRegressor(**params).fit(X, y)
    assert found.n_iter_ == found.max_iter_ < 30 < len(found.validation_loss_curve_)
    longer = BackpropRegressor(**params, early_stopping=False).fit(X, y)
    assert found.score(X_test, X_test[:, 0]) > longer.score(X_test, X_test[:, 0]) + 0.1


def test_held_out_samples_are_scored_and_the_best_weights_kept(table):
    (X, y), weight = table, np.linspace(0, 1, 30)
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    params = {"max_iter": 40, "alpha": 1.0, "standardize": False}
    model = founding(**PARAMS | params)
    model.fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:], sample_weight_val=weight)
    scores, losses = model.validation_scores_, model.validation_loss_curve_
    assert len(scores) == len(losses) == model.n_iter_
    assert model.best_validation_score_ == max(scores) > scores[-1]
    assert_allclose(max(scores), model.score(X[30:], y[30:], weight), rtol=1e-9)
    loss = np.average((model.predict(X[30:]) - y[30:]) ** 2, weights=weight)
    assert_allclose(losses[int(np.argmax(scores))], loss, rtol=1e-9)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "gamma", "quantile"])
def test_losses_with_corners_come_to_their_minimum(loss, table):
    """That of a linear model: no direction leads down from it."""
    X, y = table[0], table[1] / 50
    y = y - y.min() + 1
    model = founding(**PARAMS | {"hidden_layer_sizes": (), "max_iter": 200}, loss=loss).fit(X, y)
    best = model.loss_gradient(X, y)[0]
    for step in 1e-2 * np.random.default_rng(0).normal(size=(20, 4)):
        other = copy.deepcopy(model)
        other.coefs_[0][:, 0] += step[:3] / X.std(axis=0)
        other.intercepts_[0] += step[3] - step[:3] @ (X.mean(axis=0) / X.std(axis=0))
        assert other.loss_gradient(X, y)[0] > best


def test_held_out_samples_judge_by_the_loss_where_r2_is_not_its_measure(table):
    X, y = (table[0] - table[0].mean(axis=0)) / table[0].std(axis=0), table[1] / 50
    y = y - y.min() + 0.01
    model = founding(**PARAMS | {"max_iter": 40}, loss="gamma")
    model.fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    losses, scores = model.validation_loss_curve_, model.validation_scores_
    best = int(np.argmin(losses))
    assert best not in (int(np.argmax(scores)), len(losses) - 1)
    assert_allclose(model.score(X[30:], y[30:]), scores[best])
    assert model.best_validation_score_ == scores[best]


def test_a_warm_start_goes_on_from_the_weights(table):
    model = founding(**PARAMS, warm_start=True).fit(*table)
    before = model.loss_
    model.fit(*table)
    assert model.loss_ < before
    assert len(model.loss_curve_) == 16
    assert model.loss_curve_[8] < before


def test_it_has_no_partial_fit(table):
    model = founding(**PARAMS)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as error:
        model.partial_fit(*table)
    assert "'adam' or 'sgd'" in str(error.value.__cause__)
    model.fit(*table).set_params(solver="adam").partial_fit(*table)
    assert model.t_ == 9 * 60


@pytest.mark.parametrize(
    ("params", "message"),
    [({"max_iter": 2}, "max_iter=2"), ({"max_fun": 3}, "max_fun=3")],
)
def test_a_limit_is_said_to_have_ended_it(params, message, table):
    with pytest.warns(ConvergenceWarning, match=message):
        founding(**PARAMS | params).fit(*table)


def test_values_that_are_too_large_are_an_error(table):
    X, y = table
    with pytest.raises(ValueError, match="Training diverged"):
        founding(**PARAMS, standardize=False, activation="identity").fit(1e300 * X, y)


def test_verbose_and_callbacks_follow_the_iterations(table, capsys):
    X, y = table
    monitor = ScoringMonitor(scoring="r2")
    model = founding(**PARAMS, verbose=True).set_callbacks(monitor).fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == 8
    scores = [r["r2"] for r in monitor.get_logs().data if r["task_name"] == "epoch"]
    assert len(scores) == 8
    assert scores[-1] == model.score(X, y)


def test_max_time_ends_it_after_an_iteration(table):
    model = founding(**PARAMS, max_time=1e-9).fit(*table)
    assert model.n_iter_ == 1


def test_max_time_ends_it_within_a_gradient(table, monkeypatch):
    """Of the second iteration: the first is what there is then."""
    clock, run, n = [0.0], lbfgs.FullBatch.__call__, []

    def call(self, theta, stop):
        n.append(1)
        if len(n) == 5:
            clock[0] = 2.0
            assert stop()  # as a team asks that listens
            raise lbfgs.CalledOff
        return run(self, theta, stop)

    whole = founding(**PARAMS).fit(*table)
    monkeypatch.setattr(lbfgs, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(lbfgs.FullBatch, "__call__", call)
    model = founding(**PARAMS, max_time=1.0).fit(*table)
    assert 0 < model.n_iter_ < 5
    assert model.loss_curve_ == whole.loss_curve_[: model.n_iter_]


def pressing_ctrl_c(monkeypatch, wanted):
    """Ctrl-C during one of the gradients."""
    run, calls = lbfgs.FullBatch.__call__, iter(range(10**9))

    def call(self, theta, stop):
        if next(calls) == wanted:
            signal.raise_signal(signal.SIGINT)
        return run(self, theta, stop)

    monkeypatch.setattr(lbfgs.FullBatch, "__call__", call)


def test_ctrl_c_keeps_the_last_iterate(table, monkeypatch, ctrl_c_is_heard):
    pressing_ctrl_c(monkeypatch, 4)
    with pytest.warns(ConvergenceWarning, match="Interrupted after"):
        model = founding(**PARAMS).fit(*table)
    n = model.n_iter_
    assert 0 < n < 8
    monkeypatch.undo()
    assert_array_equal(model.coefs_[0], founding(**PARAMS | {"max_iter": n}).fit(*table).coefs_[0])


def test_ctrl_c_before_the_first_iteration_is_an_interrupt(table, monkeypatch, ctrl_c_is_heard):
    pressing_ctrl_c(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        founding(**PARAMS).fit(*table)


@pytest.mark.parametrize(
    "asked", [{"weight_decay": 0.1}, {"max_grad_norm": 1.0}, {"dropout": 0.5}, {"ema_decay": 0.9}]
)
def test_what_a_line_search_does_not_know_is_refused(asked, table):
    with pytest.raises(ValueError, match=f"knows no {next(iter(asked))}"):
        founding(**PARAMS | asked).fit(*table)
