"""Where compiled kernels are kept while testing, and what the tests share."""

import hashlib
import os
import tempfile
from pathlib import Path

# Before numba is imported: compiled kernels go to a folder named by the kernels' sources, so
# that a second run compiles nothing and an edited kernel is never served stale.
# (`test_storeys.py` sees to it that nothing outside of kernels/ is compiled.)
KERNELS = Path(__file__).resolve().parents[1] / "fastbp" / "kernels"
digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(KERNELS.rglob("*.py"))))
cache = Path(tempfile.gettempdir()) / f"fastbp-tests-{digest.hexdigest()[:12]}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache))
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from fastbp import BackpropRegressor  # noqa: E402


@pytest.fixture
def table():
    """X (60, 3) and y (60,): a smooth function with a little noise, in raw units."""
    random = np.random.default_rng(0)
    X = random.normal([10.0, -2.0, 0.0], [3.0, 0.5, 1.0], (60, 3))
    y = 100 + 20 * np.tanh(X[:, 2]) + X[:, 0] * X[:, 1] + random.normal(0, 0.1, 60)
    return X, y


@pytest.fixture
def standard_table(table):
    """The same with columns of mean 0 and variance 1, for fits with ``standardize=False``."""
    X, y = table
    return (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()


@pytest.fixture
def two_outputs(standard_table):
    """X (60, 3) and Y (60, 2), standardised."""
    X, y = standard_table
    return X, np.column_stack([y, np.sin(X[:, 0]) - X[:, 1]])


@pytest.fixture(scope="session")
def model_of():
    """Makes a model with the weights of a `reference.Network`, ready to predict and go on."""

    def make(network, *, max_iter=1, **params):
        defaults = {"standardize": False, "dtype": "float64", "warm_start": True, "shuffle": False}
        n_inputs, *hidden = [len(W) for W in network.coefs]
        n_outputs = len(network.intercepts[-1])
        model = BackpropRegressor(hidden, network.activations, **(defaults | params))
        model.set_params(max_iter=1, n_iter_no_change=np.inf)
        model.fit(np.zeros((2, n_inputs)), np.zeros((2, n_outputs) if n_outputs > 1 else 2))
        model.set_params(max_iter=max_iter)
        model.coefs_ = [W.copy() for W in network.coefs]
        model.intercepts_ = [b.copy() for b in network.intercepts]
        # As if that first fit had not been: partial_fit starts its optimiser anew.
        model.t_, model.loss_curve_ = 0, []
        del model._optimizer
        return model

    return make
