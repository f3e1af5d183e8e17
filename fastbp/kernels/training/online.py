"""Online training, a step for each sample.

The formulas of `network.py`, for one sample. The units of a layer lie in the lanes of octets (see
`in_octets.py`): a layer of up to eight units is one vector wherever it goes. What a step costs is
then the latency of its own chain, input to output and back; views and tiles of the general
machinery would cost several times as much. What is stored must be waited for when it is loaded
again: the octets of o and d that are needed first are handed on in registers.

=============  =====================================================================
formula        here
=============  =====================================================================
Wⱼ, b          for each octet of a layer ``theta[row + j]``, and below them b
o of a layer   ``o[here:]``, its octets; ``singles(o, here, width)``, one by one
=============  =====================================================================
"""

import numpy as np

from fastbp.kernels.formulas.activations import KEPT, activation, derivative, slope
from fastbp.kernels.formulas.dropout import thins, write_mask
from fastbp.kernels.formulas.losses import loss_and_slope, loss_and_square
from fastbp.kernels.formulas.optimizers import (
    SGD,
    count_step,
    follow,
    move,
    scale,
    share_of_step,
    shrink_of,
)
from fastbp.kernels.machine.compile import entry, inline, njit, njit_copied, njit_exact
from fastbp.kernels.machine.functions import as_many, first, total
from fastbp.kernels.machine.runs import octets, singles
from fastbp.kernels.machine.threads import is_called_off
from fastbp.kernels.machine.vectors import INTERPRETED, LANES
from fastbp.kernels.machine.views import least
from fastbp.kernels.training.epoch import part_in_loss, train_epochs
from fastbp.kernels.training.in_octets import (
    collect,
    is_wide,
    number_lanes,
    octets_of,
    put_in_octets,
    rows_of,
    spread,
    units_of,
)
from fastbp.kernels.training.records import Cut, Kernel, scored
from fastbp.kernels.training.samples import are_by_output, ask_for_samples

#: How many samples ahead one is asked for: a step of 2-2-1 takes less than memory does.
AHEAD = 8


def suits(net, batch_size, itemsize):
    """Whether there is a step for each sample."""
    return batch_size == 1 and not INTERPRETED


def cut(net, batch_size, itemsize):
    """One gradient; a sample is no tile."""
    return Cut(LANES, 1)


def room(net, tile, n_threads):
    """As `take_steps` cuts it: θ, its gradient and two vectors of memory; o and d; eight octets of
    lanes; the loss's parameters; the average of θ, and masks."""
    octets = -(-net["width"] // 8)
    n_rows, n_units = (net["width"][:-1] + 1) @ octets[1:], octets.sum()
    return 1, 1, 8 * int(5 * n_rows + 3 * n_units + 8 + octets[-1])


@entry
def train_online(threads, training, samples, held_out, course):
    """See `epoch.train_epochs`."""
    return train_epochs(train_samples, score, threads, training, samples, held_out, course)


ONLINE = Kernel(
    "online", train_online, suits=suits, cut=cut, threads=lambda net, parts: 1, room=room
)


@njit
def train_samples(threads, training, samples, eta, start, stop):
    """A step of θ for each of the samples from start to stop."""
    # What a literal True or False is passed to would be compiled for each.
    if is_wide(training.net) or are_by_output(samples.sample_weight, samples.y):
        take_steps(bool(1), training, samples, eta, start, stop)
    else:
        take_steps(bool(0), training, samples, eta, start, stop)


@njit_copied
def take_steps(wide, training, samples, eta, start, stop):
    """As `train_samples`; where no layer is `wide`, its copy has no loops over octets: half of the
    instructions (2-2-1: 55 ns a step with them, 40 without). Weights of outputs are the other's."""
    net, recipe, state, theta = training.net, training.recipe, training.state, training.theta
    memory, room = training.memory, training.room
    order, X, y, sample_weight = samples
    # Read once: for all the compiler knows, a store to θ could change any of these.
    code, factor, alpha = recipe.loss, recipe.loss_scale, recipe.alpha
    decays, limited = recipe.weight_decay > 0, recipe.max_grad_norm < np.inf
    masks, averaged = state.masks, training.average.size > 0
    drops = thins(net, masks)
    as_it_is = alpha == 0 and not decays and not limited and not averaged
    at_once = recipe.optimizer == SGD and as_it_is
    n_rows, n_units, real = rows_of(net, wide), units_of(net, wide), theta.dtype.type
    everything = octets(room, 0, room.size // 8)
    W, G = octets(everything, 0, n_rows), octets(everything, n_rows, n_rows)
    m, v = octets(everything, 2 * n_rows, n_rows), octets(everything, 3 * n_rows, n_rows)
    o = octets(everything, 4 * n_rows, n_units)
    d = octets(everything, 4 * n_rows + n_units, n_units)
    lane = octets(everything, 4 * n_rows + 2 * n_units, 8)
    n_in, n_outputs = net[0].width, net[net.size - 1].width
    outputs = n_units - octets_of(n_outputs, wide)
    a = octets(everything, 4 * n_rows + 2 * n_units + 8, n_units - outputs)
    behind = 4 * n_rows + 2 * n_units + 8 + a.size
    A, M = octets(everything, behind, n_rows), octets(everything, behind + n_rows, n_units)
    put_in_octets(training.loss_parameters, singles(a, 0, 8 * a.size))
    number_lanes(singles(lane, 0, 64))
    spread(net, singles(theta, 0, theta.size), singles(W, 0, 8 * n_rows))
    for i in range(memory.shape[0]):
        row = singles(memory, i * theta.size, theta.size)
        spread(net, row, singles(everything, (2 + i) * n_rows, 8 * n_rows))
    if averaged:
        spread(net, singles(training.average, 0, theta.size), singles(A, 0, 8 * n_rows))
    # Whether lanes that are no output would cost something, or pull.
    zero = real(0)
    cost_of_none, pull_of_none = loss_and_slope(code, zero, zero, zero)
    # Only in the one copy: the question alone costs 2-2-1 a twentieth.
    by_output, by = wide and are_by_output(sample_weight, y), y.shape[0]
    masked = cost_of_none != 0 or pull_of_none != 0 or by_output
    weighted, weight = sample_weight.size > 0, 1.0
    sum_of_losses, sum_of_weights = state.loss, state.weight
    numbers = singles(order, 0, order.size)
    for i in range(start, stop):
        sample = numbers[i]
        ask_for_samples(X, y, order, i + AHEAD, i + AHEAD + 1)
        if weighted:
            weight = sample_weight[sample]
        if weight > 0:
            x, y_sample = singles(X, sample * n_in, n_in), singles(y, sample * n_outputs, n_outputs)
            if drops:
                write_masks(wide, net, masks, i, singles(M, 0, 8 * n_units))
            o_last = forward(wide, net, W, x, o, d, M, drops)
            part, d_first = 0.0, o_last
            for k in range(outputs, n_units):
                z = o_last if k == n_units - 1 else o[k]
                u_first, target = 8 * (k - outputs), as_many(zero, z)
                for u in range(least(8, n_outputs - u_first)):
                    target += y_sample[u_first + u] * lane[u]
                cost, d_k = loss_and_slope(code, z, target, a[k - outputs])
                if masked:
                    mask = as_many(zero, z)
                    for u in range(least(8, n_outputs - u_first)):
                        if by_output:
                            at = by + sample * n_outputs + u_first + u
                            mask += real(sample_weight[at] / weight) * lane[u]
                        else:
                            mask += lane[u]
                    cost, d_k = mask * cost, mask * d_k
                part += factor * total(cost)
                d[k] = d_k
                if k == outputs:
                    d_first = d_k
            backward(wide, net, W, G, x, o, d, d_first, lane, at_once, real(eta))
            if alpha > 0:
                part += add_penalty(wide, net, real(alpha / weight), W, G)
            if not at_once:
                count_step(recipe, state)
                if limited:
                    shorten(recipe, G)
                if decays:
                    decay(wide, net, real(eta * recipe.weight_decay), W)
                move(recipe.optimizer, recipe, state, eta, W, G, m, v)
                if averaged:
                    follow(A, W, share_of_step(recipe, state))
            share = part_in_loss(recipe, weight, 1)
            sum_of_losses += share * part
            sum_of_weights += share
    state.loss, state.weight = sum_of_losses, sum_of_weights
    collect(net, singles(W, 0, 8 * n_rows), singles(theta, 0, theta.size))
    for i in range(memory.shape[0]):
        row = singles(memory, i * theta.size, theta.size)
        collect(net, singles(everything, (2 + i) * n_rows, 8 * n_rows), row)
    if averaged:
        collect(net, singles(A, 0, 8 * n_rows), singles(training.average, 0, theta.size))


@njit
def shorten(recipe, G):
    """G, no longer than the recipe allows; see `optimizers.step`."""
    square = 0.0
    for i in range(G.size):
        square += total(G[i] * G[i])
    shrink = shrink_of(recipe, square)
    if shrink < 1:
        scale(G, shrink)


@njit_exact
def decay(wide, net, rate, theta):
    """W ← (1 − rate) W, for weights only; see `optimizers.step`."""
    row = 0
    for l in range(1, net.size):
        for _ in range(octets_of(net[l].width, wide)):
            for i in range(row, row + net[l - 1].width):
                theta[i] -= rate * theta[i]
            row += net[l - 1].width + 1


@njit
def score(threads, training, held_out):
    """See `epoch.train_epochs`; sample by sample."""
    net, recipe, room, theta = training.net, training.recipe, training.room, scored(training)
    wide, a = is_wide(net), training.loss_parameters
    X, y, n_rows, n_units = held_out.X, held_out.y, rows_of(net, wide), units_of(net, wide)
    n_in, n_outputs = X.shape[1], y.shape[1]
    W, o = octets(room, 0, n_rows), octets(room, 8 * n_rows, n_units)
    d = octets(room, 8 * (n_rows + n_units), n_units)
    spread(net, singles(theta, 0, theta.size), singles(W, 0, 8 * n_rows))
    z = singles(o, n_units - octets_of(n_outputs, wide), n_outputs)
    loss_of_all, unexplained, weight = 0.0, 0.0, held_out.weight
    by_output = are_by_output(weight, y)
    for i in range(X.shape[0]):
        if is_called_off(threads.barrier):
            break
        forward(wide, net, W, singles(X, i * n_in, n_in), o, d, d, False)
        for k in range(n_outputs):
            share = weight[y.shape[0] + i * n_outputs + k] if by_output else weight[i]
            of = loss_and_square(recipe.loss, a[k], share, z[k], y[i, k])
            unexplained += of[1] / held_out.spread[k]
            loss_of_all += of[0]
    return loss_of_all, unexplained


@njit
def write_masks(wide, net, masks, place, M):
    """M ← the mask of a sample, where σ′ is kept: for each unit, as o has them."""
    at = 0
    for l in range(net.size):
        if net[l].slope == KEPT:
            for k in range(net[l].width):
                write_mask(net, l, k, masks, place, np.int64(1), M, at + k)
        at += 8 * octets_of(net[l].width, wide)


@inline
def forward(wide, net, theta, x, o, d, M, drops):
    """z = Σⱼ Wⱼ oⱼ + b,  o = σ(z), for every layer; o of the inputs is x.

    A σ′ that is kept waits in d; both are taken times the mask, if it `drops`. Returns the last
    octet, in a register.
    """
    row, here, before, real = 0, octets_of(net[0].width, wide), x, type(x[0])
    for l in range(1, net.size):
        n_in, begin, end = net[l - 1].width, here, here + octets_of(net[l].width, wide)
        while here < end:
            # Two sums side by side: each term waits for the one before it.
            z, odd, j = theta[row + n_in], as_many(real(0), theta[row]), 0
            while j + 1 < n_in:
                z += theta[row + j] * before[j]
                odd += theta[row + j + 1] * before[j + 1]
                j += 2
            if j < n_in:
                z += theta[row + j] * before[j]
            z += odd
            output = activation(net[l].activation, z)
            if net[l].slope == KEPT:
                kept = slope(net[l].activation, z, output)
                if drops:
                    output, kept = M[here] * output, M[here] * kept
                d[here] = kept
            o[here] = output
            row, here = row + n_in + 1, here + 1
        before = singles(o, begin, net[l].width)
    return output


@inline
def backward(wide, net, theta, gradient, x, o, d, d_first, lane, at_once, eta):
    """∂L/∂Wⱼ = oⱼ d,  ∂L/∂b = d,  dⱼ = σ′(zⱼ) Wⱼ·d;  d of the outputs is given.

    Where nothing else is done to the gradient, θ moves by −η times it `at_once`. `d_first` is the
    first octet of d, in a register.
    """
    row, here = gradient.size, o.size - octets_of(net[net.size - 1].width, wide)
    for l in range(net.size - 1, 0, -1):
        n_in, n_out, alone = net[l - 1].width, octets_of(net[l].width, wide), net[l].width == 1
        row, below, n_rows = row - (n_in + 1) * n_out, here - octets_of(n_in, wide), n_in + 1
        before, d_u = x, d_first
        if l > 1:
            before = singles(o, below, n_in)
            for u in range(here - 1, below - 1, -1):
                j_first, e = 8 * (u - below), as_many(type(x[0])(0), d_first)
                for j in range(least(8, n_in - j_first)):
                    at = row + j_first + j
                    part = theta[at] * d_first
                    for k in range(1, n_out):
                        part += theta[at + k * n_rows] * d[here + k]
                    # A sum over lanes takes as long as four products; a single unit needs none.
                    e += (first(part) if alone else total(part)) * lane[j]
                if net[l - 1].slope == KEPT:
                    d_u = e * d[u]
                else:
                    d_u = e * derivative(net[l - 1].activation, o[u])
                d[u] = d_u
        at = row
        for k in range(n_out):
            d_k = d_first if k == 0 else d[here + k]
            if at_once:
                move = eta * d_k
                for j in range(n_in):
                    theta[at + j] -= move * before[j]
                theta[at + n_in] -= move
            else:
                for j in range(n_in):
                    gradient[at + j] = d_k * before[j]
                gradient[at + n_in] = d_k
            at += n_rows
        here, d_first = below, d_u


@inline
def add_penalty(wide, net, alpha, theta, gradient):
    """gradient ← gradient + α W, for weights only; returns ½ α ‖W‖²."""
    row, squares = 0, 0.0
    for l in range(1, net.size):
        for _ in range(octets_of(net[l].width, wide)):
            for i in range(row, row + net[l - 1].width):
                gradient[i] += alpha * theta[i]
                squares += total(theta[i] * theta[i])
            row += net[l - 1].width + 1
    return 0.5 * alpha * squares
