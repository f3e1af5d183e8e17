"""The command line: ``python -m fastbp``.

Without a command it trains on the tables that come with the package and compares; ``train``
and ``predict`` do the same for any CSV file; ``explain`` shows a step of it, ``export`` writes a
model in other languages. Whatever is wrong with a table, a model or an
option is told in one line, with exit code 2.
"""

import argparse
import codecs
import csv
import os
import signal
import sys
import unicodedata
from pathlib import Path

import numpy as np
from sklearn.callback import ProgressBar
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from fastbp import BackpropRegressor, __version__, plotting, starting
from fastbp.app import columns, tables
from fastbp.app.job import Lines, bars, evaluate, prepare_kernels, print_results, run_job, step_of
from fastbp.kernels.formulas.activations import ACTIVATIONS
from fastbp.kernels.formulas.optimizers import SOLVERS

# ------------------------------------------------------------------------------- train


def run_train(args):
    """Train on a CSV file, report and save the model."""
    table = tables.read(args.table, **dialect(args))
    features = tables.features_of(table, args.target, args.features)
    split, learnt = split_of(table, features, args)
    del table  # the parts are copies
    if np.ptp(split.y) == 0:
        raise ValueError(f"The target {args.target!r} is {split.y[0]:g} in all rows to train on.")
    path, picture = output_files(args)
    model = BackpropRegressor(random_state=args.seed).set_params(**settings_given(args))

    print(f"{args.table}: {len(features)} columns to predict {args.target} from")
    tell_columns(learnt)
    print(f"{len(split.y)} rows to train on, {len(split.y_test)} to test on (seed {args.seed})")
    prepare_kernels(step_of(model, *split.X.shape[::-1]))
    model.set_callbacks(ProgressBar() if bars() else Lines())
    result = evaluate("BackpropRegressor", model, split)
    report_training(model, result, split, args.target)
    model.feature_names_in_ = tables.names_as_array(columns.names(learnt))
    if not all(column.is_plain() for column in learnt):
        model.columns_ = columns.to_json(learnt)
    model.save(path)
    tested = "as tested: the test rows took no part" if args.test_fraction else "of all rows"
    print(f"Model: {path} ({tested})")
    if picture:
        y_pred = result.y_pred
        plotting.save_picture(picture, model, split.y_test, y_pred, args.table, args.target)
        print(f"Picture: {picture}")


def split_of(table, features, args):
    """The samples, set apart, and what was learnt of their columns by those to train on."""
    y = table.numbers([args.target]).ravel()
    rows = np.arange(len(table))[:, None]
    split = tables.split_rows(rows, y, args.test_fraction, args.seed)
    learnt = columns.learn(table, features, split.X.ravel())
    X, X_test = columns.numbers(learnt, table, split.X.ravel(), split.X_test.ravel())
    if not X.shape[1]:
        raise ValueError(f"{args.table} has no column of which a number can be made.")
    return split._replace(X=X, X_test=X_test), learnt


def tell_columns(learnt):
    """What became of each column, if not all are plain numbers."""
    special = [column for column in learnt if not column.is_plain()]
    width = max((len(tables.shortened(column.name)) for column in special), default=0)
    for column in special[: tables.LISTED]:
        print(f"  {tables.shortened(column.name):{width}}  {column.told()}")
    if len(special) > tables.LISTED:
        print(f"  and {len(special) - tables.LISTED} more that are not plain numbers")


def report_training(model, result, split, target):
    """How training went, and the test beside two baselines."""
    print(f"Trained for {model.n_iter_} epochs.")
    for text in result.warned:
        print(f"Note: {text}")
    if len(split.y_test):
        baselines = {"the mean": DummyRegressor(), "LinearRegression": LinearRegression()}
        results = [evaluate(name, baseline, split) for name, baseline in baselines.items()]
        print_results([*results, result], split.y_test)
        print(f"RMSE is in the units of {target}; the time includes the display of progress.")


def settings_given(args):
    """The estimator's parameters that were given; the others keep its defaults."""
    names = ("hidden_layer_sizes", "activation", "solver", "max_iter", "learning_rate_init")
    given = {name: getattr(args, name) for name in (*names, "batch_size")}
    return {name: value for name, value in given.items() if value is not None}


def output_files(args):
    """Where model and picture go, checked before there is anything to lose."""
    model = Path(args.model or f"fastbp-{Path(args.table).stem}.npz")
    picture = Path(args.plot) if args.plot else None
    if picture and args.test_fraction == 0:
        raise ValueError("--plot shows the test set: it needs a --test-fraction above 0.")
    if picture and picture.resolve() == model.resolve():
        raise ValueError(f"--plot and --model are both {model}.")
    tables.check_writable(model, keep=args.table)
    if picture:
        plotting.check_picture(picture)
        tables.check_writable(picture, keep=args.table)
    return model, picture


# ----------------------------------------------------------------------------- predict


def run_predict(args):
    """Predict for each row of a CSV file."""
    model = BackpropRegressor.load(args.model)
    if args.out:
        tables.check_writable(Path(args.out), keep=args.table)
        tables.check_writable(Path(args.out), keep=args.model, what="the model")
    table = tables.read(args.table, **dialect(args))
    X = inputs_of(model, table)
    if sys.stderr.isatty():
        prepare_kernels(lambda: model.predict(X[:1]), stream=sys.stderr)
    y = model.predict(X).reshape(len(table), -1)
    header = ["prediction"]
    if y.shape[1] > 1:
        header = [f"prediction_{k + 1}" for k in range(y.shape[1])]
    if args.out:
        with open(args.out, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *y.tolist()])
        print(f"Written: {args.out} ({len(y)} rows)")
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *y.tolist()])


def inputs_of(model, table):
    """The model's columns of the table, chosen by name if it knows names."""
    if hasattr(model, "feature_names_in_"):
        names = list(model.feature_names_in_)
        # They have done their duty; an array without names would be warned about.
        del model.feature_names_in_
        if hasattr(model, "columns_"):
            learnt = columns.from_json(model.columns_, names)
            return columns.numbers(learnt, table, slice(None))[0]
        return table.numbers(names)
    if len(table.names) != model.n_features_in_:
        raise ValueError(
            f"The model has no column names and {model.n_features_in_} inputs, "
            f"{table.path} has {len(table.names)} columns."
        )
    return table.numbers(table.names)


# -------------------------------------------------------------------- explain, export


def run_explain(args):
    """Explain one step, or watch many."""
    from fastbp.app import explaining

    explaining.run(args)


def run_export(args):
    """Write a model as C or ONNX."""
    from fastbp.app import exporting

    exporting.run(args)


# ----------------------------------------------------------------------- the command line


class Parser(argparse.ArgumentParser):
    """Tells of a mistake in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"fastbp: error: {message}\n")


def names(text):
    """Names of columns: a row of CSV, so that a name may hold a comma."""
    try:
        return next(csv.reader([text], skipinitialspace=True))
    except csv.Error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names: {error}") from None


def layers(text):
    """Units of each hidden layer; none at all is linear regression."""
    return tuple(int(units) for units in text.split(",") if text)


def activations(text):
    """One for all hidden layers, or a list of them."""
    return text.split(",") if "," in text else text


def batch_size(text):
    """A number of rows, or "auto"."""
    return text if text == "auto" else int(text)


def parser():
    """The commands and their options."""
    main = Parser(
        prog="python -m fastbp",
        description="Small neural networks for regression. Without a command: train on the "
        "tables that come with fastbp, compare with scikit-learn, report.",
    )
    main.set_defaults(run=run_job)
    main.add_argument("--version", action="version", version=f"fastbp {__version__}")
    main.add_argument(
        "--out", dest="job_out", default=".", metavar="DIR", help="for models and pictures"
    )
    add_seed(main)
    commands = main.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    add_train(commands)
    add_predict(commands)
    add_explain(commands)
    add_export(commands)
    return main


def seed(text):
    """A number that NumPy's generators take."""
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 2**32)")
    return int(text)


def add_seed(command):
    command.add_argument(
        "--seed", type=seed, metavar="N", default=0, help="of split and weights; default 0"
    )


def delimiter(text):
    """One character; of those that can't be typed, the name."""
    mark = {"tab": "\t", "\\t": "\t", "space": " "}.get(text, text)
    if len(mark) != 1 or mark.isalnum() or not mark.isascii() or mark in '"\r\n.+-\0':
        raise argparse.ArgumentTypeError(f"{text!r} can't separate fields")
    return mark


def add_dialect(command):
    add = command.add_argument
    add("--delimiter", type=delimiter, metavar="CHAR", help="between fields: ; or tab; found out")
    add("--decimal", choices=[".", ","], help="decimal mark of the table; found out")


def dialect(args):
    """How the table is written, as far as it was told."""
    return {"delimiter": args.delimiter, "decimal": args.decimal}


def add_train(commands):
    train = commands.add_parser(
        "train",
        help="train on a CSV file",
        description="Train on a CSV file with a header, test on rows set aside, and save the model "
        "that was tested. Text becomes a column for each level, holes the median. What is not "
        "set is BackpropRegressor's default.",
    )
    train.set_defaults(run=run_train)
    add = train.add_argument
    add("table", metavar="TABLE.csv")
    add("--target", required=True, metavar="COLUMN", help="the column to predict")
    add("--features", type=names, metavar="A,B,C", help="default: all columns but the target")
    add("--hidden", dest="hidden_layer_sizes", type=layers, metavar="50,50", help="hidden layers")
    add("--activation", type=activations, help=f"{', '.join(ACTIVATIONS)}; or a list")
    add("--solver", help=" or ".join(SOLVERS))
    add("--max-iter", type=int, metavar="N", help="most epochs")
    add("--learning-rate-init", type=float, metavar="X", help="step size")
    add("--batch-size", type=batch_size, metavar="N")
    add("--test-fraction", type=float, default=0.2, metavar="X", help="default 0.2; 0: no test")
    add_dialect(train)
    add_seed(train)
    add("--model", metavar="MODEL.npz", help="default: fastbp-TABLE.npz, here")
    add("--plot", metavar="PICTURE.png", help="draw the loss curve and the fit")


def add_predict(commands):
    predict = commands.add_parser(
        "predict",
        help="predict for the rows of a CSV file",
        description="Predict for each row of a CSV file, in the order of the rows.",
    )
    predict.set_defaults(run=run_predict)
    predict.add_argument("model", metavar="MODEL.npz")
    predict.add_argument("table", metavar="TABLE.csv", help="columns are chosen by their names")
    add_dialect(predict)
    predict.add_argument("--out", metavar="PREDICTIONS.csv", help="default: print them")


def add_explain(commands):
    explain = commands.add_parser(
        "explain",
        help="show one step of backpropagation, with all of its numbers",
        description="One row through one step of gradient descent: every formula with its numbers, "
        "as text, as a picture and as a page. Without a table: a car, and the first weights of a "
        "network 2-2-1.",
    )
    explain.set_defaults(run=run_explain)
    add = explain.add_argument
    add("table", metavar="TABLE.csv", nargs="?", help="default: cars that come with fastbp")
    add("--target", metavar="COLUMN", help="the column to predict")
    add("--features", type=names, metavar="A,B,C", help="default: all columns but the target")
    add("--row", type=int, default=1, metavar="N", help="of the table, from 1; default 1")
    add("--model", metavar="MODEL.npz", help="default: first weights of a new network")
    hidden = {"dest": "hidden_layer_sizes", "type": layers, "metavar": "2"}
    add("--hidden", **hidden, default=(2,), help="hidden layers of a new network; default 2")
    add("--activation", type=activations, help="of a new network; default logistic")
    add("--learning-rate", type=float, default=0.1, metavar="X", help="step size; default 0.1")
    add_dialect(explain)
    add_seed(explain)
    add("--out", default=".", metavar="DIR", help="for picture and page; default: here")
    add("--watch", action="store_true", help="train row by row from there, and show each step")
    add("--steps", type=int, default=50, metavar="N", help="how many to watch; default 50")
    add("--delay", type=float, default=0.2, metavar="S", help="between them; default 0.2 s")


def add_export(commands):
    export = commands.add_parser(
        "export",
        help="write a model as C or ONNX",
        description="Write a saved model, or an ensemble, as one C file without dependencies, or "
        "as ONNX. It scales its columns itself.",
    )
    export.set_defaults(run=run_export)
    add = export.add_argument
    add("model", metavar="MODEL.npz")
    add("--to", choices=["c", "onnx"], required=True)
    add("--out", metavar="FILE", help="default: MODEL.c or MODEL.onnx, here; MODEL.h is C, too")
    add("--name", help="in C the function is NAME_predict; default: the file's name")
    kinds = ["float", "double", "int8", "int16"]
    add("--dtype", choices=kinds, help="default: that of training; rounded weights are for C")


def _plain(error):
    """In place of characters that a terminal can't show: their plain form, or ?"""
    text = error.object[error.start : error.end]
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or "?", error.end


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, default=None
        The arguments; None is those of the process.

    Returns
    -------
    int
        Exit code: 0, 2 after a mistake of the user's, 130 after Ctrl-C, 141 if what read
        the output has gone.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    codecs.register_error("fastbp-plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="fastbp-plain")
    try:
        starting.started()
        args = parser().parse_args(argv)
        args.run(args)
        print(end="", flush=True)
        return 0
    except SystemExit as end:
        return end.code
    except KeyboardInterrupt:
        return _fail("fastbp: interrupted", 130)
    except BrokenPipeError:
        _give_up_stdout()
        return 141
    except OSError as error:
        told = error.strerror or str(error)
        told = f"{error.filename}: {told}" if error.filename else told
        return _fail(f"fastbp: error: {told}", 2)
    except MemoryError:
        return _fail("fastbp: error: there is not enough memory", 2)
    except (ValueError, ImportError, OverflowError) as error:
        # Tables, models and estimators tell by these what is wrong with what they were given.
        return _fail(f"fastbp: error: {' '.join(str(error).split())}", 2)


def _fail(line, code):
    try:
        print(end="", flush=True)
    except OSError:  # a full disk
        _give_up_stdout()
    print(line, file=sys.stderr)
    return code


def _give_up_stdout():
    """Python flushes again as it ends, and would complain of what can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done
    sys.exit(code)
