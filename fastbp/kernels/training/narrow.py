"""Training of narrow networks in batches: few parameters in all.

The formulas of `network.py`, unit by unit: the o or d of a unit is `Numbers`, those of many
samples side by side, which stay in registers. Calls, views and tiles of the general machinery
would cost several times what there is to compute.
"""

import numpy as np

from fastbp.kernels.formulas.activations import activation, derivative
from fastbp.kernels.formulas.losses import loss, slope
from fastbp.kernels.formulas.optimizers import SGD, add_penalty, count_step, sgd, update
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.runs import numbers
from fastbp.kernels.machine.vectors import as_many, count, gathered, total
from fastbp.kernels.machine.views import least, matrix, vector
from fastbp.kernels.training.epoch import train_epochs
from fastbp.kernels.training.samples import ask_for_samples, gather, gather_shares, weight_of

#: The widest layer, and the most parameters, for which units one by one are faster than tiles of
#: them. (2-2-1, batch 32: 0.25 instead of 0.48 µs; 4-8-1: equal.)
WIDEST, MOST_PARAMETERS = 8, 40


@entry
def train_narrow(
    thread, n_threads, barrier,
    net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
    X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
    steps, etas, losses, losses_val, scores,
):  # fmt: skip
    """As `epoch.train`."""
    return train_epochs(
        train_batches, evaluate,
        thread, n_threads, barrier,
        net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
        X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
        steps, etas, losses, losses_val, scores,
    )  # fmt: skip


@njit
def train_batches(
    thread, n_threads, barrier, net, recipe, state, eta, theta, memory,
    gradients, part_losses, tiles, order, start, stop, X, y, sample_weight,
):  # fmt: skip
    """A step of θ for each batch of the samples order[start:stop]."""
    code, scale, alpha, gradient = recipe.loss, recipe.loss_scale, recipe.alpha, gradients[0]
    outputs, n_outputs = net[net.size - 1].units_at, net[net.size - 1].width
    targets = outputs + n_outputs
    shares, room, size = targets + n_outputs, tiles.shape[2], count(theta)
    # The gradient of each sample that Numbers hold, summed over the batch, is g.
    o = numbers(tiles, 0, shares + 1)
    d, g = numbers(tiles, room, targets), numbers(tiles, 2 * room, theta.size)
    for at in range(start, stop, recipe.batch_size):
        end = least(at + recipe.batch_size, stop)
        ask_for_samples(X, y, order, end, end + recipe.batch_size)
        weight = weight_of(sample_weight, order, at, end)
        if weight > 0:
            part, is_first = 0.0, True
            for i in range(at, end, size):
                if i + size <= end and sample_weight.size == 0:
                    for j in range(X.shape[1]):
                        o[j] = gathered(X, order, i, j)
                    for k in range(n_outputs):
                        o[targets + k] = gathered(y, order, i, k)
                    o[shares] = as_many(theta.dtype.type(1 / weight), o[shares])
                else:
                    last = least(i + size, end)
                    gather_some(tiles, targets, X, y, sample_weight, weight, order, i, last)
                forward(theta, net, o)
                for k in range(n_outputs):
                    prediction, target = o[outputs + k], o[targets + k]
                    part += scale * total(o[shares] * loss(code, prediction, target))
                    d[outputs + k] = o[shares] * slope(code, prediction, target)
                backward(theta, net, o, d, g, is_first)
                is_first = False
            for p in range(theta.size):
                gradient[p] = total(g[p])
            if alpha > 0:
                part += add_penalty(net, alpha / weight, theta, gradient)
            if recipe.optimizer == SGD:
                sgd(theta.dtype.type(eta), theta, gradient)
            else:
                count_step(recipe, state)
                update(recipe, eta, state, theta, gradient, memory, np.int64(0))
            state.loss += weight * part
            state.weight += weight


@njit
def evaluate(
    thread, n_threads, barrier, net, recipe, theta, tiles, order, X, y, weight, spread
):  # fmt: skip
    """As `epoch.evaluate`."""
    outputs, n_outputs = net[net.size - 1].units_at, net[net.size - 1].width
    targets = outputs + n_outputs
    shares, size = targets + n_outputs, count(theta)
    o = numbers(tiles, 0, shares + 1)
    loss_of_all, unexplained = 0.0, 0.0
    for i in range(0, order.size, size):
        gather_some(tiles, targets, X, y, weight, 1.0, order, i, least(i + size, order.size))
        forward(theta, net, o)
        for k in range(n_outputs):
            prediction, target = o[outputs + k], o[targets + k]
            error = prediction - target
            unexplained += total(o[shares] * error * error) / spread[k]
            loss_of_all += total(o[shares] * loss(recipe.loss, prediction, target))
    return recipe.loss_scale * loss_of_all, 1 - unexplained / n_outputs


@njit
def gather_some(tiles, targets, X, y, sample_weight, weight, order, start, stop):
    """The inputs, targets and shares of the samples order[start:stop], fewer than Numbers hold."""
    size, n_outputs = count(X), y.shape[1]
    gather(X, order, start, stop, matrix(tiles, 0, X.shape[1], size))
    gather(y, order, start, stop, matrix(tiles, targets * size, n_outputs, size))
    shares = vector(tiles, (targets + n_outputs) * size, size)
    gather_shares(sample_weight, weight, order, start, stop, shares)


@inline
def forward(theta, net, o):
    """oₖ = σ(Σⱼ wⱼₖ oⱼ + bₖ), for every unit k of every layer."""
    for l in range(1, net.size):
        n_out, before, here = net[l].width, net[l - 1].units_at, net[l].units_at
        for k in range(n_out):
            z = as_many(theta[net[l].biases_at + k], o[here + k])
            for j in range(net[l - 1].width):
                z += theta[net[l].weights_at + j * n_out + k] * o[before + j]
            o[here + k] = activation(net[l].activation, z)


@inline
def backward(theta, net, o, d, gradient, is_first):
    """∂L/∂wⱼₖ = oⱼ dₖ,  ∂L/∂bₖ = dₖ,  dⱼ = σ′(zⱼ) Σₖ wⱼₖ dₖ;  d of the outputs is given.

    The gradient is added to what is there, unless these are the first samples.
    """
    for l in range(net.size - 1, 0, -1):
        n_out, before, here = net[l].width, net[l - 1].units_at, net[l].units_at
        for k in range(n_out):
            b = net[l].biases_at + k
            gradient[b] = d[here + k] if is_first else gradient[b] + d[here + k]
        for j in range(net[l - 1].width):
            row = net[l].weights_at + j * n_out
            e = as_many(type(theta[0])(0), d[here])
            for k in range(n_out):
                w, part = row + k, o[before + j] * d[here + k]
                gradient[w] = part if is_first else gradient[w] + part
                e += theta[w] * d[here + k]
            d[before + j] = e * derivative(net[l - 1].activation, o[before + j])
