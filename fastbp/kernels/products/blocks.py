"""Products of matrices, block by block: as they are, and with what a tile needs packed together.

A and B are flat, or have these strides; C ← end(begin + A B, O), see `tiles.py`.
"""

import numpy as np

from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.vectors import lanes
from fastbp.kernels.machine.views import least, rest_of, vector
from fastbp.kernels.products.tiles import (
    AS_IS,
    MORE_VECTORS,
    RESUMED,
    ROWS,
    TALL,
    VECTORS,
    ZERO,
    copy_rows,
    copy_vector,
    tile_1x1,
    tile_1x4,
    tile_4x1,
    tile_4x2,
    tile_4x3,
    tile_8x2,
    turn_groups,
)

#: Terms of a sum taken at a time, so that the part of B at work stays in the first cache; and from
#: how many on a sum is long enough for the tile of more vectors.
DEPTH, LONG = 256, 128

#: From how many terms on a sum is worth the tile of more rows, whose ends are in memory.
DEEP = 32

#: From how many weights on W no longer stays in the first cache when it is read by columns (each
#: of its numbers then lies in a line of its own), and is packed first, PACKED columns at a time,
#: which stay in the second cache. Strips of them lie a LINE further apart than they are long: that
#: is often a power of two, and a cache has few places for addresses which differ by one.
WIDE, PACKED, LINE = 2**15, 16 * ROWS, 16


@njit
def multiply(A, a_row, a_k, B, C, begin, bias, end, O, first, stop):
    """C ← end(begin + A B, O) for the rows from `first` to `stop`, see `tiles.py`; A[r, k] is
    A[r·a_row + k·a_k]."""
    n, terms, one = B.shape[1], B.shape[0], np.int64(1)
    c, o, bias = rows_from(C, first), rows_from(O, first), rest_of(bias, first)
    for k in range(0, terms, DEPTH):
        multiply_part(
            rest_of(A, first * a_row + k * a_k), a_row, a_k, ROWS * a_row,
            least(DEPTH, terms - k), rows_from(B, k), n, one, c, n, stop - first, n,
            begin if k == 0 else np.int64(RESUMED), bias,
            end if k + DEPTH >= terms else np.int64(AS_IS), o,
        )  # fmt: skip


@inline
def rows_from(A, first):
    """The numbers of the rows of A from `first` on."""
    return rest_of(A, first * A.shape[1])


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
        multiply_strips(a, row, column, strip, depth, b, c, n, whole, long, begin, bias, end, o)
        multiply_part(
            a, row, column, strip, depth, rest_of(b, long * depth), width, depth,
            rest_of(c, long), n, whole, n - long, begin, bias, end, rest_of(o, long),
        )  # fmt: skip
        multiply_part(
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
def multiply_strips(
    A, a_row, a_k, a_strip, depth, B, C, c_row, rows, columns, begin, bias, end, O
):  # fmt: skip
    """As `multiply_part`, for whole tiles of MORE_VECTORS, and B in strips as wide as they are.

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
def multiply_part(
    A, a_row, a_k, a_strip, depth, B, b_k, b_column, C, c_row, rows, columns, begin, bias, end, O
):  # fmt: skip
    """C ← end(begin + A B, O), for flat matrices with these strides; `columns` are whole vectors.

    A strip of as many rows as a tile has is `a_strip` from the next one. Fewer rows than a tile's
    need B in rows, which is b_column = 1.
    """
    r = 0
    if TALL > 0 and depth >= DEEP and a_strip == ROWS * a_row:
        r = rows // TALL * TALL
        multiply_tall(
            A, a_row, a_k, B, b_k, b_column, C, c_row, depth, r, columns, begin, bias, end, O
        )
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
def multiply_tall(
    A, a_row, a_k, B, b_k, b_column, C, c_row, depth, rows, columns, begin, bias, end, O
):
    """As `multiply_part`, for whole tiles of TALL rows, as far apart as those of a tile."""
    width = VECTORS * lanes(C)
    whole = columns // width * width
    for r in range(0, rows, TALL):
        for i in range(0, whole, width):
            tile_8x2(
                A, r * a_row, a_row, a_k, B, i * b_column, b_k, C, r * c_row + i, c_row, depth,
                begin, bias, r, end, O,
            )  # fmt: skip
    if whole < columns:
        for r in range(0, rows, ROWS):
            tile_4x1(
                A, r * a_row, a_row, a_k, B, whole * b_column, b_k, C, r * c_row + whole, c_row,
                depth, begin, bias, r, end, O,
            )  # fmt: skip


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
