"""Samples: in which order they are taken, and how they come from a table into a tile."""

import numpy as np

from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.counters import GOLDEN, mixed
from fastbp.kernels.machine.vectors import count, gathered, lanes, put
from fastbp.kernels.machine.views import ask_for, least, vector
from fastbp.kernels.products.tiles import turn_gathered, turn_gathered_half, turn_gathered_quarter

#: Numbers in a table that no longer stays in a core's cache; bytes of a line of it.
FAR, LINE_BYTES = 2**19, 64


@inline
def weight_of(sample_weight, order, start, stop):
    """Σ of the samples' weights."""
    if sample_weight.size == 0:
        return float(stop - start)
    total = 0.0
    for i in range(start, stop):
        total += sample_weight[order[i]]
    return total


@njit
def gather(A, order, start, stop, T):
    """T ← A[order[start:stop]]ᵀ, and zeros for the samples that pad it."""
    n, t, width = T.shape[1], vector(T, 0, T.size), lanes(T)
    whole, done = (stop - start) // width * width, T.shape[0] // width * width
    for i in range(0, whole, width):
        for j in range(0, done, width):
            turn_gathered(A, order, start + i, j, t, j * n + i, n)
    if T.shape[0] - done >= width // 2:
        for i in range(0, whole, width):
            turn_gathered_half(A, order, start + i, done, t, done * n + i, n)
        done += width // 2
    if T.shape[0] - done >= width // 4 >= 2:  # a quarter of a short vector is no vector
        for i in range(0, whole, width):
            turn_gathered_quarter(A, order, start + i, done, t, done * n + i, n)
        done += width // 4
    of_numbers = whole // count(T) * count(T)
    for j in range(done, T.shape[0]):
        for i in range(0, of_numbers, count(T)):
            put(gathered(A, order, start + i, j), t, j * n + i)
    for j in range(T.shape[0]):
        for i in range(whole if j < done else of_numbers, stop - start):
            T[j, i] = A[order[start + i], j]
        for i in range(stop - start, n):
            T[j, i] = 0


@inline
def ask_for_samples(X, y, order, start, stop):
    """Have the samples order[start:stop] fetched, where a table is too large for the cache.

    In a new order each epoch, the processor can't know what will be needed next. (A million rows of
    8 columns: a step of 8-8-1 online takes a quarter of the time, one of 2-2-1 with a batch of 32
    a half to three quarters, one of 8-50-1 nine tenths.)
    """
    if X.size > FAR:
        _ask_for_samples(X, y, order, start, least(stop, order.size))


@njit
def _ask_for_samples(X, y, order, start, stop):
    x, t, line = vector(X, 0, X.size), vector(y, 0, y.size), LINE_BYTES // X.itemsize
    for i in range(start, stop):
        row = np.int64(order[i])
        for j in range(0, X.shape[1], line):
            ask_for(x, row * X.shape[1] + j)
        ask_for(x, (row + 1) * X.shape[1] - 1)
        ask_for(t, row * y.shape[1])


@inline
def gather_standardized(A, mean, scale, limit, start, stop, T):
    """T ← (A[start:stop] − mean)ᵀ / scale, but no further from 0 than the limit, and zeros for the
    samples that pad it."""
    most = T.dtype.type(limit)
    for j in range(T.shape[0]):
        center, factor = mean[j], 1 / scale[j]
        for i in range(start, stop):
            T[j, i - start] = (A[i, j] - center) * factor
        for i in range(stop - start, T.shape[1]):
            T[j, i] = 0
        row = vector(T, j * T.shape[1], T.shape[1])
        for i in range(row.size):  # of numbers side by side: by themselves they would cost a fifth
            row[i] = most if row[i] > most else -most if row[i] < -most else row[i]


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
def are_by_output(weight, y):
    """Whether each output of a sample has a weight of its own: they lie behind those of samples."""
    return weight.size > y.shape[0]


@njit
def gather_shares_by_output(sample_weight, weight, order, start, stop, n_rows, S):
    """S ← the share in the batch's weight of each output of each sample; padding has none."""
    n_outputs, share = S.shape[0], S.dtype.type(1 / weight)
    for k in range(n_outputs):
        for i in range(start, stop):
            S[k, i - start] = share * sample_weight[n_rows + order[i] * n_outputs + k]
        for i in range(stop - start, S.shape[1]):
            S[k, i] = 0


@inline
def shuffle(order, state):
    """Permute `order` in place (Fisher & Yates), with splitmix64 (Steele, Lea & Flood, 2014).

    ``Generator.permutation`` takes Numba five seconds to compile, and NumPy's own is slower
    than a small network's epoch. A number serves two places, by its upper and its lower half.
    Unsigned integers are no indices counted from the end, and nobody asks whether they are.
    """
    whole, half, one = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
    random = state.random
    for last in range(order.size - 1, 0, -2):
        random += GOLDEN
        z = mixed(random)
        # Each half, scaled to 0…i.
        i = np.uint64(last)
        j = ((z >> half) * (i + one)) >> half
        order[i], order[j] = order[j], order[i]
        i -= one
        j = ((z & whole) * (i + one)) >> half
        order[i], order[j] = order[j], order[i]
    state.random = random
