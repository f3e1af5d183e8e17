"""What is reachable on the problems of `troubles.py` where nobody knows it: what the best of
scikit-learn's models reaches, tuned.
"""

import itertools
import warnings

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

#: How many sets of data a reference is chosen by.
REFERENCE_SEEDS = 5

#: Of each row whose reach must be measured: who reached most on average over the seeds, and its R²
#: for each of them. `--references` prints it.
REACHED = {
    "few smooth rows, 50": ("MLP lbfgs tanh alpha=0.001", [0.992, 0.991, 0.993, 0.993, 0.984]),
    "few smooth rows, 100": ("MLP lbfgs tanh alpha=0.001", [0.999, 0.998, 0.999, 0.999, 0.999]),
    "few smooth rows, 200": ("MLP lbfgs tanh alpha=0.001", [1.0, 1.0, 1.0, 1.0, 1.0]),
    "few smooth rows, 400": ("MLP lbfgs tanh alpha=0.001", [1.0, 1.0, 1.0, 1.0, 1.0]),
    "shipped tables, auto_mpg": ("MLP lbfgs tanh alpha=1", [0.931, 0.91, 0.922, 0.943, 0.897]),
    "shipped tables, concrete": ("HGB squared_error 31", [0.939, 0.958, 0.953, 0.946, 0.916]),
    "shipped tables, airfoil_self_noise": (
        "HGB squared_error 31",
        [0.968, 0.96, 0.958, 0.963, 0.952],
    ),
    "outlier in y, 1e+06": ("HGB absolute_error 31", [0.968, 0.983, 0.986, 0.978, 0.98]),
    "outlier in y, 100": ("HGB absolute_error 31", [0.968, 0.983, 0.986, 0.978, 0.98]),
    "1,000 columns, noise but for 3": ("HGB squared_error 4", [0.968, 0.972, 0.971, 0.971, 0.963]),
    "heavy tails, X lognormal": ("HGB squared_error 31", [0.973, 0.975, 0.984, 0.975, 0.976]),
    "heavy tails, X of Student's t": ("HGB squared_error 31", [0.974, 0.976, 0.954, 0.959, 0.961]),
    "heavy tails, noise of Student's t": (
        "MLP lbfgs tanh alpha=10",
        [0.715, 0.707, 0.742, 0.665, 0.73],
    ),
    "noise, 0.2, 150 rows": ("MLP lbfgs tanh alpha=0.1", [0.979, 0.976, 0.98, 0.972, 0.982]),
    "noise, 0.5, 150 rows": ("MLP lbfgs tanh alpha=1", [0.943, 0.932, 0.953, 0.906, 0.959]),
    "noise, 1.0, 150 rows": ("MLP lbfgs tanh alpha=1", [0.792, 0.802, 0.871, 0.72, 0.878]),
    "noise, 0.2, 600 rows": ("MLP lbfgs tanh alpha=1", [0.996, 0.996, 0.996, 0.995, 0.995]),
    "noise, 0.5, 600 rows": ("MLP lbfgs tanh alpha=1", [0.978, 0.974, 0.973, 0.984, 0.976]),
    "noise, 1.0, 600 rows": ("MLP lbfgs relu alpha=10", [0.923, 0.931, 0.923, 0.919, 0.921]),
}


def reachable(row, seed):
    if not row.measured:
        return 1.0
    scores = REACHED[f"{row.group}, {row.name}"][1]
    return scores[seed] if seed < len(scores) else float(np.mean(scores))


def references(losses):
    """Scikit-learn's models, tuned: by name. The losses are those of trees."""
    models = {"linear": RidgeCV(np.logspace(-3, 5, 25))}
    for loss, leaves in itertools.product(losses, (4, 31)):
        models[f"HGB {loss} {leaves}"] = HistGradientBoostingRegressor(
            loss=loss, max_leaf_nodes=leaves, min_samples_leaf=5, max_iter=200, random_state=0
        )
    for activation, alpha in itertools.product(("tanh", "relu"), (1e-3, 0.1, 1.0, 10.0, 100.0)):
        models[f"MLP lbfgs {activation} alpha={alpha:g}"] = MLPRegressor(
            hidden_layer_sizes=(50,), activation=activation, alpha=alpha,
            solver="lbfgs", max_iter=1000, random_state=0,
        )  # fmt: skip
    for early, width in itertools.product((False, True), (50, 200)):
        models[f"MLP adam {width}{' early' * early}"] = MLPRegressor(
            hidden_layer_sizes=(width, width), learning_rate_init=3e-3,
            early_stopping=early, random_state=0,
        )  # fmt: skip
    scaled = {}
    for name, model in models.items():
        model = make_pipeline(StandardScaler(), model)
        scaled[name] = TransformedTargetRegressor(model, transformer=StandardScaler())
    return scaled


def r_squared(y, predictions):
    """R², the mean over outputs, at least −1; a y that is constant counts as of variance 1."""
    y, predictions = (np.asarray(a, np.float64).reshape(len(y), -1) for a in (y, predictions))
    if not np.isfinite(predictions).all():
        return -1.0
    scale = np.where(np.ptp(y, axis=0) > 0, y.std(axis=0), 1)
    error = ((predictions - y) / scale).clip(-1e100, 1e100)
    return max(-1.0, float(np.mean(1 - np.mean(error**2, axis=0))))


def print_references(rows):
    """Measure what is reachable, as Python to be put into this file."""
    print("REACHED = {")
    for row in rows:
        name = f"{row.group}, {row.name}"
        losses = ["squared_error"] + ["absolute_error"] * (row.group == "outlier in y")
        scores = {}
        for seed in range(REFERENCE_SEEDS):
            X, y, X_test, y_test = row.problem(seed)
            for who, model in references(losses).items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    r2 = r_squared(y_test, model.fit(X, y).predict(X_test))
                scores.setdefault(who, []).append(round(r2, 3))
        best = max(scores, key=lambda who: np.mean(scores[who]))
        print(f'    "{name}": ("{best}", {scores[best]}),', flush=True)
    print("}")
