"""The fit loop: epochs in the kernels, decisions between them in Python."""

import time
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.plan import (
    WEIGHTS_BYTES,
    Settings,
    aligned_zeros,
    kernel_for,
    most_threads,
    optimizer_code,
    recipe_of,
    room_for,
    step_flops,
    team_for,
    tile_size,
    tiles_for,
)
from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM, step_sizes
from fastbp.kernels.formulas.optimizers import OPTIMIZERS
from fastbp.kernels.machine.compile import compiling
from fastbp.kernels.machine.vectors import LANES
from fastbp.kernels.training.epoch import STATE, loss_gradient, predict
from fastbp.parameters import n_parameters, network

#: Seconds that one call of a kernel should last: short enough for Ctrl-C, long enough that
#: the call itself costs nothing. The epochs of a small table share a call.
CALL_SECONDS = 0.1


@dataclass
class Samples:
    """A set of samples as the kernels take them: see `scaling.converted`."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None = None

    def weights(self):
        """Weights in the precision of training; empty where all samples weigh the same."""
        if self.sample_weight is None:
            weights = np.empty(0, self.X.dtype)
        else:
            weights = self.sample_weight.astype(self.X.dtype)
        weights.flags.writeable = False
        return weights


@dataclass
class OptimizerState:
    """What an optimiser carries from step to step; a later `partial_fit` goes on with it."""

    code: int
    memory: np.ndarray
    state: np.recarray = field(repr=False)
    eta: float
    began: int  # samples seen before the first step

    def fits(self, settings, theta):
        """Whether a training with these settings can go on with it."""
        alike = self.memory.shape[1] == theta.size and self.memory.dtype == theta.dtype
        return alike and self.code == optimizer_code(settings)

    @classmethod
    def start(cls, settings, theta, seed, began=0):
        code = optimizer_code(settings)
        memory = aligned_zeros((OPTIMIZERS[code], theta.size), theta.dtype)
        state = np.zeros(1, STATE).view(np.recarray)
        state.random = seed
        state.beta_1_to_t = state.beta_2_to_t = 1.0
        state.best, state.best_score = np.inf, -np.inf
        return cls(code, memory, state, settings.learning_rate_init, began)


@dataclass
class History:
    """What happened, epoch by epoch."""

    losses: list = field(default_factory=list)
    validation_losses: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    seconds: float = 0.0
    #: Why training ended: "max_iter", "stalled", "max_time", "callback" or "interrupted".
    ended_by: str = "max_iter"

    def copy(self):
        lists = self.losses, self.validation_losses, self.validation_scores
        return History(*(list(values) for values in lists), self.seconds, self.ended_by)


def fit(net, theta, samples, validation, order, settings, optimizer, *, observer=None, seen=0):
    """Train θ in place.

    Parameters
    ----------
    net : recarray, see `parameters.network`
    theta : ndarray of shape (n_parameters,)
        Float32 or float64, the precision of training. In: where to start. Out: the last
        weights, or those of the best validation score where there is a validation set.
    samples : Samples
    validation : Samples or None
    order : ndarray of uint32, shape (n_training_samples,)
        Rows of `samples` to train on, in their first order; shuffled in place.
    settings : Settings
    optimizer : OptimizerState
        Carried on, in place.
    observer : object, default=None
        Has ``epoch_begins(theta)`` and ``epoch_ends(history, theta)``, which returns True to
        stop. With an observer, every epoch is a call of its own.
    seen : int
        Samples trained on in earlier calls.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If the loss is no longer finite.
    """
    loop = _Loop(net, theta, samples, validation, order, settings, optimizer, seen)
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
    if validation is not None:
        theta[:] = loop.best_theta
    return loop.history


class _Loop:
    """One call of `fit`."""

    def __init__(self, net, theta, samples, validation, order, settings, optimizer, seen):
        batch_size = min(settings.batch_size, order.size)
        recipe = recipe_of(net, settings, batch_size, theta.dtype.itemsize)
        self.kernel = kernel_for(net, batch_size, theta.dtype.itemsize)
        parts = min(int(recipe.parts), -(-batch_size // int(recipe.tile)))
        useful = most_threads(self.kernel, net, parts)
        self.team = team_for(step_flops(net, batch_size), useful, settings.n_threads)
        self.settings, self.optimizer, self.theta = settings, optimizer, theta
        self.state = optimizer.state[0]
        self.best_theta = theta[:0] if validation is None else theta.copy()
        self.n_samples, self.seen = order.size, seen
        self.steps_per_epoch = -(-order.size // batch_size)
        self.history, self.is_noted = History(), True
        self.is_validated = validation is not None
        # What changes in an epoch, and how it was before: one that is cut off returns to it.
        self.changing = theta, self.best_theta, optimizer.memory, optimizer.state
        self.before = [array.copy() for array in self.changing]
        self.history_before = self.history.copy()
        self.arrays = (
            net, recipe, self.state, theta, self.best_theta, optimizer.memory,
            aligned_zeros((parts, theta.size), theta.dtype), np.zeros(parts),
            room_for(self.kernel, net, int(recipe.tile), theta.dtype, self.team.n_threads), order,
            samples.X, samples.y, samples.weights(), *_held_out(validation, samples),
        )  # fmt: skip

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
                    observer.epoch_begins(self.theta)
            samples_before, before = self.samples_done(), time.perf_counter()
            done = self.call(steps, epochs)
            now = time.perf_counter()
            epochs_done = (self.samples_done() - samples_before) / self.n_samples
            steps_done = epochs_done * self.steps_per_epoch
            pace, history.seconds = steps_done / max(now - before, 1e-9), now - start
            if done and (reason := self.reason_to_stop(observer)):
                history.ended_by = reason
                return
            if ctrl_c.pressed:
                raise KeyboardInterrupt

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
        seen = self.seen + self.n_samples * (len(self.history.losses) + np.arange(epochs))
        settings = self.settings
        eta, began = self.optimizer.eta, self.optimizer.began
        etas = step_sizes(settings.learning_rate, eta, settings.power_t, seen, began)
        self.is_noted = False
        done = self.team.run(self.kernel, *self.arrays, steps, etas, losses, losses_val, scores)
        self.history.losses += losses[:done].tolist()
        if self.is_validated:
            self.history.validation_losses += losses_val[:done].tolist()
            self.history.validation_scores += scores[:done].tolist()
        self.is_noted = True
        return done

    def reason_to_stop(self, observer):
        """Why training ends after the epochs that are done, or None."""
        settings, history = self.settings, self.history
        if not np.isfinite(history.losses[-1]):
            raise ValueError(
                f"Training diverged: the loss is {history.losses[-1]} in epoch "
                f"{len(history.losses)}. Lower learning_rate_init (the step size was "
                f"{self.optimizer.eta:g}), or standardize the data."
            )
        if observer is not None and observer.epoch_ends(history, self.theta):
            return "callback"
        if self.state.stalled > settings.n_iter_no_change:
            eta = self.optimizer.eta
            if settings.learning_rate != "adaptive" or eta <= ADAPTIVE_MINIMUM:
                return "stalled"
            self.optimizer.eta = eta / ADAPTIVE_DIVISOR
            self.state.stalled = 0
        if settings.max_time is not None and history.seconds >= settings.max_time:
            return "max_time"
        return None

    def note_whole_epoch(self):
        """Here begins an epoch."""
        for before, array in zip(self.before, self.changing, strict=True):
            before[...] = array
        self.history_before = self.history.copy()

    def return_to_whole_epoch(self):
        """Undo the part of an epoch that was cut off, or what nobody has noted."""
        if self.is_noted and self.state.position == 0:
            return
        self.history = self.history_before
        for array, before in zip(self.changing, self.before, strict=True):
            array[...] = before


def row_numbers(n):
    """0, 1, … n − 1, as the kernels take them: half the memory of int64, and shuffled faster."""
    if n > 2**32:
        raise ValueError(f"{n:,} rows are more than kernels can number: 2**32.")
    return np.arange(n, dtype=np.uint32)


def _held_out(validation, samples):
    """The validation set as `kernels.epoch.train` takes it."""
    if validation is None:
        order, weight = row_numbers(0), np.empty(0, samples.X.dtype)
        return order, samples.X[:0], samples.y[:0], weight, np.empty(0)
    weight = (
        np.ones(len(validation.y))
        if validation.sample_weight is None
        else (validation.sample_weight.astype(np.float64))
    )
    weight /= weight.sum()
    y = validation.y.astype(np.float64)
    spread = weight @ (y - weight @ y) ** 2
    # R² of a constant target is undefined: the squared error itself takes its place.
    spread[spread == 0] = 1.0
    order = row_numbers(len(y))
    return order, validation.X, validation.y, weight.astype(samples.X.dtype), spread


def predictions(net, theta, X, units, y, n_threads):
    """y ← ŷ for the rows of X, both in raw units.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), C-contiguous, read-only
    units : scaling.Scaling
    y : ndarray of shape (n_rows, n_outputs)
    n_threads : int or None
    """
    n_rows = max(len(X), 1)
    tile = tile_size(net, n_rows, theta.itemsize)
    flops = step_flops(net, n_rows) / 3  # one of three products
    team = team_for(flops, -(-n_rows // tile), n_threads)
    tiles = tiles_for(net, tile, theta.dtype, team.n_threads)
    with compiling() if not getattr(predict, "overloads", True) else nullcontext():
        team.run(predict, net, tile, theta, tiles, X, *units, y)


def loss_and_gradient(net, theta, samples, settings):
    """L and ∂L/∂θ over all samples, without the penalty on the weights."""
    n_samples = len(samples.y)
    recipe = recipe_of(net, settings, n_samples, theta.dtype.itemsize)
    recipe.alpha, recipe.loss_scale = 0.0, 1.0
    gradient = np.zeros_like(theta)
    tiles = tiles_for(net, int(recipe.tile), theta.dtype)
    order = row_numbers(n_samples)
    loss = loss_gradient(
        net, recipe, theta, gradient, tiles[0], order, samples.X, samples.y, samples.weights()
    )
    return loss, gradient


def warm_up(dtype="float32"):
    """Compile the kernels, or load what was compiled: the first fit then starts at once.

    Without it the first fit of an installation waits for it, and the first `predict`; once for
    each precision, for all shapes of network. Worth a line where a program starts or an image
    is built.

    Parameters
    ----------
    dtype : {"float32", "float64"}, default="float32"
        The precision of training.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warm_up()
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype.name!r}.")
    net, large = (network((1, width, 1), ("identity",)) for width in (1, WEIGHTS_BYTES // 4))
    X = np.zeros((LANES, 1), dtype)
    X.flags.writeable = False
    samples, order = Samples(X, X), row_numbers(LANES)
    # There are four kernels: see `plan.kernel_for`.
    for layers, batch_size in ((large, LANES), (net, 1), (net, LANES), (net, 2)):
        settings = Settings(batch_size=batch_size, max_iter=1)
        theta = np.zeros(n_parameters(layers), dtype)
        start = OptimizerState.start(settings, theta, seed=0)
        fit(layers, theta, samples, None, order, settings, start)
    one = np.ones(1)
    for given in (X.astype(np.float32), X.astype(np.float64)):
        given.flags.writeable = False
        y = np.empty((LANES, 1), np.result_type(given, dtype))
        predictions(net, theta, given, (one, one, one, one), y, n_threads=1)
    loss_and_gradient(net, theta, samples, settings)
