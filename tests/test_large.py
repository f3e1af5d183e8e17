"""Large networks: threads share the products of a tile.

Small ones are taken for large here, so that every edge of rows and columns is met, and some whose
weights are packed.
"""

from itertools import pairwise

import descent
import numpy as np
import pytest
import reference
from descent import OPTIMIZERS, PRECISIONS, assert_same_weights
from founding import founding
from numpy.testing import assert_array_equal

from fastbp.kernels.formulas.network import network
from fastbp.kernels.products.blocks import WIDE
from fastbp.kernels.training import large
from fastbp.kernels.training.kernels import kernel_for
from fastbp.kernels.training.large import LARGE

EPOCHS, N = 2, 70

#: Layers of a unit, of fewer than a tile's rows, of all remainders of rows and vectors; outputs
#: from one to more than a vector; and weights that are packed, in several pieces and terms taken at
#: a time.
LAYERS = [(3, 1, 1), (1, 2, 3), (3, 7, 30, 1), (9, 50, 50, 5), (25, 33, 41, 19), (5, 131, 301, 2)]


@pytest.fixture(autouse=True)
def every_network_is_large(monkeypatch):
    monkeypatch.setattr(large, "WEIGHTS_BYTES", 0)
    monkeypatch.setattr(large, "SHARED_SAMPLES", 32)  # several tiles in a batch


def samples(n_inputs, n_outputs, dtype="float64"):
    random = np.random.default_rng(3)
    X, W = random.normal(size=(N, n_inputs)), random.normal(size=(n_inputs, n_outputs))
    return X.astype(dtype), np.sin(X @ W).astype(dtype)


def test_these_layers_are_packed_and_large():
    assert max(n_in * n_out for n_in, n_out in pairwise(LAYERS[-1])) > WIDE
    for widths in LAYERS:
        net = network(widths, ["tanh"] * (len(widths) - 2))
        assert kernel_for(net, N, itemsize=4) is LARGE


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
@pytest.mark.parametrize("widths", LAYERS, ids=str)
def test_every_step_is_the_references(widths, activation, n_threads, dtype, model_of):
    X, Y = samples(widths[0], widths[-1], dtype)
    start = reference.random_network(widths, [activation] * (len(widths) - 2))
    for W in start.coefs:
        W /= np.sqrt(len(W))  # weights of any size would make sums that no step is small for
    params, rule = OPTIMIZERS["momentum"]
    model = model_of(
        start, dtype=dtype, batch_size=40, learning_rate_init=0.01, n_threads=n_threads,
        max_iter=EPOCHS, **params,
    )  # fmt: skip
    model.fit(X, Y if widths[-1] > 1 else Y[:, 0])
    rows = descent.batches(N, 40) * EPOCHS
    end, _ = descent.train(start, "squared_error", rule(0.01), X, Y, rows)
    assert_same_weights(model, end, **PRECISIONS[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", LAYERS, ids=str)
def test_any_number_of_threads_gives_the_same_bits(widths, dtype):
    X, Y = samples(widths[0], widths[-1])

    def learnt(n_threads):
        model = founding(
            widths[1:-1], "tanh", solver="adam", batch_size=50, max_iter=3, n_iter_no_change=np.inf,
            early_stopping=True, random_state=0, dtype=dtype, n_threads=n_threads,
        ).fit(X, Y if widths[-1] > 1 else Y[:, 0])  # fmt: skip
        parts = *model.coefs_, *model.intercepts_, model.loss_curve_, model.validation_scores_
        return np.concatenate([np.ravel(part) for part in parts])

    alone = learnt(1)
    for n_threads in (2, 3, 8):
        assert_array_equal(learnt(n_threads), alone)
