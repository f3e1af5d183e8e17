"""What a network sees of a row besides its columns: see `fastbp/encodings.py`."""

import numpy as np

from fastbp.kernels.formulas.elementary import sine_and_cosine
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.functions import clamped
from fastbp.kernels.machine.views import least, matrix, vector

#: As `laid_out` gives it, of a network that sees the table's columns alone.
NOT_ENCODED = (0, 0, 0), np.empty(0), np.empty(0, np.int64)


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
    features, bins, waves, size = parts_of(sizes, numbers)
    for j in range(n_features):
        x[j] = clamped(x[j], features[0, j], features[1, j])
    for t in range(n_bins):
        value = less_mean(x[places[t]], bins[0, t], bins[1, t], bins[2, t])
        columns[n_features + t] = size * value
    for j in range(n_features):
        x[j] = (x[j] - features[2, j]) / features[3, j]
    at = n_features + n_bins
    sines, cosines = vector(columns, at, n_waves), vector(columns, at + n_waves, n_waves)
    for t in range(n_waves):
        sines[t] = turns_of(waves[t], x[places[n_bins + t]])
    make_waves(sines, cosines, sines.dtype.type(size))


@inline
def parts_of(sizes, numbers):
    """Of each feature the least, the greatest, the mean and the scale, as rows; of each bin where
    it begins, its width and its mean; the frequencies of waves; and the size of what is encoded.
    (Others' numbers may come behind it.)"""
    n_features, n_bins, n_waves = sizes
    features, bins = matrix(numbers, 0, 4, n_features), matrix(numbers, 4 * n_features, 3, n_bins)
    at = features.size + bins.size
    return features, bins, vector(numbers, at, n_waves), numbers[at + n_waves]


@njit
def encode_tile(model, X, start, stop, x, T):
    """The encoded columns of some samples, side by side, standardised: those rows of T that come
    behind the table's columns.

    Parameters
    ----------
    model : Model
    X : array of shape (n_rows, n_features)
        In the table's units.
    start, stop : int
        Its rows.
    x : array of shape (n,), float64
        To work in.
    T : array of shape (n_columns, n)
        The last sample again pads it.
    """
    n_features, n_bins, n_waves = model.sizes
    features, bins, waves, size = parts_of(model.sizes, model.numbers)
    places, n, t, w = model.places, x.size, 0, 0
    for j in range(n_features):  # bins and waves are in the order of theirs
        low, high, mean, scale = features[0, j], features[1, j], features[2, j], features[3, j]
        for i in range(n):
            x[i] = clamped(np.float64(X[least(start + i, stop - 1), j]), low, high)
        while t < n_bins and places[t] == j:
            edge, width, centre = bins[0, t], bins[1, t], bins[2, t]
            row = vector(T, (n_features + t) * n, n)
            for i in range(n):
                row[i] = size * less_mean(x[i], edge, width, centre)
            t += 1
        for i in range(n):
            x[i] = (x[i] - mean) / scale
        while w < n_waves and places[n_bins + w] == j:
            frequency, at = waves[w], n_features + n_bins + w
            sines, cosines = vector(T, at * n, n), vector(T, (at + n_waves) * n, n)
            for i in range(n):
                sines[i] = turns_of(frequency, x[i])
            make_waves(sines, cosines, sines.dtype.type(size))
            w += 1
    standardize_encoded(model, T)


@njit
def encode_one(model, X, i, x, T):
    """As `encode_tile`, of a single sample; `x` is of (n_features,)."""
    for j in range(x.size):
        x[j] = X[i, j]
    encode_row(model.sizes, model.numbers, model.places, x, vector(T, 0, T.size))
    standardize_encoded(model, T)


@njit
def standardize_encoded(model, T):
    """In place, those rows of T that come behind the table's columns."""
    for c in range(model.sizes[0], T.shape[0]):
        center, factor = model.X_mean[c], 1 / model.X_scale[c]
        if center != 0 or factor != 1:  # of few columns
            most, row = T.dtype.type(model.limit), vector(T, c * T.shape[1], T.shape[1])
            for i in range(row.size):
                row[i] = clamped(row.dtype.type((row[i] - center) * factor), -most, most)


@inline
def less_mean(x, edge, width, centre):
    """How far x is through a bin, less the mean of that."""
    return clamped((x - edge) / width, 0.0, 1.0) - centre


@inline
def turns_of(frequency, z):
    """How far a wave has turned, less whole turns, which change nothing: before it is rounded."""
    return frequency * z - np.rint(frequency * z)


@njit
def make_waves(sines, cosines, size):
    """Sines and cosines of the turns that are where the sines go: by itself, since a loop that
    looks features up becomes no vectors."""
    for t in range(sines.size):
        sine, cosine = sine_and_cosine(sines[t])
        sines[t], cosines[t] = size * sine, size * cosine
