"""Tables that are too large for a working copy: measured where they lie, in one pass, and trained
on window by window.

A table is cut into blocks, runs of rows, and into stretches of as many blocks as there are windows.
A window takes a block of each stretch: it is a sample of the whole table, however that is sorted.
Which block of a stretch is drawn anew each epoch, and so is the order of the rows within a window.
"""

import math
from copy import copy
from typing import NamedTuple

import numpy as np

from fastbp import scaling
from fastbp.fitting.interrupts import is_pressed_here
from fastbp.fitting.plan import row_numbers
from fastbp.fitting.team import CalledOff, Team, processors
from fastbp.kernels.training.records import Moments, Samples, Source, Units, Window
from fastbp.kernels.training.windows import (
    PIECE,
    ROOM,
    SIDE_BY_SIDE,
    fill,
    measure,
    shuffle_stretches,
)

#: Bytes of a working copy, order included, up to which a table is trained on whole. (Of 10⁶ rows of
#: 8 columns, 36 MB, a sample costs 72 ns whole, of 10⁷ in windows 57, and of 10⁵ 55, in time of a
#: busy processor.)
WHOLE_BYTES = 2**25

#: Bytes of a window's working copy, and of a block of the table.
WINDOW_BYTES, BLOCK_BYTES = 2**21, 2**13

#: Likewise of a file that is mapped to memory: a block is what a disk reads in one go.
MAPPED_WINDOW_BYTES, MAPPED_BLOCK_BYTES = 2**23, 2**16

#: Bytes of the rows that are held out, and of those that trials are made with, at most.
HELD_OUT_BYTES, TRIAL_BYTES = 2**24, 2**25

#: Rows that a table is looked at by where no trials are made.
ROWS_LOOKED_AT = 2**14

#: Values that bounds are found by, but so many rows at least.
VALUES_LOOKED_AT, LEAST_LOOKED_AT = 2**19, 2000


#: The part of y's variance with which a single row rules the fit.
RULES = 0.5


class NotFinite(ValueError):
    """A table holds what is no number. (scikit-learn has the words for it.)"""


def is_large(X):
    """Whether an array is so large that it is looked at once only, and not copied."""
    return (
        isinstance(X, np.ndarray)
        and X.ndim == 2
        and source_of(X) is not None
        and X.size * 4 + len(X) * 4 > WHOLE_BYTES
    )


def row_bytes(table, dtype):
    """Of a working copy: X, y, weight and order."""
    weighs = table.sample_weight is not None
    numbers = table.X.shape[1] + table.y.shape[1] + weighs
    return numbers * np.dtype(dtype).itemsize + row_numbers(0).itemsize


def source_of(A):
    """An array where it lies, as kernels read it, or None if they can't."""
    if A.dtype.char not in "fd" or not A.dtype.isnative or not A.flags.aligned or not A.size:
        return None
    steps, rest = zip(*(divmod(step, A.itemsize) for step in A.strides), strict=True)
    if any(rest) or min(steps) < 0:
        return None
    size = 1 + sum((n - 1) * step for n, step in zip(A.shape, steps, strict=True))
    numbers = np.lib.stride_tricks.as_strided(A, (size,), (A.itemsize,), writeable=False)
    return Source(numbers, *steps)


def is_mapped(A):
    """Whether an array lies in a file."""
    while A is not None and not isinstance(A, np.memmap):
        A = getattr(A, "base", None)
    return A is not None


def side_by_side(vector):
    """A number for each column, again and again: see `SIDE_BY_SIDE`."""
    return np.tile(np.asarray(vector, np.float64), -(-SIDE_BY_SIDE // len(vector)))


def team_of(n_threads, most, *, listens=False):
    """Threads for work that memory sets the pace of."""
    number = min(n_threads or processors(), max(most, 1))
    return Team(number, shares=n_threads is None, listens=listens)


def check(table):
    """An error, if there is anything but numbers."""
    for A in table[:2]:
        if not all(np.isfinite(A[rows]).all() for rows in scaling.slices(len(A))):
            raise NotFinite


# --------------------------------------------------------------------------- some rows


def spread_rows(n, number, random_state=None):
    """So many of n rows, evenly over the table: one of each of equal stretches, at random or the
    first."""
    if number >= n:
        return np.arange(n)
    edges = np.arange(number + 1) * n // number
    if random_state is None:
        return edges[:-1]
    room = np.diff(edges)
    return edges[:-1] + np.minimum((random_state.uniform(size=number) * room).astype(int), room - 1)


def but(rows, apart):
    """Rows that are not among those set apart, both in rising order."""
    return rows[~np.isin(rows, apart, assume_unique=True)] if apart.size else rows


def rows_held_out(table, settings, random_state):
    """Rows to score by, in rising order: `validation_fraction` of all, but no more than take
    HELD_OUT_BYTES."""
    n, dtype = len(table.y), settings.dtype or table.X.dtype
    number = min(math.ceil(settings.validation_fraction * n), at_most(HELD_OUT_BYTES, table, dtype))
    rows = spread_rows(n, max(number, 2), random_state)
    return rows if table.sample_weight is None else rows[table.sample_weight[rows] > 0]


def rows_of_trials(table, dtype, are_made):
    """How many rows trials are made with, or first weights drawn by."""
    return at_most(TRIAL_BYTES, table, dtype) if are_made else ROWS_LOOKED_AT


def at_most(n_bytes, table, dtype):
    """Rows whose working copy is no larger, but some hundred at least."""
    return max(n_bytes // row_bytes(table, dtype), 256)


# ---------------------------------------------------------------------------- measuring


class Measured(NamedTuple):
    """What columns come to, in float64."""

    n_rows: int  # that count
    weight: float  # of all rows
    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray  # the least value, before any is drawn in
    high: np.ndarray


def measured(A, weight=None, apart=None, bounds=None, n_threads=None):
    """Means and deviations of the columns, in one pass.

    Parameters
    ----------
    A : ndarray of shape (n_rows, n_columns)
    weight : ndarray of shape (n_rows,), default=None
    apart : ndarray of int64, default=None
        Rows that don't count, in rising order.
    bounds : scaling.Bounds, default=None
        That values are drawn in to.

    Returns
    -------
    Measured

    Raises
    ------
    NotFinite
        If there is anything but numbers, in a row that doesn't count, too.
    """
    (n, d), source = A.shape, source_of(A)
    apart = np.empty(0, np.int64) if apart is None else apart
    low, high = bounds or (np.full(d, -np.inf), np.full(d, np.inf))
    low, high = side_by_side(low), side_by_side(high)
    n_pieces = -(-n // PIECE)
    team = team_of(n_threads, n_pieces, listens=True)
    room = np.empty((team.n_threads, ROOM * low.size))
    moments = Moments(np.zeros(n_pieces), *np.zeros((4, n_pieces, d)))
    weight = frozen(np.empty(0) if weight is None else np.require(weight, np.float64, "CA"))
    arguments = weight, frozen(apart), low, high, room, moments
    Team(1).run(measure, source, 0, *arguments)  # compiled before they wait for it
    try:
        team.run(measure, source, n, *arguments, stop=is_pressed_here)
    except CalledOff:
        raise KeyboardInterrupt from None
    n_rows = n - len(apart) if weight.size == 0 else np.count_nonzero(weight)
    return Measured(n_rows, *merged(A, moments, weight, apart, bounds))


def measured_table(table, apart, settings, draws_in):
    """What X and y come to, and the bounds that their values are drawn in to, or None.

    Where `draws_in`, y is as well, if one row rules it: `settings.one_row` and `drawn_in` say so.
    """
    weight, n_threads, (n, d) = table.sample_weight, settings.n_threads, table.X.shape
    rows = but(spread_rows(n, max(VALUES_LOOKED_AT // d, LEAST_LOOKED_AT)), apart)
    if weight is not None:
        rows = rows[weight[rows] > 0]
    bounds = None
    if settings.standardize and len(rows) >= scaling.FEWEST_ROWS:
        some = table.X[rows]
        if not np.isfinite(some).all():
            raise NotFinite
        bounds = scaling.likely_bounds(some)
    X = measured(table.X, weight, apart, bounds, n_threads)
    if bounds is not None and bounds.holds(X.low, X.high):
        bounds = None
    y, y_bounds = measured(table.y, weight, apart, None, n_threads), None
    if settings.standardize:
        settings.one_row = part_of_one_row(y)
        if settings.one_row > RULES and draws_in and not settings.is_partial:
            y_bounds = scaling.likely_bounds(table.y[rows])
            if y_bounds.holds(y.low, y.high):
                y_bounds = None
            else:
                y = measured(table.y, weight, apart, y_bounds, n_threads)
                settings.drawn_in = y_bounds
    if weight is not None:  # rows of weight 0 may hold what is beyond all others
        bounds, y_bounds = (
            scaling.Bounds(of.low, of.high) if its is None else its
            for of, its in ((X, bounds), (y, y_bounds))
        )
    return X, y, bounds, y_bounds


def part_of_one_row(y):
    """The largest part that one row has in the variance of y."""
    if y.n_rows < scaling.FEWEST_ROWS:
        return 0.0
    farthest = np.maximum(y.high - y.mean, y.mean - y.low)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        parts = (farthest / y.deviation) ** 2 / y.n_rows
    return float(np.nanmax(np.where(y.low < y.high, parts, 0.0)))


def seen_of(X, y):
    """See `scaling.seen_of`."""
    total = np.clip(np.array([X.weight]), np.finfo(np.float64).tiny, scaling.MOST_WEIGHT)
    return scaling.Seen(total, X.mean, X.deviation, y.mean, y.deviation)


def check_range(measured, dtype, mean, scale, bounds):
    """An error, if the precision of training doesn't hold what columns are."""
    extremes = np.stack([measured.low, measured.high])
    extremes = extremes if bounds is None else np.clip(extremes, *bounds)
    with np.errstate(over="ignore"):
        extremes = extremes if mean is None else (extremes - mean) / scale
        if not np.isfinite(extremes.astype(dtype)).all():
            raise ValueError(scaling.TOO_LARGE.format(np.dtype(dtype).name))


def frozen(A):
    """A view that nobody writes to."""
    A = A.view()
    A.flags.writeable = False
    return A


def merged(A, moments, weight, apart, bounds):
    """The pieces together."""
    total, there = moments.weight.sum(), moments.weight > 0
    low, high = moments.low.min(axis=0), moments.high.max(axis=0)
    part, origin = moments.weight / total, moments.mean[np.argmax(there)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = origin + part @ (moments.mean - origin)
        variance = part @ (moments.mean - mean) ** 2 + moments.squares.sum(axis=0) / total
    is_small = (variance <= scaling.SMALLEST_SQUARE) & (low < high)
    if not np.isfinite(variance).all() or is_small.any():
        # No numbers, or such whose squares are none.
        if not all(np.isfinite(A[rows]).all() for rows in scaling.slices(len(A))):
            raise NotFinite
        counts = np.ones(len(A)) if weight.size == 0 else weight.copy()
        counts[apart] = 0.0
        return total, *scaling.mean_and_deviation(A, counts, bounds), low, high
    return total, mean, np.sqrt(variance), low, high


# ----------------------------------------------------------------------------- windows


class Windows:
    """What is trained on, as `Samples`, but window by window.

    Parameters
    ----------
    table : Table
        In raw units.
    dtype : numpy.dtype
        Of training.
    units : scaling.Scaling or None
    bounds, y_bounds : scaling.Bounds or None
        That X and y are drawn in to.
    apart : ndarray of int64
        Rows that are not trained on, in rising order.
    settings : see `settings_of`
    """

    def __init__(self, table, dtype, units, bounds, y_bounds, apart, settings):
        X, y, weight = table[:3]
        weight = None if weight is None else np.require(weight, requirements="CA")
        self.table, self.dtype, self.units = table, np.dtype(dtype), units
        self.bounds, self.y_bounds, self.apart = bounds, y_bounds, frozen(apart)
        self.n_samples, batch_size = len(y) - len(apart), settings.batch_size
        mapped = is_mapped(X)
        window_bytes = MAPPED_WINDOW_BYTES if mapped else WINDOW_BYTES
        rows = max(window_bytes // row_bytes(table, dtype) // batch_size, 1) * batch_size
        self.rows = min(rows, self.n_samples)
        block_bytes = MAPPED_BLOCK_BYTES if mapped else BLOCK_BYTES
        self.block = max(1, min(block_bytes // (X.shape[1] * X.itemsize), self.rows))
        self.n_blocks = -(-self.n_samples // self.block)
        n_stretches = min(max(self.rows // self.block, 1), self.n_blocks)
        # All stretches have so many blocks, and some of them one more.
        self.rounds = self.n_blocks // n_stretches
        self.stretches = np.arange(n_stretches + 1) * self.n_blocks // n_stretches
        self.longer = np.flatnonzero(np.diff(self.stretches) > self.rounds)
        self.blocks, self.shuffles = row_numbers(self.n_blocks), settings.shuffle
        self.at_last = self.n_blocks - 1  # where in the order the last block is, which is short
        self.short = self.n_blocks * self.block - self.n_samples
        exponent = 0 if weight is None else scaling.exponent_of(weight)
        self.exponent = exponent
        X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
        self.parts = [
            (source_of(X), units_of(X.shape[1], X_mean, X_scale, bounds)),
            (source_of(y), units_of(y.shape[1], y_mean, y_scale, y_bounds)),
        ]
        self.room = [np.empty((self.rows, a.shape[1]), dtype) for a in (X, y)]
        if weight is not None:
            factor = np.ldexp(1.0, -exponent)
            self.parts.append((source_of(weight[:, None]), units_of(1, [0.0], [1 / factor], None)))
            self.room.append(np.empty((self.rows, 1), dtype))
        self.numbers, self.order = row_numbers(self.rows), row_numbers(self.rows)
        # A disk serves many at once; memory serves one about as fast as two, and next to training
        # it is little.
        self.team = team_of(settings.n_threads, -(-self.rows // self.block)) if mapped else None
        self.samples, self.first = self.samples_of(0), 0
        self.fill_with(Team(1), Window(*np.zeros((3, 0), np.int64)))  # compiled

    def rescaled(self, scale):
        """The same rows, with columns multiplied by this; None leaves them as they are."""
        if scale is None:
            return self
        other = copy(self)
        other.units = self.units._replace(X_scale=self.units.X_scale / scale)
        source, _ = self.parts[0]
        _, d = self.table.X.shape
        units = units_of(d, other.units.X_mean, other.units.X_scale, self.bounds)
        other.parts = [(source, units), *self.parts[1:]]
        return other

    def some(self, number, random_state=None):
        """So many rows, evenly over the table, as samples."""
        rows = but(spread_rows(len(self.table.y), number, random_state), self.apart)
        table = self.table.rows(rows)
        X_mean, X_scale, y_mean, y_scale = self.units or (None,) * 4
        X = scaling.converted(table.X, self.dtype, X_mean, X_scale, self.bounds)
        y = scaling.converted(table.y, self.dtype, y_mean, y_scale, self.y_bounds)
        weight = np.empty(0)
        if table.sample_weight is not None:
            weight = scaling.relative(table.sample_weight, self.exponent)
        return Samples(row_numbers(len(rows)), X, y, frozen(weight.astype(self.dtype)))

    def samples_at(self, position, state, team):
        """The window in which an epoch's position lies, filled if it is new, and where it begins.

        Parameters
        ----------
        position : int
        state : recarray of STATE
            Draws the order of the blocks.
        team : Team
            That trains.
        """
        if position == 0 and self.shuffles:
            shuffle_stretches(self.blocks, self.stretches, state)
            last = self.stretches[-2]
            found = np.flatnonzero(self.blocks[last:] == self.n_blocks - 1)
            self.at_last = self.place_of(len(self.stretches) - 2, int(found[0]))
        if position % self.rows == 0:
            self.first = position
            size = min(self.rows, self.n_samples - position)
            team = self.team or Team(team.n_threads, shares=team.shares)
            self.fill_with(team, self.window(position, position + size))
            self.samples = self.samples_of(size)
        return self.samples, self.first

    def place_of(self, stretch, j):
        """Where in the order a stretch's j-th block is."""
        if j < self.rounds:
            return j * (len(self.stretches) - 1) + stretch
        return self.rounds * (len(self.stretches) - 1) + int(np.searchsorted(self.longer, stretch))

    def blocks_in_order(self, first, last):
        """The numbers of the blocks from one place in the order up to another."""
        i, n = np.arange(first, last), len(self.stretches) - 1
        if not self.shuffles:
            return i
        stretch = i % n
        stretch[i >= self.rounds * n] = self.longer[i[i >= self.rounds * n] - self.rounds * n]
        return self.blocks[self.stretches[stretch] + i // n].astype(np.int64)

    def window(self, start, stop):
        """The rows from one position in the epoch to another."""
        first = start // self.block
        last = min(self.n_blocks, (stop + self.short) // self.block + 1)
        blocks, i = self.blocks_in_order(first, last), np.arange(first, last + 1)
        edges = i * self.block - self.short * (i > self.at_last)
        places = np.clip(edges, start, stop)
        firsts = blocks * self.block + places[:-1] - edges[:-1]
        return Window(frozen(firsts), frozen(places - start), self.apart)

    def fill_with(self, team, window):
        """The window's rows, standardised and converted, in any number of threads."""
        parts = zip(self.parts, self.room, strict=True)
        jobs = [(source, window, units, out) for (source, units), out in parts]

        def fill_all(threads):
            for job in jobs:
                fill(threads, *job)

        team.run(fill_all)
        if len(self.room) > 2:
            weight = self.room[2]
            weight[weight < scaling.LEAST_WEIGHT] = 0.0

    def samples_of(self, size):
        """The first rows of the room, in an order of their own."""
        self.order[:] = self.numbers
        X, y = (frozen(room[:size]) for room in self.room[:2])
        weight = self.room[2][:size, 0] if len(self.room) > 2 else np.empty(0, self.dtype)
        return Samples(self.order[:size], X, y, frozen(weight))


def units_of(d, mean, scale, bounds):
    """What is done to d columns, as kernels take it."""
    center, factor = (np.zeros(d), np.ones(d)) if mean is None else (mean, 1 / np.asarray(scale))
    limits = [np.empty(0)] * 2 if bounds is None else [side_by_side(limit) for limit in bounds]
    return Units(side_by_side(center), side_by_side(factor), *limits)
