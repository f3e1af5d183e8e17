"""How a fit is laid out: the recipe of the kernels, tiles, parts and threads."""

import math
from dataclasses import dataclass

import numpy as np

from fastbp.fitting.team import Team, processors
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.formulas.optimizers import ADAM, MOMENTUM, NESTEROV, SGD
from fastbp.kernels.machine.vectors import INTERPRETED, LANES, TOGETHER
from fastbp.kernels.products.products import PACKED, ROOM_OF_ROWS, ROOM_OF_SAMPLE
from fastbp.kernels.training.epoch import RECIPE, train
from fastbp.kernels.training.large import train_large
from fastbp.kernels.training.narrow import MOST_PARAMETERS, WIDEST, train_narrow
from fastbp.kernels.training.online import train_online
from fastbp.kernels.training.samples import LINE_BYTES
from fastbp.parameters import n_parameters

#: Bytes of O and D of one tile, but no fewer samples than LEAST_SAMPLES: what is done once for
#: a tile (packing, turning over, beginning a sum) then costs little.
TILE_BYTES, LEAST_SAMPLES = 64 * 1024, 16 * LANES

#: Bytes of weights that no longer stay in a core's cache: they should serve four times as many
#: samples each time they are read. Threads then share the products of a tile, of as many samples
#: at most. (128-1024-1024-1, two threads: tiles of 256 take 2 % longer, of 1,024 3 %.)
WEIGHTS_BYTES, SHARED_SAMPLES = 2**20, 512

#: Floating-point operations of a step from which on a second thread is worth its barriers.
THREADS_FLOPS = 1e6

#: Bytes for the gradients of a batch's parts, and the most parts there are.
PARTS_BYTES, MOST_PARTS = 8 * 2**20, 64


@dataclass
class Settings:
    """How to train, in the words of the estimator's parameters."""

    loss: str = "squared_error"
    solver: str = "sgd"
    alpha: float = 0.0
    batch_size: int = 200
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    max_iter: int = 200
    max_time: float | None = None
    tol: float = 1e-4
    n_iter_no_change: float = 10
    early_stopping: bool = False
    shuffle: bool = True
    n_threads: int | None = None


def optimizer_code(settings):
    """Code of the update rule: sgd is three rules, by its momentum."""
    if settings.solver == "adam":
        return ADAM
    if settings.momentum == 0:
        return SGD
    return NESTEROV if settings.nesterovs_momentum else MOMENTUM


def recipe_of(net, settings, batch_size, itemsize):
    """The settings as the kernels read them."""
    recipe = np.zeros(1, RECIPE).view(np.recarray)
    recipe.loss = LOSSES[settings.loss]
    # scikit-learn's loss is the mean over the outputs, although its gradient is the sum's.
    recipe.loss_scale = 1 / net["width"][-1] if settings.loss == "half_squared_error" else 1.0
    recipe.optimizer = optimizer_code(settings)
    for name in ("alpha", "momentum", "beta_1", "beta_2", "epsilon", "shuffle", "tol"):
        recipe[name] = getattr(settings, name)
    recipe.early_stopping = settings.early_stopping
    recipe.patience = settings.n_iter_no_change
    recipe.batch_size = batch_size
    if is_large(net, itemsize):
        recipe.tile, recipe.parts = equal_tiles(batch_size, SHARED_SAMPLES), 1
    else:
        recipe.tile, recipe.parts = tile_size(net, batch_size, itemsize), most_parts(net, itemsize)
    return recipe[0]


def kernel_for(net, batch_size, itemsize):
    """Which of the four kernels trains: they are fast for different sizes."""
    if INTERPRETED:
        return train  # the others need lanes
    if batch_size == 1:
        return train_online
    if is_large(net, itemsize):
        return train_large
    few = n_parameters(net) <= MOST_PARAMETERS and net["width"].max() <= WIDEST
    alone = step_flops(net, batch_size) < THREADS_FLOPS
    return train_narrow if few and alone and batch_size >= LANES else train


def tile_size(net, batch_size, itemsize):
    """Samples in a tile: as many as fit the cache, in tiles of equal size."""
    samples = max(TILE_BYTES // (2 * tile_rows(net) * itemsize), LEAST_SAMPLES)
    if is_large(net, itemsize):
        samples = max(samples, 4 * LEAST_SAMPLES)
    if step_flops(net, batch_size) >= THREADS_FLOPS:
        samples = min(samples, -(-batch_size // 2))  # something for a second thread
    return equal_tiles(batch_size, samples)


def equal_tiles(n_samples, most):
    """Samples in a tile, `most` at most, where n_samples are in tiles of equal size."""
    tiles = -(-n_samples // most)
    return -(-n_samples // (tiles * LANES)) * LANES


def is_large(net, itemsize):
    """Whether threads share the products of a tile, not the tiles: see `kernels.large`."""
    return n_parameters(net) * itemsize > WEIGHTS_BYTES


def tile_rows(net):
    """Rows of a tile: all units, the targets and the samples' shares (see `epoch.py`)."""
    widths = net["width"].tolist()  # of so few numbers, Python's sum is the faster one
    return sum(widths) + widths[-1] + 1


def most_parts(net, itemsize):
    """Parts with a gradient of their own that a batch may be cut into."""
    fitting = PARTS_BYTES // (n_parameters(net) * itemsize)
    return max(2, min(fitting, MOST_PARTS))


def step_flops(net, batch_size):
    """Floating-point operations of a step, nearly: three products, forward and back."""
    return 6 * n_parameters(net) * batch_size


def most_threads(kernel, net, parts):
    """How many threads find work in a batch of so many parts."""
    if kernel is train_large:
        return -(-int(net["width"].max()) // PACKED)
    return parts if kernel is train else 1


def team_for(flops, useful, n_threads):
    """The threads that a piece of work is worth.

    Parameters
    ----------
    flops : float
        Floating-point operations between two barriers.
    useful : int
        Pieces that it can be cut into.
    n_threads : int or None
        The user's word; None is this process's processors, shared with the other fits in it.
    """
    if n_threads is not None:
        return Team(min(n_threads, useful))
    return Team(1 if flops < THREADS_FLOPS else min(processors(), useful), shares=True)


def tiles_for(net, tile, dtype, n_threads=1):
    """Room for O and D of one tile, and as much to work in, for each thread."""
    return aligned_zeros((n_threads, 3, tile_rows(net) * tile), dtype)


def room_for(kernel, net, tile, dtype, n_threads):
    """What the kernel that trains works in."""
    if kernel is train_narrow:
        # As tiles, and a gradient, of as many samples as it takes at a time.
        rows = max(tile_rows(net), n_parameters(net))
        return aligned_zeros((1, 3, rows * TOGETHER * LANES), dtype)
    if kernel is train_online:
        # θ, its gradient and two vectors of memory; o and d; eight octets of lanes.
        octets = -(-net["width"] // 8)
        n_rows, n_units = (net["width"][:-1] + 1) @ octets[1:], octets.sum()
        return aligned_zeros((1, 1, 8 * (4 * n_rows + 2 * n_units + 8)), dtype)
    if kernel is train_large:
        # O and D of one tile; room for each thread, and for all to lay out a layer.
        of_thread, widest = ROOM_OF_ROWS + ROOM_OF_SAMPLE * tile, int(net["width"].max())
        room = n_threads * of_thread + widest * (tile + LANES)
        return aligned_zeros((1, 3, max(tile_rows(net) * tile, room)), dtype)
    return tiles_for(net, tile, dtype, n_threads)


def aligned_zeros(shape, dtype):
    """``np.zeros(shape, dtype)`` that begins where a cache line begins.

    A vector that lies across two lines is loaded twice: the products of a large network are a
    fifth slower where NumPy's own arrays begin, 16 bytes into a line.
    """
    size = math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + LINE_BYTES, np.uint8)
    first = -room.__array_interface__["data"][0] % LINE_BYTES
    return room[first : first + size].view(dtype).reshape(shape)


def aligned(A, dtype):
    """A copy of A in `dtype` that begins where a cache line begins.

    A thread's share of θ is then whole lines, to which no other writes: 8-100-1 with two threads
    takes 3 to 6 % less time a step; elsewhere it can't be told from noise.
    """
    copy = aligned_zeros(A.shape, dtype)
    copy[...] = A
    return copy
