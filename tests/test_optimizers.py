"""The update rules, and what is between gradient and update, as loops over a vector."""

from itertools import pairwise

import descent
import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal

from fastbp.fitting.plan import recipe_of
from fastbp.fitting.state import OptimizerState
from fastbp.kernels.formulas import optimizers
from fastbp.kernels.formulas.network import n_parameters, network
from fastbp.kernels.formulas.optimizers import OPTIMIZERS, TABLE
from fastbp.kernels.machine.compile import from_python
from fastbp.kernels.training.records import Cut

move, count_step = from_python(optimizers.move), from_python(optimizers.count_step)
step, sum_of_squares = from_python(optimizers.step), from_python(optimizers.sum_of_squares)

PRECISIONS = {"float64": 1e-13, "float32": 1e-4}
STEPS = 20
N = 37  # not a whole number of vectors


class Rule:
    """A row of the table, to be stepped with: it has its settings, its state and its memory."""

    def __init__(self, name, theta, **params):
        given, _ = descent.OPTIMIZERS[name]
        settings = founding(**given, **params)._settings()
        self.start = OptimizerState.start(settings, theta, seed=0)
        assert self.start.name == name
        self.recipe = recipe_of(network((1, 1), ()), settings, 1, Cut(1, 1))
        self.state = self.start.state.view(np.recarray)[0]
        self.m, self.v = np.zeros((2, theta.size), theta.dtype)

    def step(self, eta, theta, g):
        count_step(self.recipe, self.state)
        code = self.recipe["optimizer"]
        move(code, self.recipe, self.state, eta, theta, g, self.m, self.v)


@pytest.fixture(params=PRECISIONS)
def course(request):
    """θ, STEPS gradients, and the tolerance of the precision."""
    random, dtype = np.random.default_rng(0), request.param
    theta, gradients = random.normal(size=N), random.normal(size=(STEPS, N))
    return theta.astype(dtype), gradients.astype(dtype), PRECISIONS[dtype]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_course_of_every_rule_is_the_references(name, course):
    theta, gradients, rtol = course
    _, rule_of = descent.OPTIMIZERS[name]
    expected, rule, ours = theta.astype(float), rule_of(0.1), Rule(name, theta)
    for g in gradients:
        expected = rule.step(expected, g.astype(float))
        ours.step(0.1, theta, g)
    assert_allclose(theta, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_of_size_0_leaves_everything_where_it_is(name, course):
    theta, gradients, _ = course
    before = theta.copy()
    Rule(name, theta).step(0.0, theta, gradients[0])
    assert_array_equal(theta, before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_not_written_to(name, course):
    theta, gradients, _ = course
    before, rule = gradients.copy(), Rule(name, theta)
    for g in gradients:
        rule.step(0.1, theta, g)
    assert_array_equal(gradients, before)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_momentum_0_is_sgd(name, course):
    theta, gradients, _ = course
    plain, rule = theta.copy(), Rule(name, theta)
    sgd, rule.recipe["momentum"] = Rule("sgd", plain), 0
    for g in gradients:
        sgd.step(0.1, plain, g)
        rule.step(0.1, theta, g)
    assert_allclose(theta, plain, rtol=4 * np.finfo(theta.dtype).eps, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_rule_uses_a_vector_that_it_is_not_said_to_remember(name, course):
    theta, gradients, _ = course
    rule = Rule(name, theta)
    for g in gradients[:3]:
        rule.step(0.1, theta, g)
    used = [vector.any() for vector in (rule.m, rule.v)]
    assert used == [TABLE[name].remembers > k for k in range(2)]
    assert rule.start.memory.shape == (TABLE[name].remembers, N)


# ------------------------------------------------- between the gradient and the update


@pytest.fixture(params=[(3, 5, 2), (2, 1), (1, 4, 4, 1)], ids=str)
def layered(request):
    """A network, θ, a gradient, and which of the parameters are weights."""
    net, random = network(request.param, ["tanh"] * (len(request.param) - 2)), np.random
    theta, g = random.default_rng(0).normal(size=(2, n_parameters(net)))
    is_weight = [[True] * (a * b) + [False] * b for a, b in pairwise(request.param)]
    return net, theta, g, np.concatenate(is_weight)


def test_weights_decay_and_biases_do_not(layered):
    net, theta, g, is_weight = layered
    rule, expected = Rule("sgd", theta, weight_decay=0.5), theta - 0.1 * g
    expected[is_weight] -= 0.1 * 0.5 * theta[is_weight]
    memory = rule.start.memory
    for first in range(0, theta.size, 4):  # in pieces that end anywhere in a layer
        piece = g[first : first + 4].copy()
        step(net, rule.recipe, rule.state, 0.1, 1.0, theta, piece, memory, first, theta[:0])
    assert_allclose(theta, expected, rtol=1e-14)


@pytest.mark.parametrize("most", [0.5, 1e6, None])
def test_a_gradient_is_no_longer_than_it_may_be(most, layered):
    net, theta, g, _ = layered
    rule, length = Rule("sgd", theta, max_grad_norm=most), np.linalg.norm(g)
    shrink = from_python(optimizers.shrink_of)(rule.recipe, sum_of_squares(g))
    factor = 1 if most is None else min(1, most / length)
    assert_allclose(shrink, factor, rtol=1e-14)
    before = theta.copy()
    memory, none = rule.start.memory, theta[:0]
    step(net, rule.recipe, rule.state, 0.1, shrink, theta, g.copy(), memory, 0, none)
    assert_allclose(theta, before - 0.1 * factor * g, rtol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_the_average_is_that_of_all_steps_in_pieces_too(decay, course):
    theta, gradients, rtol = course
    rule, thetas, net = Rule("sgd", theta, ema_decay=decay), [], network((N - 1, 1), ())
    average, memory = rule.start.average, rule.start.memory
    assert_array_equal(average, theta)
    for g in gradients:
        count_step(rule.recipe, rule.state)
        for first in range(0, N, 10):
            piece = g[first : first + 10].copy()
            step(net, rule.recipe, rule.state, 0.1, 1.0, theta, piece, memory, first, average)
        thetas.append(theta.copy())
    weights = decay ** np.arange(STEPS)[::-1]
    expected = np.average(np.float64(thetas), axis=0, weights=weights)
    assert_allclose(average, expected, rtol=rtol, atol=rtol)
    if decay == 0:
        assert_array_equal(average, theta)


def test_the_reference_knows_every_rule():
    assert descent.OPTIMIZERS.keys() == OPTIMIZERS.keys()
