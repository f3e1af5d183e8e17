"""A grid search of 72 fits, in threads and in processes, beside MLPRegressor.

Threads need no start, no second import and no second compilation, and kernels hold no interpreter
lock. MLPRegressor's fits are mostly Python, and so take processes.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
from joblib import parallel_config
from machine import description
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor

#: Of both; the rest are their defaults, but that ours looks for no number of epochs.
COMMON = {"solver": "adam", "max_iter": 200, "n_iter_no_change": 200, "random_state": 0}
GRID = {"hidden_layer_sizes": [(20,), (50,)], "activation": ["tanh", "relu"], "alpha": [0, 1]}
GRID["learning_rate_init"] = [0.003, 0.01, 0.03]
SPLITS = 3

RUNS = {
    "BackpropRegressor, threads": (BackpropRegressor, {"early_stopping": False}, "threading"),
    "BackpropRegressor, processes": (BackpropRegressor, {"early_stopping": False}, "loky"),
    "MLPRegressor, processes": (MLPRegressor, {}, "loky"),
}


def seconds(cls, params, backend, X, y, n_jobs):
    search = GridSearchCV(cls(**COMMON | params), GRID, cv=SPLITS, refit=False)
    start = time.perf_counter()
    with parallel_config(backend=backend, n_jobs=n_jobs):
        search.fit(X, y)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    X = np.random.default_rng(0).standard_normal((300, 8))
    y = np.sin(X).sum(axis=1)
    times = {name: [] for name in RUNS}
    for number in range(args.rounds + 1):  # the first compiles, and starts processes
        for name, run in RUNS.items():
            if number or "MLP" not in name:
                times[name].append(seconds(*run, X, y, args.jobs))
    print("| 72 fits | seconds |\n| --- | ---: |")
    for name, measured in times.items():
        print(f"| {name} | {statistics.median(measured[-args.rounds :]):.2f} |")
    print(f"\nMedians of {args.rounds} interleaved rounds. {description()}")


if __name__ == "__main__":
    main()
