"""Epochs, as all kernels that train go through them.

Threads run the same code side by side. What differs between kernels is how they take steps, and
how they score.
"""

import numpy as np

from fastbp.kernels.formulas.dropout import begin_masks
from fastbp.kernels.formulas.optimizers import shrink_of, sum_of_squares
from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.subnormals import flush_subnormals, restore
from fastbp.kernels.machine.threads import is_called_off, next_piece, wait
from fastbp.kernels.machine.views import least, vector
from fastbp.kernels.training.records import scored
from fastbp.kernels.training.samples import shuffle

#: Parameters that are summed over the parts and updated at a time: they stay in the first cache.
BLOCK = 1024


@inline
def train_epochs(take_steps, score, threads, training, samples, held_out, course):
    """Train for ``len(course.etas)`` epochs, or `steps` batches, or as long as it improves.

    A call that ends within an epoch is gone on from by the next one: between two calls Python can
    listen to the user. So it does where the samples are a window of a table, and not its last: the
    epoch is the table's. One that is called off meanwhile returns as soon as it can: θ is then
    anything, but if the position says that all samples are done, and only their scoring is not.

    Parameters
    ----------
    take_steps : kernel (threads, training, samples, eta, start, stop)
        A step of θ for each batch of the samples from one position of the order to another.
    score : kernel (threads, training, held_out)
        Σ weight L(ŷ, y) and Σ weight (ŷ − y)² / spread over the held-out samples, in the first
        thread.
    threads, training, samples, held_out, course
        See `records.py`.

    Returns
    -------
    int
        Epochs completed. One whose loss isn't finite is the last.
    """
    before = flush_subnormals()
    done = go_through_epochs(take_steps, score, threads, training, samples, held_out, course)
    restore(before)
    return done


@inline
def go_through_epochs(take_steps, score, threads, training, samples, held_out, course):
    """See `train_epochs`."""
    recipe, state, size = training.recipe, training.state, samples.order.size
    first, steps = course.first, course.steps
    position = state.position - first
    for epoch in range(course.etas.size):
        if threads.thread == 0 and position == 0:
            begin_epoch(recipe, state, samples.order)
        if not wait(threads.barrier, threads.n):
            return epoch
        stop = least(position + steps * recipe.batch_size, size)
        take_steps(threads, training, samples, course.etas[epoch], position, stop)
        steps -= (stop - position + recipe.batch_size - 1) // recipe.batch_size
        if first + stop < course.n_samples:
            if threads.thread == 0:
                state.position = first + stop
            return epoch
        if is_called_off(threads.barrier):
            return epoch
        position = 0
        if held_out.y.shape[0] > 0:
            if threads.thread == 0:
                state.position = first + size
            loss, unexplained = score(threads, training, held_out)
            if is_called_off(threads.barrier):
                return epoch
            if threads.thread == 0:
                course.losses_val[epoch] = recipe.loss_scale * loss
                course.scores[epoch] = 1 - unexplained / held_out.y.shape[1]
        if threads.thread == 0:
            end_epoch(epoch, training, held_out, course)
        if not wait(threads.barrier, threads.n) or state.ended:
            return epoch + 1
    return course.etas.size


@inline
def part_in_loss(recipe, weight, n_samples):
    """What a batch of this weight counts for in the mean loss of an epoch."""
    return float(n_samples) if recipe.by_count else weight


@njit
def begin_epoch(recipe, state, order):
    """A new order, new masks, and at the table's first samples sums from zero."""
    begin_masks(state)
    if state.position == 0:
        state.loss, state.weight = 0.0, 0.0
    if recipe.shuffle:
        shuffle(order, state)


@njit
def end_epoch(epoch, training, held_out, course):
    """Compare with the best epoch so far."""
    recipe, state, losses, scores = training.recipe, training.state, course.losses, course.scores
    state.position = 0
    losses[epoch] = state.loss / state.weight
    figure = losses[epoch]
    if held_out.y.shape[0] > 0:
        judged = course.losses_val[epoch] if recipe.by_loss else -scores[epoch]
        if judged < state.best_held_out:
            state.best_held_out, theta = judged, scored(training)
            for i in range(theta.size):
                training.best_theta[i] = theta[i]
        figure = judged if recipe.early_stopping else figure
    if figure > state.best - recipe.tol:
        state.stalled += 1
    else:
        state.stalled = 0
    state.best = figure if figure < state.best else state.best
    state.ended = state.stalled > recipe.patience or not np.isfinite(losses[epoch])


@njit
def sum_blocks(threads, training, parts):
    """The first gradient ← the sum of all parts; returns what it must be shortened by.

    For a limit to its norm, all of the gradient must be there before any of θ moves. Its blocks and
    their sums are the same for any number of threads.
    """
    gradients, squares, block = training.gradients, training.squares, threads.thread
    while block < squares.size:
        first = block * BLOCK
        g = vector(gradients, first, least(BLOCK, training.theta.size - first))
        if parts > 1:
            sum_of_parts(gradients, parts, first, g)
        squares[block] = sum_of_squares(g)
        block = next_piece(threads.barrier, block, threads.n)
    wait(threads.barrier, threads.n)
    square = 0.0
    for block in range(squares.size):
        square += squares[block]
    return shrink_of(training.recipe, square)


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
