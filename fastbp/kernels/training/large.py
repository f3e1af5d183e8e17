"""Training of large networks: threads share the products of a tile.

Where the weights alone fill a cache, tiles with a gradient each would fill it several times, and a
batch is too few of them for many threads. Here a crew of threads goes through one tile after
another: each computes some of the rows of every product, some of the columns of every gradient.
The formulas are those of `network.py`, the products those of `products.py`; what a thread computes
doesn't depend on how many there are.
"""

from typing import NamedTuple

import numpy as np

from fastbp.kernels.formulas.activations import activate
from fastbp.kernels.formulas.dropout import NO_MASKS, drop_rows, is_thinned
from fastbp.kernels.formulas.network import backward, forward, n_parameters, tile_rows, units
from fastbp.kernels.formulas.optimizers import add_penalty, count_step, step
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.threads import is_called_off, next_piece, share_of, wait
from fastbp.kernels.machine.vectors import INTERPRETED, LANES, lanes, padded
from fastbp.kernels.machine.views import least, part_of, vector
from fastbp.kernels.products.blocks import LINE, PACKED, WIDE, multiply, multiply_rows, pack_columns
from fastbp.kernels.products.gradients import (
    TURNED_ROWS,
    outer_by_D_turned,
    outer_by_dots,
    outer_by_O_turned,
    sums_of_rows,
)
from fastbp.kernels.products.products import ROOM_OF_ROWS, ROOM_OF_SAMPLE
from fastbp.kernels.products.tiles import AS_IS, BIAS, RESUMED, ROWS, ZERO, end_of
from fastbp.kernels.training.epoch import part_in_loss, sum_blocks, train_epochs
from fastbp.kernels.training.records import Cut, Kernel, scored
from fastbp.kernels.training.samples import gather, weight_of
from fastbp.kernels.training.tiled import (
    D_PART,
    O_PART,
    WEIGHTS_BYTES,
    equal_tiles,
    score_of_tile,
    tile_loss,
)

#: Most samples in a tile. (128-1024-1024-1, two threads: tiles of 256 take 2 % longer, of 1,024
#: 3 %.)
SHARED_SAMPLES = 512


class Crew(NamedTuple):
    """Threads that share a tile, and where they work."""

    thread: int  # which one this is
    n_threads: int
    barrier: np.ndarray
    own: np.ndarray  # room of this thread
    shared: np.ndarray  # room of all


def suits(net, batch_size, itemsize):
    """Whether the weights no longer stay in a core's cache."""
    return n_parameters(net) * itemsize > WEIGHTS_BYTES and not INTERPRETED


def cut(net, batch_size, itemsize):
    """One gradient, and tiles that all threads share."""
    return Cut(equal_tiles(batch_size, SHARED_SAMPLES), 1)


def room(net, tile, n_threads):
    """O and D of one tile; as `crew_of` cuts it, room of each thread, and of all for the longest
    product that is packed. (As for float32; of float64 a vector has fewer lanes.)"""
    widths = net["width"]
    is_packed = widths[:-1] * widths[1:] > WIDE
    forward, back = widths[:-1][is_packed], widths[2:][is_packed[1:]]
    return 1, 3, size_of_room(net, max([*forward, *back], default=0), tile, n_threads)


def size_of_room(net, longest, tile, n_threads):
    """Of O, of D, and to work in: the largest of the three. The longest product that is packed has
    so many terms."""
    of_thread = ROOM_OF_ROWS + ROOM_OF_SAMPLE * tile
    to_work_in = n_threads * of_thread + int(longest) * (tile + LANES)
    return max(tile_rows(net) * tile, to_work_in)


@inline
def crew_of(threads, room, n):
    """The threads, and their room in a tile of n samples."""
    thread, n_threads, barrier = threads
    begin, size = 2 * room.shape[1], ROOM_OF_ROWS + ROOM_OF_SAMPLE * n
    own, behind = vector(room, begin + thread * size, size), n_threads * size
    shared = vector(room, begin + behind, room.shape[1] - behind)
    return Crew(thread, n_threads, barrier, own, shared)


@entry
def train_large(threads, training, samples, held_out, course):
    """See `epoch.train_epochs`."""
    return train_epochs(train_batches, score, threads, training, samples, held_out, course)


LARGE = Kernel(
    "large",
    train_large,
    suits=suits,
    cut=cut,
    threads=lambda net, parts: -(-int(net["width"].max()) // PACKED),
    room=room,
)


@njit
def train_batches(threads, training, samples, eta, start, stop):
    """A step of θ for each batch of the samples from start to stop."""
    net, recipe, theta = training.net, training.recipe, training.theta
    for at in range(start, stop, recipe.batch_size):
        end = least(at + recipe.batch_size, stop)
        weight = weight_of(samples.sample_weight, samples.order, at, end)
        if weight > 0:
            part, begin = 0.0, ZERO
            for first in range(at, end, recipe.tile):
                last = least(first + recipe.tile, end)
                if is_called_off(threads.barrier):
                    break
                part += recipe.loss_scale * tile_gradient(
                    threads, training, weight, begin, samples, first, last
                )
                begin = RESUMED
            if threads.thread == 0 and recipe.alpha > 0:
                part += add_penalty(net, recipe.alpha / weight, theta, training.gradients[0])
            take_step(threads, training, eta, part, weight, end - at)


@inline
def take_step(threads, training, eta, part, weight, n_samples):
    """θ makes its step for a batch of so many samples, when each thread has done its share of the
    gradient, and the first one knows L, `part`; when this returns, all of it has moved."""
    net, recipe, state, theta = training.net, training.recipe, training.state, training.theta
    if threads.thread == 0:
        count_step(recipe, state)
        in_loss = part_in_loss(recipe, weight, n_samples)
        state.loss += in_loss * part
        state.weight += in_loss
    wait(threads.barrier, threads.n)
    shrink = 1.0
    if recipe.max_grad_norm < np.inf:
        shrink = sum_blocks(threads, training, 1)
    first, last = share_of(threads.thread, threads.n, theta.size, LINE)
    if first < last:
        g = vector(training.gradients, first, last - first)
        memory, average = training.memory, training.average
        step(net, recipe, state, eta, shrink, theta, g, memory, first, average)
    wait(threads.barrier, threads.n)


@njit
def tile_gradient(threads, training, weight, begin, samples, start, stop):
    """gradient ← begin + the part of the samples from start to stop; the first thread returns that
    of L, the others nothing."""
    net, recipe, theta, room = training.net, training.recipe, training.theta, training.room[0]
    masks = training.state.masks
    tile_forward(threads, net, theta, room, samples.order, start, stop, samples.X, masks)
    n, part = padded(stop - start), 0.0
    O, D = part_of(room, O_PART, n), part_of(room, D_PART, n)
    crew = crew_of(threads, room, n)
    if threads.thread == 0:
        part = tile_loss(net, recipe, training.loss_parameters, weight, O, D, samples, start, stop)
    meet(crew)
    backward(outer, sums, back, theta, net, O, D, crew, training.gradients[0], begin)
    meet(crew)
    return part


@njit
def tile_forward(threads, net, theta, room, order, start, stop, X, masks):
    """O of every layer for the samples order[start:stop], some of the units left out by `masks`."""
    n = padded(stop - start)
    O, crew = part_of(room, O_PART, n), crew_of(threads, room, n)
    if threads.thread == 0:
        gather(X, order, start, stop, units(O, net, 0))
    meet(crew)
    forward(outputs, drop, theta, net, O, masks, start, crew)


@njit
def score(threads, training, held_out):
    """See `epoch.train_epochs`; all threads go forward, the first one scores."""
    net, recipe, room = training.net, training.recipe, training.room[0]
    loss, unexplained, n, theta = 0.0, 0.0, held_out.X.shape[0], scored(training)
    for start in range(0, n, recipe.tile):
        stop = least(start + recipe.tile, n)
        if is_called_off(threads.barrier):
            break
        tile_forward(threads, net, theta, room, held_out.order, start, stop, held_out.X, NO_MASKS)
        if threads.thread == 0:
            O = part_of(room, O_PART, padded(stop - start))
            Z = units(O, net, net.size - 1)
            of_tile = score_of_tile(recipe, training.loss_parameters, Z, held_out, start, stop)
            loss, unexplained = loss + of_tile[0], unexplained + of_tile[1]
        wait(threads.barrier, threads.n)
    return loss, unexplained


@inline
def outputs(kind, W, b, O_before, O, kept, crew):
    """As `products.outputs`; all of it is there when this returns."""
    w, one, begin, end = vector(W, 0, W.size), np.int64(1), np.int64(BIAS), end_of(kind)
    if W.size > WIDE:
        _multiply_packed(w, one, W.shape[1], O_before, O, begin, b, end, kept, kind, crew)
    else:
        first, stop = share(crew, O.shape[0], ROWS)
        multiply(w, one, W.shape[1], O_before, O, begin, b, end, O, first, stop)
        at, size = first * O.shape[1], (stop - first) * O.shape[1]
        activate(kind, vector(O, at, size), vector(kept, at, size))
    meet(crew)


@inline
def drop(net, l, O, masks, place, crew):
    """As `dropout.drop`; all of it is done when this returns."""
    if is_thinned(net, l, masks):
        first, stop = share(crew, net[l].width, ROWS)
        drop_rows(net, l, O, masks, place, first, stop, crew.own)
        meet(crew)


@inline
def errors(kind, W, D, kept, D_before, crew):
    """As `products.errors`; all of it is there when this returns."""
    w, one, begin, none = vector(W, 0, W.size), np.int64(1), np.int64(ZERO), np.int64(AS_IS)
    first, stop = share(crew, D_before.shape[0], ROWS)
    if W.size > WIDE:
        _multiply_packed(w, W.shape[1], one, D, D_before, begin, w, kind, kept, none, crew)
    else:
        multiply(w, W.shape[1], one, D, D_before, begin, w, kind, kept, first, stop)
    meet(crew)


@njit
def _multiply_packed(A, a_row, a_k, B, C, begin, bias, end, S, kind, crew):
    """C ← σ(end(begin + A B, S)), with B and A packed as in `blocks.py`; S ← σ′ if it is kept.

    Whoever is free takes the next rows: processors differ in speed.
    """
    first, stop = share(crew, B.shape[0], 1)
    packed = vector(crew.shared, 0, B.shape[0] * (B.shape[1] + lanes(B)))
    pack_columns(B, first, stop, packed)
    meet(crew)
    r = crew.thread * PACKED
    while r < C.shape[0]:
        multiply_rows(A, a_row, a_k, B, packed, C, begin, bias, end, S, r, crew.own)
        rows = least(PACKED, C.shape[0] - r)
        at, size = r * C.shape[1], rows * C.shape[1]
        activate(kind, vector(C, at, size), vector(S, at, size))
        r = PACKED * next_piece(crew.barrier, r // PACKED, crew.n_threads)


@njit
def outer(O, D, G, crew, begin):
    """As `gradients.outer`; the columns of others may not be there yet."""
    n_in, n_out = O.shape[0], D.shape[0]
    if n_in >= TURNED_ROWS:
        strip = crew.thread
        while outer_by_D_turned(O, D, G, strip, crew.own, begin):
            strip = next_piece(crew.barrier, strip, crew.n_threads)
        # In fours, as they are taken: a sum on its own is rounded otherwise.
        first, stop = share(crew, n_in, 4)
        outer_by_dots(O, D, G, first, stop, n_out // lanes(G) * lanes(G), n_out, begin)
    else:
        first, stop = share(crew, n_out, lanes(G))
        outer_by_O_turned(O, D, G, first, stop, crew.own, begin)


@inline
def sums(D, g, crew, begin):
    """As `gradients.sums`; those of others may not be there yet."""
    first, stop = share(crew, D.shape[0], 4)
    sums_of_rows(D, g, first, stop, begin)


@inline
def back(kind, W, O_before, kept, D, D_before, G, g_before, crew, begin):
    """As `products.back`; of the gradient, what is others' may not be there yet."""
    outer(O_before, D, G, crew, begin)
    errors(kind, W, D, kept, D_before, crew)
    sums(D_before, g_before, crew, begin)


@inline
def meet(crew):
    """Wait for all of the crew."""
    wait(crew.barrier, crew.n_threads)


@inline
def share(crew, n, unit):
    """What this thread takes of n things, in runs of `unit` if it can be: from where to where."""
    return share_of(crew.thread, crew.n_threads, n, unit)
