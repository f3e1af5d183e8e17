"""BLAS has one thread where more gain nothing, and what it had before afterwards."""

import pytest

from fastbp import BackpropRegressor
from fastbp.fitting import blas, recipe


def threads():
    return [each["num_threads"] for each in blas.controller().info() if each["user_api"] == "blas"]


def test_blas_has_its_threads_again_when_the_last_who_asked_is_done():
    before = threads()
    with blas.one_thread_in_blas():
        with blas.one_thread_in_blas():
            assert set(threads()) <= {1}
        assert set(threads()) <= {1}
    assert threads() == before


@pytest.mark.parametrize(
    ("function", "params"),
    [("first_weights", {}), ("column_scale", {}), ("curvature", {"solver": "sgd"})],
)
def test_looks_at_the_data_take_one_thread_of_blas(function, params, table, monkeypatch):
    seen, look = [], getattr(recipe, function)
    monkeypatch.setattr(
        recipe, function, lambda *given, **rest: seen.append(threads()) or look(*given, **rest)
    )
    monkeypatch.setattr(recipe, "CLEAN", 0.0)  # so that there is a search
    before = threads()
    BackpropRegressor(12, max_iter=20, random_state=0, **params).fit(*table)
    assert seen
    assert {number for each in seen for number in each} <= {1}
    assert threads() == before
