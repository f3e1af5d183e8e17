"""What a network sees of a row besides its columns: see `fastbp/encodings.py`."""

import numpy as np

from fastbp.kernels.formulas.elementary import sine_and_cosine
from fastbp.kernels.machine.compile import entry, njit
from fastbp.kernels.machine.views import vector


def laid_out(encoding):
    """An encoding as the kernels here take it.

    Parameters
    ----------
    encoding : Encoding, see `fastbp/encodings.py`

    Returns
    -------
    sizes : tuple of int
        (n_features, n_bins, n_waves).
    numbers : ndarray, float64
        Four of each feature, three of each bin, one of each wave, and the size.
    places : ndarray, int64
        The feature of each bin, and of each wave.
    """
    _, low, high, mean, scale, bin_of, edge, width, centre, wave_of, frequency = encoding
    numbers = low, high, mean, scale, edge, width, centre, frequency, [encoding.size]
    places = np.concatenate([bin_of, wave_of]).astype(np.int64)
    return (low.size, bin_of.size, wave_of.size), np.concatenate(numbers), places


@entry
def encode_rows(sizes, numbers, places, X, out):
    """The encoded columns of every row, behind its own.

    Parameters
    ----------
    sizes : tuple of int
    numbers, places : ndarray
        As `laid_out` gives them.
    X : array of shape (n_rows, n_features), float64
        In the table's units; it is worked in.
    out : array of shape (n_rows, n_columns)
    """
    n_features, n_columns = sizes[0], out.shape[1]
    for i in range(X.shape[0]):
        x = vector(X, i * n_features, n_features)
        encode_row(sizes, numbers, places, x, vector(out, i * n_columns, n_columns))


@njit
def encode_row(sizes, numbers, places, x, columns):
    """The encoded columns of one row.

    Parameters
    ----------
    sizes, numbers, places
        As `laid_out` gives them.
    x : array of shape (n_features,), float64
        In the table's units; it is worked in.
    columns : array of shape (n_columns,)
        Of which the first n_features are not touched.
    """
    n_features, n_bins, n_waves = sizes
    low, high = vector(numbers, 0, n_features), vector(numbers, n_features, n_features)
    mean, at = vector(numbers, 2 * n_features, n_features), 4 * n_features
    scale, edge = vector(numbers, at - n_features, n_features), vector(numbers, at, n_bins)
    width, centre = vector(numbers, at + n_bins, n_bins), vector(numbers, at + 2 * n_bins, n_bins)
    at += 3 * n_bins
    frequency, size = vector(numbers, at, n_waves), numbers[at + n_waves]
    for j in range(n_features):
        x[j] = min(max(x[j], low[j]), high[j])
    bins = vector(columns, n_features, n_bins)
    for t in range(n_bins):
        part = (x[places[t]] - edge[t]) / width[t]
        bins[t] = size * (min(max(part, 0.0), 1.0) - centre[t])
    for j in range(n_features):
        x[j] = (x[j] - mean[j]) / scale[j]
    at = n_features + n_bins
    sines, cosines = vector(columns, at, n_waves), vector(columns, at + n_waves, n_waves)
    for t in range(n_waves):
        turns = frequency[t] * x[places[n_bins + t]]
        sines[t] = turns - np.rint(turns)  # before it is rounded: whole turns change nothing
    make_waves(sines, cosines, sines.dtype.type(size))


@njit
def make_waves(sines, cosines, size):
    """Sines and cosines of the turns that are where the sines go: by itself, since a loop that
    looks features up becomes no vectors."""
    for t in range(sines.size):
        sine, cosine = sine_and_cosine(sines[t])
        sines[t], cosines[t] = size * sine, size * cosine
