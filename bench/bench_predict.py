"""Prediction of 1, 100 and 200,000 rows by 8-100-1, logistic, float32; and of single rows in a
compiled loop."""

import importlib.util
import warnings

import numba
import numpy as np
import pytest
from machine import cores
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor

COMMON = {"hidden_layer_sizes": (100,), "activation": "logistic", "max_iter": 1,
          "random_state": 0}  # fmt: skip


def fastbp(X, y):
    return BackpropRegressor(**COMMON, init="glorot").fit(X, y).predict


def scikit_learn(X, y):
    return MLPRegressor(**COMMON).fit(X, y).predict


def torch(X, y):
    """From an array and to an array, as the others; without autograd."""
    import torch

    torch.set_num_threads(cores())
    model = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], 100), torch.nn.Sigmoid(), torch.nn.Linear(100, 1)
    )

    def predict(X):
        with torch.inference_mode():
            return model(torch.from_numpy(X)).numpy().ravel()

    return predict


PEERS = {"fastbp": fastbp, "scikit-learn": scikit_learn}
if importlib.util.find_spec("torch"):
    PEERS["PyTorch"] = torch


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(n, marks=pytest.mark.benchmark(group=f"predict {n} rows"))
        for n in (1, 100, 200_000)
    ],
)
def bench_predict(benchmark, rows, peer):
    X = np.random.default_rng(0).standard_normal((max(rows, 200), 8)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        predict = PEERS[peer](X[:200], X[:200, 0])
    X = X[:rows]
    predict(X)  # compile outside the clock
    assert benchmark(predict, X).shape == (rows,)


@numba.njit
def add_up(f, X):
    total = 0.0
    for i in range(len(X)):
        total += f(X[i])[0]
    return total


@pytest.mark.benchmark(group="as_njit: 1,000 rows one by one")
@pytest.mark.parametrize("units", [50, 100])
def bench_as_njit(benchmark, units):
    X = np.random.default_rng(0).standard_normal((1000, 8))
    model = BackpropRegressor(units, max_iter=1, random_state=0)
    f = model.fit(X, X[:, 0]).as_njit()
    assert benchmark(add_up, f, X) == pytest.approx(model.predict(X).sum(), rel=1e-3, abs=1e-2)
