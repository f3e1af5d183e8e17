"""What the tests share."""

import _thread
import os
import signal
import time
from functools import cache

import compiled  # noqa: F401
import numpy as np
import pytest
from founding import founding
from scipy import sparse

from fastbp import entries, inputs
from fastbp.fitting import calling, plan, survey, team, windows
from fastbp.kernels.formulas import losses
from fastbp.kernels.machine.compile import from_python
from fastbp.kernels.machine.vectors import INTERPRETED, LANES
from fastbp.kernels.training import large, samples, tiled
from fastbp.kernels.training.kernels import KERNELS
from fastbp.kernels.training.records import STATE

os.environ.setdefault("MPLBACKEND", "Agg")

#: What trains, by name. ("online" only one sample after another.)
TRAINING = {kernel.name: kernel for kernel in KERNELS}

#: What makes of batches of a few tens of samples several tiles and parts.
SMALL_PIECES = [
    (tiled, "WEIGHTS_BYTES", np.inf),
    (tiled, "LEAST_SAMPLES", LANES),
    (tiled, "TILE_BYTES", 0),
    (tiled, "MOST_PARTS", 4),
    (large, "SHARED_SAMPLES", LANES),
]


def pytest_addoption(parser):
    """Some tests go through all numbers of float32, and by default through a seeded part."""
    parser.addoption("--campaigns", action="store_true", help="whole campaigns, not a part of each")


def pytest_configure(config):
    config.addinivalue_line("markers", "begins: takes long, and nothing that others compile")
    config.addinivalue_line("markers", "ends: takes long, and less when others have compiled")


def pytest_collection_modifyitems(items):
    """Of two processes that part the tests neither waits long for the other's last ones."""
    items.sort(key=when)


def when(item):
    """A test's place among the others."""
    return bool(item.get_closest_marker("ends")) - bool(item.get_closest_marker("begins"))


@pytest.fixture(autouse=True)
def seeded():
    """What a fit without a `random_state` draws from: a test fails always, or never."""
    np.random.seed(0)  # noqa: NPY002 -- it is this one that scikit-learn draws from


@pytest.fixture
def table():
    """X (60, 3) and y (60,): a smooth function with a little noise, in raw units."""
    random = np.random.default_rng(0)
    X = random.normal([10.0, -2.0, 0.0], [3.0, 0.5, 1.0], (60, 3))
    y = 100 + 20 * np.tanh(X[:, 2]) + X[:, 0] * X[:, 1] + random.normal(0, 0.1, 60)
    return X, y


@pytest.fixture
def mixed():
    """X (300, 5): normal, heavy-tailed, few values, two values, one value; and y."""
    random = np.random.default_rng(0)
    n = 300
    X = np.column_stack([
        random.normal(50, 3, n), np.exp(3 * random.normal(size=n)), random.integers(0, 6, n),
        random.integers(0, 2, n), np.full(n, 7.0),
    ])  # fmt: skip
    return X, np.float64(X[:, 0] > 50) + X[:, 2] * X[:, 3]


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
        model = founding(hidden, network.activations, **(defaults | params))
        model.set_params(max_iter=1, n_iter_no_change=np.inf)
        y = 1.0 if np.isfinite(losses.TABLE[model.loss].above) else 0.0  # in the loss's range
        model.fit(np.zeros((2, n_inputs)), np.full((2, n_outputs) if n_outputs > 1 else 2, y))
        model.set_params(max_iter=max_iter)
        model.coefs_ = [W.copy() for W in network.coefs]
        model.intercepts_ = [b.copy() for b in network.intercepts]
        # As if that first fit had not been: partial_fit starts its optimiser anew.
        model.t_, model.loss_curve_ = 0, []
        del model._optimizer
        return model

    return make


@pytest.fixture
def pin(monkeypatch):
    """``pin(name)``: from here on every fit is that kernel's, whatever the network's size, and
    with other fields of its row, if any are given.

    Batches of a few tens of samples are then several tiles and parts, and work for three threads.
    A test that pins a kernel, and fits nothing with it, fails.
    """
    used = {}

    def pin(name, **fields):
        if INTERPRETED and name != "tiled":
            pytest.skip("needs lanes")

        kernel = TRAINING[name]._replace(**fields)
        if name == "large":  # else so small a network has no work for more than one
            kernel = kernel._replace(threads=lambda *_: 3)

        def kernel_for(*_):
            used[name] = True
            return kernel

        used[name] = False
        if name == "sparse":
            monkeypatch.setattr(inputs, "are_valid", lambda *_, **__: False)
            monkeypatch.setattr(inputs, "validate_data", sparse_after(inputs.validate_data))
            monkeypatch.setattr(entries, "are_worth_it", sparse.issparse)
        monkeypatch.setattr(calling, "kernel_for", kernel_for)
        for module, constant, value in SMALL_PIECES:
            monkeypatch.setattr(module, constant, value)

    yield pin
    assert all(used.values())


def sparse_after(validate):
    """As it validates what a fit is given, and then X is sparse."""

    def validate_data(model, X, *y, **how):
        valid = validate(model, X, *y, **how)
        return (sparse.csr_array(valid[0]), *valid[1:]) if y else valid

    return validate_data


@pytest.fixture(params=TRAINING)
def kernel(request, pin):
    """The name of each kernel that trains, `pin`ned."""
    pin(request.param)
    return request.param


#: What a fit that goes on from given weights draws its orders and masks by, with random_state 0.
SEED = int(np.random.RandomState(0).randint(np.iinfo(np.int64).max, dtype=np.int64))


@pytest.fixture(scope="session")
def seed():
    return SEED


@pytest.fixture(scope="session")
def orders():
    """``orders(n, epochs)``: in which order each epoch of a fit that goes on from given weights
    takes n samples, if its random_state is 0."""
    shuffle = from_python(samples.shuffle)

    @cache
    def orders(n, epochs):
        state, order = np.zeros(1, STATE).view(np.recarray)[0], plan.row_numbers(n)
        state.random = SEED
        shuffled = []
        for _ in range(epochs):
            shuffle(order, state)
            shuffled.append(tuple(order.tolist()))
        return tuple(shuffled)

    return orders


def as_cut(rows=28, block=5, columns=3, outputs=1, itemsize=8, source=8, weighs=False):
    """What makes tables be trained on in windows of so many rows, and blocks of so many, of rows in
    these many float64 and float32 numbers: names in modules, and their values."""
    window, block = rows * ((columns + outputs + weighs) * itemsize + 4), block * columns * source
    return [
        (survey, "WHOLE_BYTES", 0),
        *((windows, name, window) for name in ("WINDOW_BYTES", "MAPPED_WINDOW_BYTES")),
        *((windows, name, block) for name in ("BLOCK_BYTES", "MAPPED_BLOCK_BYTES")),
    ]


@pytest.fixture
def cut(monkeypatch):
    """``cut(…)``: every table from here on is trained on in windows, see `as_cut`."""

    def cut(**of):
        for place in as_cut(**of):
            monkeypatch.setattr(*place)

    return cut


@pytest.fixture
def no_thread_is_left():
    """Of those that the test has started, in whatever way."""
    before = _thread._count()
    yield
    patience = time.monotonic() + 5  # one that is done is counted until the system has seen it off
    while _thread._count() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert _thread._count() <= before


@pytest.fixture
def ctrl_c_is_heard():
    """As in a terminal; what a script starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def calls(monkeypatch, ctrl_c_is_heard):
    """The calls of a kernel that fits are made of: see `Calls`."""
    return Calls(monkeypatch)


class Calls:
    """Says how a fit is cut into calls of its kernel, and in which of them Ctrl-C is pressed."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch

    def of_steps(self, steps):
        """Every call makes so many steps, and no more than end an epoch."""
        self.monkeypatch.setattr(calling.Calls, "share", lambda *_, **__: (steps, 1))

    def of_no_time(self):
        """Every call has next to no time."""
        self.monkeypatch.setattr(calling, "CALL_SECONDS", 0.0)

    def press_ctrl_c(self, wanted, times=1):
        """Press it at the end of one of the calls, the first of which is number 1."""
        # Before it, there is one that does nothing: it compiles, whatever has been compiled.
        self.monkeypatch.setattr(calling, "compiled", NothingYet())
        run, calls = team.Team.run, iter(range(10**9))

        def pressing(*arguments, **keywords):
            result = run(*arguments, **keywords)
            if next(calls) == wanted:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return result

        self.monkeypatch.setattr(team.Team, "run", pressing)


class NothingYet(set):
    """Forgets what is added."""

    def add(self, what):
        pass
