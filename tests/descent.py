"""Training as the textbook writes it, with the gradients of `reference.py`: update rules, orders of
the samples, epochs, and what is held out.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.testing import assert_allclose
from reference import (
    LOSSES,
    Dropout,
    loss_gradient,
    pack,
    predict,
    reported_share,
    unpack,
    weight_of_samples,
    weighted,
)


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


#: Each rule: the estimator's parameters, and the same by its step size.
OPTIMIZERS = {
    "sgd": ({"solver": "sgd", "momentum": 0.0}, Sgd),
    "momentum": (
        {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False},
        lambda eta: Momentum(eta, 0.8),
    ),
    "nesterov": ({"solver": "sgd", "momentum": 0.9}, lambda eta: Nesterov(eta, 0.9)),
    "adam": (
        {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-7},
        lambda eta: Adam(eta, 0.8, 0.99, 1e-7),
    ),
}


def batches(n_samples, batch_size):
    """The rows of each batch of an epoch, in order; the last may be smaller."""
    return [
        np.arange(start, min(start + batch_size, n_samples))
        for start in range(0, n_samples, batch_size)
    ]


def shuffle(items, random):
    """Permute a list (Fisher & Yates) with splitmix64, each of whose numbers serves two places.

    Returns the state of the generator, which goes on from there.
    """
    for last in range(len(items) - 1, 0, -2):
        random = (random + 0x9E3779B97F4A7C15) % 2**64
        z = ((random ^ random >> 30) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) % 2**64
        z ^= z >> 31
        for i, half in ((last, z >> 32), (last - 1, z % 2**32)):
            j = half * (i + 1) >> 32
            items[i], items[j] = items[j], items[i]
    return random


def orders_in_windows(n, epochs, seed, *, rows, block, apart=()):
    """In which order each epoch takes n samples, where windows hold so many rows, and blocks.

    There are as many stretches of blocks as a window has. It takes one of each, in an order of each
    stretch's own, and its rows are shuffled.
    """
    there = [i for i in range(n) if i not in apart]
    blocks = [there[i : i + block] for i in range(0, len(there), block)]
    number = min(max(rows // block, 1), len(blocks))
    edges = [s * len(blocks) // number for s in range(number + 1)]
    stretches, random, orders = [blocks[a:b] for a, b in itertools.pairwise(edges)], seed, []
    for _ in range(epochs):
        for stretch in stretches:
            random = shuffle(stretch, random)
        taken = itertools.chain.from_iterable(itertools.zip_longest(*stretches, fillvalue=()))
        sequence, order = [row for rows_of_block in taken for row in rows_of_block], []
        for start in range(0, len(there), rows):
            window = sequence[start : start + rows]
            random = shuffle(window, random)
            order += window
        orders.append(tuple(order))
    return orders


def train(
    network, loss, optimizer, X, Y, batches, weight=None, alpha=0.0, reported=1.0,
    weight_decay=0.0, max_grad_norm=None, dropout=None, average=None,
):  # fmt: skip
    """The network after a step on each of the batches, and each batch's loss before its step.

    A batch of no weight is passed over; its loss is written as 0. Between the gradient and the
    update, a gradient longer than `max_grad_norm` is shortened, and weights decay. An `average`, if
    there is one, is given the network after each step.
    """
    losses, places = [], np.cumsum([0, *map(len, batches)])
    for rows, place in zip(batches, places, strict=False):
        s = None if weight is None else weight[rows]
        if s is not None and s.sum() == 0:
            losses.append(0.0)
            continue
        masks = dropout and [dropout.masks(network, int(place) + i) for i in range(len(rows))]
        L, dW, db = loss_gradient(network, loss, X[rows], Y[rows], s, alpha, reported, masks)
        g, kept = pack(dW, db), 1 - optimizer.eta * weight_decay
        if max_grad_norm is not None and np.linalg.norm(g) > max_grad_norm:
            g = g * (max_grad_norm / np.linalg.norm(g))
        decayed = pack([kept * W for W in network.coefs], network.intercepts)
        network = unpack(optimizer.step(decayed, g), network)
        losses.append(L)
        if average is not None:
            average.add(network)
    return network, losses


class Average:
    """The mean of all networks so far: each counts `decay` times what the next one does."""

    def __init__(self, decay, start):
        self.decay, self.total, self.weight, self.start = decay, 0.0, 0.0, start

    def add(self, network):
        self.total = self.decay * self.total + pack(network.coefs, network.intercepts)
        self.weight = self.decay * self.weight + 1

    def network(self):
        return unpack(self.total / self.weight, self.start) if self.weight else self.start


class Patience:
    """Counts the epochs in a row that were not by `tol` better than the best so far."""

    def __init__(self, tol, n_iter_no_change):
        self.tol, self.n_iter_no_change = tol, n_iter_no_change
        self.best, self.stalled = np.inf, 0

    def is_over(self, figure):
        """Whether too many have passed; the less the figure, the better the epoch."""
        self.stalled = self.stalled + 1 if figure > self.best - self.tol else 0
        self.best = min(self.best, figure)
        return self.stalled > self.n_iter_no_change


class HeldOut(NamedTuple):
    """A validation set."""

    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray


def validate(network, loss, held_out):
    """The weighted mean of the loss, and R²: the mean over the outputs.

    R² of a constant output is undefined: the mean squared error takes the place of the error as a
    part of the variance.
    """
    X, Y, weight = held_out
    share, Z = weight / weight_of_samples(weight).sum(), predict(network, X)
    value, _, mean, *_ = LOSSES[loss]
    L = sum(weighted(value, s, z, y) for s, z, y in zip(share, Z, Y, strict=True))
    if weight.ndim == 1:
        share = np.repeat(share[:, None], Y.shape[1], axis=1)
    there = share.any(axis=0)  # an output without a weight is not scored
    share, error, Y = share[:, there], (mean(Z) - Y)[:, there], Y[:, there]
    share = share / share.sum(axis=0)
    variance = np.sum(share * (Y - np.sum(share * Y, axis=0)) ** 2, axis=0)
    constant = [np.ptp(y[s > 0]) == 0 for y, s in zip(Y.T, share.T, strict=True)]
    unexplained = np.sum(share * error**2, axis=0) / np.where(constant, 1, variance)
    return reported_share(loss, Z.shape[1]) * L, np.mean(1 - unexplained)


class Course(NamedTuple):
    """A whole training: what there was after each epoch."""

    networks: list
    losses: list
    validation_losses: list
    validation_scores: list
    judged: list  # by R² negated or by the loss, on the validation set

    def best(self):
        """The network that was best on the validation set, the earlier of equals; else the last."""
        return self.networks[int(np.argmin(self.judged)) if self.judged else -1]


def fit(
    network, loss, optimizer, X, Y, weight=None, held_out=None, *,
    batch_size, max_iter, alpha=0.0, weight_decay=0.0, max_grad_norm=None,
    learning_rate="constant", power_t=0.5, tol=0.0,
    n_iter_no_change=np.inf, early_stopping=False, orders=None, dropout=(), ema_decay=None,
    seed=0,
):  # fmt: skip
    """The course of `BackpropRegressor.fit` with these parameters.

    Samples are taken in their order, or each epoch in one of `orders`. With `ema_decay` its
    networks are the averages.
    """
    course, patience = Course([], [], [], [], []), Patience(tol, n_iter_no_change)
    reported, first_eta = reported_share(loss, Y.shape[1]), optimizer.eta
    average = None if ema_decay is None else Average(ema_decay, network)
    dropout = Dropout(dropout, seed) if dropout else None
    for epoch in range(max_iter):
        order = np.arange(len(X)) if orders is None else np.array(orders[epoch])
        rows = [order[batch] for batch in batches(len(order), batch_size)]
        of_batch = np.array(
            [len(r) if weight is None else weight_of_samples(weight[r]).sum() for r in rows]
        )
        if loss == "half_squared_error":  # as scikit-learn, which counts samples
            of_batch = [len(r) * (w > 0) for r, w in zip(rows, of_batch, strict=True)]
        if learning_rate == "invscaling" and epoch > 0:
            optimizer.eta = first_eta / (epoch * len(X) + 1) ** power_t
        if learning_rate == "cosine":
            optimizer.eta = first_eta * (1 + np.cos(np.pi * epoch / max_iter)) / 2
        if dropout is not None:
            dropout.begin_epoch()
        network, losses = train(
            network, loss, optimizer, X, Y, rows, weight, alpha, reported, weight_decay,
            max_grad_norm, dropout, average,
        )  # fmt: skip
        predicts = network if average is None else average.network()
        course.networks.append(predicts)
        course.losses.append(np.average(losses, weights=of_batch))
        figure = course.losses[-1]
        if held_out is not None:
            L, score = validate(predicts, loss, held_out)
            course.validation_losses.append(L)
            course.validation_scores.append(score)
            course.judged.append(-score if LOSSES[loss].is_r2s else L)
            figure = course.judged[-1] if early_stopping else figure
        if learning_rate == "cosine":
            continue  # as planned
        if patience.is_over(figure):
            if learning_rate != "adaptive" or optimizer.eta <= 1e-6:
                break
            optimizer.eta, patience.stalled = optimizer.eta / 5, 0
    return course


#: What rounding may do in a few tens of steps of weights near 1: each rounds to 6e-8 in float32.
PRECISIONS = {"float64": {"rtol": 1e-10, "atol": 1e-12}, "float32": {"rtol": 2e-4, "atol": 2e-4}}


def assert_same_weights(model, network, **tolerance):
    """The model has the network's weights."""
    for l, (W, b) in enumerate(zip(network.coefs, network.intercepts, strict=True)):
        assert_allclose(model.coefs_[l], W, **tolerance)
        assert_allclose(model.intercepts_[l], b, **tolerance)
