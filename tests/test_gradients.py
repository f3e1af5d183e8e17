"""Gradients: against central differences of the loss, and sample by sample.

Whoever adds an activation or a loss to its table is tested here unasked.
"""

import numpy as np
import pytest
import reference
from founding import founding
from numpy.testing import assert_allclose

from fastbp.fitting.fullbatch import loss_and_gradient
from fastbp.kernels.formulas.activations import ACTIVATIONS
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.formulas.network import network as network_of
from fastbp.parameters import pack, unpack

H = 1e-6  # step of the central differences
KINK = 1e-3  # no |z| is smaller: relu has no derivative at 0


def hidden_activations(first, depth):
    """`first`, and after it the others of the table, a different one in each layer."""
    names = list(ACTIVATIONS)
    return [names[(names.index(first) + l) % len(names)] for l in range(depth)]


#: Every activation with two losses, and every loss with activations.
TOGETHER = [
    (activation, list(LOSSES)[(i + step) % len(LOSSES)])
    for i, activation in enumerate(ACTIVATIONS)
    for step in (0, 3)
]


def samples_away_from_kinks(network, n, seed=1):
    """X (n, ·) and positive y, (n, ·) or of one output (n,)."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(4 * n, len(network.coefs[0])))
    nearest = [min(np.abs(np.concatenate(reference.forward(network, x)[0][1:]))) for x in X]
    X = X[np.array(nearest) > KINK][:n]
    n_outputs = len(network.intercepts[-1])
    return X, random.gamma(2.0, size=(n, n_outputs) if n_outputs > 1 else n)


def central_differences(model, *samples):
    """∂L/∂A for every array A of coefs_ and intercepts_, whose elements are moved by ±H."""
    gradients = []
    for A in (*model.coefs_, *model.intercepts_):
        gradient = np.empty_like(A)
        for index, a in np.ndenumerate(A.copy()):
            A[index] = a + H
            above = model.loss_gradient(*samples)[0]
            A[index] = a - H
            below = model.loss_gradient(*samples)[0]
            A[index] = a
            gradient[index] = (above - below) / (2 * H)
        gradients.append(gradient)
    return gradients


@pytest.mark.parametrize("weight", [None, [0.5, 0.0, 3.0, 1.0, 0.0]], ids=["equal", "weighted"])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize(("activation", "loss"), TOGETHER)
def test_gradient_matches_central_differences(activation, loss, depth, n_outputs, weight, model_of):
    widths = [3, *[4, 2, 3][:depth], n_outputs]
    network = reference.random_network(widths, hidden_activations(activation, depth))
    X, Y = samples_away_from_kinks(network, 5)
    model = model_of(network, loss=loss, **reference.LOSSES[loss].params)
    _, dW, db = model.loss_gradient(X, Y, weight)
    for got, expected in zip((*dW, *db), central_differences(model, X, Y, weight), strict=True):
        # 1e-8: rounding of L, divided by H.
        assert_allclose(got, expected, rtol=1e-6, atol=1e-8)


def assert_agrees_with_reference(network, loss, samples, got, rtol):
    L, dW, db = reference.loss_gradient(network, loss, *samples)
    assert_allclose(got[0], L, rtol=rtol)
    scale = max(np.abs(g).max() for g in dW)
    for mine, expected in zip((*got[1], *got[2]), (*dW, *db), strict=True):
        assert_allclose(mine, expected, rtol=rtol, atol=rtol * scale)


# One sample alone, fewer than a vector holds, a few more than that, and several tiles' worth.
@pytest.mark.parametrize("n", [1, 2, 17, 64, 300])
@pytest.mark.parametrize(("activation", "loss"), TOGETHER)
def test_a_batch_of_any_size_agrees_with_the_sum_over_its_samples(activation, loss, n, model_of):
    network = reference.random_network([5, 300, 7, 2], hidden_activations(activation, 2))
    X, Y = samples_away_from_kinks(network, n)
    weight = np.random.default_rng(2).uniform(0.5, 2, n)
    model = model_of(network, loss=loss, **reference.LOSSES[loss].params)
    got = model.loss_gradient(X, Y, weight)
    assert_agrees_with_reference(network, loss, (X, Y, weight), got, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 17, 64, 300])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_in_float32_agrees_to_its_precision(activation, n):
    network = reference.random_network([5, 300, 7, 2], hidden_activations(activation, 2))
    X, Y = samples_away_from_kinks(network, n)
    net = network_of([5, 300, 7, 2], network.activations, trained=True)
    theta = pack(network.coefs, network.intercepts, np.float32)
    X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
    for A in (X32, Y32):
        A.flags.writeable = False
    settings = founding()._settings()
    loss, gradient = loss_and_gradient(net, theta, X32, Y32, None, settings)
    # Sums of up to 300 terms of either sign: 1e-5 of the largest gradient.
    got = loss, *unpack(gradient, net)
    assert_agrees_with_reference(network, "squared_error", (X, Y), got, rtol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 3, 15, 16, 17, 33])
def test_layers_of_every_width_agree_with_the_reference(width, model_of):
    network = reference.random_network([width, width + 1, width], ["tanh"])
    X, Y = samples_away_from_kinks(network, 20)
    got = model_of(network).loss_gradient(X, Y)
    assert_agrees_with_reference(network, "squared_error", (X, Y), got, rtol=1e-12)


def test_the_penalty_is_no_part_of_loss_gradient(model_of):
    network = reference.random_network([3, 4, 1], ["tanh"])
    X, Y = samples_away_from_kinks(network, 5)
    plain, penalised = (model_of(network, alpha=a).loss_gradient(X, Y) for a in (0, 100))
    assert plain[0] == penalised[0]
    assert_allclose(plain[1][0], penalised[1][0], rtol=0)


def test_the_gradient_describes_the_raw_units_of_a_standardised_model(table):
    X, y = table
    model = founding(3, max_iter=5, n_iter_no_change=np.inf).fit(X, y)
    loss, dW, db = model.loss_gradient(X, y)
    assert_allclose(loss, np.mean((model.predict(X) - y) ** 2), rtol=1e-4)
    residuals = model.predict(X) - y
    assert_allclose(db[-1], [2 * residuals.mean()], rtol=1e-4, atol=1e-4)
    assert [g.shape for g in dW] == [W.shape for W in model.coefs_]
