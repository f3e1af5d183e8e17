"""The parts of a training step: forward, backward, update, activations.

A kernel that is called from Python costs 0.3 to 4 µs before it begins, which is most of what
small batches show here; inside an epoch there is no such call.
"""

import numpy as np
import pytest

from fastbp import parameters
from fastbp.kernels.formulas import activations, optimizers
from fastbp.kernels.formulas.activations import ACTIVATIONS
from fastbp.kernels.formulas.network import backward, forward
from fastbp.kernels.machine.compile import from_python
from fastbp.kernels.machine.vectors import LANES
from fastbp.kernels.products.products import back, outer, outputs, sums
from fastbp.kernels.products.tiles import ZERO

activate = from_python(activations.activate)
sgd, momentum = from_python(optimizers.sgd), from_python(optimizers.momentum)
nesterov, adam = from_python(optimizers.nesterov), from_python(optimizers.adam)

PRECISIONS = ["float32", "float64"]
BATCHES = [32, 256]

#: Each rule, its numbers, and how many vectors it remembers.
RULES = {
    sgd: ((1e-6,), 0),
    momentum: ((1e-6, 0.9), 1),
    nesterov: ((1e-6, 0.9), 1),
    adam: ((1e-6, 0.9, 0.999, 1e-8), 2),
}


def network(batch, dtype):
    """An 8-50-1 network with its first weights, and O, D and room to work in of one batch."""
    names = ["logistic"]
    net = parameters.network((8, 50, 1), names)
    theta = parameters.initialize(net, names, np.random.RandomState(0)).astype(dtype)
    columns = -(-batch // LANES) * LANES  # padded to whole vectors
    O = np.random.default_rng(0).random((net["width"].sum(), columns)).astype(dtype)
    return net, theta, O, O.copy(), np.empty(O.size, dtype)


@pytest.mark.benchmark(group="forward, 8-50-1")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("batch", BATCHES)
def bench_forward(benchmark, batch, dtype):
    net, theta, O, _, scratch = network(batch, dtype)
    forward(outputs, theta, net, O, scratch)  # compile outside the clock
    benchmark(forward, outputs, theta, net, O, scratch)


@pytest.mark.benchmark(group="backward, 8-50-1")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("batch", BATCHES)
def bench_backward(benchmark, batch, dtype):
    net, theta, O, D, scratch = network(batch, dtype)
    arguments = outer, sums, back, theta, net, O, D, scratch, np.zeros_like(theta), ZERO
    backward(*arguments)
    benchmark(backward, *arguments)


@pytest.mark.benchmark(group="update of 100,000 parameters")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def bench_update(benchmark, rule, dtype):
    numbers, n_memory = RULES[rule]
    theta, g = np.random.default_rng(0).random((2, 100_000)).astype(dtype)
    memory = np.zeros((n_memory, theta.size), dtype)
    arguments = *(theta.dtype.type(x) for x in numbers), theta, g, *memory
    rule(*arguments)
    benchmark(rule, *arguments)


@pytest.mark.benchmark(group="activation of 50 × 256 values")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ["logistic", "tanh"])
def bench_activate(benchmark, name, dtype):
    o = np.random.default_rng(0).standard_normal(50 * 256).astype(dtype)
    activate(ACTIVATIONS[name], o)
    benchmark(activate, ACTIVATIONS[name], o)
