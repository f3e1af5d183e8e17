"""The fit loop: when training ends, and what it leaves behind."""

import _thread
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropRegressor
from fastbp.fitting import calling, plan
from fastbp.fitting.calling import Calls
from fastbp.fitting.history import History

QUICK = {"hidden_layer_sizes": (4,), "n_iter_no_change": np.inf, "random_state": 0}


class Watcher:
    """A callback that calls `act(epoch)` when an epoch begins or ends; True stops training."""

    def __init__(self, act, when="end"):
        self.act, self.when, self.epoch = act, when, 0

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch":
            self.epoch += 1
            if self.when == "begin":
                self.act(self.epoch)

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and self.when == "end":
            return self.act(self.epoch)


def interrupt_in(wanted):
    def act(epoch):
        if epoch == wanted:
            raise KeyboardInterrupt

    return act


def weights_of(model):
    return np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])


def assert_same_fit(one, other):
    """The same weights to the last bit, and the same history."""
    assert_array_equal(weights_of(one), weights_of(other))
    assert one.loss_curve_ == other.loss_curve_
    assert one.validation_scores_ == other.validation_scores_
    assert one.n_iter_ == other.n_iter_
    assert one.t_ == other.t_


# ------------------------------------------------- epochs that share a call of a kernel


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"solver": "adam", "batch_size": 7},
        {"batch_size": 1, "momentum": 0.0},
        {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 5},
        {"learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 3},
        {"learning_rate": "invscaling", "power_t": 0.2},
        {"tol": 1e-3, "n_iter_no_change": 10},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_observed_fit_is_the_same_to_the_last_bit(dtype, params, table):
    params = QUICK | {"max_iter": 400, "dtype": dtype} | params
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        alone = founding(**params).fit(*table)
        observed = founding(**params)
        observed.set_callbacks(Watcher(lambda epoch: False)).fit(*table)
    assert_same_fit(alone, observed)
    assert alone.n_iter_ > 5


@pytest.mark.parametrize("held_out", [False, True])
def test_a_training_that_begins_again_is_one_with_the_smaller_step(
    held_out, standard_table, calls, monkeypatch
):
    """Orders of the samples, and however its epochs were cut into calls, after each of which it is
    looked at: a loss or score may be infinite in between."""
    X, y = standard_table
    y, rows = np.exp(X[:, 0] + y), {}
    if held_out:
        rows = {"X_val": X[:20], "y_val": y[:20]}
    params = QUICK | {
        "activation": "silu", "loss": "gamma", "solver": "adam", "beta_2": 0.0, "init": "auto",
        "max_iter": 10, "learning_rate": "constant",
    }  # fmt: skip
    model = founding(**params, learning_rate_init=1.0)
    calls.of_steps(1)
    with pytest.warns(ConvergenceWarning, match="begun again"):
        stepwise = model.fit(X, y, **rows)
    smaller = founding(**params, learning_rate_init=model.learning_rate_init_)
    monkeypatch.setattr(Calls, "share", lambda *_, **__: (20, 10))
    assert_same_fit(stepwise, smaller.fit(X, y, **rows))
    with pytest.warns(ConvergenceWarning, match="begun again"):
        assert_same_fit(stepwise, founding(**params, learning_rate_init=1.0).fit(X, y, **rows))


@pytest.mark.parametrize("epoch", [0, 4, 9])
def test_an_infinite_loss_in_any_epoch_of_a_call_is_seen(epoch, table, monkeypatch):
    real, trainings = calling.kernel_for, []

    def kernel_for(*arguments):
        kernel = real(*arguments)

        def train(threads, training, samples, held_out, course):
            done = kernel.train(threads, training, samples, held_out, course)
            if done and not trainings:
                trainings.append(done)
                course.losses[epoch] = np.inf
            return done

        return kernel._replace(train=train)

    monkeypatch.setattr(calling, "kernel_for", kernel_for)
    monkeypatch.setattr(Calls, "share", lambda *_, **__: (20, 10))
    with pytest.warns(ConvergenceWarning, match="begun again"):
        model = founding(**QUICK, max_iter=10, n_threads=1).fit(*table)
    assert trainings == [10] and np.isfinite(model.loss_curve_).all()


def test_verbose_changes_nothing_but_the_terminal(table, capsys):
    alone = founding(**QUICK, max_iter=30).fit(*table)
    verbose = founding(**QUICK, max_iter=30, verbose=True).fit(*table)
    assert_same_fit(alone, verbose)
    assert len(capsys.readouterr().out.splitlines()) == 30


# --------------------------------------------------------------------- why training ends


def test_training_that_did_not_finish_warns(table):
    model = founding(4, max_iter=2)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        model.fit(*table)
    assert model.n_iter_ == 2


@pytest.mark.filterwarnings("error")
def test_partial_fit_says_nothing_of_its_end(table):
    """It is one epoch of many."""
    founding(**QUICK).partial_fit(*table).partial_fit(*table)


def test_training_that_stalled_does_not_warn(table):
    model = founding(4, max_iter=500, tol=0.1, n_iter_no_change=3).fit(*table)
    assert 3 < model.n_iter_ < 500
    assert max(model.loss_curve_[-4:]) > min(model.loss_curve_[:-4]) - 0.1


def test_max_time_ends_training_with_an_epoch(table):
    model = founding(**QUICK, max_iter=10**9, max_time=0.3)
    start = time.perf_counter()
    model.fit(*table)
    assert time.perf_counter() - start >= 0.3
    assert model.t_ == 60 * model.n_iter_
    assert_same_fit(founding(**QUICK, max_iter=model.n_iter_).fit(*table), model)


@pytest.mark.parametrize(
    ("left", "share"),
    [(None, (100, 10)), (9.0, (100, 10)), (0.2, (50, 5)), (0.02, (5, 1)), (-1.0, (2, 1))],
)
def test_calls_become_shorter_the_less_time_is_left(left, share):
    """A machine may become slower within a call."""
    loop = SimpleNamespace(
        headcount=SimpleNamespace(pace=1000.0, seconds_of_call=lambda most: most),
        settings=SimpleNamespace(max_iter=1000, ends_above=None),
        history=SimpleNamespace(losses=[]), steps_per_epoch=10,
    )  # fmt: skip
    assert Calls.share(loop, left, one_epoch=False) == share


def test_max_time_gives_at_least_one_epoch(table):
    assert founding(**QUICK, max_time=1e-9).fit(*table).n_iter_ >= 1


def test_a_callback_may_end_training(table):
    model = founding(**QUICK).set_callbacks(Watcher(lambda epoch: epoch == 7)).fit(*table)
    assert_same_fit(founding(**QUICK, max_iter=7).fit(*table), model)


# ------------------------------------------------------------------------------ Ctrl-C


@pytest.mark.parametrize(("when", "epochs"), [("end", 4), ("begin", 3)])
def test_ctrl_c_keeps_the_last_whole_epoch(when, epochs, table):
    model = founding(**QUICK).set_callbacks(Watcher(interrupt_in(4), when))
    with pytest.warns(ConvergenceWarning, match=f"Interrupted after {epochs} epochs"):
        model.fit(*table)
    assert_same_fit(founding(**QUICK, max_iter=epochs).fit(*table), model)


def test_ctrl_c_before_the_first_epoch_leaves_no_model(table):
    model = founding(**QUICK).set_callbacks(Watcher(interrupt_in(1), "begin"))
    with pytest.raises(KeyboardInterrupt):
        model.fit(*table)
    assert not hasattr(model, "coefs_")


# Of 60 samples many epochs share a call; of 180,000 one by one, an epoch takes several calls.
@pytest.mark.parametrize(
    ("repeats", "params"),
    [(1, {}), (3000, {"batch_size": 1, "hidden_layer_sizes": (64,)})],
    ids=["many epochs", "part of an epoch"],
)
def test_ctrl_c_from_the_keyboard_keeps_whole_epochs(repeats, params, table, ctrl_c_is_heard):
    X, y = np.repeat(table[0], repeats, axis=0), np.repeat(table[1], repeats)
    params = QUICK | {"learning_rate_init": 1e-3} | params
    founding(**params, max_iter=1).fit(X, y)  # compiles
    model = founding(**params, max_iter=10**8)
    threading.Timer(0.7, _thread.interrupt_main).start()
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        model.fit(X, y)
    assert model.n_iter_ > 0
    assert_same_fit(founding(**params, max_iter=model.n_iter_).fit(X, y), model)


def test_ctrl_c_restores_the_optimizer_too(table):
    """What follows an interrupted fit is what follows a fit of as many epochs."""
    params = QUICK | {"solver": "adam", "shuffle": False}
    model = founding(**params).set_callbacks(Watcher(interrupt_in(4), "begin"))
    with pytest.warns(ConvergenceWarning, match="Interrupted after 3 epochs"):
        model.fit(*table)
    other = founding(**params, max_iter=3).fit(*table)
    assert_same_fit(other.partial_fit(*table), model.partial_fit(*table))


# -------------------------------------------------------------------------- divergence


def test_of_a_training_that_diverged_the_best_score_is_kept_and_that_is_said(standard_table):
    """As MLPRegressor has it."""
    params = {
        "early_stopping": True, "activation": "identity", "standardize": False, "max_iter": 20,
        "learning_rate": "cosine", "learning_rate_init": 1e3, "random_state": 0,
    }  # fmt: skip
    model = founding(4, **params)
    with pytest.warns(ConvergenceWarning, match=r"the loss is (nan|inf).*best validation"):
        model.fit(*standard_table)
    assert np.isfinite(model.predict(standard_table[0])).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("verbose", [False, True])
def test_a_diverging_fit_names_the_epoch_and_the_step_size(verbose, dtype, table):
    X, y = table
    model = founding(
        4, activation="identity", standardize=False, learning_rate_init=123.0, dtype=dtype,
        verbose=verbose,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"diverged.*epoch \d+.*learning_rate_init.*123"):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize(
    "asked",
    [
        {"max_iter": 8, "random_state": 1},
        {"max_iter": 1, "random_state": 2, "learning_rate_init": 0.003},
    ],
    ids=str,
)
def test_a_training_that_is_too_short_to_learn_has_not_diverged(asked):
    """The rows that are looked at after it have a greater loss than all, and had at first."""
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 3))
    y = np.abs(np.sin(X[:, 0]) + 0.1 * random.normal(size=300))
    params = {"loss": "quantile", "loss_parameter": (0.1, 0.5, 0.9), "early_stopping": False}
    model = BackpropRegressor(6, batch_size=64, **params | asked)
    with pytest.warns(ConvergenceWarning, match="learnt nothing"):
        model.fit(X, y)
    assert model.loss_ <= model.loss_curve_[0]


def test_a_diverging_partial_fit_leaves_the_model_as_it_was(standard_table):
    params = QUICK | {"max_iter": 5, "standardize": False, "activation": "identity"}
    model = founding(**params).fit(*standard_table)
    before = model.predict(standard_table[0])
    model.set_params(learning_rate_init=1.0)
    with pytest.raises(ValueError, match="diverged"):
        model.partial_fit(standard_table[0] * 1e15, standard_table[1])
    assert_array_equal(model.predict(standard_table[0]), before)
    assert np.isfinite(model.partial_fit(*standard_table).predict(standard_table[0])).all()


# -------------------------------------------------------------------------- validation


def test_the_best_weights_are_kept_whenever_there_is_a_validation_set(table):
    X, y = table
    held_out = {"X_val": X[40:], "y_val": y[40:]}
    params = QUICK | {"learning_rate_init": 0.3}  # restless
    model = founding(**params, max_iter=30).fit(X[:40], y[:40], **held_out)
    best = int(np.argmax(model.validation_scores_)) + 1
    assert best < 30
    shorter = founding(**params, max_iter=best).fit(X[:40], y[:40])
    assert_array_equal(weights_of(model), weights_of(shorter))
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.loss_curve_) == len(model.validation_loss_curve_) == 30


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_validation_figures_are_the_score_and_the_loss(n_outputs, weighted, two_outputs):
    X, Y = two_outputs
    Y = Y if n_outputs == 2 else Y[:, 0]
    s = np.linspace(0, 2, 20) if weighted else None
    held_out = {"X_val": X[40:], "y_val": Y[40:], "sample_weight_val": s}
    params = QUICK | {"standardize": False, "dtype": "float64", "max_iter": 1}
    model = founding(**params).fit(X[:40], Y[:40], **held_out)
    np.testing.assert_allclose(model.validation_scores_, [model.score(X[40:], Y[40:], s)])
    loss = model.loss_gradient(X[40:], Y[40:], s)[0]
    np.testing.assert_allclose(model.validation_loss_curve_, [loss])


@pytest.mark.parametrize("by_output", [False, True])
def test_equal_numbers_have_no_variance_however_their_mean_is_rounded(by_output):
    y, weight = np.full((37, 1), 0.7), np.full(37, 1 / 37)
    weight /= weight.sum()
    assert 0 < (weight @ (y - weight @ y) ** 2)[0] < 1e-30
    weight = weight[:, None] if by_output else weight
    found = plan.held_out_of(np.zeros((37, 1)), y, weight).spread
    np.testing.assert_allclose(found, [1.0])


def test_validation_samples_take_the_place_of_the_split(table):
    X, y = table
    params = QUICK | {"early_stopping": True, "max_iter": 5}
    model = founding(**params).fit(X, y, X_val=X[:10], y_val=y[:10])
    assert model.t_ == 5 * 60  # all of X is trained on
    assert founding(**params).fit(X, y).t_ == 5 * 54


def test_early_stopping_ends_when_the_score_stalls(table):
    params = {"early_stopping": True, "n_iter_no_change": 3, "tol": 0.05, "random_state": 0}
    model = founding(4, **params, max_iter=500).fit(*table)
    assert model.n_iter_ < 500
    scores = model.validation_scores_
    assert max(scores[-4:]) < max(scores[:-4]) + 0.05


def test_a_history_forgets_what_came_after_an_epoch():
    history = History([3.0, 2.0, 1.0], [3.5, 2.5], [0.1, 0.2])
    history.forget_after(1)
    assert (history.losses, history.validation_losses) == ([3.0], [3.5])
    assert history.validation_scores == [0.1]


def test_where_time_is_over_the_last_step_is_looked_at_too(monkeypatch):
    """The loss of an epoch is that before its last step: here the only one, a hundred times too
    long."""
    X, y = np.random.default_rng(0).normal(size=(6, 3)), np.array([1.0, 2, 3, 1, 2, 5])
    monkeypatch.setattr(Calls, "seconds", lambda calls: 1e9)
    model = founding((4,), "identity", loss="poisson", momentum=0.0, random_state=0, max_time=1.0)
    model.set_params(init="auto", learning_rate="constant")
    for eta in (1.0, 100.0):
        model.set_params(learning_rate_init=eta, max_iter=5)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model.fit(X, y)
        assert model.predict(X).max() < 10 * y.max()
        assert any("begun again" in str(each.message) for each in said) == (eta > 1)
