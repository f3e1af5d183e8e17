"""Solvers, by the names that the estimator has for them: who trains a network.

A new update rule is a row of `kernels/formulas/optimizers.py`; whoever trains otherwise is a
function like `loop.fit`, and a row here.
"""

from fastbp.fitting import lbfgs, loop
from fastbp.kernels.formulas import optimizers

#: By name: what trains θ in place, as `loop.fit` describes it.
SOLVERS = dict.fromkeys(optimizers.SOLVERS, loop.fit) | {"lbfgs": lbfgs.fit}


def fit(net, theta, samples, held_out, settings, optimizer, **watched):
    """Train θ in place, with the solver of the settings; see `loop.fit`."""
    train = SOLVERS[settings.solver]
    return train(net, theta, samples, held_out, settings, optimizer, **watched)
