"""The command line: ``python -m fastbp``.

Without a command it trains on the tables that come with the package and compares; ``train``
and ``predict`` do the same for any CSV file. Whatever is wrong with a table, a model or an
option is told in one line, with exit code 2.
"""

import argparse
import codecs
import csv
import os
import sys
import time
import unicodedata
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, __version__, plotting, tables

#: Seconds between two lines of progress where there is no bar.
PULSE = 5.0

# ----------------------------------------------------------------- training and measuring


class Result(NamedTuple):
    """What came of one model."""

    name: str
    seconds: float
    y_pred: np.ndarray
    warned: list


def evaluate(name, model, split):
    """Fit a model, by the clock, and predict the test set."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        model.fit(split.X, split.y)
        seconds = time.perf_counter() - start
        warned = [str(warning.message) for warning in caught]
    # Both estimators take Ctrl-C for the end of training, and warn.
    if any("interrupted" in text.lower() for text in warned):
        raise KeyboardInterrupt
    y_pred = model.predict(split.X_test) if len(split.X_test) else np.empty(0)
    return Result(name, seconds, y_pred, warned)


def prepare_kernels():
    """Compile the kernels, or load them, so that no training time holds a compilation."""
    print("Preparing the kernels (compiled on first use, then kept on disk) ... ", end="")
    sys.stdout.flush()
    start = time.perf_counter()
    X = np.arange(4.0).reshape(-1, 1)
    BackpropRegressor((1,), max_iter=1, n_iter_no_change=np.inf).fit(X, X.ravel()).predict(X)
    print(f"{time.perf_counter() - start:.1f} s", flush=True)


def print_results(results, y_test, unit=""):
    """A table: one line for each model."""
    unit = f" ({unit})" if unit else ""
    width = max(len(result.name) for result in results)
    heading = f"test RMSE{unit}"
    print(f"\n  {'model':{width}}  {heading:>16}  {'test R²':>8}  {'training':>9}")
    for result in results:
        rmse = root_mean_squared_error(y_test, result.y_pred)
        r2 = r2_score(y_test, result.y_pred)
        seconds = f"{result.seconds:.3f} s"
        print(f"  {result.name:{width}}  {rmse:>16.4g}  {r2:>8.3f}  {seconds:>9}")
    print()


# ----------------------------------------------------------------------------- progress


class Lines:
    """A callback of scikit-learn's that prints a line now and then, where there is no bar."""

    def setup(self, estimator, context):
        self.last = time.monotonic()

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.parent is not None and time.monotonic() - self.last > PULSE:
            self.last = time.monotonic()
            done, most = context.task_id + 1, context.parent.max_subtasks
            print(f"  epoch {done} of at most {most}", flush=True)

    def teardown(self, estimator, context):
        pass


def bars():
    """Whether progress bars can be shown: in a terminal, with rich."""
    return sys.stdout.isatty() and find_spec("rich") is not None


def evaluate_all(title, models, split):
    """Evaluate models in turn, showing which one is at work.

    The bar moves between two fits only: one that moved with the epochs would be part of the
    time measured.
    """
    if not bars():
        print("   training ...", flush=True)
        return [evaluate(name, model, split) for name, model in models.items()]
    from rich.progress import BarColumn, Progress, TextColumn

    results = []
    columns = BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, auto_refresh=False, transient=True) as progress:
        task = progress.add_task(title, total=len(models))
        for name, model in models.items():
            progress.update(task, description=f"{title}: {name}", refresh=True)
            results.append(evaluate(name, model, split))
            progress.advance(task)
    return results


# ------------------------------------------------------------------------- the main job


class Job(NamedTuple):
    """One of the shipped tables, and what to do with it."""

    name: str
    title: str
    unit: str
    model: BackpropRegressor
    features: tuple = ()


# A fixed number of epochs, for both estimators: the times are those of the same work.
FOUNDING = Job(
    "auto_mpg",
    "The founding network, 2-2-1: miles per gallon from horsepower and weight",
    "mpg",
    BackpropRegressor((2,), learning_rate_init=0.02, max_iter=1000, n_iter_no_change=np.inf),
    ("horsepower", "weight"),
)
FIFTY_FIFTY = BackpropRegressor((50, 50), "relu", max_iter=200, n_iter_no_change=np.inf)
JOBS = (
    Job("concrete", "Concrete: strength from the mixture and its age", "MPa", FIFTY_FIFTY),
    Job("airfoil_self_noise", "Airfoil: noise from speed and shape", "dB", FIFTY_FIFTY),
)


def run_job(args):
    """The main job: train on the shipped data, compare, report."""
    folder = Path(args.job_out)
    folder.mkdir(parents=True, exist_ok=True)
    for job in (FOUNDING, *JOBS):
        tables.check_writable(folder / f"fastbp-{job.name}.npz")
    print(f"fastbp {__version__}")
    prepare_kernels()
    for number, job in enumerate((FOUNDING, *JOBS), start=1):
        print(f"\n{number}. {job.title}")
        run_one(job, folder, args.seed)
    print_notes()


def run_one(job, folder, seed):
    """Train on one of the shipped tables, report, and write model and picture."""
    table = tables.read(tables.shipped(job.name))
    *inputs, target = table.names
    features = list(job.features or inputs)
    X, y = table.numbers(features), table.numbers([target]).ravel()
    split = tables.split_rows(X, y, 0.2, seed)
    print(f"   {len(split.y)} rows to train on, {len(split.y_test)} to test on")
    model = clone(job.model).set_params(random_state=seed)
    results = evaluate_all(job.name, rivals(job, model) | {"BackpropRegressor": model}, split)
    print_results(results, split.y_test, job.unit)
    if job is FOUNDING:
        print_nine_parameters(model)
    else:
        ratio = results[-2].seconds / results[-1].seconds
        print(f"   MLPRegressor took {ratio:.0f} times as long for the same training.")
    model.feature_names_in_ = np.array(features, dtype=object)
    path = folder / f"fastbp-{job.name}.npz"
    model.save(path)
    print(f"   Written: {path}", end="")
    if plotting.can_draw():
        picture = path.with_suffix(".png")
        y_pred = results[-1].y_pred
        plotting.save_picture(picture, model, split.y_test, y_pred, job.title, job.unit)
        print(f", {picture.name}")
    else:
        print("; no picture, for want of matplotlib: pip install 'fastbp[plot]'")


def rivals(job, model):
    """What BackpropRegressor is compared with."""
    linear = {"LinearRegression": LinearRegression()}
    if job is FOUNDING:
        return linear
    own = {"hidden_layer_sizes": model.hidden_layer_sizes, "random_state": model.random_state}
    return linear | {
        "MLPRegressor, its own settings": peer(**own, max_iter=2000),
        "MLPRegressor, the same settings": peer(**same_settings(model)),
    }


def peer(**settings):
    """scikit-learn's MLPRegressor, given what BackpropRegressor does by itself: scaling."""
    network = make_pipeline(StandardScaler(), MLPRegressor(**settings))
    return TransformedTargetRegressor(network, transformer=StandardScaler())


def same_settings(model):
    """Settings with which MLPRegressor does the training that `model` does."""
    ours, theirs = model.get_params(), MLPRegressor().get_params()
    settings = {name: ours[name] for name in theirs if name in ours and name != "loss"}
    settings["learning_rate_init"] *= 2  # its loss is half of ours
    return settings


def print_nine_parameters(model):
    """The parameters of a 2-2-1 network, named as the formulas name them."""
    (W1, W2), (b1, b2) = model.coefs_, model.intercepts_
    print("  The network, in the units of the table (horsepower: hp, weight: lb):")
    print("    mpg = w²₁₁ O₁ + w²₂₁ O₂ + b₂₁,  Oₖ = σ(w¹₁ₖ horsepower + w¹₂ₖ weight + b₁ₖ)")
    rows = (
        {"w¹₁₁": W1[0, 0], "w¹₂₁": W1[1, 0], "b₁₁": b1[0]},
        {"w¹₁₂": W1[0, 1], "w¹₂₂": W1[1, 1], "b₁₂": b1[1]},
        {"w²₁₁": W2[0, 0], "w²₂₁": W2[1, 0], "b₂₁": b2[0]},
    )
    for row in rows:
        print("   ", "   ".join(f"{name:>4} = {value:<12.6g}" for name, value in row.items()))


def print_notes():
    """What the tables compare."""
    m, own = FIFTY_FIFTY, MLPRegressor()
    print(f"""
BackpropRegressor in 2 and 3: hidden layers {m.hidden_layer_sizes}, {m.activation}, \
{m.solver} with step {m.learning_rate_init}
and Nesterov momentum {m.momentum}, batches of {m.batch_size}, {m.max_iter} epochs, {m.dtype}.
MLPRegressor has the same layers, in a pipeline that scales X and y, in float64. Its own
settings are {own.solver} with step {own.learning_rate_init}, batches of 200, until its loss \
stops improving.
Times are those of fit, without compilation and progress bar, on one split of the rows.""")


# ------------------------------------------------------------------------------- train


def run_train(args):
    """Train on a CSV file, report and save the model."""
    features, X, y = read_samples(args)
    split = tables.split_rows(X, y, args.test_fraction, args.seed)
    if np.ptp(split.y) == 0:
        raise ValueError(f"The target {args.target!r} is {split.y[0]:g} in all rows to train on.")
    path, picture = output_files(args)
    model = BackpropRegressor(random_state=args.seed).set_params(**_settings(args))

    print(f"{args.table}: {len(features)} columns to predict {args.target} from")
    print(f"{len(split.y)} rows to train on, {len(split.y_test)} to test on (seed {args.seed})")
    prepare_kernels()
    model.set_callbacks(ProgressBar() if bars() else Lines())
    result = evaluate("BackpropRegressor", model, split)
    report_training(model, result, split, args.target)
    model.feature_names_in_ = np.array(features, dtype=object)
    model.save(path)
    tested = "as tested: the test rows took no part" if args.test_fraction else "of all rows"
    print(f"Model: {path} ({tested})")
    if picture:
        plotting.save_picture(
            picture, model, split.y_test, result.y_pred, str(args.table), args.target
        )
        print(f"Picture: {picture}")


def read_samples(args):
    """Names of the features, X and y of `train`'s table."""
    table = tables.read(args.table)
    table.require([args.target])
    features = args.features or [name for name in table.names if name != args.target]
    if args.target in features:
        raise ValueError(f"The target {args.target!r} is among the features.")
    if not features:
        raise ValueError(f"{args.table} has no column besides the target {args.target!r}.")
    return features, table.numbers(features), table.numbers([args.target]).ravel()


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


def _settings(args):
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
    if picture == model:
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
    table = tables.read(args.table)
    if args.out:
        tables.check_writable(Path(args.out), keep=args.table)
    y = model.predict(_inputs(model, table)).reshape(len(table.rows), -1)
    header = ["prediction"]
    if y.shape[1] > 1:
        header = [f"prediction_{k + 1}" for k in range(y.shape[1])]
    if args.out:
        with open(args.out, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *y.tolist()])
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *y.tolist()])


def _inputs(model, table):
    """The model's columns of the table, chosen by name if it knows names."""
    if hasattr(model, "feature_names_in_"):
        names = list(model.feature_names_in_)
        # They have done their duty; an array without names would be warned about.
        del model.feature_names_in_
        return table.numbers(names)
    if len(table.names) != model.n_features_in_:
        raise ValueError(
            f"The model has no column names and {model.n_features_in_} inputs, "
            f"{table.path} has {len(table.names)} columns."
        )
    return table.numbers(table.names)


# ----------------------------------------------------------------------- the command line


class Parser(argparse.ArgumentParser):
    """Tells of a mistake in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"fastbp: error: {message}\n")


def columns(text):
    """Names of columns: a row of CSV, so that a name may hold a comma."""
    return next(csv.reader([text], skipinitialspace=True))


def layers(text):
    """Units of each hidden layer; none at all is linear regression."""
    return tuple(int(units) for units in text.split(",") if text)


def activations(text):
    return text.split(",") if "," in text else text


def batch_size(text):
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
    return main


def seed(text):
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 2**32)")
    return int(text)


def add_seed(command):
    command.add_argument(
        "--seed", type=seed, metavar="N", default=0, help="of split and weights; default 0"
    )


def add_train(commands):
    train = commands.add_parser(
        "train",
        help="train on a CSV file",
        description="Train on a numeric CSV file with a header, test on rows set aside, and save "
        "the model that was tested. What is not set is BackpropRegressor's default.",
    )
    train.set_defaults(run=run_train)
    add = train.add_argument
    add("table", metavar="TABLE.csv")
    add("--target", required=True, metavar="COLUMN", help="the column to predict")
    add("--features", type=columns, metavar="A,B,C", help="default: all columns but the target")
    add("--hidden", dest="hidden_layer_sizes", type=layers, metavar="50,50", help="hidden layers")
    add("--activation", type=activations, help="logistic, tanh, relu, identity; or a list")
    add("--solver", help="such as sgd, adam")
    add("--max-iter", type=int, metavar="N", help="most epochs")
    add("--learning-rate-init", type=float, metavar="X", help="step size")
    add("--batch-size", type=batch_size, metavar="N")
    add("--test-fraction", type=float, default=0.2, metavar="X", help="default 0.2; 0: no test")
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
    predict.add_argument("--out", metavar="PREDICTIONS.csv", help="default: print them")


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
    codecs.register_error("fastbp-plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="fastbp-plain")
    try:
        args = parser().parse_args(argv)
        args.run(args)
        sys.stdout.flush()
        return 0
    except SystemExit as end:
        return end.code
    except KeyboardInterrupt:
        return _fail("fastbp: interrupted", 130)
    except BrokenPipeError:
        # Python flushes again as it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _fail(f"fastbp: error: {told}", 2)
    except (ValueError, ImportError) as error:
        # Tables, models and estimators tell by these what is wrong with what they were given.
        return _fail(f"fastbp: error: {' '.join(str(error).split())}", 2)


def _fail(line, code):
    print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
