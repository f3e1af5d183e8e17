"""Training of narrow networks in batches: few parameters in all.

The formulas of `network.py`, unit by unit: the o or d of a unit is `Numbers`, those of many
samples side by side, which stay in registers. Calls, views and tiles of the general machinery
would cost several times what there is to compute.
"""

import numpy as np

from fastbp.kernels.formulas.activations import KEPT, activation, derivative, slope
from fastbp.kernels.formulas.dropout import thins, write_mask
from fastbp.kernels.formulas.losses import loss_and_slope, loss_and_square
from fastbp.kernels.formulas.network import n_parameters, step_flops, tile_rows
from fastbp.kernels.formulas.optimizers import (
    SGD,
    add_penalty,
    count_step,
    shrink_of,
    step,
    sum_of_squares,
)
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.functions import as_many, total
from fastbp.kernels.machine.runs import numbers, singles
from fastbp.kernels.machine.threads import is_called_off
from fastbp.kernels.machine.vectors import INTERPRETED, LANES, TOGETHER, count, gathered
from fastbp.kernels.machine.views import least, matrix, vector
from fastbp.kernels.training.epoch import part_in_loss, train_epochs
from fastbp.kernels.training.records import Cut, Kernel, Samples, scored
from fastbp.kernels.training.samples import (
    are_by_output,
    ask_for_samples,
    gather,
    gather_shares,
    gather_shares_by_output,
    weight_of,
)
from fastbp.kernels.training.tiled import THREADS_FLOPS

#: The widest layer, and the most parameters, for which units one by one are faster than tiles of
#: them. (2-2-1, batch 32: 0.25 instead of 0.48 µs; 4-8-1: equal.)
WIDEST, MOST_PARAMETERS = 8, 40


def suits(net, batch_size, itemsize):
    """Whether the network is narrow, and the batch fills a vector and isn't worth two threads."""
    few = n_parameters(net) <= MOST_PARAMETERS and net["width"].max() <= WIDEST
    alone = step_flops(net, batch_size) < THREADS_FLOPS
    return few and alone and batch_size >= LANES and not INTERPRETED


def cut(net, batch_size, itemsize):
    """One gradient; the samples are not in tiles."""
    return Cut(LANES, 1)


def room(net, tile, n_threads):
    """o, d and the gradient of as many samples as Numbers hold, a row for each unit or parameter,
    as `train_batches` cuts them. (Of float64 they hold half as many, and half is left.)"""
    return 1, 3, max(tile_rows(net), n_parameters(net)) * TOGETHER * LANES


@entry
def train_narrow(threads, training, samples, held_out, course):
    """See `epoch.train_epochs`."""
    return train_epochs(train_batches, score, threads, training, samples, held_out, course)


NARROW = Kernel(
    "narrow", train_narrow, suits=suits, cut=cut, threads=lambda net, parts: 1, room=room
)


@njit
def train_batches(threads, training, samples, eta, start, stop):
    """A step of θ for each batch of the samples from start to stop."""
    net, recipe, state, theta = training.net, training.recipe, training.state, training.theta
    order, X, y, sample_weight = samples
    code, scale, alpha, gradient = (
        recipe.loss,
        recipe.loss_scale,
        recipe.alpha,
        training.gradients[0],
    )
    outputs, n_outputs = net[net.size - 1].units_at, net[net.size - 1].width
    targets, a = outputs + n_outputs, training.loss_parameters
    shares, tiles, size = targets + n_outputs, training.room, count(theta)
    average, masks = training.average, state.masks
    by_output = are_by_output(sample_weight, y)
    as_it_is = recipe.optimizer == SGD and recipe.weight_decay == 0 and average.size == 0
    limited, drops = recipe.max_grad_norm < np.inf, thins(net, masks)
    # The gradient of each sample that Numbers hold, summed over the batch, is g.
    o, d = numbers(third(tiles, 0), 0, rows_of(net)), numbers(third(tiles, 1), 0, targets)
    g = numbers(third(tiles, 2), 0, theta.size)
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
                    gather_some(tiles, targets, samples, weight, i, last)
                if drops:
                    write_masks(net, masks, i, size, third(tiles, 0))
                forward(theta, net, o, d, drops)
                for k in range(n_outputs):
                    z, target = o[outputs + k], o[targets + k]
                    cost, pull = loss_and_slope(code, z, target, a[k])
                    share = d[outputs + k] if by_output else o[shares]
                    part += scale * total(share * cost)
                    d[outputs + k] = share * pull
                backward(theta, net, o, d, g, is_first)
                is_first = False
            for p in range(theta.size):
                gradient[p] = total(g[p])
            if alpha > 0:
                part += add_penalty(net, alpha / weight, theta, gradient)
            shrink = 1.0
            if limited:
                shrink = shrink_of(recipe, sum_of_squares(gradient))
            if not as_it_is:
                count_step(recipe, state)
            share = part_in_loss(recipe, weight, end - at)
            state.loss += share * part
            state.weight += share
            memory, first = training.memory, np.int64(0)
            step(net, recipe, state, eta, shrink, theta, gradient, memory, first, average)


@njit
def score(threads, training, held_out):
    """See `epoch.train_epochs`."""
    net, recipe, tiles, theta = training.net, training.recipe, training.room, scored(training)
    outputs, n_outputs = net[net.size - 1].units_at, net[net.size - 1].width
    targets, a = outputs + n_outputs, training.loss_parameters
    shares, size, n = targets + n_outputs, count(theta), held_out.order.size
    o, d = numbers(third(tiles, 0), 0, shares + 1), numbers(third(tiles, 1), 0, targets)
    loss_of_all, unexplained = 0.0, 0.0
    samples = Samples(held_out.order, held_out.X, held_out.y, held_out.weight)
    by_output = are_by_output(held_out.weight, held_out.y)
    for i in range(0, n, size):
        if is_called_off(threads.barrier):
            break
        gather_some(tiles, targets, samples, 1.0, i, least(i + size, n))
        forward(theta, net, o, d, False)
        for k in range(n_outputs):
            share = d[outputs + k] if by_output else o[shares]
            of = loss_and_square(recipe.loss, a[k], share, o[outputs + k], o[targets + k])
            unexplained += total(of[1]) / held_out.spread[k]
            loss_of_all += total(of[0])
    return loss_of_all, unexplained


@inline
def third(tiles, part):
    """A part of the room; what is cut from it can't reach into the next one unseen."""
    return singles(tiles, part * tiles.shape[2], tiles.shape[2])


@njit
def gather_some(tiles, targets, samples, weight, start, stop):
    """The inputs, targets and shares of the samples from start to stop: as many as Numbers, or
    fewer. Shares of each output lie in d, where that of the outputs will be."""
    order, X, y, sample_weight = samples
    size, n_outputs, o = count(X), y.shape[1], vector(tiles, 0, tiles.shape[2])
    gather(X, order, start, stop, matrix(o, 0, X.shape[1], size))
    gather(y, order, start, stop, matrix(o, targets * size, n_outputs, size))
    shares = vector(o, (targets + n_outputs) * size, size)
    gather_shares(sample_weight, weight, order, start, stop, shares)
    if are_by_output(sample_weight, y):
        d = vector(tiles, tiles.shape[2], tiles.shape[2])
        own = matrix(d, (targets - n_outputs) * size, n_outputs, size)
        gather_shares_by_output(sample_weight, weight, order, start, stop, y.shape[0], own)


@inline
def rows_of(net):
    """Rows of o: those of a tile, see `network.network`."""
    last = net[net.size - 1]
    rows = last.units_at + 2 * last.width + 1
    for l in range(net.size):
        if net[l].slope == KEPT:
            rows += net[l].width
    return rows


@njit
def write_masks(net, masks, place, n, o):
    """Where tiles have σ′ that is kept, which here waits in d: the masks of n samples."""
    for l in range(net.size):
        if net[l].slope == KEPT:
            for k in range(net[l].width):
                write_mask(net, l, k, masks, place, n, o, (net[l].slopes_at + k) * n)


@inline
def forward(theta, net, o, d, drops):
    """oₖ = σ(Σⱼ wⱼₖ oⱼ + bₖ), for every unit k of every layer; a σ′ that is kept waits in dₖ.

    Both times a mask, if it `drops`.
    """
    for l in range(1, net.size):
        n_out, before, here = net[l].width, net[l - 1].units_at, net[l].units_at
        for k in range(n_out):
            z = as_many(theta[net[l].biases_at + k], o[here + k])
            for j in range(net[l - 1].width):
                z += theta[net[l].weights_at + j * n_out + k] * o[before + j]
            output = activation(net[l].activation, z)
            if net[l].slope == KEPT:
                kept = slope(net[l].activation, z, output)
                if drops:
                    mask = o[net[l].slopes_at + k]
                    output, kept = mask * output, mask * kept
                d[here + k] = kept
            o[here + k] = output


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
            if net[l - 1].slope == KEPT:
                d[before + j] = e * d[before + j]
            else:
                d[before + j] = e * derivative(net[l - 1].activation, o[before + j])
