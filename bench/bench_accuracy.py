"""The models of `accuracy.py` on a small table: what accuracy costs."""

import pytest
from accuracy import DATA, MODELS, measured, tables


@pytest.mark.benchmark(group="a fit of 353 rows × 7")
@pytest.mark.parametrize("name", ["BackpropRegressor", "MLPRegressor, scaled"])
def bench_fit(benchmark, name):
    X, y, splits = next(table[1:] for table in tables(DATA) if table[0] == "auto_mpg")
    errors, _ = measured(MODELS[name], X, y, splits[:1])  # compile outside the clock
    assert errors[0] < y.std() / 2
    benchmark(measured, MODELS[name], X, y, splits[:1])
