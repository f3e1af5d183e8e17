"""Predictions with an `encoding`: the kernel encodes a tile of rows, side by side."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from test_encodings import KINDS, quick, textbook

from fastbp import BackpropEnsembleRegressor
from fastbp.entries import FEW_COLUMNS
from fastbp.fitting import plan
from fastbp.kernels.machine.vectors import LANES


@pytest.fixture(params=["float32", "float64"])
def model(request, mixed):
    """Of two outputs, encoded columns being in units of their own."""
    X, y = mixed
    model = quick(dtype=request.param, standardize=True).fit(X, np.column_stack([y, -3 * X[:, 1]]))
    learnt = model._learnt
    units = learnt.scaling._replace(
        X_mean=learnt.scaling.X_mean + 0.01, X_scale=learnt.scaling.X_scale * 3.0
    )
    model._learnt = learnt._replace(scaling=units, packed=None)
    return model


@pytest.mark.parametrize("n", [0, 1, 2, LANES - 1, LANES + 1, 300])
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("given", [np.float32, np.float64, int])
def test_any_rows_are_the_textbooks(n, n_threads, given, model, mixed):
    X = np.vstack([mixed[0], mixed[0] - 15, mixed[0] + 15])[7 : 7 + 3 * n : 3].astype(given)
    if not n:
        with pytest.raises(ValueError, match="0 sample"):
            model.predict(X)
        return
    got = model.set_params(n_threads=n_threads).predict(X)
    with np.errstate(over="ignore"):
        expected = textbook(model.encode(X), model)
    exact = got.dtype == np.float64 and model.dtype == "float64"
    assert_allclose(got, expected, rtol=1e-9 if exact else 3e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32-float32", "float64-float64"])
def test_a_row_of_more_columns_than_a_tile_has_samples_is_the_textbooks(dtype):
    X = np.random.default_rng(0).normal(size=(60, 12 * LANES))
    X = X.astype(dtype[:7])
    model = quick(dtype=dtype[:7]).fit(X, X[:, 0])
    expected = textbook(model.encode(X[:1]), model).ravel()
    assert_allclose(model.predict(X[:1]), expected, rtol=3e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_row_is_predicted_as_among_others(kind, mixed, monkeypatch):
    """In any tile, and for any number of threads."""
    X = np.tile(mixed[0], (20, 1))
    model = quick(kind).fit(*mixed)
    together = model.set_params(n_threads=3).predict(X)
    assert_array_equal(model.set_params(n_threads=1).predict(X), together)
    assert_array_equal(np.concatenate([model.predict(x[None]) for x in X[:300]]), together[:300])
    monkeypatch.setattr(plan, "LISTENS_FLOPS", 0)
    assert_array_equal(model.predict(X), together)


def test_encoded_columns_in_tiny_units_stay_within_all_numbers(mixed):
    """Times weights that are 0 in these units, infinities would be NaN."""
    X, y = mixed
    model = quick(dtype="float32", standardize=True).fit(X, y)
    learnt = model._learnt
    X_scale = learnt.scaling.X_scale.copy()
    X_scale[X.shape[1] :] = 1e-50
    model._learnt = learnt._replace(scaling=learnt.scaling._replace(X_scale=X_scale), packed=None)
    assert np.isfinite(model.predict(X)).all()


def test_members_may_see_rows_in_other_ways(mixed):
    """One by its entries, the other encoded."""
    random = np.random.default_rng(0)
    X = sparse.random_array((200, FEW_COLUMNS + 2), density=0.3, rng=random, format="csr")
    y = X[:, [0]].toarray().ravel()
    members = [quick(encoding).fit(X, y) for encoding in (None, "piecewise_linear")]
    assert [m._learnt.goes_by_entries(X) for m in members] == [True, False]
    model = BackpropEnsembleRegressor(quick(None), n_estimators=2, random_state=0).fit(X, y)
    model.estimators_ = members
    assert_allclose(model.predict(X), np.mean([m.predict(X) for m in members], axis=0), rtol=1e-5)
