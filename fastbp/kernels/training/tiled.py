"""Training by tiles: batches → tiles → gradient → update. The kernel for most networks.

A batch is cut into tiles of a fixed number of samples. A tile is gathered from X, flows
forward through all layers and back through all layers while it is in cache, and adds its
part to the gradient; after the last tile of the batch θ moves, once.

Whoever is free takes the next of a batch's parts, which are runs of tiles with a gradient of their
own; then each thread sums and updates its share of θ. Parts are cut by the shape of the network and
the batch alone, and summed in their order: the result is the same, to the last bit, for any number
of threads.
"""

import numpy as np

from fastbp.kernels.formulas.dropout import NO_MASKS, drop, keep_all
from fastbp.kernels.formulas.losses import (
    loss_and_slope_by_output,
    loss_and_slope_of_tile,
    loss_and_square,
    mean_of,
)
from fastbp.kernels.formulas.network import (
    backward,
    forward,
    n_parameters,
    step_flops,
    tile_rows,
    units,
)
from fastbp.kernels.formulas.optimizers import add_penalty, count_step, step
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.threads import is_called_off, next_piece, share_of, wait
from fastbp.kernels.machine.vectors import LANES, padded
from fastbp.kernels.machine.views import least, matrix, part_of, vector
from fastbp.kernels.products.blocks import LINE
from fastbp.kernels.products.gradients import outer, sums
from fastbp.kernels.products.products import back, outputs, outputs_of_one
from fastbp.kernels.products.tiles import RESUMED, ZERO
from fastbp.kernels.training.encoding import encode_one, encode_tile
from fastbp.kernels.training.epoch import (
    BLOCK,
    part_in_loss,
    sum_blocks,
    sum_of_parts,
    train_epochs,
)
from fastbp.kernels.training.records import Cut, Kernel, scored
from fastbp.kernels.training.samples import (
    are_by_output,
    ask_for_samples,
    gather,
    gather_shares,
    gather_shares_by_output,
    gather_standardized,
    weight_of,
)

#: Which part of a thread's room holds O, and which D; the third is room to work in.
O_PART, D_PART = 0, 1

#: Bytes of O and D of one tile, but no fewer samples than LEAST_SAMPLES: what is done once for
#: a tile (packing, turning over, beginning a sum) then costs little.
TILE_BYTES, LEAST_SAMPLES = 64 * 1024, 16 * LANES

#: Bytes for the gradients of a batch's parts, and the most parts there are.
PARTS_BYTES, MOST_PARTS = 8 * 2**20, 64

#: Bytes of weights that no longer stay in a core's cache: they should serve four times as many
#: samples each time they are read.
WEIGHTS_BYTES = 2**20

#: Up to how many rows are predicted one by one: a vector of them would be idle in most lanes.
FEW_ROWS = max(LANES // 5, 1)

#: Floating-point operations of a step from which on a second thread is worth its barriers.
THREADS_FLOPS = 1e6


def cut(net, batch_size, itemsize):
    """As many samples in a tile as fit the cache, in tiles of equal size."""
    samples = max(TILE_BYTES // (2 * tile_rows(net) * itemsize), LEAST_SAMPLES)
    if n_parameters(net) * itemsize > WEIGHTS_BYTES:
        samples = max(samples, 4 * LEAST_SAMPLES)
    if step_flops(net, batch_size) >= THREADS_FLOPS:
        samples = min(samples, max(-(-batch_size // 2), 4 * LANES))  # something for a second thread
    fitting = PARTS_BYTES // (n_parameters(net) * itemsize)
    return Cut(equal_tiles(batch_size, samples), max(2, min(fitting, MOST_PARTS)))


def equal_tiles(n_samples, most):
    """Samples in a tile, `most` at most, where n_samples are in tiles of equal size."""
    tiles = -(-n_samples // most)
    return -(-n_samples // (tiles * LANES)) * LANES


def room(net, tile, n_threads):
    """O and D of one tile, and as much to work in, for each thread."""
    return n_threads, 3, tile_rows(net) * tile


@entry
def train(threads, training, samples, held_out, course):
    """See `epoch.train_epochs`."""
    return train_epochs(train_batches, score, threads, training, samples, held_out, course)


TILED = Kernel(
    "tiled", train, suits=lambda *_: True, cut=cut, threads=lambda net, parts: parts, room=room
)


@njit
def train_batches(threads, training, samples, eta, start, stop):
    """A step of θ for each batch of the samples from start to stop."""
    # Read once: the line of memory in which they lie is written to in each step.
    masks = training.state.masks
    while start < stop:
        end = least(start + training.recipe.batch_size, stop)
        train_batch(threads, training, samples, eta, start, end, masks)
        start = end


@inline
def train_batch(threads, training, samples, eta, start, stop, masks):
    """θ makes one step, against the gradient over the samples from start to stop."""
    thread, n_threads, barrier = threads
    recipe, state, theta = training.recipe, training.state, training.theta
    gradients, part_losses = training.gradients, training.part_losses
    weight = weight_of(samples.sample_weight, samples.order, start, stop)
    if weight > 0:  # else nobody is there
        parts = parts_of(recipe, stop - start)
        part = thread
        while part < parts:
            part_losses[part] = part_gradient(
                barrier, part, parts, training.net, recipe, training.loss_parameters, weight,
                theta, gradients[part], training.room[thread], samples, start, stop, masks,
            )  # fmt: skip
            part = next_piece(barrier, part, n_threads)
        if thread == 0:
            count_step(recipe, state)
        wait(barrier, n_threads)
        # All of the gradient is there before any of θ moves; no two threads write to a line of it.
        apart, shrink = parts, 1.0
        if recipe.max_grad_norm < np.inf:
            apart, shrink = 1, sum_blocks(threads, training, parts)
        first, last = share_of(thread, n_threads, theta.size, LINE)
        size = training.room.shape[2]
        room = vector(training.room[thread], 2 * size, least(BLOCK, size))
        while first < last:
            g = vector(gradients, first, least(room.size, last - first))
            if apart > 1:
                g = sum_of_parts(gradients, parts, first, vector(room, 0, g.size))
            step(
                training.net, recipe, state, eta, shrink, theta, g, training.memory, first,
                training.average,
            )  # fmt: skip
            first += g.size
        if thread == 0:
            share = part_in_loss(recipe, weight, stop - start)
            state.weight += share
            for part in range(parts):
                state.loss += share * part_losses[part]
        wait(barrier, n_threads)


@inline
def parts_of(recipe, n_samples):
    """How many parts a batch is cut into."""
    return least(recipe.parts, (n_samples + recipe.tile - 1) // recipe.tile)


@inline
def part_gradient(
    barrier, part, parts, net, recipe, a, weight, theta, gradient, room, samples, start, stop, masks
):
    """gradient ← what this part of the batch adds to ∂L/∂θ; returns what it adds to L."""
    n_tiles = (stop - start + recipe.tile - 1) // recipe.tile
    total, begin = 0.0, ZERO
    for tile in range(n_tiles * part // parts, n_tiles * (part + 1) // parts):
        first = start + tile * recipe.tile
        last = least(first + recipe.tile, stop)
        if is_called_off(barrier):
            break
        total += recipe.loss_scale * tile_gradient(
            net, recipe, a, weight, theta, gradient, begin, room, samples, first, last, masks
        )
        begin = RESUMED
    if part == 0 and recipe.alpha > 0:
        total += add_penalty(net, recipe.alpha / weight, theta, gradient)
    return total


@njit
def tile_gradient(
    net, recipe, a, weight, theta, gradient, begin, room, samples, start, stop, masks
):  # fmt: skip
    """gradient ← begin + the part of the samples from start to stop; returns that of L."""
    ask_for_samples(samples.X, samples.y, samples.order, stop, 2 * stop - start)
    tile_forward(net, theta, room, samples.order, start, stop, samples.X, masks)
    n = padded(stop - start)
    O, D = part_of(room, O_PART, n), part_of(room, D_PART, n)
    part = tile_loss(net, recipe, a, weight, O, D, samples, start, stop)
    scratch = vector(room, 2 * room.shape[1], room.shape[1])
    backward(outer, sums, back, theta, net, O, D, scratch, gradient, begin)
    return part


@inline
def tile_loss(net, recipe, a, weight, O, D, samples, start, stop):
    """D of the outputs; returns what the samples from start to stop add to L."""
    n, m = O.shape[1], net.size - 1
    # Below the units lie the targets, and each sample's share of the batch.
    below = (net[m].units_at + net[m].width) * n
    Y = matrix(O, below, net[m].width, n)
    s = vector(O, below + Y.size, n)
    gather(samples.y, samples.order, start, stop, Y)
    Z, D_outputs = units(O, net, m), units(D, net, m)
    if are_by_output(samples.sample_weight, samples.y):
        gather_shares_by_output(
            samples.sample_weight, weight, samples.order, start, stop, samples.y.shape[0], D_outputs
        )
        return loss_and_slope_by_output(recipe.loss, a, Z, Y, D_outputs)
    gather_shares(samples.sample_weight, weight, samples.order, start, stop, s)
    return loss_and_slope_of_tile(recipe.loss, a, Z, Y, s, D_outputs)


@njit
def tile_forward(net, theta, room, order, start, stop, X, masks):
    """O of every layer for the samples order[start:stop], some of the units left out by `masks`."""
    n = padded(stop - start)
    O = part_of(room, O_PART, n)
    gather(X, order, start, stop, units(O, net, 0))
    scratch = vector(room, 2 * room.shape[1], room.shape[1])
    forward(outputs, drop, theta, net, O, masks, start, scratch)


@njit
def score(threads, training, held_out):
    """See `epoch.train_epochs`; the first thread does it for all."""
    loss, unexplained, n = 0.0, 0.0, held_out.X.shape[0] if threads.thread == 0 else 0
    net, recipe, room, theta = training.net, training.recipe, training.room[0], scored(training)
    for start in range(0, n, recipe.tile):
        stop = least(start + recipe.tile, n)
        if is_called_off(threads.barrier):
            break
        tile_forward(net, theta, room, held_out.order, start, stop, held_out.X, NO_MASKS)
        O = part_of(room, O_PART, padded(stop - start))
        Z = units(O, net, net.size - 1)
        of_tile = score_of_tile(recipe, training.loss_parameters, Z, held_out, start, stop)
        loss, unexplained = loss + of_tile[0], unexplained + of_tile[1]
    return loss, unexplained


@inline
def score_of_tile(recipe, a, Z, held_out, start, stop):
    """What the samples from start to stop add to Σ weight L, and to Σ weight (ŷ − y)² / spread."""
    loss, unexplained, weight, y = 0.0, 0.0, held_out.weight, held_out.y
    by_output, n_outputs = are_by_output(weight, y), y.shape[1]
    for i in range(start, stop):
        for k in range(n_outputs):
            share = weight[y.shape[0] + i * n_outputs + k] if by_output else weight[i]
            of = loss_and_square(recipe.loss, a[k], share, Z[k, i - start], y[i, k])
            unexplained += of[1] / held_out.spread[k]
            loss += of[0]
    return loss, unexplained


@entry
def loss_gradient(threads, training, samples):
    """The first gradient ← ∂L/∂θ over all samples; returns L, to each thread."""
    thread, n_threads, barrier = threads
    recipe, theta, gradients = training.recipe, training.theta, training.gradients
    n = samples.order.size
    weight = weight_of(samples.sample_weight, samples.order, 0, n)
    parts, part = parts_of(recipe, n), thread
    while part < parts:
        training.part_losses[part] = part_gradient(
            barrier, part, parts, training.net, recipe, training.loss_parameters, weight, theta,
            gradients[part], training.room[thread], samples, 0, n, NO_MASKS,
        )  # fmt: skip
        part = next_piece(barrier, part, n_threads)
    wait(barrier, n_threads)
    if parts > 1:
        first, last = share_of(thread, n_threads, theta.size, LINE)
        sum_of_parts(gradients, parts, first, vector(gradients, first, last - first))
    total = 0.0
    for part in range(parts):
        total += training.part_losses[part]
    wait(barrier, n_threads)
    return total


@entry
def predict(threads, model, tile, room, encoding_room, X, prediction):
    """prediction ← ŷ for every row of X, both in raw units and any precision.

    The `encoding_room`, float64, has a row for each thread: for a column of a tile, or for the
    columns of a sample. Where nothing is encoded it is None, and nothing of that is compiled.
    """
    piece, thread = threads.thread, threads.thread
    while piece * tile < X.shape[0] and not is_called_off(threads.barrier):
        start, stop = piece * tile, least(piece * tile + tile, X.shape[0])
        if stop - start > FEW_ROWS:
            predict_tile(model, thread, room, encoding_room, X, start, stop, prediction)
        else:
            for i in range(start, stop):
                predict_one(model, thread, room, encoding_room, X, i, prediction)
        piece = next_piece(threads.barrier, piece, threads.n)


@njit
def predict_tile(model, thread, room, encoding_room, X, start, stop, prediction):
    """ŷ for these rows of X, side by side."""
    net, n, size = model.net, padded(stop - start), room.shape[2]
    O, scratch = part_of(room[thread], O_PART, n), vector(room[thread], 2 * size, size)
    columns = matrix(O, 0, X.shape[1], n)
    gather_standardized(X, model.X_mean, model.X_scale, model.limit, start, stop, columns)
    if encoding_room is not None:
        x = vector(encoding_room, thread * encoding_room.shape[1], n)
        encode_tile(model, X, start, stop, x, units(O, net, 0))
    forward(outputs, keep_all, model.theta, net, O, NO_MASKS, start, scratch)
    write_predictions(model, units(O, net, net.size - 1), start, stop, prediction)


@njit
def predict_one(model, thread, room, encoding_room, X, i, prediction):
    """ŷ for row i of X."""
    net, one = model.net, np.int64(1)
    O, scratch = part_of(room[thread], O_PART, one), vector(room[thread], 0, 0)
    columns = matrix(O, 0, X.shape[1], one)
    gather_standardized(X, model.X_mean, model.X_scale, model.limit, i, i + one, columns)
    if encoding_room is not None:
        x = vector(encoding_room, thread * encoding_room.shape[1], X.shape[1])
        encode_one(model, X, i, x, units(O, net, 0))
    forward(outputs_of_one, keep_all, model.theta, net, O, NO_MASKS, i, scratch)
    write_predictions(model, units(O, net, net.size - 1), i, i + one, prediction)


@inline
def write_predictions(model, Z, start, stop, prediction):
    """prediction ← ŷ in raw units, of the samples from start to stop."""
    for i in range(start, stop):
        for k in range(prediction.shape[1]):
            y = mean_of(model.loss, Z[k, i - start])
            prediction[i, k] = model.y_scale[k] * y + model.y_mean[k]
