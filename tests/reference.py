"""Backpropagation as the textbook writes it: plain NumPy, one sample at a time.

The oracle of the compiled kernels. Nothing here is fast, and nothing is shared with them.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
Nature 323 (1986) 533-536.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def normal_density(z):
    pi = 4 * np.arctan(np.ones_like(z))  # to as many digits as z has
    return np.exp(-z * z / 2) / np.sqrt(2 * pi)


def normal_distribution(z):
    """Φ(z): SciPy's, which knows float64. Of more digits near zero by its series, farther out by
    the continued fraction of its tail."""
    if z.dtype == np.float64:
        return ndtr(z)
    a = np.abs(z)
    near, term = np.zeros_like(a), np.minimum(a, 3)
    for k in range(60):
        near, term = near + term, term * np.minimum(a, 3) ** 2 / (2 * k + 3)
    far = np.maximum(a, 3)
    for n in range(100, 0, -1):
        far = np.maximum(a, 3) + n / far
    tail = np.where(a < 3, 0.5 - normal_density(a) * near, normal_density(a) / far)
    return np.where(z < 0, tail, 1 - tail)


#: σ(z) and σ′(z).
ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "logistic": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "silu": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))),
    "softplus": (lambda z: np.logaddexp(0, z), sigmoid),
    "gelu": (
        lambda z: z * normal_distribution(z),
        lambda z: normal_distribution(z) + z * normal_density(z),
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
    ),
}


class Loss(NamedTuple):
    """A loss of one sample, summed over the outputs: of z, the network's linear output."""

    value: Callable
    slope: Callable  # by z
    mean: Callable = lambda z: z  # ŷ of z
    target: Callable = lambda x: x  # one that the loss is for, of any number
    params: dict = {}  # the estimator's, that go with it  # noqa: RUF012
    is_r2s: bool = False  # R² judges held-out samples; else the loss does


LOSSES = {
    "squared_error": Loss(lambda z, y: np.sum((z - y) ** 2), lambda z, y: 2 * (z - y), is_r2s=True),
    "half_squared_error": Loss(
        lambda z, y: 0.5 * np.sum((z - y) ** 2), lambda z, y: z - y, is_r2s=True
    ),
    "absolute_error": Loss(lambda z, y: np.sum(np.abs(z - y)), lambda z, y: np.sign(z - y)),
    "huber": Loss(
        lambda z, y: np.sum(
            np.where(np.abs(z - y) < 0.7, (z - y) ** 2 / 2, 0.7 * (np.abs(z - y) - 0.35))
        ),
        lambda z, y: np.where(np.abs(z - y) < 0.7, z - y, 0.7 * np.sign(z - y)),
        params={"loss_parameter": 0.7},
    ),
    "poisson": Loss(
        lambda z, y: np.sum(np.exp(z) - y * z),
        lambda z, y: np.exp(z) - y,
        mean=np.exp,
        target=lambda x: np.exp(x / 4),
    ),
    "gamma": Loss(
        lambda z, y: np.sum(z + y * np.exp(-z)),
        lambda z, y: 1 - y * np.exp(-z),
        mean=np.exp,
        target=lambda x: np.exp(x / 4),
    ),
    "quantile": Loss(
        lambda z, y: np.sum(np.where(y > z, 0.8 * (y - z), 0.2 * (z - y))),
        lambda z, y: np.where(y > z, -0.8, np.where(y < z, 0.2, 0.0)),
        params={"loss_parameter": 0.8},
    ),
}


class Network(NamedTuple):
    """Wˡ of shape (units of layer l−1, units of layer l), bˡ, and σ of each hidden layer."""

    coefs: list
    intercepts: list
    activations: list


def random_network(widths, activations, seed=0):
    """A network whose weights are drawn from the normal distribution."""
    random = np.random.default_rng(seed)
    shapes = list(itertools.pairwise(widths))
    coefs = [random.normal(size=shape) / np.sqrt(shape[0]) for shape in shapes]
    return Network(coefs, [random.normal(size=n) / 2 for _, n in shapes], list(activations))


def forward(network, x, masks=None):
    """Z and O of every layer for one sample: O⁰ = x, Zˡ = Wˡᵀ Oˡ⁻¹ + bˡ, Oˡ = σ(Zˡ) ∘ Mˡ."""
    Z, O = [None], [x]
    masks = masks or [1.0] * len(network.activations)
    for W, b, name, mask in zip(
        network.coefs,
        network.intercepts,
        [*network.activations, "identity"],
        [*masks, 1.0],
        strict=True,
    ):
        activation, _ = ACTIVATIONS[name]
        Z.append(W.T @ O[-1] + b)
        O.append(activation(Z[-1]) * mask)
    return Z, O


def backward(network, Z, O, D, masks=None):
    """∂L/∂W and ∂L/∂b of every layer for one sample, from D = ∂L/∂ŷ."""
    dW, db = [], []
    for l in range(len(network.coefs), 0, -1):
        dW.insert(0, np.outer(O[l - 1], D))
        db.insert(0, D)
        if l > 1:
            _, derivative = ACTIVATIONS[network.activations[l - 2]]
            D = (network.coefs[l - 1] @ D) * derivative(Z[l - 1])
            D = D * masks[l - 2] if masks else D
    return dW, db


def predict(network, X):
    """The linear output, of shape (n_samples, n_outputs)."""
    return np.array([forward(network, x)[1][-1] for x in X])


def reported_share(loss, n_outputs):
    """What part of a loss is reported: scikit-learn's is the mean over the outputs, although its
    gradient is the sum's."""
    return 1 / n_outputs if loss == "half_squared_error" else 1.0


class Dropout:
    """Masks of a training: 0 for a unit that is left out, else 1/(1 − p).

    Of 64 bits that are splitmix64's mixing of the epoch's key, the number of the hidden unit, and
    the sample's place in the epoch's order, the upper half says whether it is kept; the first
    epoch's key is such a number of the seed, and each other one of the key before it.
    """

    def __init__(self, rates, seed):
        self.rates, self.key = rates, seed

    @staticmethod
    def drawn(key, number):
        z = key ^ ((number + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    def begin_epoch(self):
        self.key = self.drawn(self.key, 0)

    def masks(self, network, place):
        """That of each hidden layer, for the sample in this place."""
        masks, unit = [], 0
        for b, p in zip(network.intercepts[:-1], self.rates, strict=True):
            units = range(unit, unit + len(b))
            bits = [self.drawn(self.drawn(self.key, k), place) >> 32 for k in units]
            masks.append((np.array(bits) < int((1 - p) * 2**32)) / (1 - p))
            unit += len(b)
        return masks


def loss_gradient(network, loss, X, Y, weight=None, alpha=0.0, reported=1.0, masks=None):
    """L, ∂L/∂W and ∂L/∂b of a batch: the weighted mean over its samples, with the penalty.

    The penalty is scikit-learn's: ½ α ‖W‖² over the sum of the batch's weights. Of the samples'
    loss, but not of its gradient, the `reported` part is taken. Weights may be (n, n_outputs): a
    sample's is their mean. Of each sample there may be masks.
    """
    value, slope, *_ = LOSSES[loss]
    weight = np.ones(len(X)) if weight is None else weight
    share = weight / weight_of_samples(weight).sum()
    penalty = alpha / weight_of_samples(weight).sum()
    L = 0.5 * penalty * sum(np.sum(W**2) for W in network.coefs)
    dW = [penalty * W for W in network.coefs]
    db = [np.zeros_like(b) for b in network.intercepts]
    for x, y, s, mask in zip(X, Y, share, masks or [None] * len(X), strict=True):
        Z, O = forward(network, x, mask)
        L += reported * weighted(value, s, O[-1], y)
        dW_of_sample, db_of_sample = backward(network, Z, O, s * slope(O[-1], y), mask)
        dW = [total + part for total, part in zip(dW, dW_of_sample, strict=True)]
        db = [total + part for total, part in zip(db, db_of_sample, strict=True)]
    return L, dW, db


def weight_of_samples(weight):
    """Of each sample, of weights (n,) or (n, n_outputs)."""
    return weight if weight.ndim == 1 else weight.mean(axis=1)


def weighted(value, s, z, y):
    """A sample's loss times its weight, or output by output times that one's."""
    if np.ndim(s) == 0:
        return s * value(z, y)
    return sum(s[k] * value(z[[k]], y[[k]]) for k in range(len(s)))


def pack(coefs, intercepts):
    """θ: all parameters as one vector."""
    return np.concatenate([np.ravel(a) for a in (*coefs, *intercepts)])


def unpack(theta, network):
    """The network with the parameters θ."""
    arrays, at = [], 0
    for a in (*network.coefs, *network.intercepts):
        arrays.append(theta[at : at + a.size].reshape(a.shape))
        at += a.size
    depth = len(network.coefs)
    return Network(arrays[:depth], arrays[depth:], network.activations)
