"""A trained network as one function of one row, to be called in a user's own compiled loops."""

from itertools import pairwise

import numba
import numpy as np

from fastbp.kernels.formulas.activations import activation
from fastbp.kernels.formulas.losses import mean_of
from fastbp.kernels.machine.compile import entry
from fastbp.kernels.machine.runs import octets, singles
from fastbp.kernels.training.online import forward, is_wide, octets_of, units_of


def function_of_row(model, encoding=None):
    """f(x) -> y, both in raw units; compiled when it is first called, the weights within it.

    Parameters
    ----------
    model : Model, see `records.py`
    encoding : Encoding or None
        Makes the columns of the model of the row.

    Returns
    -------
    function of an array of shape (n_features,), returns an array of shape (n_outputs,), float64
    """
    net, theta, loss, X_mean, X_scale, y_mean, y_scale = model
    n_columns, n_outputs, wide = X_mean.size, y_mean.size, spread(net, theta)
    n_features = n_columns if encoding is None else encoding.low.size
    real, wrong = theta.dtype, f"x must be a row of {n_features} features"
    encode = row_encoder(encoding)
    n_octets = -(-net["width"] // 8)
    size, outputs = 8 * n_octets.sum(), 8 * n_octets[:-1].sum()

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def f(x):
        if x.ndim != 1 or x.size != n_features:
            raise ValueError(wrong)
        y, room = np.empty(n_outputs), np.empty(n_columns + size, real)
        row, o = room[:n_columns], room[n_columns:]
        for j in range(n_features):
            row[j] = (x[j] - X_mean[j]) / X_scale[j]
        encode(x, row)
        for j in range(n_features, n_columns):
            row[j] = (row[j] - X_mean[j]) / X_scale[j]
        predict_row(net, wide, loss, row, o)
        for k in range(n_outputs):
            y[k] = y_scale[k] * o[outputs + k] + y_mean[k]
        return y

    return f


def row_encoder(encoding):
    """encode(x, row): the encoded columns of x, which come after its own in `row`; see
    `encodings.encode`, which does it for many."""
    if encoding is None:
        return numba.njit(nothing, nogil=True)
    _, low, high, mean, scale, bin_of, edge, width, centre, wave_of, frequency = encoding
    n_features, n_bins, n_waves, size = low.size, bin_of.size, wave_of.size, encoding.size

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def encode(x, row):
        at = n_features
        for t in range(n_bins):
            j = bin_of[t]
            part = (min(max(x[j], low[j]), high[j]) - edge[t]) / width[t]
            row[at + t] = size * (min(max(part, 0.0), 1.0) - centre[t])
        at += n_bins
        for t in range(n_waves):
            j = wave_of[t]
            turns = frequency[t] * ((min(max(x[j], low[j]), high[j]) - mean[j]) / scale[j])
            angle = 2 * np.pi * (turns - np.rint(turns))
            row[at + t], row[at + n_waves + t] = size * np.sin(angle), size * np.cos(angle)

    return encode


def nothing(x, row):
    """Of a network that sees the table's columns alone."""


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
    forward(wide, net, theta, singles(x, 0, x.size), o, o)
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
