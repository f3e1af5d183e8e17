"""Online training of small networks: one sample a step, no layer wider than a few units.

The formulas of `network.py`, unit by unit. What a step costs here is the latency of its own
chain, input to output and back; calls, views and vectors of the general machinery would cost
several times as much. Wider networks are better off there, even with one sample.
"""

import numpy as np

from fastbp.kernels.activations import (
    LOGISTIC,
    RELU,
    TANH,
    logistic,
    logistic_derivative,
    relu,
    relu_derivative,
    tanh,
    tanh_derivative,
)
from fastbp.kernels.compile import entry, inline, njit
from fastbp.kernels.epoch import begin_epoch, end_epoch
from fastbp.kernels.losses import loss, slope
from fastbp.kernels.optimizers import SGD, add_penalty, count_step, sgd, update
from fastbp.kernels.views import least

#: The widest layer for which units one by one are faster than vectors of them.
WIDEST = 8


@entry
def train_online(
    thread, n_threads, barrier,
    net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
    X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
    steps, etas, losses, losses_val, scores,
):  # fmt: skip
    """As `epoch.train`, for batches of one sample; there is nothing for a second thread."""
    position = state.position
    for epoch in range(etas.size):
        if position == 0:
            begin_epoch(recipe, state, order)
        stop = least(position + steps, order.size)
        train_samples(
            net, recipe, state, etas[epoch], theta, memory, gradients, tiles[0, 0], tiles[0, 1],
            order, position, stop, X, y, sample_weight,
        )  # fmt: skip
        steps -= stop - position
        state.position = stop
        if stop < order.size:
            return epoch
        position = 0
        end_epoch(
            epoch, net, recipe, state, theta, best_theta, tiles[0],
            order_val, X_val, y_val, weight_val, spread_val, losses, losses_val, scores,
        )  # fmt: skip
        if state.ended:
            return epoch + 1
    return etas.size


@njit
def train_samples(
    net, recipe, state, eta, theta, memory, gradients, o, d, order, start, stop,
    X, y, sample_weight,
):  # fmt: skip
    """A step of θ for each of the samples order[start:stop].

    `o` and `d` have room for a number a unit; the rest is as in `epoch.py`.
    """
    # Read once: for all the compiler knows, a store to θ could change any of these.
    gradient, first = gradients[0], np.int64(0)
    loss_code, loss_scale, alpha = recipe.loss, recipe.loss_scale, recipe.alpha
    plain, step = recipe.optimizer == SGD, theta.dtype.type(eta)
    outputs, n_outputs = net[net.size - 1].units_at, net[net.size - 1].width
    weighted, weight = sample_weight.size > 0, 1.0
    total, total_weight = 0.0, 0.0
    for i in range(start, stop):
        sample = order[i]
        if weighted:
            weight = sample_weight[sample]
        if weight > 0:
            for j in range(X.shape[1]):
                o[j] = X[sample, j]
            forward(theta, net, o)
            part = 0.0
            for k in range(n_outputs):
                part += loss_scale * loss(loss_code, o[outputs + k], y[sample, k])
                d[outputs + k] = slope(loss_code, o[outputs + k], y[sample, k])
            backward(theta, net, o, d, gradient)
            if alpha > 0:
                part += add_penalty(net, alpha / weight, theta, gradient)
            if plain:
                sgd(step, theta, gradient)
            else:
                count_step(recipe, state)
                update(recipe, eta, state, theta, gradients, memory, first, theta.size)
            total += weight * part
            total_weight += weight
    state.loss += total
    state.weight += total_weight


@inline
def forward(theta, net, o):
    """oₖ = σ(Σⱼ wⱼₖ oⱼ + bₖ), for every unit k of every layer."""
    for l in range(1, net.size):
        n_out, before, here = net[l].width, net[l - 1].units_at, net[l].units_at
        for k in range(n_out):
            z = theta[net[l].biases_at + k]
            for j in range(net[l - 1].width):
                z += theta[net[l].weights_at + j * n_out + k] * o[before + j]
            o[here + k] = activation(net[l].activation, z)


@inline
def backward(theta, net, o, d, gradient):
    """∂L/∂wⱼₖ = oⱼ dₖ,  ∂L/∂bₖ = dₖ,  dⱼ = σ′(zⱼ) Σₖ wⱼₖ dₖ;  d of the outputs is given."""
    for l in range(net.size - 1, 0, -1):
        n_out, before, here = net[l].width, net[l - 1].units_at, net[l].units_at
        for k in range(n_out):
            gradient[net[l].biases_at + k] = d[here + k]
        for j in range(net[l - 1].width):
            row = net[l].weights_at + j * n_out
            total = type(theta[0])(0)
            for k in range(n_out):
                gradient[row + k] = o[before + j] * d[here + k]
                total += theta[row + k] * d[here + k]
            d[before + j] = total * derivative(net[l - 1].activation, o[before + j])


@inline
def activation(kind, z):
    """σ(z)."""
    o = z
    if kind == LOGISTIC:
        o = logistic(z)
    elif kind == TANH:
        o = tanh(z)
    elif kind == RELU:
        o = relu(z)
    return o


@inline
def derivative(kind, o):
    """σ′(z), where o = σ(z)."""
    slope = type(o)(1)
    if kind == LOGISTIC:
        slope = logistic_derivative(o)
    elif kind == TANH:
        slope = tanh_derivative(o)
    elif kind == RELU:
        slope = relu_derivative(o)
    return slope
