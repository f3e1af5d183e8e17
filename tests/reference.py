"""Backpropagation as the textbook writes it: plain NumPy, one sample at a time.

The oracle of the compiled kernels. Nothing here is fast, and nothing is shared with them.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
Nature 323 (1986) 533-536.
"""

import itertools
from typing import NamedTuple

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


#: σ(z) and σ′(z).
ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "logistic": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
}

#: L(ŷ, y) of one sample, summed over the outputs, and dL/dŷ.
LOSSES = {
    "squared_error": (
        lambda prediction, y: np.sum((prediction - y) ** 2),
        lambda prediction, y: 2 * (prediction - y),
    ),
    "half_squared_error": (
        lambda prediction, y: 0.5 * np.sum((prediction - y) ** 2),
        lambda prediction, y: prediction - y,
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


def forward(network, x):
    """Z and O of every layer for one sample: O⁰ = x, Zˡ = Wˡᵀ Oˡ⁻¹ + bˡ, Oˡ = σ(Zˡ)."""
    Z, O = [None], [x]
    for W, b, name in zip(
        network.coefs, network.intercepts, [*network.activations, "identity"], strict=True
    ):
        activation, _ = ACTIVATIONS[name]
        Z.append(W.T @ O[-1] + b)
        O.append(activation(Z[-1]))
    return Z, O


def backward(network, Z, O, D):
    """∂L/∂W and ∂L/∂b of every layer for one sample, from D = ∂L/∂ŷ."""
    dW, db = [], []
    for l in range(len(network.coefs), 0, -1):
        dW.insert(0, np.outer(O[l - 1], D))
        db.insert(0, D)
        if l > 1:
            _, derivative = ACTIVATIONS[network.activations[l - 2]]
            D = (network.coefs[l - 1] @ D) * derivative(Z[l - 1])
    return dW, db


def predict(network, X):
    """ŷ of shape (n_samples, n_outputs)."""
    return np.array([forward(network, x)[1][-1] for x in X])


def loss_gradient(network, loss, X, Y, weight=None, alpha=0.0):
    """L, ∂L/∂W and ∂L/∂b of a batch: the weighted mean over its samples, with the penalty.

    The penalty is scikit-learn's: ½ α ‖W‖² over the sum of the batch's weights.
    """
    value, slope = LOSSES[loss]
    weight = np.ones(len(X)) if weight is None else weight
    share = weight / weight.sum()
    penalty = alpha / weight.sum()
    L = 0.5 * penalty * sum(np.sum(W**2) for W in network.coefs)
    dW = [penalty * W for W in network.coefs]
    db = [np.zeros_like(b) for b in network.intercepts]
    for x, y, s in zip(X, Y, share, strict=True):
        Z, O = forward(network, x)
        L += s * value(O[-1], y)
        dW_of_sample, db_of_sample = backward(network, Z, O, s * slope(O[-1], y))
        dW = [total + part for total, part in zip(dW, dW_of_sample, strict=True)]
        db = [total + part for total, part in zip(db, db_of_sample, strict=True)]
    return L, dW, db


class Sgd:
    """θ ← θ − η g."""

    def __init__(self, eta):
        self.eta = eta

    def step(self, theta, g):
        return theta - self.eta * g


class Momentum:
    """v ← μ v − η g,  θ ← θ + v."""

    def __init__(self, eta, mu):
        self.eta, self.mu, self.v = eta, mu, 0.0

    def step(self, theta, g):
        self.v = self.mu * self.v - self.eta * g
        return theta + self.v


class Nesterov(Momentum):
    """v ← μ v − η g,  θ ← θ + μ v − η g."""

    def step(self, theta, g):
        self.v = self.mu * self.v - self.eta * g
        return theta + self.mu * self.v - self.eta * g


class Adam:
    """m, v ← running means of g, g²,  θ ← θ − η √(1 − β₂ᵗ)/(1 − β₁ᵗ) m/(√v + ε)."""

    def __init__(self, eta, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.eta, self.beta_1, self.beta_2, self.epsilon = eta, beta_1, beta_2, epsilon
        self.m, self.v, self.t = 0.0, 0.0, 0

    def step(self, theta, g):
        self.t += 1
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g**2
        eta = self.eta * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        return theta - eta * self.m / (np.sqrt(self.v) + self.epsilon)


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


def batches(n_samples, batch_size):
    """The rows of each batch of an epoch, in order; the last may be smaller."""
    return [
        np.arange(start, min(start + batch_size, n_samples))
        for start in range(0, n_samples, batch_size)
    ]


def train(network, loss, optimizer, X, Y, batches, weight=None, alpha=0.0):
    """The network after a step on each of the batches, and each batch's loss before its step.

    A batch of no weight is passed over; its loss is written as 0.
    """
    losses = []
    for rows in batches:
        s = None if weight is None else weight[rows]
        if s is not None and s.sum() == 0:
            losses.append(0.0)
            continue
        L, dW, db = loss_gradient(network, loss, X[rows], Y[rows], s, alpha)
        theta = optimizer.step(pack(network.coefs, network.intercepts), pack(dW, db))
        network = unpack(theta, network)
        losses.append(L)
    return network, losses
