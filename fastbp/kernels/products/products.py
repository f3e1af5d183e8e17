"""Products of the network's matrices, cut into tiles.

`outputs`, `back`, `outer` and `sums`, which `network.py` is written with, are for one thread;
`large.py` has them for several, made of the same rows and columns.

O and D are (units, n), C-contiguous, with n a multiple of `LANES`. The samples lie in the lanes:
whatever the width of a layer, no lane is wasted. A tile of the result stays in registers while
its sum runs, and is stored once, with what follows on the sum done to it (`tiles.py`).
"""

import numba
import numpy as np

from fastbp.kernels.formulas.activations import KEPT, activate, activation, derivative
from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.vectors import LANES, lanes
from fastbp.kernels.machine.views import least, rest_of, vector
from fastbp.kernels.products.tiles import (
    AS_IS,
    BIAS,
    MORE_VECTORS,
    RESUMED,
    ROWS,
    VECTORS,
    ZERO,
    add_turned,
    back_1,
    back_4,
    copy_rows,
    copy_vector,
    dots_0x1,
    dots_0x4,
    dots_1x1,
    dots_1x4,
    dots_2x4,
    end_of,
    tile_1x1,
    tile_1x4,
    tile_4x1,
    tile_4x2,
    tile_4x3,
    tile_square,
    turn,
    turn_groups,
)

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


@njit
def multiply(A, a_row, a_k, B, C, begin, bias, end, O, first, stop):
    """C ← end(begin + A B, O) for the rows from `first` to `stop`, see `tiles.py`; A[r, k] is
    A[r·a_row + k·a_k]."""
    n, terms, one = B.shape[1], B.shape[0], np.int64(1)
    c, o, bias = rows_from(C, first), rows_from(O, first), rest_of(bias, first)
    for k in range(0, terms, DEPTH):
        _multiply_part(
            rest_of(A, first * a_row + k * a_k), a_row, a_k, ROWS * a_row,
            least(DEPTH, terms - k), rows_from(B, k), n, one, c, n, stop - first, n,
            begin if k == 0 else np.int64(RESUMED), bias,
            end if k + DEPTH >= terms else np.int64(AS_IS), o,
        )  # fmt: skip


@inline
def rows_from(A, first):
    """The numbers of the rows of A from `first` on."""
    return rest_of(A, first * A.shape[1])


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


@njit
def multiply_rows(A, a_row, a_k, B, packed, C, begin, bias, end, O, first, room):
    """As `multiply`, for PACKED rows from `first` on; `packed` is B as `pack_columns` leaves it."""
    terms, n, one, rows = B.shape[0], B.shape[1], np.int64(1), least(PACKED, C.shape[0] - first)
    c, o, bias = rows_from(C, first), rows_from(O, first), rest_of(bias, first)
    whole, long, width, last = rows // ROWS * ROWS, long_columns(C, n), VECTORS * lanes(C), end
    for k in range(0, terms, DEPTH):
        depth, begin = least(DEPTH, terms - k), begin if k == 0 else np.int64(RESUMED)
        end = last if k + depth == terms else np.int64(AS_IS)
        a, b = rest_of(A, first * a_row + k * a_k), rest_of(packed, k * (n + lanes(C)))
        row, column, strip, rest = a_row, a_k, ROWS * a_row, a
        if whole < rows:
            rest = rest_of(a, whole * a_row)
        if a_k != 1:
            row, column, strip = one, np.int64(ROWS), ROWS * depth + LINE
            packed_rows = vector(room, 0, whole // ROWS * strip)
            _pack_rows(a, a_k, depth, whole, packed_rows, strip)
            a = packed_rows
        _multiply_strips(a, row, column, strip, depth, b, c, n, whole, long, begin, bias, end, o)
        _multiply_part(
            a, row, column, strip, depth, rest_of(b, long * depth), width, depth,
            rest_of(c, long), n, whole, n - long, begin, bias, end, rest_of(o, long),
        )  # fmt: skip
        _multiply_part(
            rest, a_row, a_k, one, depth, rows_from(B, k), n, one,
            rest_of(c, whole * n), n, rows - whole, n,
            begin, rest_of(bias, whole), end, rest_of(o, whole * n),
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
            wide = 2 * VECTORS * lanes(C)
            while i + wide <= columns:
                tile_1x4(
                    A, a, a_row, a_k, B, i, b_k, C, c + i, c_row, depth, begin, bias, r, end, O
                )
                i += wide
                if i + wide > columns > i and begin != RESUMED:
                    i = columns - wide  # computed twice, too: alone, a vector waits for itself
            while i < columns:
                tile_1x1(
                    A, a, a_row, a_k, B, i, b_k, C, c + i, c_row, depth, begin, bias, r, end, O
                )
                i += lanes(C)
            r += 1


@njit
def pack_columns(B, first, stop, packed):
    """packed ← the rows of B from `first` to `stop`.

    Of DEPTH rows at a time there are strips as wide as tiles, one behind the other.
    """
    terms, n, b, long = B.shape[0], B.shape[1], vector(B, 0, B.size), long_columns(B, B.shape[1])
    wide, narrow = MORE_VECTORS * lanes(B), VECTORS * lanes(B)
    for row in range(first, stop):
        k = row // DEPTH * DEPTH
        depth, to = least(DEPTH, terms - k), k * (n + lanes(B))
        _pack_row(b, row * n, long, wide, packed, to + (row - k) * wide, depth)
        to += long * depth
        _pack_row(b, row * n + long, n - long, narrow, packed, to + (row - k) * narrow, depth)


@inline
def _pack_row(A, a, columns, width, B, b, depth):
    """A row of so many columns goes to strips of that width and depth."""
    for c in range(0, columns, width):
        for i in range(c, least(c + width, columns), lanes(A)):
            copy_vector(A, a + i, B, b + c * depth + i - c)


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
    if n_in >= TURNED_ROWS:
        strip, more = zero, True
        while more:
            more = outer_by_D_turned(O, D, G, strip, scratch, begin)
            strip += 1
        outer_by_dots(O, D, G, zero, n_in, n_out // lanes(G) * lanes(G), n_out, begin)
    else:
        outer_by_O_turned(O, D, G, zero, n_out, scratch, begin)


@njit
def outer_by_D_turned(O, D, G, strip, room, begin):
    """A strip of the columns of G that are whole vectors; False if there is none with that number.

    It is as wide as the widest tile: what is turned over stays in the first cache.
    """
    n_in, n_out, n = O.shape[0], D.shape[0], O.shape[1]
    one, as_is, columns = np.int64(1), np.int64(AS_IS), n_out // lanes(G) * lanes(G)
    long = long_columns(G, columns) if n >= LONG else 0
    k, width = strip * MORE_VECTORS * lanes(G), MORE_VECTORS * lanes(G)
    if k >= long:
        k = long + (strip - long // width) * 2 * VECTORS * lanes(G)
        width = least(2 * VECTORS * lanes(G), columns - k)
    if width <= 0:
        return False
    o, g, rows, d = vector(O, 0, O.size), rest_of(G, k), n_in, vector(room, 0, n * width)
    _turn_over(rows_from(D, k), n, width, n, d, width)
    if k < long:
        rows = n_in // ROWS * ROWS
        _multiply_strips(o, n, one, ROWS * n, n, d, g, n_out, rows, width, begin, o, as_is, g)
    else:
        _multiply_part(
            o, n, one, ROWS * n, n, d, width, one, g, n_out, rows, width, begin, o, as_is, g
        )
    outer_by_dots(O, D, G, rows, n_in, k, k + width, begin)
    return True


@njit
def outer_by_O_turned(O, D, G, first, stop, room, begin):
    """The columns of G from `first` to `stop`: products for whole squares, where vectors are long
    enough, sums one by one for the rest."""
    n_in, n_out, n, zero = O.shape[0], D.shape[0], O.shape[1], np.int64(0)
    side = np.int64(lanes(G))  # a literal number would be a type of its own to compile for
    rows, columns = n_in // side * side, first + (stop - first) // side * side
    if side < SQUARE or columns == first:
        rows = zero
    d, g = vector(D, 0, D.size), vector(G, 0, G.size)
    for j in range(0, rows, side):
        o, square = vector(room, 0, side * n), vector(room, side * n, side * side)
        _turn_over(rows_from(O, j), n, side, n, o, side)
        for k in range(first, columns, side):
            tile_square(
                d, k * n, n, np.int64(1), o, zero, side, square, zero, side, n,
                np.int64(ZERO), d, zero, np.int64(AS_IS), square,
            )  # fmt: skip
            add_turned(square, zero, side, g, j * n_out + k, n_out, begin)
    outer_by_dots(O, D, G, rows, n_in, first, columns, begin)
    outer_by_dots(O, D, G, zero, n_in, columns, stop, begin)


@njit
def outer_by_dots(O, D, G, j_first, j_stop, k_first, k_stop, begin):
    """The rows of G from j_first to j_stop, and the columns from k_first to k_stop: sum by sum."""
    n_out, n = D.shape[0], O.shape[1]
    k = k_first
    while k + 4 <= k_stop:
        j = j_first
        while j + 2 <= j_stop:
            dots_2x4(O, j * n, D, k * n, n, G, j * n_out + k, n_out, 1, begin)
            j += 2
        while j < j_stop:
            dots_1x4(O, j * n, D, k * n, n, G, j * n_out + k, n_out, 1, begin)
            j += 1
        k += 4
    while k < k_stop:
        j = j_first
        while j + 4 <= j_stop:
            dots_1x4(D, k * n, O, j * n, n, G, j * n_out + k, 1, n_out, begin)
            j += 4
        while j < j_stop:
            dots_1x1(D, k * n, O, j * n, n, G, j * n_out + k, 1, 1, begin)
            j += 1
        k += 1


@inline
def sums(D, g, scratch, begin):
    """g ← begin + Σ over the samples of D."""
    sums_of_rows(D, g, np.int64(0), D.shape[0], begin)


@njit
def sums_of_rows(D, g, first, stop, begin):
    """As `sums`, for the rows from `first` to `stop`."""
    n, k = D.shape[1], first
    while k + 4 <= stop:
        dots_0x4(D, 0, D, k * n, n, g, k, 1, 1, begin)
        k += 4
    while k < stop:
        dots_0x1(D, 0, D, k * n, n, g, k, 1, 1, begin)
        k += 1


if numba.config.DISABLE_JIT:
    # What the above computes, in NumPy.

    def outputs(kind, W, b, O_before, O, kept, scratch):
        O[:] = W.T @ O_before + b[:, None]
        activate(kind, O.reshape(-1), kept.reshape(-1))
        if end_of(kind) != AS_IS:
            O[:] = np.reshape([activation(kind, z) for z in O.flat], O.shape)

    def errors(kind, W, D, kept, D_before, scratch):
        slopes = kept if kind == KEPT else [derivative(kind, o) for o in kept.flat]
        D_before[:] = (W @ D) * np.reshape(slopes, D_before.shape)

    def outer(O, D, G, scratch, begin):
        G[:] = O @ D.T + (G if begin == RESUMED else 0)

    def sums(D, g, scratch, begin):
        g[:] = np.sum(D, axis=1) + (g if begin == RESUMED else 0)

    def back(kind, W, O_before, kept, D, D_before, G, g_before, scratch, begin):
        outer(O_before, D, G, scratch, begin)
        errors(kind, W, D, kept, D_before, scratch)
        sums(D_before, g_before, scratch, begin)
