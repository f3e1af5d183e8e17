"""L and dL/dŷ of every loss."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose

from fastbp.kernels.formulas import losses
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.machine.compile import from_python

loss, slope = from_python(losses.loss), from_python(losses.slope)
loss_and_slope = from_python(losses.loss_and_slope)

PRECISIONS = ["float32", "float64"]
H = 1e-6


def outputs(dtype, shape=(2, 17)):
    """Predictions, targets and shares of a batch, seen as the kernels see it: (n_outputs, n)."""
    random = np.random.default_rng(0)
    share = random.uniform(0, 1, shape[1])
    arrays = random.normal(size=shape), random.gamma(2.0, size=shape), share / share.sum()
    return [a.astype(dtype) for a in arrays]


@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_is_that_of_the_loss(name):
    kind = LOSSES[name]
    for prediction, y in [(0.3, 1.2), (2.0, -1.0), (0.1, 0.4), (5.0, 0.01)]:
        rise = loss(kind, prediction + H, y) - loss(kind, prediction - H, y)
        assert_allclose(slope(kind, prediction, y), rise / (2 * H), rtol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_costs_nothing_and_moves_nothing(name):
    assert loss(LOSSES[name], 1.5, 1.5) == 0
    assert slope(LOSSES[name], 1.5, 1.5) == 0


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_costs_the_weighted_mean_of_its_samples(name, dtype):
    prediction, Y, share = outputs(dtype)
    D = np.empty_like(Y)
    total = loss_and_slope(LOSSES[name], prediction, Y, share, D)
    value, derivative = reference.LOSSES[name]
    samples = list(zip(prediction.T, Y.T, share, strict=True))
    rtol = 20 * np.finfo(dtype).eps
    assert_allclose(total, sum(s * value(p, y) for p, y, s in samples), rtol=rtol)
    assert_allclose(D.T, [s * derivative(p, y) for p, y, s in samples], rtol=rtol)


def test_squared_error_is_twice_the_half():
    whole, half = LOSSES["squared_error"], LOSSES["half_squared_error"]
    assert loss(whole, 5.0, 2.0) == 9.0 == 2 * loss(half, 5.0, 2.0)
    assert slope(whole, 5.0, 2.0) == 6.0 == 2 * slope(half, 5.0, 2.0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_nan_is_nan(name):
    assert np.isnan(loss(LOSSES[name], np.nan, 1.0))


def test_the_reference_knows_every_loss():
    assert reference.LOSSES.keys() == LOSSES.keys()
    assert len(set(LOSSES.values())) == len(LOSSES)
