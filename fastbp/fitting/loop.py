"""The fit loop: epochs in the kernels, decisions between them in Python."""

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.plan import (
    aligned_zeros,
    layout,
    nothing_held_out,
    optimizer_of,
    samples_of,
    team_for,
)
from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM, SCHEDULES, Epochs
from fastbp.kernels.formulas.network import n_parameters, network, step_flops
from fastbp.kernels.formulas.optimizers import TABLE as OPTIMIZERS
from fastbp.kernels.machine.compile import compiling
from fastbp.kernels.training.kernels import kernel_for
from fastbp.kernels.training.records import STATE, Course
from fastbp.kernels.training.tiled import TILED, predict

#: Seconds that one call of a kernel should last: short enough for Ctrl-C, long enough that
#: the call itself costs nothing. The epochs of a small table share a call.
CALL_SECONDS = 0.1

#: A training that diverges begins again with a step size divided by this, so many times.
RESTART_DIVISOR, RESTARTS = 4.0, 4

#: It has diverged, too, if it ends worse than it began, with so many times the loss of a constant.
HOPELESS = 1.5

#: scikit-learn's words for it, that programs may look for.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)

#: The part of the loss of a constant from which on nothing has been learnt.
NOTHING = 0.995


@dataclass
class OptimizerState:
    """What an optimiser carries from step to step; a later `partial_fit` goes on with it."""

    name: str
    memory: np.ndarray
    state: np.recarray = field(repr=False)
    eta: float
    began: int  # samples seen before the first step

    def fits(self, settings, theta):
        """Whether a training with these settings can go on with it."""
        alike = self.memory.shape[1] == theta.size and self.memory.dtype == theta.dtype
        return alike and self.name == optimizer_of(settings)

    @classmethod
    def start(cls, settings, theta, seed, began=0):
        name = optimizer_of(settings)
        remembers = OPTIMIZERS[name].remembers if name in OPTIMIZERS else 0  # lbfgs is SciPy's
        memory = aligned_zeros((remembers, theta.size), theta.dtype)
        state = np.zeros(1, STATE).view(np.recarray)
        state.random = seed
        state.beta_1_to_t = state.beta_2_to_t = 1.0
        state.best, state.best_score = np.inf, -np.inf
        return cls(name, memory, state, settings.learning_rate_init, began)


@dataclass
class History:
    """What happened, epoch by epoch."""

    losses: list = field(default_factory=list)
    validation_losses: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    seconds: float = 0.0
    #: Why training ended: "max_iter", "stalled", "callback", "max_time", "interrupted"; lbfgs also
    #: by "max_fun" or "line search".
    ended_by: str = "max_iter"
    kernel: str = ""  # the one that trained
    restarts: int = 0  # after it had diverged

    def forget_after(self, epoch):
        """Only what happened before this epoch has happened."""
        for values in (self.losses, self.validation_losses, self.validation_scores):
            del values[epoch:]


def fit(net, theta, samples, held_out, settings, optimizer, *, observer=None, seen=0):
    """Train θ in place.

    Parameters
    ----------
    net : recarray, see `network.network`
    theta : ndarray of shape (n_parameters,)
        Float32 or float64, the precision of training. In: where to start. Out: the last
        weights, or those of the best validation score where there is a validation set.
    samples : Samples
        Its order is shuffled in place.
    held_out : HeldOut or None
    settings : see `settings_of`
    optimizer : OptimizerState
        Carried on, in place.
    observer : object, default=None
        Has ``epoch_begins(theta)`` and ``epoch_ends(history, theta)``, which returns True to
        stop, and ``training_begins_again(eta)``. With an observer, every epoch is a call of its
        own.
    seen : int
        Samples trained on in earlier calls.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If training diverges with the least of the step sizes, too.
    """
    loop = _Loop(net, theta, samples, held_out, settings, optimizer, seen=seen)
    with CtrlC() as ctrl_c:
        with compiling():  # or loading what was compiled
            loop.call(0, 0)
        try:
            loop.run(observer, ctrl_c)
        except KeyboardInterrupt:
            loop.return_to_whole_epoch()
            if not loop.history.losses:
                raise
            loop.history.ended_by = "interrupted"
    if held_out is not None:
        theta[:] = loop.training.best_theta
    return loop.history


class _Loop:
    """One call of `fit`."""

    def __init__(self, net, theta, samples, held_out, settings, optimizer, *, seen=0, kernel=None):
        self.settings, self.optimizer, self.samples = settings, optimizer, samples
        self.n_samples, self.seen = samples.order.size, seen
        batch_size = min(settings.batch_size, self.n_samples)
        self.steps_per_epoch = -(-self.n_samples // batch_size)
        self.is_validated = held_out is not None
        self.held_out = held_out if self.is_validated else nothing_held_out(samples)
        best_theta = theta.copy() if self.is_validated else theta[:0]
        self.kernel = kernel or kernel_for(net, batch_size, theta.itemsize)
        self.training, self.team = layout(
            self.kernel, net, settings, batch_size, theta, optimizer, best_theta
        )
        self.state, self.schedule = self.training.state, SCHEDULES[settings.learning_rate]
        self.history, self.is_noted = History(kernel=self.kernel.name), True
        # What changes in an epoch, and how it was before: one that is cut off returns to it.
        self.changing = theta, best_theta, optimizer.memory, optimizer.state
        self.before, self.epochs_before = [array.copy() for array in self.changing], 0
        self.at_first, self.eta_at_first = [a.copy() for a in self.changing], optimizer.eta

    def run(self, observer, ctrl_c):
        """Train until one of the reasons to stop."""
        settings, history = self.settings, self.history
        start, pace = time.perf_counter(), 0.0
        while len(history.losses) < settings.max_iter:
            left = settings.max_time and settings.max_time - history.seconds
            steps, epochs = self.share_of_call(pace, left, one_epoch=observer is not None)
            if self.state.position == 0:
                self.note_whole_epoch()
                if observer is not None:
                    observer.epoch_begins(self.training.theta)
            samples_before, before = self.samples_done(), time.perf_counter()
            done = self.call(steps, epochs)
            now = time.perf_counter()
            epochs_done = (self.samples_done() - samples_before) / self.n_samples
            steps_done = epochs_done * self.steps_per_epoch
            pace, history.seconds = steps_done / max(now - before, 1e-9), now - start
            if done and (self.has_diverged() or self.has_learnt_nothing()):
                self.begin_again(observer)
            elif done and (reason := self.reason_to_stop(observer)):
                history.ended_by = reason
                return
            if ctrl_c.pressed:
                raise KeyboardInterrupt

    def has_diverged(self):
        """Whether the weights are good for nothing."""
        losses, settings = self.history.losses, self.settings
        if settings.init == "glorot" and settings.holds_out:  # as MLPRegressor: keep the best
            return False
        if not (np.isfinite(losses[-1]) and np.isfinite(self.training.theta).all()):
            return True
        worst = max(HOPELESS * (settings.constant_loss or np.inf), losses[0])
        is_over = len(losses) == settings.max_iter and not settings.is_partial
        return is_over and settings.init != "glorot" and losses[-1] > worst

    def has_learnt_nothing(self):
        """Whether a smaller step is to be tried because this one, which nobody asked for, led
        nowhere: hinges that a first long step has moved off the data never come back."""
        losses, settings = self.history.losses, self.settings
        is_over = len(losses) == settings.max_iter and settings.finds_step
        nothing = losses[-1] > NOTHING * settings.constant_loss > 0
        return is_over and nothing and self.history.restarts < RESTARTS

    def begin_again(self, observer):
        """Train from the beginning, with a smaller step."""
        history, optimizer = self.history, self.optimizer
        if history.restarts == RESTARTS:
            raise ValueError(
                f"Training diverged: the loss is {history.losses[-1]:.4g} in epoch "
                f"{len(history.losses)}, with learning_rate_init={self.eta_at_first:g} and with "
                f"{RESTARTS} smaller step sizes, the last {optimizer.eta:.3g}. {NON_FINITE} "
                f"{self.advice()}"
            )
        history.restarts += 1
        optimizer.eta = self.eta_at_first / RESTART_DIVISOR**history.restarts
        history.forget_after(0)
        for array, first in zip(self.changing, self.at_first, strict=True):
            array[...] = first
        if observer is not None:
            observer.training_begins_again(optimizer.eta)

    def advice(self):
        """What to do about a training that diverges, with the settings at hand."""
        settings = self.settings
        if not settings.standardize:
            return "Scale the columns of X and y: standardize=True does it."
        if settings.max_grad_norm is None and settings.solver == "sgd":
            return "Lower learning_rate_init or momentum, or set max_grad_norm=1."
        return "Lower learning_rate_init or alpha, or set max_grad_norm=1."

    def samples_done(self):
        """Samples that were trained on, the last epoch's part included."""
        return len(self.history.losses) * self.n_samples + int(self.state.position)

    def share_of_call(self, pace, seconds_left, *, one_epoch):
        """Steps and epochs of the next call, at `pace` steps a second."""
        steps = max(1, int(pace * CALL_SECONDS))
        epochs = max(1, steps // self.steps_per_epoch)
        epochs = min(epochs, self.settings.max_iter - len(self.history.losses))
        if one_epoch:
            epochs = 1
        if seconds_left is not None:
            epochs = min(epochs, max(1, int(pace * seconds_left / self.steps_per_epoch)))
        return min(steps, epochs * self.steps_per_epoch), epochs

    def call(self, steps, epochs):
        """Run the kernel, and note what it reports; returns the epochs completed."""
        losses, losses_val, scores = np.zeros((3, epochs))
        course = Course(steps, self.step_sizes(epochs), losses, losses_val, scores)
        self.is_noted = False
        done = self.team.run(self.kernel.train, self.training, self.samples, self.held_out, course)
        self.history.losses += losses[:done].tolist()
        if self.is_validated:
            self.history.validation_losses += losses_val[:done].tolist()
            # scikit-learn's R² of a constant output is 0.
            scores -= np.mean(np.isinf(self.held_out.spread))
            self.history.validation_scores += scores[:done].tolist()
        self.is_noted = True
        return done

    def step_sizes(self, n_epochs):
        """Those of the next epochs."""
        numbers, settings = len(self.history.losses) + np.arange(n_epochs), self.settings
        seen = self.seen + self.n_samples * numbers
        eta, began = self.optimizer.eta, self.optimizer.began
        return self.schedule.step_sizes(
            Epochs(
                eta,
                settings.power_t,
                numbers,
                settings.max_iter,
                seen,
                began,
                settings.warmup_fraction,
            )
        )

    def reason_to_stop(self, observer):
        """Why training ends after the epochs that are done, or None."""
        settings, history, optimizer = self.settings, self.history, self.optimizer
        if observer is not None and observer.epoch_ends(history, self.training.theta):
            return "callback"
        if self.state.stalled > self.training.recipe.patience:
            if not self.schedule.adapts or optimizer.eta <= ADAPTIVE_MINIMUM:
                return "stalled"
            optimizer.eta /= ADAPTIVE_DIVISOR
            self.state.stalled = 0
        if settings.max_time is not None and history.seconds >= settings.max_time:
            return "max_time"
        return None

    def note_whole_epoch(self):
        """Here begins an epoch."""
        for before, array in zip(self.before, self.changing, strict=True):
            before[...] = array
        self.epochs_before = len(self.history.losses)

    def return_to_whole_epoch(self):
        """Undo the part of an epoch that was cut off, or what nobody has noted."""
        if self.is_noted and self.state.position == 0:
            return
        self.history.forget_after(self.epochs_before)
        for array, before in zip(self.changing, self.before, strict=True):
            array[...] = before


def prepare(kernel, settings, dtype):
    """Compile a kernel that trains, or load what was compiled: no step is taken."""
    net, X = network((1, 1, 1), ("identity",), trained=True), np.zeros((1, 1), dtype)
    X.flags.writeable = False
    theta = np.zeros(n_parameters(net), dtype)
    optimizer = OptimizerState.start(settings, theta, seed=0)
    loop = _Loop(net, theta, samples_of(X, X), None, settings, optimizer, kernel=kernel)
    with compiling():
        loop.call(0, 0)


@lru_cache(maxsize=256)
def tiles_of_rows(of_net, layer, n_rows, itemsize):
    """How rows are predicted by the network of these bytes: samples in a tile, floating-point
    operations, and the room that a thread works in. (Worked out anew, a third of the time that the
    prediction of a row takes.)"""
    net = np.frombuffer(of_net, layer)
    tile = TILED.cut(net, n_rows, itemsize).tile
    flops = step_flops(net, n_rows) / 3  # one of three products
    return tile, flops, TILED.room(net, tile, 1)[1:]


def predictions(model, X, y, n_threads):
    """y ← ŷ for the rows of X, both in raw units.

    Parameters
    ----------
    model : Model
    X : ndarray of shape (n_rows, n_features), C-contiguous, read-only
    y : ndarray of shape (n_rows, n_outputs)
    n_threads : int or None
    """
    n_rows = max(len(X), 1)
    tile, flops, room_of_thread = tiles_of_rows(
        model.net.tobytes(), model.net.dtype, n_rows, model.theta.itemsize
    )
    team = team_for(flops, -(-n_rows // tile), n_threads)
    room = aligned_zeros((team.n_threads, *room_of_thread), model.theta.dtype)
    with compiling() if not getattr(predict, "overloads", True) else nullcontext():
        team.run(predict, model, tile, room, X, y)
