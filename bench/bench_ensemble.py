"""The ensemble of `ensemble.py` on a small table: what eight networks cost, and what they hold."""

import pytest
from accuracy import DATA, tables
from ensemble import measured, speed_up

from fastbp import BackpropEnsembleRegressor, BackpropRegressor


@pytest.fixture(scope="module")
def table():
    return next(table[1:] for table in tables(DATA) if table[0] == "auto_mpg")


@pytest.mark.benchmark(group="a fit of 392 rows × 7")
@pytest.mark.parametrize("n_estimators", [1, 8])
def bench_fit(benchmark, n_estimators, table):
    X, y, _ = table
    model = BackpropEnsembleRegressor(n_estimators=n_estimators, random_state=0)
    benchmark(model.fit, X, y)


def test_the_script_measures_what_it_says(table):
    X, y, splits = table
    quick = BackpropRegressor(max_iter=20, early_stopping=False)
    one, many, _, _, held = measured(X, y, *splits[0], one=quick, n_estimators=4)
    assert many < 1.1 * one < y.std()
    assert 0.7 < held <= 1
    assert speed_up(X[:100], y[:100], 2, repeats=1, n_estimators=2) > 0
