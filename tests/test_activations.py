"""σ and σ′ of every activation, over all of their range, in both precisions."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

from fastbp.kernels import activations
from fastbp.kernels.activations import ACTIVATIONS
from fastbp.kernels.compile import from_python

activate = from_python(activations.activate)
times_derivative = from_python(activations.times_derivative)

PRECISIONS = ["float32", "float64"]


def activated(name, z):
    """σ(z) by the kernel."""
    Z = np.array(z)
    O = np.full_like(Z, np.nan)
    activate(ACTIVATIONS[name], Z, O)
    assert_array_equal(Z, z)
    return O


def grid(dtype):
    """Values of every magnitude and sign, more where activations bend."""
    magnitudes = np.concatenate([np.geomspace(1e-30, 1e3, 2000), np.linspace(0, 20, 4001)])
    return np.concatenate([-magnitudes, magnitudes]).astype(dtype)


def ulps(got, exact):
    """Distance from the exact value in units of the last place."""
    return np.abs(got.astype(np.longdouble) - exact) / np.spacing(np.abs(exact).astype(got.dtype))


def exactly(name, z):
    z = z.astype(np.longdouble)
    if name == "logistic":  # without overflow on either side
        return np.where(z < 0, np.exp(-np.abs(z)), 1) / (1 + np.exp(-np.abs(z)))
    return reference.ACTIVATIONS[name][0](z)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_values_are_right_to_a_few_units_of_the_last_place(name, dtype):
    z = grid(dtype)
    z = z[np.abs(z) < 80]  # beyond it eᶻ saturates: see below
    worst = ulps(activated(name, z), exactly(name, z)).max()
    assert worst <= {"identity": 0, "relu": 0, "logistic": 4, "tanh": 4}[name]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_is_that_of_the_value(name, dtype):
    z = grid(dtype)
    z = z[(np.abs(z) < 20) & (z != 0)]
    D = np.full_like(z, 3)
    times_derivative(ACTIVATIONS[name], activated(name, z), D)
    _, derivative = reference.ACTIVATIONS[name]
    eps = np.finfo(dtype).eps
    assert_allclose(D, 3 * derivative(z.astype(float)), rtol=10 * eps, atol=10 * eps)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ["logistic", "tanh"])
def test_far_out_the_sigmoids_saturate(name, dtype):
    least, most = {"logistic": (0, 1), "tanh": (-1, 1)}[name]
    most_negative = np.finfo(dtype).min
    got = activated(
        name, np.array([-np.inf, most_negative, -1e4, 1e4, -most_negative, np.inf], dtype)
    )
    assert_allclose(got, [least] * 3 + [most] * 3, atol=1e-37)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ["logistic", "tanh"])
def test_the_sigmoids_rise_and_stay_within_their_range(name, dtype):
    got = activated(name, np.sort(grid(dtype)))
    assert got.min() >= {"logistic": 0, "tanh": -1}[name]
    assert got.max() <= 1
    # Rounding may take back a unit of the last place, no more.
    assert np.diff(got).min() >= -2 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_stays_nan(name, dtype):
    got = activated(name, np.array([1.0, np.nan, -1.0] * 11, dtype))
    assert_array_equal(np.isnan(got), [False, True, False] * 11)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_tanh_of_zero_is_zero_and_tanh_is_odd(dtype):
    z = grid(dtype)
    assert activated("tanh", np.zeros(1, dtype)) == 0
    assert_array_equal(activated("tanh", -z), -activated("tanh", z))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_relu_and_its_derivative_are_zero_at_zero(dtype):
    O, D = activated("relu", np.array([-1, 0, 1], dtype)), np.ones(3, dtype)
    times_derivative(ACTIVATIONS["relu"], O, D)
    assert_array_equal(O, [0, 0, 1])
    assert_array_equal(D, [0, 0, 1])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 16), (5, 33), (2, 1)])
def test_tiles_of_every_shape_are_activated_whole(shape, name, dtype):
    Z = np.random.default_rng(0).normal(size=shape).astype(dtype)
    one_by_one = [[activated(name, np.array([z], dtype))[0] for z in row] for row in Z]
    assert_allclose(activated(name, Z), one_by_one, rtol=4 * np.finfo(dtype).eps)


def test_the_reference_knows_every_activation():
    assert reference.ACTIVATIONS.keys() == ACTIVATIONS.keys()
    assert len(set(ACTIVATIONS.values())) == len(ACTIVATIONS)
