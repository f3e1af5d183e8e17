"""Small sets of settings of `habits.py` on a small table: does the comparison run?"""

import numpy as np
import pytest
from accuracy import DATA, tables
from habits import HABITS, compared, name

SMALL = [habit for habit in HABITS if habit.get("max_iter", 200) <= 200][:2]
SMALL += [habit for habit in HABITS if habit.get("solver") == "sgd"][-1:]


@pytest.mark.parametrize("habit", SMALL, ids=name)
def bench_habit(benchmark, habit):
    X, y, splits = next(table[1:] for table in tables(DATA) if table[0] == "auto_mpg")
    scores = benchmark.pedantic(compared, (habit, X, y, splits[:1]), rounds=1)
    assert np.isfinite(list(scores.values())).all()
