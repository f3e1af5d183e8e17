"""Epochs: batches → tiles → gradient → update.

A batch is cut into tiles of a fixed number of samples. A tile is gathered from X, flows
forward through all layers and back through all layers while it is in cache, and adds its
part to the gradient; after the last tile of the batch θ moves, once.

The caller allocates all arrays, nothing is allocated here:

==============  =====================  ================================================
X, y            (n_samples, ·)         in the precision of training, read-only
sample_weight   (n_samples,)           or empty: all samples weigh the same
order           (n_samples,)           the order in which samples are taken
net             (n_layers,) LAYER      the shape of the network, see `network.py`
recipe          RECIPE                 how to train
state           STATE                  what is carried from step to step
theta, memory   (n_parameters,), (·,   θ, and the vectors the optimiser remembers
                n_parameters)
gradient        (n_parameters,)        ∂L/∂θ of the batch
tiles           (2, rows · tile)       room for O and D of one tile
==============  =====================  ================================================
"""

import numpy as np

from fastbp.kernels.compile import inline, njit, njit_sum
from fastbp.kernels.losses import loss, loss_and_slope
from fastbp.kernels.network import backward, forward, units, weights
from fastbp.kernels.optimizers import update
from fastbp.kernels.simd import LANES
from fastbp.kernels.views import matrix, vector

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
        ("shuffle", np.bool_),
        ("early_stopping", np.bool_),  # watch the validation score, not the loss
        ("tol", np.float64),
        ("patience", np.float64),  # epochs without improvement that are still borne
    ],
    align=True,
)

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
    ],
    align=True,
)


@njit
def train(
    net, recipe, state, theta, best_theta, memory, gradient, tiles, order,
    X, y, sample_weight, X_val, y_val, weight_val, spread_val,
    steps, etas, losses, losses_val, scores,
):  # fmt: skip
    """Train for ``len(etas)`` epochs, or `steps` batches, or as long as it improves.

    Parameters
    ----------
    X_val, y_val, weight_val : arrays of shape (n_validation, ·), (n_validation,)
        Held-out samples, and each one's share of their weight; empty without them.
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
    for epoch in range(etas.size):
        if state.position == 0:
            state.loss, state.weight = 0.0, 0.0
            if recipe.shuffle:
                shuffle(order, state)
        steps -= train_batches(
            net, recipe, state, steps, etas[epoch], theta, memory, gradient, tiles, order,
            X, y, sample_weight,
        )  # fmt: skip
        if state.position < order.size:
            return epoch
        state.position = 0
        losses[epoch] = state.loss / state.weight
        if not np.isfinite(losses[epoch]):
            return epoch + 1
        if X_val.shape[0] > 0:
            losses_val[epoch], scores[epoch] = evaluate(
                net, recipe, theta, tiles, X_val, y_val, weight_val, spread_val
            )
            if scores[epoch] > state.best_score:
                state.best_score = scores[epoch]
                for i in range(theta.size):
                    best_theta[i] = theta[i]
        figure = -scores[epoch] if recipe.early_stopping else losses[epoch]
        state.stalled = state.stalled + 1 if figure > state.best - recipe.tol else 0
        state.best = min(state.best, figure)
        if state.stalled > recipe.patience:
            return epoch + 1
    return etas.size


@inline
def train_batches(
    net, recipe, state, steps, eta, theta, memory, gradient, tiles, order,
    X, y, sample_weight,
):  # fmt: skip
    """Go on with this epoch for at most `steps` batches, a step of θ each; returns how many."""
    done = 0
    while done < steps and state.position < order.size:
        start, stop = state.position, min(state.position + recipe.batch_size, order.size)
        weight = weight_of(sample_weight, order, start, stop)
        if weight > 0:
            state.loss += weight * batch_gradient(
                net, recipe, weight, theta, gradient, tiles, order, start, stop,
                X, y, sample_weight,
            )  # fmt: skip
            update(recipe, eta, state, theta, gradient, memory)
            state.weight += weight
        state.position = stop
        done += 1
    return done


@inline
def batch_gradient(
    net, recipe, weight, theta, gradient, tiles, order, start, stop, X, y, sample_weight
):  # fmt: skip
    """gradient ← ∂L/∂θ over the samples order[start:stop], of total `weight`; returns L."""
    total = penalty(net, recipe.alpha / weight, theta, gradient)
    for first in range(start, stop, recipe.tile):
        last = min(first + recipe.tile, stop)
        total += recipe.loss_scale * tile_gradient(
            net, recipe.loss, weight, theta, gradient, tiles, order, first, last,
            X, y, sample_weight,
        )  # fmt: skip
    return total


@njit
def tile_gradient(
    net, loss_code, weight, theta, gradient, tiles, order, start, stop, X, y, sample_weight
):  # fmt: skip
    """Add the part of the samples order[start:stop] to the gradient; returns that of L."""
    n = padded(stop - start)
    O = matrix(tiles, 0, tile_rows(net), n)
    D = matrix(tiles, tiles.shape[1], tile_rows(net), n)
    gather(X, order, start, stop, units(O, net, 0))
    gather(y, order, start, stop, targets(O, net))
    gather_shares(sample_weight, weight, order, start, stop, shares(O, net))

    forward(theta, net, O, D)
    m = net.size - 1
    part = loss_and_slope(
        loss_code, units(O, net, m), targets(O, net), shares(O, net), units(D, net, m)
    )
    backward(theta, net, O, D, gradient)
    return part


@njit_sum
def penalty(net, alpha, theta, gradient):
    """gradient ← α W, biases 0; returns ½ α ‖W‖²."""
    for i in range(gradient.size):
        gradient[i] = 0
    squares = 0.0
    if alpha > 0:
        a = theta.dtype.type(alpha)
        for l in range(1, net.size):
            for i in range(net[l].weights_at, net[l].biases_at):
                gradient[i] = a * theta[i]
                squares += theta[i] * theta[i]
    return 0.5 * alpha * squares


@njit
def predict(net, recipe, theta, tiles, X, prediction):
    """prediction ← ŷ for every row of X, in the units of training."""
    for start in range(0, X.shape[0], recipe.tile):
        stop = min(start + recipe.tile, X.shape[0])
        n = padded(stop - start)
        O = matrix(tiles, 0, tile_rows(net), n)
        Z = matrix(tiles, tiles.shape[1], tile_rows(net), n)
        gather_range(X, start, stop, units(O, net, 0))
        forward(theta, net, O, Z)
        Y = units(O, net, net.size - 1)
        for i in range(start, stop):
            for k in range(Y.shape[0]):
                prediction[i, k] = Y[k, i - start]


@njit_sum
def evaluate(net, recipe, theta, tiles, X, y, weight, spread):
    """The loss and R² (the mean over the outputs) on held-out samples.

    `weight` is each sample's share of the whole, so that L = Σ weight L(ŷ, y) and
    R² = mean over the outputs of 1 − Σ weight (ŷ − y)² / spread.
    """
    total, unexplained = 0.0, 0.0
    for start in range(0, X.shape[0], recipe.tile):
        stop = min(start + recipe.tile, X.shape[0])
        n = padded(stop - start)
        O = matrix(tiles, 0, tile_rows(net), n)
        Z = matrix(tiles, tiles.shape[1], tile_rows(net), n)
        gather_range(X, start, stop, units(O, net, 0))
        forward(theta, net, O, Z)
        prediction = units(O, net, net.size - 1)
        for i in range(start, stop):
            for k in range(y.shape[1]):
                error = prediction[k, i - start] - y[i, k]
                unexplained += weight[i] * error * error / spread[k]
                total += weight[i] * loss(recipe.loss, prediction[k, i - start], y[i, k])
    return recipe.loss_scale * total, 1 - unexplained / y.shape[1]


@inline
def tile_rows(net):
    """Rows of a tile: the units of every layer, then the targets, then the shares."""
    m = net.size - 1
    return net[m].units_at + 2 * net[m].width + 1


@inline
def targets(O, net):
    """The rows below the units: y of each output, a view of shape (n_outputs, n)."""
    m, n = net.size - 1, O.shape[1]
    return matrix(O, (net[m].units_at + net[m].width) * n, net[m].width, n)


@inline
def shares(O, net):
    """The last row: each sample's share of the batch, a view of shape (n,)."""
    n = O.shape[1]
    return vector(O, (tile_rows(net) - 1) * n, n)


@inline
def padded(n):
    """n rounded up to whole vectors; a single sample stays single, see `simd.py`."""
    return n if n == 1 else (n + LANES - 1) // LANES * LANES


@inline
def weight_of(sample_weight, order, start, stop):
    """Σ of the samples' weights."""
    if sample_weight.size == 0:
        return float(stop - start)
    total = 0.0
    for i in range(start, stop):
        total += sample_weight[order[i]]
    return total


@inline
def gather(A, order, start, stop, T):
    """T ← A[order[start:stop]]ᵀ, padded with zeros."""
    for i in range(start, stop):
        for j in range(T.shape[0]):
            T[j, i - start] = A[order[i], j]
    pad(T, stop - start)


@inline
def gather_range(A, start, stop, T):
    """T ← A[start:stop]ᵀ, padded with zeros."""
    for i in range(start, stop):
        for j in range(T.shape[0]):
            T[j, i - start] = A[i, j]
    pad(T, stop - start)


@inline
def pad(T, n):
    """Zero from column n on: padding samples have finite values, and weight 0."""
    for j in range(T.shape[0]):
        for i in range(n, T.shape[1]):
            T[j, i] = 0


@inline
def gather_shares(sample_weight, weight, order, start, stop, s):
    """s ← each sample's share of the batch's weight; padding has none."""
    share = s.dtype.type(1 / weight)
    weighted = sample_weight.size > 0
    for i in range(start, stop):
        s[i - start] = share * sample_weight[order[i]] if weighted else share
    for i in range(stop - start, s.size):
        s[i] = 0


@inline
def shuffle(order, state):
    """Permute `order` in place (Fisher & Yates), with splitmix64 (Steele, Lea & Flood, 2014).

    ``Generator.permutation`` takes Numba five seconds to compile, and NumPy's own is slower
    than a small network's epoch.
    """
    random = state.random
    for i in range(order.size - 1, 0, -1):
        random += np.uint64(0x9E3779B97F4A7C15)
        z = random
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        # The upper 32 bits, scaled to 0…i.
        j = np.int64(((z >> np.uint64(32)) * np.uint64(i + 1)) >> np.uint64(32))
        order[i], order[j] = order[j], order[i]
    state.random = random


@njit
def loss_gradient(net, recipe, theta, gradient, tiles, order, X, y, sample_weight):
    """gradient ← ∂L/∂θ over all samples; returns L."""
    weight = weight_of(sample_weight, order, 0, order.size)
    return batch_gradient(
        net, recipe, weight, theta, gradient, tiles, order, 0, order.size, X, y, sample_weight
    )
