"""``explain``: one step of backpropagation as text, picture and page, or many of them to watch."""

import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

from fastbp import BackpropRegressor
from fastbp.app import files, predicting, tables
from fastbp.app.job import FOUNDING
from fastbp.explain import explain_step
from fastbp.lessons import picture
from fastbp.lessons.lines import parameters_of
from fastbp.lessons.names import number
from fastbp.lessons.step import after_step, mean_loss, untrained

#: A network of more parameters is watched by its loss alone.
MOST_PARAMETERS = 15


def run(args):
    """Explain a step of one row, or watch the steps of one row after another."""
    with warnings.catch_warnings():
        # Columns were chosen by their names; what is passed on is an array without them.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        model, X, y = _subject(args)
        start = args.row - 1
        if not 0 <= start < len(y):
            raise ValueError(f"--row must be from 1 to {len(y)}, got {args.row}.")
        if args.watch:
            watch(model, X, y, start, args)
        else:
            explain(model, X[start], y[start], args)


def _subject(args):
    """The network, and the rows: by default the founding network's first weights, and the cars."""
    if args.table is None:
        if args.target or args.features or args.model:
            raise ValueError("--target, --features and --model need a TABLE.csv.")
        path, (features, target) = tables.shipped(FOUNDING.name), (FOUNDING.features, "mpg")
    else:
        path, features, target = args.table, args.features, args.target
        if target is None:
            raise ValueError("TABLE.csv needs a --target COLUMN.")
    pipeline = predicting.load(args.model) if args.model else None
    table = tables.read(files.given(path), delimiter=args.delimiter, decimal=args.decimal)
    if pipeline is None:
        vectorizer = tables.vectorizer_for(table)
        frame = table.frame(tables.features_of(table, target, features))
        with table.located():
            X = vectorizer.fit_transform(frame)
    else:
        vectorizer, model = pipeline
        if not isinstance(model, BackpropRegressor):
            raise ValueError(f"{args.model} is an ensemble; a step is one of a single network.")
        frame = predicting.frame_for(vectorizer, table)
        with table.located():
            X = vectorizer.transform(frame)
    y = table.numbers([target]).ravel()
    if pipeline is None:
        model = untrained(X, y, args.hidden_layer_sizes, args.activation or "logistic", args.seed)
    model.feature_names_in_ = vectorizer.get_feature_names_out()
    return model, X, y


def explain(model, x, y, args):
    """Print the step, and write picture and page."""
    folder = Path(args.out)
    page, drawing = folder / "fastbp-explain.html", folder / "fastbp-explain.png"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (page, drawing):
        files.check_writable(path, keep=args.table)
    explanation = explain_step(model, x, y, learning_rate=args.learning_rate)
    print(explanation)
    explanation.to_page(page)
    written = [page]
    if picture.can_draw():
        picture.save(explanation.step, drawing)
        written.append(drawing)
    print(f"\nWritten: {', '.join(map(str, written))}")
    if not picture.can_draw():
        print("No picture was drawn: matplotlib is missing. pip install 'fastbp[plot]'")


# ------------------------------------------------------------------------------- watching


def watch(model, X, y, start, args):
    """Train by one row after another, and show each step."""
    steps = _steps(model, X, y, start, args.learning_rate, args.steps)
    if not (sys.stdout.isatty() and find_spec("rich") is not None):
        for step in steps:
            print("\n".join(_told(*step)), flush=True)
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for step in steps:
            live.update(_shown(*step), refresh=True)
            time.sleep(args.delay)


def _steps(model, X, y, start, eta, n_steps):
    """(heading, parameters) of each step."""
    for count in range(n_steps):
        i = (start + count) % len(y)
        explanation = explain_step(model, X[i], y[i], learning_rate=eta)
        step = explanation.step
        everywhere = mean_loss(model, X, y)
        heading = (
            f"step {count + 1}, row {i + 1}:  ŷ {number(step.O[-1][0, 0], 4)}  "
            f"y {number(step.y[0, 0], 4)}  L {number(step.loss, 4)}  "
            f"L of all rows {number(everywhere, 4)}"
        )
        yield heading, parameters_of(step)
        after_step(model, step)


def _told(heading, parameters):
    """A step in lines of text: each parameter with its gradient."""
    lines = [heading]
    if len(parameters) <= MOST_PARAMETERS:
        cells = [
            f"{name} {number(before, 4):>8} ({number(gradient, 3)})"
            for name, (before, gradient, _) in parameters.items()
        ]
        rows = [cells[at : at + 3] for at in range(0, len(cells), 3)]
        lines += ["  " + "".join(f"{cell:<26}" for cell in row).rstrip() for row in rows]
    return lines


def _shown(heading, parameters):
    """The same for a terminal."""
    from rich.table import Table

    table = Table(title=heading, title_justify="left")
    for name in ("parameter", "value", "gradient", "after"):
        table.add_column(name, justify="left" if name == "parameter" else "right")
    if len(parameters) <= MOST_PARAMETERS:
        for name, numbers in parameters.items():
            table.add_row(name, *(number(value, 4) for value in numbers))
    return table
