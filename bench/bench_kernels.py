"""The parts of a training step: forward, backward, update, activations.

A kernel that is called from Python costs 0.3 to 4 µs before it begins, which is most of what
small batches show here; inside an epoch there is no such call.
"""

import numpy as np
import pytest

from fastbp import BackpropRegressor, parameters
from fastbp.fitting.plan import recipe_of
from fastbp.fitting.state import OptimizerState
from fastbp.kernels.formulas import activations, optimizers
from fastbp.kernels.formulas.activations import ACTIVATIONS, TABLE
from fastbp.kernels.formulas.dropout import NO_MASKS, keep_all
from fastbp.kernels.formulas.network import backward, forward, network, tile_rows
from fastbp.kernels.machine.compile import from_python
from fastbp.kernels.machine.vectors import LANES
from fastbp.kernels.products.gradients import outer, sums
from fastbp.kernels.products.products import back, outputs
from fastbp.kernels.products.tiles import ZERO
from fastbp.kernels.training.records import Cut

activate = from_python(activations.activate)
move = from_python(optimizers.move)

PRECISIONS = ["float32", "float64"]
BATCHES = [32, 256]

#: Each rule, by the parameters that choose it.
RULES = {
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd"},
    "adam": {"solver": "adam"},
}


def layers(batch, dtype):
    """An 8-50-1 network with its first weights, and O, D and room to work in of one batch."""
    names = ["logistic"]
    net = network((8, 50, 1), names, trained=True)
    theta = parameters.initialize(net, names, np.random.RandomState(0)).astype(dtype)
    columns = -(-batch // LANES) * LANES  # padded to whole vectors
    O = np.random.default_rng(0).random((tile_rows(net), columns)).astype(dtype)
    return net, theta, O, O.copy(), np.empty(O.size, dtype)


@pytest.mark.benchmark(group="forward, 8-50-1")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("batch", BATCHES)
def bench_forward(benchmark, batch, dtype):
    net, theta, O, _, scratch = layers(batch, dtype)
    arguments = outputs, keep_all, theta, net, O, NO_MASKS, 0, scratch
    forward(*arguments)  # compile outside the clock
    benchmark(forward, *arguments)


@pytest.mark.benchmark(group="backward, 8-50-1")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("batch", BATCHES)
def bench_backward(benchmark, batch, dtype):
    net, theta, O, D, scratch = layers(batch, dtype)
    arguments = outer, sums, back, theta, net, O, D, scratch, np.zeros_like(theta), ZERO
    backward(*arguments)
    benchmark(backward, *arguments)


@pytest.mark.benchmark(group="update of 100,000 parameters")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("rule", RULES)
def bench_update(benchmark, rule, dtype):
    theta, g = np.random.default_rng(0).random((2, 100_000)).astype(dtype)
    settings = BackpropRegressor(**RULES[rule])._settings()
    recipe = recipe_of(network((1, 1), ()), settings, batch_size=1, cut=Cut(1, 1))
    state = OptimizerState.start(settings, theta, seed=0).state.view(np.recarray)[0]
    state.beta_1_to_t, state.beta_2_to_t = recipe["beta_1"], recipe["beta_2"]
    m, v = np.zeros((2, theta.size), dtype)
    arguments = recipe["optimizer"], recipe, state, 1e-6, theta, g, m, v
    move(*arguments)
    benchmark(move, *arguments)


@pytest.mark.benchmark(group="activation of 50 × 256 values")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if not row.ends_sums])
def bench_activate(benchmark, name, dtype):
    """Forward; with σ′ for the way back where it is none of the output."""
    o = np.random.default_rng(0).standard_normal(50 * 256).astype(dtype)
    kept = o.copy() if TABLE[name].of_z else o
    activate(ACTIVATIONS[name], o, kept)
    benchmark(activate, ACTIVATIONS[name], o, kept)
