"""The fit loop: epochs in the kernels, decisions between them in Python."""

import math
import time
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from fastbp import encodings, parameters, scaling
from fastbp.entries import Entries, entries_of
from fastbp.fitting.interrupts import CtrlC, is_pressed_here
from fastbp.fitting.judging import name_of
from fastbp.fitting.plan import (
    LISTENS_FLOPS,
    aligned,
    aligned_zeros,
    for_kernels,
    in_a_row,
    layout,
    nothing_held_out,
    optimizer_of,
    row_numbers,
    rows_of,
    samples_of,
    shares_of,
    team_for,
    weights_at,
)
from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM, SCHEDULES, Epochs
from fastbp.fitting.settings import loss_with_left
from fastbp.fitting.team import CalledOff, Team
from fastbp.fitting.windows import Windows
from fastbp.kernels.formulas.losses import LOSSES, of_outputs
from fastbp.kernels.formulas.losses import TABLE as LOSS_TABLE
from fastbp.kernels.formulas.network import n_parameters, network, step_flops, without_inputs
from fastbp.kernels.formulas.optimizers import TABLE as OPTIMIZERS
from fastbp.kernels.training.jacobian import jacobian_of_rows
from fastbp.kernels.training.kernels import kernel_for
from fastbp.kernels.training.records import STATE, Course, HeldOut
from fastbp.kernels.training.sparse import SPARSE, predict_sparse
from fastbp.kernels.training.tiled import TILED, predict

#: Seconds that one call of a kernel should last: short enough for Ctrl-C, long enough that
#: the call itself costs nothing. The epochs of a small table share a call.
CALL_SECONDS = 0.1

#: A training that diverges begins again with a step size divided by this, so many times.
RESTART_DIVISOR, RESTARTS = 4.0, 4

#: It has diverged, too, if it ends worse than it began, with so many times what a constant's loss
#: has more than that of y itself.
HOPELESS = 1.5

#: Weights that are smaller have a finite loss.
HUGE = 1e6

#: Samples that are looked at after the last step.
LOOKED_AT = 256

#: scikit-learn's words for it, that programs may look for.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)

#: The part of that from which on nothing has been learnt.
NOTHING = 0.995


@dataclass
class OptimizerState:
    """What an optimiser carries from step to step; a later `partial_fit` goes on with it."""

    name: str
    memory: np.ndarray
    state: np.ndarray = field(repr=False)  # (1,) STATE; no recarray, which not everyone can store
    eta: float
    began: int  # samples seen before the first step
    #: With `ema_decay` that of θ after each step, which predicts, and at the end θ itself.
    average: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    theta: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    ahead: object = None  # where training goes on from, if that isn't what predicts: see `fit.py`
    watches: tuple = ()  # what its best figures are of

    def fits(self, settings, theta):
        """Whether a training with these settings can go on with it.

        It may come from a file, as the model does: nothing of it is believed.
        """
        name = optimizer_of(settings)
        shape, memory, state = (OPTIMIZERS[name].remembers, theta.size), self.memory, self.state
        alike = (self.name, memory.shape, memory.dtype.newbyteorder("=")) == (
            name, shape, theta.dtype,
        )  # fmt: skip
        is_state = state.shape == (1,) and state.dtype == STATE and state["position"][0] == 0
        return alike and is_state and bool(np.isfinite(memory).all())

    def copy(self):
        """The same in memory of its own, as kernels take it: a file's may be read-only."""
        memory = aligned(self.memory, self.memory.dtype.newbyteorder("="))
        return replace(self, memory=memory, state=self.state.copy())

    def begin_average(self, settings, theta, average=None, decay_to_t=1.0):
        """Let the average begin with the first step, or go on."""
        self.average = self.theta = np.empty(0, theta.dtype)
        if settings.ema_decay is not None:
            self.average = aligned(theta if average is None else average, theta.dtype)
            self.state["decay_to_t"] = decay_to_t

    def remember(self, earlier):
        """The best figures of a training that this one goes on from, and since when there were
        none better."""
        if earlier.state.shape != (1,) or earlier.state.dtype != STATE:  # of a file, perhaps
            return
        self.watches = earlier.watches
        for name in ("best", "best_held_out", "stalled"):
            self.state[name] = earlier.state[name]

    def watch(self, watches):
        """Figures of something else are forgotten."""
        if self.watches != watches:
            self.watches = watches
            self.state["best"] = self.state["best_held_out"] = np.inf
            self.state["stalled"] = 0

    @classmethod
    def start(cls, settings, theta, seed, began=0):
        name = optimizer_of(settings)
        remembers = OPTIMIZERS[name].remembers if name in OPTIMIZERS else 0  # lbfgs is SciPy's
        memory = aligned_zeros((remembers, theta.size), theta.dtype)
        state = np.zeros(1, STATE)
        state["random"] = state["masks"] = seed
        state["beta_1_to_t"] = state["beta_2_to_t"] = state["decay_to_t"] = 1.0
        state["best"] = state["best_held_out"] = np.inf
        optimizer = cls(name, memory, state, settings.learning_rate_init, began)
        optimizer.begin_average(settings, theta)
        return optimizer


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
    without_dropout: float | None = None  # the loss at the end, with all units, if some are dropped

    @property
    def last_loss(self):
        """That of the network, as it predicts, at the end."""
        return self.losses[-1] if self.without_dropout is None else self.without_dropout

    def forget_after(self, epoch):
        """Only what happened before this epoch has happened."""
        for values in (self.losses, self.validation_losses, self.validation_scores):
            del values[epoch:]


def fit(net, theta, samples, held_out, settings, optimizer, *, observer=None, seen=0, judge=None):
    """Train θ in place.

    Parameters
    ----------
    net : recarray, see `network.network`
    theta : ndarray of shape (n_parameters,)
        Float32 or float64, the precision of training. In: where to start. Out: the last
        weights, or those that were best on the validation set where there is one; with
        `ema_decay` both are averages, and the last weights are the optimiser's.
    samples : Samples or Windows
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
    judge : callable, default=None
        The score of a θ, to judge each epoch by; with one, too, every epoch is a call of its own.
        None is what kernels judge by.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If training diverges with the least of the step sizes, too.
    """
    watches = settings.loss, settings.holds_out, held_out is not None
    if settings.scoring is not None:
        watches += (name_of(settings.scoring),)
    optimizer.watch(watches)
    loop = _Loop(net, theta, samples, held_out, settings, optimizer, seen=seen, judge=judge)
    with CtrlC() as ctrl_c:
        loop.compile()
        try:
            loop.run(observer, ctrl_c)
        except KeyboardInterrupt:
            loop.return_to_whole_epoch()
            if not loop.history.losses:
                raise
            loop.history.ended_by = "interrupted"
    loop.check_scores()
    if ctrl_c.pressed:  # since training last asked
        loop.history.ended_by = "interrupted"
    if settings.dropout and loop.history.ended_by != "interrupted":
        loop.history.without_dropout = loop.last_loss()
    if optimizer.average.size:
        optimizer.theta, theta[:] = theta.copy(), optimizer.average
    if held_out is not None:
        theta[:] = loop.best_theta
    return loop.history


class _Loop:
    """One call of `fit`."""

    def __init__(
        self, net, theta, samples, held_out, settings, optimizer, *, seen=0, kernel=None, judge=None
    ):
        self.settings, self.optimizer = settings, optimizer
        self.windows = samples if isinstance(samples, Windows) else None
        self.samples = samples if self.windows is None else self.windows.samples
        self.n_samples, self.seen = samples.n_samples, seen
        batch_size = self.batch_size = min(settings.batch_size, self.n_samples)
        self.steps_per_epoch = -(-self.n_samples // batch_size)
        self.is_validated = held_out is not None
        self.held_out = held_out if self.is_validated else nothing_held_out(self.samples)
        best_theta = theta.copy() if self.is_validated else theta[:0]
        self.judge, self.best_theta = judge, best_theta
        if judge is not None:  # what the kernel thinks best is not asked for
            best_theta = best_theta.copy()
        self.kernel = kernel or kernel_for(net, batch_size, theta.itemsize)
        self.training, self.team = layout(
            self.kernel, net, settings, batch_size, theta, optimizer, best_theta,
            len(self.held_out.y),
        )  # fmt: skip
        self.state, self.schedule = self.training.state, SCHEDULES[settings.learning_rate]
        self.history, self.is_noted = History(kernel=self.kernel.name), True
        # What changes in an epoch, and how it was before: one that is cut off returns to it.
        average = optimizer.average
        self.predicting = average if average.size else theta
        self.changing = theta, self.best_theta, average, optimizer.memory, optimizer.state
        self.before, self.epochs_before = [array.copy() for array in self.changing], 0
        self.order = samples.order if self.windows is None else self.windows.blocks
        self.at_first = [a.copy() for a in (*self.changing, self.order)]
        self.eta_at_first = optimizer.eta
        self.ctrl_c, self.start = None, time.perf_counter()

    def compile(self):
        """Compile the kernel, or load what was compiled, before there are threads to wait for it:
        no step is taken."""
        self.call(0, 0, Team(1))

    def run(self, observer, ctrl_c):
        """Train until one of the reasons to stop."""
        settings, history, pace = self.settings, self.history, 0.0
        self.ctrl_c, self.start = ctrl_c, time.perf_counter()
        while len(history.losses) < settings.max_iter:
            left = settings.max_time and settings.max_time - history.seconds
            is_first = self.team.listens and not history.losses
            apart = observer is not None or self.judge is not None or self.windows is not None
            one_epoch = apart or is_first
            steps, epochs = self.share_of_call(pace, left, one_epoch=one_epoch)
            if self.state.position == 0:
                self.note_whole_epoch()
                if observer is not None:
                    observer.epoch_begins(self.predicting)
            samples_before, before = self.samples_done(), time.perf_counter()
            try:
                done = self.call(steps, epochs)
            except CalledOff:
                done = 0
            now = time.perf_counter()
            epochs_done = (self.samples_done() - samples_before) / self.n_samples
            steps_done = epochs_done * self.steps_per_epoch
            pace, history.seconds = steps_done / max(now - before, 1e-9), now - self.start
            if ctrl_c.pressed and not done:
                raise KeyboardInterrupt
            if not done and self.is_late():
                if history.losses:  # the epoch is left out
                    self.return_to_whole_epoch()
                    history.ended_by = "max_time"
                    return
                done = self.end_first_epoch()
            if done and (self.has_diverged(done) or self.has_learnt_nothing()):
                self.begin_again(observer)
            elif done:
                if self.judge is not None:
                    self.judge_epoch()
                if reason := self.reason_to_stop(observer):
                    history.ended_by = reason
                    return
            if ctrl_c.pressed:
                raise KeyboardInterrupt

    def has_diverged(self, done):
        """Whether the weights are good for nothing, or were after one of the last epochs: it makes
        no difference how epochs are cut into calls."""
        losses, settings = self.history.losses, self.settings
        if self.keeps_the_best():
            return False
        wrong = np.flatnonzero(~np.isfinite(losses[-done:]))
        if wrong.size:
            self.history.forget_after(len(losses) - done + int(wrong[0]) + 1)
            return True
        if not np.isfinite(self.training.theta).all():
            return True
        if len(losses) < settings.max_iter:
            return False
        # The last loss is that before the last step.
        is_planned = not settings.is_partial and settings.init != "glorot"
        if not is_planned and np.abs(self.training.theta).max() < HUGE:
            return False
        some, last = self.some_samples(), self.last_loss()
        after = last if some is None else self.loss_of(some)
        if not np.isfinite(after):
            losses[-1] = after
            return True
        worst = max(loss_with_left(HOPELESS, settings), losses[0])
        if not is_planned or max(last, after) <= worst:
            return False
        if last <= worst and after <= self.hopeless_loss_of(some):
            return False  # they are unlike the others
        losses[-1] = max(losses[-1], after)
        return True

    def keeps_the_best(self):
        """Whether a training that diverges ends with the best weights, as MLPRegressor's."""
        return self.settings.init == "glorot" and self.settings.holds_out

    def some_samples(self):
        """Some of them, as if held out; None where each epoch's weights are scored anyway."""
        if self.is_validated:
            return None
        X, y, weight = self.looked_at()
        weight = weight if weight.size else np.ones(len(y), X.dtype)
        if not weight.any():
            return None
        weight = in_a_row(shares_of(weight))
        return HeldOut(row_numbers(len(y)), X, y, weight, np.ones(y.shape[1]))

    def looked_at(self):
        """X, y and weights of some of the samples."""
        if self.windows is not None:
            return self.windows.some(LOOKED_AT)[1:]
        order, X, y, weight = self.samples
        rows = order[:: -(-order.size // LOOKED_AT)]
        weight = weights_at(weight, len(y), rows) if weight.size else weight
        return rows_of(X, rows), rows_of(y, rows), weight

    def hopeless_loss_of(self, some):
        """What a loss of these is hopeless from."""
        y, weight, settings = np.float64(some.y), np.float64(some.weight), self.settings
        row, weight = LOSS_TABLE[settings.loss], weights_at(weight, len(y), slice(None))
        constant = of_outputs(row.constant_loss, y, weight, settings.loss_parameter)
        perfect = of_outputs(row.perfect_loss, y, weight)
        return self.training.recipe.loss_scale * (perfect + HOPELESS * (constant - perfect))

    def loss_of(self, some):
        """That at the present weights."""
        # Scored as held-out ones are, after the last of the steps: nothing but a score comes of it.
        state = self.optimizer.state.copy()
        state["position"], best_theta = self.n_samples, np.empty_like(self.training.theta)
        training = self.training._replace(state=state.view(np.recarray)[0], best_theta=best_theta)
        course = self.course(0, np.zeros(1), self.n_samples - self.samples.n_samples)
        on = for_kernels(self.samples), for_kernels(some)
        Team(1).run(self.kernel.train, training, *on, course)
        return course.losses_val[0]

    def judge_epoch(self):
        """What `epoch.end_epoch` does with its own figures, with the score of the epoch."""
        if not np.isfinite(self.training.theta).all():  # a diverged training, which ends here
            self.history.validation_scores[-1] = np.nan
            return
        self.is_noted = False  # Ctrl-C may be pressed
        score, state, before = self.judge(self.predicting), self.state, self.before[-1][0]
        self.history.validation_scores[-1] = score
        state.best_held_out = before["best_held_out"]
        if -score < state.best_held_out:
            state.best_held_out, self.best_theta[:] = -score, self.predicting
        if self.settings.holds_out:
            is_better = -score <= before["best"] - self.training.recipe.tol
            state.stalled = 0 if is_better else before["stalled"] + 1
            state.best = min(-score, before["best"])
        self.is_noted = True

    def check_scores(self):
        """An error, if there is no telling in which of the epochs weights were best."""
        history = self.history
        if self.keeps_the_best() and not np.isfinite(history.losses[-1]):
            return
        for figures in (history.validation_scores, history.validation_losses):
            wrong = np.flatnonzero(~np.isfinite(figures))
            if wrong.size:
                epoch = int(wrong[0])
                raise ValueError(
                    f"The score on the rows held out is {figures[epoch]} in epoch {epoch + 1}: "
                    "some of their X or y are too far from what is trained on. Look for wrong "
                    "values among them."
                )

    def has_learnt_nothing(self):
        """Whether a smaller step is to be tried because this one, which nobody asked for, led
        nowhere: hinges that a first long step has moved off the data never come back."""
        losses, settings = self.history.losses, self.settings
        is_over = len(losses) == settings.max_iter and settings.finds_step
        if not is_over or self.history.restarts == RESTARTS:
            return False
        return self.last_loss() > loss_with_left(NOTHING, settings)

    def last_loss(self):
        """That at the present weights, with all units: what dropout adds to it is no lack."""
        if not self.settings.dropout:
            return self.history.losses[-1]
        if self.is_validated:
            return self.history.validation_losses[-1]
        some = self.some_samples()
        return self.history.losses[-1] if some is None else float(self.loss_of(some))

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
        for array, first in zip((*self.changing, self.order), self.at_first, strict=True):
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

    def is_late(self):
        """Whether the time is over, and there is something to end with: a whole epoch, or some
        steps of the first."""
        max_time = self.settings.max_time
        if max_time is None or time.perf_counter() - self.start < max_time:
            return False
        return bool(self.history.losses) or self.state.position > 0

    def is_to_stop(self):
        """Whether somebody waits for the end of a call. (A first epoch is not cut off within a
        call: there would be no weights to end with.)"""
        if self.ctrl_c is not None and self.ctrl_c.pressed:
            return True
        return self.is_late() and (self.history.losses or self.state.position == self.n_samples)

    def end_first_epoch(self):
        """Let the first epoch be what has been trained of it, and score it on some of the rows."""
        order, held_out, n_samples = self.samples.order, self.held_out, self.n_samples
        first = 0 if self.windows is None else self.windows.first
        self.n_samples = int(self.state.position)
        self.samples = self.samples._replace(order=order[: self.n_samples - first])
        self.held_out = some_of(held_out, LISTENS_FLOPS / step_flops(self.training.net, 1))
        done = self.call(0, 1, Team(1), first)
        self.samples, self.held_out = self.samples._replace(order=order), held_out
        self.n_samples = n_samples
        return done

    def course(self, steps, etas, first=0):
        """That of a call."""
        losses, losses_val, scores = np.zeros((3, len(etas)))
        return Course(steps, etas, losses, losses_val, scores, first, self.n_samples)

    def call(self, steps, epochs, team=None, first=None):
        """Run the kernel, and note what it reports; returns the epochs completed.

        Of a table in windows, go from one to the next, but with `first`, which says where in the
        epoch the samples at hand begin.
        """
        course, team = self.course(steps, self.step_sizes(epochs), first or 0), team or self.team
        self.is_noted = False
        if self.windows is None or first is not None or not epochs:
            done = self.run_kernel(course, team)
        else:
            done = self.go_through_windows(course, team)
        losses, losses_val, scores = course.losses, course.losses_val, course.scores
        self.history.losses += losses[:done].tolist()
        if self.is_validated:
            self.history.validation_losses += losses_val[:done].tolist()
            # scikit-learn's R² of a constant output is 0.
            scores -= np.mean(np.isinf(self.held_out.spread))
            self.history.validation_scores += scores[:done].tolist()
        self.is_noted = True
        return done

    def run_kernel(self, course, team):
        """For the samples at hand."""
        on = for_kernels(self.samples), for_kernels(self.held_out)
        return team.run(self.kernel.train, self.training, *on, course, stop=self.is_to_stop)

    def go_through_windows(self, course, team):
        """As many steps as the course has, but to the end of the epoch at most."""
        while True:
            before = int(self.state.position)
            self.samples, first = self.windows.samples_at(before, self.state, team)
            done = self.run_kernel(course._replace(first=first), team)
            samples_done = int(self.state.position) - before
            course = course._replace(steps=course.steps - samples_done // self.batch_size)
            if done or course.steps <= 0 or self.is_to_stop():
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
        if observer is not None and observer.epoch_ends(history, self.predicting):
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
    X, by_entries = np.zeros((1, 1), dtype), kernel is SPARSE
    X.flags.writeable = False
    net = network((1, 1, 1), ("identity",), trained=True, by_entries=by_entries)
    theta = np.zeros(n_parameters(net), dtype)
    optimizer = OptimizerState.start(settings, theta, seed=0)
    settings = copy(settings)
    settings.loss_parameter = 0.0  # of the one output
    samples = samples_of(entries_of(X, dtype) if by_entries else X, X)
    loop = _Loop(net, theta, samples, None, settings, optimizer, kernel=kernel)
    loop.compile()


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
        Or Entries, in the units of θ.
    y : ndarray of shape (n_rows, n_outputs)
    n_threads : int or None
    """
    ends = X.shape[1], y.shape[1]
    if ends != (model.net["width"][0], model.net["width"][-1]):  # kernels believe it
        raise ValueError(f"The weights are not of {ends[0]} columns and {ends[1]} outputs.")
    n_rows, kernel, rows, nobody = max(len(X), 1), predict, (X,), (X[:0],)
    if isinstance(X, Entries):
        model, kernel = for_entries(model, X), predict_sparse
        rows, nobody = (row_numbers(len(X)), X.rows), (row_numbers(0), X.rows)
    tile, flops, room_of_thread = tiles_of_rows(
        model.net.tobytes(), model.net.dtype, n_rows, model.theta.itemsize
    )
    team = team_for(flops, -(-n_rows // tile), n_threads, flops)
    room = aligned_zeros((team.n_threads, *room_of_thread), model.theta.dtype)
    if team.n_threads > 1 or team.listens:  # compiled before they wait for it
        Team(1).run(kernel, model, tile, room, *nobody, y[:0])
    run_heard(team, kernel, model, tile, room, *rows, y)
    if model.rising:
        y.sort(axis=1)


def for_entries(model, X):
    """The model that predicts the same from Entries without their centre."""
    net, theta = model.net, model.theta
    if X.rows.centre.size:
        theta = theta.copy()
        W, b = parameters.unpack(theta, net)
        b[0] -= np.einsum("j,jk->k", X.rows.centre, W[0])
    return model._replace(net=without_inputs(net), theta=theta)


def jacobian(learnt, X):
    """∂ŷ/∂x for rows of X, in raw units and float64.

    Parameters
    ----------
    learnt : Learnt
    X : {ndarray, sparse matrix} of shape (n_rows, n_features)

    Returns
    -------
    ndarray of shape (n_rows, n_outputs, n_features)
    """
    # Raw units may be far from 1, where float32 would round the answer away.
    net, theta = learnt.network(trained=True), learnt.theta(None, np.dtype(np.float64))
    (n_rows, n_features), encoding = X.shape, learnt.encoding
    if encoding is None:
        columns, column_of = scaling.converted(X, np.float64), np.arange(n_features)
        slopes = np.empty((n_rows, 0))
    else:
        columns, column_of = encodings.converted(X, np.float64, encoding), encoding.column_of
        slopes = encodings.slopes(columns[:, :n_features], encoding)
    room, y = np.empty((3, int(net["width"].sum()))), np.empty((n_rows, learnt.n_outputs))
    J = np.zeros((n_rows, learnt.n_outputs, n_features))
    jacobian_of_rows(net, theta, LOSSES[learnt.loss], columns, slopes, column_of, room, y, J)
    if learnt.rising:
        J = np.take_along_axis(J, np.argsort(y, axis=1)[:, :, None], axis=1)
    return J


def run_heard(team, kernel, *arguments):
    """Run a kernel that Ctrl-C ends, of the fit, too, in whose callback this may be."""
    try:
        return team.run(kernel, *arguments, stop=is_pressed_here)
    except CalledOff:
        raise KeyboardInterrupt from None


def some_of(held_out, most):
    """Some of the held-out rows, evenly, or all if these are no more."""
    n = len(held_out.y)
    step = max(1, math.ceil(n / most))
    weight = weights_at(held_out.weight, n, slice(None, None, step))
    if step == 1 or not weight.any():
        return held_out
    X, y = (rows_of(A, slice(None, None, step)) for A in (held_out.X, held_out.y))
    weight = in_a_row(shares_of(weight))
    return held_out._replace(order=held_out.order[: len(y)], X=X, y=y, weight=weight)
