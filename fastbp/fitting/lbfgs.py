"""L-BFGS: SciPy's, on the compiled loss and gradient of all samples (Liu & Nocedal, 1989)."""

import time

import numpy as np
from scipy.optimize import minimize

from fastbp import scaling
from fastbp.blas import one_thread_in_blas
from fastbp.fitting.divergence import NON_FINITE, may_be_penalty
from fastbp.fitting.fullbatch import FullBatch
from fastbp.fitting.history import History
from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.plan import samples_of, weights_at
from fastbp.fitting.predicting import predictions
from fastbp.fitting.team import CalledOff
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.formulas.network import is_by_entries, n_parameters
from fastbp.kernels.training.encoding import NOT_ENCODED
from fastbp.kernels.training.records import Model

#: SciPy's status when it ends; `LIMIT` is either of two, and any other a line search that failed.
CONVERGED, LIMIT = 0, 1


def fit(net, theta, samples, held_out, settings, optimizer, *, observer=None, seen=0, judge=None):
    """Train θ, of float64, in place; see `loop.fit`. An epoch is an iteration.

    Ends where no component of the gradient is greater than `tol`, after `max_iter` iterations or
    `max_fun` gradients, or where no step brings more than rounding.
    """
    function = FullBatch(net, theta.dtype, samples, settings)
    score = None if held_out is None else Score(net, theta.dtype, held_out, settings, judge)
    kernel = "sparse" if is_by_entries(net) else "tiled"
    history = minimized(function, theta, score, settings, observer, kernel)
    if may_be_penalty(history, settings):
        function.training.recipe["alpha"] = 0.0
        history.without_penalty = float(function(theta)[0])
    return history


def minimized(function, theta, score, settings, observer=None, kernel="tiled"):
    """Train θ in place on what two functions of θ say.

    Parameters
    ----------
    function : callable, ``function(theta, stop)``
        The loss and its gradient; `CalledOff` if ``stop()`` says so.
    theta : ndarray of float64
    score : callable or None
        The loss and the score on held-out samples: θ that was best on them is kept.
    settings : see `settings_of`
    observer : see `loop.fit`
    kernel : str
        The name of what computes them.

    Returns
    -------
    History
    """
    with CtrlC() as ctrl_c:
        run = _Run(function, theta, score, settings, observer, ctrl_c, kernel)
        history = run.history
        try:
            with one_thread_in_blas():
                run.minimize()
        except (KeyboardInterrupt, CalledOff) as error:
            if not history.losses:
                raise KeyboardInterrupt from None
            is_late = isinstance(error, CalledOff) and not ctrl_c.pressed
            history.ended_by = "max_time" if is_late else "interrupted"
            history.seconds = time.perf_counter() - run.start
    if ctrl_c.pressed:  # since training last asked
        history.ended_by = "interrupted"
    if score is not None:
        theta[:] = run.best_theta
    return history


def prepare(net, samples, settings):
    """Compile what trains, or load what was compiled: nothing is trained on."""
    nobody = samples._replace(order=samples.order[:0])
    FullBatch(net, samples.X.dtype, nobody, settings)(np.zeros(n_parameters(net)))


class Score:
    """The loss and R² on held-out samples, or what another judge says, as a function of θ."""

    def __init__(self, net, dtype, held_out, settings, judge):
        self.net, self.held_out, self.settings, self.judge = net, held_out, settings, judge
        weight = weights_at(held_out.weight, len(held_out.y), slice(None))
        apart = samples_of(held_out.X, held_out.y, weight, held_out.order)
        self.loss_apart = FullBatch(net, dtype, apart, settings)
        self.loss_apart.training.recipe["alpha"] = 0.0

    def __call__(self, theta):
        loss = float(self.loss_apart(theta)[0])
        return loss, self.r2(theta) if self.judge is None else self.judge(theta)

    def r2(self, theta):
        X, y, weight, spread = self.held_out[1:]
        units = scaling.no_scaling(X.shape[1], y.shape[1])
        model = Model(
            self.net, theta, LOSSES[self.settings.loss], False, *units, np.inf, *NOT_ENCODED
        )
        prediction = np.empty(y.shape)
        predictions(model, X, prediction, self.settings.n_threads)
        squares, weight = (prediction - y) ** 2, weights_at(weight, len(y), slice(None))
        unexplained = weight @ squares if weight.ndim == 1 else (weight * squares).sum(axis=0)
        return float(1 - np.mean(unexplained / spread))


class _Run:
    """One call of `minimized`."""

    def __init__(self, function, theta, score, settings, observer, ctrl_c, kernel):
        self.function, self.theta, self.settings = function, theta, settings
        self.observer, self.ctrl_c = observer, ctrl_c
        self.history, self.start = History(kernel=kernel), time.perf_counter()
        self.gradient = None
        self.score, self.best_theta, self.best = score, theta.copy(), np.inf

    def minimize(self):
        """Train until one of the reasons to stop."""
        settings, history = self.settings, self.history
        # It asks for the gradient where it has just asked for the loss; with ``jac=True`` it looks,
        # twice each time, whether that is so.
        result = minimize(
            self.loss, self.theta, method="L-BFGS-B", jac=lambda theta: self.gradient,
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
            self.note(self.theta, result.fun)
        if self.is_told_to_stop():
            return
        if result.status == LIMIT:
            history.ended_by = "max_iter" if result.nit >= settings.max_iter else "max_fun"
        else:
            history.ended_by = "stalled" if result.status == CONVERGED else "line search"

    def loss(self, theta):
        """L, and `gradient` is ∂L/∂θ."""
        if self.is_to_stop():
            raise CalledOff
        loss, self.gradient = self.function(theta, self.is_to_stop)
        return loss

    def is_to_stop(self):
        """Whether somebody waits for the end of a gradient. (Not of the first iteration, but for
        who presses Ctrl-C: there would be no weights to end with.)"""
        return self.ctrl_c.pressed or (bool(self.history.losses) and self.is_late())

    def is_late(self):
        """Whether the time is over."""
        max_time = self.settings.max_time
        return max_time is not None and time.perf_counter() - self.start >= max_time

    def iteration_ends(self, intermediate_result):
        """SciPy calls it after each step that it has decided for."""
        history = self.history
        if self.observer is not None:
            self.observer.epoch_begins(self.theta)
        self.note(intermediate_result.x, intermediate_result.fun)
        if self.observer is not None and self.observer.epoch_ends(history, self.theta):
            history.ended_by = "callback"
        elif self.is_late():
            history.ended_by = "max_time"
        if self.is_told_to_stop():
            raise StopIteration

    def is_told_to_stop(self):
        """Whether it was not SciPy that ended training."""
        return self.history.ended_by in ("callback", "max_time")

    def note(self, theta, loss):
        """An iteration is whole: its weights, and what is said of them."""
        history = self.history
        if self.score is not None:
            loss_val, score = self.validate(theta)
            history.validation_losses.append(loss_val)
            history.validation_scores.append(score)
            judged = loss_val if self.settings.by_loss else -score
            if judged < self.best:
                self.best, self.best_theta[:] = judged, theta
        self.theta[:] = theta
        history.losses.append(float(loss))
        history.seconds = time.perf_counter() - self.start

    def validate(self, theta):
        """The loss and R² on the held-out samples, or an error."""
        loss, score = self.score(theta)
        if not (np.isfinite(loss) and np.isfinite(score)):
            raise ValueError(
                f"On the rows held out the loss is {loss:.4g}, the score {score:.4g}: some of "
                "their X or y are too far from what is trained on. Look for wrong values among "
                "them."
            )
        return loss, score
