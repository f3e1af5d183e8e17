"""What a fit costs beyond its training steps: the call, the epochs, the shuffle.

On a small table the steps of an epoch are few, and what an epoch does once weighs most; on a
large one the shuffle does, because its memory accesses are random. All through the public
interface, by differences of medians, on 8-50-1, batch 32, float32.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
from machine import description
from problems import PLAIN
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor

BATCH = 32


def fit_of(rows, epochs, **settings):
    """A call that fits `rows` for `epochs` epochs, compiled already."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 8)).astype(np.float32)
    common = {"standardize": False, "tol": 0.0, "n_iter_no_change": np.inf}
    common |= {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.02}
    model = BackpropRegressor(
        50, batch_size=BATCH, max_iter=epochs, random_state=0, **PLAIN | common | settings
    )
    y = X[:, 0].copy()
    model.fit(X, y)
    return lambda: model.fit(X, y)


def fit_of_theirs(rows):
    """A call that fits `rows` for an epoch of MLPRegressor."""
    X = np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    model = MLPRegressor(
        hidden_layer_sizes=50, solver="sgd", momentum=0.0, batch_size=BATCH, max_iter=1,
        random_state=0,
    )  # fmt: skip
    return lambda: model.fit(X, X[:, 0])


def medians(calls, rounds):
    """Median seconds of each call, the calls taking turns."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, lasted in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            lasted.append(time.perf_counter() - start)
    return [statistics.median(lasted) for lasted in times]


def epoch_overhead(rows, rounds, **settings):
    """Time of an epoch of `rows` over the time of so many steps, which long epochs tell."""
    many, long = 2_000, 300 * BATCH
    few, more, once = medians(
        [fit_of(rows, 1, **settings), fit_of(rows, many, **settings), fit_of(long, 100)], rounds
    )
    step = once / (100 * long / BATCH)
    return (more - few) / (many - 1) / (step * rows / BATCH)


def shuffle_share(rows, rounds):
    """The part of an epoch that is gone without shuffling."""
    epochs = max(1, 2_000_000 // rows)
    shuffled, ordered = medians(
        [fit_of(rows, epochs, shuffle=shuffle) for shuffle in (True, False)], rounds
    )
    return 1 - ordered / shuffled


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore", ConvergenceWarning)
    calls = [fit_of(32, 1), fit_of(32, 1, standardize=True), fit_of_theirs(32)]
    call, standardized, theirs = medians(calls, 20 * rounds)
    print("| | |\n| --- | ---: |")
    print(f"| a fit of one step, µs | {1e6 * call:.0f} |")
    print(f"| the same, with standardize=True, µs | {1e6 * standardized:.0f} |")
    print(f"| MLPRegressor's fit of one step, µs | {1e6 * theirs:.0f} |")
    print(f"| 300 rows: an epoch over its steps | {epoch_overhead(300, rounds):.2f} |")
    early = epoch_overhead(300, rounds, early_stopping=True) / 0.9
    print(f"| the same with early_stopping (30 of the rows held out) | {early:.2f} |")
    for rows in (300, 20_000, 1_000_000):
        print(f"| {rows:,} rows: share of shuffling | {100 * shuffle_share(rows, rounds):.1f} % |")
    print(f"\nMedians of {rounds} interleaved rounds. {description()}")


if __name__ == "__main__":
    main()
