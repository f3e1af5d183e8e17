"""Training of narrow networks: no layer wider than a few units.

The formulas of `network.py`, unit by unit. What a step costs here is the latency of its own
chain, input to output and back; calls, views and tiles of the general machinery would cost
several times as much. A unit's o and d are one number where a step takes one sample, and
`Numbers`, those of many samples side by side, where it takes more.
"""

import numba
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
from fastbp.kernels.epoch import (
    begin_epoch,
    end_epoch,
    gather,
    gather_shares,
    weight_of,
)
from fastbp.kernels.losses import loss, slope
from fastbp.kernels.optimizers import SGD, add_penalty, count_step, sgd, update
from fastbp.kernels.vectors import as_many, count, gathered, numbers, total
from fastbp.kernels.views import least, matrix, vector

#: The widest layer for which units one by one are faster than tiles of them, and with batches of
#: samples the most parameters. (2-2-1, batch 32: 0.25 instead of 0.48 µs; 4-8-1: equal.)
WIDEST, MOST_PARAMETERS = 8, 40
if numba.config.DISABLE_JIT:
    MOST_PARAMETERS = 0  # interpreted, there are no Numbers


@entry
def train_narrow(
    thread, n_threads, barrier,
    net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
    X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
    steps, etas, losses, losses_val, scores,
):  # fmt: skip
    """As `epoch.train`; there is nothing for a second thread."""
    position, batch_size = state.position, recipe.batch_size
    for epoch in range(etas.size):
        if position == 0:
            begin_epoch(recipe, state, order)
        stop = least(position + steps * batch_size, order.size)
        if batch_size == 1:
            train_samples(
                net, recipe, state, etas[epoch], theta, memory, gradients, tiles[0],
                order, position, stop, X, y, sample_weight,
            )  # fmt: skip
        else:
            train_batches(
                net, recipe, state, etas[epoch], theta, memory, gradients, tiles[0],
                order, position, stop, X, y, sample_weight,
            )  # fmt: skip
        steps -= (stop - position + batch_size - 1) // batch_size
        state.position = stop
        if stop < order.size:
            return epoch
        position = 0
        if X_val.shape[0] > 0:
            losses_val[epoch], scores[epoch] = evaluate(
                net, recipe, theta, tiles[0, 0], X_val, y_val, weight_val, spread_val
            )
        end_epoch(epoch, recipe, state, theta, best_theta, X_val, losses, scores)
        if state.ended:
            return epoch + 1
    return etas.size


@njit
def train_samples(
    net, recipe, state, eta, theta, memory, gradients, room, order, start, stop,
    X, y, sample_weight,
):  # fmt: skip
    """A step of θ for each of the samples order[start:stop]; `room` is for o and d."""
    # Read once: for all the compiler knows, a store to θ could change any of these.
    o, d, gradient = room[0], room[1], gradients[0]
    code, scale, alpha = recipe.loss, recipe.loss_scale, recipe.alpha
    outputs, n_outputs = net[net.size - 1].units_at, net[net.size - 1].width
    weighted, weight = sample_weight.size > 0, 1.0
    sum_of_losses, sum_of_weights = 0.0, 0.0
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
                part += scale * loss(code, o[outputs + k], y[sample, k])
                d[outputs + k] = slope(code, o[outputs + k], y[sample, k])
            backward(theta, net, o, d, gradient, True)
            if alpha > 0:
                part += add_penalty(net, alpha / weight, theta, gradient)
            step(recipe, state, eta, theta, gradients, memory)
            sum_of_losses += weight * part
            sum_of_weights += weight
    state.loss += sum_of_losses
    state.weight += sum_of_weights


@njit
def train_batches(
    net, recipe, state, eta, theta, memory, gradients, room, order, start, stop,
    X, y, sample_weight,
):  # fmt: skip
    """A step of θ for each batch of the samples order[start:stop]; `room` is for o, d and the
    gradient of each sample that Numbers hold, summed over the batch."""
    code, scale, alpha, gradient = recipe.loss, recipe.loss_scale, recipe.alpha, gradients[0]
    outputs, n_outputs = net[net.size - 1].units_at, net[net.size - 1].width
    targets, size = outputs + n_outputs, count(theta)
    shares = targets + n_outputs
    o = numbers(room, 0, shares + 1)
    d, g = numbers(room, room.shape[1], targets), numbers(room, 2 * room.shape[1], theta.size)
    of_X, of_y = matrix(room, 0, X.shape[1], size), matrix(room, targets * size, n_outputs, size)
    of_shares = vector(room, shares * size, size)
    for at in range(start, stop, recipe.batch_size):
        end = least(at + recipe.batch_size, stop)
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
                    stop_here = least(i + size, end)
                    gather(X, order, i, stop_here, of_X)
                    gather(y, order, i, stop_here, of_y)
                    gather_shares(sample_weight, weight, order, i, stop_here, of_shares)
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
            step(recipe, state, eta, theta, gradients, memory)
            state.loss += weight * part
            state.weight += weight


@njit
def evaluate(net, recipe, theta, o, X, y, weight, spread):
    """As `epoch.evaluate`, sample by sample."""
    outputs = net[net.size - 1].units_at
    loss_of_all, unexplained = 0.0, 0.0
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            o[j] = X[i, j]
        forward(theta, net, o)
        for k in range(y.shape[1]):
            error = o[outputs + k] - y[i, k]
            unexplained += weight[i] * error * error / spread[k]
            loss_of_all += weight[i] * loss(recipe.loss, o[outputs + k], y[i, k])
    return recipe.loss_scale * loss_of_all, 1 - unexplained / y.shape[1]


@inline
def step(recipe, state, eta, theta, gradients, memory):
    """θ makes a step against gradients[0]."""
    if recipe.optimizer == SGD:
        sgd(theta.dtype.type(eta), theta, gradients[0])
    else:
        count_step(recipe, state)
        update(recipe, eta, state, theta, gradients, memory, np.int64(0), theta.size)


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
    slope = as_many(type(o)(1), o)
    if kind == LOGISTIC:
        slope = logistic_derivative(o)
    elif kind == TANH:
        slope = tanh_derivative(o)
    elif kind == RELU:
        slope = relu_derivative(o)
    return slope
