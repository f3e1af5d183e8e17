"""Means and deviations of columns of any magnitude, with weights of any."""

import numpy as np
from scipy import sparse

from fastbp import entries
from fastbp.blas import one_thread_in_blas

#: Rows converted at a time: temporary arrays stay small beside the table.
CHUNK = 4096

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


def slices(n, size=CHUNK):
    """Slices of `size` that cover n rows. (scikit-learn's gen_batches takes 50 µs to begin.)"""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


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


def total_weight(A, weight):
    """Of all rows, in an array."""
    total = A.shape[0]
    if weight is not None:
        with np.errstate(over="ignore", under="ignore"):
            total = np.ldexp(relative(weight).sum(), exponent_of(weight))
    return np.array([min(max(total, TINY), MOST_WEIGHT)], np.float64)


def are_constant(mean, deviation):
    """Which columns have only rounding errors about their means."""
    return deviation <= np.maximum(ROUNDING * np.abs(mean), TINY)


def merged(mean, deviation, more_mean, more_deviation, part):
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
    with one_thread_in_blas(A.shape[0] * A.shape[1]):
        return _mean_and_deviation(A, weight, bounds)


def _mean_and_deviation(A, weight, bounds):
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
