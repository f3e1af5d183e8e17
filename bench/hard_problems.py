"""Problems that neural networks fail on, and what makes another one of a problem.

Each is a function of a seed that gives X and y to train on, X and y to be judged on.
"""

import itertools

import numpy as np
from accuracy import DATA, tables

from fastbp.kernels.formulas.activations import TABLE

SURFACES = (
    lambda X: np.cos(2.5 * X[:, 0]) + X[:, 1] ** 2 * X[:, 2],
    lambda X: 2 * np.exp(-2 * (X[:, 0] ** 2 + X[:, 1] ** 2)) - X[:, 2],
    lambda X: np.tanh(2 * X[:, 0]) * X[:, 1] + np.sin(3 * X[:, 2]) / 2,
)


def surface(n, which=0, noise=0.0):
    """A smooth function of three columns; what it is judged on has no noise."""

    def draw(seed):
        rng = np.random.default_rng(1000 + seed)
        X = rng.uniform(-1, 1, (n + 1000, 3))
        y = SURFACES[which](X)
        return X[:n], y[:n] + noise * rng.normal(size=n), X[n:], y[n:]

    return draw


def plane(n, columns=6):
    def draw(seed):
        rng = np.random.default_rng(2000 + seed)
        X = rng.normal(size=(n + 500, columns))
        y = X @ rng.uniform(1, 3, columns) + 10
        return X[:n], y[:n], X[n:], y[n:]

    return draw


def lognormal(rng, shape):
    return rng.lognormal(size=shape) * rng.choice([-1, 1], shape)


def student(rng, shape):
    """Of two degrees of freedom: the variance is infinite."""
    return rng.standard_t(2, shape)


def normal(rng, shape):
    return rng.normal(size=shape)


def tailed(draw_columns, draw_noise=None, n=500):
    """Columns of heavy tails, or noise of them; what it is judged on has no noise."""

    def draw(seed):
        rng = np.random.default_rng(3000 + seed)
        X = draw_columns(rng, (n + 1000, 4))
        y = np.arctan(X[:, 0]) + np.log1p(np.abs(X[:, 1])) * np.sign(X[:, 2])
        return X[:n], y[:n] + (draw_noise(rng, n) / 2 if draw_noise else 0), X[n:], y[n:]

    return draw


def parity(bits, repeats=1):
    """Whether the number of ones is odd; rows that are repeated differ a little."""

    def draw(seed):
        table = np.array(list(itertools.product([0.0, 1.0], repeat=bits)) * repeats)
        rng = np.random.default_rng(4000 + seed)
        X = table + (repeats > 1) * rng.uniform(-0.1, 0.1, table.shape)
        y = table.sum(axis=1) % 2
        return X, y, X, y

    return draw


def wave(length):
    """A sine on [0, length], ten points for each unit of it."""

    def draw(seed):
        X = np.arange(0, length, 0.1)[:, None]
        y = np.sin(X[:, 0] + seed)
        return X, y, X, y

    return draw


def teacher(units, activation):
    """What a network of so many units says: one of as many can say it."""

    def draw(seed):
        rng = np.random.default_rng(5000 + 10 * seed + units)
        X = rng.uniform(-1, 1, (400, 3))
        W = 2 * rng.normal(size=(3, units))
        middles = rng.uniform(-0.5, 0.5, (units, 3))
        Z = X @ W - np.einsum("uj,ju->u", middles, W)
        y = TABLE[activation].plain(Z) @ (rng.uniform(0.5, 1.5, units) * rng.choice([-1, 1], units))
        return X, y, X, y

    return draw


def needles(n=500, columns=1000):
    """Three columns of a thousand matter."""

    def draw(seed):
        rng = np.random.default_rng(6000 + seed)
        X = rng.normal(size=(n + 500, columns))
        y = X[:, 0] + X[:, 1] - X[:, 2]
        return X[:n], y[:n], X[n:], y[n:]

    return draw


def constant(value):
    def draw(seed):
        X = np.random.default_rng(7000 + seed).normal(size=(200, 3))
        return X, np.full(200, value), X, np.full(200, value)

    return draw


def shipped(name):
    """A table of `data/`, and a tenth of its rows to be judged on."""

    def draw(seed):
        X, y, splits = next(rest for found, *rest in tables(DATA) if found == name)
        train, test = splits[seed]
        return X[train], y[train], X[test], y[test]

    return draw


# What makes another problem of one.


def trained(problem):
    """Judged on the rows that were trained on."""
    return lambda seed: problem(seed)[:2] * 2


def in_units(problem, of_y=1.0, offset=0.0, of_X=1.0, X_offset=0.0):
    def draw(seed):
        X, y, X_test, y_test = problem(seed)
        X, X_test = (A * np.array(of_X) + X_offset for A in (X, X_test))
        return X, y * of_y + offset, X_test, y_test * of_y + offset

    return draw


def with_columns(problem, extra):
    """With the columns that `extra` makes of X."""

    def draw(seed):
        X, y, X_test, y_test = problem(seed)
        return np.c_[X, extra(X)], y, np.c_[X_test, extra(X_test)], y_test

    return draw


def noise(X):
    return np.random.default_rng(len(X)).normal(size=len(X))


def with_dummy(problem, ones, effect=0.0):
    """With a column that is 1 in so many rows; if it has an effect, in half of those judged."""

    def draw(seed):
        X, y, X_test, y_test = problem(seed)
        z, z_test = np.arange(len(X)) < ones, np.arange(len(X_test)) % 2 * (effect != 0)
        return np.c_[X, z], y + effect * z, np.c_[X_test, z_test], y_test + effect * z_test

    return draw


def outlier_in_X(problem, column, value=1e6):
    def draw(seed):
        X, y, X_test, y_test = problem(seed)
        X[7, column] = value
        return X, y, X_test, y_test

    return draw


def outlier_in_y(problem, value):
    def draw(seed):
        X, y, X_test, y_test = problem(seed)
        y[7] = value
        return X, y, X_test, y_test

    return draw


def first_rows(problem, n):
    def draw(seed):
        X, y, _, _ = problem(seed)
        return X[:n], y[:n], X[:n], y[:n]

    return draw


def several(n):
    """The three surfaces, in units of their own."""

    def draw(seed):
        X, _, X_test, _ = surface(n)(seed)
        y, y_test = (
            np.column_stack([SURFACES[0](A), 1e3 * SURFACES[1](A), 1e-3 * SURFACES[2](A) + 5])
            for A in (X, X_test)
        )
        return X, y, X_test, y_test

    return draw
