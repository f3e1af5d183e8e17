"""Training of large networks: threads share the products of a tile.

Where the weights alone fill a cache, tiles with a gradient each would fill it several times, and a
batch is too few of them for many threads. Here a crew of threads goes through one tile after
another: each computes some of the rows of every product, some of the columns of every gradient.
The formulas are those of `network.py`, the products those of `products.py`; what a thread computes
doesn't depend on how many there are.
"""

from typing import NamedTuple

import numpy as np

from fastbp.kernels.formulas.activations import IDENTITY, activate
from fastbp.kernels.formulas.network import backward, forward, units
from fastbp.kernels.formulas.optimizers import add_penalty, count_step, update
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.threads import next_piece, share_of, wait
from fastbp.kernels.machine.vectors import lanes, padded
from fastbp.kernels.machine.views import least, part_of, vector
from fastbp.kernels.products.products import (
    LINE,
    PACKED,
    ROOM_OF_ROWS,
    ROOM_OF_SAMPLE,
    TURNED_ROWS,
    WIDE,
    end_of,
    multiply,
    multiply_rows,
    outer_by_D_turned,
    outer_by_dots,
    outer_by_O_turned,
    pack_columns,
    sums_of_rows,
)
from fastbp.kernels.products.tiles import BIAS, RESUMED, ROWS, ZERO
from fastbp.kernels.training.epoch import (
    D_PART,
    O_PART,
    score_of_tile,
    tile_loss,
    train_epochs,
)
from fastbp.kernels.training.samples import gather, weight_of


class Crew(NamedTuple):
    """Threads that share a tile, and where they work."""

    thread: int  # which one this is
    n_threads: int
    barrier: np.ndarray
    own: np.ndarray  # room of this thread
    shared: np.ndarray  # room of all


@entry
def train_large(
    thread, n_threads, barrier,
    net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
    X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
    steps, etas, losses, losses_val, scores,
):  # fmt: skip
    """As `epoch.train`, with one gradient and one tile, for which `plan.room_for` makes room."""
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
    gradient = gradients[0]
    for at in range(start, stop, recipe.batch_size):
        end = least(at + recipe.batch_size, stop)
        weight = weight_of(sample_weight, order, at, end)
        if weight > 0:
            part, begin = 0.0, ZERO
            for first in range(at, end, recipe.tile):
                part += recipe.loss_scale * tile_gradient(
                    thread, n_threads, barrier, net, recipe.loss, weight, theta, gradient, begin,
                    tiles[0], order, first, least(first + recipe.tile, end), X, y, sample_weight,
                )  # fmt: skip
                begin = RESUMED
            if thread == 0:
                if recipe.alpha > 0:
                    part += add_penalty(net, recipe.alpha / weight, theta, gradient)
                count_step(recipe, state)
                state.loss += weight * part
                state.weight += weight
            wait(barrier, n_threads)
            first, last = share_of(thread, n_threads, theta.size, LINE)
            g = vector(gradient, first, last - first)
            update(recipe, eta, state, theta, g, memory, first)
            wait(barrier, n_threads)


@njit
def tile_gradient(
    thread, n_threads, barrier, net, loss_code, weight, theta, gradient, begin,
    tiles, order, start, stop, X, y, sample_weight,
):  # fmt: skip
    """gradient ← begin + the part of the samples order[start:stop]; the first thread returns that
    of L, the others nothing."""
    tile_forward(thread, n_threads, barrier, net, theta, tiles, order, start, stop, X)
    n, part = padded(stop - start), 0.0
    O, D = part_of(tiles, O_PART, n), part_of(tiles, D_PART, n)
    crew = crew_of(thread, n_threads, barrier, tiles, n)
    if thread == 0:
        part = tile_loss(net, loss_code, weight, O, D, order, start, stop, y, sample_weight)
    meet(crew)
    backward(outer, sums, back, theta, net, O, D, crew, gradient, begin)
    meet(crew)
    return part


@njit
def tile_forward(thread, n_threads, barrier, net, theta, tiles, order, start, stop, X):
    """O of every layer for the samples order[start:stop]."""
    n = padded(stop - start)
    O, crew = part_of(tiles, O_PART, n), crew_of(thread, n_threads, barrier, tiles, n)
    if thread == 0:
        gather(X, order, start, stop, units(O, net, 0))
    meet(crew)
    forward(outputs, theta, net, O, crew)


@inline
def crew_of(thread, n_threads, barrier, tiles, n):
    """The threads, and their room in a tile of n samples."""
    room, size = 2 * tiles.shape[1], ROOM_OF_ROWS + ROOM_OF_SAMPLE * n
    own, behind = vector(tiles, room + thread * size, size), n_threads * size
    shared = vector(tiles, room + behind, tiles.shape[1] - behind)
    return Crew(thread, n_threads, barrier, own, shared)


@njit
def evaluate(
    thread, n_threads, barrier, net, recipe, theta, tiles, order, X, y, weight, spread
):  # fmt: skip
    """As `epoch.evaluate`; the first thread returns it."""
    total, unexplained = 0.0, 0.0
    for start in range(0, X.shape[0], recipe.tile):
        stop = least(start + recipe.tile, X.shape[0])
        tile_forward(thread, n_threads, barrier, net, theta, tiles[0], order, start, stop, X)
        if thread == 0:
            O = part_of(tiles[0], O_PART, padded(stop - start))
            of_tile = score_of_tile(net, recipe.loss, O, start, stop, y, weight, spread)
            total, unexplained = total + of_tile[0], unexplained + of_tile[1]
        wait(barrier, n_threads)
    return recipe.loss_scale * total, 1 - unexplained / y.shape[1]


@inline
def outputs(kind, W, b, O_before, O, crew):
    """As `products.outputs`; all of it is there when this returns."""
    w, one, begin, end = vector(W, 0, W.size), np.int64(1), np.int64(BIAS), end_of(kind)
    if W.size > WIDE:
        _multiply_packed(w, one, W.shape[1], O_before, O, begin, b, end, O, kind, crew)
    else:
        first, stop = share(crew, O.shape[0], ROWS)
        multiply(w, one, W.shape[1], O_before, O, begin, b, end, O, first, stop)
        activate(kind, vector(O, first * O.shape[1], (stop - first) * O.shape[1]))
    meet(crew)


@inline
def errors(kind, W, D, O_before, D_before, crew):
    """As `products.errors`; all of it is there when this returns."""
    w, one, begin, none = vector(W, 0, W.size), np.int64(1), np.int64(ZERO), np.int64(IDENTITY)
    first, stop = share(crew, D_before.shape[0], ROWS)
    if W.size > WIDE:
        _multiply_packed(w, W.shape[1], one, D, D_before, begin, w, kind, O_before, none, crew)
    else:
        multiply(w, W.shape[1], one, D, D_before, begin, w, kind, O_before, first, stop)
    meet(crew)


@njit
def _multiply_packed(A, a_row, a_k, B, C, begin, bias, end, O, kind, crew):
    """C ← σ(end(begin + A B, O)), with B and A packed as in `products.py`.

    Whoever is free takes the next rows: processors differ in speed.
    """
    first, stop = share(crew, B.shape[0], 1)
    pack_columns(B, first, stop, crew.shared)
    meet(crew)
    r = crew.thread * PACKED
    while r < C.shape[0]:
        multiply_rows(A, a_row, a_k, B, crew.shared, C, begin, bias, end, O, r, crew.own)
        rows = least(PACKED, C.shape[0] - r)
        activate(kind, vector(C, r * C.shape[1], rows * C.shape[1]))
        r = PACKED * next_piece(crew.barrier, r // PACKED, crew.n_threads)


@njit
def outer(O, D, G, crew, begin):
    """As `products.outer`; the columns of others may not be there yet."""
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
    """As `products.sums`; those of others may not be there yet."""
    first, stop = share(crew, D.shape[0], 4)
    sums_of_rows(D, g, first, stop, begin)


@inline
def back(kind, W, O_before, D, D_before, G, g_before, crew, begin):
    """As `products.back`; of the gradient, what is others' may not be there yet."""
    outer(O_before, D, G, crew, begin)
    errors(kind, W, D, O_before, D_before, crew)
    sums(D_before, g_before, crew, begin)


@inline
def meet(crew):
    """Wait for all of the crew."""
    wait(crew.barrier, crew.n_threads)


@inline
def share(crew, n, unit):
    """What this thread takes of n things, in runs of `unit` if it can be: from where to where."""
    return share_of(crew.thread, crew.n_threads, n, unit)
