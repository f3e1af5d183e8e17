"""What it costs to train on a table in parts, for each by itself in rounds: test RMSE at equal
epochs, of so many workers over that of one machine.

    python bench/dask_rounds.py [--tables FOLDER] [--only SUBSTRING] [--workers N ...]

The workers are simulated in this process, to the bit. With ``--seconds ROWS`` it times real ones
instead, one and as many as are named, each a process of one thread, on a table of so many rows.
"""

import argparse
import json
import time
import warnings
from copy import copy
from itertools import repeat

import numpy as np
from accuracy import DATA, tables
from machine import description

from fastbp import BackpropRegressor
from fastbp.dask import DaskBackpropRegressor
from fastbp.fitting.parts import Here
from fastbp.workers.tasks import tables_in


def fit_in_parts(model, X, y, n_parts):
    """As on so many workers, each with its share of the rows."""
    columns, places = copy(model), Here()
    columns.n_features_in_ = X.shape[1]
    parts = zip(np.array_split(X, n_parts), np.array_split(y, n_parts), repeat(None))
    return model._train_in(places, columns, tables_in(places, columns, parts, 1), None)


def error(model, X, y):
    return np.sqrt(np.mean((model.predict(X) - y) ** 2))


def accuracy(options):
    print(f"| table | rows | one machine | {' | '.join(map(str, options.workers))} |")
    print(f"| --- | ---: | ---: |{' ---: |' * len(options.workers)}")
    ratios = []
    for name, X, y, splits in tables(options.tables):
        if options.only not in name:
            continue
        errors = []
        for seed, (train, test) in enumerate(splits[: options.splits]):
            train = np.random.RandomState(seed).permutation(train)
            params = {"random_state": seed, **options.params}
            models = [BackpropRegressor(**params).fit(X[train], y[train])] + [
                fit_in_parts(DaskBackpropRegressor(**params), X[train], y[train], n)
                for n in options.workers
            ]
            errors.append([error(model, X[test], y[test]) for model in models])
        one, *others = np.mean(errors, axis=0)
        ratios.append([other / one for other in others])
        cells = " | ".join(f"{ratio:.3f}" for ratio in ratios[-1])
        print(f"| {name} | {len(train):,} | {one:.4g} | {cells} |", flush=True)
    cells = " | ".join(f"{mean:.3f}" for mean in np.exp(np.mean(np.log(ratios), axis=0)))
    print(f"| geometric mean | | | {cells} |\n\n{description()}")


def seconds(options):
    n_parts = 4 * max(options.workers)  # what is "auto" goes by their number: the same for all
    for n_workers in (1, *options.workers):
        epoch, fit = seconds_of(options.seconds, n_workers, n_parts, options.params)
        print(f"{n_workers} workers: {epoch:.2f} s an epoch, {fit:.2f} s a fit of one", flush=True)
    print(description())


def seconds_of(n, n_workers, n_parts, params):
    """Of an epoch, and of a fit of one, on n rows in so many parts, by workers of one thread."""
    import dask.array as da
    from distributed import Client, LocalCluster

    cluster = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**cluster) as workers, Client(workers) as client:
        random, chunks = da.random.default_rng(0), (n // n_parts, 8)
        X = client.persist(random.normal(size=(n, 8), chunks=chunks).astype("f4"))
        y = client.persist(da.sin(X[:, 0]) + X[:, 1] * X[:, 2])
        params = {"early_stopping": False, "max_iter": 1, "random_state": 0, **params}
        DaskBackpropRegressor(**params).fit(X, y)  # loads kernels
        times = {}
        for epochs in (1, 3):
            start = time.perf_counter()
            DaskBackpropRegressor(**params | {"max_iter": epochs}).fit(X, y)
            times[epochs] = time.perf_counter() - start
    return (times[3] - times[1]) / 2, times[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=DATA, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="of names of tables")
    parser.add_argument("--splits", type=int, default=1, metavar="N", help="of a table")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8, 64])
    parser.add_argument("--params", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--seconds", type=int, metavar="ROWS")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    seconds(options) if options.seconds else accuracy(options)


if __name__ == "__main__":
    main()
