"""Test RMSE of `BackpropRegressor`, its ensembles and scikit-learn's regressors, all untuned, on
tables with splits.

    python bench/accuracy.py [--tables FOLDER] [--only SUBSTRING] [--splits N]

Without a folder, on the tables of `data/`, with seeded 90/10 splits. A folder is searched for CSV
files, whose last column is the target, and for .npz files with X, y and the splits that they name:
`train_idx` and `test_idx`, `rtdl_…_idx`, or numbers of folds in `fold10` or `fold`.
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from machine import description
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropEnsembleRegressor, BackpropRegressor

DATA = Path(__file__).resolve().parents[1] / "data"


def scaled_mlp(seed):
    network = make_pipeline(StandardScaler(), MLPRegressor(random_state=seed))
    return TransformedTargetRegressor(network, transformer=StandardScaler())


MODELS = {
    "BackpropRegressor": lambda seed: BackpropRegressor(random_state=seed),
    "encoded": lambda seed: BackpropRegressor(
        encoding=("piecewise_linear", "periodic"), random_state=seed
    ),
    "the better of the two": lambda seed: BackpropRegressor(encoding="auto", random_state=seed),
    "two networks": lambda seed: BackpropEnsembleRegressor(n_estimators=2, random_state=seed),
    "eight": lambda seed: BackpropEnsembleRegressor(n_estimators=8, random_state=seed),
    "MLPRegressor, scaled": scaled_mlp,
    "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
}


def tables(folder):
    """Name, X, y and splits (of rows to train and to test on) of each table in a folder."""
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix == ".csv":
            table = np.loadtxt(path, delimiter=",", skiprows=1)
            X, y = table[:, :-1], table[:, -1]
            orders = [np.random.RandomState(100 + k).permutation(len(y)) for k in range(20)]
            cut = round(0.9 * len(y))
            yield path.stem, X, y, [(order[:cut], order[cut:]) for order in orders]
        elif path.suffix == ".npz":
            with np.load(path) as file:
                arrays = dict(file)
            yield path.stem, arrays["X"], arrays["y"], list(splits_of(arrays))


def splits_of(arrays):
    """The splits that a file names."""
    if "train_idx" in arrays:
        yield from zip(arrays["train_idx"], arrays["test_idx"], strict=True)
    elif "rtdl_test_idx" in arrays:
        train = np.concatenate([arrays["rtdl_train_idx"], arrays["rtdl_val_idx"]])
        yield train, arrays["rtdl_test_idx"]
    else:
        fold = arrays["fold10"] if "fold10" in arrays else arrays["fold"]
        for k in np.unique(fold):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def measured(make, X, y, splits):
    """Test RMSE and seconds of a fit, of each split."""
    errors, seconds = [], []
    for seed, (train, test) in enumerate(splits):
        model = make(seed)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X[train], y[train])
        seconds.append(time.perf_counter() - start)
        errors.append(np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)))
    return errors, seconds


def cell(errors, seconds):
    mean, spread = np.mean(errors), np.std(errors) / np.sqrt(len(errors))
    return f"{mean:.4g} ± {spread:.2g} ({statistics.mean(seconds):.2f} s)"


def options_of(description):
    """The command line of a bench that goes through tables."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--tables", default=DATA, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="of names of tables")
    parser.add_argument("--splits", type=int, default=5, metavar="N", help="of a table, at most")
    parser.add_argument("--large", type=int, default=1, metavar="N", help="of one of 5,000 rows")
    return parser.parse_args()


def main():
    options = options_of(__doc__.splitlines()[0])
    BackpropRegressor().partial_fit(np.zeros((50, 1)), np.arange(50.0))  # compiles
    print(f"| table | {' | '.join(MODELS)} |\n| --- |{' ---: |' * len(MODELS)}")
    ratios = {name: [] for name in MODELS}
    for name, X, y, splits in tables(options.tables):
        if options.only not in name:
            continue
        splits = splits[: options.splits if len(y) < 5000 else options.large]
        results = {model: measured(make, X, y, splits) for model, make in MODELS.items()}
        cells = [cell(*result) for result in results.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        for model, (errors, _) in results.items():
            ratios[model].append(np.mean(results["BackpropRegressor"][0]) / np.mean(errors))
    means = [f"{np.exp(np.mean(np.log(each))):.3f}" for each in ratios.values()]
    print(f"| fastbp's over it, geometric mean | {' | '.join(means)} |")
    print(f"\nTest RMSE ± standard error over splits (seconds of a fit). {description()}")


if __name__ == "__main__":
    main()
