"""Problems that neural networks fail on, at settings that users change: how many fits fail?

    python bench/troubles.py [--only TEXT] [--quick] [--seeds N] [--jobs N] [--set NAME=VALUE …]
    python bench/troubles.py --references       # measures what is reachable, where nobody knows it

A fit fails if its R² is below 0.95 of what is reachable. That is 1 where y has no noise and the
network can hold it: on the rows trained on, or on others where there are enough rows. Elsewhere it
is what the best of scikit-learn's models reaches, tuned, with the same loss (`REACHED`; where y has
a wrong value, with another loss too). Aimed at: at most 2 % fail, none diverges, none fails without
a warning.

`GRID` is the table of cases, a row for each problem; `--set` changes what a case doesn't.
"""

import argparse
import ast
import itertools
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from hard_problems import (
    constant,
    first_rows,
    in_units,
    lognormal,
    needles,
    noise,
    normal,
    outlier_in_X,
    outlier_in_y,
    parity,
    plane,
    several,
    shipped,
    student,
    surface,
    tailed,
    teacher,
    trained,
    wave,
    with_columns,
    with_dummy,
)
from joblib import Parallel, delayed
from machine import description
from reachable import print_references, r_squared, reachable

from fastbp import BackpropRegressor
from fastbp.kernels.formulas.activations import TABLE

#: The part of what is reachable that is asked for.
ENOUGH = 0.95

# ------------------------------------------------------------------------- settings

ADAM = {"solver": "adam"}
NESTEROV = {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True}
CLASSICAL = {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False}
PLAIN = {"solver": "sgd", "momentum": 0.0}
BOTH = [ADAM, NESTEROV]

ANY = list(TABLE)
CURVED = [name for name in ANY if name != "identity"]
USUAL = ["logistic", "tanh", "relu"]


def learners(solvers, activations, networks=None):
    """Settings of an estimator: each solver with each activation, and each network."""
    sizes = [{"hidden_layer_sizes": layers} for layers in networks] if networks else [{}]
    return [
        {**solver, "activation": name, **size}
        for solver, name, size in itertools.product(solvers, activations, sizes)
    ]


def layers(*depths):
    return [(32,) * depth for depth in depths]


# ----------------------------------------------------------------------------- grid


class Row(NamedTuple):
    """Fits of one problem: each of `learners` with each of `seeds` seeds."""

    group: str
    name: str
    problem: Callable
    learners: list
    seeds: int = 1
    measured: bool = False  # what is reachable is in REACHED, else 1


GRID = [
    *[Row("parity", f"{b} bits", parity(b), learners(BOTH, CURVED), 2) for b in (2, 3, 4)],
    *[
        Row("parity", f"{b} bits, {r * 2**b} rows", parity(b, r), learners(BOTH, CURVED))
        for b, r in ((2, 16), (3, 9), (4, 5))
    ],
    Row("parity", "2 bits, other descents", parity(2), learners([PLAIN, CLASSICAL], CURVED)),
    *[Row("waves", f"of length {t}", wave(t), learners(BOTH, CURVED), 2) for t in (12, 30)],
    Row("waves", "of length 60", wave(60), learners([ADAM], CURVED), 2),
    # Hinges were not found to fit it by plain descent, whatever their first weights (0.75 at most).
    Row("waves", "of length 60, sgd", wave(60), learners([NESTEROV], ["logistic", "tanh"]), 2),
    Row("waves", "other descents", wave(12), learners([PLAIN, CLASSICAL], CURVED)),
    *[
        Row("150 smooth rows", f"surface {k}", trained(surface(150, k)), learners(BOTH, CURVED))
        for k in range(3)
    ],
    *[
        Row("few smooth rows", f"{n}", surface(n, 2), learners(BOTH, CURVED), 2, measured=True)
        for n in (50, 100, 200, 400)
    ],
    Row("few smooth rows", "500", surface(500, 1), learners([PLAIN, CLASSICAL], CURVED)),
    *[
        Row("narrow", f"{w} of {a}", teacher(w, a), learners(BOTH, [a], [(w,)]), 2)
        for w in (1, 2, 3, 5, 8) for a in CURVED
    ],
    Row("widths, plane", "", plane(400), learners(BOTH, ANY, [(1,), (20,), (200,), (1000,)])),
    Row("widths, plane", "2000", plane(400), learners([ADAM], ANY, [(2000,)])),
    Row("widths, smooth", "", surface(500), learners(BOTH, CURVED, [(30,), (200,), (1000,)])),
    Row("widths, smooth", "2000", surface(500), learners(BOTH, USUAL, [(2000,)])),
    Row("widths, smooth", "deep", surface(500), learners([ADAM], USUAL, [(256, 128), (512, 512)])),
    Row("depths, plane", "", plane(400), learners(BOTH, ANY, layers(3, 5, 8))),
    Row("depths, smooth", "", surface(500), learners([ADAM], CURVED, layers(*range(1, 9)))),
    Row("depths, smooth", "sgd", surface(500), learners([NESTEROV], CURVED, layers(2, 4, 6, 8))),
    *[
        Row("shipped tables", name, shipped(name),
            learners(BOTH, USUAL, [(32,), (64, 32), (64,) * 4]), measured=True)
        for name in ("auto_mpg", "concrete", "airfoil_self_noise")
    ],
    Row("rare dummies", "1 of 2,000", with_dummy(surface(2000), 1), learners(BOTH, USUAL)),
    Row("rare dummies", "5 of 1,000", with_dummy(surface(1000), 5), learners(BOTH, USUAL)),
    Row("rare dummies", "40 of 1,000", with_dummy(surface(1000), 40, 3.0), learners(BOTH, USUAL)),
    Row("outlier in X", "column used", outlier_in_X(surface(600), 0), learners(BOTH, CURVED)),
    Row("outlier in X", "useless column", outlier_in_X(with_columns(surface(600), noise), 3),
        learners(BOTH, CURVED)),
    *[
        Row("outlier in y", f"{v:g}", outlier_in_y(surface(600), v), learners(BOTH, USUAL),
            measured=True)
        for v in (1e2, 1e6)
    ],
    *[
        Row("units", name, in_units(surface(400), **units), learners(BOTH, USUAL))
        for name, units in {
            "y of 1e-12": {"of_y": 1e-12},
            "y of 1e12": {"of_y": 1e12},
            "y + 1e6": {"offset": 1e6},
            "X of 1e-6 to 1e9, + 1e6": {"of_X": [1e-6, 1, 1e9], "X_offset": [0, 1e6, 0]},
        }.items()
    ],
    *[
        Row("useless columns", name, with_columns(surface(400), extra), learners(BOTH, USUAL))
        for name, extra in {
            "constant": lambda X: np.full((len(X), 2), 3.3),
            "duplicated": lambda X: X,
            "both": lambda X: np.c_[X, X, np.zeros(len(X)), np.full(len(X), 1e8)],
        }.items()
    ],
    *[
        Row("3 and 10 rows", f"{n}", first_rows(surface(10), n), learners(BOTH, CURVED), 2)
        for n in (3, 10)
    ],
    Row("1,000 columns", "noise but for 3", needles(), learners(BOTH, USUAL), measured=True),
    *[
        Row("heavy tails", name, tailed(*how), learners(BOTH, USUAL), measured=True)
        for name, how in {
            "X lognormal": (lognormal,), "X of Student's t": (student,),
            "noise of Student's t": (normal, student),
        }.items()
    ],
    *[
        Row("all of y equal", f"{c:g}", constant(c), learners([ADAM, NESTEROV, PLAIN], USUAL))
        for c in (0.0, 7.0, 1e9)
    ],
    *[
        Row("noise", f"{sd}, {n} rows", surface(n, 1, sd), learners(BOTH, USUAL), measured=True)
        for n in (150, 600) for sd in (0.2, 0.5, 1.0)
    ],
    Row("several outputs", "", several(400), learners(BOTH, CURVED)),
]  # fmt: skip


class Case(NamedTuple):
    """One fit."""

    row: Row
    seed: int
    settings: dict

    @property
    def name(self):
        """As it is printed, and searched by `--only`."""
        parts = [self.row.group, self.row.name, f"seed {self.seed}"]
        parts += [f"{key}={value}" for key, value in self.settings.items()]
        return ", ".join(part for part in parts if part)


def cases(more_seeds=1):
    """All fits of the grid, with so many times as many seeds."""
    for row in GRID:
        for settings in row.learners:
            for seed in range(row.seeds * more_seeds):
                yield Case(row, seed, settings)


def quick_cases():
    """Two fits of the smallest problem of each group: the first learner, and the one half-way."""
    smallest = {}
    for row in sorted(GRID, key=lambda row: len(row.problem(0)[0])):
        smallest.setdefault(row.group, row)
    for row in smallest.values():
        for settings in (row.learners[0], row.learners[len(row.learners) // 2]):
            yield Case(row, 0, settings)


# -------------------------------------------------------------------------- judging


class Result(NamedTuple):
    r2: float
    reach: float
    seconds: float
    diverged: bool
    said: str  # the error, or warnings

    @property
    def fails(self):
        return not self.r2 >= ENOUGH * self.reach


def fitted(case, extra=None):
    """The result of a fit. Processor seconds of this one thread."""
    X, y, X_test, y_test = case.row.problem(case.seed)
    settings = {"random_state": case.seed, "n_threads": 1, **(extra or {}), **case.settings}
    reach = reachable(case.row, case.seed)
    model = BackpropRegressor(**settings)
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(X, y)
        except ValueError as error:  # that it diverged
            seconds = time.process_time() - start
            return Result(-1.0, reach, seconds, True, f"ValueError: {error}")
    seconds = time.process_time() - start
    said = "; ".join(sorted({f"{w.category.__name__}: {w.message}" for w in caught}))
    return Result(r_squared(y_test, model.predict(X_test)), reach, seconds, False, said)


# --------------------------------------------------------------------------- report


def row_of_table(name, results):
    fails = [each for each in results if each.fails]
    cells = [
        f"{len(fails)} of {len(results)}",
        f"{np.mean([each.r2 for each in results]):.3f}",
        sum(not each.said for each in fails),
        sum(each.diverged for each in results),
        f"{np.mean([each.seconds for each in results]):.2f}",
    ]
    return f"| {name} | {' | '.join(map(str, cells))} |"


def as_settings(texts):
    """Settings of texts like "max_iter=500": Python's literals, else words."""
    settings = {}
    for name, _, text in (each.partition("=") for each in texts):
        try:
            settings[name] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            settings[name] = text
    return settings


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="of names of cases")
    parser.add_argument("--quick", action="store_true", help="two small fits of each group")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="times as many seeds")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="fits at a time")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="extra")
    parser.add_argument("--references", action="store_true", help="measure what is reachable")
    options = parser.parse_args()
    if options.references:
        rows = [row for row in GRID if row.measured]
        return print_references([r for r in rows if options.only in f"{r.group}, {r.name}"])
    extra = as_settings(options.extra)
    chosen = quick_cases() if options.quick else cases(options.seeds)
    chosen = [case for case in chosen if options.only in case.name]
    results = Parallel(options.jobs)(delayed(fitted)(case, extra) for case in chosen)
    groups = {}
    for case, result in zip(chosen, results, strict=True):
        groups.setdefault(case.row.group, []).append((case, result))
    print("| group | fail | mean R² | of them silent | diverged | seconds of a fit |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for group, pairs in groups.items():
        print(row_of_table(group, [result for _, result in pairs]))
    everything = [pair for pairs in groups.values() for pair in pairs]
    results = [result for _, result in everything]
    print(row_of_table("all", results), "\n")
    for case, result in everything:
        if result.fails:
            said = result.said or "no warning"
            print(f"{case.name}: R² {result.r2:.3f} of {result.reach:.3f}, {said}")
    fails = [result for result in results if result.fails]
    print(
        f"\n{len(results)} fits: {len(fails) / len(results):.1%} below {ENOUGH} of what is "
        f"reachable, {sum(result.diverged for result in results)} diverged, "
        f"{sum(not result.said for result in fails)} fail without a warning"
    )
    print(description())


if __name__ == "__main__":
    main()
