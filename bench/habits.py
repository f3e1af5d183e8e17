"""Settings as people write them for MLPRegressor: is BackpropRegressor, given the same, as good?

    python bench/habits.py [--tables FOLDER] [--only SUBSTRING] [--splits N] [--set NAME=VALUE …]

Each set of keyword arguments goes to both as it is, on columns as they are and on scaled ones; y is
as it is. Printed is R² on the rows of the split that were not trained on, the mean over splits.
Aimed at: nowhere is BackpropRegressor worse by more than 0.01. Settings of lbfgs are left out.
`--set` tries other defaults: BackpropRegressor gets these where a set doesn't say otherwise.
"""

import argparse
import warnings

import numpy as np
from accuracy import DATA, tables
from machine import description
from reachable import r_squared
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from troubles import as_settings

from fastbp import BackpropRegressor

#: How much worse a fit may be, in R².
TOLERATED = 0.01

#: As in notebooks, answers, papers and scikit-learn's own examples. "(100,)", the function's name
#: and `random_state` are left out where they say nothing.
HABITS = [
    {},
    {"max_iter": 500},
    {"max_iter": 2000, "tol": 0.1},
    {"hidden_layer_sizes": (10,), "max_iter": 1000},
    {"hidden_layer_sizes": (5, 5), "max_iter": 2000},
    {"hidden_layer_sizes": (8, 8, 8), "activation": "relu", "solver": "adam", "max_iter": 500},
    {"hidden_layer_sizes": (50, 50, 50), "max_iter": 1000},
    {"hidden_layer_sizes": (100, 50), "activation": "relu", "solver": "adam", "max_iter": 500},
    {"hidden_layer_sizes": (64, 64), "batch_size": 32, "max_iter": 100},
    {"hidden_layer_sizes": (128, 64, 32), "learning_rate_init": 1e-3, "max_iter": 300},
    {"hidden_layer_sizes": (200, 100, 50, 25), "alpha": 1.0, "early_stopping": True},
    {"hidden_layer_sizes": (500,), "max_iter": 200},
    {"hidden_layer_sizes": (30, 15), "learning_rate_init": 0.01, "early_stopping": True},
    {"hidden_layer_sizes": (20,), "max_iter": 5000, "tol": 1e-6},
    {
        "hidden_layer_sizes": (256, 128), "alpha": 1e-2, "batch_size": 256,
        "learning_rate_init": 1e-3, "max_iter": 200, "early_stopping": True,
        "validation_fraction": 0.15, "n_iter_no_change": 10,
    },
    {
        "hidden_layer_sizes": (100,), "activation": "relu", "solver": "adam", "alpha": 0.001,
        "batch_size": "auto", "learning_rate": "constant", "learning_rate_init": 0.01,
        "power_t": 0.5, "max_iter": 1000, "shuffle": True, "tol": 0.0001, "verbose": False,
        "warm_start": False, "momentum": 0.9, "nesterovs_momentum": True, "early_stopping": False,
        "validation_fraction": 0.1, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-08,
    },
    {
        "hidden_layer_sizes": (50, 100, 50), "activation": "tanh", "solver": "adam",
        "alpha": 0.05, "learning_rate": "adaptive", "max_iter": 500,
    },
    {
        "hidden_layer_sizes": (50, 50, 50), "activation": "relu", "solver": "sgd",
        "alpha": 0.0001, "learning_rate": "adaptive", "max_iter": 500,
    },
    {"activation": "logistic", "max_iter": 1000},
    {
        "activation": "tanh", "hidden_layer_sizes": (40,), "learning_rate_init": 0.01,
        "max_iter": 500,
    },
    {"activation": "identity", "max_iter": 500},
    {"activation": "logistic", "hidden_layer_sizes": (15, 15), "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.9, "max_iter": 500},
    {"solver": "sgd", "activation": "logistic", "learning_rate_init": 0.01, "max_iter": 500},
    {"solver": "sgd", "activation": "tanh", "learning_rate": "invscaling", "max_iter": 1000},
    {"solver": "sgd", "learning_rate_init": 1e-4, "momentum": 0.0, "max_iter": 300},
    {"solver": "sgd", "hidden_layer_sizes": (20, 20), "learning_rate": "adaptive",
     "learning_rate_init": 1e-3, "early_stopping": True},
    {"hidden_layer_sizes": (100, 100), "alpha": 10, "max_iter": 500},
    {"hidden_layer_sizes": (64, 32), "batch_size": 8, "max_iter": 50},
    {"hidden_layer_sizes": (32,), "n_iter_no_change": 50, "tol": 1e-7, "beta_2": 0.99,
     "max_iter": 1000},
]  # fmt: skip


def name(habit):
    """As it is written in a call."""
    return ", ".join(f"{key}={value!r}" for key, value in habit.items()) or "no settings"


def score(model, X, y, X_test, y_test):
    """R² on the test rows; −1 if the fit fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return r_squared(y_test, model.fit(X, y).predict(X_test))
        except ValueError:  # it diverged
            return -1.0


def compared(habit, X, y, splits, extra=None):
    """R² of MLPRegressor and of BackpropRegressor, the mean over splits, raw and scaled."""
    scores = {"raw": [], "scaled": []}
    for seed, (train, test) in enumerate(splits):
        scaler = StandardScaler().fit(X[train])
        for columns, A in (("raw", X), ("scaled", scaler.transform(X))):
            rows = A[train], y[train], A[test], y[test]
            peer = MLPRegressor(**habit, random_state=seed)
            own = BackpropRegressor(**{**(extra or {}), **habit}, random_state=seed)
            scores[columns].append([score(model, *rows) for model in (peer, own)])
    return {columns: np.mean(pairs, axis=0) for columns, pairs in scores.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=DATA, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="of settings")
    parser.add_argument("--splits", type=int, default=2, metavar="N", help="of a table, at most")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="extra")
    options = parser.parse_args()
    extra = as_settings(options.extra)
    print("| settings | table | columns | MLPRegressor | fastbp | difference |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    differences = []
    chosen = [habit for habit in HABITS if options.only in name(habit)]
    for table, X, y, splits in tables(options.tables):
        for habit in chosen:
            scores = compared(habit, X, y, splits[: options.splits], extra)
            for columns, (peer, own) in scores.items():
                differences.append(own - peer)
                cells = f"`{name(habit)}` | {table} | {columns} | {peer:.3f} | {own:.3f}"
                print(f"| {cells} | {own - peer:+.3f} |", flush=True)
    worse = sum(difference < -TOLERATED for difference in differences)
    print(
        f"\n{len(differences)} comparisons: {worse} worse than MLPRegressor by more than "
        f"{TOLERATED} in R², the worst difference {min(differences):+.3f}, "
        f"the median {np.median(differences):+.3f}"
    )
    print(description())


if __name__ == "__main__":
    main()
