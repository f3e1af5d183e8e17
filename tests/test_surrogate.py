"""`as_njit`: the network as a function in a user's own compiled loops."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from founding import founding
from numba.core import event
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError


def fitted(X, y, **params):
    return founding(**{"max_iter": 20, "n_iter_no_change": np.inf} | params).fit(X, y)


@numba.njit(nogil=True)
def over_rows(f, X, y):
    for i in range(len(X)):
        y[i] = f(X[i])


def of_rows(model, X):
    y = np.empty((len(X), model.n_outputs_))
    over_rows(model.as_njit(), X, y)
    return y


CASES = [
    ((), True, "float32"),
    (1, True, "float64"),
    ((3,), False, "float32"),
    ((40,), False, "float64"),
    ((17, 5), True, "float32"),
    ((7, 64, 9), True, "float64"),
]


@pytest.mark.parametrize(("hidden", "standardize", "dtype"), CASES)
def test_in_a_compiled_loop_it_is_predict(hidden, standardize, dtype, two_outputs):
    X, y = two_outputs
    n_hidden = len(np.atleast_1d(hidden))
    names = (["tanh", "relu", "logistic"] * n_hidden)[:n_hidden]
    model = fitted(X, y, hidden_layer_sizes=hidden, activation=names, dtype=dtype,
                   standardize=standardize)  # fmt: skip
    tolerance = 100 * np.finfo(dtype).eps
    assert_allclose(of_rows(model, X), model.predict(X), rtol=tolerance, atol=tolerance)


def test_units_are_those_of_the_table(table):
    X, y = table
    model = fitted(X, y)
    assert_allclose(of_rows(model, X).ravel(), model.predict(X), rtol=1e-5)


def test_rows_far_away_are_predicted_as_by_predict(table):
    X, y = table
    model = fitted(X, y)
    rows = np.array([[1e39, 1e39, -1e39], [-1e300, 1e30, 0], [1e37, -1e37, 1e37]])
    expected = model.predict(rows)
    assert np.isfinite(expected).all()
    assert_allclose(of_rows(model, rows).ravel(), expected, rtol=1e-6, atol=1e-4)
    assert np.isnan(model.as_njit()(np.array([np.nan, 0, 0]))).all()


def test_rows_may_be_strided_and_of_other_types(table):
    X, y = table
    model = fitted(X, y)
    f, x = model.as_njit(), np.round(X[0])
    for row in (x.astype(np.float32), x.astype(np.int64), np.repeat(x, 2)[::2]):
        assert_array_equal(f(row), f(x))


def test_it_is_a_copy_and_leaves_its_argument_alone(table):
    X, y = table
    model = fitted(X, y)
    f, x = model.as_njit(), X[0].copy()
    before = f(x)
    model.coefs_[0][:] = 0
    model.fit(X, -y)
    assert_array_equal(f(x), before)
    assert_array_equal(x, X[0])
    assert f(x) is not f(x)


def test_it_can_be_called_in_many_threads(table):
    X, y = table
    f = fitted(X, y).as_njit()
    many = np.tile(X, (500, 1))
    results = [np.empty((len(many), 1)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(over_rows, [f] * 4, [many] * 4, results))
    for result in results:
        assert_array_equal(result, np.tile(results[0][: len(X)], (500, 1)))


@pytest.mark.parametrize("x", [np.zeros(2), np.zeros(4), np.zeros((1, 3)), np.zeros((3, 3))])
def test_only_a_row_of_as_many_features_is_taken(x, table):
    with pytest.raises(ValueError, match="x must be a row of 3 features"):
        fitted(*table, max_iter=1).as_njit()(x)


def test_it_can_be_pickled(table):
    f = fitted(*table, max_iter=1).as_njit()
    assert_array_equal(pickle.loads(pickle.dumps(f))(table[0][0]), f(table[0][0]))


def test_large_networks_too():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(10, 20)), random.normal(size=10)
    model = fitted(X, y, hidden_layer_sizes=(600, 600), max_iter=1)
    assert_allclose(of_rows(model, X).ravel(), model.predict(X), rtol=1e-3, atol=1e-5)


def compilations(call):
    """How many functions Numba compiles meanwhile."""
    with event.install_recorder("numba:compile") as recorder:
        call()
    return len(recorder.buffer)


def test_a_second_model_of_the_same_shape_compiles_nothing(table):
    X, y = table
    first, second = (fitted(X, y, random_state=seed, hidden_layer_sizes=(6,)) for seed in (0, 1))
    other = fitted(X, y, random_state=0, hidden_layer_sizes=(7,))
    for model, is_new in ((first, True), (second, False), (other, True)):

        def use(model=model):
            f = model.as_njit()
            assert_allclose(f(X[0]), model.predict(X[:1]), rtol=1e-5)
            assert_allclose(of_rows(model, X).ravel(), model.predict(X), rtol=1e-5)

        assert (compilations(use) > 0) == is_new
    f, g = first.as_njit(), second.as_njit()
    assert f(X[0]) != g(X[0])


def test_a_caller_of_its_own_is_compiled_without_what_it_calls(table):
    X, y = table
    model = fitted(X, y)
    f = model.as_njit()
    of_row = f(X[0])

    @numba.njit
    def twice(x):
        return f(x) + f(x)

    assert compilations(lambda: assert_array_equal(twice(X[0]), 2 * of_row)) <= 4
    assert_array_equal(pickle.loads(pickle.dumps(f))(X[0]), of_row)


def test_compiled_code_hears_of_a_row_of_another_length(table):
    f, y = fitted(*table, max_iter=1).as_njit(), np.zeros((2, 1))
    with pytest.raises(ValueError, match="as many features"):
        over_rows(f, np.zeros((2, 4)), y)


def test_a_model_that_is_not_fitted_has_none():
    with pytest.raises(NotFittedError):
        founding().as_njit()
