"""Whole fits, as users do them: a float64 table, columns of any scale, 8-50-1, equal epochs."""

import warnings

import numpy as np
import pytest
from problems import PLAIN
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor

#: Rows, and epochs that suffice for them.
TABLES = {300: 200, 20_000: 10}
COMMON = {"hidden_layer_sizes": (50,), "activation": "logistic", "batch_size": 32,
          "n_iter_no_change": np.inf, "random_state": 0}  # fmt: skip


def table(rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 8)) * 10.0 ** np.arange(-3, 5)
    y = 100 * np.sin(X[:, 0] * 1e3) + X[:, 4] + rng.standard_normal(rows)
    return X, y


def fastbp(solver, epochs):
    eta = 0.05 if solver == "sgd" else 1e-3
    return BackpropRegressor(
        **PLAIN, **COMMON, solver=solver, learning_rate_init=eta, max_iter=epochs
    )


def scikit_learn(solver, epochs):
    """The same training: twice the rate, for half the loss, and columns scaled as fastbp does."""
    eta = 0.1 if solver == "sgd" else 1e-3
    mlp = MLPRegressor(**COMMON, solver=solver, learning_rate_init=eta, max_iter=epochs, alpha=0.0)
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), mlp), transformer=StandardScaler()
    )


def cases():
    for rows, epochs in TABLES.items():
        for solver in ("sgd", "adam"):
            group = f"{rows} rows, {epochs} epochs, {solver}"
            yield pytest.param(rows, solver, marks=pytest.mark.benchmark(group=group))


@pytest.mark.parametrize("model", [fastbp, scikit_learn], ids=["fastbp", "scikit-learn"])
@pytest.mark.parametrize(("rows", "solver"), list(cases()))
def bench_fit(benchmark, rows, solver, model):
    X, y = table(rows)
    epochs = TABLES[rows] if benchmark.enabled else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model(solver, 1).fit(X, y)  # compile outside the clock
        benchmark.pedantic(lambda: model(solver, epochs).fit(X, y), rounds=5)
