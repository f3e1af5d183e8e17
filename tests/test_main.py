"""The command line: what it reports and writes, and what it says to each mistake."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastbp
from fastbp import BackpropEnsembleRegressor, BackpropRegressor, __version__, load_pipeline
from fastbp.__main__ import main
from fastbp.app import progress, tables
from fastbp.app.job import SAME_WORK, Result, peer, same_settings
from fastbp.app.options import parser
from fastbp.app.progress import (
    Lines,
    ctrl_c_ends_the_process,
    prepare_kernels,
    step_of,
    told_of_trials,
)
from fastbp.app.report import Report, figures
from fastbp.app.training import report_intervals
from fastbp.fitting import calling
from fastbp.fitting.solvers import SOLVERS
from fastbp.kernels.formulas.activations import ACTIVATIONS
from fastbp.kernels.machine import cache

pd = pytest.importorskip("pandas")

FAST = ["--max-iter", "20", "--hidden", "5"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastbp.app.progress.SLOW", np.inf)  # nothing is said of preparing kernels


@pytest.fixture
def samples():
    X = np.random.default_rng(0).random((50, 2)).round(4)
    return X, X @ [1.0, 2.0]


@pytest.fixture(autouse=True)
def table(tmp_path, samples):
    """table.csv: columns a, b and the target y."""
    X, y = samples
    path = tmp_path / "table.csv"
    np.savetxt(path, np.c_[X, y], delimiter=",", header="a,b,y", comments="")
    return path


def train(*options):
    return main(["train", "table.csv", "--target", "y", *FAST, *options])


# ------------------------------------------------------------------------- the main job


def test_the_main_job_reports_and_writes(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["--out", "results"]) == 0
    out, err = capsys.readouterr()
    progress = [line for line in err.splitlines() if "kernels were prepared" not in line]
    assert progress == [
        f"{n}: training ..." for n in ("auto_mpg", "concrete", "airfoil_self_noise")
    ]
    assert max(map(len, out.splitlines())) <= 90
    for name in ("w¹₁₁", "w¹₂₁", "b₁₁", "w¹₁₂", "w¹₂₂", "b₁₂", "w²₁₁", "w²₂₁", "b₂₁"):
        assert re.search(rf"{name} = -?[\d.]+", out)
    for name in ("auto_mpg", "concrete", "airfoil_self_noise"):
        assert (tmp_path / "results" / f"fastbp-{name}.png").stat().st_size > 10_000
        assert (tmp_path / "results" / f"fastbp-{name}.npz").exists()
    # Of each table's models ours has the least error, and linear regression the greatest.
    errors = [float(x) for x in re.findall(r"^ +\w+Regress\w+.*? {3,}([\d.]+) ", out, re.M)]
    assert len(errors) == 12
    for own in (errors[:2], errors[2:7], errors[7:]):
        assert own[-1] == min(own) and own[0] == max(own)

    model = BackpropRegressor.load(tmp_path / "results" / "fastbp-auto_mpg.npz")
    assert model.feature_names_in_.tolist() == ["horsepower", "weight"]
    assert f"w¹₁₂ = {model.coefs_[0][0, 1]:.6g}" in out


def test_the_same_settings_give_mlpregressor_the_same_model(samples):
    X, y = samples
    settings = {"max_iter": 3, "n_iter_no_change": np.inf, "shuffle": False, "random_state": 0}
    ours = BackpropRegressor((4,), **SAME_WORK | settings, learning_rate_init=0.02)
    theirs = peer(**same_settings(ours))
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        theirs.fit(X, y)
    np.testing.assert_allclose(
        ours.fit(X, y).loss_curve_, 2 * np.array(theirs.regressor_[-1].loss_curve_), rtol=1e-4
    )


# ---------------------------------------------------------------------- train and predict


def test_a_trained_model_predicts_the_table(tmp_path, samples, capsys):
    assert train("--model", "m.npz") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "40 rows to train on, 10 to test on" in out
    for model in ("the mean", "LinearRegression", "BackpropRegressor"):
        assert re.search(rf"{model} +\d\S* +-?\d", out)
    assert "m.npz (as tested" in out

    assert main(["predict", "m.npz", "table.csv"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "prediction"
    model = BackpropRegressor.load("m.npz")
    del model.feature_names_in_
    np.testing.assert_array_equal([float(row) for row in rows], model.predict(samples[0]))


def test_columns_are_chosen_by_name_whatever_their_order(tmp_path, capsys):
    train("--model", "m.npz")
    main(["predict", "m.npz", "table.csv", "--out", "expected.csv"])
    lines = (tmp_path / "table.csv").read_text().splitlines()[1:]
    cells = [line.split(",") for line in lines]
    turned = "\n".join(["name,b,a", *(f"text,{b},{a}" for a, b, _ in cells)])
    (tmp_path / "turned.csv").write_text(turned)
    assert main(["predict", "m.npz", "turned.csv", "--out", "got.csv"]) == 0
    assert (tmp_path / "got.csv").read_text() == (tmp_path / "expected.csv").read_text()


def test_a_model_predicts_from_tables_of_any_dialect(tmp_path, capsys):
    train("--model", "m.npz")
    main(["predict", "m.npz", "table.csv", "--out", "expected.csv"])
    text = (tmp_path / "table.csv").read_text().replace(",", "\t").replace(".", ",")
    (tmp_path / "tabs.csv").write_text(text)
    for told in ([], ["--delimiter", "tab", "--decimal", ","]):
        assert main(["predict", "m.npz", "tabs.csv", *told, "--out", "got.csv"]) == 0
        assert (tmp_path / "got.csv").read_text() == (tmp_path / "expected.csv").read_text()
    assert main(["predict", "m.npz", "tabs.csv", "--decimal", "."]) == 2
    assert "the decimal mark of this table is '.'; see --decimal" in capsys.readouterr().err


def test_text_and_holes_are_told_and_predicted_from(tmp_path, capsys, samples):
    X, y = samples
    levels = np.where(X[:, 0] > 0.5, "high", "low")
    holes = [f"{b}" if b > 0.2 else "" for b in X[:, 1]]
    rows = [",".join(map(str, row)) for row in zip(levels, holes, y, strict=True)]
    (tmp_path / "mixed.csv").write_text("\n".join(["a,b,y", *rows]))
    assert main(["train", "mixed.csv", "--target", "y", *FAST, "--model", "m.npz"]) == 0
    out = capsys.readouterr().out
    assert "  'a'  text, a column for each of 2 levels\n" in out
    assert "  'b'  numbers, holes filled by the median" in out
    model = BackpropRegressor.load("m.npz")
    assert model.feature_names_in_.tolist() == ["a=high", "a=low", "b", "b is missing"]

    (tmp_path / "later.csv").write_text("b,c,a\n0.5,x,low\n,x,\n")
    assert main(["predict", "m.npz", "later.csv"]) == 0
    assert capsys.readouterr().err == ("Note: 1 hole in 'a', which had none: taken for no level.\n")
    (tmp_path / "later.csv").write_text("b,c,a\n0.5,x,low\n,x,new\n")
    assert main(["predict", "m.npz", "later.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == "Note: New text in 'a', taken for no level: 'new'.\n"
    got = [float(line) for line in out.splitlines()[1:]]
    del model.feature_names_in_
    fill = model.columns_[1]["fill"]
    to_train_on = tables.split_rows(X[:, 1], y, 0.2, 0).X
    assert fill == np.median(to_train_on[to_train_on > 0.2])
    assert load_pipeline("m.npz").predict(pd.read_csv("later.csv")).tolist() == got
    assert got == model.predict([[0, 1, 0.5, 0], [0, 0, fill, 1]]).tolist()

    model = BackpropRegressor.load("m.npz").fit(X, y)
    assert not hasattr(model, "columns_")


def test_options_reach_the_estimator(capsys):
    options = ["--activation", "tanh,relu", "--hidden", "4,3", "--solver", "adam"]
    options += ["--learning-rate-init", "0.01", "--batch-size", "10", "--seed", "7"]
    assert train(*options, "--features", "b", "--model", "m.npz") == 0
    params = BackpropRegressor.load("m.npz").get_params()
    wanted = {"activation": ("tanh", "relu"), "solver": "adam", "learning_rate_init": 0.01}
    wanted |= {"batch_size": 10, "random_state": 7, "max_iter": 20}
    assert {name: params[name] for name in wanted} == wanted
    assert params["hidden_layer_sizes"] == (4, 3)
    assert BackpropRegressor.load("m.npz").feature_names_in_.tolist() == ["b"]


@pytest.mark.parametrize("more", [(), ("--ensemble", "2")], ids=["one", "ensemble"])
@pytest.mark.parametrize(
    ("option", "choice"),
    [
        *(("--solver", name) for name in SOLVERS),
        *(("--activation", name) for name in ACTIVATIONS),
        *(("--decimal", mark) for mark in ".,"),
    ],
)
def test_all_choices_of_an_option_can_be_trained_with(option, choice, more, table, capsys):
    if choice == ",":
        table.write_text(table.read_text().replace(",", ";").replace(".", ","))
    assert train(option, choice, *more) == 0
    assert capsys.readouterr().err == ""


OPTIONS = {
    "--target": "y", "--features": "a,b", "--hidden": "3", "--activation": "relu",
    "--solver": "lbfgs", "--max-iter": "9", "--learning-rate-init": "0.1", "--batch-size": "1000",
    "--ensemble": "2", "--cv": "2", "--test-fraction": "0.3", "--delimiter": ",", "--decimal": ".",
    "--seed": "1", "--model": "m.npz", "--plot": "p.svg", "--importance": "i.svg", "--json": None,
}  # fmt: skip


def test_all_options_of_train_go_together(capsys):
    pytest.importorskip("matplotlib")
    (commands,) = (action.choices for action in parser()._actions if action.dest == "==SUPPRESS==")
    known = {name for action in commands["train"]._actions for name in action.option_strings}
    assert known - {"-h", "--help"} == set(OPTIONS)
    given = [word for pair in OPTIONS.items() for word in pair if word is not None]
    assert main(["train", "table.csv", *given]) == 0
    out, err = capsys.readouterr()
    assert err == "" and json.loads(out)["networks"] == 2


def test_what_is_in_the_report_is_said_once(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert train("--batch-size", "1000000") == 0
    out, err = capsys.readouterr()
    assert err == "" and out.count("Note: Got `batch_size`") == 1


def test_a_warning_is_a_line_and_no_source(monkeypatch, capsys):
    def reads(*arguments, **options):
        warnings.warn("Such a\ntable!", stacklevel=2)
        raise ValueError("No more.")

    monkeypatch.setattr("fastbp.app.tables.read", reads)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(list(TRAIN)) == 2
    assert capsys.readouterr().err == "Note: Such a table!\nfastbp: error: No more.\n"


def test_the_same_seed_writes_the_same_model(tmp_path):
    for name in ("m1.npz", "m2.npz"):
        train("--model", name)
    first, second = (BackpropRegressor.load(name) for name in ("m1.npz", "m2.npz"))
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])


def test_without_a_test_the_model_is_trained_on_all_rows(capsys):
    assert train("--test-fraction", "0") == 0
    out = capsys.readouterr().out
    assert "50 rows to train on, 0 to test on" in out
    assert "fastbp-table.npz (of all rows)" in out
    assert "RMSE" not in out


def test_an_unfinished_training_is_noted(capsys):
    train("--solver", "lbfgs", "--max-iter", "1")
    assert "Note: " in capsys.readouterr().out


def test_a_picture_of_the_fit_is_drawn_if_asked_for(tmp_path):
    pytest.importorskip("matplotlib")
    assert train("--plot", "fit.svg") == 0
    assert "<svg" in (tmp_path / "fit.svg").read_text(encoding="utf-8")


def test_a_long_training_without_a_bar_says_where_it_is(capsys, monkeypatch, samples):
    monkeypatch.setattr("fastbp.app.progress.PULSE", -1.0)
    settings = {"max_iter": 3, "n_iter_no_change": np.inf}
    BackpropRegressor((2,), **settings).set_callbacks(Lines()).fit(*samples)
    assert capsys.readouterr().err.splitlines()[-1] == "  epoch 3 of at most 3"


def test_trials_are_said_to_who_looks_on_and_else_now_and_then(monkeypatch, capsys):
    for is_seen, pulse, n in (True, np.inf, 2), (False, np.inf, 0), (False, -1.0, 2):
        monkeypatch.setattr("fastbp.app.progress.is_watched", lambda is_seen=is_seen: is_seen)
        monkeypatch.setattr("fastbp.app.progress.PULSE", pulse)
        samples = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40.0)
        with told_of_trials():
            model = BackpropRegressor((9,), learning_rate="constant", max_iter=2, linear_part=None)
            model.fit(*samples)
        said = capsys.readouterr().err.splitlines()
        assert [line[:11] for line in said] == ["  trial 1: "] * n


def test_predictions_never_take_the_place_of_the_model_or_the_table(tmp_path, capsys):
    train("--model", "model.npz")
    (tmp_path / "link.npz").symlink_to("model.npz")
    before = (tmp_path / "model.npz").read_bytes()
    for out, what in (
        ("model.npz", "the model"),
        ("./link.npz", "the model"),
        ("table.csv", "the table"),
    ):
        assert main(["predict", "model.npz", "table.csv", "--out", out]) == 2
        assert f"is {what} itself" in capsys.readouterr().err
    assert (tmp_path / "model.npz").read_bytes() == before


def test_a_model_of_several_outputs_predicts_as_many_columns(samples, capsys):
    X, y = samples
    model = BackpropRegressor((2,), max_iter=1, n_iter_no_change=np.inf).fit(X, np.c_[y, -y])
    model.feature_names_in_ = np.array(["a", "b"], dtype=object)
    model.save("two.npz")
    assert main(["predict", "two.npz", "table.csv"]) == 0
    assert capsys.readouterr().out.startswith("prediction_1,prediction_2\n")


def test_a_model_without_names_needs_as_many_columns(samples, capsys):
    X, y = samples
    BackpropRegressor((2,), max_iter=1, n_iter_no_change=np.inf).fit(X, y).save("m.npz")
    assert main(["predict", "m.npz", "table.csv"]) == 2
    assert "2 inputs, table.csv has 3 columns" in capsys.readouterr().err
    np.savetxt("inputs.csv", X, delimiter=",", header="u,v", comments="")
    assert main(["predict", "m.npz", "inputs.csv"]) == 0


DIALECTS = {
    "plain": "%s,%s,%s,%s,%s,%s\n",
    "quoted": '"%s","%s","%s","%s","%s","%s"\n',
    "semicolons": "%s;%s;%s;%s;%s;%s\n",
    "tabs": "%s\t%s\t%s\t%s\t%s\t%s\n",
    "bars": "%s | %s | %s | %s | %s | %s\n",
    "with an index": "#,%s,%s,%s,%s,%s,%s\n",
    "from Excel": "%s,%s,%s,%s,%s,%s,\r\n",
    "European": "%s;%s;%s;%s;%s;%s\n",
    "thousands": '"%s","%s","%s","%s","%s","%s"\n',
    "blank lines": "\n%s,%s,%s,%s,%s,%s\n",
}


@pytest.mark.parametrize("kind", DIALECTS)
def test_tables_of_any_dialect_are_trained_on_and_predicted_for(kind, tmp_path, capsys):
    random = np.random.default_rng(0)
    lines = [("size", "city", "share", "day", "sold", "price")]
    for i in range(40):
        size, sold = round(1500 * random.random() + 900.25, 2), bool(random.random() < 0.5)
        city, hole = ["Oslo", "Rome", "Lima", "NA"][i % 4], i % 5 == 0
        day = f"2024-{1 + i % 12:02d}-07"
        price = round(3 * size + 1000 * sold, 2)
        cells = [f"{size}", city, "" if hole else f"{i / 8}%", day, f"{sold}", f"{price}"]
        if kind == "European":
            cells = [cell.replace(".", ",") for cell in cells]
            cells[3] = f"07.{1 + i % 12:02d}.2024"
        if kind == "thousands":
            cells[0], cells[5] = f"{size:,}", f"{price:,}"
        lines.append(tuple(cells))
    lines = [DIALECTS[kind] % line for line in lines]
    if kind == "with an index":
        lines = [line.replace("#", str(i) if i else "") for i, line in enumerate(lines)]
    encoding = "utf-8-sig" if kind == "from Excel" else "utf-8"
    (tmp_path / "t.csv").write_text("".join(lines), encoding=encoding, newline="")
    assert main(["train", "t.csv", "--target", "price", *FAST, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == "" and told["rows"] == {"train": 32, "test": 8, "left_out": 0}
    became = [line.partition(",")[0] for line in told["columns"].values()]
    assert became[1:3] == ["text", "percentages"] and became[4] == "numbers"
    assert became[0].startswith("numbers") and became[3].startswith("dates")
    assert "tells the holes" in told["columns"]["city"] and "median" in told["columns"]["share"]
    assert main(["predict", told["model"], "t.csv"]) == 0
    predicted = [float(y) for y in capsys.readouterr().out.splitlines()[1:]]
    if not REFERENCE:  # the numbers are the same whatever the dialect
        REFERENCE.extend(predicted)
    np.testing.assert_allclose(predicted, REFERENCE, rtol=1e-6)


REFERENCE = []


def test_an_ensemble_predicts_intervals_and_reports_all_that_is_asked_for(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    asked = ["--ensemble", "2", "--cv", "2", "--importance", "i.svg", "--plot", "p.svg"]
    assert train(*asked, "--model", "e.npz") == 0
    out = capsys.readouterr().out
    assert re.search(r"2-fold cross-validation: R² -?\d\.\d+ ± \d\.\d+, RMSE \S+ ± \S+ \(mean", out)
    assert re.search(r"Trained 2 networks for [\d to]+ epochs\.", out)
    assert re.search(r"Intervals for 90% of new rows: prediction ± \S+; \d+ of 10 test rows", out)
    by_column = dict(re.findall(r"^   ([ab])  +(\S+) ± ", out, re.M))
    assert float(by_column["b"]) > float(by_column["a"])  # y = a + 2 b
    drawn = (tmp_path / "i.svg").read_text(encoding="utf-8")
    assert "<svg" in drawn and "<!-- b -->" in drawn
    assert "2 networks" in (tmp_path / "p.svg").read_text(encoding="utf-8")

    assert main(["predict", "e.npz", "table.csv", "--intervals", "0.8"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "prediction,lower,upper"
    model = BackpropEnsembleRegressor.load("e.npz")
    assert model.n_estimators == 2
    pipeline = load_pipeline("e.npz")
    X = pipeline[0].transform(pd.read_csv("table.csv"))
    wanted = [pipeline[-1].predict(X), *pipeline[-1].predict_interval(X, 0.8)]
    np.testing.assert_array_equal(
        [line.split(",") for line in rows], np.array(wanted).T.astype(str)
    )


def test_of_a_table_whose_errors_are_beyond_all_numbers_figures_say_so(table, capsys):
    """And nothing else does: warnings are errors here."""
    with table.open("a") as file:
        file.write("1,2,1e308\n1,3,-1e308\n2,2,1e307\n")
    assert train("--importance", "--cv", "2", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["test"]["the mean"]["rmse"] is None  # infinite
    assert all(each["mean"] is None for each in told["importance"])


def test_json_is_all_there_is_on_standard_output(capsys):
    options = ["--json", "--cv", "2", "--model", "m.npz"]
    assert main(["train", "--importance", "table.csv", "--target", "y", *FAST, *options]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == "" and out.count("\n") == 1
    assert told["columns"] == {"a": "numbers", "b": "numbers"} and told["model"] == "m.npz"
    errors = told["cross_validation"]["rmse"]
    assert len(errors) == 2 and min(errors) > 0 and told["target"] == "y"
    assert [each["column"] for each in told["importance"]] == ["b", "a"]
    assert set(told["test"]) == {"the mean", "LinearRegression", "BackpropRegressor"}
    assert main(["predict", "m.npz", "table.csv", "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert predicted["rows"] == len(predicted["prediction"]) == 50
    assert main(["predict", "m.npz", "table.csv", "--json", "--out", "p.csv"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 50, "notes": [], "out": "p.csv"}


def test_rows_within_their_intervals_are_counted():
    model = SimpleNamespace(predict_interval=lambda X, _: (X - 1.0, X + 1.0))
    split = SimpleNamespace(X_test=np.zeros(5), y_test=np.array([-2.0, -1.0, 0.0, 1.0, 1.5]))
    report = Report(as_json=True)
    report_intervals(report, model, split)
    assert report.facts["intervals"] == {"coverage": 0.9, "half": 1.0, "within": 3, "of": 5}


def test_a_dash_is_standard_input_or_output(table, capsysbinary, monkeypatch):
    def stdin(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    for _ in range(2):  # the second time there is a model already
        stdin(table.read_bytes())
        assert main(["train", "-", "--target", "y", *FAST]) == 0
        assert b"Model: fastbp-stdin.npz" in capsysbinary.readouterr().out
    assert train("--model", "-") == 0
    out, err = capsysbinary.readouterr()
    assert b"Model: standard output" in err
    stdin(out)
    assert main(["predict", "-", "table.csv", "--out", "-"]) == 0
    written = capsysbinary.readouterr().out
    stdin(table.read_bytes())
    assert main(["predict", "fastbp-stdin.npz", "-"]) == 0
    assert capsysbinary.readouterr().out == written
    stdin(table.read_bytes() + b"1,x,3\n")
    assert main(["predict", "fastbp-stdin.npz", "-"]) == 2
    told = b"standard input, line 52, column 'b': 'x' is not a number"
    assert told in capsysbinary.readouterr().err


def test_a_target_may_have_holes_and_thousands(tmp_path, capsys):
    rows = [f'{i},"{1000 + i:,}"' for i in range(30)] + ["5,", "6,NA"]
    (tmp_path / "t.csv").write_text(
        "\n".join([",a,y", *(f"{i},{row}" for i, row in enumerate(rows))])
    )
    assert main(["train", "t.csv", "--target", "y", *FAST]) == 0
    out = capsys.readouterr().out
    assert "t.csv: 1 column to predict y from\n  y is numbers with separators of thousands\n" in out
    assert (
        "  a column without a name: left out\n2 rows without a value of y left out\n24 rows" in out
    )


def test_a_later_table_that_may_mean_two_things_is_asked_about(tmp_path, capsys):
    rows = [f"{1000 * i + 0.25:,.2f};{i}".translate({44: 46, 46: 44}) for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["a;y", *rows]))
    assert main(["train", "t.csv", "--target", "y", *FAST, "--model", "m.npz"]) == 0
    assert "  'a'  numbers with separators of thousands\n" in capsys.readouterr().out
    (tmp_path / "later.csv").write_text("a;y\n8.174;3\n")
    assert main(["predict", "m.npz", "later.csv"]) == 2
    assert "'8.174' is not a number (write thousands" in capsys.readouterr().err
    predicted = []
    for content, told in (("8.174;3", ["--decimal", ","]), ("8.174;3,5", []), ("8174;3", [])):
        (tmp_path / "later.csv").write_text(f"a;y\n{content}\n")
        assert main(["predict", "m.npz", "later.csv", *told]) == 0
        predicted.append(capsys.readouterr().out)
    assert len(set(predicted)) == 1


# ------------------------------------------------------------------------ explain, export


def test_explain_shows_a_step_of_a_car_and_writes_page_and_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["explain", "--learning-rate", "0.1", "--out", "shown"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "i₁ (horsepower) = (130 − 104.469)/38.442 = 0.664133" in out
    assert "2-2-1, logistic; squared error; η = 0.1" in out
    for name in ("w¹₁₁", "w¹₂₁", "b₁₁", "w¹₁₂", "w¹₂₂", "b₁₂", "w²₁₁", "w²₂₁", "b₂₁"):
        assert re.search(rf"{name}\(new\) += {name} − η dL/d{name} = .*= −?[\d.]+\n", out)
    assert (tmp_path / "shown" / "fastbp-explain.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "shown" / "fastbp-explain.html").read_text(encoding="utf-8")
    assert "<svg" in page and "<math" in page and "http://" not in page.split("</svg>")[1]


def test_explain_takes_a_table_and_a_model(capsys):
    train("--model", "m.npz")
    capsys.readouterr()
    given = ["explain", "table.csv", "--target", "y", "--row", "7", "--model", "m.npz"]
    assert main(given) == 0
    out = capsys.readouterr().out
    assert "2-5-1, logistic" in out and "i₁ (a) = " in out


def test_watching_shows_each_step_of_training(capsys, samples):
    assert (
        main(["explain", "table.csv", "--target", "y", "--watch", "--steps", "25", "--row", "40"])
        == 0
    )
    out = capsys.readouterr().out
    losses = [float(text) for text in re.findall(r"L of all rows ([\d.]+)", out)]
    assert len(losses) == 25 and losses[-1] < 0.9 * losses[0]
    assert "step 12, row 1:" in out
    first, *_ = re.findall(r"w¹₁₁ +(−?[\d.]+) \((−?[\d.]+)\)", out)
    second = re.findall(r"w¹₁₁ +(−?[\d.]+) \(", out)[1]
    before, gradient, after = (float(x.replace("−", "-")) for x in (*first, second))
    assert after == pytest.approx(before - 0.1 * gradient, abs=2e-4)


def test_export_writes_what_the_model_writes(tmp_path, capsys, samples):
    train("--model", "m.npz")
    assert main(["export", "m.npz", "--to", "c", "--name", "cars", "--dtype", "double"]) == 0
    BackpropRegressor.load("m.npz").to_c(tmp_path / "own.c", name="cars", dtype="double")
    assert (tmp_path / "m.c").read_bytes() == (tmp_path / "own.c").read_bytes()
    assert "Written: m.c (" in capsys.readouterr().out
    one = BackpropRegressor(2, max_iter=1, n_iter_no_change=np.inf, early_stopping=False)
    BackpropEnsembleRegressor(one, 2, resample=None, random_state=0).fit(*samples).save("e.npz")
    assert main(["export", "e.npz", "--to", "c", "--out", "e.h"]) == 0
    assert "static void e_predict" in (tmp_path / "e.h").read_text()
    if find_spec("onnx"):
        assert main(["export", "e.npz", "--to", "onnx"]) == 0
        assert (tmp_path / "e.onnx").stat().st_size > 100


# ------------------------------------------------------------------------------ mistakes

COMMANDS = "train", "predict", "explain", "export"
TRAIN = ("train", "table.csv", "--target", "y")
MISTAKES = [
    (("train", "none.csv", "--target", "y"), "none.csv: No such file"),
    (("train", ".", "--target", "y"), "Is a directory"),
    (("train", "table.csv"), "--target"),
    (("train", "table.csv", "--target", "Y"), "did you mean 'y'"),
    (("train", "m.npz", "--target", "y"), "not a CSV file"),
    ((*TRAIN, "--features", "a,c"), "no column 'c'"),
    ((*TRAIN, "--features", "a,y"), "among the features"),
    ((*TRAIN, "--features", "a,b,a"), "'a' is there twice among the features"),
    (("train", "only.csv", "--target", "y"), "no column besides the target"),
    (("train", "constant.csv", "--target", "y"), "is 5 in all rows"),
    (("train", "one.csv", "--target", "y"), "Too few rows"),
    ((*TRAIN, "--hidden", "5,x"), "--hidden"),
    ((*TRAIN, "--hidden", "0"), "hidden_layer_sizes"),
    ((*TRAIN, "--activation", "swish"), "activation"),
    ((*TRAIN, "--solver", "newton"), "solver"),
    ((*TRAIN, "--max-iter", "0"), "max_iter"),
    ((*TRAIN, "--batch-size", "many"), "--batch-size"),
    ((*TRAIN, "--learning-rate-init", "-1"), "learning_rate_init"),
    ((*TRAIN, "--learning-rate-init", "1e9"), "diverged"),
    ((*TRAIN, "--seed", "-1"), "--seed"),
    ((*TRAIN, "--test-fraction", "1"), "--test-fraction"),
    ((*TRAIN, "--test-fraction", "0", "--plot", "p.png"), "--test-fraction"),
    ((*TRAIN, "--plot", "p.xyz"), ".png"),
    ((*TRAIN, "--model", "table.csv"), "the table itself"),
    ((*TRAIN, "--model", "no/such/folder.npz"), "No such file"),
    ((*TRAIN, "--model", "p.png", "--plot", "p.png"), "both"),
    ((*TRAIN, "--importance", "p.png", "--plot", "p.png"), "both"),
    ((*TRAIN, "--importance", "no/p.png"), "No such file"),
    ((*TRAIN, "--model", "-", "--json"), "standard output"),
    ((*TRAIN, "--ensemble", "0"), "'0' is no whole number of 1 or more"),
    ((*TRAIN, "--cv", "x"), "'x' is no whole number of 2 or more"),
    ((*TRAIN, "--cv", "41"), "more than the 40 rows"),
    (("train", "text.csv", "--target", "y"), "line 2, column 'y': 'low' is not a number"),
    (("train", "holes.csv", "--target", "y"), "the target 'y' has no values"),
    (("train", "empty.csv", "--target", "y"), "is empty"),
    (("train", "header.csv", "--target", "y"), "no rows"),
    (("train", "-", "--target", "y"), "standard input is empty"),
    (("predict", "-", "-"), "can't both be standard input"),
    (("predict", "-", "table.csv"), "standard input is not a model"),
    (("predict", "m.npz", "table.csv", "--intervals", "2"), "'2' is no number between 0 and 1"),
    (("predict", "m.npz", "table.csv", "--intervals", "0.9"), "train with --ensemble"),
    (("predict", "none.npz", "table.csv"), "none.npz: No such file"),
    (("predict", "table.csv", "table.csv"), "not a model"),
    (("predict", "later.npz", "table.csv"), "format"),
    (("predict", "m.npz", "only.csv"), "no column 'a', 'b'"),
    (("predict", "m.npz", "table.csv", "--out", "table.csv"), "the table itself"),
    (("predict", "m.npz", "table.csv", "--out", "no/such/folder.csv"), "No such file"),
    (("predict", "m.npz", "less.csv"), "less.csv has no column 'b'; its only column is 'a'"),
    (("train", "table.csv", "--target", "y", "--delimiter", "ab"), "'ab' can't separate fields"),
    (("train", "table.csv", "--target", "y", "--decimal", ";"), "--decimal"),
    (("train", "table.csv", "--target", "y", "--features", "a\nb"), "not a list of names"),
    ((*TRAIN, "--hidden", "9" * 30), "hidden_layer_sizes"),
    (("train", "/dev/null", "--target", "y"), "a pipe or a device"),
    (("train", "names.csv", "--target", "y"), "no column of which a number can be made"),
    (("explain", "table.csv"), "needs a --target"),
    (("explain", "--target", "y"), "need a TABLE.csv"),
    (("explain", "table.csv", "--target", "y", "--row", "51"), "from 1 to 50, got 51"),
    (("explain", "table.csv", "--target", "y", "--learning-rate", "0"), "above 0"),
    (("explain", "table.csv", "--target", "y", "--hidden", "0"), "hidden_layer_sizes"),
    (("export", "none.npz", "--to", "c"), "none.npz: No such file"),
    (("export", "m.npz", "--to", "java"), "--to"),
    (("export", "m.npz", "--to", "c", "--out", "m.npz"), "the model itself"),
    (("export", "m.npz", "--to", "c", "--name", "2"), "name of a function"),
    (("export", "m.npz", "--to", "onnx", "--name", "cars"), "--name is for C"),
    (("--out", "results", "export", "m.npz", "--to", "c"), "--out before a command"),
    (("--seed", "0", *TRAIN), "--seed before a command"),
    (("--out", "table.csv"), "table.csv"),
    (("forecast",), "forecast"),
    (("train", "--colour"), "required"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Tables and models that some mistakes need."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "only.csv").write_text("y\n1\n2\n")
    (folder / "text.csv").write_text("a,y\n" + "".join(f"{i},low\n" for i in range(20)))
    (folder / "holes.csv").write_text("a,y\n" + "".join(f"{i},\n" for i in range(20)))
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,y\n")
    (folder / "names.csv").write_text("a,y\n" + "".join(f"n{i},{i}\n" for i in range(20)))
    (folder / "less.csv").write_text("a\n1\n2\n")
    (folder / "one.csv").write_text("a,y\n1,2\n")
    (folder / "constant.csv").write_text("a,y\n" + "".join(f"{i},5\n" for i in range(20)))
    np.savez(folder / "later.npz", header=np.frombuffer(b'{"format": "fastbp-model-99"}', np.uint8))
    X = np.random.default_rng(0).random((20, 2))
    model = BackpropRegressor((2,), max_iter=1, n_iter_no_change=np.inf).fit(X, X[:, 0])
    model.feature_names_in_ = np.array(["a", "b"], dtype=object)
    model.save(folder / "m.npz")
    return folder


@pytest.mark.parametrize(("arguments", "told"), [
    ((), "the working directory is gone"),
    (("train", "table.csv", "--target", "y"), "table.csv: No such file or directory"),
], ids=["the main job", "a table"])  # fmt: skip
def test_what_is_told_where_the_working_directory_is_gone(
    arguments, told, tmp_path, monkeypatch, capsys
):
    gone = tmp_path / "gone"
    gone.mkdir()
    with monkeypatch.context() as there:
        there.chdir(gone)
        gone.rmdir()
        assert main(list(arguments)) == 2
    assert capsys.readouterr().err == f"fastbp: error: {told}\n"


@pytest.mark.parametrize(("arguments", "told"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_told_in_one_line_and_exits_2(
    arguments, told, files, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    for file in files.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(list(arguments)) == 2
    err = capsys.readouterr().err
    assert err.startswith("fastbp: error: ")
    assert told in err
    assert err.count("\n") == 1 and err.endswith("\n")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_picture_without_matplotlib_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train("--plot", "p.png") == 2
    assert "fastbp[plot]" in capsys.readouterr().err


# -------------------------------------------------------------------------- the process


def start(*arguments, **environment):
    """The command line as a process of its own, of the package under test."""
    root = str(Path(fastbp.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "fastbp", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root} | environment,
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)]
)
def test_help_and_version_exit_0(arguments, capsys):
    assert main(arguments) == 0
    assert (__version__ if arguments == ["--version"] else "usage") in capsys.readouterr().out


def test_a_terminal_that_knows_only_ascii_gets_ascii():
    with start(*TRAIN, *FAST, PYTHONIOENCODING="ascii", PYTHONUTF8="0") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert not err or err.startswith("The kernels were prepared in ")
    assert "test R2" in out


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
def test_a_reader_that_leaves_is_no_error(tmp_path, samples):
    X, y = samples
    big = np.tile(np.c_[X, y], (2000, 1))
    np.savetxt(tmp_path / "big.csv", big, delimiter=",", header="a,b,y", comments="", fmt="%g")
    train("--model", "m.npz")
    with start("predict", "m.npz", "big.csv") as process:
        assert process.stdout.readline() == "prediction\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
def test_ctrl_c_exits_130_with_one_line(tmp_path, samples, ctrl_c_is_heard):
    X, y = samples
    big = np.tile(np.c_[X, y], (1000, 1))
    np.savetxt(tmp_path / "big.csv", big, delimiter=",", header="a,b,y", comments="", fmt="%g")
    with start("train", "big.csv", "--target", "y", "--hidden", "500,500") as process:
        while "rows to train on" not in (line := process.stdout.readline()):
            assert line
        time.sleep(1.5)  # the kernels are loaded meanwhile
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    told = [line for line in err.splitlines() if not line.startswith("The kernels were prepared")]
    assert (process.returncode, told) == (130, ["fastbp: interrupted"])
    assert not (tmp_path / "fastbp-big.npz").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_while_it_imports_exits_130_with_one_line(ctrl_c_is_heard):
    with start("train", "none.csv", "--target", "y", PYTHONPROFILEIMPORTTIME="1") as process:
        # Each import is told of when it is done; numba's are most. (Some may be the interpreter's
        # own, as it starts: packages can ask for that.)
        while "numba.core" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        lines = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert [line for line in lines if "import time:" not in line] == ["fastbp: interrupted"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk of Linux")
def test_a_full_disk_is_told_in_one_line(table):
    train("--model", "m.npz")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "fastbp", "predict", "m.npz", "table.csv"]
        root = str(Path(fastbp.__file__).parents[1])
        run = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": root, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
    assert (run.returncode, run.stderr) == (
        2,
        b"fastbp: error: No space left on device\n",
    )


def test_a_closed_output_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert train("--model", "m.npz") == 0
    sys.stdout.close()
    assert (tmp_path / "m.npz").exists()


def test_too_little_memory_is_told_in_one_line(monkeypatch, capsys):
    def reads(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("fastbp.app.tables.read", reads)
    assert main(list(TRAIN)) == 2
    assert capsys.readouterr().err == "fastbp: error: there is not enough memory\n"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "params",
    [
        {"hidden_layer_sizes": 2},
        {"hidden_layer_sizes": (50, 50)},
        {"batch_size": 1},
        {"batch_size": "auto", "hidden_layer_sizes": 2},
        {"hidden_layer_sizes": (520, 520)},
    ],
    ids=str,
)
def test_the_kernel_is_prepared_that_training_uses(params, monkeypatch):
    """Else the time of training that is told would hold a compilation."""
    used, kernel_for = [], calling.kernel_for

    def noting(*arguments):
        used.append(kernel_for(*arguments))
        return used[-1]

    monkeypatch.setattr(calling, "kernel_for", noting)
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60.0)
    model = BackpropRegressor(**params, max_iter=1, early_stopping=False)
    prepare_kernels(step_of(model, X.shape[1], len(X)))
    model.fit(X, y)
    prepared, *trained = used
    assert {kernel.name for kernel in trained} == {prepared.name}


@pytest.mark.parametrize("size", [progress.LARGE, progress.LARGE + 1])
@pytest.mark.parametrize("is_kept", [True, False])
def test_beside_a_large_table_it_is_another_process_that_compiles(
    size, is_kept, tmp_path, monkeypatch
):
    """What LLVM takes for it stays for as long as the process lives."""
    path, called = tmp_path / "process", []

    def call():
        called.append(True)
        cache._announce("train")

    monkeypatch.setattr(progress, "by_another_process", lambda call: path.write_text("made"))
    folder = tmp_path / "kernels" if is_kept else path / "below a file"
    monkeypatch.setattr(cache, "FOLDERS", [folder])
    path.touch()
    prepare_kernels(call, beside=size)
    assert called == [True]
    assert path.read_text() == ("made" if size > progress.LARGE and is_kept else "")


@pytest.mark.parametrize("is_watched", [True, False])
def test_kernels_are_said_to_be_kept_where_they_can_be(is_watched, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "is_watched", lambda: is_watched)
    monkeypatch.setattr(progress, "SLOW", -1.0)
    (tmp_path / "file").touch()
    for folder, said in ((tmp_path, "then kept on disk"), (tmp_path / "file" / "x", "no folder")):
        monkeypatch.setattr(cache, "FOLDERS", [folder])
        prepare_kernels(lambda: None)
        assert said in capsys.readouterr().err


def test_a_call_is_made_by_another_process(tmp_path):
    path = tmp_path / "file"
    progress.by_another_process(partial(path.write_text, "made"))
    assert path.read_text() == "made"


@pytest.mark.parametrize("why", ["no more processes", "frozen", "embedded"])
def test_where_there_can_be_no_other_process_there_is_none(why, monkeypatch, tmp_path):
    path = tmp_path / "file"
    if why == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    elif why == "embedded":
        monkeypatch.setattr(sys, "executable", None)
    else:
        monkeypatch.setattr(sys, "executable", str(tmp_path))  # a folder
    progress.by_another_process(partial(path.write_text, "made"))
    assert not path.exists()


def test_another_process_runs_no_lines_of_the_program(tmp_path):
    """There, it would train once more."""
    program = """
        from functools import partial
        from pathlib import Path
        from fastbp.app import progress

        print("begun")
        progress.by_another_process(partial(Path("file").write_text, "made"))
    """
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "program.py").write_text(textwrap.dedent(program))
    (tmp_path / "struct.py").write_text("raise SystemExit('nobody imports it')")
    environment = os.environ | {"PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    run = partial(subprocess.run, capture_output=True, text=True, cwd=tmp_path, env=environment)
    ended = run([sys.executable, "bin/program.py"])
    assert (ended.stdout, ended.stderr) == ("begun\n", "")
    assert (tmp_path / "file").read_text() == "made"


FOR_EVER = """
    import pathlib, time

    path = pathlib.Path("alive")

    def write():
        while True:
            path.write_text("alive")
            time.sleep(0.01)
"""

WAITS = """
    import os, signal, sys, threading, time
    import for_ever
    from fastbp.app import progress

    def leave():
        while not for_ever.path.exists():
            time.sleep(0.01)
        if sys.argv[1] == "left":
            os._exit(0)
        os.killpg(0, signal.SIGINT)

    threading.Thread(target=leave).start()
    progress.prepare_kernels(lambda: progress.by_another_process(for_ever.write))
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [("left", ""), ("interrupted", "fastbp: interrupted\n")],
)
def test_a_process_that_compiles_ends_with_who_waits_for_it(how, told, tmp_path):
    path = tmp_path / "alive"
    for name, program in (("for_ever", FOR_EVER), ("program", WAITS)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(program))
    environment = os.environ | {"PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, "program.py", how],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert ended.stderr == told
    path.unlink(missing_ok=True)
    time.sleep(0.2)
    path.unlink(missing_ok=True)
    time.sleep(0.2)
    assert not path.exists()


def test_a_result_is_judged_by_what_was_measured():
    measured, predicted = np.array([0.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0])
    told = figures([Result("a model", 0.5, predicted, [])], measured)
    assert told == {"a model": {"rmse": pytest.approx(3**-0.5), "r2": 1 - 1 / 8, "seconds": 0.5}}


def test_after_kernels_were_prepared_ctrl_c_is_whose_it_was(ctrl_c_is_heard):
    def mine(*_):
        """What a program that uses ours has."""

    signal.signal(signal.SIGINT, mine)
    with ctrl_c_ends_the_process():
        assert signal.getsignal(signal.SIGINT) is not mine
    assert signal.getsignal(signal.SIGINT) is mine


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "table.csv", "--target", "y", "--model", ""], ["predict", "m.npz", ""],
        ["train", "table.csv", "--target", "y", "--plot", ""], ["export", "", "--to", "c"],
        ["predict", "m.npz", "table.csv", "--out", ""], ["explain", "--out", ""], ["--out", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_name_is_not_the_default(arguments, capsys):
    """It is a variable of a script that nobody has set."""
    assert main(arguments) == 2
    assert "the name is empty" in capsys.readouterr().err


def options_with_values():
    """Each option that takes a value, with what its command needs besides."""
    needed = {"train": ["table.csv", "--target", "y", *FAST], "predict": ["m.npz", "table.csv"]}
    needed |= {"explain": [], "export": ["m.npz", "--to", "onnx"]}
    (commands,) = (action.choices for action in parser()._actions if action.dest == "==SUPPRESS==")
    for command, each in commands.items():
        for action in each._actions:
            if action.option_strings and action.nargs != 0:
                yield [command, *needed[command], f"{action.option_strings[0]}="]


@pytest.mark.parametrize("arguments", [*options_with_values()], ids=" ".join)
def test_no_option_may_be_empty(arguments, files, capsys):
    Path("m.npz").write_bytes((files / "m.npz").read_bytes())
    before = set(os.listdir())
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1 and set(os.listdir()) == before


def test_linear_regression_is_named(capsys):
    assert train("--hidden", "none", "--model", "m.npz") == 0
    assert BackpropRegressor.load("m.npz").get_params()["hidden_layer_sizes"] == ()
    assert train("--hidden", "5,,3") == 2
