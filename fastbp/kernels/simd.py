"""Products of the network's matrices, cut into tiles.

O and D are (units, n), C-contiguous, with n a multiple of `LANES`. The samples lie in the lanes:
whatever the width of a layer, no lane is wasted. A tile of the result stays in registers while
its sum runs, and is stored once, with what follows on the sum done to it (`tiles.py`).
"""

import numba
import numpy as np

from fastbp.kernels.activations import RELU, activate, activation, derivative
from fastbp.kernels.compile import inline, njit
from fastbp.kernels.tiles import (
    AS_IS,
    BIAS,
    MORE_VECTORS,
    RECTIFIED,
    RESUMED,
    ROWS,
    VECTORS,
    ZERO,
    add_turned,
    copy_rows,
    copy_vector,
    dots_0x1,
    dots_0x4,
    dots_1x1,
    dots_1x4,
    dots_2x4,
    outer_rows,
    tile_1x1,
    tile_1x4,
    tile_4x1,
    tile_4x2,
    tile_4x3,
    tile_square,
    turn,
    turn_groups,
)
from fastbp.kernels.vectors import lanes
from fastbp.kernels.views import least, vector

#: Terms of a sum taken at a time, so that the part of B at work stays in the first cache; and from
#: how many on a sum is long enough for the tile of more vectors.
DEPTH, LONG = 256, 128

#: From how many rows of the gradient on it pays to turn D over, and to multiply by it; with fewer,
#: O is turned, where the squares that come of it have at least so many rows and columns.
TURNED_ROWS, SQUARE = 24, 8

#: From how many weights on W no longer stays in the first cache when it is read by columns (each
#: of its numbers then lies in a line of its own), and is packed first, PACKED columns at a time,
#: which stay in the second cache. Strips of them lie a LINE further apart than they are long: that
#: is often a power of two, and a cache has few places for addresses which differ by one.
WIDE, PACKED, LINE = 2**15, 16 * ROWS, 16


@inline
def outputs(kind, W, b, O_before, O, scratch):
    """O ← σ(Wᵀ O_before + b), with the activation of this kind."""
    end = np.int64(RECTIFIED) if kind == RELU else np.int64(AS_IS)
    w, begin = vector(W, 0, W.size), np.int64(BIAS)
    if is_packed(W, O_before, scratch):
        _multiply_packed(w, np.int64(1), W.shape[1], O_before, O, begin, b, end, O, scratch)
    else:
        _multiply(w, np.int64(1), W.shape[1], O_before, O, begin, b, end, O)
    activate(kind, vector(O, 0, O.size))


@inline
def errors(kind, W, D, O_before, D_before, scratch):
    """D_before ← (W D) ∘ σ′, with the activation of this kind, whose outputs are O_before."""
    w, begin = vector(W, 0, W.size), np.int64(ZERO)
    if D.shape[0] == 1:
        _outer_of_one(w, D, D_before, kind, O_before)
    elif is_packed(W, D, scratch):
        _multiply_packed(w, W.shape[1], np.int64(1), D, D_before, begin, w, kind, O_before, scratch)
    else:
        _multiply(w, W.shape[1], np.int64(1), D, D_before, begin, w, kind, O_before)


@njit
def _outer_of_one(a, B, C, end, O):
    """C ← end(a B, O), for a single row B: there is no sum to begin, only rows to write."""
    n = B.shape[1]
    b, c, o = vector(B, 0, n), vector(C, 0, C.size), vector(O, 0, O.size)
    for i in range(0, n, lanes(C)):
        outer_rows(a, 0, 1, b, i, c, i, n, C.shape[0], end, o)


@njit
def _multiply(A, a_row, a_k, B, C, begin, bias, end, O):
    """C ← end(begin + A B, O), see `tiles.py`; A[r, k] is A[r·a_row + k·a_k]."""
    n, one = B.shape[1], np.int64(1)
    for k in range(0, B.shape[0], DEPTH):
        _multiply_part(
            vector(A, k * a_k, A.size), a_row, a_k, ROWS * a_row, least(DEPTH, B.shape[0] - k),
            vector(B, k * n, B.size), n, one, vector(C, 0, C.size), n, C.shape[0], n,
            begin if k == 0 else np.int64(RESUMED), bias,
            end if k + DEPTH >= B.shape[0] else np.int64(AS_IS), vector(O, 0, O.size),
        )  # fmt: skip


@inline
def is_packed(W, B, scratch):
    """Whether a product with W is one for `_multiply_packed`."""
    room = PACKED * (DEPTH + LINE) + DEPTH * (B.shape[1] + lanes(W))  # a strip may not be full
    return W.size > WIDE and scratch.size >= room


@njit
def _multiply_packed(A, a_row, a_k, B, C, begin, bias, end, O, scratch):
    """As `_multiply`: what a tile needs of B lies side by side, and of A where it has columns."""
    rows, n, one = C.shape[0], C.shape[1], np.int64(1)
    whole, long, width = rows // ROWS * ROWS, long_columns(C, n), VECTORS * lanes(C)
    of_a = vector(scratch, 0, PACKED * (DEPTH + LINE))
    of_b = vector(scratch, of_a.size, DEPTH * n)
    last, resumed, as_is = end, np.int64(RESUMED), np.int64(AS_IS)
    for k in range(0, B.shape[0], DEPTH):
        depth, begin = least(DEPTH, B.shape[0] - k), begin if k == 0 else resumed
        end = last if k + depth == B.shape[0] else as_is
        b, of_rest = vector(B, k * n, B.size), vector(of_b, long * depth, of_b.size)
        _pack_columns(b, n, depth, long, MORE_VECTORS, of_b)
        _pack_columns(vector(b, long, b.size), n, depth, n - long, VECTORS, of_rest)
        for r in range(0, whole, PACKED):
            n_rows, row, column, strip = least(PACKED, whole - r), a_row, a_k, ROWS * a_row
            a = vector(A, r * a_row + k * a_k, A.size)
            if a_k != 1:
                row, column, strip = one, np.int64(ROWS), ROWS * depth + LINE
                _pack_rows(a, a_k, depth, n_rows, of_a, strip)
                a = of_a
            c, o = vector(C, r * n, C.size), vector(O, r * n, O.size)
            bias_of_r = vector(bias, r, bias.size)
            _multiply_strips(
                a, row, column, strip, depth, of_b, c, n, n_rows, long, begin, bias_of_r, end, o
            )
            _multiply_part(
                a, row, column, strip, depth, of_rest, width, depth,
                vector(c, long, c.size), n, n_rows, n - long,
                begin, bias_of_r, end, vector(o, long, o.size),
            )  # fmt: skip
        _multiply_part(
            vector(A, whole * a_row + k * a_k, A.size), a_row, a_k, one, depth, b, n, one,
            vector(C, whole * n, C.size), n, rows - whole, n,
            begin, vector(bias, whole, bias.size), end, vector(O, whole * n, O.size),
        )  # fmt: skip


@inline
def long_columns(A, columns):
    """How many of the columns, whole vectors, are for the tile of MORE_VECTORS.

    None or one or two tiles of VECTORS are left, nothing narrower if it can be helped.
    """
    left = VECTORS * columns // lanes(A) % MORE_VECTORS * VECTORS * lanes(A)
    return columns - least(left, columns)


@njit
def _multiply_strips(
    A, a_row, a_k, a_strip, depth, B, C, c_row, rows, columns, begin, bias, end, O
):  # fmt: skip
    """As `_multiply_part`, for whole tiles of MORE_VECTORS, and B in strips as wide as they are.

    A strip of B stays in the first cache while A, which is in the second, goes by.
    """
    width = MORE_VECTORS * lanes(C)
    for i in range(0, columns, width):
        for r in range(0, rows, ROWS):
            tile_4x3(
                A, r // ROWS * a_strip, a_row, a_k, B, i * depth, width, C, r * c_row + i, c_row,
                depth, begin, bias, r, end, O,
            )  # fmt: skip


@njit
def _multiply_part(
    A, a_row, a_k, a_strip, depth, B, b_k, b_column, C, c_row, rows, columns, begin, bias, end, O
):  # fmt: skip
    """C ← end(begin + A B, O), for flat matrices with these strides; `columns` are whole vectors.

    A strip of as many rows as a tile has is `a_strip` from the next one. Fewer rows than a tile's
    need B in rows, which is b_column = 1.
    """
    r = 0
    while r < rows:
        if rows - r < ROWS and begin != RESUMED and rows >= ROWS:
            r = rows - ROWS  # some rows are computed twice, to the same result
        a, c = r // ROWS * a_strip + r % ROWS * a_row, r * c_row
        i = 0
        if rows - r >= ROWS:
            while i + VECTORS * lanes(C) <= columns:
                tile_4x2(
                    A, a, a_row, a_k, B, i * b_column, b_k, C, c + i, c_row, depth,
                    begin, bias, r, end, O,
                )  # fmt: skip
                i += VECTORS * lanes(C)
            while i < columns:
                tile_4x1(
                    A, a, a_row, a_k, B, i * b_column, b_k, C, c + i, c_row, depth,
                    begin, bias, r, end, O,
                )  # fmt: skip
                i += lanes(C)
            r += ROWS
        else:
            while i + 2 * VECTORS * lanes(C) <= columns:
                tile_1x4(
                    A, a, a_row, a_k, B, i, b_k, C, c + i, c_row, depth, begin, bias, r, end, O
                )
                i += 2 * VECTORS * lanes(C)
            while i < columns:
                tile_1x1(
                    A, a, a_row, a_k, B, i, b_k, C, c + i, c_row, depth, begin, bias, r, end, O
                )
                i += lanes(C)
            r += 1


@njit
def _pack_columns(A, a_row, rows, columns, vectors, B):
    """B ← A of (rows, columns), in strips of so many vectors, one below the other."""
    width = vectors * lanes(A)
    for k in range(rows):
        for c in range(0, columns, width):
            for i in range(c, least(c + width, columns), lanes(A)):
                copy_vector(A, k * a_row + i, B, c * rows + k * width + i - c)


@njit
def _pack_rows(A, a_k, depth, rows, B, strip):
    """B ← A of (depth, rows), in strips of as many rows as a tile has, `strip` from one another."""
    # What a row of A has for a strip is a group of numbers, of which vectors hold squares.
    side = (lanes(A) + ROWS - 1) // ROWS
    width = side * ROWS
    deep, wide = depth // side * side, rows // width * width
    for k in range(0, deep, side):
        for r in range(0, wide, width):
            turn_groups(A, k * a_k + r, a_k, B, r // ROWS * strip + k * ROWS, strip, ZERO)
    for k in range(depth):
        for r in range(wide if k < deep else 0, rows, ROWS):
            copy_rows(A, k * a_k + r, B, r // ROWS * strip + k * ROWS)


@njit
def _turn_over(A, a_row, rows, columns, B, b_row):
    """B ← Aᵀ of (rows, columns), both flat with these distances between rows."""
    whole_rows, whole_columns = rows // lanes(A) * lanes(A), columns // lanes(A) * lanes(A)
    for r in range(0, whole_rows, lanes(A)):
        for c in range(0, whole_columns, lanes(A)):
            turn(A, r * a_row + c, a_row, B, c * b_row + r, b_row, ZERO)
    for r in range(rows):
        for c in range(whole_columns if r < whole_rows else 0, columns):
            B[c * b_row + r] = A[r * a_row + c]


@njit
def outer(O, D, G, scratch, begin):
    """G ← begin + O Dᵀ, as a product with the one of O and D turned over that has fewer rows."""
    n_in, n_out, zero = O.shape[0], D.shape[0], np.int64(0)
    rows, columns = zero, zero  # of G, that are done
    if n_in >= TURNED_ROWS:
        rows, columns = _outer_by_D_turned(O, D, G, scratch, begin)
    elif lanes(G) >= SQUARE:
        rows, columns = _outer_by_O_turned(O, D, G, scratch, begin)
    if rows < n_in:
        _outer_by_dots(O, D, G, rows, zero, columns, begin)
    _outer_by_dots(O, D, G, zero, columns, n_out, begin)


@njit
def _outer_by_D_turned(O, D, G, scratch, begin):
    """As many rows and columns of G as are whole tiles or vectors; returns both."""
    n_in, n_out, n, k = O.shape[0], D.shape[0], O.shape[1], 0
    o, one, as_is = vector(O, 0, O.size), np.int64(1), np.int64(AS_IS)
    columns = n_out // lanes(G) * lanes(G)
    long = long_columns(G, columns) if n >= LONG else 0
    rows = n_in if long == 0 else n_in // ROWS * ROWS
    while k < columns:
        # As many columns as the widest tile has: what is turned over stays in the first cache.
        width = least((MORE_VECTORS if k < long else 2 * VECTORS) * lanes(G), columns - k)
        _turn_over(vector(D, k * n, D.size), n, width, n, scratch, width)
        g = vector(G, k, G.size)
        if k < long:
            _multiply_strips(
                o, n, one, ROWS * n, n, scratch, g, n_out, rows, width, begin, o, as_is, g
            )
        else:
            _multiply_part(
                o, n, one, ROWS * n, n, scratch, width, one, g, n_out, rows, width,
                begin, o, as_is, g,
            )  # fmt: skip
        k += width
    return rows, columns


@njit
def _outer_by_O_turned(O, D, G, scratch, begin):
    """As many rows and columns of G as are whole squares; returns both."""
    n_in, n_out, n, zero = O.shape[0], D.shape[0], O.shape[1], np.int64(0)
    side = np.int64(lanes(G))  # a literal number would be a type of its own to compile for
    rows, columns = n_in // side * side, n_out // side * side
    d, g, o = vector(D, 0, D.size), vector(G, 0, G.size), vector(scratch, 0, side * n)
    square = vector(scratch, side * n, side * side)
    for j in range(0, rows, side):
        _turn_over(vector(O, j * n, O.size), n, side, n, o, side)
        for k in range(0, columns, side):
            tile_square(
                d, k * n, n, np.int64(1), o, zero, side, square, zero, side, n,
                np.int64(ZERO), d, zero, np.int64(AS_IS), square,
            )  # fmt: skip
            add_turned(square, zero, side, g, j * n_out + k, n_out, begin)
    return rows, columns


@njit
def _outer_by_dots(O, D, G, j_first, k_first, k_stop, begin):
    """The rows of G from j_first on, and the columns from k_first to k_stop: sum by sum."""
    n_in, n_out, n = O.shape[0], D.shape[0], O.shape[1]
    k = k_first
    while k + 4 <= k_stop:
        j = j_first
        while j + 2 <= n_in:
            dots_2x4(O, j * n, D, k * n, n, G, j * n_out + k, n_out, 1, begin)
            j += 2
        while j < n_in:
            dots_1x4(O, j * n, D, k * n, n, G, j * n_out + k, n_out, 1, begin)
            j += 1
        k += 4
    while k < k_stop:
        j = j_first
        while j + 4 <= n_in:
            dots_1x4(D, k * n, O, j * n, n, G, j * n_out + k, 1, n_out, begin)
            j += 4
        while j < n_in:
            dots_1x1(D, k * n, O, j * n, n, G, j * n_out + k, 1, 1, begin)
            j += 1
        k += 1


@njit
def sums(D, g, begin):
    """g ← begin + Σ over the samples of D."""
    n_out, n = D.shape
    k = 0
    while k + 4 <= n_out:
        dots_0x4(D, 0, D, k * n, n, g, k, 1, 1, begin)
        k += 4
    while k < n_out:
        dots_0x1(D, 0, D, k * n, n, g, k, 1, 1, begin)
        k += 1


if numba.config.DISABLE_JIT:
    # What the above computes, in NumPy.

    def outputs(kind, W, b, O_before, O, scratch):
        Z = W.T @ O_before + b[:, None]
        O[:] = np.reshape([activation(kind, z) for z in Z.flat], O.shape)

    def errors(kind, W, D, O_before, D_before, scratch):
        slopes = [derivative(kind, o) for o in O_before.flat]
        D_before[:] = (W @ D) * np.reshape(slopes, D_before.shape)

    def outer(O, D, G, scratch, begin):
        G[:] = O @ D.T + (G if begin == RESUMED else 0)

    def sums(D, g, begin):
        g[:] = np.sum(D, axis=1) + (g if begin == RESUMED else 0)
