"""Bounds of honest columns, by their quantiles: what lies beyond them is drawn in."""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp.measuring import slices


class Bounds(NamedTuple):
    """Between what the values of each column of X are trained on."""

    low: np.ndarray  # (n_features,)
    high: np.ndarray

    def holds(self, low, high):
        """Whether values from these least to these greatest ones all lie between."""
        return not ((low < self.low) | (high > self.high)).any()


#: So much of a column is no outlier, and so few rows of a table can't tell.
QUANTILES, FEWEST_ROWS = (0.005, 0.995), 40

#: Values that quantiles are taken of, at most: columns together; and of how many at a time.
VALUES_LOOKED_AT, VALUES_AT_A_TIME = 2_000_000, 2**18


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
    low, high = np.empty((2, some.shape[1]))
    for few in slices(some.shape[1], max(1, VALUES_AT_A_TIME // len(some))):
        columns = np.array(some[:, few].T, np.float64, order="C")
        columns.partition(places)
        low[few], high[few] = columns[:, list(places)].T
    apart = high - low
    with np.errstate(over="ignore", invalid="ignore"):
        return Bounds(
            np.where(apart > 0, low - apart, -np.inf), np.where(apart > 0, high + apart, np.inf)
        )
