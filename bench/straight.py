"""Tables that are linear, or nearly: is the default as good as linear regression there?

    python bench/straight.py [--only SUBSTRING] [--draws N] [--set NAME=VALUE ...]

Printed is the test error of BackpropRegressor, with its defaults and with ``linear_part=None``, and
of scaled MLPRegressor, divided by LinearRegression's: roots of mean squares on 2,000 new rows, the
geometric mean over draws. Aimed at: at most 1.01. Some tables are not linear at all, to show what
the linear part costs there. `--set` gives both BackpropRegressors other settings.
"""

import argparse
import warnings

import numpy as np
from machine import description
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from troubles import as_settings

from fastbp import BackpropRegressor

NEW_ROWS = 2000


def linear(noise, n_columns, of_columns=np.random.Generator.normal):
    """A plane, and so much noise, in its own standard deviations."""

    def table(random, n):
        X = of_columns(random, size=(n, n_columns))
        y = X @ random.normal(size=n_columns)
        return X, y + noise * y.std() * random.normal(size=n)

    return table


def lognormal(random, size):
    return np.exp(1.5 * random.normal(size=size))


def counts(random, size):
    return random.poisson(0.5, size).astype(float)


def pure_noise(random, n):
    return random.normal(size=(n, 5)), random.normal(size=n)


def outliers_in_y(random, n):
    X, y = linear(0.3, 5)(random, n)
    return X, y + 20 * (random.uniform(size=n) < 0.01) * random.normal(size=n)


def categories(random, n):
    """Dummies of three columns of eight categories."""
    codes = random.integers(0, 8, (n, 3))
    X = np.eye(8)[codes].reshape(n, -1)
    return X, X @ random.normal(size=24) + 0.5 * random.normal(size=n)


def spectra(random, n):
    """A hundred channels of smooth curves, and a plane through the three that they are made of."""
    peaks = np.exp(-((np.linspace(0, 1, 100) - np.array([[0.2], [0.5], [0.7]])) ** 2) / 0.02)
    parts = random.uniform(size=(n, 3))
    X = parts @ peaks + 0.01 * random.normal(size=(n, 100))
    return X, parts @ [1.0, -2.0, 0.5] + 0.05 * random.normal(size=n)


def bent(random, n):
    """A plane that is bent a little."""
    X, y = linear(0.3, 5)(random, n)
    return X, y + 0.3 * np.maximum(X[:, 0], 0) ** 2


def waves(random, n):
    X = random.normal(size=(n, 5))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.2 * random.normal(size=n)


def steps(random, n):
    X = random.normal(size=(n, 5))
    return X, (X[:, 0] > 0) + 1.0 * (X[:, 1] > 0.5) + 0.2 * random.normal(size=n)


#: By name, a table of so many rows to train on.
TABLES = {
    "12 rows x 2": (linear(0.3, 2), 12),
    "20 rows x 3": (linear(0.3, 3), 20),
    "30 rows x 2": (linear(0.3, 2), 30),
    "60 rows x 3": (linear(0.3, 3), 60),
    "60 rows x 8": (linear(0.3, 8), 60),
    "150 rows x 10, half noise": (linear(1.0, 10), 150),
    "600 rows x 10, half noise": (linear(1.0, 10), 600),
    "400 rows x 100": (linear(0.05, 100), 400),
    "800 rows x 40": (linear(0.5, 40), 800),
    "no noise": (linear(0.005, 5), 300),
    "lognormal columns": (linear(0.1, 5, lognormal), 600),
    "counts": (linear(0.3, 25, counts), 400),
    "categories": (categories, 800),
    "noise alone": (pure_noise, 150),
    "outliers in y": (outliers_in_y, 500),
    "spectra": (spectra, 150),
    "bent a little": (bent, 300),
    "waves": (waves, 600),
    "steps": (steps, 600),
}


def scaled_mlp():
    return make_pipeline(StandardScaler(), MLPRegressor(random_state=0))


def models(settings):
    def ours(**params):
        return BackpropRegressor(random_state=0, **params | settings)

    return {
        "BackpropRegressor": ours(),
        "linear_part=None": ours(linear_part=None),
        "MLPRegressor, scaled": scaled_mlp(),
    }


def compared(name, draw, settings):
    """Errors of each model on a draw of a table, by that of LinearRegression."""
    table, n = TABLES[name]
    X, y = table(np.random.default_rng([draw, *name.encode()]), n + NEW_ROWS)
    errors = {}
    for model_name, model in ({"line": LinearRegression()} | models(settings)).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scale = y[:n].std() if "MLP" in model_name else 1.0
            said = model.fit(X[:n], y[:n] / scale).predict(X[n:]) * scale
        errors[model_name] = np.sqrt(np.mean((said - y[n:]) ** 2))
    of_line = errors.pop("line")
    return {model_name: error / of_line for model_name, error in errors.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="of names of tables")
    parser.add_argument("--draws", type=int, default=5, metavar="N")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    names = list(models({}))
    print(f"| table | {' | '.join(names)} |\n| --- |{' ---: |' * len(names)}")
    for table in TABLES:
        if options.only in table:
            draws = [compared(table, k, as_settings(options.set)) for k in range(options.draws)]
            means = [np.exp(np.mean([np.log(draw[name]) for draw in draws])) for name in names]
            print(f"| {table} | {' | '.join(f'{mean:.3f}' for mean in means)} |", flush=True)
    print(f"\n{options.draws} draws. {description()}")


if __name__ == "__main__":
    main()
