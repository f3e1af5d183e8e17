"""Standardisation, and its inverse folded into the weights."""

import numpy as np
import pytest
import reference
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from fastbp import BackpropRegressor
from fastbp.converting import converted, within
from fastbp.measuring import CHUNK
from fastbp.parameters import limit_of
from fastbp.scaling import measure, to_raw_units, to_standard_units


@pytest.fixture
def columns():
    """X and Y of more rows than are converted at a time, with columns of all sizes."""
    random = np.random.default_rng(0)
    n = CHUNK + 17
    return random.normal([0, 1e6, -3, 5], [1, 1e-2, 1e4, 1e-8], (n, 4)), random.normal(7, 2, (n, 2))


def test_standardised_columns_have_mean_0_and_variance_1(columns):
    X, Y = columns
    scaling = measure(X, Y)
    standard = converted(X, np.float64, scaling.X_mean, scaling.X_scale)
    assert_allclose(standard.mean(axis=0), 0, atol=1e-6)
    assert_allclose(standard.std(axis=0), 1, rtol=1e-6)
    assert_allclose(scaling.y_mean, Y.mean(axis=0), rtol=1e-12)
    assert_allclose(scaling.y_scale, Y.std(axis=0), rtol=1e-12)


def test_a_row_of_weight_2_counts_twice_and_one_of_weight_0_not(columns):
    X, Y = columns
    weight = np.random.default_rng(1).integers(0, 4, len(X))
    weighted = measure(X, Y, weight)
    repeated = measure(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0))
    for one, other in zip(weighted, repeated, strict=True):
        assert_allclose(one, other, rtol=1e-10)


def test_a_constant_column_is_centred_and_not_scaled():
    X = np.column_stack([np.full(50, 0.1), np.zeros(50), np.arange(50)])
    scaling = measure(X, X)
    assert_array_equal(scaling.X_scale[:2], 1)
    standard = converted(X, np.float64, scaling.X_mean, scaling.X_scale)
    assert_allclose(standard[:, :2], 0, atol=1e-15)


def test_sparse_columns_are_measured_and_converted_as_dense_ones(columns):
    X, Y = columns
    X = np.where(X > 0, X, 0)
    rows = sparse.csr_array(X)
    for one, other in zip(measure(rows, Y), measure(X, Y), strict=True):
        assert_allclose(one, other, rtol=1e-12)
    assert_array_equal(converted(rows, np.dtype("float32")), converted(X, np.dtype("float32")))


def test_what_needs_no_conversion_is_not_copied(columns):
    X, _ = columns
    assert np.shares_memory(converted(X, X.dtype), X)
    assert not np.shares_memory(converted(X, np.dtype("float32")), X)
    assert not np.shares_memory(converted(np.asfortranarray(X), X.dtype), X)


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_converted_is_read_only_and_contiguous_and_leaves_its_argument(layout, dtype, columns):
    X = np.array(columns[0], order=layout)
    before = X.copy()
    out = converted(X, np.dtype(dtype), X.mean(axis=0), X.std(axis=0))
    assert out.flags.c_contiguous
    assert not out.flags.writeable
    assert X.flags.writeable
    assert_array_equal(X, before)


@pytest.mark.parametrize("hidden", [[], [3], [3, 4]])
def test_raw_weights_describe_the_same_network(hidden, columns):
    X, Y = (a[:20] for a in columns)
    scaling = measure(X, Y)
    standard = reference.random_network([4, *hidden, 2], ["tanh"] * len(hidden))
    raw = reference.Network(*to_raw_units(*standard[:2], scaling), standard.activations)
    x = (X - scaling.X_mean) / scaling.X_scale
    expected = reference.predict(standard, x) * scaling.y_scale + scaling.y_mean
    # x̄/s of these columns is up to 5e8: so many digits are lost in raw units.
    assert_allclose(reference.predict(raw, X), expected, rtol=1e-6)


@pytest.mark.parametrize("hidden", [[], [3], [3, 4]])
def test_to_standard_units_undoes_to_raw_units(hidden, columns):
    scaling = measure(*columns)
    network = reference.random_network([4, *hidden, 2], ["tanh"] * len(hidden))
    before = [a.copy() for a in (*network.coefs, *network.intercepts)]
    coefs, intercepts = to_standard_units(*to_raw_units(*network[:2], scaling), scaling)
    for got, expected in zip((*coefs, *intercepts), before, strict=True):
        assert_allclose(got, expected, rtol=1e-6)
    for A, expected in zip((*network.coefs, *network.intercepts), before, strict=True):
        assert_array_equal(A, expected)  # neither writes to what it is given


def test_values_beyond_float32_are_refused_with_advice():
    X = np.array([[1e300], [0.0]])
    with pytest.raises(ValueError, match=r"too large for float32.*dtype='float64'"):
        converted(X, np.dtype("float32"))


def test_values_whose_differences_overflow_are_refused_with_advice():
    X = np.array([[1.7e308], [-1.7e308]])
    with pytest.raises(ValueError, match=r"too large to be standardised.*Rescale"):
        measure(X, np.zeros((2, 1)))


#: So far from the table that its standardised columns are beyond float32, or that the first sums of
#: a network are.
FAR = np.array([[1e39, -2, 0.3], [-1e300, 1e10, 0], [10, -2, 1e308], [10, 1e37, 0]])


@pytest.mark.parametrize("activation", ["logistic", "tanh"])
def test_rows_beyond_float32_are_predicted_from_units_that_saturate(activation, table):
    model = founding((50,), activation, random_state=0).partial_fit(*table)
    of_raw = reference.Network(model.coefs_, model.intercepts_, [activation])
    with np.errstate(over="ignore"):
        expected = reference.predict(of_raw, FAR).ravel()
    assert_allclose(model.predict(FAR), expected, rtol=1e-5)


@pytest.mark.parametrize("standardize", [True, False])
def test_rows_far_away_are_none_of_them_nan_in_deep_networks_without_bounds(standardize, table):
    params = {"learning_rate_init": 1e-9, "random_state": 0}
    model = founding((9, 9, 9), "relu", standardize=standardize, **params)
    model.partial_fit(*table)
    model.coefs_ = [100 * W for W in model.coefs_]
    predicted = model.predict(np.vstack([FAR, 1e19 * table[0]]))
    assert np.isfinite(predicted).all() and np.abs(predicted).min() > 1e15


def test_inputs_count_up_to_where_no_sum_can_overflow():
    theta, most = np.full(3 * 4 + 5, 2.0, np.float32), float(np.finfo(np.float32).max) / 4
    limit = limit_of(theta, [2, 4, 1])
    assert_allclose(limit, most / (2 * 2) / (4 * 2))
    sums = 2 * limit * 2 + 2
    assert 0.99 * most < 4 * (sums + 1) * 2 + 2 <= most
    assert limit_of(theta / 100, [2, 4, 1]) == most  # sums are smaller than what they are of
    assert limit_of(1e30 * theta, [2, 4, 1]) == (4 * most) ** 0.5


def test_large_biases_leave_room_for_large_inputs():
    theta = np.array([0.5, -0.25, 1e30, 2.0, -1e30], np.float32)  # of 2-1-1
    assert limit_of(theta, [2, 1, 1]) > 1e37
    near_the_largest = np.array([0.5, 0.5, 8e37], np.float32)
    assert limit_of(near_the_largest, [2, 1]) < 1e37
    X = np.linspace(-1e29, 1e29, 64)[:, None]
    model = BackpropRegressor(4, "relu", standardize=False, max_iter=1, random_state=0)
    model.fit(X / 1e29, X[:, 0] / 1e29)
    model.intercepts_ = [np.full(4, 1e28), np.full(1, -2e28)]
    (V, W), (a, b) = model.coefs_, model.intercepts_
    assert_allclose(model.predict(X), (np.maximum(X @ V + a, 0) @ W + b).ravel(), rtol=1e-5)


@pytest.mark.parametrize("far", [2.5, -2.5, 1e300, -1e300])
def test_columns_are_drawn_in_to_the_limit_on_either_side(far):
    columns = np.array([[1.0, -2.0], [0.5, far]])
    assert_array_equal(within(columns, 2.0), [[1, -2], [0.5, np.sign(far) * 2]])
    assert columns[1, 1] == far
    assert np.shares_memory(within(columns, 1e301), columns)
