"""An ensemble of eight networks against one: test RMSE, seconds, and how many y its intervals hold.

    python bench/ensemble.py [--tables FOLDER] [--only SUBSTRING] [--splits N] [--large N]

Tables as in `accuracy.py`. The last column is of the members' training alone, the search before it
not counted, on 5,000 rows at most: eight one after another over as many at a time as there are
cores.
"""

import time
import warnings

import numpy as np
from accuracy import options_of, tables
from machine import cores, description

from fastbp import BackpropEnsembleRegressor, BackpropRegressor

#: That intervals ask for.
COVERAGE = 0.9


def timed_fit(model, X, y):
    """Seconds in which the model was fitted."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return time.perf_counter() - start


def rmse(y, prediction):
    return np.sqrt(np.mean((y - prediction) ** 2))


def measured(X, y, train, test, seed=0, one=None, n_estimators=8):
    """One split: RMSE and seconds of one network and of the ensemble, and what intervals hold."""
    one = one or BackpropRegressor()
    alone = BackpropRegressor(**one.get_params() | {"random_state": seed})
    ensemble = BackpropEnsembleRegressor(one, n_estimators, random_state=seed)
    seconds = [timed_fit(model, X[train], y[train]) for model in (alone, ensemble)]
    lower, upper = ensemble.predict_interval(X[test], COVERAGE)
    held = np.mean((lower <= y[test]) & (y[test] <= upper))
    errors = [rmse(y[test], model.predict(X[test])) for model in (alone, ensemble)]
    return *errors, *seconds, held


def speed_up(X, y, n_threads, repeats=3, n_estimators=8):
    """How many times faster members are trained in threads than one after another, without what
    comes before: the median over repeats, taken in turn."""
    one = BackpropRegressor(early_stopping=False)
    models = [
        BackpropEnsembleRegressor(one, n_estimators, random_state=0, n_threads=n, resample=None)
        for n in (1, n_threads)
    ]
    ratios = []
    for _ in range(repeats):
        alone, together = (timed_fit(model, X, y) for model in models)
        ratios.append(alone / together)
    return np.median(ratios)


def main():
    options = options_of(__doc__.splitlines()[0])
    timed_fit(BackpropEnsembleRegressor(n_estimators=2), np.zeros((50, 1)), np.arange(50.0))
    columns = "RMSE of 1", "of 8", "ratio", "s of 1", "s of 8", "in 90 % intervals"
    columns = *columns, f"members in {cores()} threads, times as fast"
    print(f"| table | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    ratios, held = [], []
    for name, X, y, splits in tables(options.tables):
        if options.only not in name:
            continue
        splits = splits[: options.splits if len(y) < 5000 else options.large]
        results = [measured(X, y, *split, seed) for seed, split in enumerate(splits)]
        one, many, seconds, of_many, share = np.mean(results, axis=0)
        faster = speed_up(X[:5000], y[:5000], cores())
        print(
            f"| {name} | {one:.4g} | {many:.4g} | {many / one:.3f} | {seconds:.2f} | {of_many:.2f} "
            f"| {share:.1%} | {faster:.2f} |",
            flush=True,
        )
        ratios.append(many / one)
        held.append(share)
    mean = np.exp(np.mean(np.log(ratios)))
    print(
        f"\nGeometric mean of the ratios {mean:.3f}; in intervals {np.mean(held):.1%} of y, of no "
        f"table less than {min(held):.1%}. {description()}"
    )


if __name__ == "__main__":
    main()
