"""Weights as small integers: of each unit an integer for each weight, and one step for all of them.

Sums are still of floats, so that it is a network a half or a quarter as large that predicts nearly
the same; how nearly is measured.
"""

import numpy as np

from fastbp import encodings
from fastbp.export.parts import known
from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS

#: By the names that NumPy has for them, too; and what C calls them.
KINDS = {"int8": "signed char", "int16": "short"}

#: Rows that the loss is measured on.
N_ROWS = 1000

#: ŷ of z, in NumPy.
LINKS = {"identity": lambda z: z, "log": np.exp}


def rounded(W, kind):
    """Integers (n_in, n_out), and the step of each unit (n_out,): W ≈ integers · steps."""
    largest = np.iinfo(kind).max
    steps = np.float32(np.abs(W).max(axis=0, initial=0) / largest)
    steps[steps == 0] = 1.0
    return np.clip(np.rint(W / steps), -largest, largest).astype(kind), steps


def measured_loss(parts, kind):
    """By how much predictions change, in deviations of y: root of the mean square, and most.

    Measured on rows like those of the training: normal in its standardised columns, or uniform
    between the ends of the columns that are encoded. Without a scaling, of the predictions' own
    deviation.
    """
    random = np.random.default_rng(0)
    exact = sum(member.share * _predicted(parts, member, None, random) for member in parts.members)
    random = np.random.default_rng(0)
    other = sum(member.share * _predicted(parts, member, kind, random) for member in parts.members)
    error = (other - exact) / np.maximum(_deviation(parts, exact), np.finfo(float).tiny)
    return float(np.sqrt(np.mean(error**2))), float(np.abs(error).max())


def _deviation(parts, y):
    units = parts.members[0].units
    return y.std(axis=0) if units is None else units.y_scale


def _predicted(parts, member, kind, random):
    """ŷ of rows drawn at random, with rounded weights if there is a kind."""
    rows, units = (N_ROWS, parts.n_features), member.units
    if parts.encoding is not None:
        share = random.uniform(size=rows)  # high - low may be beyond float64
        x = (1 - share) * parts.encoding.low + share * parts.encoding.high
        o = encodings.converted(x, np.float64, parts.encoding, units)
    else:
        o = random.normal(size=rows)
    for l, (W, b) in enumerate(member.layers):
        integers, steps = (W, 1.0) if kind is None else rounded(W, kind)
        o = o @ (np.float64(integers) * steps) + b
        if l < len(parts.activations):
            o = known(ACTIVATIONS, parts.activations[l], "activation", "fastbp").plain(o)
    y = known(LINKS, parts.link, "link", "integers")(o)
    return y if units is None else y * units.y_scale + units.y_mean
