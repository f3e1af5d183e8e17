"""How a fit is laid out: the recipe of the kernels, their arrays and threads."""

import math
from ctypes import addressof, c_char

import numpy as np

from fastbp import measuring
from fastbp.entries import Entries
from fastbp.fitting.schedules import SCHEDULES
from fastbp.fitting.team import Team, processors
from fastbp.kernels.formulas import losses, optimizers
from fastbp.kernels.formulas.network import step_flops
from fastbp.kernels.machine.vectors import INTERPRETED
from fastbp.kernels.training.epoch import BLOCK
from fastbp.kernels.training.records import OF_OPTIMIZERS, RECIPE, HeldOut, Samples, Training
from fastbp.kernels.training.samples import LINE_BYTES
from fastbp.kernels.training.tiled import THREADS_FLOPS

#: Floating-point operations of a call that may last too long to be deaf: some 5 to 100 ms. (The
#: thread that listens costs 50 µs.)
LISTENS_FLOPS = 5e8

#: Floating-point operations that are worth starting a thread for the time of one call.
CALL_FLOPS = 1e7


def optimizer_of(settings):
    """The update rule, a row of `optimizers.TABLE`: sgd is three, by its momentum."""
    if settings.solver != "sgd":
        return settings.solver
    if settings.momentum == 0:
        return "sgd"
    return "nesterov" if settings.nesterovs_momentum else "momentum"


#: What the kernels read as the estimator's parameters say it.
AS_GIVEN = ("alpha", "weight_decay", "shuffle", "tol", *OF_OPTIMIZERS)


def record_of(array):
    """The one record of an array, as kernels take it, in the same memory."""
    # Interpreted, kernels need fields that are attributes. NumPy reads such a record by lines of
    # Python: Numba would wait for them, and take Ctrl-C there for an error of theirs.
    return array.view(np.recarray)[0] if INTERPRETED else array[0]


def recipe_of(net, settings, batch_size, cut):
    """The settings as the kernels read them."""
    row, is_planned = losses.TABLE[settings.loss], SCHEDULES[settings.learning_rate].is_planned
    values = {name: getattr(settings, name) for name in AS_GIVEN} | {
        "loss": losses.LOSSES[settings.loss],
        # scikit-learn's loss is the mean over the outputs, although its gradient is the sum's.
        "loss_scale": 1 / net["width"][-1] if row.reported_by_output else 1.0,
        "by_count": row.reported_by_output,  # and it takes no notice there of weights
        "max_grad_norm": settings.max_grad_norm or np.inf,
        "ema_decay": settings.ema_decay or 0.0,
        # Of lbfgs kernels make no steps.
        "optimizer": optimizers.OPTIMIZERS.get(optimizer_of(settings), optimizers.SGD),
        "patience": np.inf if is_planned else settings.n_iter_no_change,  # planned: till its end
        "early_stopping": settings.holds_out,
        "by_loss": settings.by_loss,
        "batch_size": batch_size,
        "tile": cut.tile,
        "parts": cut.parts,
    }
    return record_of(np.array([tuple(map(values.__getitem__, RECIPE.names))], RECIPE))


def layout(kernel, net, settings, batch_size, theta, optimizer, best_theta, n_held_out=0):
    """All that a kernel trains with, and the threads that do it.

    Parameters
    ----------
    kernel : Kernel
    net : recarray, see `network.network`
    settings : see `settings_of`
    batch_size : int
        No more than there are samples.
    theta, best_theta : ndarrays
    optimizer : state.OptimizerState
    n_held_out : int
        Held-out samples, which are scored in one call.

    Returns
    -------
    training : Training
    team : Team
    """
    cut = kernel.cut(net, batch_size, theta.itemsize)
    parts = min(cut.parts, -(-batch_size // cut.tile))
    useful = kernel.threads(net, parts)
    flops = step_flops(net, batch_size)
    flops_of_call = max(flops, step_flops(net, n_held_out) / 3)  # forward only
    team = team_for(flops, useful, settings.n_threads, flops_of_call)
    blocks = -(-theta.size // BLOCK) if settings.max_grad_norm else 0
    training = Training(
        net,
        recipe_of(net, settings, batch_size, cut),
        record_of(optimizer.state),
        theta,
        optimizer.average,
        best_theta,
        np.full(net["width"][-1], settings.loss_parameter, theta.dtype),
        optimizer.memory,
        gradients=aligned_zeros((parts, theta.size), theta.dtype),
        part_losses=np.zeros(parts),
        squares=np.zeros(blocks),
        room=aligned_zeros(kernel.room(net, cut.tile, team.n_threads), theta.dtype),
    )
    return training, team


def team_for(flops, useful, n_threads, flops_of_call=0):
    """The threads that a piece of work is worth.

    Parameters
    ----------
    flops : float
        Floating-point operations between two barriers.
    useful : int
        Pieces that it can be cut into.
    n_threads : int or None
        The user's word; None is this process's processors, shared with the other fits in it.
    flops_of_call : float, default=0
        Those of the shortest call. From so many on as may take longer than somebody who presses
        Ctrl-C should wait, there is a thread more, which listens.
    """
    if INTERPRETED:  # there, nobody waits for others
        return Team(1)
    listens = flops_of_call >= LISTENS_FLOPS
    if n_threads is not None:
        return Team(min(n_threads, useful), listens=listens)
    number = 1 if flops < THREADS_FLOPS else min(processors(), useful)
    return Team(number, shares=True, listens=listens)


def row_numbers(n):
    """0, 1, … n − 1, as the kernels take them: half the memory of int64, and shuffled faster."""
    if n > 2**32:
        raise ValueError(f"{n:,} rows are more than kernels can number: 2**32.")
    return np.arange(n, dtype=np.uint32)


def samples_of(X, y, sample_weight=None, order=None, exponent=None):
    """Samples as the kernels take them; X and y are those of `converting.converted`, weights of
    shape (n,) or (n, n_outputs). The exponent is of all weights, if these are a part of them."""
    order = row_numbers(len(y)) if order is None else order
    weight = np.empty(0, X.dtype)
    if sample_weight is not None:
        exponent = measuring.exponent_of(sample_weight[order]) if exponent is None else exponent
        weight = measuring.relative(sample_weight, exponent)
        with np.errstate(over="ignore"):  # of rows that are not in the order
            weight = in_a_row(weight).astype(X.dtype)
    weight.flags.writeable = False
    return Samples(order, X, y, weight)


def in_a_row(weight):
    """Weights as the kernels take them: of each output behind their means, of each sample."""
    if weight.ndim == 1:
        return weight
    return np.concatenate([weight.mean(axis=1), weight.ravel()])


def weights_at(weight, n, rows):
    """Of some of n rows, from those: of shape (·,) or (·, n_outputs)."""
    return weight[rows] if weight.size <= n else weight[n:].reshape(n, -1)[rows]


def shares_of(weight):
    """Weights, so that those of samples sum to 1."""
    return weight / (weight.sum() if weight.ndim == 1 else weight.mean(axis=1).sum())


def held_out_of(X, y, sample_weight=None, spread_of_constant=1.0, whole=None):
    """Held-out samples as the kernels take them; weights as of `samples_of`.

    R² is of the `whole` y, where `y` is what a linear part leaves of it. That of a constant is
    undefined: the squared error itself takes its place, or with an infinite spread nothing that
    could improve.
    """
    weight = np.ones(len(y)) if sample_weight is None else measuring.relative(sample_weight)
    if not weight.any():
        raise ValueError("No row that is held out has a weight: there is nothing to score.")
    weight = shares_of(weight)
    targets = np.float64(y if whole is None else whole)
    if weight.ndim == 2:
        spread = spread_by_output(targets, weight, spread_of_constant)
        return HeldOut(row_numbers(len(y)), X, y, in_a_row(weight).astype(X.dtype), spread)
    spread = weight @ (targets - weight @ targets) ** 2
    # A mean of equal numbers may differ from them in the last bits.
    there = targets[weight > 0]
    is_constant = (there.min(axis=0) == there.max(axis=0)) | (spread == 0)
    spread[is_constant] = spread_of_constant
    return HeldOut(row_numbers(len(y)), X, y, weight.astype(X.dtype), spread)


def some_of(held_out, most):
    """Some of the held-out rows, evenly, or all if these are no more."""
    n, step = len(held_out.y), math.ceil(len(held_out.y) / most)
    if step <= 1:
        return held_out
    weight = weights_at(held_out.weight, n, slice(None, None, step))
    if not weight.any():
        return held_out
    X, y = (rows_of(A, slice(None, None, step)) for A in (held_out.X, held_out.y))
    weight = in_a_row(shares_of(weight))
    return held_out._replace(order=held_out.order[: len(y)], X=X, y=y, weight=weight)


def spread_by_output(y, weight, spread_of_constant):
    """What makes of Σ weight (ŷ − y)² for each output the part that it leaves unexplained; an
    output that has no weight counts nothing."""
    spread, parts = np.ones(y.shape[1]), weight.sum(axis=0)
    for k in np.flatnonzero(parts):
        there = y[weight[:, k] > 0, k]
        share = weight[weight[:, k] > 0, k] / parts[k]
        variance = share @ (there - share @ there) ** 2
        is_constant = there.min() == there.max() or variance == 0
        spread[k] = parts[k] * (spread_of_constant if is_constant else variance)
    return spread * np.count_nonzero(parts) / parts.size  # scores are divided by all


def nothing_held_out(samples):
    """What kernels take where nothing is."""
    X, y = samples.X[:0], samples.y[:0]
    return HeldOut(row_numbers(0), X, y, np.empty(0, X.dtype), np.empty(0))


def rows_of(X, chosen):
    """Some rows of X, or of y, as the kernels take them: of other arrays they would be compiled
    once more."""
    X = X[chosen]
    if isinstance(X, np.ndarray):
        X = np.ascontiguousarray(X)
        X.flags.writeable = False
    return X


def for_kernels(samples):
    """Samples, or what is held out, as kernels are given them."""
    X = samples.X
    return samples._replace(X=X.rows) if isinstance(X, Entries) else samples


def aligned_zeros(shape, dtype):
    """``np.zeros(shape, dtype)`` that begins where a cache line begins.

    A vector that lies across two lines is loaded twice: the products of a large network are a
    fifth slower where NumPy's own arrays begin, 16 bytes into a line.
    """
    size = math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + LINE_BYTES, np.uint8)
    first = -addressof(c_char.from_buffer(room)) % LINE_BYTES
    return np.ndarray(shape, dtype, room, first)


def aligned(A, dtype):
    """A copy of A in `dtype` that begins where a cache line begins.

    A thread's share of θ is then whole lines, to which no other writes: 8-100-1 with two threads
    takes 3 to 6 % less time a step; elsewhere it can't be told from noise.
    """
    copy = aligned_zeros(A.shape, dtype)
    copy[...] = A
    return copy
