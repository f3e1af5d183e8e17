"""`scale.py` measures, and draws what it has measured."""

import pytest
from scale import draw, measured, report


def of_this_process(*arguments):
    return measured(*arguments, repeats=1)


def test_scale_fills_its_table_and_draws_it(tmp_path):
    pytest.importorskip("matplotlib")
    cases = [("some", 600, 8, None), ("more", 1200, 8, 2)]
    lines, results = report(cases, most_of_peers=600, seconds=0.001, run=of_this_process)
    assert [line.split("|")[1].strip() for line in lines.splitlines()[2:]] == ["some", "more"]
    assert results["more"][1]["MLPRegressor"] is None
    assert all(found["epoch"] > 0 for found in results["some"][1].values())
    draw(results, tmp_path / "scale.svg")
    assert (tmp_path / "scale.svg").stat().st_size > 10_000
