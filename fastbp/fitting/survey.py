"""Tables that are too large for a working copy, surveyed where they lie: which they are, some of
their rows, and what their columns come to, in one pass.
"""

import math
from typing import NamedTuple

import numpy as np

from fastbp import converting, measuring, outliers, scaling
from fastbp.fitting.interrupts import is_pressed_here
from fastbp.fitting.plan import row_numbers
from fastbp.fitting.team import CalledOff, Team, processors
from fastbp.kernels.training.records import Moments, Source
from fastbp.kernels.training.windows import PIECE, ROOM, SIDE_BY_SIDE, measure

#: Bytes of a working copy, order included, up to which a table is trained on whole. (Of 10⁶ rows of
#: 8 columns, 36 MB, a sample costs 72 ns whole, of 10⁷ in windows 57, and of 10⁵ 55, in time of a
#: busy processor.)
WHOLE_BYTES = 2**25

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
    return isinstance(X, np.ndarray) and X.ndim == 2 and is_long(X) and source_of(X) is not None


def is_long(X):
    """Whether an array has so many values, wherever they lie."""
    return X.size * 4 + len(X) * 4 > WHOLE_BYTES


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


def readable(A):
    """The same numbers as kernels can read them: a copy, if they can't."""
    return A if source_of(A) is not None else np.array(A, np.result_type(A, np.float32), order="C")


def side_by_side(vector):
    """A number for each column, again and again: see `SIDE_BY_SIDE`."""
    return np.tile(np.asarray(vector, np.float64), -(-SIDE_BY_SIDE // len(vector)))


def team_of(n_threads, most, *, listens=False):
    """Threads for work that memory sets the pace of."""
    number = min(n_threads or processors(), max(most, 1))
    return Team(number, shares=n_threads is None, listens=listens)


def frozen(A):
    """A view that nobody writes to."""
    A = A.view()
    A.flags.writeable = False
    return A


def check(*arrays):
    """An error, if there is anything but numbers."""
    for A in arrays:
        if not all(np.isfinite(A[rows]).all() for rows in measuring.slices(len(A))):
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
    bounds : outliers.Bounds, default=None
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
        team.run(measure, source, n, *arguments, stop=is_pressed_here, meets=False)
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
    if settings.standardize and len(rows) >= outliers.FEWEST_ROWS:
        some = table.X[rows]
        if not np.isfinite(some).all():
            raise NotFinite
        bounds = outliers.likely_bounds(some)
    X = measured(table.X, weight, apart, bounds, n_threads)
    if bounds is not None and bounds.holds(X.low, X.high):
        bounds = None
    y, y_bounds = measured(table.y, weight, apart, None, n_threads), None
    if settings.standardize:
        shares = shares_of_one_row(y.n_rows, y.mean, y.deviation, y.low, y.high)
        settings.one_row = float(shares.max(initial=0.0))
        if settings.one_row > RULES and draws_in and not settings.is_partial:
            y_bounds = bounds_of_ruled(outliers.likely_bounds(table.y[rows]), shares)
            if y_bounds.holds(y.low, y.high):
                y_bounds = None
            else:
                y = measured(table.y, weight, apart, y_bounds, n_threads)
                settings.drawn_in = y_bounds
    if weight is not None:  # rows of weight 0 may hold what is beyond all others
        bounds, y_bounds = (
            outliers.Bounds(of.low, of.high) if its is None else its
            for of, its in ((X, bounds), (y, y_bounds))
        )
    return X, y, bounds, y_bounds


def bounds_of_ruled(bounds, shares):
    """Those of the y that one row rules; in others, among several, a far value is right."""
    ruled = shares > RULES
    low, high = np.where(ruled, bounds.low, -np.inf), np.where(ruled, bounds.high, np.inf)
    return outliers.Bounds(low, high)


def shares_of_one_row(n_rows, mean, deviation, low, high):
    """The largest part that one row has in the variance of each y, where there are enough rows."""
    if n_rows < outliers.FEWEST_ROWS:
        return np.zeros(len(mean))
    farthest = np.maximum(high - mean, mean - low)
    with np.errstate(all="ignore"):
        parts = (farthest / deviation) ** 2 / n_rows
    return np.where((low < high) & np.isfinite(parts), parts, 0.0)


def seen_of(X, y):
    """See `scaling.seen_of`."""
    total = np.clip(np.array([X.weight]), np.finfo(np.float64).tiny, measuring.MOST_WEIGHT)
    return scaling.Seen(total, X.mean, X.deviation, y.mean, y.deviation)


def check_range(measured, dtype, mean, scale, bounds):
    """An error, if the precision of training doesn't hold what columns are."""
    extremes = np.stack([measured.low, measured.high])
    extremes = extremes if bounds is None else np.clip(extremes, *bounds)
    with np.errstate(over="ignore"):
        extremes = extremes if mean is None else (extremes - mean) / scale
        if not np.isfinite(extremes.astype(dtype)).all():
            raise ValueError(converting.TOO_LARGE.format(np.dtype(dtype).name))


def merged(A, moments, weight, apart, bounds):
    """The pieces together."""
    total, there = moments.weight.sum(), moments.weight > 0
    low, high = moments.low.min(axis=0), moments.high.max(axis=0)
    part, origin = moments.weight / total, moments.mean[np.argmax(there)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = origin + part @ (moments.mean - origin)
        variance = part @ (moments.mean - mean) ** 2 + moments.squares.sum(axis=0) / total
    is_small = (variance <= measuring.SMALLEST_SQUARE) & (low < high)
    if not np.isfinite(variance).all() or is_small.any():
        check(A)  # no numbers, or such whose squares are none
        counts = np.ones(len(A)) if weight.size == 0 else weight.copy()
        counts[apart] = 0.0
        return total, *measuring.mean_and_deviation(A, counts, bounds), low, high
    return total, mean, np.sqrt(variance), low, high
