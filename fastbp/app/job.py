"""The main job: train on the shipped data, compare with scikit-learn, report.

Also what the other commands share with it: measuring, tables of results, progress.
"""

import os
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, __version__, plotting
from fastbp.app import tables

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


def prepare_kernels(*calls, stream=None):
    """Make calls that compile the kernels, or load them, so that no time that is told holds it."""
    told = "Preparing the kernels (compiled on first use, then kept on disk) ... "
    print(told, end="", file=stream, flush=True)
    start, seconds = time.perf_counter(), ""
    try:
        with ctrl_c_ends_the_process():
            for call in calls:
                call()
        seconds = f"{time.perf_counter() - start:.1f} s"
    finally:
        print(seconds, file=stream, flush=True)


def step_of(model, n_features, n_samples):
    """A call that trains such a model for a step, on zeros: which kernel does it goes by its layers
    and its batches."""

    def call():
        n = min(4096, n_samples)  # from where on there are larger batches
        clone(model).partial_fit(np.zeros((n, n_features)), np.zeros(n)).predict(
            np.zeros((1, n_features))
        )

    return call


@contextmanager
def ctrl_c_ends_the_process():
    """Take Ctrl-C without an exception: raised within LLVM, it would be lost, or crash."""

    def leave(*_):
        os.write(2, b"fastbp: interrupted\n")
        os._exit(130)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears of Ctrl-C
        return
    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def print_results(results, y_test, unit=""):
    """A table: one line for each model."""
    unit = f" ({unit})" if unit else ""
    width = max(len(result.name) for result in results)
    heading = f"test RMSE{unit}"
    print(f"\n   {'model':{width}}  {heading:>16}  {'test R²':>8}  {'training':>9}")
    for result in results:
        rmse = root_mean_squared_error(y_test, result.y_pred)
        r2 = r2_score(y_test, result.y_pred)
        seconds = f"{result.seconds:.3f} s"
        print(f"   {result.name:{width}}  {rmse:>16.4g}  {r2:>8.3f}  {seconds:>9}")
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
    model: BackpropRegressor = BackpropRegressor()
    features: tuple = ()


# A fixed number of epochs, for both estimators: the times are those of the same work.
SAME_WORK = {
    "solver": "sgd", "init": "glorot", "early_stopping": False, "beta_2": 0.999, "batch_size": 32,
    "learning_rate": "constant", "n_iter_no_change": np.inf,
}  # fmt: skip
FOUNDING = Job(
    "auto_mpg",
    "The founding network, 2-2-1: miles per gallon from horsepower and weight",
    "mpg",
    BackpropRegressor((2,), learning_rate_init=0.02, max_iter=1000, **SAME_WORK),
    ("horsepower", "weight"),
)
FIFTY_FIFTY = BackpropRegressor(
    (50, 50), "relu", learning_rate_init=0.05, max_iter=200, **SAME_WORK
)
JOBS = (
    Job("concrete", "Concrete: strength from the mixture and its age", "MPa"),
    Job("airfoil_self_noise", "Airfoil: noise from speed and shape", "dB"),
)


def run_job(args):
    """The main job: train on the shipped data, compare, report."""
    folder = Path(args.job_out)
    folder.mkdir(parents=True, exist_ok=True)
    for job in (FOUNDING, *JOBS):
        tables.check_writable(folder / f"fastbp-{job.name}.npz")
    print(f"fastbp {__version__}")
    models = FOUNDING.model, FIFTY_FIFTY, BackpropRegressor()
    prepare_kernels(*(step_of(model, 2, 300) for model in models))
    for number, job in enumerate((FOUNDING, *JOBS), start=1):
        print(f"\n{number}. {job.title}")
        run_one(job, folder, args.seed)
    print_notes()
    if not plotting.can_draw():
        print("No pictures were drawn: matplotlib is missing. pip install 'fastbp[plot]'")


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
        ratio = results[-3].seconds / results[-2].seconds
        print(f"   MLPRegressor took {ratio:.0f} times as long for the same training (50-50).")
    model.feature_names_in_ = np.array(features, dtype=object)
    path = folder / f"fastbp-{job.name}.npz"
    model.save(path)
    written = [path]
    if plotting.can_draw():
        written.append(path.with_suffix(".png"))
        y_pred = results[-1].y_pred
        plotting.save_picture(written[-1], model, split.y_test, y_pred, job.title, job.unit)
    print(f"   Written: {', '.join(map(str, written))}")


def rivals(job, model):
    """What BackpropRegressor is compared with."""
    linear = {"LinearRegression": LinearRegression()}
    if job is FOUNDING:
        return linear
    fifty_fifty = clone(FIFTY_FIFTY).set_params(random_state=model.random_state)
    return linear | {
        "MLPRegressor": peer(random_state=model.random_state, max_iter=2000),
        "MLPRegressor, 50-50": peer(**same_settings(fifty_fifty)),
        "BackpropRegressor, 50-50": fifty_fifty,
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
    print("   The network, in the units of the table (horsepower: hp, weight: lb):")
    print("     mpg = w²₁₁ O₁ + w²₂₁ O₂ + b₂₁")
    print("     Oₖ = sigmoid(w¹₁ₖ horsepower + w¹₂ₖ weight + b₁ₖ)")
    rows = (
        {"w¹₁₁": W1[0, 0], "w¹₂₁": W1[1, 0], "b₁₁": b1[0]},
        {"w¹₁₂": W1[0, 1], "w¹₂₂": W1[1, 1], "b₁₂": b1[1]},
        {"w²₁₁": W2[0, 0], "w²₂₁": W2[1, 0], "b₂₁": b2[0]},
    )
    for row in rows:
        cells = [f"{name:>4} = {value:<13.6g}" for name, value in row.items()]
        print("     " + "".join(cells).rstrip())


def print_notes():
    """What the tables compare."""
    m, own = FIFTY_FIFTY, MLPRegressor()
    print(f"""
BackpropRegressor has its own defaults; MLPRegressor, in a pipeline that scales X and y,
its own, but for max_iter=2000: {own.solver} with step {own.learning_rate_init}, one layer of 100.
50-50 is the same training by both: layers {m.hidden_layer_sizes}, {m.activation}, {m.solver} \
with step {m.learning_rate_init},
Nesterov momentum {m.momentum}, batches of {m.batch_size}, {m.max_iter} epochs.
Times are those of fit, without compilation and progress bar, on one split of the rows.""")
