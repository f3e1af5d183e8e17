"""What may be wrong with hidden units: they do nothing, or the same as others."""

from typing import NamedTuple

import numpy as np

from fastbp import parameters
from fastbp.blas import one_thread_in_blas
from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS

#: Rows that units are looked at with, at most.
ROWS, VALUES = 256, 2**20

#: σ′ is the difference quotient across so much of z, here where it needs no more digits.
STEP = 1e-4

#: A unit is saturated where σ′ is below this part of the largest σ′ of its layer's activation …
FLAT = 0.05
#: … on so many of the rows; dead, where it is 0 on all of them, or its output hardly changes.
MOSTLY, CONSTANT = 0.95, 1e-6

#: Units are duplicates if their outputs are so much alike, whatever their sign.
ALIKE = 0.9999

ADVICE = {
    "saturated": "Standardize X, or begin with smaller weights: where σ is flat, there is hardly a "
    "gradient.",
    "dead": "Lower learning_rate_init, or take another activation: they get no gradient, and will "
    "not come back.",
    "duplicate": "Fewer units would do, or more regularly drawn first weights: init='auto'.",
    "vanishing": "Fewer layers, relu or silu, or standardize=True: hardly anything of the loss "
    "comes back so far.",
    "unused": "It was no better on rows held out, and was left out by design. With "
    "linear_part=None it does all.",
}


class Finding(NamedTuple):
    """Something that may be wrong with a layer."""

    kind: str  # a key of `ADVICE`
    layer: int  # of the hidden ones, from 1; of an unused network 0
    units: tuple  # their numbers, from 1; of a vanishing gradient none, nor of an unused network
    figure: float  # the part of the layer's units; of a gradient, of the last layer's
    advice: str

    def __str__(self):
        if self.kind == "unused":
            return f"The linear part predicts alone, nothing of the network does. {self.advice}"
        if self.kind == "vanishing":
            return (
                f"hidden layer {self.layer}: the gradient is {self.figure:.1e} of the last "
                f"layer's. {self.advice}"
            )
        some = ", ".join(map(str, self.units[:8])) + (", …" if len(self.units) > 8 else "")
        return (
            f"hidden layer {self.layer}: {self.kind} are {self.figure:.0%} of the units ({some}). "
            f"{self.advice}"
        )


def some_rows(table):
    """A few of a table's rows, evenly spread; of a wide one, which may be sparse, fewer."""
    n_rows = int(np.clip(VALUES / table.X.shape[1], 16, ROWS))
    return table.rows(slice(None, None, -(-len(table.y) // n_rows)))


def look(learnt, table, *, duplicates=True):
    """A Finding for each kind of trouble of each hidden layer.

    Parameters
    ----------
    learnt : fastbp.fitting.learnt.Learnt
    table : Table
        Of a few rows.
    duplicates : bool
        False: nobody asks for these, which of wide layers take longer than all else.
    """
    units = learnt.units()
    O, _, _ = table.converted(np.float64, units, encoding=learnt.encoding)
    W, b = parameters.unpack(learnt.theta(units, np.float64), learnt.network())
    for l, kind in enumerate(learnt.activations, start=1):
        O, slopes = of_layer(O, W[l - 1], b[l - 1], ACTIVATIONS[kind].plain)
        yield from findings_of(l, slopes, O, duplicates=duplicates)


@one_thread_in_blas()
def of_layer(O, W, b, plain):
    """O and |σ′| of the next layer."""
    Z = O @ W + b
    return plain(Z), np.abs(plain(Z + STEP) - plain(Z - STEP)) / (2 * STEP)


def findings_of(l, slopes, O, *, duplicates=True):
    """Of one hidden layer, each unit at most once: σ′ and O of the units, (n_rows, n_units)."""
    size = np.abs(O).max(axis=0)
    dead = (slopes == 0).all(axis=0) | (np.ptp(O, axis=0) <= CONSTANT * size)
    steepest = slopes.max()
    saturated = ~dead & ((slopes < FLAT * steepest).mean(axis=0) >= MOSTLY)
    alive = np.flatnonzero(~dead)
    duplicate = np.zeros_like(dead)
    if duplicates and len(alive) > 1:
        relative = O[:, alive] / size[alive]  # whose squares neither overflow nor vanish
        alike = np.abs(np.corrcoef(relative, rowvar=False)) > ALIKE
        duplicate[alive] = np.tril(alike, -1).any(axis=1)  # the first of them is none
    kinds = {"dead": dead, "saturated": saturated, "duplicate": duplicate & ~saturated}
    for kind, which in kinds.items():
        if which.any():
            units = tuple((np.flatnonzero(which) + 1).tolist())
            yield Finding(kind, l, units, len(units) / len(dead), ADVICE[kind])
