"""`scaling.py` runs, and any number of threads leaves the losses as they are."""

from problems import PROBLEMS
from scaling import report


def bench_scaling_fills_its_tables():
    rows = [line for line in report(rounds=1, seconds=0.005).splitlines() if "| " in line]
    for problem in PROBLEMS:
        if problem.large:
            assert any(problem.name in row for row in rows)
    assert not any("nan" in row for row in rows)
