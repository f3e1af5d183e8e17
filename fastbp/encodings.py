"""Encodings of numerical columns, which a network sees beside the columns themselves.

Sharp edges are hard to learn from a column as it is, and easy from these (Gorishniy, Rubachev &
Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022):

- piecewise linear: between edges b₀ < … < b_T, quantiles of the column, T columns
  ``clip((x − bₜ₋₁) / (bₜ − bₜ₋₁), 0, 1)``, less their means;
- periodic: ``sin 2πfz`` and ``cos 2πfz`` of the standardised column z, with fixed random f.

Both are a tenth as large as a standardised column: larger, they drown it. Outside of the values
measured, they are as at the ends.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import converting, measuring, scaling
from fastbp.kernels.training.encoding import encode_rows, laid_out

#: What can be asked for, in the order in which the columns come.
NAMES = ("piecewise_linear", "periodic")

#: Bins of a column at most, and its frequencies with their standard deviation.
BINS, FREQUENCIES, SIGMA = 16, 8, 2.0

#: Bins of a column where there are as few columns, and rows between these: power-plant and sums of
#: trees have 0.985 of the error, in 1.4 times the time. (Of more columns they leave 0.98 to 1.09.)
FINE_BINS, FEW_COLUMNS, ROWS_OF_FINE = 64, 4, (4096, 50_000)

#: The size of an encoded column, that of a standardised one being 1.
SIZE = 0.1

#: Values of a column are one that are no further apart than so many roundings of its largest, or
#: than this part of the range of nearly all of them, between two quantiles: some roundings of what
#: had been calculated in float32, if it is not far from 0.
ROUNDINGS, ROUNDING, NEARLY_ALL = 4, 1e-6, (0.005, 0.995)

#: Values that an encoding is measured on, at most: columns together.
VALUES_LOOKED_AT = 500_000


class Encoding(NamedTuple):
    """The columns that a network sees: those of the table, then encoded ones."""

    names: tuple  # of `NAMES`
    low: np.ndarray  # (n_features,), float64 as the others: x is clipped to what was measured
    high: np.ndarray
    mean: np.ndarray  # (n_features,): z = (x − mean) / scale
    scale: np.ndarray
    bin_of: np.ndarray  # (n_bins,), uint32: the column of each bin
    edge: np.ndarray  # (n_bins,): its lower edge
    width: np.ndarray
    centre: np.ndarray  # (n_bins,): the mean of what it gives
    wave_of: np.ndarray  # (n_waves,), uint32: the column of each frequency
    frequency: np.ndarray  # (n_waves,): f

    @property
    def column_of(self):
        """The table's column that each column comes from."""
        columns = np.arange(self.low.size)
        return np.concatenate([columns, self.bin_of, self.wave_of, self.wave_of]).astype(np.intp)

    @property
    def size(self):
        """What is 1 for a standardised column."""
        return SIZE

    @property
    def n_columns(self):
        """How many the network sees."""
        return self.low.size + self.bin_of.size + 2 * self.wave_of.size


def names_of(given):
    """The encodings asked for, in the order of `NAMES`; () for None.

    Raises
    ------
    ValueError
        If there are others among them, or none.
    """
    if given is None:
        return ()
    asked = np.atleast_1d(np.asarray(given, object)).tolist()
    if unknown := [name for name in asked if name not in NAMES]:
        raise ValueError(f"Unknown encoding {unknown[0]!r}; known: {sorted(NAMES)}.")
    if not asked:
        raise ValueError(f"encoding names none of {sorted(NAMES)}; None is no encoding.")
    return tuple(name for name in NAMES if name in asked)


def rows_looked_at(rows, n_features):
    """Some rows to measure an encoding on, evenly spread."""
    most = max(1000, VALUES_LOOKED_AT // max(n_features, 1))
    return rows[:: -(-len(rows) // most)]


def measure(names, X, random_state, eps=2.0**-52):
    """An encoding for the columns of X.

    Of a column with two values every function is linear: it gets no columns, nor do constant ones.
    Where quantiles coincide, there are fewer bins. Values that differ by rounding are one: a bin of
    their distance would tell 0.3 from 0.1 + 0.2.

    Parameters
    ----------
    names : sequence of str
        Of `NAMES`.
    X : ndarray of shape (n_rows, n_features), float64
        Rows to measure on.
    random_state : RandomState
        Draws the frequencies.
    eps : float
        A rounding of 1 in the precision of the table; that of float64.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    mean, scale = scaling.mean_and_scale(X)
    least = [least_apart(x, eps) for x in X.T]
    several = [
        np.any((x > a + gap) & (x < b - gap))
        for x, a, b, gap in zip(X.T, low, high, least, strict=True)
    ]
    columns, n_bins = np.flatnonzero(several), most_bins(*X.shape)
    bins, waves, frequency = [], np.zeros(0, np.uint32), np.zeros(0)
    if "piecewise_linear" in names:
        for j in columns:
            edges = np.quantile(X[:, j], np.linspace(0, 1, n_bins + 1), method="lower")
            bins += [(j, *pair) for pair in pairwise(apart(edges, least[j]))]
    if "periodic" in names:
        waves = np.repeat(columns, FREQUENCIES).astype(np.uint32)
        frequency = random_state.normal(0, SIGMA, waves.size)
    bin_of, edge, upper = np.array(bins).reshape(-1, 3).T
    bin_of, width = bin_of.astype(np.uint32), upper - edge
    centre = [
        np.mean(np.clip((X[:, j] - b) / w, 0, 1))
        for j, b, w in zip(bin_of, edge, width, strict=True)
    ]
    return Encoding(
        tuple(names), low, high, mean, scale, bin_of, edge, width, np.array(centre),
        waves, frequency,
    )  # fmt: skip


def most_bins(n_rows, n_features):
    """Of a column."""
    fewest, most = ROWS_OF_FINE
    is_fine = n_features <= FEW_COLUMNS and fewest <= n_rows <= most
    return FINE_BINS if is_fine else BINS


def least_apart(x, eps):
    """How far apart two values of a column must be to be two."""
    low, high = np.quantile(x, NEARLY_ALL, method="lower")
    return max(ROUNDINGS * eps * np.abs(x).max(), ROUNDING * high - ROUNDING * low)


def apart(edges, least):
    """Rising edges, but for those that are no further than that above the one before."""
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge > kept[-1] + least:
            kept.append(edge)
    return kept


def converted(A, dtype, encoding, units=None, bounds=None):
    """The columns that the network sees, as the kernels take them: see `converting.converted`.

    Parameters
    ----------
    A : {ndarray, sparse matrix} of shape (n_rows, n_features)
    dtype : dtype
        Of the result.
    encoding : Encoding
    units : Scaling or None
        Of all these columns, or for none.
    bounds : Bounds or None

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
    """
    n, parts = encoding.low.size, laid_out(encoding)
    mean, scale = (None, None) if units is None else (units.X_mean[:n], units.X_scale[:n])
    out = np.empty((A.shape[0], encoding.n_columns), dtype)
    for rows in measuring.slices(A.shape[0]):
        chunk = A[rows].toarray() if sparse.issparse(A) else A[rows]
        out[rows, :n] = converting.converted(chunk, dtype, mean, scale, bounds)
        room = np.array(chunk, np.float64, order="C")  # a copy: the kernel works in it
        encode_rows(*parts, room, out[rows])
        if units is not None and (units.X_scale[n:] != 1).any():
            out[rows, n:] /= units.X_scale[n:].astype(dtype)
    out.flags.writeable = False
    return out


def slopes(X, encoding):
    """The derivative of each encoded column by the column that it is made of, float64.

    At the edge of a bin, where there is none, it is that of the bin above.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float64
    encoding : Encoding
    """
    _, low, high, mean, scale, bin_of, edge, width, _, wave_of, frequency = encoding
    is_within = (low <= X) & (high > X)
    x = np.clip(X, low, high)  # or an angle may be infinite
    part = (x[:, bin_of] - edge) / width
    bins = ((part >= 0) & (part < 1) & is_within[:, bin_of]) / width
    turn = 2 * np.pi * frequency / scale[wave_of]
    angles = turn * (x - mean)[:, wave_of]
    of_waves = turn * is_within[:, wave_of]
    waves = np.cos(angles) * of_waves, -np.sin(angles) * of_waves
    return SIZE * np.ascontiguousarray(np.hstack([bins, *waves]))


def are_the_same(one, other):
    """Whether two encodings, or what stands for none, give the same columns."""
    if one is other or one is None or other is None:
        return one is other
    return all(map(np.array_equal, one, other))


def widened(units, encoding):
    """A scaling of the table's columns, for those that the network sees: encoded ones stay."""
    if units is None or encoding is None:
        return units
    more = (0, encoding.n_columns - units.X_mean.size)  # 0, if it is one already
    return units._replace(
        X_mean=np.pad(units.X_mean, more),
        X_scale=np.pad(units.X_scale, more, constant_values=1.0),
    )


def checked(encoding, n_columns):
    """The encoding, its arrays as they are measured; an error, if it gives other than so many
    columns."""
    names, *arrays = encoding
    n_features, n_bins, n_waves = (np.size(arrays[first]) for first in (0, 4, 8))
    lengths = 4 * [n_features] + 4 * [n_bins] + 2 * [n_waves]
    shapes = [np.shape(array) for array in arrays]
    if shapes != [(n,) for n in lengths] or n_features + n_bins + 2 * n_waves != n_columns:
        raise ValueError(
            f"Arrays of shapes {shapes} are no encoding that gives {n_columns} columns."
        )
    columns = encoding.bin_of, encoding.wave_of
    if any(j.dtype.kind not in "iu" or ((j < 0) | (j >= n_features)).any() for j in columns):
        raise ValueError(f"The encoding is of other columns than the table's {n_features}.")
    if any((j[1:] < j[:-1]).any() for j in columns):  # kernels go through them column by column
        raise ValueError("The encoding is not in the order of the table's columns.")
    arrays = [
        array.astype(np.uint32 if name.endswith("_of") else np.float64)
        for name, array in zip(Encoding._fields[1:], arrays, strict=True)
    ]
    whole = Encoding(names_of(names), *arrays)
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("Some numbers of the encoding are NaN or infinite.")
    if (whole.scale <= 0).any() or (whole.width <= 0).any() or (whole.low > whole.high).any():
        raise ValueError("Some columns or bins of the encoding have no width.")
    if ((whole.centre < 0) | (whole.centre > 1)).any():
        raise ValueError("Some bins of the encoding have no mean between 0 and 1.")
    return whole
