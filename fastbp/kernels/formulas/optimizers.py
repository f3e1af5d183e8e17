"""In-place updates of θ: loops over flat vectors that know nothing of layers.

What is remembered is stored and not read back: a vector that was stored across two lines of memory
can't be loaded again before it has arrived. (13 instead of 5 ns for 16 parameters with Adam.)

A new optimiser is an update and a row in `TABLE`. Rules and signs are those of scikit-learn, so
that equal gradients give equal steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.kernels.machine.calls import by_code
from fastbp.kernels.machine.compile import inline, njit_exact, njit_sum
from fastbp.kernels.machine.views import greatest, least, vector


@njit_exact
def sgd(recipe, state, eta, theta, g, m, v):
    """θ ← θ − η g."""
    eta = type(g[0])(eta)
    for i in range(theta.size):
        theta[i] -= eta * g[i]


@njit_exact
def momentum(recipe, state, eta, theta, g, m, v):
    """m ← μ m − η g;  θ ← θ + m."""
    eta, mu = type(g[0])(eta), type(g[0])(recipe.momentum)
    for i in range(theta.size):
        m_i = mu * m[i] - eta * g[i]
        m[i] = m_i
        theta[i] += m_i


@njit_exact
def nesterov(recipe, state, eta, theta, g, m, v):
    """m ← μ m − η g;  θ ← θ + μ m − η g."""
    eta, mu = type(g[0])(eta), type(g[0])(recipe.momentum)
    for i in range(theta.size):
        m_i = mu * m[i] - eta * g[i]
        m[i] = m_i
        theta[i] += mu * m_i - eta * g[i]


@njit_exact
def adam(recipe, state, eta, theta, g, m, v):
    """m, v ← running means of g, g²;  θ ← θ − η m / (√v + ε)  (Kingma & Ba, 2014)."""
    real = type(g[0])
    beta_1, beta_2, epsilon, one = (
        real(recipe.beta_1), real(recipe.beta_2), real(recipe.epsilon), real(1),
    )  # fmt: skip
    # The moments start at zero: their bias is divided out in the step size.
    eta = real(eta * np.sqrt(1 - state.beta_2_to_t) / (1 - state.beta_1_to_t))
    for i in range(theta.size):
        m_i = beta_1 * m[i] + (one - beta_1) * g[i]
        v_i = beta_2 * v[i] + (one - beta_2) * g[i] * g[i]
        m[i], v[i] = m_i, v_i
        theta[i] -= eta * m_i / (np.sqrt(v_i) + epsilon)


# ------------------------------------------------------------------------- the table


class Optimizer(NamedTuple):
    """A row of the table."""

    move: Callable
    solver: str  # what the estimator calls it
    remembers: int  # vectors shaped as θ, m and v, that are kept from step to step
    parameters: tuple = ()  # the numbers that it reads from the recipe


TABLE = {
    "sgd": Optimizer(sgd, "sgd", remembers=0),
    "momentum": Optimizer(momentum, "sgd", remembers=1, parameters=("momentum",)),
    "nesterov": Optimizer(nesterov, "sgd", remembers=1, parameters=("momentum",)),
    "adam": Optimizer(
        adam, "adam", remembers=2, parameters=("beta_1", "beta_2", "epsilon")
    ),
}  # fmt: skip

#: The code that kernels know an optimiser by: its row.
OPTIMIZERS = {name: code for code, name in enumerate(TABLE)}
SGD = OPTIMIZERS["sgd"]

#: What the estimator calls them. (`fitting/solvers.py` lists all that it knows.)
SOLVERS = tuple(dict.fromkeys(row.solver for row in TABLE.values()))

#: (code, recipe, state, eta, theta, g, m, v): θ makes a step against g; m and v are remembered.
move = by_code([row.move for row in TABLE.values()])


@inline
def count_step(recipe, state):
    """Carry β₁ᵗ, β₂ᵗ and the average's dᵗ on: `**` would cost more than a small network's step."""
    state.beta_1_to_t *= recipe.beta_1
    state.beta_2_to_t *= recipe.beta_2
    state.decay_to_t *= recipe.ema_decay


# ------------------------------------- between the gradient and the update, and after


@inline
def step(net, recipe, state, eta, shrink, theta, g, memory, first, average):
    """θ makes a step, for as many parameters as g has: those from `first` on.

    Here is what is done between gradient and update, in all kernels (`online.py` has its own, in
    octets): g is made shorter by the factor `shrink`, weights decay. Afterwards the average of θ,
    if there is one, follows it.
    """
    if shrink < 1:
        scale(g, shrink)
    if recipe.weight_decay > 0:
        decay(net, eta * recipe.weight_decay, theta, first, first + g.size)
    m, v = remembered(memory, 0, first, g.size), remembered(memory, 1, first, g.size)
    moved = vector(theta, first, g.size)
    move(recipe.optimizer, recipe, state, eta, moved, g, m, v)
    if average.size > 0:
        follow(vector(average, first, g.size), moved, share_of_step(recipe, state))


@inline
def remembered(memory, row, first, size):
    """What is remembered of so many parameters; nothing where the optimiser has no such vector."""
    there = greatest(np.int64(0), least(memory.shape[0] - row, np.int64(1)))
    return vector(memory, there * (row * memory.shape[1] + first), there * size)


@inline
def share_of_step(recipe, state):
    """What the latest θ counts for in the average of all of them, in which each counts for d times
    what the one after it does: (1 − d) / (1 − dᵗ)."""
    return (1 - recipe.ema_decay) / (1 - state.decay_to_t)


@njit_exact
def follow(average, theta, share):
    """θ̄ ← θ̄ + share (θ − θ̄); of the first step, θ itself."""
    if share < 1:
        share = type(theta[0])(share)
        for i in range(theta.size):
            average[i] += share * (theta[i] - average[i])
    else:
        for i in range(theta.size):
            average[i] = theta[i]


@njit_exact
def scale(g, factor):
    """g ← factor g."""
    factor = type(g[0])(factor)
    for i in range(g.size):
        g[i] *= factor


@inline
def decay(net, rate, theta, first, stop):
    """W ← (1 − rate) W, for the weights among the parameters from `first` to `stop`."""
    for l in range(1, net.size):
        begin = greatest(first, net[l].weights_at)
        shorten(vector(theta, begin, greatest(begin, least(stop, net[l].biases_at)) - begin), rate)


@njit_exact
def shorten(W, rate):
    """W ← (1 − rate) W, without rounding 1 − rate."""
    rate = W.dtype.type(rate)
    for i in range(W.size):
        W[i] -= rate * W[i]


@inline
def shrink_of(recipe, square):
    """The factor that a gradient of this squared norm is made shorter by (Pascanu et al., 2013)."""
    most = recipe.max_grad_norm
    return most / np.sqrt(square) if square > most * most else 1.0


@njit_sum
def sum_of_squares(g):
    """Σ g²."""
    total = 0.0
    for i in range(g.size):
        total += g[i] * g[i]
    return total


@njit_sum
def add_penalty(net, alpha, theta, gradient):
    """gradient ← gradient + α W, for weights only; returns ½ α ‖W‖²."""
    a, squares = theta.dtype.type(alpha), 0.0
    for l in range(1, net.size):
        for i in range(net[l].weights_at, net[l].biases_at):
            gradient[i] += a * theta[i]
            squares += theta[i] * theta[i]
    return 0.5 * alpha * squares
