"""Epochs: batches → tiles → gradient → update.

A batch is cut into tiles of a fixed number of samples. A tile is gathered from X, flows
forward through all layers and back through all layers while it is in cache, and adds its
part to the gradient; after the last tile of the batch θ moves, once.

Threads run the same code side by side (`thread` is which one this is, of `n_threads`). Whoever is
free takes the next of a batch's parts, which are runs of tiles with a gradient of their own; then
each sums and updates its share of θ. Parts are cut by the shape of the network and the batch alone,
and summed in their order: the result is the same, to the last bit, for any number of threads.

The caller allocates all arrays, nothing is allocated here:

==============  =======================  ==============================================
barrier         (80,)                    see `threads.py`
X, y            (n_samples, ·)           in the precision of training, read-only
sample_weight   (n_samples,)             or empty: all samples weigh the same
order           (n_samples,) uint32      the order in which samples are taken
net             (n_layers,) LAYER        the shape of the network, see `network.py`
recipe          RECIPE                   how to train
state           STATE                    what is carried from step to step
theta, memory   (n_parameters,), (·,     θ, and the vectors the optimiser remembers
                n_parameters)
gradients       (parts, n_parameters)    ∂L/∂θ of each part of a batch
part_losses     (parts,)                 L of each part of a batch
tiles           (n_threads, 3, ·)        room for O, D and a layer of a tile, for each
==============  =======================  ==============================================
"""

import numpy as np

from fastbp.kernels.formulas.losses import loss, loss_and_slope
from fastbp.kernels.formulas.network import backward, forward, units
from fastbp.kernels.formulas.optimizers import add_penalty, count_step, update
from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.threads import next_piece, share_of, wait
from fastbp.kernels.machine.vectors import padded
from fastbp.kernels.machine.views import least, matrix, part_of, vector
from fastbp.kernels.products.products import LINE, back, outer, outputs, sums
from fastbp.kernels.products.tiles import RESUMED, ZERO
from fastbp.kernels.training.samples import (
    ask_for_samples,
    gather,
    gather_shares,
    gather_standardized,
    shuffle,
    weight_of,
)

RECIPE = np.dtype(
    [
        ("loss", np.int64),
        ("loss_scale", np.float64),  # of the loss that is reported, not of its gradient
        ("alpha", np.float64),
        ("optimizer", np.int64),
        ("momentum", np.float64),
        ("beta_1", np.float64),
        ("beta_2", np.float64),
        ("epsilon", np.float64),
        ("batch_size", np.int64),
        ("tile", np.int64),  # samples in a full tile, a multiple of LANES
        ("parts", np.int64),  # of a batch, at most
        ("shuffle", np.bool_),
        ("early_stopping", np.bool_),  # watch the validation score, not the loss
        ("tol", np.float64),
        ("patience", np.float64),  # epochs without improvement that are still borne
    ],
    align=True,
)

#: Which part of a thread's tiles holds O, and which D; the third is room to work in.
O_PART, D_PART = 0, 1

#: Parameters that are summed over the parts and updated at a time: they stay in the first cache.
BLOCK = 1024

STATE = np.dtype(
    [
        ("random", np.uint64),  # of the shuffle's generator
        ("beta_1_to_t", np.float64),
        ("beta_2_to_t", np.float64),
        ("position", np.int64),  # samples of this epoch that are done
        ("loss", np.float64),  # Σ of their batches' losses, times the batches' weights
        ("weight", np.float64),  # Σ of those weights
        ("best", np.float64),  # the least loss, or the greatest validation score negated
        ("best_score", np.float64),
        ("stalled", np.int64),  # epochs in a row without improvement
        ("ended", np.bool_),  # there is nothing to be gained from more epochs
    ],
    align=True,
)


@entry
def train(
    thread, n_threads, barrier,
    net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
    X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
    steps, etas, losses, losses_val, scores,
):  # fmt: skip
    """Train for ``len(etas)`` epochs, or `steps` batches, or as long as it improves.

    Parameters
    ----------
    X_val, y_val, weight_val : arrays of shape (n_validation, ·), (n_validation,)
        Held-out samples, and each one's share of their weight; empty without them.
    order_val : array of shape (n_validation,)
        0, 1, …
    spread_val : array of shape (n_outputs,)
        Variance of y_val.
    best_theta : array of shape (n_parameters,)
        Out: θ at the best validation score.
    steps : int
        Return after so many batches, wherever in an epoch that is: a later call goes on
        from there. Between two calls Python can listen to the user.
    etas : array of shape (n_epochs,)
        Step size of each epoch.
    losses, losses_val, scores : arrays of shape (n_epochs,)
        Out: the mean loss of each epoch; the loss and R² on the validation set after it.

    Returns
    -------
    int
        Epochs completed. One whose loss isn't finite is the last.
    """
    return train_epochs(
        train_batches, evaluate,
        thread, n_threads, barrier,
        net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
        X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
        steps, etas, losses, losses_val, scores,
    )  # fmt: skip


@inline
def train_epochs(
    take_steps, score,
    thread, n_threads, barrier,
    net, recipe, state, theta, best_theta, memory, gradients, part_losses, tiles, order,
    X, y, sample_weight, order_val, X_val, y_val, weight_val, spread_val,
    steps, etas, losses, losses_val, scores,
):  # fmt: skip
    """As `train`, for any kernel that trains.

    Parameters
    ----------
    take_steps, score : kernels
        Train on the samples of `order` between two positions; score the held-out ones, which the
        first thread does for all, or with the others.
    """
    position = state.position
    for epoch in range(etas.size):
        if thread == 0 and position == 0:
            begin_epoch(recipe, state, order)
        if not wait(barrier, n_threads):
            return epoch
        stop = least(position + steps * recipe.batch_size, order.size)
        take_steps(
            thread, n_threads, barrier, net, recipe, state, etas[epoch], theta, memory,
            gradients, part_losses, tiles, order, position, stop, X, y, sample_weight,
        )  # fmt: skip
        steps -= (stop - position + recipe.batch_size - 1) // recipe.batch_size
        if stop < order.size:
            if thread == 0:
                state.position = stop
            return epoch
        position = 0
        if X_val.shape[0] > 0:
            loss_val, score_val = score(
                thread, n_threads, barrier, net, recipe, theta, tiles, order_val,
                X_val, y_val, weight_val, spread_val,
            )  # fmt: skip
            if thread == 0:
                losses_val[epoch], scores[epoch] = loss_val, score_val
        if thread == 0:
            end_epoch(epoch, recipe, state, theta, best_theta, X_val, losses, scores)
        if not wait(barrier, n_threads) or state.ended:
            return epoch + 1
    return etas.size


@njit
def begin_epoch(recipe, state, order):
    """A new order, and sums from zero."""
    state.loss, state.weight = 0.0, 0.0
    if recipe.shuffle:
        shuffle(order, state)


@njit
def end_epoch(epoch, recipe, state, theta, best_theta, X_val, losses, scores):
    """Compare with the best epoch so far."""
    state.position = 0
    losses[epoch] = state.loss / state.weight
    if X_val.shape[0] > 0 and scores[epoch] > state.best_score:
        state.best_score = scores[epoch]
        for i in range(theta.size):
            best_theta[i] = theta[i]
    figure = -scores[epoch] if recipe.early_stopping else losses[epoch]
    if figure > state.best - recipe.tol:
        state.stalled += 1
    else:
        state.stalled = 0
    state.best = figure if figure < state.best else state.best
    state.ended = state.stalled > recipe.patience or not np.isfinite(losses[epoch])


@inline
def train_batches(
    thread, n_threads, barrier, net, recipe, state, eta, theta, memory,
    gradients, part_losses, tiles, order, start, stop, X, y, sample_weight,
):  # fmt: skip
    """A step of θ for each batch of the samples order[start:stop]."""
    while start < stop:
        end = least(start + recipe.batch_size, stop)
        train_batch(
            thread, n_threads, barrier, net, recipe, state, eta, theta, memory,
            gradients, part_losses, tiles, order, start, end, X, y, sample_weight,
        )  # fmt: skip
        start = end


@njit
def train_batch(
    thread, n_threads, barrier, net, recipe, state, eta, theta, memory,
    gradients, part_losses, tiles, order, start, stop, X, y, sample_weight,
):  # fmt: skip
    """θ makes one step, against the gradient over the samples order[start:stop]."""
    weight = weight_of(sample_weight, order, start, stop)
    if weight > 0:  # else nobody is there
        parts = parts_of(recipe, stop - start)
        part = thread
        while part < parts:
            part_losses[part] = part_gradient(
                part, parts, net, recipe, weight, theta, gradients[part], tiles[thread],
                order, start, stop, X, y, sample_weight,
            )  # fmt: skip
            part = next_piece(barrier, part, n_threads)
        if thread == 0:
            count_step(recipe, state)
        wait(barrier, n_threads)
        # All of the gradient is there before any of θ moves; no two threads write to a line of it.
        first, last = share_of(thread, n_threads, theta.size, LINE)
        room = vector(tiles[thread], 2 * tiles.shape[2], least(BLOCK, tiles.shape[2]))
        while first < last:
            g = vector(gradients, first, least(room.size, last - first))
            if parts > 1:
                g = sum_of_parts(gradients, parts, first, vector(room, 0, g.size))
            update(recipe, eta, state, theta, g, memory, first)
            first += g.size
        if thread == 0:
            state.weight += weight
            for part in range(parts):
                state.loss += weight * part_losses[part]
        wait(barrier, n_threads)


@inline
def parts_of(recipe, n_samples):
    """How many parts a batch is cut into."""
    return least(recipe.parts, (n_samples + recipe.tile - 1) // recipe.tile)


@inline
def part_gradient(
    part, parts, net, recipe, weight, theta, gradient, tiles, order, start, stop,
    X, y, sample_weight,
):  # fmt: skip
    """gradient ← what this part of the batch adds to ∂L/∂θ; returns what it adds to L."""
    n_tiles = (stop - start + recipe.tile - 1) // recipe.tile
    total, begin = 0.0, ZERO
    for tile in range(n_tiles * part // parts, n_tiles * (part + 1) // parts):
        first = start + tile * recipe.tile
        total += recipe.loss_scale * tile_gradient(
            net, recipe.loss, weight, theta, gradient, begin, tiles, order,
            first, least(first + recipe.tile, stop), X, y, sample_weight,
        )  # fmt: skip
        begin = RESUMED
    if part == 0 and recipe.alpha > 0:
        total += add_penalty(net, recipe.alpha / weight, theta, gradient)
    return total


@inline
def sum_of_parts(gradients, parts, first, g):
    """g ← the sum of all parts, two at least, of the parameters from `first` on.

    Each thread has a g of its own: parts are written by one and read by others, and if others wrote
    there too, a line of memory would go to and fro. (A twentieth of a step of two threads on
    16-256-256-1 in a quiet spell, a tenth in others.)
    """
    one = vector(gradients, first, g.size)
    other = vector(gradients, gradients.shape[1] + first, g.size)
    for i in range(g.size):
        g[i] = one[i] + other[i]
    for part in range(2, parts):
        other = vector(gradients, part * gradients.shape[1] + first, g.size)
        for i in range(g.size):
            g[i] += other[i]
    return g


@njit
def tile_gradient(
    net, loss_code, weight, theta, gradient, begin, tiles, order, start, stop,
    X, y, sample_weight,
):  # fmt: skip
    """gradient ← begin + the part of the samples order[start:stop]; returns that of L."""
    ask_for_samples(X, y, order, stop, 2 * stop - start)
    tile_forward(net, theta, tiles, order, start, stop, X)
    n = padded(stop - start)
    O, D = part_of(tiles, O_PART, n), part_of(tiles, D_PART, n)
    part = tile_loss(net, loss_code, weight, O, D, order, start, stop, y, sample_weight)
    scratch = vector(tiles, 2 * tiles.shape[1], tiles.shape[1])
    backward(outer, sums, back, theta, net, O, D, scratch, gradient, begin)
    return part


@inline
def tile_loss(net, loss_code, weight, O, D, order, start, stop, y, sample_weight):
    """D of the outputs; returns what the samples order[start:stop] add to L."""
    n, m = O.shape[1], net.size - 1
    # Below the units lie the targets, and each sample's share of the batch.
    below = (net[m].units_at + net[m].width) * n
    Y = matrix(O, below, net[m].width, n)
    s = vector(O, below + Y.size, n)
    gather(y, order, start, stop, Y)
    gather_shares(sample_weight, weight, order, start, stop, s)
    return loss_and_slope(loss_code, units(O, net, m), Y, s, units(D, net, m))


@njit
def tile_forward(net, theta, tiles, order, start, stop, X):
    """O of every layer for the samples order[start:stop]."""
    n = padded(stop - start)
    O = part_of(tiles, O_PART, n)
    gather(X, order, start, stop, units(O, net, 0))
    forward(outputs, theta, net, O, vector(tiles, 2 * tiles.shape[1], tiles.shape[1]))


@entry
def predict(
    thread, n_threads, barrier, net, tile, theta, tiles,
    X, X_mean, X_scale, y_mean, y_scale, prediction,
):  # fmt: skip
    """prediction ← ŷ for every row of X, both in raw units and any precision.

    X_mean, X_scale, y_mean and y_scale are float64, one for each column.
    """
    piece = thread
    while piece * tile < X.shape[0]:
        start, stop = piece * tile, least(piece * tile + tile, X.shape[0])
        n = padded(stop - start)
        O = part_of(tiles[thread], O_PART, n)
        gather_standardized(X, X_mean, X_scale, start, stop, units(O, net, 0))
        scratch = vector(tiles[thread], 2 * tiles.shape[2], tiles.shape[2])
        forward(outputs, theta, net, O, scratch)
        Y = units(O, net, net.size - 1)
        for i in range(start, stop):
            for k in range(prediction.shape[1]):
                prediction[i, k] = y_scale[k] * Y[k, i - start] + y_mean[k]
        piece = next_piece(barrier, piece, n_threads)


@njit
def evaluate(
    thread, n_threads, barrier, net, recipe, theta, tiles, order, X, y, weight, spread
):  # fmt: skip
    """The loss and R² (the mean over the outputs) on held-out samples; `order` is 0, 1, …

    `weight` is each sample's share of the whole, so that L = Σ weight L(ŷ, y) and
    R² = mean over the outputs of 1 − Σ weight (ŷ − y)² / spread.
    """
    total, unexplained = 0.0, 0.0
    for start in range(0, X.shape[0] if thread == 0 else 0, recipe.tile):
        stop = least(start + recipe.tile, X.shape[0])
        tile_forward(net, theta, tiles[0], order, start, stop, X)
        O = part_of(tiles[0], O_PART, padded(stop - start))
        of_tile = score_of_tile(net, recipe.loss, O, start, stop, y, weight, spread)
        total, unexplained = total + of_tile[0], unexplained + of_tile[1]
    return recipe.loss_scale * total, 1 - unexplained / y.shape[1]


@inline
def score_of_tile(net, loss_code, O, start, stop, y, weight, spread):
    """What the samples from start to stop add to L, and to Σ weight (ŷ − y)² / spread."""
    prediction, total, unexplained = units(O, net, net.size - 1), 0.0, 0.0
    for i in range(start, stop):
        for k in range(y.shape[1]):
            error = prediction[k, i - start] - y[i, k]
            unexplained += weight[i] * error * error / spread[k]
            total += weight[i] * loss(loss_code, prediction[k, i - start], y[i, k])
    return total, unexplained


@entry
def loss_gradient(net, recipe, theta, gradient, tiles, order, X, y, sample_weight):
    """gradient ← ∂L/∂θ over all samples; returns L."""
    weight = weight_of(sample_weight, order, 0, order.size)
    return part_gradient(
        0, 1, net, recipe, weight, theta, gradient, tiles, order, 0, order.size,
        X, y, sample_weight,
    )  # fmt: skip
