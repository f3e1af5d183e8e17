"""``predict``: a column of predictions for a CSV file, with intervals if an ensemble made them."""

import csv
import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastbp import BackpropEnsembleRegressor, load_pipeline, paths
from fastbp.app import files, tables
from fastbp.app.progress import is_watched, prepare_kernels, say
from fastbp.app.report import Report, counted
from fastbp.tabular.cells import LISTED, TWO_MEANINGS, listed, shortened
from fastbp.tabular.columns import LEFT_OUT
from fastbp.tabular.frames import Frame


def run(args):
    """Predict for each row of a CSV file."""
    if args.model == args.table == "-":
        raise ValueError("The model and the table can't both be standard input.")
    pipeline = load(args.model)
    vectorizer, model = pipeline
    if args.intervals is not None:
        check_intervals(model, args)
    out = None if args.out in (None, "-") else Path(args.out)
    if out:
        files.check_writable(out, keep=args.table)
        files.check_writable(out, keep=args.model, what="the model")
    table = tables.read(files.given(args.table), delimiter=args.delimiter, decimal=args.decimal)
    frame = frame_for(vectorizer, table)
    with table.located():
        X = vectorizer.transform(frame)
    notes = list(news(vectorizer.columns_, Frame(frame)))
    for note in [] if args.json else notes[:LISTED]:
        say(f"Note: {note}")
    if is_watched():
        prepare_kernels(lambda: model.predict(X[:1]))
    columns = predictions(model, X, args.intervals)

    report = Report(args.json)
    report.fact(rows=len(X), notes=notes)
    if out:
        with paths.replacing_text(out) as file:
            write(file, columns)
        report.line(f"Written: {out} ({len(X)} rows)")
        report.fact(out=out)
    elif args.json:
        report.fact(**columns)
    else:
        write(sys.stdout, columns)
    report.end()


def load(name):
    """The pipeline in a file, or on standard input."""
    if name != "-":
        return load_pipeline(name)
    source = files.given(name)
    content = io.BytesIO(source.stream.read())
    try:
        return load_pipeline(content)
    except ValueError as error:
        raise ValueError(str(error).replace(str(content), str(source))) from None


def check_intervals(model, args):
    """Raise unless a model can tell intervals."""
    if not isinstance(model, BackpropEnsembleRegressor):
        raise ValueError(
            f"{args.model} is one network, which has no intervals; train with --ensemble 8."
        )


def frame_for(vectorizer, table):
    """The columns that a vectorizer needs of a table, by name if it knows names."""
    vectorizer.set_params(**tables.vectorizer_for(table).get_params())
    learnt = vectorizer.columns_
    if not hasattr(vectorizer, "feature_names_in_"):
        if len(table.names) != len(learnt):
            raise ValueError(
                f"The model has no column names and {len(learnt)} inputs, "
                f"{table.path} has {len(table.names)} columns."
            )
        pairs = zip(learnt, table.names, strict=True)
        vectorizer.columns_ = learnt = [replace(column, name=name) for column, name in pairs]
        vectorizer.feature_names_in_ = np.array(table.names, dtype=object)
    needed = [column for column in learnt if column.kind not in LEFT_OUT]
    as_written = {column.name for column in needed if column.kind != "numbers"}
    frame = table.frame([column.name for column in needed], as_written)
    if not (table.dialect.is_sure or vectorizer.thousands):
        for column in needed:
            if column.kind == "thousands":
                refuse_two_meanings(table, column.name, frame[column.name])
    return frame


def refuse_two_meanings(table, name, cells):
    """Raise for 8.174 in a column with separators of thousands: those of training are not known."""
    for i, cell in enumerate(cells):
        if isinstance(cell, str) and TWO_MEANINGS.fullmatch(cell):
            raise table.cell_error(i, name)


def news(learnt, frame):
    """What the columns hold that those of training did not, in words."""
    for column in learnt:
        if column.kind in LEFT_OUT:
            continue
        cells, name = frame.cells(column.name), shortened(column.name)
        hole = cells.holes()
        if hole.any() and not column.has_holes:
            filled = "taken for no level" if column.kind == "text" else f"filled by {column.fill:g}"
            yield f"{counted(int(hole.sum()), 'hole')} in {name}, which had none: {filled}."
        if column.kind == "text" and not column.has_others:
            texts = np.unique(cells.texts()[~hole].astype(str)).tolist()
            if new := [text for text in texts if text not in column.levels]:
                yield f"New text in {name}, taken for no level: {listed(new, most=5)}."


def predictions(model, X, coverage):
    """Columns by their names."""
    parts = {"prediction": model.predict(X)}
    if coverage is not None:
        parts["lower"], parts["upper"] = model.predict_interval(X, coverage)
    columns = {}
    for name, y in parts.items():
        if y.ndim == 1:
            columns[name] = y
        else:
            columns |= {f"{name}_{k + 1}": each for k, each in enumerate(y.T)}
    return columns


def write(file, columns):
    """Write columns as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
