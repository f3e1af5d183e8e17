"""What kernels that train are given, as records: what travels together is one.

The caller allocates all arrays; nothing is allocated in a kernel.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.kernels.formulas import optimizers
from fastbp.kernels.machine.compile import inline

#: Numbers that the optimisers read.
OF_OPTIMIZERS = sorted({name for row in optimizers.TABLE.values() for name in row.parameters})

RECIPE = np.dtype(
    [
        ("loss", np.int64),
        ("loss_scale", np.float64),  # of the loss that is reported, not of its gradient
        ("by_count", np.bool_),  # a batch's part in an epoch's loss is by its samples, not weights
        ("alpha", np.float64),
        ("weight_decay", np.float64),
        ("max_grad_norm", np.float64),  # infinity: none
        ("ema_decay", np.float64),  # of the average of θ, if there is one
        ("optimizer", np.int64),
        *((name, np.float64) for name in OF_OPTIMIZERS),
        ("batch_size", np.int64),
        ("tile", np.int64),  # samples in a full tile, a multiple of LANES
        ("parts", np.int64),  # of a batch, at most
        ("shuffle", np.bool_),
        ("early_stopping", np.bool_),  # watch what the held-out samples say, not the loss
        ("by_loss", np.bool_),  # of them the loss is watched, else R²
        ("tol", np.float64),
        ("patience", np.float64),  # epochs without improvement that are still borne
    ],
    align=True,
)

STATE = np.dtype(
    [
        ("random", np.uint64),  # of the shuffle's generator
        ("masks", np.uint64),  # what this epoch's masks are drawn by, see `dropout.py`
        ("beta_1_to_t", np.float64),
        ("beta_2_to_t", np.float64),
        ("decay_to_t", np.float64),  # likewise of the average of θ
        ("position", np.int64),  # samples of this epoch that are done
        ("loss", np.float64),  # Σ of their batches' losses, times the batches' parts
        ("weight", np.float64),  # Σ of those parts: see `epoch.part_in_loss`
        ("best", np.float64),  # the least of what is watched: a loss, or R² negated
        ("best_held_out", np.float64),  # likewise, on the held-out samples
        ("stalled", np.int64),  # epochs in a row without improvement
        ("ended", np.bool_),  # there is nothing to be gained from more epochs
    ],
    align=True,
)


class Threads(NamedTuple):
    """Which thread this is, of how many, and where they meet: see `machine/threads.py`."""

    thread: int
    n: int
    barrier: np.ndarray  # (80,)


class Training(NamedTuple):
    """The network, how it is trained, and what changes meanwhile."""

    net: np.ndarray  # (n_layers,) LAYER
    recipe: np.void  # RECIPE
    state: np.void  # STATE
    theta: np.ndarray  # (n_parameters,)
    average: np.ndarray  # of θ after each step, (n_parameters,), or empty: none is taken
    best_theta: np.ndarray  # out: what was best on held-out samples; empty without any
    loss_parameters: np.ndarray  # (n_outputs,), what the loss reads besides z and y, or zeros
    memory: np.ndarray  # (·, n_parameters), the vectors that the optimiser remembers
    gradients: np.ndarray  # (parts, n_parameters), ∂L/∂θ of each part of a batch
    part_losses: np.ndarray  # (parts,), L of each part of a batch
    squares: np.ndarray  # Σ g² of each BLOCK of θ; empty unless the gradient's norm is limited
    room: np.ndarray  # where the kernel works: see its `room`


@inline
def scored(training):
    """The weights that are scored, kept where they are best, and predict: θ or its average."""
    return training.average if training.average.size > 0 else training.theta


class Rows(NamedTuple):
    """A sparse table: what is stored of each row, in the order of the rows; all else is 0. From
    every row the centre is taken off, where there is one."""

    data: np.ndarray  # (n_entries,)
    indices: np.ndarray  # (n_entries,) int32: the column of each
    indptr: np.ndarray  # (n_rows + 1,) int64: where each row begins
    centre: np.ndarray  # (n_features,), or empty


class Samples(NamedTuple):
    """What is trained on, in the precision of training, read-only; and in which order."""

    order: np.ndarray  # (n_samples,) uint32
    X: np.ndarray  # (·, n_features), or Rows
    y: np.ndarray  # (·, n_outputs)
    #: (·,), or empty: all samples weigh the same. Behind them, (·, n_outputs) if each output has a
    #: weight of its own, whose mean is the sample's.
    sample_weight: np.ndarray

    @property
    def n_samples(self):
        """Of an epoch."""
        return self.order.size


class HeldOut(NamedTuple):
    """What is scored after each epoch; without it all are empty."""

    order: np.ndarray  # 0, 1, …
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray  # each sample's share of the whole; behind them, each output's of it
    spread: np.ndarray  # (n_outputs,), variance of y, times each output's part of all weights


class Course(NamedTuple):
    """How far to go, and what comes of it, epoch by epoch."""

    steps: int  # return after so many batches, wherever in an epoch that is
    etas: np.ndarray  # the step size of each epoch
    losses: np.ndarray  # out: the mean loss of each epoch
    losses_val: np.ndarray  # out: the loss on the held-out samples after it
    scores: np.ndarray  # out: R² on them
    first: int  # samples of the epoch that came before these: other windows of the table
    n_samples: int  # of the epoch


class Source(NamedTuple):
    """A table where it lies, read-only: the number of row i and column j is
    ``numbers[i * row_step + j * column_step]``."""

    numbers: np.ndarray
    row_step: int
    column_step: int


class Window(NamedTuple):
    """Which rows of a table a window holds: runs of rows in a row, not counting those set apart."""

    firsts: np.ndarray  # (n,), where each run begins
    places: np.ndarray  # (n + 1,), where in the window it lies
    apart: np.ndarray  # rows that are not there, in rising order; all int64


class Units(NamedTuple):
    """What is done to each column, float64; for several rows that follow one another at once."""

    center: np.ndarray
    factor: np.ndarray
    low: np.ndarray  # empty, as `high`: there are no bounds
    high: np.ndarray


class Moments(NamedTuple):
    """What rows come to, piece by piece, float64."""

    weight: np.ndarray  # (n_pieces,), Σ of weights
    mean: np.ndarray  # (n_pieces, n_columns)
    squares: np.ndarray  # Σ of weights times squares of what differs from the mean
    low: np.ndarray  # the least value, before any is drawn in
    high: np.ndarray


class Model(NamedTuple):
    """What predicts: the network, its loss, which knows the link, and the units of the table."""

    net: np.ndarray
    theta: np.ndarray
    loss: int  # its code
    rising: bool  # whether outputs are sorted: quantiles of one y don't cross
    X_mean: np.ndarray  # (n_features,), float64, as the others
    X_scale: np.ndarray
    y_mean: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray
    limit: float  # of standardised columns: what lies beyond counts as that, see `limit_of`
    # What it sees besides the table's columns, as `encoding.laid_out` gives it:
    sizes: tuple
    numbers: np.ndarray
    places: np.ndarray


class Cut(NamedTuple):
    """How a kernel cuts the batches of a network."""

    tile: int  # samples in a tile
    parts: int  # parts of a batch, each with a gradient of its own, at most


class Kernel(NamedTuple):
    """A kernel that trains, and what must be known of it: it stands next to its code."""

    name: str
    train: Callable  # (threads, training, samples, held_out, course): see `epoch.train_epochs`
    suits: Callable  # (net, batch_size, itemsize): whether it is the one for these batches
    cut: Callable  # (net, batch_size, itemsize): a Cut
    threads: Callable  # (net, parts): how many threads find work in a batch of so many parts
    room: Callable  # (net, tile, n_threads): the shape of the array in which it works
