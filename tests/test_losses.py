"""L and dL/dŷ of every loss."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose

from fastbp.kernels.formulas import losses
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.machine.compile import from_python

loss, loss_and_slope = from_python(losses.loss), from_python(losses.loss_and_slope)
loss_and_slope_of_tile = from_python(losses.loss_and_slope_of_tile)
loss_and_square = from_python(losses.loss_and_square)

PRECISIONS = ["float32", "float64"]
H = 1e-6


def outputs(dtype, shape=(2, 17)):
    """Predictions, targets and shares of a batch, seen as the kernels see it: (n_outputs, n)."""
    random = np.random.default_rng(0)
    share = random.uniform(0, 1, shape[1])
    arrays = random.normal(size=shape), random.gamma(2.0, size=shape), share / share.sum()
    return [a.astype(dtype) for a in arrays]


def parameter_of(name):
    """The loss's parameter, as the reference has it."""
    return reference.LOSSES[name].params.get("loss_parameter", 0.0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_is_that_of_the_loss(name):
    kind, a = LOSSES[name], parameter_of(name)
    for z, y in [(0.3, 1.2), (2.0, -1.0), (0.1, 0.4), (5.0, 0.01)]:
        rise = loss(kind, z + H, y, a) - loss(kind, z - H, y, a)
        value, slope = loss_and_slope(kind, z, y, a)
        assert value == loss(kind, z, y, a)
        assert_allclose(slope, rise / (2 * H), rtol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_no_prediction_costs_less_than_a_perfect_one_which_moves_nothing(name):
    kind, a, mean = LOSSES[name], parameter_of(name), reference.LOSSES[name].mean
    best, slope = loss_and_slope(kind, 1.5, float(mean(1.5)), a)
    assert_allclose(slope, 0, atol=1e-15)
    for z in (1.4, 1.6, -3.0, 9.0):
        assert loss(kind, z, float(mean(1.5)), a) > best


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_costs_the_weighted_mean_of_its_samples(name, dtype):
    prediction, Y, share = outputs(dtype)
    D = np.empty_like(Y)
    total = loss_and_slope_of_tile(LOSSES[name], parameter_of(name), prediction, Y, share, D)
    value, derivative, *_ = reference.LOSSES[name]
    samples = list(zip(prediction.T, Y.T, share, strict=True))
    rtol = 20 * np.finfo(dtype).eps
    assert_allclose(total, sum(s * value(p, y) for p, y, s in samples), rtol=rtol)
    assert_allclose(D.T, [s * derivative(p, y) for p, y, s in samples], rtol=rtol)


def test_squared_error_is_twice_the_half():
    whole, half = LOSSES["squared_error"], LOSSES["half_squared_error"]
    assert loss_and_slope(whole, 5.0, 2.0, 0.0) == (9.0, 6.0)
    assert loss_and_slope(half, 5.0, 2.0, 0.0) == (4.5, 3.0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_nan_is_nan(name):
    assert np.isnan(loss(LOSSES[name], np.nan, 1.0, parameter_of(name)))


@pytest.mark.parametrize("name", LOSSES)
def test_r2_is_of_the_prediction_behind_the_link(name):
    for z, y in [(0.3, 1.2), (2.0, 0.5)]:
        value, square = loss_and_square(LOSSES[name], parameter_of(name), 0.25, z, y)
        assert_allclose(value, 0.25 * loss(LOSSES[name], z, y, parameter_of(name)), rtol=1e-15)
        assert_allclose(square, 0.25 * (reference.LOSSES[name].mean(z) - y) ** 2, rtol=1e-14)


def test_the_reference_knows_every_loss():
    assert reference.LOSSES.keys() == LOSSES.keys()
    assert len(set(LOSSES.values())) == len(LOSSES)
