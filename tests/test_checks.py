"""`predict` of a few rows: what is skipped there makes no difference."""

import copy
import pickle

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.validation import validate_data

from fastbp import inputs

PARAMS = {"max_iter": 3, "n_iter_no_change": np.inf, "random_state": 0}

AS_THEY_ARE = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "Fortran order": np.asfortranarray,
    "every other row": lambda X: X[::2],
    "one row": lambda X: X[:1],
    "lists": lambda X: X.tolist(),
    "lists of integers": lambda X: X.astype(int).tolist(),
    "integers": lambda X: X.astype(int),
    "unsigned": lambda X: X.astype(np.uint8),
}

#: Not to be said yes to at once.
DOUBTFUL = {
    "NaN": lambda X: np.where(X[3, 1] == X, np.nan, X),
    "both infinities": lambda X: np.where(X[3, 1] == X, np.inf, np.where(X[4, 0] == X, -np.inf, X)),
    "numbers whose sum is infinite": lambda X: np.full_like(X, 1e308),
    "another byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "float16": lambda X: X.astype(np.float16),
    "booleans": lambda X: X > 0,
    "text": lambda X: X.astype(str),
    "lists of text": lambda X: X.astype(str).tolist(),
    "ragged lists": lambda X: [[1.0, 2.0, 3.0], [1.0]],
    "complex": lambda X: X + 0j,
    "a vector": lambda X: X[0],
    "no rows": lambda X: X[:0],
    "a column too few": lambda X: X[:, :2],
    "a subclass": lambda X: X.view(np.recarray),
}


@pytest.fixture(scope="module")
def model():
    X = np.random.default_rng(0).normal(size=(30, 3))
    return founding(4, **PARAMS).fit(X, X[:, 0])


@pytest.mark.parametrize("form", AS_THEY_ARE)
def test_valid_rows_are_what_scikit_learn_makes_of_them(form, model, table, monkeypatch):
    X = AS_THEY_ARE[form](np.abs(table[0]))
    expected = validate_data(model, X, dtype=(np.float64, np.float32), reset=False)
    monkeypatch.setattr(inputs, "validate_data", None)  # it isn't needed
    got = inputs.rows(model, X)
    assert got.dtype == expected.dtype
    assert_array_equal(got, expected)


@pytest.mark.parametrize("form", DOUBTFUL)
def test_scikit_learn_has_the_word_on_all_others(form, model, table, monkeypatch):
    asked = []
    monkeypatch.setattr(inputs, "validate_data", lambda *_, **__: asked.append(form))
    inputs.rows(model, DOUBTFUL[form](table[0]))
    assert asked == [form]


def test_names_of_columns_are_looked_at(table):
    pandas = pytest.importorskip("pandas")
    named = founding(4, **PARAMS).fit(pandas.DataFrame(table[0], columns=["a", "b", "c"]), table[1])
    with pytest.warns(UserWarning, match="valid feature names"):
        named.predict(table[0])


# ------------------------------------------------------------------- weights are the user's


def moved(model, X):
    """By how much predictions differ from what they were, after the last bias is 1 greater."""
    before = model.predict(X)
    model.intercepts_[-1] += 1.0
    return model.predict(X) - before


@pytest.mark.parametrize("standardize", [True, False])
def test_weights_changed_in_place_take_effect_at_any_time(standardize, table):
    X, y = table
    model = founding(4, standardize=standardize, dtype="float64", **PARAMS).fit(X / 10, y / 100)
    biases = model.intercepts_
    for _ in range(2):  # predict in between keeps nothing
        assert_allclose(moved(model, X / 10), 1.0)
    before = model.predict(X / 10)
    biases[-1] -= 3.0  # somebody has had it for long
    assert_allclose(model.predict(X / 10) - before, -3.0)
    model.intercepts_ = [*model.intercepts_[:-1], np.array([7.0])]
    model.coefs_ = [0 * W for W in model.coefs_]
    assert_allclose(model.predict(X / 10), 7.0)


def test_copies_keep_what_is_theirs(table):
    X, y = table
    model = founding(4, dtype="float64", **PARAMS).fit(X, y)
    before = model.predict(X)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_allclose(moved(other, X), 1.0)
        assert_array_equal(model.predict(X), before)
    shallow = copy.copy(model)  # has the same arrays
    assert_allclose(moved(shallow, X), 1.0)
    assert_allclose(model.predict(X) - before, 1.0)
