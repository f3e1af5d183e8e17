"""`predict_jacobian`: the derivative of predictions by the columns of X."""

import numpy as np
import pytest
import reference
from founding import founding
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import NotFittedError

from fastbp.kernels.formulas.activations import ACTIVATIONS

#: In float64, so that differences are as exact as they can be.
QUICK = {"max_iter": 5, "n_iter_no_change": np.inf, "dtype": "float64", "random_state": 0}


def central_differences(model, X, h=1e-5):
    """∂ŷ/∂x of `predict`, a column moved by ±h of its standard deviation."""
    columns = []
    for j, step in enumerate(h * np.std(X, axis=0)):
        above, below = X.copy(), X.copy()
        above[:, j] += step
        below[:, j] -= step
        columns.append((model.predict(above) - model.predict(below)) / (2 * step))
    return np.stack(columns, axis=-1)


def assert_is_the_derivative(model, X):
    got, expected = model.predict_jacobian(X), central_differences(model, X)
    assert got.dtype == float
    assert np.abs(expected).max() > 0
    assert_allclose(got, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_what_the_reference_gets_by_going_back(activation, model_of):
    names = [activation, "tanh"]
    network = reference.random_network([3, 9, 5, 2], names)
    X, expected = np.random.default_rng(1).normal(size=(6, 3)), np.zeros((6, 2, 3))
    for i, x in enumerate(X):
        Z, O = reference.forward(network, x)
        for k in range(2):
            # ∂L/∂b¹ = ∂L/∂z¹, with ŷₖ for L.
            _, db = reference.backward(network, Z, O, np.eye(2)[k])
            expected[i, k] = network.coefs[0] @ db[0]
    assert_allclose(model_of(network).predict_jacobian(X), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("hidden", [(), (7, 5)])
@pytest.mark.parametrize("standardize", [False, True])
def test_it_is_in_raw_units_and_behind_the_link(standardize, hidden, loss, table):
    X, y = table
    eta = 0.02 if standardize else 1e-9
    params = {"loss": loss, "standardize": standardize, "learning_rate_init": eta}
    assert_is_the_derivative(founding(hidden, **QUICK | params).fit(X, y), X)


def test_of_several_outputs_each_has_its_rows(two_outputs):
    X, Y = two_outputs
    model = founding(4, **QUICK).fit(X, Y)
    assert model.predict_jacobian(X).shape == (60, 2, 3)
    assert founding(4, **QUICK).fit(X, Y[:, 0]).predict_jacobian(X).shape == (60, 3)
    assert_is_the_derivative(model, X)


@pytest.mark.parametrize("encoding", ["piecewise_linear", "periodic"])
def test_it_goes_through_encodings(encoding, table):
    X, y = table
    model = founding(5, encoding=encoding, **QUICK).fit(X, y)
    between = X[:-1] + 0.3 * np.diff(X, axis=0)  # no edge of a bin, which are at rows of X
    assert_is_the_derivative(model, np.vstack([between, 3 * X[:2]]))


def test_at_an_edge_it_is_that_of_the_bin_above(table):
    """Edges of bins are values of the table: here every row is at some."""
    X, y = table
    model = founding(5, encoding="piecewise_linear", **QUICK).fit(X, y)
    above = model.predict_jacobian(np.nextafter(X, np.inf))
    assert_allclose(model.predict_jacobian(X), above, rtol=1e-9)


def test_rows_are_those_of_the_sorted_quantiles(table):
    X, y = table
    levels = [0.2, 0.5, 0.8]
    model = founding(5, loss="quantile", loss_parameter=levels, **QUICK).fit(X, y)
    far = np.vstack([X, 30 * X, -30 * X])
    assert_is_the_derivative(model, far)


def test_x_may_be_sparse_and_of_float32(table):
    X, y = table
    model = founding(4, **QUICK).fit(X, y)
    expected = model.predict_jacobian(X)
    assert_allclose(model.predict_jacobian(sparse.csr_array(X)), expected, rtol=1e-14)
    assert_allclose(model.predict_jacobian(X.astype(np.float32)), expected, rtol=1e-3, atol=1e-4)


def test_far_away_saturated_units_have_no_slope(table):
    X, y = table
    model = founding((4,), **QUICK).fit(X, y)
    model.coefs_[0] *= 1e8  # of columns with tiny units
    J = model.predict_jacobian([[1e306, -1e306, 1e306], [1.7e308, 1.7e308, -1.7e308]])
    assert np.abs(J).max() < 1e-200


def test_many_rows_are_no_other_than_few(table):
    X, y = table
    model = founding(4, **QUICK).fit(X, y)
    many = np.tile(X, (80, 1))
    expected = np.tile(model.predict_jacobian(X), (80, 1))
    np.testing.assert_array_equal(model.predict_jacobian(many), expected)


def test_a_model_that_is_not_fitted_has_none():
    with pytest.raises(NotFittedError):
        founding().predict_jacobian([[0.0]])
