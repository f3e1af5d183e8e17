"""One step of the 2-2-1 network, worked out by hand: nine parameters, nine gradients.

w111 is w¹₁₁: layer, unit it comes from, unit it goes to. b11, b12 are the biases of the two
hidden units, b21 that of the output.
"""

from math import exp

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import Network

# The parameters, the sample (i1, i2) → y, and the step size η.
w111, w121, b11 = 0.15, -0.20, 0.35
w112, w122, b12 = 0.25, 0.30, -0.10
w211, w221, b21 = 0.40, -0.55, 0.60
i1, i2, y = 0.5, -1.5, 2.0
eta = 0.3


def sigma(z):
    return 1 / (1 + exp(-z))


def sigma_prime(z):
    return sigma(z) * (1 - sigma(z))


# Forward.
z1 = w111 * i1 + w121 * i2 + b11
z2 = w112 * i1 + w122 * i2 + b12
O1, O2 = sigma(z1), sigma(z2)
y_hat = w211 * O1 + w221 * O2 + b21
L = (y_hat - y) ** 2

# Backward: the output layer …
dL_dw211 = 2 * (y_hat - y) * O1
dL_dw221 = 2 * (y_hat - y) * O2
dL_db21 = 2 * (y_hat - y)
# … and the hidden layer, through the output weights of before the update.
dL_dw111 = 2 * (y_hat - y) * w211 * sigma_prime(z1) * i1
dL_dw121 = 2 * (y_hat - y) * w211 * sigma_prime(z1) * i2
dL_db11 = 2 * (y_hat - y) * w211 * sigma_prime(z1)
dL_dw112 = 2 * (y_hat - y) * w221 * sigma_prime(z2) * i1
dL_dw122 = 2 * (y_hat - y) * w221 * sigma_prime(z2) * i2
dL_db12 = 2 * (y_hat - y) * w221 * sigma_prime(z2)

X, Y = np.array([[i1, i2]]), np.array([y])
BEFORE = Network(
    [np.array([[w111, w112], [w121, w122]]), np.array([[w211], [w221]])],
    [np.array([b11, b12]), np.array([b21])],
    ["logistic"],
)
GRADIENT = (
    [[[dL_dw111, dL_dw112], [dL_dw121, dL_dw122]], [[dL_dw211], [dL_dw221]]],
    [[dL_db11, dL_db12], [dL_db21]],
)
AFTER = (
    [
        [
            [w111 - eta * dL_dw111, w112 - eta * dL_dw112],
            [w121 - eta * dL_dw121, w122 - eta * dL_dw122],
        ],
        [[w211 - eta * dL_dw211], [w221 - eta * dL_dw221]],
    ],
    [[b11 - eta * dL_db11, b12 - eta * dL_db12], [b21 - eta * dL_db21]],
)

# Float32 carries 24 bits: a few roundings of 6e-8 each.
PRECISIONS = [("float64", 1e-14), ("float32", 1e-6)]


@pytest.fixture(params=PRECISIONS, ids=lambda precision: precision[0])
def model_and_rtol(request, model_of):
    dtype, rtol = request.param
    params = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": eta}
    return model_of(BEFORE, dtype=dtype, **params), rtol


def assert_parameters(coefs, intercepts, expected, rtol):
    for got, worked_out in zip((*coefs, *intercepts), (*expected[0], *expected[1]), strict=True):
        assert_allclose(got, worked_out, rtol=rtol)


def test_the_forward_pass_is_the_table(model_and_rtol):
    model, rtol = model_and_rtol
    assert_allclose(model.predict(X), [y_hat], rtol=rtol)


def test_loss_gradient_gives_the_nine_gradients(model_and_rtol):
    model, _ = model_and_rtol
    loss, coef_gradients, intercept_gradients = model.loss_gradient(X, Y)
    assert_allclose(loss, L, rtol=1e-14)
    assert_parameters(coef_gradients, intercept_gradients, GRADIENT, rtol=1e-14)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_step_moves_the_nine_parameters(model_and_rtol, method):
    model, rtol = model_and_rtol
    getattr(model, method)(X, Y)
    assert_parameters(model.coefs_, model.intercepts_, AFTER, rtol)
    assert_allclose(model.loss_curve_[-1], L, rtol=rtol)


def test_a_step_of_a_batch_is_the_mean_of_its_samples(model_and_rtol):
    model, rtol = model_and_rtol
    model.fit(np.repeat(X, 5, axis=0), np.repeat(Y, 5))
    assert_parameters(model.coefs_, model.intercepts_, AFTER, rtol)
