"""θ ↔ coefs_, intercepts_; the first weights."""

import math
from itertools import pairwise

import numpy as np

from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS
from fastbp.kernels.formulas.network import n_parameters


def pack(coefs, intercepts, dtype):
    """θ: layer after layer, W then b, as one vector."""
    parts = [a for layer in zip(coefs, intercepts, strict=True) for a in layer]
    return np.concatenate(parts, axis=None, dtype=dtype, casting="same_kind")


def as_floats(arrays, name):
    """Arrays of numbers as float32 or float64 in this machine's byte order, whoever made them.

    What is that already is returned as it is: whoever changes it changes the model.

    Raises
    ------
    ValueError
        If some are no numbers; `name` says of what.
    """
    return [
        a
        if type(a) is np.ndarray and a.dtype.char in "fd" and a.dtype.isnative
        else floats_of(a, f"{name}[{l}]")
        for l, a in enumerate(arrays)
    ]


def floats_of(a, name):
    """One array, as `as_floats` has it."""
    if np.ma.is_masked(a):
        raise ValueError(f"{name} is a masked array, some of whose values are missing.")
    a = np.asarray(a)
    if a.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be an array of numbers, its dtype is {a.dtype}.")
    is_short = a.dtype.kind == "f" and a.dtype.itemsize <= 4
    return a.astype(np.float32 if is_short else np.float64)


def unpack(theta, net):
    """coefs_ and intercepts_: views of θ, shaped as scikit-learn has them."""
    coefs, intercepts = [], []
    width, weights_at, biases_at = (
        net[name].tolist() for name in ("width", "weights_at", "biases_at")
    )
    for l in range(1, net.size):
        W_at, b_at = weights_at[l], biases_at[l]
        coefs.append(theta[W_at:b_at].reshape(width[l - 1], width[l]))
        intercepts.append(theta[b_at : b_at + width[l]])
    return coefs, intercepts


def limit_of(theta, widths):
    """How far from 0 inputs count: with larger ones a sum in the network might overflow, and of
    infinities that are added up comes NaN. No table that can be trained on comes near it.

    Parameters
    ----------
    theta : ndarray of shape (n_parameters,)
    widths : sequence of int
        Of all layers.

    Returns
    -------
    float
        At least the square root of the largest number.
    """
    most = float(np.finfo(theta.dtype).max) / 4  # far enough from it for what rounding adds
    limit, slope, offset, at = most, 1.0, 0.0, 0
    for n_in, n_out in pairwise(widths):
        W, b = theta[at : at + n_in * n_out], theta[at + n_in * n_out :][:n_out]
        at += W.size + b.size
        # No unit's output is farther from 0 than its sum by more than 1.
        times, shift = (float(max(a.max(), -a.min())) for a in (W, b))
        slope, offset = n_in * times * slope, n_in * times * (offset + 1) + shift
        if slope > 0:
            limit = min(limit, (most - offset) / slope)
    return max(limit, (4 * most) ** 0.5)


def initialize(net, activations, random_state, output=None):
    """First weights and biases, drawn as `MLPRegressor` draws them.

    Uniform in ±√(6 / (fan in + fan out)), or ±√(2 / …) for logistic units (Glorot & Bengio, 2010):
    see `Activation.bound`.

    Parameters
    ----------
    net : recarray, see `network`
    activations : sequence of str
        Activation of each hidden layer.
    random_state : RandomState
    output : str, default=None
        The activation that the output layer goes by, although it is linear; None is that of
        the last hidden layer.

    Returns
    -------
    theta : ndarray of shape (n_parameters,), float64
    """
    theta = np.empty(n_parameters(net))
    names = [*activations, output or (activations[-1] if activations else "identity")]
    for W, b, name in zip(*unpack(theta, net), names, strict=True):
        bound = math.sqrt(ACTIVATIONS[name].bound / sum(W.shape))
        W[:] = random_state.uniform(-bound, bound, W.shape)
        b[:] = random_state.uniform(-bound, bound, b.shape)
    return theta
