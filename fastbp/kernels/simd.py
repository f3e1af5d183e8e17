"""Products of the network's matrices in register tiles.

O, D, E, Z are (units, n), C-contiguous, with n a multiple of `LANES`. The samples lie in the
lanes: whatever the width of a layer, no lane is wasted. A tile of the result stays in registers
while its sum runs, and is stored once; LLVM IR is emitted for it, because a compiler left to
itself stores after every term. A single sample (n = 1, online training) has none to share, and
the units of a layer take the lanes.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.compile import inline, njit, njit_sum
from fastbp.kernels.vectors import LANES, Emitter, lanes
from fastbp.kernels.views import least, vector

#: Units × vectors of the tile of a product: 12 sums, with 2 vectors of B and one number of A
#: in the other 4 of 16 registers.
ROWS, VECTORS = 6, 2

#: Terms of a sum taken at a time, so that the part of A at work stays in the first cache.
DEPTH = 256

#: From how many rows of the gradient on it pays to turn D over, and to multiply by it.
TURNED_ROWS = 24

#: From how many weights on W no longer stays in the first cache when it is read by columns (each
#: of its numbers then lies in a line of its own), and is packed first, PACKED columns at a time.
WIDE, PACKED = 2**15, 8 * ROWS

#: How a sum begins.
ZERO, BIAS, RESUMED = range(3)


@inline
def affine(W, b, O, Z, scratch):
    """Z ← Wᵀ O + b."""
    if Z.shape[1] == 1:
        affine_one(W, b, vector(O, 0, O.size), vector(Z, 0, Z.size))
    else:
        w = vector(W, 0, W.size)
        if is_packed(W, O, scratch):
            _multiply_packed(w, np.int64(1), W.shape[1], b, np.int64(BIAS), O, Z, scratch)
        else:
            _multiply(w, np.int64(1), W.shape[1], b, np.int64(BIAS), O, Z)


@inline
def product(W, D, E, scratch):
    """E ← W D."""
    if E.shape[1] == 1:
        _product_one(W, vector(D, 0, D.size), vector(E, 0, E.size))
    else:
        w = vector(W, 0, W.size)
        if is_packed(W, D, scratch):
            _multiply_packed(w, W.shape[1], np.int64(1), w, np.int64(ZERO), D, E, scratch)
        else:
            _multiply(w, W.shape[1], np.int64(1), w, np.int64(ZERO), D, E)


@inline
def outer(O, D, G, scratch, begin):
    """G ← O Dᵀ, or G + O Dᵀ where the sum is RESUMED; `scratch` has as much room as D."""
    if O.shape[1] == 1:
        _outer_one(vector(O, 0, O.size), vector(D, 0, D.size), G, begin)
    else:
        _outer_many(O, D, G, scratch, begin)


@inline
def sums(D, g, begin):
    """g ← Σ over the samples of D, or g + Σ where the sum is RESUMED."""
    if D.shape[1] == 1:
        for k in range(D.shape[0]):
            g[k] = D[k, 0] if begin == ZERO else g[k] + D[k, 0]
    else:
        _sums_many(D, g, begin)


# ------------------------------------------------------------------ one sample


@njit_sum
def affine_one(W, b, o, z):
    """z ← Wᵀ o + b; a narrow layer's sums stay in registers, a wide one's lie in the lanes."""
    for k in range(z.size):
        z[k] = b[k]
    if z.size < LANES:
        for k in range(z.size):
            total = z[k]
            for j in range(o.size):
                total += W[j, k] * o[j]
            z[k] = total
    else:
        for j in range(o.size):
            for k in range(z.size):
                z[k] += W[j, k] * o[j]


@njit_sum
def _product_one(W, d, e):
    for j in range(e.size):
        total = type(d[0])(0)
        for k in range(d.size):
            total += W[j, k] * d[k]
        e[j] = total


@inline
def _outer_one(o, d, G, begin):
    for j in range(o.size):
        for k in range(d.size):
            G[j, k] = o[j] * d[k] if begin == ZERO else G[j, k] + o[j] * d[k]


# --------------------------------------------------------------- many samples


@njit
def _multiply(A, a_row, a_k, bias, begin, B, C):
    """C ← A B, + bias; A[r, k] is A[r·a_row + k·a_k]."""
    n = B.shape[1]
    for k in range(0, B.shape[0], DEPTH):
        _multiply_part(
            vector(A, k * a_k, A.size), a_row, a_k, least(DEPTH, B.shape[0] - k),
            bias, begin if k == 0 else RESUMED, vector(B, k * n, B.size), n, np.int64(1),
            vector(C, 0, C.size), n, C.shape[0], n,
        )  # fmt: skip


@inline
def is_packed(W, B, scratch):
    """Whether a product with W is one for `_multiply_packed`."""
    return W.size > WIDE and scratch.size >= DEPTH * (PACKED + B.shape[1] + LANES)


@njit
def _multiply_packed(A, a_row, a_k, bias, begin, B, C, scratch):
    """As `_multiply`: what a tile needs of B lies side by side, and of A where it has columns."""
    rows, n, one, apart = C.shape[0], C.shape[1], np.int64(1), np.int64(ROWS)
    whole, width = rows // ROWS * ROWS, VECTORS * lanes(C)
    of_a, of_b = vector(scratch, 0, PACKED * DEPTH), vector(scratch, PACKED * DEPTH, scratch.size)
    for k in range(0, B.shape[0], DEPTH):
        depth, begin = least(DEPTH, B.shape[0] - k), begin if k == 0 else np.int64(RESUMED)
        a, b = vector(A, k * a_k, A.size), vector(B, k * n, B.size)
        _pack(b, n, depth, n, width, of_b)
        if a_k == 1:
            _multiply_part(
                a, a_row, a_k, depth, bias, begin,
                of_b, width, depth, vector(C, 0, C.size), n, whole, n,
            )  # fmt: skip
        else:
            for first in range(0, whole, PACKED):
                stop = least(first + PACKED, whole)
                _pack(vector(a, first, A.size), a_k, depth, stop - first, apart, of_a)
                for r in range(first, stop, ROWS):
                    _multiply_part(
                        vector(of_a, (r - first) * depth, ROWS * depth), one, apart, depth,
                        vector(bias, r, ROWS), begin,
                        of_b, width, depth, vector(C, r * n, C.size), n, apart, n,
                    )  # fmt: skip
        _multiply_part(
            vector(a, whole * a_row, A.size), a_row, a_k, depth, vector(bias, whole, ROWS), begin,
            b, n, one, vector(C, whole * n, C.size), n, rows - whole, n,
        )  # fmt: skip


@njit
def _multiply_part(
    A, a_row, a_k, depth, bias, begin, B, b_k, b_column, C, c_row, rows, columns
):  # fmt: skip
    """C ← begin + A B, for flat A, B, C with these strides; `columns` are whole vectors.

    Fewer rows than a tile's need B in rows, which is b_column = 1.
    """
    r = 0
    while r < rows:
        if rows - r < ROWS and begin != RESUMED and rows >= ROWS:
            r = rows - ROWS  # some rows are computed twice, to the same result
        a, c = r * a_row, r * c_row
        i = 0
        if rows - r >= ROWS:
            while i + VECTORS * lanes(C) <= columns:
                _tile_6x2(
                    A, a, a_row, a_k, B, i * b_column, b_k, C, c + i, c_row, depth, bias, r, begin
                )
                i += VECTORS * lanes(C)
            while i < columns:
                _tile_6x1(
                    A, a, a_row, a_k, B, i * b_column, b_k, C, c + i, c_row, depth, bias, r, begin
                )
                i += lanes(C)
            r += ROWS
        else:
            while i + 4 * lanes(C) <= columns:
                _tile_1x4(A, a, a_row, a_k, B, i, b_k, C, c + i, c_row, depth, bias, r, begin)
                i += 4 * lanes(C)
            while i < columns:
                _tile_1x1(A, a, a_row, a_k, B, i, b_k, C, c + i, c_row, depth, bias, r, begin)
                i += lanes(C)
            r += 1


@njit
def _pack(A, a_row, rows, columns, width, B):
    """B ← A of (rows, columns), cut into strips one below the other; `width` is that of a tile's
    rows or its vectors."""
    whole = columns // width * width
    for k in range(rows):
        for c in range(0, whole, width):
            if width == ROWS:
                _copy_rows(A, k * a_row + c, B, c * rows + k * width)
            else:
                _copy_vectors(A, k * a_row + c, B, c * rows + k * width)
        for c in range(whole, columns):
            B[whole * rows + k * width + c - whole] = A[k * a_row + c]


@njit
def _turn_over(A, a_row, rows, columns, B, b_row):
    """B ← Aᵀ of (rows, columns), both flat with these distances between rows."""
    whole_rows, whole_columns = rows // lanes(A) * lanes(A), columns // lanes(A) * lanes(A)
    for r in range(0, whole_rows, lanes(A)):
        for c in range(0, whole_columns, lanes(A)):
            _turn(A, r * a_row + c, a_row, B, c * b_row + r, b_row)
    for r in range(rows):
        for c in range(whole_columns if r < whole_rows else 0, columns):
            B[c * b_row + r] = A[r * a_row + c]


@njit
def _outer_many(O, D, G, scratch, begin):
    """G ← begin + O Dᵀ, as a product with D turned over where many rows share the turning."""
    n_in, n_out, n = O.shape[0], D.shape[0], O.shape[1]
    k = 0
    if n_in >= TURNED_ROWS:
        o, one = vector(O, 0, O.size), np.int64(1)
        while k + lanes(G) <= n_out:
            # As many columns as a tile has: what is turned over stays in the first cache.
            columns = least(VECTORS * lanes(G), (n_out - k) // lanes(G) * lanes(G))
            _turn_over(vector(D, k * n, D.size), n, columns, n, scratch, columns)
            _multiply_part(
                o, n, one, n, o, begin, scratch, columns, one,
                vector(G, k, G.size), n_out, n_in, columns,
            )  # fmt: skip
            k += columns
    while k + 4 <= n_out:
        j = 0
        while j + 3 <= n_in:
            _dots_3x4(O, j * n, D, k * n, n, G, j * n_out + k, n_out, 1, begin)
            j += 3
        while j < n_in:
            _dots_1x4(O, j * n, D, k * n, n, G, j * n_out + k, n_out, 1, begin)
            j += 1
        k += 4
    while k < n_out:
        j = 0
        while j + 4 <= n_in:
            _dots_1x4(D, k * n, O, j * n, n, G, j * n_out + k, 1, n_out, begin)
            j += 4
        while j < n_in:
            _dots_1x1(D, k * n, O, j * n, n, G, j * n_out + k, 1, 1, begin)
            j += 1
        k += 1


@njit
def _sums_many(D, g, begin):
    n_out, n = D.shape
    k = 0
    while k + 4 <= n_out:
        _dots_0x4(D, 0, D, k * n, n, g, k, 1, 1, begin)
        k += 4
    while k < n_out:
        _dots_0x1(D, 0, D, k * n, n, g, k, 1, 1, begin)
        k += 1


# ------------------------------------------------------------ the tiles, as IR


def _tile(rows, vectors):
    """C ← begin + A B for a tile of rows × vectors; offsets and strides in elements."""

    @intrinsic
    def tile(typingctx, A, a, a_row, a_k, B, b, b_k, C, c, c_row, depth, bias, bias_at, begin):
        n = types.intp
        signature = types.void(A, n, n, n, B, n, n, C, n, n, n, bias, n, n)

        def codegen(context, builder, signature, arguments):
            A, a, a_row, a_k, B, b, b_k, C, c, c_row, depth, bias, bias_at, begin = arguments
            type_of = signature.args
            emit = Emitter(context, builder, type_of[7].dtype)
            pa = emit.pointer(type_of[0], A, a)
            pb = emit.pointer(type_of[4], B, b)
            pc = emit.pointer(type_of[7], C, c)
            pbias = emit.pointer(type_of[11], bias, bias_at)
            rows_of_a = [builder.mul(a_row, n_(r)) for r in range(rows)]
            places = [
                [emit.at(emit.at(pc, builder.mul(c_row, n_(r))), v * emit.lanes) for v in V]
                for r in range(rows)
            ]
            sums = [[cgutils.alloca_once(builder, emit.type) for _ in V] for _ in range(rows)]

            for r in range(rows):
                for v in V:
                    builder.store(ir.Constant(emit.type, None), sums[r][v])
            with builder.if_then(builder.icmp_signed("==", begin, n_(BIAS))):
                for r in range(rows):
                    number = emit.broadcast(builder.load(emit.at(pbias, r)))
                    for v in V:
                        builder.store(number, sums[r][v])
            with builder.if_then(builder.icmp_signed("==", begin, n_(RESUMED))):
                for r in range(rows):
                    for v in V:
                        builder.store(emit.load(places[r][v]), sums[r][v])

            with cgutils.for_range(builder, depth, intp=depth.type) as loop:
                row_of_b = emit.at(pb, builder.mul(loop.index, b_k))
                column_of_a = emit.at(pa, builder.mul(loop.index, a_k))
                of_b = [emit.load(emit.at(row_of_b, v * emit.lanes)) for v in V]
                for r in range(rows):
                    number = emit.broadcast(builder.load(emit.at(column_of_a, rows_of_a[r])))
                    for v in V:
                        total = emit.multiply_add(number, of_b[v], builder.load(sums[r][v]))
                        builder.store(total, sums[r][v])

            for r in range(rows):
                for v in V:
                    emit.store(builder.load(sums[r][v]), places[r][v])
            return context.get_dummy_value()

        return signature, codegen

    V = range(vectors)
    n_ = ir.IntType(64)
    return tile


def _dots(rows, columns):
    """G[p, q] ← begin + row p of A times row q of B, for `rows` × `columns` dot products.

    `columns` is 1 or 4. With `rows` = 0, A is a row of ones: the sums of rows of B.
    """

    @intrinsic
    def dots(typingctx, A, a, B, b, n, G, g, g_p, g_q, begin):
        i = types.intp
        signature = types.void(A, i, B, i, i, G, i, i, i, i)

        def codegen(context, builder, signature, arguments):
            A, a, B, b, n, G, g, g_p, g_q, begin = arguments
            emit = Emitter(context, builder, signature.args[2].dtype)
            pa = emit.pointer(signature.args[0], A, a)
            pb = emit.pointer(signature.args[2], B, b)
            pg = emit.pointer(signature.args[5], G, g)
            rows_of_a = [emit.at(pa, builder.mul(n, n_(p))) for p in range(rows)]
            rows_of_b = [emit.at(pb, builder.mul(n, n_(q))) for q in Q]
            sums = [[cgutils.alloca_once(builder, emit.type) for _ in Q] for _ in P]
            for p in P:
                for q in Q:
                    builder.store(ir.Constant(emit.type, None), sums[p][q])

            with cgutils.for_range_slice(builder, n_(0), n, n_(emit.lanes), intp=n.type) as (
                index,
                _,
            ):
                of_b = [emit.load(emit.at(row, index)) for row in rows_of_b]
                for p in P:
                    of_a = emit.load(emit.at(rows_of_a[p], index)) if rows else None
                    for q in Q:
                        total = builder.load(sums[p][q])
                        total = (
                            emit.multiply_add(of_a, of_b[q], total)
                            if rows
                            else builder.fadd(of_b[q], total)
                        )
                        builder.store(total, sums[p][q])

            resumed = builder.icmp_signed("==", begin, n_(RESUMED))
            for p in P:
                row = emit.at(pg, builder.mul(g_p, n_(p)))
                totals = [builder.load(total) for total in sums[p]]
                if columns == 1:
                    emit.put(emit.sum(totals[0]), row, resumed)
                    continue
                totals = emit.sums(totals)
                with builder.if_else(builder.icmp_signed("==", g_q, n_(1))) as (together, apart):
                    with together:
                        emit.put(totals, row, resumed)
                    with apart:
                        for q in Q:
                            total = builder.extract_element(totals, ir.IntType(32)(q))
                            emit.put(total, emit.at(row, builder.mul(g_q, n_(q))), resumed)
            return context.get_dummy_value()

        return signature, codegen

    P, Q = range(max(rows, 1)), range(columns)
    n_ = ir.IntType(64)
    return dots


@intrinsic
def _turn(typingctx, A, a, a_row, B, b, b_row):
    """B ← Aᵀ, for a square of as many rows as a vector has lanes."""
    i = types.intp
    signature = types.void(A, i, i, B, i, i)

    def codegen(context, builder, signature, arguments):
        A, a, a_row, B, b, b_row = arguments
        emit = Emitter(context, builder, signature.args[0].dtype)
        pa = emit.pointer(signature.args[0], A, a)
        pb = emit.pointer(signature.args[3], B, b)
        number, lanes = ir.IntType(64), range(emit.lanes)
        rows = [emit.load(emit.at(pa, builder.mul(a_row, number(r)))) for r in lanes]
        # Swap the off-diagonal halves of ever larger squares.
        half = 1
        while half < emit.lanes:
            for r in lanes:
                if not r & half:
                    rows[r], rows[r + half] = emit.swap_halves(rows[r], rows[r + half], half)
            half *= 2
        for r in lanes:
            emit.store(rows[r], emit.at(pb, builder.mul(b_row, number(r))))
        return context.get_dummy_value()

    return signature, codegen


def _copy(numbers):
    """B[b:] ← A[a:], as many numbers as `numbers` says, of the lanes of a vector."""

    @intrinsic
    def copy(typingctx, A, a, B, b):
        i = types.intp

        def codegen(context, builder, signature, arguments):
            A, a, B, b = arguments
            emit = Emitter(context, builder, signature.args[0].dtype)
            together = ir.VectorType(emit.element, numbers(emit.lanes))
            values = emit.load(emit.pointer(signature.args[0], A, a), together)
            emit.store(values, emit.pointer(signature.args[2], B, b))
            return context.get_dummy_value()

        return types.void(A, i, B, i), codegen

    return copy


_copy_rows, _copy_vectors = _copy(lambda lanes: ROWS), _copy(lambda lanes: VECTORS * lanes)
_tile_6x2, _tile_6x1 = _tile(ROWS, VECTORS), _tile(ROWS, 1)
_tile_1x4, _tile_1x1 = _tile(1, 4), _tile(1, 1)
_dots_3x4, _dots_1x4, _dots_1x1 = _dots(3, 4), _dots(1, 4), _dots(1, 1)
_dots_0x4, _dots_0x1 = _dots(0, 4), _dots(0, 1)


if numba.config.DISABLE_JIT:
    # What the above computes, in NumPy.

    def affine(W, b, O, Z, scratch):
        Z[:] = W.T @ O + b[:, None]

    def product(W, D, E, scratch):
        E[:] = W @ D

    def outer(O, D, G, scratch, begin):
        G[:] = O @ D.T + (G if begin == RESUMED else 0)

    def sums(D, g, begin):
        g[:] = np.sum(D, axis=1) + (g if begin == RESUMED else 0)
