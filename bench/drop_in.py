"""In the place of scikit-learn's MLPRegressor: lbfgs, and calls of `predict` with few rows.

Each line is a ratio in one process, the median of interleaved repetitions: how many times longer
MLPRegressor takes. With an `encoding` it is given the encoded columns: of X alone its network would
be 33 times narrower. Besides the time on the wall that of the processor, of either in one thread,
which says more on a busy machine; there BLAS has one thread, as lbfgs here always has. (It is the
whole process's: in a long call a thread computes and this one listens to Ctrl-C.)
"""

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from fastbp import BackpropRegressor

#: With these it behaves as MLPRegressor.
CONTRACT = {"init": "glorot", "weight_decay": 0.0, "standardize": False, "dtype": None}


def table(n):
    X = np.random.default_rng(0).standard_normal((n, 8))
    return X, np.sin(X).sum(axis=1)


def ours_of(mlp, **more):
    params = mlp.get_params() | {"loss": "half_squared_error"}
    return BackpropRegressor(**params, **CONTRACT, **more)


def ratio(theirs, ours, clock, repetitions):
    """How many times longer one call takes than the other."""
    seconds = np.empty((2, repetitions))
    for i in range(-1, repetitions):  # the first is to warm up
        for row, call in zip(seconds, (theirs, ours), strict=True):
            before = clock()
            call()
            row[i] = clock() - before
    return np.median(seconds[0]) / np.median(seconds[1])


def both(theirs, ours, ours_alone, repetitions):
    wall = ratio(theirs, ours, time.perf_counter, repetitions)
    with threadpool_limits(1, user_api="blas"):
        alone = ratio(theirs, ours_alone, time.process_time, repetitions)
    return f"{wall:6.1f} {alone:12.1f}"


def lbfgs():
    X, y = table(1000)
    print("lbfgs, 200 iterations, 1,000 x 8 x 50    wall    processor")
    for activation in ("relu", "logistic", "tanh"):
        mlp = MLPRegressor(
            hidden_layer_sizes=50, activation=activation, solver="lbfgs", max_iter=200, tol=0.0,
            random_state=0,
        )  # fmt: skip
        ours, alone = ours_of(mlp), ours_of(mlp, n_threads=1)
        fits = (lambda model=model: model.fit(X, y) for model in (mlp, ours, alone))
        print(f"{activation:38}", both(*fits, repetitions=5))


def predict():
    X, y = table(300)
    print("predict                                  wall    processor")
    for hidden in ((50,), (256, 256), (128, 128)):
        mlp = MLPRegressor(hidden_layer_sizes=hidden, activation="logistic", max_iter=2).fit(X, y)
        ours = BackpropRegressor(hidden, max_iter=2, early_stopping=False).fit(X, y)
        alone = BackpropRegressor(hidden, max_iter=2, early_stopping=False, n_threads=1).fit(X, y)
        for n in (1, 10, 100):
            calls = (lambda model=model, n=n: model.predict(X[:n]) for model in (mlp, ours, alone))
            print(f"8-{'-'.join(map(str, hidden))}-1, {n} rows".ljust(38), both(*calls, 300))


def predict_encoded():
    """Both of the same network; MLPRegressor's first layer is given what ours makes of X."""
    for dtype in (np.float32, np.float64):
        for d in (8, 50):
            X = np.random.default_rng(0).standard_normal((10_000, d)).astype(dtype)
            given = {"encoding": ("piecewise_linear", "periodic"), "dtype": None, "max_iter": 2}
            given |= {"early_stopping": False, "linear_part": None, "random_state": 0}
            ours = BackpropRegressor(**given).fit(X[:2000], X[:2000, 0])
            alone = BackpropRegressor(**given, n_threads=1).fit(X[:2000], X[:2000, 0])
            columns = np.ascontiguousarray(ours.encode(X), dtype)
            mlp = MLPRegressor(hidden_layer_sizes=(128, 128), activation="logistic", max_iter=1)
            mlp.fit(columns[:2000], X[:2000, 0])
            for n in (1, 100, 1000, 10_000):
                calls = (
                    lambda model=model, A=A, n=n: model.predict(A[:n])
                    for model, A in ((mlp, columns), (ours, X), (alone, X))
                )
                name = f"encoded, {d} columns, {n:,} rows, {np.dtype(dtype)}"
                print(name.ljust(38), both(*calls, 300 if n < 1000 else 15))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        lbfgs()
        predict()
        predict_encoded()
