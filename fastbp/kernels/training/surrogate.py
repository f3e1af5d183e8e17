"""A trained network as one function of one row, to be called in a user's own compiled loops."""

from itertools import pairwise

import numba
import numpy as np

from fastbp.kernels.formulas.activations import activation
from fastbp.kernels.formulas.losses import mean_of
from fastbp.kernels.machine.compile import entry, uninterrupted
from fastbp.kernels.machine.runs import octets, singles
from fastbp.kernels.training.online import forward, is_wide, octets_of, units_of


def function_of_row(*models, encoding=None):
    """f(x) -> y, both in raw units; compiled when it is first called, the weights within it.

    Parameters
    ----------
    models : Model, see `records.py`
        Alike in all but weights and units; y is the mean of their predictions.
    encoding : Encoding or None
        Makes of the row the columns that they see.

    Returns
    -------
    function of an array of shape (n_features,), returns an array of shape (n_outputs,), float64
    """
    net, loss, n_models, rising = models[0].net, models[0].loss, len(models), models[0].rising
    wide = np.stack([spread(net, model.theta) for model in models])
    units = (np.stack(each) for each in zip(*(model[4:] for model in models), strict=True))
    X_mean, X_scale, y_mean, y_scale = units
    n_columns, n_outputs = X_mean.shape[1], y_mean.shape[1]
    n_features = n_columns if encoding is None else encoding.low.size
    real, wrong = wide.dtype, f"x must be a row of {n_features} features"
    columns_of = row_encoder(encoding)
    n_octets = -(-net["width"] // 8)
    size, outputs = 8 * n_octets.sum(), 8 * n_octets[:-1].sum()

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def f(x):
        if x.ndim != 1 or x.size != n_features:
            raise ValueError(wrong)
        y, room = np.zeros(n_outputs), np.empty(n_columns + size, real)
        row, o = room[:n_columns], room[n_columns:]
        columns = columns_of(x)
        for m in range(n_models):
            for j in range(n_columns):
                row[j] = (columns[j] - X_mean[m, j]) / X_scale[m, j]
            predict_row(net, wide[m], loss, row, o)
            if rising:
                o[outputs : outputs + n_outputs].sort()
            for k in range(n_outputs):
                y[k] += (y_scale[m, k] * o[outputs + k] + y_mean[m, k]) / n_models
        return y

    return f if numba.config.DISABLE_JIT else uninterrupted(f)


def weighted_mean(functions, weights):
    """x -> the weighted mean of one or two such functions."""
    if len(functions) == 1:
        return functions[0]
    (f, g), (of_f, of_g) = functions, map(float, weights)

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def mean(x):
        return of_f * f(x) + of_g * g(x)

    return mean


def row_encoder(encoding):
    """x -> the columns that a network sees of a row; see `encodings.encode`, which does many."""
    if encoding is None:
        return numba.njit(unchanged, nogil=True)
    _, low, high, mean, scale, bin_of, edge, width, centre, wave_of, frequency = encoding
    n_features, n_bins, n_waves, size = low.size, bin_of.size, wave_of.size, encoding.size

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def columns_of(x):
        columns = np.empty(n_features + n_bins + 2 * n_waves)
        columns[:n_features] = x
        bins = columns[n_features : n_features + n_bins]
        sines = columns[n_features + n_bins : n_features + n_bins + n_waves]
        cosines = columns[n_features + n_bins + n_waves :]
        for t in range(n_bins):
            j = bin_of[t]
            part = (min(max(x[j], low[j]), high[j]) - edge[t]) / width[t]
            bins[t] = size * (min(max(part, 0.0), 1.0) - centre[t])
        for t in range(n_waves):
            j = wave_of[t]
            turns = frequency[t] * ((min(max(x[j], low[j]), high[j]) - mean[j]) / scale[j])
            angle = 2 * np.pi * (turns - np.rint(turns))
            sines[t], cosines[t] = size * np.sin(angle), size * np.cos(angle)
        return columns

    return columns_of


def unchanged(x):
    """x: of a network that sees the table's columns alone."""
    return x


def spread(net, theta):
    """θ as `online.py` has it, octet by octet of each layer."""
    rows, at = [], 0
    for n_in, n_out in pairwise(net["width"]):
        W = theta[at : at + (n_in + 1) * n_out].reshape(n_in + 1, n_out)
        wide = np.pad(W, ((0, 0), (0, -n_out % 8)))
        rows.append(wide.reshape(n_in + 1, -1, 8).swapaxes(0, 1).ravel())
        at += W.size
    return np.concatenate(rows)


@entry
def predict_row(net, theta, loss, x, o):
    """The units of every layer for the inputs x, at the output ŷ; θ and o are made of octets."""
    theta, o, wide = octets(theta, 0, theta.size // 8), octets(o, 0, o.size // 8), is_wide(net)
    forward(wide, net, theta, singles(x, 0, x.size), o, o, o, False)
    n_units = units_of(net, wide)
    for k in range(n_units - octets_of(net[net.size - 1].width, wide), n_units):
        o[k] = mean_of(loss, o[k])


if numba.config.DISABLE_JIT:

    def predict_row(net, theta, loss, x, o):
        """As above, in NumPy."""
        before, at, here = x, 0, -(-net["width"][0] // 8) * 8
        for l in range(1, net.size):
            n_in, n_out = net["width"][l - 1], -(-net["width"][l] // 8) * 8
            panels = theta[at : at + (n_in + 1) * n_out].reshape(-1, n_in + 1, 8)
            W = panels.swapaxes(0, 1).reshape(n_in + 1, n_out)
            z = before[:n_in] @ W[:-1] + W[-1]
            before = o[here : here + n_out] = [activation(net["activation"][l], each) for each in z]
            before, at, here = np.array(before), at + W.size, here + n_out
        o[here - n_out : here] = [mean_of(loss, z) for z in before]
