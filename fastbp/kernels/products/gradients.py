"""The gradient's products: ∂L/∂W = O Dᵀ, and the sums of D over the samples."""

import numpy as np

from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.vectors import INTERPRETED, lanes
from fastbp.kernels.machine.views import least, rest_of, vector
from fastbp.kernels.products.blocks import (
    LONG,
    long_columns,
    multiply_part,
    multiply_strips,
    rows_from,
)
from fastbp.kernels.products.tiles import (
    AS_IS,
    MORE_VECTORS,
    RESUMED,
    ROWS,
    VECTORS,
    ZERO,
    add_turned,
    dots_0x1,
    dots_0x4,
    dots_1x1,
    dots_1x4,
    dots_2x4,
    tile_square,
    turn,
)

#: From how many rows of the gradient on it pays to turn D over, and to multiply by it; with fewer,
#: O is turned, where the squares that come of it have at least so many rows and columns.
TURNED_ROWS, SQUARE = 24, 8


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
    turn_over(rows_from(D, k), n, width, n, d, width)
    if k < long:
        rows = n_in // ROWS * ROWS
        multiply_strips(o, n, one, ROWS * n, n, d, g, n_out, rows, width, begin, o, as_is, g)
    else:
        multiply_part(
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
        turn_over(rows_from(O, j), n, side, n, o, side)
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


@njit
def turn_over(A, a_row, rows, columns, B, b_row):
    """B ← Aᵀ of (rows, columns), both flat with these distances between rows."""
    whole_rows, whole_columns = rows // lanes(A) * lanes(A), columns // lanes(A) * lanes(A)
    for r in range(0, whole_rows, lanes(A)):
        for c in range(0, whole_columns, lanes(A)):
            turn(A, r * a_row + c, a_row, B, c * b_row + r, b_row, ZERO)
    for r in range(rows):
        for c in range(whole_columns if r < whole_rows else 0, columns):
            B[c * b_row + r] = A[r * a_row + c]


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


if INTERPRETED:
    # What the above computes, in NumPy.

    def outer(O, D, G, scratch, begin):
        G[:] = O @ D.T + (G if begin == RESUMED else 0)

    def turn_over(A, a_row, rows, columns, B, b_row):
        for c in range(columns):
            B[c * b_row :][:rows] = A[c : c + (rows - 1) * a_row + 1 : a_row]

    def sums(D, g, scratch, begin):
        g[:] = np.sum(D, axis=1) + (g if begin == RESUMED else 0)
