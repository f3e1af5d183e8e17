"""Two jobs of `clients.py` that take no package but those that are here: does it run?"""

import pytest
from clients import joblib_threads, outcome, plain_scikit_learn

from fastbp import BackpropRegressor


@pytest.mark.parametrize("job", [plain_scikit_learn, joblib_threads])
def bench_client(benchmark, job):
    assert benchmark.pedantic(outcome, (job, BackpropRegressor), rounds=1) == "yes"
