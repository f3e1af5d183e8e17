"""Test RMSE of `BackpropRegressor`, its ensembles and scikit-learn's regressors, all untuned, on
tables with splits.

    python bench/accuracy.py [--tables FOLDER] [--only SUBSTRING] [--splits N]
    python bench/accuracy.py --seeds 10 [--jobs N]      # how much of it is luck

Without a folder, on the tables of `data/`, with seeded 90/10 splits. A folder is searched for CSV
files, whose last column is the target, and for .npz files with X, y and the splits that they name:
`train_idx` and `test_idx`, `rtdl_…_idx`, or numbers of folds in `fold10` or `fold`.

Where they are installed (`pip install catboost lightgbm pytabkit`), CatBoost, LightGBM and RealMLP
with its tuned defaults are measured, too. `--models` chooses.
"""

import argparse
import statistics
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
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


def catboost(seed):
    from catboost import CatBoostRegressor

    return CatBoostRegressor(random_seed=seed, verbose=False, allow_writing_files=False)


def lightgbm(seed):
    from lightgbm import LGBMRegressor

    return LGBMRegressor(random_state=seed, verbose=-1)


def realmlp(seed):
    from pytabkit import RealMLP_TD_S_Regressor

    return RealMLP_TD_S_Regressor(random_state=seed, device="cpu", verbosity=0)


#: By the module that each needs, what is measured where it is installed.
OPTIONAL = {
    "catboost": ("CatBoost", catboost),
    "lightgbm": ("LightGBM", lightgbm),
    "pytabkit": ("RealMLP-TD-S", realmlp),
}

MODELS = {
    "BackpropRegressor": lambda seed: BackpropRegressor(random_state=seed),
    "plain": lambda seed: BackpropRegressor(encoding=None, random_state=seed),
    "encoded": lambda seed: BackpropRegressor(
        encoding=("piecewise_linear", "periodic"), random_state=seed
    ),
    "MLPRegressor": lambda seed: MLPRegressor(random_state=seed),
    "two networks": lambda seed: BackpropEnsembleRegressor(n_estimators=2, random_state=seed),
    "eight": lambda seed: BackpropEnsembleRegressor(n_estimators=8, random_state=seed),
    "MLPRegressor, scaled": scaled_mlp,
    "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
    **dict(peer for module, peer in OPTIONAL.items() if find_spec(module)),
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


def parser_of(description):
    """The command line of a bench that goes through tables, to be added to."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--tables", default=DATA, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="of names of tables")
    parser.add_argument("--splits", type=int, default=5, metavar="N", help="of a table, at most")
    parser.add_argument("--large", type=int, default=1, metavar="N", help="of one of 5,000 rows")
    return parser


def options_of(description):
    """What a command line of these says."""
    return parser_of(description).parse_args()


def chosen_tables(options):
    """Those that the command line asks for, with as many splits."""
    for name, X, y, splits in tables(options.tables):
        if options.only in name:
            yield name, X, y, splits[: options.splits if len(y) < 5000 else options.large]


def print_seeds(options):
    """How far fits of the first split of each table differ that differ in `random_state` alone."""
    chosen = [(name, X, y, splits[0]) for name, X, y, splits in chosen_tables(options)]
    fits = Parallel(options.jobs)(
        delayed(measured)(partial(with_seed, seed), X, y, [split])
        for _, X, y, split in chosen
        for seed in range(options.seeds)
    )
    errors = np.reshape([of_fit[0] for of_fit in fits], (len(chosen), options.seeds))
    print("| table | mean RMSE | standard deviation | best | worst | worst R² |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for (name, _, y, (_, test)), of_table in zip(chosen, errors, strict=True):
        worst = 1 - of_table.max() ** 2 / y[test].var()
        cells = [of_table.mean(), of_table.std(), of_table.min(), of_table.max(), worst]
        print(f"| {name} | {' | '.join(f'{figure:.4g}' for figure in cells)} |")
    print(f"\n{options.seeds} seeds, one split. {description()}")


def with_seed(seed, of_split):
    """A network of one thread."""
    return BackpropRegressor(random_state=seed, n_threads=1)


def main():
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, metavar="N", help="of BackpropRegressor, a split")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="of these at a time")
    options = parser.parse_args()
    if options.seeds:
        return print_seeds(options)
    models = {name: MODELS[name] for name in dict.fromkeys(["BackpropRegressor", *options.models])}
    BackpropRegressor().partial_fit(np.zeros((50, 1)), np.arange(50.0))  # compiles
    print(f"| table | {' | '.join(models)} |\n| --- |{' ---: |' * len(models)}")
    ratios = {name: [] for name in models}
    for name, X, y, splits in chosen_tables(options):
        results = {model: measured(make, X, y, splits) for model, make in models.items()}
        cells = [cell(*result) for result in results.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        for model, measures in results.items():
            ours = results["BackpropRegressor"]
            means = [np.mean(a) / np.mean(b) for a, b in zip(ours, measures, strict=True)]
            ratios[model].append(means)
    means = np.exp([np.mean(np.log(each), axis=0) for each in ratios.values()])
    for what, of_each in zip(("RMSE", "seconds"), means.T, strict=True):
        cells = [f"{mean:.3f}" for mean in of_each]
        print(f"| fastbp's {what} over its, geometric mean | {' | '.join(cells)} |")
    print(f"\nTest RMSE ± standard error over splits (seconds of a fit). {description()}")


if __name__ == "__main__":
    main()
