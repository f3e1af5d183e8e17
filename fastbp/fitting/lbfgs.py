"""L-BFGS: SciPy's, on the compiled loss and gradient of all samples (Liu & Nocedal, 1989)."""

import threading
import time
from contextlib import contextmanager
from functools import cache

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from fastbp import scaling
from fastbp.fitting.fullbatch import FullBatch
from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.loop import NON_FINITE, History, predictions
from fastbp.fitting.plan import samples_of
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.machine.compile import compiling
from fastbp.kernels.training.records import Model

#: SciPy's word for why it ended, by its status; 1 is either of two limits.
CONVERGED, LIMIT, LINE_SEARCH = 0, 1, 2


def fit(net, theta, samples, held_out, settings, optimizer, *, observer=None, seen=0):
    """Train θ, of float64, in place; see `loop.fit`. An epoch is an iteration.

    Ends where no component of the gradient is greater than `tol`, after `max_iter` iterations or
    `max_fun` gradients, or where no step brings more than rounding.
    """
    with CtrlC() as ctrl_c:
        with compiling():  # or loading what was compiled
            FullBatch(net, theta.dtype, samples._replace(order=samples.order[:0]), settings)(theta)
        run = _Run(net, theta, samples, held_out, settings, observer, ctrl_c)
        try:
            with one_thread_in_blas():
                run.minimize()
        except KeyboardInterrupt:
            if not run.history.losses:
                raise
            run.history.ended_by = "interrupted"
    if held_out is not None:
        theta[:] = run.best_theta
    return run.history


class _Run:
    """One call of `fit`."""

    def __init__(self, net, theta, samples, held_out, settings, observer, ctrl_c):
        self.net, self.theta, self.settings = net, theta, settings
        self.observer, self.ctrl_c = observer, ctrl_c
        self.function = FullBatch(net, theta.dtype, samples, settings)
        self.history, self.start = History(kernel="tiled"), time.perf_counter()
        self.held_out, self.best_theta, self.best_score = held_out, theta.copy(), -np.inf
        if held_out is not None:
            apart = samples_of(held_out.X, held_out.y, held_out.weight, held_out.order)
            self.loss_apart = FullBatch(net, theta.dtype, apart, settings)
            self.loss_apart.training.recipe.alpha = 0.0

    def minimize(self):
        """Train until one of the reasons to stop."""
        settings, history = self.settings, self.history
        result = minimize(
            self.loss_and_gradient, self.theta, method="L-BFGS-B", jac=True,
            callback=self.iteration_ends,
            options={
                "maxiter": settings.max_iter, "maxfun": settings.max_fun, "gtol": settings.tol,
            },
        )  # fmt: skip
        if not (np.isfinite(result.fun) and np.isfinite(result.x).all()):
            raise ValueError(
                f"Training diverged: the loss is {result.fun:.4g} after {result.nit} iterations. "
                f"{NON_FINITE} standardize=True does it."
            )
        if result.nit == 0:  # θ is a minimum as it is
            history.losses.append(float(result.fun))
            self.validate()
        if self.is_told_to_stop():
            return
        if result.status == LIMIT:
            history.ended_by = "max_iter" if result.nit >= settings.max_iter else "max_fun"
        else:
            history.ended_by = "stalled" if result.status == CONVERGED else "line search"

    def loss_and_gradient(self, theta):
        if self.ctrl_c.pressed:
            raise KeyboardInterrupt
        return self.function(theta)

    def iteration_ends(self, intermediate_result):
        """SciPy calls it after each step that it has decided for."""
        history, theta = self.history, self.theta
        if self.observer is not None:
            self.observer.epoch_begins(theta)
        theta[:] = intermediate_result.x
        history.losses.append(float(intermediate_result.fun))
        history.seconds = time.perf_counter() - self.start
        self.validate()
        if self.observer is not None and self.observer.epoch_ends(history, theta):
            history.ended_by = "callback"
        elif self.settings.max_time is not None and history.seconds >= self.settings.max_time:
            history.ended_by = "max_time"
        if self.is_told_to_stop():
            raise StopIteration

    def is_told_to_stop(self):
        """Whether it was not SciPy that ended training."""
        return self.history.ended_by in ("callback", "max_time")

    def validate(self):
        """Note the loss and R² on the held-out samples, and the weights if they are the best."""
        if self.held_out is None:
            return
        X, y, weight, spread = self.held_out[1:]
        units = scaling.no_scaling(X.shape[1], y.shape[1])
        model = Model(self.net, self.theta, LOSSES[self.settings.loss], *units)
        prediction = np.empty(y.shape)
        predictions(model, X, prediction, self.settings.n_threads)
        score = float(1 - np.mean(weight @ (prediction - y) ** 2 / spread))
        self.history.validation_losses.append(float(self.loss_apart(self.theta)[0]))
        self.history.validation_scores.append(score)
        if score > self.best_score:
            self.best_score, self.best_theta[:] = score, self.theta


# --------------------------------------------------------------------------- SciPy's BLAS


@cache
def _controller():
    return ThreadpoolController()


class _Limit:
    """How many ask for it, and what has been changed for them."""

    lock, users, changed = threading.Lock(), 0, None


@contextmanager
def one_thread_in_blas():
    """Meanwhile products of a few numbers don't wait for other threads.

    SciPy's L-BFGS calls BLAS for products of ten numbers; on a busy machine its threads make each
    iteration take 15 ms instead of 0.1. The number is the process's: whoever is last sets it back.
    """
    with _Limit.lock:
        _Limit.users += 1
        if _Limit.users == 1:
            _Limit.changed = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.users -= 1
            if _Limit.users == 0:
                _Limit.changed.restore_original_limits()
