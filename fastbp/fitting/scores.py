"""The score on rows that are held out, in parts: see `parts.py`."""

from itertools import repeat

import numpy as np

from fastbp import measuring
from fastbp.fitting.parts import as_is, reduced
from fastbp.fitting.plan import aligned, row_numbers, samples_of
from fastbp.fitting.state import OptimizerState
from fastbp.kernels.training.records import Course, HeldOut


class Scores:
    """The loss and R² on rows that are held out, in parts, as a function of θ."""

    def __init__(self, places, handle, tables, facts, spread_of_constant):
        self.places, self.begun, exponent = places, handle, facts.exponent

        def summed(function, *arguments):
            handles = places.map(function, repeat(handle), tables, *map(repeat, arguments))
            return reduced(places, np.add, handles)

        total = summed(weight_apart, exponent)
        mean = summed(mean_apart, exponent, total)
        spread = summed(spread_apart, exponent, total, mean)
        # A mean of equal numbers may differ from them in the last bits.
        spread[(facts.y_least == facts.y_greatest) | (spread == 0)] = spread_of_constant
        self.is_constant = np.mean(np.isinf(spread))
        rest = map(repeat, (exponent, total, spread))
        self.parts = places.map(held_out_in, repeat(handle), tables, *rest)

    def __call__(self, theta):
        theta = self.places.submit(as_is, theta)
        handles = self.places.map(score_in, repeat(self.begun), self.parts, repeat(theta))
        loss, score = reduced(self.places, merged_scores, handles)
        return float(loss), float(score - self.is_constant)


def apart(begun, table, exponent, total=1.0):
    """Held-out rows as they are scored, with their weights, which are so much in all."""
    X, y, weight = begun.converted(table)
    weight = np.ones(len(y)) if weight is None else measuring.relative(weight, exponent)
    return X, y, weight / total


def y_apart(begun, table, *rest):
    """Their whole y and weights alone."""
    return apart(begun.without_line(), table._replace(X=table.X[:0]), *rest)[1:]


def weight_apart(begun, table, exponent):
    return y_apart(begun, table, exponent)[1].sum()


def mean_apart(begun, table, exponent, total):
    y, weight = y_apart(begun, table, exponent, total)
    return weight @ np.float64(y)


def spread_apart(begun, table, exponent, total, mean):
    y, weight = y_apart(begun, table, exponent, total)
    return weight @ (np.float64(y) - mean) ** 2


def held_out_in(begun, table, exponent, total, spread):
    X, y, weight = apart(begun, table, exponent, total)
    return HeldOut(row_numbers(len(y)), X, y, weight.astype(X.dtype), spread)


def score_in(begun, held_out, theta):
    """What a part of the held-out rows adds to the loss, and R² if the others have no error."""
    samples, theta = samples_of(held_out.X, held_out.y), aligned(theta, theta.dtype)
    optimizer = OptimizerState.start(begun.settings, theta, 0)
    optimizer.state["position"], optimizer.state["weight"] = samples.order.size, 1.0
    rest = theta, optimizer, np.empty_like(theta), len(held_out.y)
    kernel, training, team = begun.layout(samples, *rest)
    course = Course(0, *np.zeros((4, 1)), 0, samples.order.size)
    team.run(kernel.train, training, samples, held_out, course)
    return course.losses_val[0], course.scores[0]


def merged_scores(one, other):
    return one[0] + other[0], one[1] + other[1] - 1
