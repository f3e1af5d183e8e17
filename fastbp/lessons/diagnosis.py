"""What may be wrong with a trained network: units that do nothing, or the same as others."""

from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS
from fastbp.lessons.step import bare, loss_of, seen_by_network, weights_of

#: Rows that units are looked at with, at most, and gradients.
ROWS, ROWS_BACK = 256, 64

#: σ′ is the difference quotient across so much of z, here where it needs no more digits.
STEP = 1e-4

#: A unit is saturated where σ′ is below this part of the largest σ′ of its layer's activation …
FLAT = 0.05
#: … on so many of the rows; dead, where it is 0 on all of them, or its output hardly changes.
MOSTLY, CONSTANT = 0.95, 1e-6

#: Units are duplicates if their outputs are so much alike, whatever their sign.
ALIKE = 0.9999

#: A gradient has vanished if a layer's is less than this part of the last one's.
VANISHED = 1e-4

ADVICE = {
    "saturated": "Standardize X, or begin with smaller weights: where σ is flat, there is hardly a "
    "gradient.",
    "dead": "Lower learning_rate_init, or take another activation: they get no gradient, and will "
    "not come back.",
    "duplicate": "Fewer units would do, or more regularly drawn first weights: init='auto'.",
    "vanishing": "Fewer layers, relu or silu, or standardize=True: hardly anything of the loss "
    "comes back so far.",
}


class Finding(NamedTuple):
    """Something that may be wrong with a layer."""

    kind: str  # a key of `ADVICE`
    layer: int  # of the hidden ones, from 1
    units: tuple  # their numbers, from 1; of a vanishing gradient none
    figure: float  # the part of the layer's units; of a gradient, of the last layer's
    advice: str

    def __str__(self):
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


class Diagnosis(NamedTuple):
    """What was found, and by which figures."""

    findings: tuple
    gradients: tuple  # of each layer: the root of its mean squared dL/dZ, the output's last
    n_rows: int

    def __str__(self):
        return "\n".join(map(str, self.findings)) or f"Nothing conspicuous on {self.n_rows} rows."


def diagnose(model, X, y):
    """Look for units that do nothing, or the same as others, and for gradients that vanish.

    Parameters
    ----------
    model : BackpropRegressor
        Fitted.
    X, y : as in `fit`
        At most 256 rows, evenly spread, are looked at.

    Returns
    -------
    Diagnosis
        ``print`` it: a line for each finding, with advice.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import BackpropRegressor
    >>> from fastbp.explain import diagnose
    >>> X = np.linspace(-3, 3, 400).reshape(-1, 1)
    >>> model = BackpropRegressor(4, random_state=0).partial_fit(X, np.sin(X).ravel())
    >>> print(diagnose(model, X, np.sin(X).ravel()))
    Nothing conspicuous on 200 rows.
    """
    check_is_fitted(model)
    learnt = model._learnt
    table = model._validate_samples(X, y, None, reset=False, learnt=learnt)
    table = table.rows(slice(None, None, -(-len(table.y) // ROWS)))
    units = learnt.scaling
    seen, targets = seen_by_network(table.X, table.y, learnt, units)
    W, b = weights_of(learnt, units)
    findings, O = [], seen
    for l, kind in enumerate(learnt.activations, start=1):
        Z, plain = O @ W[l - 1] + b[l - 1], ACTIVATIONS[kind].plain
        O = plain(Z)
        slopes = np.abs(plain(Z + STEP) - plain(Z - STEP)) / (2 * STEP)
        findings += findings_of(l, slopes, O)
    gradients = gradients_of(model, learnt, W, b, seen, targets)
    for l, size in enumerate(gradients[:-1], start=1):
        if size < VANISHED * gradients[-1]:
            part = size / gradients[-1]
            findings.append(Finding("vanishing", l, (), part, ADVICE["vanishing"]))
    return Diagnosis(tuple(findings), gradients, len(seen))


def findings_of(l, slopes, O):
    """Of one hidden layer, each unit at most once: σ′ and O of the units, (n_rows, n_units)."""
    size = np.abs(O).max(axis=0)
    dead = (slopes == 0).all(axis=0) | (np.ptp(O, axis=0) <= CONSTANT * size)
    steepest = slopes.max()
    saturated = ~dead & ((slopes < FLAT * steepest).mean(axis=0) >= MOSTLY)
    alive = np.flatnonzero(~dead)
    duplicate = np.zeros_like(dead)
    if len(alive) > 1:
        alike = np.abs(np.corrcoef(O[:, alive], rowvar=False)) > ALIKE
        duplicate[alive] = np.tril(alike, -1).any(axis=1)  # the first of them is none
    kinds = {"dead": dead, "saturated": saturated, "duplicate": duplicate & ~saturated}
    for kind, which in kinds.items():
        if which.any():
            units = tuple((np.flatnonzero(which) + 1).tolist())
            yield Finding(kind, l, units, len(units) / len(dead), ADVICE[kind])


def gradients_of(model, learnt, W, b, seen, targets):
    """How large ∂L/∂Z of single samples is, layer by layer: roots of mean squares."""
    whole = bare(W, b, learnt.activations, 1.0, 1, **loss_of(learnt, learnt.scaling))
    some = slice(None, None, -(-len(seen) // ROWS_BACK))
    samples = zip(seen[some, None], targets[some, None], strict=True)
    each = [whole.loss_gradient(x, y)[2] for x, y in samples]
    return tuple(float(np.sqrt(np.mean(np.square(D)))) for D in zip(*each, strict=True))
