"""The README: its example runs, and its commands are where the checks look for them."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fastbp import BackpropRegressor

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(title):
    return re.search(rf"^## {title}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)[1]


def test_the_first_example_prints_nine_parameters_under_their_names(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(blocks("python")[0], {})
    printed, promised = capsys.readouterr().out, blocks("text")[0]
    names = ["w¹₁₁", "w¹₂₁", "b₁₁", "w¹₁₂", "w¹₂₂", "b₁₂", "w²₁₁", "w²₂₁", "b₂₁"]
    assert re.findall(r"[wb][¹²]?[₁₂]+", printed) == names
    assert re.findall(r"[wb][¹²]?[₁₂]+", promised) == names
    assert float(re.search(r"R² (\S+)", printed)[1]) > 0.74


def test_the_two_commands_are_one_line_each_and_come_first():
    first, second, *_ = blocks("sh")
    assert first.count("\n") == second.count("\n") == 1
    assert first.rstrip().endswith("python -m fastbp")
    assert second.rstrip().endswith("python -m pytest -n 2 --dist worksteal")


def test_a_table_with_text_and_holes_is_trained_on_as_shown(monkeypatch, tmp_path, capsys):
    pd = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"city": ["Oslo", "Rome"] * 6, "age": [*range(11), None]})
    quick = BackpropRegressor((4,), max_iter=3, early_stopping=False)
    (program,) = blocks("python", section("Tables with text, holes and dates"))
    exec(program, {"frame": frame, "y": np.arange(12.0), "BackpropRegressor": lambda: quick})
    assert capsys.readouterr().out.startswith("city: text, a column for each of 2 levels\nage: num")
    assert (tmp_path / "model.npz").exists()


def test_the_lesson_prints_what_it_shows_and_shipping_writes_what_it_says(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    lesson, names = section("Backpropagation in ten minutes"), {}
    programs, outputs = blocks("python", lesson), blocks("text", lesson)
    assert len(programs) == len(outputs) == 6
    for program, promised in zip(programs, outputs, strict=True):
        exec(program, names)
        assert capsys.readouterr().out == promised

    (program,) = blocks("python", section("Ship it"))
    X = np.random.default_rng(0).normal(size=(50, 2))
    exec(program, {"model": BackpropRegressor(max_iter=2, random_state=0).fit(X, X[:, 0])})
    written = (tmp_path / "model.c").read_text(encoding="utf-8")
    for path, comment in re.findall(r'"(model\S+?)".*?# (.*)', program):
        assert (tmp_path / path).exists()
        assert "(" not in comment or comment in written
    assert "(const double x[2], double y[1])" in (tmp_path / "model.h").read_text("utf-8")


def test_a_parquet_file_is_learnt_batch_by_batch(monkeypatch, tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    a, b = np.random.default_rng(0).normal(size=(2, 4000))
    parquet.write_table(arrow.table({"a": a, "b": b, "y": a + b**2}), "table.parquet")
    (program,) = (block for block in blocks("python") if "pyarrow" in block)
    names = {"BackpropRegressor": BackpropRegressor}
    program = program.replace("100_000", "100").replace("Regressor()", "Regressor(random_state=0)")
    exec(textwrap.dedent(program), names)
    assert names["stream"].t_ == 4000
    frame = names["frame"]
    assert names["stream"].score(frame[["a", "b"]], frame["y"]) > 0.8
