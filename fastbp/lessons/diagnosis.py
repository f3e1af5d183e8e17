"""What may be wrong with a trained network: units that do nothing, or the same as others."""

from typing import NamedTuple

import numpy as np

from fastbp import hidden, inputs, measuring
from fastbp.hidden import Finding
from fastbp.lessons.step import bare, check_network, loss_of, seen_by_network, weights_of

#: Rows that gradients are looked at with, at most.
ROWS_BACK = 64

#: A gradient has vanished if a layer's is less than this part of the last one's.
VANISHED = 1e-4


class Diagnosis(NamedTuple):
    """What was found, and by which figures."""

    findings: tuple
    gradients: tuple  # of each layer: the root of its mean squared dL/dZ, the output's last
    n_rows: int

    def __str__(self):
        return "\n".join(map(str, self.findings)) or f"Nothing conspicuous on {self.n_rows} rows."


def diagnose(model, X, y):
    """Look for units that do nothing, or the same as others, and for gradients that vanish.

    Where the linear part predicts alone, that is all there is to say.

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
    check_network(model, "diagnosis")
    learnt = model._learnt
    table = inputs.table_of(model, X, y, None, reset=False, learnt=learnt)
    table = hidden.some_rows(table)
    units = learnt.units()
    seen, targets = seen_by_network(table.X, table.y, learnt, units)
    W, b = weights_of(learnt, units)
    gradients = gradients_of(learnt, W, b, seen, targets)
    if learnt.is_line:
        unused = Finding("unused", 0, (), 1.0, hidden.ADVICE["unused"])
        return Diagnosis((unused,), gradients, len(seen))
    findings = list(hidden.look(learnt, table))
    for l, size in enumerate(gradients[:-1], start=1):
        if size < VANISHED * gradients[-1]:
            part = size / gradients[-1]
            findings.append(Finding("vanishing", l, (), part, hidden.ADVICE["vanishing"]))
    return Diagnosis(tuple(findings), gradients, len(seen))


def gradients_of(learnt, W, b, seen, targets):
    """How large ∂L/∂Z of single samples is, layer by layer: roots of mean squares."""
    whole = bare(W, b, learnt.activations, 1.0, 1, **loss_of(learnt, learnt.scaling))
    some = slice(None, None, -(-len(seen) // ROWS_BACK))
    samples = zip(seen[some, None], targets[some, None], strict=True)
    each = [whole.loss_gradient(x, y)[2] for x, y in samples]
    return tuple(root_of_mean_square(np.abs(D)) for D in zip(*each, strict=True))


def root_of_mean_square(sizes):
    """Of numbers of any magnitude."""
    unit = measuring.power_of_two(sizes.max())
    return float(np.sqrt(np.mean(np.square(sizes / unit))) * unit)
