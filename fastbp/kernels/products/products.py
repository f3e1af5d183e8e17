"""Products of the network's matrices, cut into tiles.

`outputs` and `back`, and `outer` and `sums` of `gradients.py`, which `network.py` is written with,
are for one thread; `large.py` has them for several, made of the same rows and columns.

O and D are (units, n), C-contiguous, with n a multiple of `LANES`. The samples lie in the lanes:
whatever the width of a layer, no lane is wasted. A tile of the result stays in registers while
its sum runs, and is stored once, with what follows on the sum done to it (`tiles.py`).
"""

import numpy as np

from fastbp.kernels.formulas.activations import KEPT, activate, activation, derivative, ended
from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.vectors import INTERPRETED, LANES, lanes
from fastbp.kernels.machine.views import greatest, vector
from fastbp.kernels.products.blocks import (
    DEPTH,
    LINE,
    PACKED,
    WIDE,
    multiply,
    multiply_rows,
    pack_columns,
)
from fastbp.kernels.products.gradients import outer, sums
from fastbp.kernels.products.tiles import (
    AS_IS,
    BIAS,
    RESUMED,
    VECTORS,
    ZERO,
    back_1,
    back_4,
    end_of,
    tile_1x1,
    tile_1x4,
)

#: Numbers of room for PACKED rows of W, and for each sample to turn over what a tile needs of D.
ROOM_OF_ROWS, ROOM_OF_SAMPLE = PACKED * (DEPTH + LINE), 2 * VECTORS * LANES


@inline
def outputs(kind, W, b, O_before, O, kept, scratch):
    """O ← σ(Wᵀ O_before + b), with the activation of this kind; kept ← σ′, if it is to be kept."""
    begin, end, w, one = np.int64(BIAS), end_of(kind), vector(W, 0, W.size), np.int64(1)
    if is_packed(W, O_before, scratch):
        _multiply_packed(w, one, W.shape[1], O_before, O, begin, b, end, O, scratch)
    else:
        multiply(w, one, W.shape[1], O_before, O, begin, b, end, O, np.int64(0), O.shape[0])
    activate(kind, vector(O, 0, O.size), vector(kept, 0, kept.size))


@njit
def outputs_of_one(kind, W, b, O_before, O, kept, scratch):
    """As `outputs`, of a single sample, and to the same bits: in the lanes there are units."""
    x, w, o = vector(O_before, 0, O_before.size), vector(W, 0, W.size), vector(O, 0, O.size)
    terms, width, wide = W.shape[0], W.shape[1], 2 * VECTORS * lanes(W)
    zero, one, begin, end = np.int64(0), np.int64(1), np.int64(RESUMED), end_of(kind)
    size = wide if width >= wide else lanes(W)
    for k in range(width):
        o[k] = b[k]
    if width < size:
        for j in range(terms):
            for k in range(width):
                o[k] += x[j] * W[j, k]
        for k in range(width):
            o[k] = ended(kind, o[k])
    k = width if width >= size else zero
    while k > 0:
        k = greatest(k - size, zero)
        for i in range(k, k + size):  # some are computed twice, to the same result
            o[i] = b[i]
        if size == wide:
            tile_1x4(x, zero, zero, one, w, k, width, o, k, zero, terms, begin, b, zero, end, o)
        else:
            tile_1x1(x, zero, zero, one, w, k, width, o, k, zero, terms, begin, b, zero, end, o)
    activate(kind, o, vector(kept, 0, kept.size))


@inline
def errors(kind, W, D, kept, D_before, scratch):
    """D_before ← (W D) ∘ σ′, of this kind, which is taken from `kept`: see `network.slopes`."""
    begin, w, zero, one = np.int64(ZERO), vector(W, 0, W.size), np.int64(0), np.int64(1)
    rows = D_before.shape[0]
    if is_packed(W, D, scratch):
        _multiply_packed(w, W.shape[1], one, D, D_before, begin, w, kind, kept, scratch)
    else:
        multiply(w, W.shape[1], one, D, D_before, begin, w, kind, kept, zero, rows)


@inline
def back(kind, W, O_before, kept, D, D_before, G, g_before, scratch, begin):
    """G ← begin + O_before Dᵀ, D_before ← (W D) ∘ σ′, g_before ← begin + Σ D_before."""
    if D.shape[0] == 1:
        back_from_one(kind, W, O_before, kept, D, D_before, G, g_before, begin)
    else:
        outer(O_before, D, G, scratch, begin)
        errors(kind, W, D, kept, D_before, scratch)
        sums(D_before, g_before, scratch, begin)


@njit
def back_from_one(kind, W, O, kept, D, C, G, g, begin):
    """As `back`, from a layer of one unit, in one pass: the three would take two thirds more."""
    s = vector(kept, 0, kept.size)
    o, c, n, r = vector(O, 0, O.size), vector(C, 0, C.size), O.shape[1], 0
    w, d, G = vector(W, 0, W.size), vector(D, 0, D.size), vector(G, 0, G.size)
    while r + 4 <= O.shape[0]:
        back_4(w, r, d, n, o, s, r * n, c, G, g, kind, begin)
        r += 4
    while r < O.shape[0]:
        back_1(w, r, d, n, o, s, r * n, c, G, g, kind, begin)
        r += 1


@inline
def is_packed(W, B, scratch):
    """Whether a product with W is one for `_multiply_packed`."""
    return W.size > WIDE and scratch.size >= ROOM_OF_ROWS + B.shape[0] * (B.shape[1] + lanes(W))


@njit
def _multiply_packed(A, a_row, a_k, B, C, begin, bias, end, O, scratch):
    """As `multiply`, for all rows: what a tile needs of B lies side by side, and of A where it has
    columns."""
    room, size = vector(scratch, 0, ROOM_OF_ROWS), B.shape[0] * (B.shape[1] + lanes(B))
    packed = vector(scratch, ROOM_OF_ROWS, size)
    pack_columns(B, np.int64(0), B.shape[0], packed)
    for r in range(0, C.shape[0], PACKED):
        multiply_rows(A, a_row, a_k, B, packed, C, begin, bias, end, O, r, room)


if INTERPRETED:
    # What the above computes, in NumPy.

    def outputs(kind, W, b, O_before, O, kept, scratch):
        O[:] = W.T @ O_before + b[:, None]
        activate(kind, O.reshape(-1), kept.reshape(-1))
        if end_of(kind) != AS_IS:
            O[:] = np.reshape([activation(kind, z) for z in O.flat], O.shape)

    outputs_of_one = outputs

    def errors(kind, W, D, kept, D_before, scratch):
        slopes = kept if kind == KEPT else [derivative(kind, o) for o in kept.flat]
        D_before[:] = (W @ D) * np.reshape(slopes, D_before.shape)

    def back(kind, W, O_before, kept, D, D_before, G, g_before, scratch, begin):
        outer(O_before, D, G, scratch, begin)
        errors(kind, W, D, kept, D_before, scratch)
        sums(D_before, g_before, scratch, begin)
