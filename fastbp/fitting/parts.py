"""A table in parts, which stay where they are: maps over them, and trees of sums.

Who computes are `places`: ``submit(function, *arguments)`` returns a handle, which can be an
argument of later calls, ``map(function, *columns)`` a list of them, as Python's `map`, and
``result(handle)`` the value behind one. The functions are pure: what is lost is computed anew,
wherever that may be, to the same bit. One of them is given ``tell(line)``, which prints a line
where the user is.
"""

from functools import reduce
from itertools import repeat
from typing import NamedTuple

import numpy as np

from fastbp import measuring, outliers, scaling
from fastbp.fitting import survey
from fastbp.fitting.table import Table, precision_of
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: How many parts' results are merged at a time.
FAN = 8


class Here:
    """This process, where everything is computed at once: what the others must equal."""

    def submit(self, function, *arguments):
        return function(*arguments)

    def map(self, function, *columns):
        return list(map(function, *columns))

    def result(self, value):
        return value

    @staticmethod
    def tell(line):
        print(line, flush=True)


def merged(places, merge, handles):
    """All merged into one, by a tree: in an order that only their number decides."""
    while len(handles) > 1:
        groups = [handles[i : i + FAN] for i in range(0, len(handles), FAN)]
        handles = [
            group[0] if len(group) == 1 else places.submit(all_merged, merge, *group)
            for group in groups
        ]
    return handles[0]


def reduced(places, merge, handles):
    """The value of all merged."""
    return places.result(merged(places, merge, handles))


def all_merged(merge, *values):
    return reduce(merge, values)


def as_is(value):
    """For a value that many tasks need: it is sent once."""
    return value


class Facts(NamedTuple):
    """What is known of parts of a table."""

    sizes: tuple  # rows of each
    y_dtype: np.dtype  # the least precision of predictions
    heaviest: float | None  # sample's weight, if there are any
    X_least: np.ndarray
    X_greatest: np.ndarray
    y_least: np.ndarray
    y_greatest: np.ndarray

    @property
    def n(self):
        """All rows."""
        return sum(self.sizes)

    @property
    def exponent(self):
        """Of the weights of samples: see `measuring.relative`."""
        return None if self.heaviest is None else measuring.exponent_of(np.array([self.heaviest]))


def facts_of(table):
    X, y, weight = table[:3]
    y_dtype = precision_of(y) if len(y) else np.dtype(np.float32)
    heaviest = None if weight is None else weight.max(initial=0.0)
    return Facts((len(y),), y_dtype, heaviest, *extremes(X), *extremes(y))


def extremes(A):
    """The least and the greatest value of each column."""
    n, d = A.shape
    if not n:
        return np.full(d, np.inf), np.full(d, -np.inf)
    side = max(1, survey.SIDE_BY_SIDE // d)
    if not A.flags.c_contiguous or n < side:
        return A.min(axis=0), A.max(axis=0)
    # NumPy is ten times as quick with rows side by side.
    whole, rest = A[: n - n % side].reshape(-1, side * d), A[n - n % side :]
    return tuple(
        of(np.concatenate([of(whole, axis=0).reshape(side, d), rest]), axis=0)
        for of in (np.min, np.max)
    )


def merged_facts(one, other):
    heaviest = None if one.heaviest is None else max(one.heaviest, other.heaviest)
    return Facts(
        one.sizes + other.sizes,
        np.result_type(one.y_dtype, other.y_dtype),
        heaviest,
        np.minimum(one.X_least, other.X_least),
        np.maximum(one.X_greatest, other.X_greatest),
        np.minimum(one.y_least, other.y_least),
        np.maximum(one.y_greatest, other.y_greatest),
    )


def every(table, step, before):
    """Each row whose number in the whole table is a multiple of `step`; so many rows are before."""
    return table.rows(slice(-before % step, None, step))


def joined(one, other):
    weight = one.sample_weight
    if weight is not None:
        weight = np.concatenate([weight, other.sample_weight])
    return Table(np.concatenate([one.X, other.X]), np.concatenate([one.y, other.y]), weight)


def seen_of(table, bounds):
    X, y, weight = table[:3]
    if survey.is_long(X):  # in one pass, compiled
        X, y = (survey.readable(A) for A in (X, y))
        of_X = survey.measured(X, weight, bounds=bounds, n_threads=1)
        return survey.seen_of(of_X, survey.measured(y, weight, n_threads=1))
    return scaling.seen_of(X, y, weight, bounds)


def split(table, fraction, seed):
    """Rows to train on, and rows held out, at random: two tables."""
    order, n = np.random.RandomState(seed).permutation(len(table.y)), int(fraction * len(table.y))
    return table.rows(np.sort(order[n:])), table.rows(np.sort(order[:n]))


def pick(pair, which):
    return pair[which]


def clipped(table, bounds):
    """With y drawn in."""
    return table._replace(y=np.clip(table.y, *bounds))


def parted(places, tables, fraction, random_state):
    """Tables to train on, and tables held out: of each part its own rows at random."""
    seeds = random_state.randint(2**32, size=len(tables), dtype=np.uint32)
    pairs = places.map(split, tables, repeat(fraction), seeds.tolist())
    return [places.map(pick, pairs, repeat(which)) for which in (0, 1)]


def facts_in(places, tables):
    """What is known of all rows."""
    return reduced(places, merged_facts, places.map(facts_of, tables))


def known(places, tables):
    """What is known of all rows, and the tables that have any; an error if there are none."""
    facts = facts_in(places, tables)
    tables = [table for table, size in zip(tables, facts.sizes, strict=True) if size]
    if not tables:
        raise ValueError("Found 0 sample(s), or none that has a weight: there is nothing to learn.")
    return facts._replace(sizes=tuple(size for size in facts.sizes if size)), tables


def measured(places, tables, facts, settings):
    """A sample of the rows, the tables with y drawn in if one row rules it, the units in which to
    train, and the bounds of X: as `ground.ground_for`."""
    step = outliers.step_of_rows(facts.n, len(facts.X_least))
    befores = np.cumsum((0, *facts.sizes)).tolist()
    # It stays with who computes.
    sample = merged(places, joined, places.map(every, tables, repeat(step), befores))
    if not settings.standardize:
        return sample, tables, None, None
    bounds = None
    if facts.n >= outliers.FEWEST_ROWS:
        bounds = places.submit(bounds_by, sample, facts)

    def seen_in(tables):
        return reduced(places, scaling.Seen.merged, places.map(seen_of, tables, repeat(bounds)))

    seen = seen_in(tables)
    shares = survey.shares_of_one_row(
        facts.n, seen.y_mean, seen.y_deviation, facts.y_least, facts.y_greatest
    )
    settings.one_row = float(shares.max(initial=0.0))
    if settings.one_row > survey.RULES:
        settings.drawn_in = places.result(places.submit(bounds_of_y, sample, facts, shares))
        if settings.drawn_in is not None:
            sample, *tables = places.map(clipped, (sample, *tables), repeat(settings.drawn_in))
            seen = seen_in(tables)
    settings.seen = seen
    bounds = None if bounds is None else places.result(bounds)
    return sample, tables, seen.units(LOSSES[settings.loss].link), bounds


def bounds_by(sample, facts):
    return outliers.bounds_by(sample.X, facts.X_least, facts.X_greatest)


def bounds_of_y(sample, facts, shares):
    bounds = survey.bounds_of_ruled(outliers.likely_bounds(sample.y), shares)
    return None if bounds.holds(facts.y_least, facts.y_greatest) else bounds
