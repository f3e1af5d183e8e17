"""`scale.py` measures, and draws what it has measured."""

import numpy as np
import pytest
from scale import BEGIN, END, draw, fill, measured, report


def of_this_process(*arguments):
    return measured(*arguments, repeats=1)


def test_scale_fills_its_table_and_draws_it(tmp_path):
    pytest.importorskip("matplotlib")
    cases = [
        ("some", None, 600, 8),
        ("more", 2, 1200, 8),
        ("sparse", None, 300, 2000, 1, True),
        ("outputs", None, 60, 8, 20),
    ]
    lines, results = report(
        cases, most_of_peers=600, seconds=0.001, clock="processor", run=of_this_process
    )
    assert [line.split("|")[1].strip() for line in lines.splitlines()[2:]] == [*results]
    assert [*results] == ["some", "more", "sparse", "outputs"]
    assert results["more"][1]["MLPRegressor"] is None
    assert results["outputs"][1]["MLPRegressor"] and results["outputs"][1]["SGDRegressor"] is None
    for found in results["some"][1].values():  # any times, on a busy machine
        assert found.keys() == {"before", "epoch", "grown"} and np.isfinite([*found.values()]).all()
    draw(results, tmp_path / "scale.svg")
    assert (tmp_path / "scale.svg").stat().st_size > 10_000


def test_scale_puts_its_tables_between_two_lines(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        fill(path, "\nnew\n")
        assert path.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    path.write_text("none")
    with pytest.raises(SystemExit, match="has no lines"):
        fill(path, "new")
    assert path.read_text() == "none"
