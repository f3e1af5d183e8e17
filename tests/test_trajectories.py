"""Whole trainings, step after step, against the plain NumPy version of `reference.py`."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose
from reference import OPTIMIZERS, PRECISIONS, assert_same_weights

from fastbp.kernels.epoch import train
from fastbp.kernels.narrow import train_narrow
from fastbp.kernels.online import train_online
from fastbp.kernels.samples import FAR
from fastbp.parameters import network
from fastbp.plan import kernel_for

EPOCHS = 5
N = 23

#: Hidden widths of networks that tiles are used for, and of narrow ones; with two octets of units
#: in a layer, and with one.
WIDE, NARROW = (5, 9), (2, 3)


def samples(n_outputs=2, dtype="float64", n=N):
    random = np.random.default_rng(3)
    X = random.normal(size=(n, 3)).astype(dtype)
    return X, (np.sin(X[:, :n_outputs]) + X[:, 2:]).astype(dtype)


def assert_same_course(model, start, rule, X, Y, *, weight=None, loss="squared_error", **tol):
    """Fit, train the reference over the same batches, and compare weights and losses."""
    model.fit(X, Y, weight)
    rows = reference.batches(len(X), min(model.batch_size, len(X)))
    alpha = model.alpha
    end, losses = reference.train(start, loss, rule, X, Y, rows * EPOCHS, weight, alpha)
    assert_same_weights(model, end, **tol)
    of_batch = [len(r) if weight is None else weight[r].sum() for r in rows]
    by_epoch = np.reshape(losses, (EPOCHS, -1))
    assert_allclose(model.loss_curve_, np.average(by_epoch, 1, of_batch), **tol)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("batch_size", [1, 5, 16, 17, N, 100])
@pytest.mark.parametrize("hidden", [WIDE, NARROW])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_of_every_solver_is_the_references(
    optimizer, hidden, batch_size, dtype, model_of
):
    X, Y = samples(dtype=dtype)
    params, rule = OPTIMIZERS[optimizer]
    start = reference.random_network([3, *hidden, 2], ["logistic", "tanh"])
    model = model_of(
        start, dtype=dtype, batch_size=batch_size, learning_rate_init=0.02, **params,
        max_iter=EPOCHS,
    )  # fmt: skip
    assert_same_course(model, start, rule(0.02), X, Y, **PRECISIONS[dtype])


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("hidden", [12, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_penalty_and_weights_enter_as_in_the_reference(
    optimizer, hidden, batch_size, weighted, alpha, model_of
):
    X, Y = samples()
    weight = np.random.default_rng(4).integers(0, 4, N).astype(float) if weighted else None
    params, rule = OPTIMIZERS[optimizer]
    start = reference.random_network([3, hidden, 2], ["tanh"])
    params = params | {"learning_rate_init": 0.01, "alpha": alpha, "batch_size": batch_size}
    model = model_of(start, **params, max_iter=EPOCHS)
    tolerance = PRECISIONS["float64"]
    assert_same_course(model, start, rule(0.01), X, Y, weight=weight, **tolerance)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
@pytest.mark.parametrize("batch_size", [32, 40, 64, 150])
@pytest.mark.parametrize("weighted", [False, True])
def test_narrow_networks_are_trained_alike_however_vectors_divide_a_batch(
    weighted, batch_size, activation, dtype, model_of
):
    X, Y = samples(dtype=dtype, n=150)
    weight = np.random.default_rng(4).integers(0, 4, 150).astype(float) if weighted else None
    start = reference.random_network([3, *NARROW, 2], [activation] * 2)
    model = model_of(
        start, dtype=dtype, batch_size=batch_size, solver="adam", learning_rate_init=0.02,
        max_iter=EPOCHS, alpha=0.1,
    )  # fmt: skip
    rule = reference.Adam(0.02)
    assert_same_course(model, start, rule, X, Y, weight=weight, **PRECISIONS[dtype])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("widths", [(17, 9, 11), (8, 16, 8), (1, 1, 9), (9, 19)])
def test_one_by_one_every_layer_may_have_any_number_of_octets(widths, solver, dtype, model_of):
    random = np.random.default_rng(5)
    X, Y = random.normal(size=(N, widths[0])), random.normal(size=(N, widths[-1]))
    X, Y = X.astype(dtype), Y.astype(dtype)
    params, rule = OPTIMIZERS[solver]
    start = reference.random_network(widths, ["tanh"] * (len(widths) - 2))
    model = model_of(
        start, dtype=dtype, batch_size=1, learning_rate_init=0.003, alpha=0.01, **params,
        max_iter=EPOCHS,
    )  # fmt: skip
    assert_same_course(model, start, rule(0.003), X, Y, **PRECISIONS[dtype])


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
    rows = reference.batches(len(X), batch_size)
    end, _ = reference.train(start, "squared_error", reference.Sgd(1e-3), X, y[:, None], rows)
    assert_same_weights(model, end, rtol=1e-8, atol=1e-10)


def test_which_networks_are_narrow():
    """The courses above are of all kinds."""
    kinds = {
        hidden: kernel_for(network([3, *hidden, 2], ["tanh"] * len(hidden)), 16, 8)
        for hidden in (WIDE, NARROW, (12,), (3,))
    }
    assert kinds == {WIDE: train, NARROW: train_narrow, (12,): train, (3,): train_narrow}
    assert kernel_for(network([3, *WIDE, 2], ["tanh"] * len(WIDE)), 1, 8) is train_online


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_linear_regression_and_deep_networks_are_trained_alike(activation, model_of):
    X, Y = samples(n_outputs=1)
    for depth in range(4):
        start = reference.random_network([3, *[4] * depth, 1], [activation] * depth)
        model = model_of(start, batch_size=4, momentum=0, learning_rate_init=0.01, max_iter=EPOCHS)
        model.fit(X, Y[:, 0])
        rows = reference.batches(N, 4) * EPOCHS
        end, _ = reference.train(start, "squared_error", reference.Sgd(0.01), X, Y, rows)
        assert_same_weights(model, end, rtol=1e-10, atol=1e-12)


def test_a_sequence_of_partial_fits_is_one_course(model_of):
    X, Y = samples()
    start = reference.random_network([3, 5, 2], ["logistic"])
    model = model_of(start, solver="adam", batch_size=7, learning_rate_init=0.02)
    for _ in range(EPOCHS):
        model.partial_fit(X, Y)
    rule, rows = reference.Adam(0.02), reference.batches(N, 7) * EPOCHS
    end, _ = reference.train(start, "squared_error", rule, X, Y, rows)
    assert_same_weights(model, end, rtol=1e-10, atol=1e-12)
    assert model.t_ == EPOCHS * N
