"""Solvers, by the names that the estimator has for them: who trains a network.

A new update rule is a row of `kernels/formulas/optimizers.py`; whoever trains otherwise is a
function like `loop.fit`, and a row here.
"""

from copy import copy

from fastbp.fitting import calling, lbfgs, loop
from fastbp.kernels.formulas import optimizers
from fastbp.kernels.training.kernels import kernel_for

#: By name: what trains θ in place, as `loop.fit` describes it.
SOLVERS = dict.fromkeys(optimizers.SOLVERS, loop.fit) | {"lbfgs": lbfgs.fit}


def fit(net, theta, samples, held_out, settings, optimizer, **watched):
    """Train θ in place, with the solver of the settings; see `loop.fit`."""
    train = SOLVERS[settings.solver]
    return train(net, theta, samples, held_out, settings, optimizer, **watched)


def compile_for(net, samples, settings, n_samples):
    """Compile, or load, what trains on so many of the samples, before threads wait for it."""
    settings, dtype = copy(settings), samples.X.dtype
    if settings.full_batch:
        lbfgs.prepare(net, samples, settings)
        return
    settings.learning_rate_init = 1.0  # of no step
    batch_size = min(settings.batch_size, n_samples)
    calling.prepare(kernel_for(net, batch_size, dtype.itemsize), settings, dtype)
