"""What a user does meanwhile: Ctrl-C, time limits, other threads, and where warnings point to."""

import signal
import sys
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from founding import founding
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_training import QUICK, Watcher, assert_same_fit

from fastbp import BackpropEnsembleRegressor, attributes, estimator, inputs
from fastbp.fitting import calling, fullbatch, interrupts, lbfgs, loop, plan, predicting, solvers
from fastbp.fitting.interrupts import CtrlC
from fastbp.kernels.machine.threads import CALLED_OFF
from fastbp.kernels.machine.vectors import INTERPRETED

deaf = pytest.mark.skipif(INTERPRETED, reason="interpreted kernels have one thread")


# --------------------------------------------------------------------- calls that are long


def press():
    """In a thread that isn't the main one, as signals come while a kernel runs there."""
    presser = threading.Thread(target=signal.raise_signal, args=[signal.SIGINT])
    presser.start()
    presser.join()


def long(kernel, calls, wanted):
    """The kernel, but that call is so long that Ctrl-C is pressed, and waited for."""

    def run(threads, *arguments):
        if next(calls) != wanted:
            return kernel(threads, *arguments)
        press()
        while threads.barrier[CALLED_OFF] == 0:
            pass
        return 0

    return run


@pytest.fixture
def listening(monkeypatch, ctrl_c_is_heard):
    """Every call counts as long."""
    monkeypatch.setattr(plan, "LISTENS_FLOPS", 0)


@deaf
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_ends_a_long_call_of_fit(n_threads, table, listening, calls, monkeypatch):
    real, numbers = calling.kernel_for, iter(range(100))

    def kernel_for(*arguments):
        kernel = real(*arguments)
        return kernel._replace(train=long(kernel.train, numbers, 5))

    params = QUICK | {"batch_size": 30, "n_threads": n_threads}
    whole = founding(**params, max_iter=2).fit(*table)
    monkeypatch.setattr(calling, "kernel_for", kernel_for)
    calls.of_steps(1)  # two an epoch, after a call that compiles
    with pytest.warns(ConvergenceWarning, match="Interrupted after 2 epochs"):
        model = founding(**params).fit(*table)
    assert_same_fit(model, whole)


@deaf
@pytest.mark.parametrize("method", ["predict", "loss_gradient"])
@pytest.mark.parametrize("in_callback", [False, True])
def test_ctrl_c_ends_a_long_prediction(method, in_callback, table, listening, monkeypatch):
    """That of a callback, too, whose fit hears the signal."""
    model = founding(**QUICK, max_iter=1).fit(*table)
    module = {"predict": predicting, "loss_gradient": fullbatch}[method]
    monkeypatch.setattr(module, method, long(getattr(module, method), iter(range(100)), 1))
    arguments = table if method == "loss_gradient" else table[:1]
    with pytest.raises(KeyboardInterrupt):
        if in_callback:
            with CtrlC() as asked:
                getattr(model, method)(*arguments)
            assert asked.pressed
        else:
            getattr(model, method)(*arguments)


@deaf
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_leave_what_was_called_off(dtype, table, monkeypatch):
    """Without it a call would go on to its end, and only then be forgotten."""
    X, y = table
    model = founding(**QUICK, max_iter=1, dtype=dtype).fit(X, y, X_val=X, y_val=y)

    def off(kernel):
        def run(threads, *arguments):
            threads.barrier[CALLED_OFF] = 1
            return kernel(threads, *arguments)

        return run

    before = model.predict(X)
    monkeypatch.setattr(predicting, "predict", off(predicting.predict))
    monkeypatch.setattr(estimator.np, "empty", lambda *a: np.zeros(*a) + 7)
    assert_array_equal(model.predict(X), np.full(len(X), 7.0, before.dtype))
    monkeypatch.undo()
    monkeypatch.setattr(fullbatch, "loss_gradient", off(fullbatch.loss_gradient))
    assert model.loss_gradient(X, y)[0] == 0


def test_listening_changes_no_bit(table, listening, monkeypatch):
    found = founding(**QUICK, max_iter=3).fit(*table, X_val=table[0], y_val=table[1])
    monkeypatch.undo()
    model = founding(**QUICK, max_iter=3).fit(*table, X_val=table[0], y_val=table[1])
    assert_same_fit(found, model)
    assert_array_equal(found.predict(table[0]), model.predict(table[0]))


def test_ctrl_c_in_a_fit_in_a_callback_of_a_fit_ends_both(table, ctrl_c_is_heard):
    inner = founding(**QUICK, max_iter=10**8).set_callbacks(
        Watcher(lambda epoch: press() if epoch == 3 else None)
    )
    outer = founding(**QUICK).set_callbacks(
        Watcher(lambda epoch: inner.fit(*table) and None if epoch == 2 else None)
    )
    with pytest.warns(ConvergenceWarning) as said:
        outer.fit(*table)
    said = [str(each.message) for each in said]
    assert "Interrupted after 3 epochs" in said[0] and "Interrupted after 2 epochs" in said[1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert interrupts.here.asked is None


def test_ctrl_c_in_partial_fit_ends_the_loop_around_it_and_keeps_the_epoch(table, calls):
    params = QUICK | {"batch_size": 60}  # one step, one call
    model, whole = founding(**params), founding(**params).partial_fit(*table)
    calls.press_ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(*table)
    assert_same_fit(model, whole)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_after_training_has_last_asked_is_heard(solver, table, ctrl_c_is_heard, monkeypatch):
    of_loop, name = {"adam": (loop._Loop, "run"), "lbfgs": (lbfgs._Run, "minimize")}[solver]
    real = getattr(of_loop, name)

    def pressing(*arguments):
        real(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(of_loop, name, pressing)
    with pytest.warns(ConvergenceWarning, match="Interrupted after 2 epochs"):
        founding(**QUICK | {"solver": solver}, max_iter=2).fit(*table)


def test_ctrl_c_leaves_no_attributes_of_two_models(table, ctrl_c_is_heard, monkeypatch, tmp_path):
    X, y = table
    model = founding(**QUICK, max_iter=3).fit(X[:, :2], y)
    new = founding(**QUICK, max_iter=2).fit(X, y)
    monkeypatch.setattr(attributes, "_longer", lambda _, values: press() or values)
    with pytest.raises(KeyboardInterrupt):  # which waits until all is noted
        model.set_params(max_iter=2).fit(X, y)
    assert_same_fit(model, new)
    model.save(tmp_path / "model")


class Pressed(CtrlC):
    """Twice, when the block is being left."""

    def __exit__(self, *error):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        super().__exit__(*error)


def test_ctrl_c_twice_at_the_end_of_a_training_leaves_nobody_asked(ctrl_c_is_heard):
    with pytest.raises(KeyboardInterrupt), Pressed():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert getattr(interrupts.here, "asked", None) is None


def test_nor_does_ctrl_c_while_a_training_begins(ctrl_c_is_heard, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(interrupts.signal, "signal", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt), CtrlC():
            pytest.fail("it began")
    assert getattr(interrupts.here, "asked", None) is None


@deaf
def test_ctrl_c_while_a_kernel_begins_is_no_error_of_numpys(table, monkeypatch):
    def read(record, name):
        pytest.fail("A signal may be heard in lines of Python, and Numba forgets why they ended.")

    model = founding(**QUICK, max_iter=2).fit(*table)
    model.loss_gradient(*table)  # compiles
    monkeypatch.setattr(np.record, "__getattribute__", read)
    model.fit(*table).partial_fit(*table).loss_gradient(*table)
    model.set_params(solver="lbfgs").fit(*table)


# -------------------------------------------------------------------------- time limits


@pytest.fixture
def clock(monkeypatch):
    """A second goes by whenever somebody looks at the clock."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(calling, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))


def test_a_time_limit_leaves_out_the_epoch_that_is_not_whole(table, calls, clock):
    params = QUICK | {"batch_size": 10}
    calls.of_steps(1)
    model = founding(**params, max_iter=100, max_time=60).fit(*table)
    assert 0 < model.n_iter_ < 10
    assert_same_fit(founding(**params, max_iter=model.n_iter_).fit(*table), model)


def test_of_a_first_epoch_without_time_its_steps_are_kept_and_scored(table, calls, clock):
    X, y = table
    params = QUICK | {"batch_size": 10, "shuffle": False, "standardize": False}
    calls.of_steps(1)
    held_out = {"X_val": X, "y_val": y}
    model = founding(**params, max_iter=100, max_time=1).fit(X, y, **held_out)
    first = founding(**params, max_iter=1).fit(X[:10], y[:10], **held_out)
    assert_array_equal(model.coefs_[0], first.coefs_[0])
    assert model.loss_curve_ == first.loss_curve_
    assert model.validation_scores_ == first.validation_scores_


@deaf
def test_scoring_that_takes_too_long_is_of_some_of_the_rows(table, listening, clock, monkeypatch):
    X, y = table
    real, numbers = calling.kernel_for, iter(range(100))

    def kernel_for(*arguments):
        kernel = real(*arguments)

        def train(threads, training, *rest):
            if next(numbers) != 1:
                return kernel.train(threads, training, *rest)
            nothing = rest[1]._replace(**{
                name: getattr(rest[1], name)[:0] for name in ("order", "X", "y", "weight")
            })  # fmt: skip
            kernel.train(threads, training, rest[0], nothing, rest[2])
            training.state["position"] = len(y)  # as where a kernel begins to score
            while threads.barrier[CALLED_OFF] == 0:
                pass
            return 0

        return kernel._replace(train=train)

    whole = founding(**QUICK, max_iter=1).fit(X, y, X_val=X[::10], y_val=y[::10])
    monkeypatch.setattr(calling, "kernel_for", kernel_for)
    monkeypatch.setattr(calling, "LISTENS_FLOPS", 6 * 21 * 6.5)  # six rows of 60
    model = founding(**QUICK | {"batch_size": 60}, max_time=1).fit(X, y, X_val=X, y_val=y)
    assert model.n_iter_ == 1
    assert len(model.validation_scores_) == 1
    assert whole.n_iter_ == 1 and np.isfinite(model.validation_scores_).all()


# ------------------------------------------------------- within scikit-learn, and elsewhere

#: Loops over fits, of which Ctrl-C ends all.
MANY = {
    "search": lambda model, X, y: GridSearchCV(model, {"tol": [0, 1]}, cv=2).fit(X, y),
    "cross-validation": lambda model, X, y: cross_val_score(model, X, y, cv=2),
    "bagging": lambda model, X, y: BaggingRegressor(model, 2).fit(X, y),
    "joblib": lambda model, X, y: Parallel(1)(delayed(model.fit)(X, y) for _ in range(2)),
    "search of a pipeline": lambda model, X, y: GridSearchCV(
        make_pipeline(StandardScaler(), model), {"standardscaler__with_std": [False, True]}, cv=2
    ).fit(X, y),
}

#: One fit, whoever makes it.
ONE = {
    "fit": lambda model, X, y: model.fit(X, y),
    "pipeline": lambda model, X, y: make_pipeline(StandardScaler(), model).fit(X, y),
    "target": lambda model, X, y: TransformedTargetRegressor(model).fit(X, y),
}


@pytest.fixture
def fits(monkeypatch):
    """Pressing Ctrl-C in every training, and their number."""
    real, seen = solvers.fit, []

    def pressing(*arguments, **keywords):
        seen.append(1)
        with CtrlC() as asked:
            history = real(*arguments, **keywords)
            asked.pressed = True
        history.ended_by = "interrupted"
        return history

    monkeypatch.setattr(solvers, "fit", pressing)
    return seen


@pytest.mark.parametrize("run", MANY.values(), ids=MANY)
def test_ctrl_c_ends_a_loop_over_fits(run, table, fits):
    with pytest.raises(KeyboardInterrupt):
        run(founding(**QUICK, max_iter=2), *table)
    assert len(fits) == 1


def test_ctrl_c_in_an_ensemble_of_ours_ends_a_loop_over_fits(table, fits):
    model = BackpropEnsembleRegressor(founding(**QUICK, max_iter=2), 2, n_threads=1)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(model, *table, cv=2)
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        model.fit(*table)


@pytest.mark.parametrize("run", ONE.values(), ids=ONE)
def test_ctrl_c_in_one_fit_keeps_the_model(run, table, fits):
    with pytest.warns(ConvergenceWarning, match="Interrupted after 2 epochs"):
        model = run(founding(**QUICK, max_iter=2), *table)
    assert np.isfinite(model.predict(table[0])).all()


@pytest.mark.parametrize("run", (MANY | ONE).values(), ids=MANY | ONE)
@pytest.mark.parametrize("ensemble", [False, True])
def test_warnings_point_at_the_users_line(run, ensemble, table):
    model = founding(**QUICK | {"n_iter_no_change": 5}, max_iter=2)
    model = BackpropEnsembleRegressor(model, 2, n_threads=1) if ensemble else model
    if ensemble and run is MANY["search"]:
        run = MANY["cross-validation"]
    with pytest.warns(ConvergenceWarning) as said:
        run(model, *table)
    assert {each.filename for each in said} == {__file__}


def test_warnings_of_partial_fit_point_at_the_users_line(standard_table):
    X, y = standard_table
    model = founding(**QUICK | {"learning_rate_init": 1e3, "standardize": False}, activation="relu")
    with pytest.warns(ConvergenceWarning, match="begun again") as said:
        model.partial_fit(X, y)
    line = sys._getframe().f_lineno - 1
    assert (said[0].filename, said[0].lineno) == (__file__, line)


# ------------------------------------------------------------------ several threads, one model


@pytest.fixture
def meanwhile(monkeypatch):
    """``meanwhile(act)``: that happens to a model while X is validated for a prediction."""

    def meanwhile(act):
        real, acts = inputs.rows, [act]

        def rows(model, X):
            validated = real(model, X)
            if acts:
                acts.pop()()
            return validated

        monkeypatch.setattr(inputs, "rows", rows)
        return acts

    return meanwhile


def test_a_prediction_during_a_refit_is_of_one_model(table, meanwhile):
    X, y = table
    model = founding(**QUICK, max_iter=2).fit(X, y)
    new = founding(**QUICK, max_iter=2).fit(X, 1000 * y).predict(X)
    acts = meanwhile(lambda: model.fit(X, 1000 * y))
    assert_array_equal(model.predict(X), new)
    assert acts == []


def test_an_ensembles_prediction_during_a_refit_is_of_one_ensemble(table, meanwhile):
    """Its weights, too."""
    X, y = table
    member = founding(**QUICK, max_iter=2)
    new = BackpropEnsembleRegressor(member, 3, random_state=0).fit(X, y).predict(X)
    model = BackpropEnsembleRegressor(member, 2, random_state=0).fit(X, y)
    acts = meanwhile(lambda: model.set_params(n_estimators=3).fit(X, y))
    assert_array_equal(model.predict(X), new)
    assert acts == []


@pytest.mark.parametrize("columns", [2, 5])
def test_a_prediction_during_a_refit_on_other_columns_is_an_error(columns, table, meanwhile):
    """Of the right kind: what was validated for one model isn't predicted by another."""
    X, y = table
    other = np.column_stack([X, X])[:, :columns]
    model = founding(**QUICK, max_iter=2).fit(X, y)
    meanwhile(lambda: model.fit(other, y))
    with pytest.raises(ValueError, match=f"X has 3 features.*expecting {columns} features"):
        model.predict(X)


def test_a_model_predicts_as_before_until_it_is_fitted_anew(table):
    X, y = table
    model, seen = founding(**QUICK, max_iter=2).fit(X, y), []
    before = model.predict(X)
    model.set_callbacks(Watcher(lambda epoch: seen.append(model.predict(X)) and None))
    model.fit(X[:, :2], -y)
    assert len(seen) == 2
    for y_seen in seen:
        assert_array_equal(y_seen, before)
    assert model.predict(X[:, :2]).shape == y.shape


# --------------------------------------------------------------------------- what stays inside


@pytest.mark.parametrize("params", [{}, {"standardize": False, "dtype": "float64"}], ids=str)
def test_numpys_warnings_and_settings_stay_outside(params, table):
    X, y = table
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error", RuntimeWarning)
        for scale in (1e-30, 1e30):
            model = founding(**QUICK | params, max_iter=2)
            try:
                model.fit(X * scale, y * scale).predict(X)
                model.loss_gradient(X * scale, y * scale)
            except ValueError as error:  # in words
                assert "diverged" in str(error)


def test_a_weight_next_to_nothing_is_no_error_of_numpys(table):
    X, y = table
    model = founding(**QUICK, max_iter=1, dtype="float32").fit(X, y)
    model.coefs_[0][0, 0] = 0.0
    without = model.predict(X)
    model.coefs_[0][0, 0] = 1e-60  # which float32 has no number for
    with np.errstate(all="raise"):
        assert_array_equal(model.predict(X), without)


def test_the_very_last_step_that_diverges_is_noticed(standard_table):
    """It comes after the last loss: weights that are finite may be good for nothing."""
    X, y = standard_table
    params = QUICK | {"batch_size": 60, "activation": "identity", "standardize": False}
    with pytest.warns(ConvergenceWarning, match="begun again"):
        model = founding(**params, init="auto", learning_rate_init=50.0, max_iter=1).fit(X, y)
    assert np.mean((model.predict(X) - y) ** 2) < 10
    model = founding(**params, learning_rate_init=1e30, max_iter=1)
    for fit in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"diverged: the loss is (inf|nan) in epoch 1"):
            fit(X, y)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_warm_start_remembers_its_best_and_since_when_it_stalls(early_stopping, table):
    X, y = table
    params = QUICK | {
        "early_stopping": early_stopping, "warm_start": True, "n_iter_no_change": 2, "tol": 10.0,
        "learning_rate": "constant",
    }  # fmt: skip
    model = founding(**params, max_iter=2, validation_fraction=0.5)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        model.fit(X, y)  # the first epoch is the best, the second stalls
    best = [model._optimizer.state[name][0] for name in ("best", "best_held_out")]
    model.set_params(max_iter=100).fit(X, y)
    assert model.n_iter_ == 2  # the second and the third that stall
    assert model._optimizer.state["best"][0] <= best[0]
    assert model._optimizer.state["best_held_out"][0] <= best[1]
    assert model.set_params(loss="half_squared_error").fit(X, y).n_iter_ == 4
