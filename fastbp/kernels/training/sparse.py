"""Training on sparse tables: the first layer goes by the entries of a row, and sees no other.

    Z¹ = b¹ − W¹ᵀ c + Σ x W¹ⱼ        over the entries x of a row, in the columns j
    ∂L/∂W¹ⱼ = Σ x D¹ − cⱼ ∂L/∂b¹     over those of a column

A row is what is stored of it, less a centre c that is the same for all: columns of mean 0 have next
to no zeros, c has theirs once. Of the second terms there is one of each for a batch.

Above the first layer all is as `large.py` has it: a crew of threads goes through one tile after
another. Below, each takes the first layer of some of the samples, and of the gradient of W¹ some
rows, which no other touches: entries are added in the order of the samples, and the result is the
same, to the last bit, for any number of threads; and there is one gradient, not one for each part
of a batch: W¹ has as many rows as the table has columns.
"""

import numpy as np

from fastbp.kernels.formulas.activations import TABLE, activate
from fastbp.kernels.formulas.dropout import NO_MASKS, keep_all
from fastbp.kernels.formulas.network import (
    backward_to_first,
    biases,
    forward_from,
    is_by_entries,
    slopes,
    units,
    weights,
)
from fastbp.kernels.formulas.optimizers import add_penalty
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.passes import pass_by_code
from fastbp.kernels.machine.threads import is_called_off, next_piece, share_of, wait
from fastbp.kernels.machine.vectors import INTERPRETED, LANES, padded
from fastbp.kernels.machine.views import least, part_of, rest_of, vector
from fastbp.kernels.products import products
from fastbp.kernels.products.blocks import WIDE
from fastbp.kernels.products.gradients import turn_over
from fastbp.kernels.products.tiles import RESUMED, ROWS, VALUES, ZERO
from fastbp.kernels.training import large
from fastbp.kernels.training.epoch import train_epochs
from fastbp.kernels.training.large import LARGE, crew_of, meet, share, size_of_room
from fastbp.kernels.training.records import Kernel, scored
from fastbp.kernels.training.samples import weight_of
from fastbp.kernels.training.tiled import (
    D_PART,
    O_PART,
    score_of_tile,
    tile_loss,
    write_predictions,
)

#: Parts of W¹ that are multiplied by the centre apart, whatever the threads.
PIECES = 16

#: Rows of the gradient of W¹ that a thread takes at a time: the columns that occur most lie
#: together in many tables.
TOGETHER = 16

#: Weights of the first layer that are worth a thread.
WORTH_A_THREAD = 2**16

#: What is done to sums that end in tiles elsewhere.
end_sums = pass_by_code(
    [(row.value, None) if -1 - code in VALUES else None for code, row in enumerate(TABLE.values())]
)

outputs, back, sums = large.outputs, large.back, large.sums
if INTERPRETED:  # one thread, and NumPy
    outputs, back, sums = products.outputs, products.back, products.sums


def suits(net, batch_size, itemsize):
    """Whether the table is sparse."""
    return is_by_entries(net)


def threads(net, parts):
    """As many as the layers above have work for, or the rows of W¹."""
    first = int(net["width"][0] * net["width"][1])
    return max(LARGE.threads(net[1:], parts), first // WORTH_A_THREAD)


def room(net, tile, n_threads):
    """That of the layers above; and for the first one, the tile turned over, and a vector of each
    thread and each piece."""
    widths = net["width"][1:]
    is_packed = widths[:-1] * widths[1:] > WIDE  # on the way forward, and back
    longest = max([*widths[:-1][is_packed], *widths[1:][is_packed]], default=0)
    own = int(widths[0]) * (tile + PIECES + n_threads)
    return 2, 3, max(size_of_room(net, longest, tile, n_threads), -(-own // 3))


@entry
def train_sparse(threads, training, samples, held_out, course):
    """See `epoch.train_epochs`."""
    return train_epochs(train_batches, score, threads, training, samples, held_out, course)


SPARSE = Kernel("sparse", train_sparse, suits=suits, cut=LARGE.cut, threads=threads, room=room)


@njit
def train_batches(threads, training, samples, eta, start, stop):
    """A step of θ for each batch of the samples from start to stop."""
    recipe, state = training.recipe, training.state
    for at in range(start, stop, recipe.batch_size):
        end = least(at + recipe.batch_size, stop)
        weight = weight_of(samples.sample_weight, samples.order, at, end)
        if weight > 0:
            part = batch_gradient(threads, training, samples, weight, at, end, state.masks)
            large.take_step(threads, training, eta, part, weight, end - at)


@entry
def sparse_loss_gradient(threads, training, samples):
    """As `tiled.loss_gradient`."""
    n, losses = samples.order.size, training.part_losses
    weight = weight_of(samples.sample_weight, samples.order, 0, n)
    part = batch_gradient(threads, training, samples, weight, 0, n, NO_MASKS)
    if threads.thread == 0:
        losses[0] = part
    wait(threads.barrier, threads.n)
    return losses[0]


@njit
def batch_gradient(threads, training, samples, weight, start, stop, masks):
    """The gradient ← ∂L/∂θ over the samples from start to stop; the first thread returns L."""
    net, recipe, theta = training.net, training.recipe, training.theta
    gradient, X, part, begin = training.gradients[0], samples.X, 0.0, ZERO
    empty = room_of_empty(threads, net, training.room[1])
    find_empty(threads, net, theta, X.centre, empty, training.room[1])
    for first in range(start, stop, recipe.tile):
        last = least(first + recipe.tile, stop)
        if is_called_off(threads.barrier):
            break
        part += recipe.loss_scale * tile_gradient(
            threads, training, weight, begin, last == stop, empty, samples, first, last, masks
        )
        begin = RESUMED
    if X.centre.size > 0 and stop - start > recipe.tile:
        take_centre_off(threads, X.centre, biases(gradient, net, 1), weights(gradient, net, 1))
        wait(threads.barrier, threads.n)
    if threads.thread == 0 and recipe.alpha > 0:
        part += add_penalty(net, recipe.alpha / weight, theta, gradient)
    return part


@njit
def tile_gradient(
    threads, training, weight, begin, is_last, empty, samples, start, stop, masks
):  # fmt: skip
    """gradient ← begin + the part of the samples from start to stop; the first thread returns that
    of L, the others nothing. From that of W¹ the centre is taken off if the tile is the only one:
    W¹ is too large to be gone through once more than need be."""
    net, recipe, theta, room = training.net, training.recipe, training.theta, training.room[0]
    gradient, X, order = training.gradients[0], samples.X, samples.order
    tile_forward(threads, net, theta, training.room, order, start, stop, X, empty, masks)
    n, part = padded(stop - start), 0.0
    O, D = part_of(room, O_PART, n), part_of(room, D_PART, n)
    crew = crew_of(threads, room, n)
    if threads.thread == 0:
        part = tile_loss(net, recipe, training.loss_parameters, weight, O, D, samples, start, stop)
    meet(crew)
    backward_to_first(sums, back, theta, net, O, D, crew, gradient, begin)
    meet(crew)
    D_first, width = units(D, net, 1), net[1].width
    turned, d = vector(training.room[1], 0, n * width), vector(D_first, 0, n * width)
    first, last = share(crew, n, LANES)
    turn_over(rest_of(d, first), n, width, last - first, rest_of(turned, first * width), width)
    G, g = weights(gradient, net, 1), biases(gradient, net, 1)
    if begin == ZERO:
        begin_gradient(threads, X.centre, is_last and X.centre.size > 0, g, G)
    meet(crew)
    add_entries(threads, X, order, start, stop, turned, G)
    meet(crew)
    return part


@njit
def tile_forward(threads, net, theta, rooms, order, start, stop, X, empty, masks):
    """O of every layer for the samples order[start:stop], some of the units left out by `masks`."""
    room, n, width = rooms[0], padded(stop - start), net[1].width
    O, crew = part_of(room, O_PART, n), crew_of(threads, room, n)
    O_first, turned = units(O, net, 1), vector(rooms[1], 0, n * width)
    first, last = share(crew, n, LANES)
    o = rest_of(vector(O_first, 0, n * width), first)
    own, W = rest_of(turned, first * width), weights(theta, net, 1)
    first_sums(X, order, start + first, start + last, stop, empty, W, own, n, o)
    meet(crew)
    first, last = share(crew, width, ROWS)
    activate_rows(net[1].activation, O_first, slopes(O, net, 1), first, last)
    meet(crew)
    large.drop(net, 1, O, masks, start, crew)
    forward_from(2, outputs, large.drop, theta, net, O, masks, start, crew)


@njit
def first_sums(X, order, start, end, stop, empty, W, turned, n, o):
    """Z¹ of the samples from start to end, as columns that lie n apart; from `stop` on there are
    none, but columns that are to be padded."""
    width = W.shape[1]
    for i in range(start, end):
        z = vector(turned, (i - start) * width, width)
        for k in range(width):
            z[k] = empty[k]
        if i < stop:
            row = np.int64(order[i])
            for e in range(X.indptr[row], X.indptr[row + 1]):
                add_product(X.data[e], vector(W, np.int64(X.indices[e]) * width, width), z)
    turn_over(turned, width, end - start, width, o, n)


@njit
def activate_rows(kind, O, kept, first, stop):
    """O ← σ(O) and kept ← σ′, if it is to be kept, for these rows."""
    n = O.shape[1]
    o, s = vector(O, first * n, (stop - first) * n), vector(kept, first * n, (stop - first) * n)
    end_sums(kind, o, o)
    activate(kind, o, s)


@njit
def add_product(x, w, z):
    """z ← z + x w."""
    for k in range(z.size):
        z[k] += x * w[k]


@inline
def room_of_empty(threads, net, room):
    """Where each thread has Z¹ of a row without entries."""
    behind = (PIECES + threads.thread + 1) * net[1].width
    return vector(room, room.size - behind, net[1].width)


@njit
def find_empty(threads, net, theta, centre, z, room):
    """z ← b¹ − W¹ᵀ c."""
    W, b, width = weights(theta, net, 1), biases(theta, net, 1), net[1].width
    for k in range(width):
        z[k] = b[k]
    if centre.size > 0:
        for piece in range(threads.thread, PIECES, threads.n):
            part = vector(room, room.size - (piece + 1) * width, width)
            for k in range(width):
                part[k] = 0
            first, stop = share_of(piece, PIECES, W.shape[0], 1)
            for j in range(first, stop):
                add_product(centre[j], vector(W, j * width, width), part)
        wait(threads.barrier, threads.n)
        for piece in range(PIECES):
            part = vector(room, room.size - (piece + 1) * width, width)
            for k in range(width):
                z[k] -= part[k]
    return z


@njit
def begin_gradient(threads, centre, is_taken_off, g, G):
    """The rows of this thread ← 0, or − c gᵀ."""
    n, width = G.shape
    for first in range(threads.thread * TOGETHER, n, threads.n * TOGETHER):
        stop = least(first + TOGETHER, n)
        if is_taken_off:
            for j in range(first, stop):
                c = centre[j]
                for k in range(width):
                    G[j, k] = -c * g[k]
        else:
            rows = vector(G, first * width, (stop - first) * width)
            for i in range(rows.size):
                rows[i] = 0


@njit
def take_centre_off(threads, centre, g, G):
    """The rows of this thread ← themselves − c gᵀ."""
    n, width = G.shape
    for first in range(threads.thread * TOGETHER, n, threads.n * TOGETHER):
        for j in range(first, least(first + TOGETHER, n)):
            add_product(-centre[j], g, vector(G, j * width, width))


@njit
def add_entries(threads, X, order, start, stop, turned, G):
    """The rows of this thread ← themselves + Σ x Dᵀ, D being turned over."""
    width = G.shape[1]
    for i in range(start, stop):
        row, d = np.int64(order[i]), vector(turned, (i - start) * width, width)
        for e in range(X.indptr[row], X.indptr[row + 1]):
            j = np.int64(X.indices[e])
            if threads.n == 1 or j // TOGETHER % threads.n == threads.thread:
                add_product(X.data[e], d, vector(G, j * width, width))


@njit
def score(threads, training, held_out):
    """See `epoch.train_epochs`; all threads go forward, the first one scores."""
    net, recipe, rooms, theta = training.net, training.recipe, training.room, scored(training)
    loss, unexplained, n = 0.0, 0.0, held_out.y.shape[0]
    empty = room_of_empty(threads, net, rooms[1])
    find_empty(threads, net, theta, held_out.X.centre, empty, rooms[1])
    for start in range(0, n, recipe.tile):
        stop = least(start + recipe.tile, n)
        if is_called_off(threads.barrier):
            break
        tile_forward(
            threads, net, theta, rooms, held_out.order, start, stop, held_out.X, empty, NO_MASKS
        )
        if threads.thread == 0:
            O = part_of(rooms[0], O_PART, padded(stop - start))
            Z = units(O, net, net.size - 1)
            of_tile = score_of_tile(recipe, training.loss_parameters, Z, held_out, start, stop)
            loss, unexplained = loss + of_tile[0], unexplained + of_tile[1]
        wait(threads.barrier, threads.n)
    return loss, unexplained


@entry
def predict_sparse(threads, model, tile, room, order, X, prediction):
    """prediction ← ŷ for the rows order, 0, 1, …, of X, which has no centre, in the units of θ."""
    net, theta, piece = model.net, model.theta, threads.thread
    W, b, width = weights(theta, net, 1), biases(theta, net, 1), net[1].width
    while piece * tile < order.size and not is_called_off(threads.barrier):
        start, stop = piece * tile, least(piece * tile + tile, order.size)
        n, own = padded(stop - start), room[threads.thread]
        O, scratch = part_of(own, O_PART, n), vector(own, 2 * own.shape[1], own.shape[1])
        O_first = units(O, net, 1)
        turned, o = vector(scratch, 0, n * width), vector(O_first, 0, n * width)
        first_sums(X, order, start, start + n, stop, b, W, turned, n, o)
        activate_rows(net[1].activation, O_first, slopes(O, net, 1), 0, width)
        forward_from(2, products.outputs, keep_all, theta, net, O, NO_MASKS, start, scratch)
        write_predictions(model, units(O, net, net.size - 1), start, stop, prediction)
        piece = next_piece(threads.barrier, piece, threads.n)
