"""The update rules, as loops over a vector."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

from fastbp.kernels.formulas import optimizers
from fastbp.kernels.formulas.optimizers import MOMENTUM, NESTEROV, OPTIMIZERS, SGD
from fastbp.kernels.machine.compile import from_python

sgd, momentum, nesterov, adam = (
    from_python(getattr(optimizers, name)) for name in ("sgd", "momentum", "nesterov", "adam")
)

PRECISIONS = {"float64": 1e-14, "float32": 1e-5}
STEPS = 20
N = 37  # not a whole number of vectors


@pytest.fixture(params=PRECISIONS)
def course(request):
    """θ, STEPS gradients, and the tolerance of the precision."""
    random, dtype = np.random.default_rng(0), request.param
    theta, gradients = random.normal(size=N), random.normal(size=(STEPS, N))
    return theta.astype(dtype), gradients.astype(dtype), PRECISIONS[dtype]


def after(rule, theta, gradients):
    for g in gradients:
        theta = rule.step(theta, g.astype(float))
    return theta


def test_sgd_moves_against_the_gradient(course):
    theta, gradients, rtol = course
    expected = after(reference.Sgd(0.1), theta.astype(float), gradients)
    for g in gradients:
        sgd(theta.dtype.type(0.1), theta, g)
    assert_allclose(theta, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("kernel", "rule"), [(momentum, reference.Momentum), (nesterov, reference.Nesterov)]
)
def test_momentum_carries_the_velocity_on(kernel, rule, course):
    theta, gradients, rtol = course
    expected = after(rule(0.1, 0.9), theta.astype(float), gradients)
    real, v = theta.dtype.type, np.zeros_like(theta)
    for g in gradients:
        kernel(real(0.1), real(0.9), theta, g, v)
    assert_allclose(theta, expected, rtol=10 * rtol, atol=10 * rtol)


def test_adam_rescales_by_the_running_means(course):
    theta, gradients, rtol = course
    rule = reference.Adam(0.1, 0.8, 0.95, 1e-6)
    expected = after(rule, theta.astype(float), gradients)
    real, m, v = theta.dtype.type, np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        eta = 0.1 * np.sqrt(1 - 0.95**t) / (1 - 0.8**t)
        adam(real(eta), real(0.8), real(0.95), real(1e-6), theta, g, m, v)
    assert_allclose(theta, expected, rtol=10 * rtol, atol=10 * rtol)
    assert_allclose(m, rule.m, rtol=10 * rtol, atol=10 * rtol)
    assert_allclose(v, rule.v, rtol=10 * rtol)


def test_a_step_of_size_0_leaves_everything_where_it_is(course):
    theta, gradients, _ = course
    before, zero = theta.copy(), theta.dtype.type(0)
    sgd(zero, theta, gradients[0])
    momentum(zero, theta.dtype.type(0.9), theta, gradients[0], np.zeros_like(theta))
    nesterov(zero, theta.dtype.type(0.9), theta, gradients[0], np.zeros_like(theta))
    assert_array_equal(theta, before)


@pytest.mark.parametrize("kernel", [momentum, nesterov])
def test_momentum_0_is_sgd(kernel, course):
    theta, gradients, _ = course
    plain, real = theta.copy(), theta.dtype.type
    v = np.zeros_like(theta)
    for g in gradients:
        sgd(real(0.1), plain, g)
        kernel(real(0.1), real(0), theta, g, v)
    assert_allclose(theta, plain, rtol=4 * np.finfo(theta.dtype).eps, atol=1e-7)


def test_gradients_are_not_written_to(course):
    theta, gradients, _ = course
    before, real = gradients.copy(), theta.dtype.type
    m, v = np.zeros((2, N), theta.dtype)
    sgd(real(0.1), theta, gradients[0])
    momentum(real(0.1), real(0.9), theta, gradients[0], v)
    nesterov(real(0.1), real(0.9), theta, gradients[0], v)
    adam(real(0.1), real(0.9), real(0.9), real(1e-8), theta, gradients[0], m, np.abs(v))
    assert_array_equal(gradients, before)


def test_each_optimizer_remembers_as_many_vectors_as_its_rule_has():
    assert OPTIMIZERS[SGD] == 0
    assert OPTIMIZERS[MOMENTUM] == OPTIMIZERS[NESTEROV] == 1
    assert max(OPTIMIZERS.values()) == 2
