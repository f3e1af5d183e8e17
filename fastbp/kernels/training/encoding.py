"""What a network sees of a row besides its columns: see `fastbp/encodings.py`."""

import numpy as np

from fastbp.kernels.formulas.elementary import sine_and_cosine
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.functions import clamped
from fastbp.kernels.machine.views import least, vector

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
    low, high = vector(numbers, 0, n_features), vector(numbers, n_features, n_features)
    mean, at = vector(numbers, 2 * n_features, n_features), 4 * n_features
    scale, edge = vector(numbers, at - n_features, n_features), vector(numbers, at, n_bins)
    width, centre = vector(numbers, at + n_bins, n_bins), vector(numbers, at + 2 * n_bins, n_bins)
    at += 3 * n_bins
    # Others' numbers may come behind the size.
    frequency, size = vector(numbers, at, n_waves), numbers[at + n_waves]
    for j in range(n_features):
        x[j] = clamped(x[j], low[j], high[j])
    bins = vector(columns, n_features, n_bins)
    for t in range(n_bins):
        bins[t] = size * less_mean(x[places[t]], edge[t], width[t], centre[t])
    for j in range(n_features):
        x[j] = (x[j] - mean[j]) / scale[j]
    at = n_features + n_bins
    sines, cosines = vector(columns, at, n_waves), vector(columns, at + n_waves, n_waves)
    for t in range(n_waves):
        sines[t] = turns_of(frequency[t], x[places[n_bins + t]])
    make_waves(sines, cosines, sines.dtype.type(size))


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
    numbers, places, n, bin, wave = model.numbers, model.places, x.size, 0, 0
    of_bins, of_waves = 4 * n_features, 4 * n_features + 3 * n_bins
    size = numbers[of_waves + n_waves]
    for j in range(n_features):  # bins and waves are in the order of theirs
        low, high = numbers[j], numbers[n_features + j]
        for i in range(n):
            x[i] = clamped(np.float64(X[least(start + i, stop - 1), j]), low, high)
        while bin < n_bins and places[bin] == j:
            at, row = of_bins + bin, vector(T, (n_features + bin) * n, n)
            edge, width, centre = numbers[at], numbers[at + n_bins], numbers[at + 2 * n_bins]
            for i in range(n):
                row[i] = size * less_mean(x[i], edge, width, centre)
            bin += 1
        mean, scale = numbers[2 * n_features + j], numbers[3 * n_features + j]
        for i in range(n):
            x[i] = (x[i] - mean) / scale
        while wave < n_waves and places[n_bins + wave] == j:
            frequency, at = numbers[of_waves + wave], n_features + n_bins + wave
            sines, cosines = vector(T, at * n, n), vector(T, (at + n_waves) * n, n)
            for i in range(n):
                sines[i] = turns_of(frequency, x[i])
            make_waves(sines, cosines, sines.dtype.type(size))
            wave += 1
    standardize_encoded(model, T)


@njit
def encode_one(model, X, i, x, T):
    """As `encode_tile`, of a single sample; `x` has room for its columns."""
    n_features = model.sizes[0]
    for j in range(n_features):
        x[j] = X[i, j]
    of_features, columns = vector(x, 0, n_features), vector(T, 0, T.size)
    encode_row(model.sizes, model.numbers, model.places, of_features, columns)
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
