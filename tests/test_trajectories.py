"""Whole trainings of particular networks and tables, against the plain NumPy of `descent.py`.

What any training may meet, `test_every_kernel.py` asks of every kernel.
"""

import descent
import numpy as np
import pytest
import reference
from descent import OPTIMIZERS, PRECISIONS, assert_same_weights
from numpy.testing import assert_allclose

from fastbp.kernels.formulas.network import network
from fastbp.kernels.training.kernels import kernel_for
from fastbp.kernels.training.samples import FAR

EPOCHS = 5
N = 23


def samples(n_outputs=2):
    random = np.random.default_rng(3)
    X = random.normal(size=(N, 3))
    return X, np.sin(X[:, :n_outputs]) + X[:, 2:]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("widths", [(17, 9, 11), (8, 16, 8), (1, 1, 9), (9, 19)])
def test_one_by_one_every_layer_may_have_any_number_of_octets(widths, solver, dtype, model_of):
    random = np.random.default_rng(5)
    X, Y = random.normal(size=(N, widths[0])), random.normal(size=(N, widths[-1]))
    params, rule = OPTIMIZERS[solver]
    start = reference.random_network(widths, ["tanh"] * (len(widths) - 2))
    shared = {"batch_size": 1, "alpha": 0.01, "max_iter": EPOCHS}
    model = model_of(start, dtype=dtype, learning_rate_init=0.003, **params, **shared).fit(X, Y)
    course = descent.fit(start, "squared_error", rule(0.003), X, Y, **shared)
    assert_same_weights(model, course.best(), **PRECISIONS[dtype])
    assert_allclose(model.loss_curve_, course.losses, **PRECISIONS[dtype])


@pytest.mark.parametrize(
    ("columns", "hidden", "batch_size"), [(64, 2, 1), (64, 12, 100), (8, 2, 1000)]
)
def test_a_table_too_large_for_the_cache_is_trained_on_alike(columns, hidden, batch_size, model_of):
    """Its samples are asked for ahead, to the end of the order and not beyond."""
    random, n = np.random.default_rng(6), FAR // columns + 50
    X, y = random.normal(size=(n, columns)), random.normal(size=n)
    start = reference.random_network([columns, hidden, 1], ["tanh"])
    model = model_of(start, batch_size=batch_size, learning_rate_init=1e-3, momentum=0)
    model.fit(X, y)
    rows = descent.batches(len(X), batch_size)
    end, _ = descent.train(start, "squared_error", descent.Sgd(1e-3), X, y[:, None], rows)
    assert_same_weights(model, end, rtol=1e-8, atol=1e-10)


def test_which_kernel_trains_which_network():
    def kernel_of(*hidden, batch_size=16):
        return kernel_for(network([3, *hidden, 2], ["tanh"] * len(hidden)), batch_size, 8).name

    assert kernel_of(5, 9) == kernel_of(12) == kernel_of(2, batch_size=2) == "tiled"
    assert kernel_of(2, 3) is kernel_of(3) == "narrow"
    assert kernel_of(5, 9, batch_size=1) == kernel_of(2, batch_size=1) == "online"
    assert kernel_of(400, 400) == "large"


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_networks_of_any_depth_are_trained_alike(activation, model_of):
    X, Y = samples(n_outputs=1)
    for depth in range(4):
        start = reference.random_network([3, *[4] * depth, 1], [activation] * depth)
        model = model_of(start, batch_size=4, momentum=0, learning_rate_init=0.01, max_iter=EPOCHS)
        model.fit(X, Y[:, 0])
        rows = descent.batches(N, 4) * EPOCHS
        end, _ = descent.train(start, "squared_error", descent.Sgd(0.01), X, Y, rows)
        assert_same_weights(model, end, rtol=1e-10, atol=1e-12)


def test_a_sequence_of_partial_fits_is_one_course(model_of):
    X, Y = samples()
    start = reference.random_network([3, 5, 2], ["logistic"])
    model = model_of(start, solver="adam", batch_size=7, learning_rate_init=0.02)
    for _ in range(EPOCHS):
        model.partial_fit(X, Y)
    rule, rows = descent.Adam(0.02), descent.batches(N, 7) * EPOCHS
    end, _ = descent.train(start, "squared_error", rule, X, Y, rows)
    assert_same_weights(model, end, rtol=1e-10, atol=1e-12)
    assert model.t_ == EPOCHS * N
