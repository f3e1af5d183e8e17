"""Standardisation, and its inverse folded into the weights.

Training sees every column with mean 0 and variance 1; users see weights for the units of
their table: with x' = (x − x̄)/sₓ and y' = (y − ȳ)/s_y, both describe the same network.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

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


class Bounds(NamedTuple):
    """Between what the values of each column of X are trained on."""

    low: np.ndarray  # (n_features,)
    high: np.ndarray


#: So much of a column is no outlier, and so few rows of a table can't tell.
QUANTILES, FEWEST_ROWS = (0.005, 0.995), 40

#: A standard deviation below so many times the mean is that of rounding errors.
ROUNDING = 10 * np.finfo(np.float64).eps

#: Squares below it may have lost digits.
SMALLEST_SQUARE = 1e-280

#: Of weights, beside the largest: less is not there. Float32 holds it, and its inverse.
LEAST_WEIGHT = 2.0**-100

#: Values that quantiles are taken of, at most: columns together.
VALUES_LOOKED_AT = 2_000_000


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
    most = max(1000, VALUES_LOOKED_AT // max(X.shape[1], 1))
    some = X[rows[:: -(-len(rows) // most)]].astype(np.float64)
    low = np.quantile(some, QUANTILES[0], axis=0, method="higher")
    high = np.quantile(some, QUANTILES[1], axis=0, method="lower")
    apart = high - low
    with np.errstate(over="ignore", invalid="ignore"):
        bounds = Bounds(
            np.where(apart > 0, low - apart, -np.inf), np.where(apart > 0, high + apart, np.inf)
        )
    beyond = (X.min(axis=0) < bounds.low) | (X.max(axis=0) > bounds.high)
    return bounds if beyond.any() else None


def measure(X, y, weight=None, bounds=None):
    """Scaling that standardises X and y.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,), default=None
        A row of weight 2 counts twice, one of weight 0 is not there.
    bounds : Bounds or None
        Between which X counts.
    """
    X_mean, X_scale, is_constant = mean_and_scale(X, weight, bounds)
    # What is subtracted of a constant column, times its weight, is in the first biases of raw
    # units: of a large one, it would be all that is left of them.
    X_scale[is_constant] = np.maximum(np.abs(X_mean[is_constant]), 1.0)
    return Scaling(X_mean, X_scale, *mean_and_scale(y, weight)[:2])


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
    """Mean and standard deviation of each column, 1 of constant ones, and which these are.

    All is measured from the first row, in units of what columns differ from it: a small column with
    a large offset, or one whose squares are beyond all numbers, is measured as any other.
    """
    n = A.shape[0]
    weight = np.ones(n) if weight is None else relative(weight)
    weight /= weight.sum()
    first, chunks = int(np.argmax(weight > 0)), [(weight[rows], rows) for rows in slices(n)]
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
        raise ValueError(
            "Values are too large to be standardised: their differences overflow. "
            "Rescale the column."
        )
    mean, scale = origin + away, np.sqrt(variance) * unit
    # A constant column has only rounding errors about its mean: it is centred, not scaled.
    least = np.maximum(ROUNDING * np.abs(mean), np.finfo(np.float64).tiny)
    is_constant = scale <= least
    return mean, np.where(is_constant, 1.0, scale), is_constant


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
    return np.ldexp(1.0, np.frexp(most)[1] - 1)


def _dense(rows, bounds):
    """Rows in float64, C-ordered: sums then round alike for any layout of the table."""
    rows = rows.toarray() if sparse.issparse(rows) else rows
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
        out, room = np.empty(A.shape, dtype), np.empty((min(CHUNK, A.shape[0]), A.shape[1]))
        for rows in slices(A.shape[0]):
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
        if out.size and not (np.isfinite(out.min()) and np.isfinite(out.max())):
            raise ValueError(
                f"Values are too large for {np.dtype(dtype).name}. Pass dtype='float64', "
                "or rescale the column."
            )
    out.flags.writeable = False
    return out


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
