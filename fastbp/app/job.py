"""The main job: train on the shipped data, compare with scikit-learn, report.

Also how it and the other commands measure.
"""

import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, __version__, plotting
from fastbp.app import files, tables
from fastbp.app.progress import bars, prepare_kernels, say, step_of
from fastbp.app.report import figures, table_of

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


# ----------------------------------------------------------------------------- progress


def evaluate_all(title, models, split):
    """Evaluate models in turn, showing which one is at work.

    The bar moves between two fits only: one that moved with the epochs would be part of the
    time measured.
    """
    if not bars():
        say(f"{title}: training ...")
        return [evaluate(name, model, split) for name, model in models.items()]
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    results = []
    columns = BarColumn(), TextColumn("{task.description}")
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
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
    folder = Path(args.job_out or ".")
    folder.mkdir(parents=True, exist_ok=True)
    for job in (FOUNDING, *JOBS):
        files.check_writable(folder / f"fastbp-{job.name}.npz")
    print(f"fastbp {__version__}")
    models = FOUNDING.model, FIFTY_FIFTY, BackpropRegressor()
    prepare_kernels(*(step_of(model, 2, 300) for model in models))
    for number, job in enumerate((FOUNDING, *JOBS), start=1):
        print(f"\n{number}. {job.title}")
        run_one(job, folder, args.job_seed or 0)
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
    print(*table_of(figures(results, split.y_test), job.unit), sep="\n")
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
