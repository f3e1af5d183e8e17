"""The quick cases of `troubles.py`, and what its grid must be."""

import pytest
from reachable import REACHED, reachable
from troubles import cases, fitted, quick_cases


def bench_grid_is_whole(benchmark):
    every = benchmark.pedantic(lambda: list(cases()), rounds=1)
    assert len(every) >= 600
    assert len({case.name for case in every}) == len(every)
    assert all(0 < reachable(case.row, case.seed) <= 1 for case in every)
    assert {f"{case.row.group}, {case.row.name}" for case in every} >= set(REACHED)


@pytest.mark.parametrize("case", list(quick_cases()), ids=lambda case: case.name)
def bench_quick_case(benchmark, case):
    result = benchmark.pedantic(fitted, [case], rounds=1)
    assert not result.diverged
