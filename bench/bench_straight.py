"""Tables of `straight.py`: does the comparison run, and is the line found?"""

import pytest
from straight import compared


@pytest.mark.parametrize("name", ["60 rows x 3", "waves"])
def bench_straight(benchmark, name):
    errors = benchmark.pedantic(compared, (name, 0, {}), rounds=1)
    assert errors["BackpropRegressor"] < 1.1
