"""θ ↔ coefs_, intercepts_; the shape of a network; the first weights."""

from functools import lru_cache

import numpy as np

from fastbp.kernels.formulas.activations import ACTIVATIONS
from fastbp.kernels.formulas.network import LAYER, as_layers


def network(widths, activations):
    """The shape of a network, as the kernels read it.

    Parameters
    ----------
    widths : sequence of int
        Units of each layer, from the inputs to the outputs.
    activations : sequence of str
        Activation of each hidden layer; the output layer is linear.

    Returns
    -------
    net : ndarray of shape (n_layers,), dtype LAYER
        Shared: not to be written to.
    """
    return _network(tuple(widths), tuple(activations))


@lru_cache(maxsize=64)
def _network(widths, activations):
    net = np.zeros(len(widths), LAYER)
    width = np.array(widths)
    n_weights = width[:-1] * width[1:]
    layer_sizes = n_weights + width[1:]
    net["width"] = width
    net["activation"][1:-1] = [ACTIVATIONS[name] for name in activations]
    net["units_at"][1:] = np.cumsum(width)[:-1]
    net["weights_at"][1:] = np.cumsum(layer_sizes) - layer_sizes
    net["biases_at"][1:] = net["weights_at"][1:] + n_weights
    return as_layers(net)


def n_parameters(net):
    """Number of weights and biases, the length of θ."""
    return int(net["biases_at"][-1] + net["width"][-1])


def pack(coefs, intercepts, dtype):
    """θ: layer after layer, W then b, as one vector."""
    parts = [a for layer in zip(coefs, intercepts, strict=True) for a in layer]
    return np.concatenate(parts, axis=None, dtype=dtype, casting="same_kind")


def unpack(theta, net):
    """coefs_ and intercepts_: views of θ, shaped as scikit-learn has them."""
    coefs, intercepts = [], []
    for l in range(1, net.size):
        shape = net["width"][l - 1 : l + 1]
        W_at, b_at = net["weights_at"][l], net["biases_at"][l]
        coefs.append(theta[W_at:b_at].reshape(shape))
        intercepts.append(theta[b_at : b_at + shape[1]])
    return coefs, intercepts


def initialize(net, activations, random_state, output=None):
    """First weights and biases, drawn as `MLPRegressor` draws them.

    Uniform in ±√(6 / (fan in + fan out)), or ±√(2 / …) for logistic units (Glorot & Bengio,
    2010).

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
        bound = np.sqrt((2.0 if name == "logistic" else 6.0) / sum(W.shape))
        W[:] = random_state.uniform(-bound, bound, W.shape)
        b[:] = random_state.uniform(-bound, bound, b.shape)
    return theta
