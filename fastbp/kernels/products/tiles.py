"""Tiles of products that stay in registers while their sums run, as LLVM IR.

A compiler left to itself stores after every term. Matrices are flat here, and addressed by
offsets and strides in elements.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from fastbp.kernels.formulas.activations import ACTIVATIONS, KEPT, TABLE
from fastbp.kernels.machine.compile import CHECKED, inline, njit_copied
from fastbp.kernels.machine.emitter import Emitter
from fastbp.kernels.machine.vectors import INTERPRETED, MANY_REGISTERS, lanes

#: Rows × vectors of the tile of a product. Its 8 sums are as many as two units of multiplication
#: need to be busy, and 4 divides the width of most layers.
ROWS, VECTORS = 4, 2

#: Vectors of the tile for long sums: 7 loads for 12 multiply-adds, where the other has 6 for 8. It
#: is a little faster, and up to a fifth where a neighbour works on the same core.
MORE_VECTORS = 3

#: Rows of the tile of VECTORS where there are registers for its sums: 10 loads for 16
#: multiply-adds, and no sum waits for itself. (128 × 128 weights, 64 samples, Intel Xeon: 174
#: instead of 146 of 201 GFLOP/s.)
TALL = 2 * ROWS if MANY_REGISTERS else 0

#: How a sum begins.
ZERO, BIAS, RESUMED = range(3)

#: How it ends, before it is stored: as it is; or as σ(z), for the activations that end sums, whose
#: ends are the negative numbers from −1 on, see `end_of`; or times σ′ of the activation with that
#: code, where o, in the place of z, is what σ′ is taken from.
AS_IS = ACTIVATIONS["identity"]


def _value(value):
    return njit_copied(lambda z, o: value(z))


def _times(derivative):
    return njit_copied(lambda z, o: z * derivative(o))


SLOPES = {
    ACTIVATIONS[name]: _times(row.derivative)
    for name, row in TABLE.items()
    if not row.of_z and ACTIVATIONS[name] != AS_IS
}
SLOPES[KEPT] = njit_copied(lambda z, o: z * o)
VALUES = {
    -1 - ACTIVATIONS[name]: _value(row.value)
    for name, row in TABLE.items()
    if row.ends_sums and ACTIVATIONS[name] != AS_IS
}
ENDS = VALUES | SLOPES

#: A bit for each activation that ends sums.
_END_SUMS = sum(1 << -1 - end for end in VALUES)


@inline
def end_of(kind):
    """How sums end that lead to units of this kind."""
    return np.int64(-1 - kind) if _END_SUMS >> kind & 1 else np.int64(AS_IS)


#: Where sums end.
IN_REGISTERS, IN_MEMORY, AS_THEY_ARE = range(3)


def _tile(rows, vectors, ends):
    """C ← end(begin + A B, O) for a tile of rows × vectors; O lies as C does.

    Without a number of rows it is a square: as many as a vector has lanes. The sums of the tiles
    that small networks go through end IN_REGISTERS. That is much code to compile: where they are
    long, or few, they end IN_MEMORY, loaded again row by row.
    """

    @intrinsic
    def tile(
        typingctx, A, a, a_row, a_k, B, b, b_k, C, c, c_row, depth, begin, bias, bias_at, end, O
    ):
        n = types.intp
        signature = types.void(A, n, n, n, B, n, n, C, n, n, n, n, bias, n, n, O)

        def codegen(context, builder, signature, arguments):
            A, a, a_row, a_k, B, b, b_k, C, c, c_row, depth, begin, bias, bias_at, end, O = (
                arguments
            )
            type_of = signature.args
            emit = Emitter(context, builder, type_of[7].dtype)
            R = range(rows or emit.lanes)
            tile = (len(R), c_row), (vectors * emit.lanes, 1)
            pa = emit.pointer(type_of[0], A, a, (len(R), a_row), (depth, a_k))
            pb = emit.pointer(type_of[4], B, b, (depth, b_k), (vectors * emit.lanes, 1))
            pc = emit.pointer(type_of[7], C, c, *tile)
            po = emit.pointer(type_of[15], O, c, *tile, when=("!=", end, n_(AS_IS)))
            begins = "==", begin, n_(BIAS)
            pbias = emit.pointer(type_of[12], bias, bias_at, (len(R), 1), when=begins)
            rows_of_a = [builder.mul(a_row, n_(r)) for r in R]
            places = [
                [builder.add(builder.mul(c_row, n_(r)), n_(v * emit.lanes)) for v in V] for r in R
            ]
            sums = emit.zeros(R, V)

            with builder.if_then(builder.icmp_signed(*begins)):
                for r in R:
                    number = emit.broadcast(builder.load(emit.at(pbias, r)))
                    for v in V:
                        builder.store(number, sums[r][v])
            with builder.if_then(builder.icmp_signed("==", begin, n_(RESUMED))):
                for r in R:
                    for v in V:
                        builder.store(emit.load(emit.at(pc, places[r][v])), sums[r][v])

            # A pointer for each four rows: an address has room for three distances from it.
            fours = [(emit.apart(emit.at(pa, rows_of_a[r])), a_k) for r in R[::4]]
            with emit.loop(depth, 1, (pb, b_k), *fours) as (_, (row_of_b, *columns_of_a)):
                of_b = [emit.load(emit.at(row_of_b, v * emit.lanes)) for v in V]
                for r in R:
                    place = emit.at(columns_of_a[r // 4], rows_of_a[r % 4])
                    number = emit.broadcast(builder.load(place))
                    for v in V:
                        emit.add_product(number, of_b[v], sums[r][v])

            if ends == IN_REGISTERS:
                for code, formula in ENDS.items():
                    with builder.if_then(builder.icmp_signed("==", end, n_(code))):
                        for r in R:
                            for v in V:
                                o = emit.load(emit.at(po, places[r][v]))
                                z = emit.apply(formula, builder.load(sums[r][v]), o)
                                builder.store(z, sums[r][v])
            for r in R:
                for v in V:
                    emit.store(builder.load(sums[r][v]), emit.at(pc, places[r][v]))
            if ends == IN_MEMORY:
                for code, formula in ENDS.items():
                    with (
                        builder.if_then(builder.icmp_signed("==", end, n_(code))),
                        emit.loop(n_(rows), 1, (pc, c_row), (po, c_row)) as (_, here),
                    ):
                        for v in V:
                            at_c, at_o = (emit.at(row, v * emit.lanes) for row in here)
                            emit.store(emit.apply(formula, emit.load(at_c), emit.load(at_o)), at_c)
            return context.get_dummy_value()

        return signature, codegen

    V, n_ = range(vectors), ir.IntType(64)
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
            pa = emit.pointer(signature.args[0], A, a, *[(rows, n), (n, 1)] if rows else [])
            pb = emit.pointer(signature.args[2], B, b, (columns, n), (n, 1))
            pg = emit.pointer(signature.args[5], G, g, (len(P), g_p), (columns, g_q))
            rows_of_a = [emit.at(pa, builder.mul(n, n_(p))) for p in range(rows)]
            rows_of_b = [emit.at(pb, builder.mul(n, n_(q))) for q in Q]
            sums = emit.zeros(P, Q)

            with emit.loop(n, emit.lanes) as (i, _):
                of_b = [emit.load(emit.at(row, i)) for row in rows_of_b]
                for p in P:
                    one = ir.Constant(emit.type, [1.0] * emit.lanes)
                    of_a = emit.load(emit.at(rows_of_a[p], i)) if rows else one
                    for q in Q:
                        emit.add_product(of_a, of_b[q], sums[p][q])

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

    P, Q, n_ = range(max(rows, 1)), range(columns), ir.IntType(64)
    return dots


def _back(rows):
    """C ← end(w dᵀ, S), G ← begin + O d, g ← begin + the sums of C: for so many rows, 1 or 4.

    That is the way back through a layer of one unit, in which each number of O is loaded once. O, S
    and C are rows of n, whole vectors, as many as D has; S is O where σ′ is taken from the output.
    """

    @intrinsic
    def back(typingctx, W, w, D, n, O, S, o, C, G, g, end, begin):
        i = types.intp
        signature = types.void(W, i, D, i, O, S, i, C, G, G, i, i)

        def codegen(context, builder, signature, arguments):
            W, w, D, n, O, S, o, C, G, g, end, begin = arguments
            type_of = signature.args
            emit = Emitter(context, builder, type_of[7].dtype)
            pd, weights = (
                emit.pointer(type_of[2], D, n_(0), (n, 1)),
                emit.pointer(type_of[0], W, w, (rows, 1)),
            )
            tile = (rows, n), (n, 1)
            po, pc = emit.pointer(type_of[4], O, o, *tile), emit.pointer(type_of[7], C, o, *tile)
            ps = emit.pointer(type_of[5], S, o, *tile, when=("==", end, n_(KEPT)))
            row = [builder.mul(n, n_(r)) for r in R]
            weight = [emit.broadcast(builder.load(emit.at(weights, r))) for r in R]
            products, of_c = emit.zeros(range(2), R)
            for code, formula in {AS_IS: None, **SLOPES}.items():
                with (
                    builder.if_then(builder.icmp_signed("==", end, n_(code))),
                    emit.loop(n, emit.lanes, (pd, n_(emit.lanes))) as (k, (at_d,)),
                ):
                    d = emit.load(at_d)
                    for r in R:
                        here = builder.add(row[r], k)
                        of_o = emit.load(emit.at(po, here))
                        emit.add_product(of_o, d, products[r])
                        of_s = emit.load(emit.at(ps, here)) if code == KEPT else of_o
                        z = builder.fmul(weight[r], d)
                        z = emit.apply(formula, z, of_s) if formula else z
                        emit.store(z, emit.at(pc, here))
                        builder.store(builder.fadd(builder.load(of_c[r]), z), of_c[r])
            resumed = builder.icmp_signed("==", begin, n_(RESUMED))
            for place, sums in ((G, products), (g, of_c)):
                totals = [builder.load(total) for total in sums]
                totals = emit.sums(totals) if rows == 4 else emit.sum(totals[0])
                emit.put(totals, emit.pointer(type_of[8], place, w, (rows, 1)), resumed)
            return context.get_dummy_value()

        return signature, codegen

    R, n_ = range(rows), ir.IntType(64)
    return back


def _turn(begins=False, group=1):
    """B ← Aᵀ, or begin + Aᵀ, for a square of as many rows as a vector has groups of numbers."""

    @intrinsic
    def turn(typingctx, A, a, a_row, B, b, b_row, begin):
        i = types.intp
        signature = types.void(A, i, i, B, i, i, i)

        def codegen(context, builder, signature, arguments):
            A, a, a_row, B, b, b_row, begin = arguments
            emit = Emitter(context, builder, signature.args[0].dtype)
            number, of = ir.IntType(64), ir.VectorType(emit.element, max(emit.lanes, group))
            n_rows, row = of.count // group, (of.count, 1)
            pa = emit.pointer(signature.args[0], A, a, (n_rows, a_row), row)
            rows = [
                emit.load(emit.at(pa, builder.mul(a_row, number(r))), of) for r in range(n_rows)
            ]
            resumed = builder.icmp_signed("==", begin, number(RESUMED)) if begins else None
            pb = emit.pointer(signature.args[3], B, b, (n_rows, b_row), row)
            emit.store_turned(rows, pb, b_row, resumed, group)
            return context.get_dummy_value()

        return signature, codegen

    return turn


def _turn_gathered(pieces):
    """B ← A[order[start:], column:]ᵀ, for as many samples as a vector has lanes, and as many
    columns over `pieces`, 1, 2 or 4; a row of A lies in one piece."""

    @intrinsic
    def turn_gathered(typingctx, A, order, start, column, B, b, b_row):
        i = types.intp
        signature = types.void(A, order, i, i, B, i, i)

        def codegen(context, builder, signature, arguments):
            A, order, start, column, B, b, b_row = arguments
            array = make_array(signature.args[0])(context, builder, A)
            width = builder.extract_value(array.shape, 1)
            emit = Emitter(context, builder, signature.args[0].dtype)
            columns = max(emit.lanes // pieces, 1)
            first = emit.pointer(signature.args[0], A, column)
            numbers = emit.pointer(signature.args[1], order, start, (emit.lanes, 1))
            rows = []
            for r in range(emit.lanes):
                row = builder.zext(builder.load(emit.at(numbers, r)), width.type)
                if CHECKED:
                    here = builder.add(builder.mul(row, width), column)
                    emit.pointer(signature.args[0], A, here, (columns, 1))
                place = emit.at(first, builder.mul(row, width))
                rows.append(emit.load(place, ir.VectorType(emit.element, columns)))
            while len(rows) > columns:  # two rows side by side
                firsts = [r for r in range(len(rows)) if not r & columns]
                both = range(2 * rows[0].type.count)
                rows = [emit.shuffle(rows[r], rows[r + columns], both) for r in firsts]
            pb = emit.pointer(signature.args[4], B, b, (columns, b_row), (emit.lanes, 1))
            emit.store_turned(rows, pb, b_row)
            return context.get_dummy_value()

        return signature, codegen

    return turn_gathered


def _copy(numbers):
    """B[b:] ← A[a:], as many numbers as `numbers` says, of the lanes of a vector."""

    @intrinsic
    def copy(typingctx, A, a, B, b):
        i = types.intp

        def codegen(context, builder, signature, arguments):
            A, a, B, b = arguments
            emit = Emitter(context, builder, signature.args[0].dtype)
            count = numbers(emit.lanes)
            pa = emit.pointer(signature.args[0], A, a, (count, 1))
            values = emit.load(pa, ir.VectorType(emit.element, count))
            emit.store(values, emit.pointer(signature.args[2], B, b, (count, 1)))
            return context.get_dummy_value()

        return types.void(A, i, B, i), codegen

    return copy


tile_4x3, tile_4x2 = _tile(ROWS, MORE_VECTORS, IN_MEMORY), _tile(ROWS, VECTORS, IN_REGISTERS)
tile_8x2 = _tile(2 * ROWS, VECTORS, IN_MEMORY)
tile_4x1, tile_square = _tile(ROWS, 1, IN_REGISTERS), _tile(None, 1, AS_THEY_ARE)
tile_1x4, tile_1x1 = _tile(1, 2 * VECTORS, IN_MEMORY), _tile(1, 1, IN_MEMORY)
turn, add_turned, turn_groups = _turn(), _turn(begins=True), _turn(group=ROWS)
dots_2x4, dots_1x4, dots_1x1 = _dots(2, 4), _dots(1, 4), _dots(1, 1)
dots_0x4, dots_0x1 = _dots(0, 4), _dots(0, 1)
back_4, back_1 = _back(4), _back(1)
copy_rows, copy_vector = _copy(lambda lanes: ROWS), _copy(lambda lanes: lanes)
turn_gathered, turn_gathered_half, turn_gathered_quarter = map(_turn_gathered, (1, 2, 4))


if INTERPRETED:
    # What the above computes, in NumPy.

    def _turn_gathered(pieces):
        def turn_gathered(A, order, start, column, B, b, b_row):
            n, columns = lanes(A), lanes(A) // pieces
            square = A[order[start : start + n], column : column + columns]
            for c in range(columns):
                B[b + c * b_row :][:n] = square[:, c]

        return turn_gathered

    turn_gathered, turn_gathered_half, turn_gathered_quarter = map(_turn_gathered, (1, 2, 4))
