"""What `time_to_accuracy.py` says of a small table."""

import pytest
from accuracy import DATA, tables
from time_to_accuracy import PEERS, curve, draw, means, row, seconds_to


def test_the_first_point_that_is_no_worse_counts():
    points = [(3.0, 0.1), (2.0, 0.2), (2.5, 0.3)]
    assert seconds_to(2.6, points) == 0.2
    assert seconds_to(3.0, points) == 0.1
    assert seconds_to(1.0, points) is None
    assert row("t", "p", 2.6, 0.4, points) == "| t | p | 2.6 | 0.400 | 0.200 | 2 |"


def test_more_epochs_reach_more_and_the_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    X, y, splits = next(table[1:] for table in tables(DATA) if table[0] == "auto_mpg")
    points = curve(X, y, splits[:1], epochs=(2, 32))
    assert points[1][0] < points[0][0]
    peer = {"MLPRegressor, scaled": means(PEERS["MLPRegressor, scaled"], X, y, splits[:1])}
    draw({"auto_mpg": (points, peer)}, tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").stat().st_size > 10_000
