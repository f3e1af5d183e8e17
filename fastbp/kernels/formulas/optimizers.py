"""In-place updates of θ: loops over flat vectors that know nothing of layers.

What is remembered is stored and not read back: a vector that was stored across two lines of memory
can't be loaded again before it has arrived. (13 instead of 5 ns for 16 parameters with Adam.)

A new optimiser is a code, a row in `OPTIMIZERS` and an update. Rules and signs are those of
scikit-learn, so that equal gradients give equal steps.
"""

import numpy as np

from fastbp.kernels.machine.compile import inline, njit_exact, njit_sum
from fastbp.kernels.machine.views import vector

SGD, MOMENTUM, NESTEROV, ADAM = range(4)

#: How many vectors shaped as θ each optimiser remembers between steps.
OPTIMIZERS = {SGD: 0, MOMENTUM: 1, NESTEROV: 1, ADAM: 2}


@inline
def count_step(recipe, state):
    """Carry β₁ᵗ and β₂ᵗ on: `**` would cost more than a small network's step."""
    state.beta_1_to_t *= recipe.beta_1
    state.beta_2_to_t *= recipe.beta_2


@njit_exact
def update(recipe, eta, state, theta, g, memory, first):
    """θ ← θ − η ∂L/∂θ, or what the optimiser makes of it, for as many parameters as g has.

    `recipe` and `state` are those of `epoch.py`; g is ∂L/∂θ for the parameters from `first` on, and
    `memory` has a row for each vector that the optimiser remembers.
    """
    real, theta = theta.dtype.type, vector(theta, first, g.size)
    m, v = vector(memory, first, g.size), vector(memory, memory.shape[1] + first, g.size)
    move(recipe, eta, state, real, theta, g, m, v)


@inline
def move(recipe, eta, state, real, theta, g, m, v):
    """θ makes a step against g; m and v are what is remembered."""
    if recipe.optimizer == SGD:
        sgd(real(eta), theta, g)
    elif recipe.optimizer == MOMENTUM:
        momentum(real(eta), real(recipe.momentum), theta, g, m)
    elif recipe.optimizer == NESTEROV:
        nesterov(real(eta), real(recipe.momentum), theta, g, m)
    else:
        # The moments start at zero: their bias is divided out in the step size.
        adam(
            real(eta * np.sqrt(1 - state.beta_2_to_t) / (1 - state.beta_1_to_t)),
            real(recipe.beta_1),
            real(recipe.beta_2),
            real(recipe.epsilon),
            theta,
            g,
            m,
            v,
        )


@njit_exact
def sgd(eta, theta, g):
    """θ ← θ − η g."""
    for i in range(theta.size):
        theta[i] -= eta * g[i]


@njit_exact
def momentum(eta, mu, theta, g, v):
    """v ← μ v − η g;  θ ← θ + v."""
    for i in range(theta.size):
        v_i = mu * v[i] - eta * g[i]
        v[i] = v_i
        theta[i] += v_i


@njit_exact
def nesterov(eta, mu, theta, g, v):
    """v ← μ v − η g;  θ ← θ + μ v − η g."""
    for i in range(theta.size):
        v_i = mu * v[i] - eta * g[i]
        v[i] = v_i
        theta[i] += mu * v_i - eta * g[i]


@njit_exact
def adam(eta, beta_1, beta_2, epsilon, theta, g, m, v):
    """m, v ← running means of g, g²;  θ ← θ − η m / (√v + ε)  (Kingma & Ba, 2014)."""
    one = type(eta)(1)
    for i in range(theta.size):
        m_i = beta_1 * m[i] + (one - beta_1) * g[i]
        v_i = beta_2 * v[i] + (one - beta_2) * g[i] * g[i]
        m[i], v[i] = m_i, v_i
        theta[i] -= eta * m_i / (np.sqrt(v_i) + epsilon)


@njit_sum
def add_penalty(net, alpha, theta, gradient):
    """gradient ← gradient + α W, for weights only; returns ½ α ‖W‖²."""
    a, squares = theta.dtype.type(alpha), 0.0
    for l in range(1, net.size):
        for i in range(net[l].weights_at, net[l].biases_at):
            gradient[i] += a * theta[i]
            squares += theta[i] * theta[i]
    return 0.5 * alpha * squares
