"""Sparse tables: trained on and predicted from by their entries, to what dense ones come to."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from fastbp import BackpropRegressor, converting, entries, measuring, scaling

N, P = 120, 80


@pytest.fixture(scope="module")
def table():
    """Mostly zeros; a column far from 0, a constant one, an empty one, one that is seldom 0."""
    random = np.random.default_rng(0)
    X = np.where(random.random((N, P)) < 0.05, random.normal(size=(N, P)), 0)
    X[:, 3] = 2e5 + random.normal(size=N)
    X[:, 4], X[:, 5] = 0.1, 0
    X[:, 6] = random.random(N) < 0.9
    y = X[:, 6:] @ random.normal(size=P - 6) + np.sin(X[:, 3])
    return sparse.csr_array(X), y, random.uniform(0, 2, N) * (random.random(N) < 0.8)


@pytest.fixture
def by_entries(monkeypatch):
    """``by_entries(model, …)``: fitted by entries, however small the table is."""

    def fit(model, *table, method="fit", **held_out):
        with monkeypatch.context() as patch:
            patch.setattr(entries, "are_worth_it", sparse.issparse)
            return getattr(model, method)(*table, **held_out)

    return fit


def quick(**params):
    shared = {"hidden_layer_sizes": (9,), "max_iter": 3, "dtype": "float64", "random_state": 0}
    return BackpropRegressor(**shared | {"early_stopping": False} | params)


def weights_of(model):
    return np.concatenate([np.ravel(a) for a in (*model.coefs_, *model.intercepts_)])


#: Each takes another way to its first weights, its units, its steps, or its end.
WAYS = {
    "plain": {},
    "a linear one": {"hidden_layer_sizes": ()},
    "columns looked at": {"hidden_layer_sizes": (170,)},
    "as they are": {"standardize": False, "init": "glorot", "learning_rate_init": 1e-4},
    "by the curvature": {"solver": "sgd", "learning_rate": "constant", "activation": "tanh"},
    "with trials": {"early_stopping": "refit", "max_iter": 2},
    "watched": {"early_stopping": True, "max_grad_norm": 0.5, "alpha": 0.1},
    "batches of several tiles": {"batch_size": 100},
    "lbfgs": {"solver": "lbfgs", "max_iter": 5},
    "narrow": {"hidden_layer_sizes": (4,)},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_trained_on_by_its_entries_as_if_it_were_dense(
    way, table, by_entries, monkeypatch
):
    if way == "batches of several tiles":
        monkeypatch.setattr("fastbp.kernels.training.large.SHARED_SAMPLES", 32)
    X, y, weight = table
    dense = quick(**WAYS[way]).fit(X, y, weight)
    model = by_entries(quick(**WAYS[way]), X, y, weight)
    assert dense.kernel_ != "sparse" == model.kernel_
    assert model.n_iter_ == dense.n_iter_
    assert_allclose(model.loss_curve_, dense.loss_curve_, rtol=1e-8)
    assert_allclose(weights_of(model), weights_of(dense), rtol=1e-7, atol=1e-7)
    for n_threads in (2, 3):
        other = by_entries(quick(**WAYS[way], n_threads=n_threads), X, y, weight)
        assert_array_equal(weights_of(other), weights_of(model))


def test_what_is_held_out_and_what_goes_on_may_be_sparse(table, by_entries):
    X, y, _ = table
    held_out = {"X_val": X[:30], "y_val": y[:30]}
    dense, model = quick().fit(X, y, **held_out), by_entries(quick(), X, y, **held_out)
    assert_allclose(model.validation_scores_, dense.validation_scores_, rtol=1e-8)
    dense.partial_fit(X[:50], y[:50])
    by_entries(model, X[:50], y[:50], method="partial_fit")
    assert_allclose(weights_of(model), weights_of(dense), rtol=1e-7, atol=1e-7)


def test_predictions_and_gradients_are_those_of_the_dense_rows(table, by_entries):
    X, y, weight = table
    model = quick(activation="gelu").fit(X, y)
    assert_allclose(model.predict(X), model.predict(X.toarray()), rtol=1e-7)
    assert_array_equal(model.predict(X[7:8]), model.predict(X)[7:8])
    assert_array_equal(clone(model).set_params(n_threads=2).fit(X, y).predict(X), model.predict(X))
    expected = model.loss_gradient(X.toarray(), y, weight)
    got = by_entries(model, X, y, weight, method="loss_gradient")
    assert_allclose(got[0], expected[0], rtol=1e-12)
    for one, other in zip(got[1] + got[2], expected[1] + expected[2], strict=True):
        assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())


def test_entries_far_away_saturate_units_as_dense_ones_do(table, by_entries):
    X, y, _ = table
    model = by_entries(quick(), X, y)
    model.coefs_[0] *= 1e8  # of columns with tiny units
    far = X[:9].copy()
    far.data[:] = np.where(far.data > 0, 1.7e308, -1.7e308)
    nearer = 1e-50 * far.toarray()  # where no sum overflows
    assert_allclose(model.predict(far), model.predict(nearer), rtol=1e-9)


def test_changed_weights_are_seen_by_the_next_prediction(table):
    X, y, _ = table
    model = quick().fit(X, y)
    before = model.predict(X)
    model.intercepts_[-1] += 1
    assert_allclose(model.predict(X), before + 1)


# ---------------------------------------------------------------- what users hand over


def wide_indices(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def unsorted(X):
    for row in range(X.shape[0]):
        some = slice(*X.indptr[row : row + 2])
        X.indices[some], X.data[some] = X.indices[some][::-1].copy(), X.data[some][::-1].copy()
    X.has_sorted_indices = False
    return X


def doubled(X):
    return sparse.csr_array(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), X.shape
    )


def of_no_layout(X):
    X.data = np.repeat(X.data, 2)[::2]
    return X


FORMS = {
    "CSC": sparse.csc_array,
    "COO": sparse.coo_array,
    "a matrix": sparse.csr_matrix,
    "int64 indices": wide_indices,
    "unsorted": unsorted,
    "duplicates": doubled,
    "no layout": of_no_layout,
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_form_it_has_it_is_the_same_table_and_stays_as_it_is(form, table, by_entries):
    X, y, _ = table
    given = FORMS[form](X.copy())
    before = given.copy()
    model = by_entries(quick(), given, y)
    assert_allclose(model.predict(given), model.predict(X), rtol=1e-8)
    for name in ("data", "indices", "indptr"):
        if hasattr(given, name):
            assert_array_equal(getattr(given, name), getattr(before, name))
            assert getattr(given, name).flags.writeable
    assert_allclose(weights_of(model), weights_of(by_entries(quick(), X, y)), rtol=1e-9, atol=1e-9)


def test_infinite_and_too_large_entries_are_refused(table, by_entries):
    X, y, _ = table
    for value, words in ((np.inf, "infinity"), (1e300, "too large for float32")):
        wrong = X.copy()
        wrong.data[0] = value
        with pytest.raises(ValueError, match=words):
            by_entries(quick(dtype="float32", standardize=False), wrong, y)


# --------------------------------------------------------------------- its columns


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_columns_of_any_size_are_measured_as_dense_ones(size, weighted, table):
    X, _, weight = table
    weight = weight if weighted else None
    X = (X * size).tocsr()
    measured = measuring.mean_and_deviation(X, weight)
    dense = measuring.mean_and_deviation(X.toarray(), weight)
    assert_allclose(measured[0], dense[0], rtol=1e-11, atol=1e-13 * size)
    assert_allclose(measured[1], dense[1], rtol=1e-9, atol=1e-16 * size)
    assert measured[1][4] == measured[1][5] == 0  # to the last bit


def test_entries_are_measured_in_several_goes(table, monkeypatch):
    X, _, weight = table
    whole = measuring.mean_and_deviation(X, weight)
    monkeypatch.setattr(entries, "ENTRIES_AT_A_TIME", 50)
    assert_allclose(measuring.mean_and_deviation(X, weight), whole, rtol=1e-11, atol=1e-12)


def test_standardised_entries_are_the_standardised_table(table):
    X = table[0]
    mean, scale = scaling.mean_and_scale(X)
    A = converting.entries_of(X, np.dtype(np.float64), mean, scale)
    expected = (X.toarray() - mean) / scale
    assert_allclose(A.toarray(), expected, atol=1e-9)
    assert A.rows.data.size <= 3 * X.nnz
    assert np.abs(A.rows.centre).max() <= 1  # else float32 would round what is left away
    some = np.array([5, 0, 5, 100], np.uint32)
    assert_allclose(A[some].toarray(), expected[some], atol=1e-9)
    assert_allclose(A[10:40:3].columns([3, 7]), expected[10:40:3][:, [3, 7]], atol=1e-9)
    assert_allclose(A @ np.eye(P), expected, atol=1e-9)
    assert_allclose(A.products_of_rows(), expected @ expected.T, atol=1e-8)
    assert_allclose(A.mean(axis=0), expected.mean(axis=0), atol=1e-9)
    assert_allclose(A.times(scale).toarray(), expected * scale, atol=1e-9)
    assert_array_equal(A.that_vary(), np.ptp(X.toarray(), axis=0) > 0)


# -------------------------------------------------------------------- how much it takes


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nothing_that_is_done_with_a_wide_table_makes_it_dense(by_entries):
    """Whatever NumPy allocates is counted. Dense it would be 400 MB in float32."""
    random = np.random.default_rng(0)
    X = sparse.random_array((1000, 100_000), density=1e-4, format="csr", rng=random)
    y = X @ random.normal(size=100_000)
    few = {"max_iter": 1, "dtype": "float32", "n_threads": 2}  # each has room of its own
    several = [
        quick(**few, early_stopping=True),
        quick(**few, solver="sgd", learning_rate="constant"),
        quick(**few, early_stopping="refit"),
        quick(max_iter=1, n_threads=2, solver="lbfgs", hidden_layer_sizes=()),
    ]
    assert entries.are_worth_it(X)
    for model in several:  # compiled
        by_entries(clone(model), X[:80, :90], y[:80])
    tracemalloc.start()
    try:
        for model in several:
            model.fit(X, y).score(X, y)
            assert model.kernel_ == "sparse"
        several[1].partial_fit(X, y)
        several[0].loss_gradient(X, y)
        several[0].predict_jacobian(X[:3])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5e8


def test_small_and_full_tables_are_trained_on_as_dense_ones(table, monkeypatch):
    X = table[0]
    assert not entries.are_worth_it(X)
    monkeypatch.setattr(entries, "FEW_VALUES", 100)
    assert entries.are_worth_it(X)
    assert not entries.are_worth_it(X.toarray())
    assert not entries.are_worth_it(sparse.csr_array(np.ones((20, 20))))
