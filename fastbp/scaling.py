"""Standardisation, and its inverse folded into the weights.

Training sees every column with mean 0 and variance 1; users see weights for the units of
their table: with x' = (x − x̄)/sₓ and y' = (y − ȳ)/s_y, both describe the same network.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import entries

#: Rows converted at a time: temporary arrays stay small beside the table.
CHUNK = 4096


def slices(n, size=CHUNK):
    """Slices of `size` that cover n rows. (scikit-learn's gen_batches takes 50 µs to begin.)"""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


class Scaling(NamedTuple):
    """Mean and standard deviation of each column of X and y, float64."""

    X_mean: np.ndarray  # (n_features,)
    X_scale: np.ndarray
    y_mean: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray


class Seen(NamedTuple):
    """What has been seen of each column of X and y, float64: other rows can be added to it."""

    weight: np.ndarray  # (1,): of all rows, each of weight 1 if there are none
    X_mean: np.ndarray  # (n_features,)
    X_deviation: np.ndarray  # standard, and as it is: of a constant, 0 or nearly
    y_mean: np.ndarray  # (n_outputs,)
    y_deviation: np.ndarray
    y_weight: np.ndarray | None = None  # (n_outputs,), of each output, if they differ

    def units(self, link="identity"):
        """The scaling that standardises them.

        Behind a link y is divided by its mean: from 0 on, that is where it is 0.
        """
        # What is subtracted of a constant column, times its weight, is in the first biases of raw
        # units: of a large one, it would be all that is left of them.
        X_scale = _scale(self.X_mean, self.X_deviation, np.maximum(np.abs(self.X_mean), 1.0))
        if link == "identity":
            of_y = self.y_mean, _scale(self.y_mean, self.y_deviation)
        else:
            mean = np.where(self.y_mean > 0, self.y_mean, 1.0)
            of_y = np.zeros_like(mean), mean
        return Scaling(self.X_mean, X_scale, *of_y)

    def merged(self, more):
        """With more rows: as if all had been measured at once (Chan, Golub & LeVeque, 1979)."""
        weight = np.minimum(self.weight + more.weight, MOST_WEIGHT)
        part = part_of_y = more.weight / (self.weight + more.weight)
        y_weight = None
        if self.y_weight is not None or more.y_weight is not None:
            before, then = (
                each.weight if each.y_weight is None else each.y_weight for each in (self, more)
            )
            part_of_y = then / (before + then)
            y_weight = np.minimum(before + then, MOST_WEIGHT)
        return Seen(
            weight,
            *_merged(self.X_mean, self.X_deviation, more.X_mean, more.X_deviation, part),
            *_merged(self.y_mean, self.y_deviation, more.y_mean, more.y_deviation, part_of_y),
            y_weight,
        )


class Bounds(NamedTuple):
    """Between what the values of each column of X are trained on."""

    low: np.ndarray  # (n_features,)
    high: np.ndarray

    def holds(self, low, high):
        """Whether values from these least to these greatest ones all lie between."""
        return not ((low < self.low) | (high > self.high)).any()


#: So much of a column is no outlier, and so few rows of a table can't tell.
QUANTILES, FEWEST_ROWS = (0.005, 0.995), 40

#: A standard deviation below so many times the mean is that of rounding errors.
ROUNDING = 10 * np.finfo(np.float64).eps

#: The least number of all digits.
TINY = float(np.finfo(np.float64).tiny)

#: Squares below it may have lost digits.
SMALLEST_SQUARE = 1e-280

#: Of weights, beside the largest: less is not there. Float32 holds it, and its inverse.
LEAST_WEIGHT = 2.0**-100

#: Of all rows seen: what is more is not counted, the sum of two is a number.
MOST_WEIGHT = 2.0**1022

OVERFLOW = (
    "Values are too large to be standardised: their differences overflow. Rescale the column."
)

TOO_LARGE = "Values are too large for {}. Pass dtype='float64', or rescale the column."

#: Values that quantiles are taken of, at most: columns together.
VALUES_LOOKED_AT = 2_000_000

#: Values of a sparse table that are dense at a time.
VALUES_AT_A_TIME = 2**21


def bounds_of(X, rows):
    """Bounds that no value of an honest column lies beyond, or None if no value of any does.

    As far again beyond the quantiles as they are apart: one wrong value of 10⁶ would otherwise be
    all that is left of its column, once it is divided by its standard deviation. A column that is
    constant but for a few rows has no such bounds.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    rows : ndarray of int
        Those that count.
    """
    if sparse.issparse(X) or len(rows) < FEWEST_ROWS:
        return None
    some = X[rows[:: step_of_rows(len(rows), X.shape[1])]]
    return bounds_by(some, X.min(axis=0), X.max(axis=0))


def step_of_rows(n, n_columns):
    """Of so many rows each that comes so many later is looked at for quantiles."""
    most = max(1000, VALUES_LOOKED_AT // max(n_columns, 1))
    return max(1, -(-n // most))


def bounds_by(some, least, greatest):
    """Bounds by some of the rows, and by the least and the greatest value of each column."""
    bounds = likely_bounds(some)
    return None if bounds.holds(least, greatest) else bounds


def likely_bounds(some):
    """Bounds by some of the rows: see `bounds_of`."""
    last = len(some) - 1
    places = math.ceil(QUANTILES[0] * last), math.floor(QUANTILES[1] * last)
    low, high = np.partition(some.astype(np.float64), places, axis=0)[list(places)]
    apart = high - low
    with np.errstate(over="ignore", invalid="ignore"):
        return Bounds(
            np.where(apart > 0, low - apart, -np.inf), np.where(apart > 0, high + apart, np.inf)
        )


def measure(X, y, weight=None, bounds=None):
    """Scaling that standardises X and y: see `seen_of`."""
    return seen_of(X, y, weight, bounds).units()


def seen_of(X, y, weight=None, bounds=None, y_weight=None):
    """Weight, means and deviations of X and y.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,), default=None
        A row of weight 2 counts twice, one of weight 0 is not there.
    bounds : Bounds or None
        Between which X counts.
    y_weight : ndarray of shape (n_samples, n_outputs), default=None
        Of each output, where they differ.
    """
    total, of_X = _total(X, weight), mean_and_deviation(X, weight, bounds)
    if y_weight is None:
        return Seen(total, *of_X, *mean_and_deviation(y, weight))
    of_y = np.zeros((2, y.shape[1]))
    for k in np.flatnonzero(y_weight.any(axis=0)):
        of_y[:, [k]] = mean_and_deviation(y[:, [k]], y_weight[:, k])
    totals = [_total(y, y_weight[:, k])[0] for k in range(y.shape[1])]
    return Seen(total, *of_X, *of_y, np.array(totals))


def _total(A, weight):
    """Of all rows, in an array."""
    total = A.shape[0]
    if weight is not None:
        with np.errstate(over="ignore", under="ignore"):
            total = np.ldexp(relative(weight).sum(), exponent_of(weight))
    return np.array([min(max(total, TINY), MOST_WEIGHT)], np.float64)


def checked_seen(seen, n_features, n_outputs):
    """What has been seen in memory of its own; an error, if it is none of so many columns."""
    lengths = [1] + 2 * [n_features] + (2 if seen.y_weight is None else 3) * [n_outputs]
    seen = seen[: len(lengths)]
    shapes = [np.shape(each) for each in seen]
    if shapes != [(n,) for n in lengths]:
        raise ValueError(
            f"Arrays of shapes {shapes} are not what was seen of {n_features} columns and "
            f"{n_outputs} outputs."
        )
    flat = np.concatenate(seen, dtype=np.float64, casting="same_kind")
    own = Seen(*np.split(flat, np.cumsum(lengths)[:-1]))
    deviations = np.concatenate([own.X_deviation, own.y_deviation])
    weights = own.weight if own.y_weight is None else np.append(own.weight, own.y_weight)
    if not (np.isfinite(flat).all() and (weights > 0).all() and (deviations >= 0).all()):
        raise ValueError("What was seen must be finite, its weight above 0, no deviation below.")
    return own


def checked(scaling, n_columns, n_outputs):
    """The scaling as kernels take it, in memory of its own; an error, if it is none of so many."""
    shapes, lengths = [np.shape(each) for each in scaling], 2 * [n_columns] + 2 * [n_outputs]
    if shapes != [(n,) for n in lengths]:
        raise ValueError(
            f"A scaling of shapes {shapes} is none of {n_columns} columns and {n_outputs} outputs."
        )
    flat = np.concatenate(scaling, dtype=np.float64, casting="same_kind")
    of_x, of_y = flat[: 2 * n_columns], flat[2 * n_columns :]
    units = Scaling(of_x[:n_columns], of_x[n_columns:], of_y[:n_outputs], of_y[n_outputs:])
    if not (np.isfinite(flat).all() and (units.X_scale > 0).all() and (units.y_scale > 0).all()):
        raise ValueError("A scaling must be finite, and its scales above 0.")
    return units


def no_scaling(n_features, n_outputs):
    """The scaling that leaves everything as it is."""
    shape = np.ones(n_features), np.ones(n_outputs)
    return Scaling(0 * shape[0], shape[0], 0 * shape[1], shape[1])


def relative(weight, exponent=None):
    """Weights in float64, the largest between 1/2 and 1: only their ratios matter, and these are as
    they were, to the last bit. What is next to nothing beside the largest is 0.

    `exponent` is of the power of two that they are divided by; None is `exponent_of` them.
    """
    exponent = exponent_of(weight) if exponent is None else exponent
    with np.errstate(over="ignore", under="ignore"):
        ratios = np.ldexp(weight.astype(np.float64), -exponent)
    ratios[ratios < LEAST_WEIGHT] = 0.0
    return ratios


def exponent_of(weight):
    """Of the power of two next above the largest weight."""
    return int(np.frexp(weight.max(initial=0.0))[1])


def mean_and_scale(A, weight=None, bounds=None):
    """Mean of each column and what it is divided by."""
    mean, deviation = mean_and_deviation(A, weight, bounds)
    return mean, _scale(mean, deviation)


def are_constant(mean, deviation):
    """Which columns have only rounding errors about their means."""
    return deviation <= np.maximum(ROUNDING * np.abs(mean), TINY)


def _scale(mean, deviation, of_constant=1.0):
    """What a column is divided by: a constant one is centred, not scaled."""
    return np.where(are_constant(mean, deviation), of_constant, deviation)


def _merged(mean, deviation, more_mean, more_deviation, part):
    """Mean and deviation of two groups of rows, of which the second is this part of the whole."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = more_mean - mean
        each = np.stack([deviation, more_deviation, np.abs(apart)])
        # A power of two away, squares are numbers, and no digit is lost.
        unit = power_of_two(each.max(axis=0))
        squares = (each / unit) ** 2
        shares = np.stack([1 - part, part, (1 - part) * part])
        deviation = np.sqrt((shares * squares).sum(axis=0)) * unit
    if not np.isfinite(deviation).all():
        raise ValueError(OVERFLOW)
    return mean + part * apart, deviation


def mean_and_deviation(A, weight=None, bounds=None):
    """Mean and standard deviation of each column.

    All is measured from the first row, in units of what columns differ from it: a small column with
    a large offset, or one whose squares are beyond all numbers, is measured as any other.
    """
    n = A.shape[0]
    if weight is None:
        weight, first = np.full(n, 1 / max(n, 1)), 0
    else:
        weight = relative(weight)
        weight /= weight.sum()
        first = int(np.argmax(weight > 0))
    if sparse.issparse(A):
        with np.errstate(over="ignore", invalid="ignore"):
            mean, square, unit = entries.mean_and_squares(A, weight, SMALLEST_SQUARE)
        if not np.isfinite(square).all():
            raise ValueError(OVERFLOW)
        return mean, np.sqrt(square) * unit
    chunks = [(weight[rows], rows) for rows in slices(n)]
    origin = _dense(A[first : first + 1], bounds)[0]
    away = np.zeros(A.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        for w, rows in chunks:
            away += w @ (_dense(A[rows], bounds) - origin)
        variance, unit = _mean_square(A, chunks, bounds, origin, away, None), 1.0
        if not (np.isfinite(variance) & (variance > SMALLEST_SQUARE)).all():
            used = np.flatnonzero(weight)  # others may be larger than all numbers, times 0
            chunks = [(weight[used[some]], used[some]) for some in slices(len(used))]
            away = sum(w @ (_dense(A[rows], bounds) - origin) for w, rows in chunks)
            unit = _powers_of_two(A, chunks, bounds, origin)
            variance = _mean_square(A, chunks, bounds, origin, away, unit)
            if not np.isfinite(variance).all():
                raise ValueError(OVERFLOW)
    return origin + away, np.sqrt(variance) * unit


def _mean_square(A, chunks, bounds, origin, away, unit):
    """Of what columns differ from their means, in this unit."""
    total = np.zeros(A.shape[1])
    for w, rows in chunks:
        part = _dense(A[rows], bounds) - origin
        part -= away
        if unit is not None:
            part /= unit
        part *= part
        total += w @ part
    return total


def _powers_of_two(A, chunks, bounds, origin):
    """Units in which columns are neither so large nor so small that their squares can't be."""
    most = np.zeros(A.shape[1])
    for _, rows in chunks:
        np.maximum(most, np.abs(_dense(A[rows], bounds) - origin).max(axis=0), out=most)
    return power_of_two(most)


def power_of_two(most):
    """The greatest that is no more than these numbers: divided by it they are as precise, and their
    squares are numbers."""
    return np.ldexp(1.0, np.frexp(most)[1] - 1)


def _dense(rows, bounds):
    """Rows in float64, C-ordered: sums then round alike for any layout of the table."""
    rows = np.ascontiguousarray(rows, np.float64)
    return rows if bounds is None else np.clip(rows, *bounds)


def converted(A, dtype, mean=None, scale=None, bounds=None):
    """A as the kernels take it: C-contiguous, read-only, in `dtype`, standardised if asked.

    The result is a view of `A` where `A` is all of that already. Otherwise it is the one
    working copy of a fit: a conversion for every sample of every epoch costs more.
    """
    as_is = isinstance(A, np.ndarray) and A.dtype == dtype and A.flags.c_contiguous
    if mean is None and as_is and A.flags.aligned:
        out = A.view()
    else:
        size = min(CHUNK, max(1, A.shape[0]))
        if sparse.issparse(A):  # of a dense table what is temporary is small beside it
            size = min(size, max(1, VALUES_AT_A_TIME // A.shape[1]))
        out, room = np.empty(A.shape, dtype), np.empty((size, A.shape[1]))
        for rows in slices(A.shape[0], size):
            chunk = A[rows].toarray() if sparse.issparse(A) else A[rows]
            chunk = chunk if bounds is None else np.clip(chunk, *bounds)
            with np.errstate(over="ignore"):  # reported below
                if mean is None:
                    out[rows] = chunk
                else:
                    # In float64: raw values may be beyond float32, or far from 0.
                    standard = np.subtract(chunk, mean, out=room[: len(chunk)])
                    standard /= scale
                    out[rows] = standard
        check_finite(out)
    out.flags.writeable = False
    return out


def entries_of(A, dtype, mean=None, scale=None):
    """As `converted`, of a sparse table, whose entries are all that is looked at."""
    with np.errstate(over="ignore"):  # reported below
        out = entries.entries_of(A, dtype, mean, scale)
    check_finite(out.rows.data)
    check_finite(out.rows.centre)
    return out


def check_finite(converted):
    """An error, if these numbers are beyond their precision."""
    if converted.size and not (np.isfinite(converted.min()) and np.isfinite(converted.max())):
        raise ValueError(TOO_LARGE.format(converted.dtype.name))


def within(columns, limit):
    """The same, but no further from 0 than the limit: read-only, a copy only if some are."""
    if columns.size and max(columns.max(), -columns.min()) > limit:
        columns = np.clip(columns, -limit, limit)
        columns.flags.writeable = False
    return columns


def to_raw_units(coefs, intercepts, scaling, link="identity"):
    """Weights for standardised X and y → weights for raw X and y, in float64.

    Without a scaling these are the same. Behind a logarithm y is only divided by a number, whose
    logarithm the output's bias then has to add.
    """
    if scaling is None:
        return coefs, intercepts
    coefs = [W.astype(np.float64) for W in coefs]
    intercepts = [b.astype(np.float64) for b in intercepts]
    coefs[0] /= scaling.X_scale[:, None]
    intercepts[0] -= scaling.X_mean @ coefs[0]
    if link == "log":
        intercepts[-1] = intercepts[-1] + np.log(scaling.y_scale)
    else:
        coefs[-1] *= scaling.y_scale
        intercepts[-1] = intercepts[-1] * scaling.y_scale + scaling.y_mean
    return coefs, intercepts


def to_standard_units(coefs, intercepts, scaling, link="identity"):
    """The inverse of `to_raw_units`."""
    if scaling is None:
        return coefs, intercepts
    # Only the outermost layers change, and nobody's own arrays.
    coefs, intercepts = list(coefs), list(intercepts)
    if link == "log":
        intercepts[-1] = intercepts[-1] - np.log(scaling.y_scale)
    else:
        coefs[-1] = coefs[-1] / scaling.y_scale
        intercepts[-1] = (intercepts[-1] - scaling.y_mean) / scaling.y_scale
    intercepts[0] = intercepts[0] + scaling.X_mean @ coefs[0]
    coefs[0] = coefs[0] * scaling.X_scale[:, None]
    return coefs, intercepts
