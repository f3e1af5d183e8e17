"""Passes over an array: a formula of a number, for each of its elements."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from fastbp.kernels.machine.calls import by_code, call
from fastbp.kernels.machine.compile import njit
from fastbp.kernels.machine.emitter import Emitter
from fastbp.kernels.machine.vectors import INTERPRETED, Numbers, emit_load, emit_put


def elementwise(formula):
    """A function (z, o) that computes ``o[i] = formula(z[i])`` for two vectors of equal length."""

    @intrinsic
    def all_of(typingctx, z, o):
        def codegen(context, builder, signature, arguments):
            (z, o), kinds = arguments, signature.args
            _emit_pass(context, builder, kinds[0], z, (formula, kinds[1], o))
            return context.get_dummy_value()

        return types.void(z, o), codegen

    return all_of


def elementwise_with_slope(value, derivative):
    """A function (o, kept): o ← value(o) and kept ← derivative(o), of vectors of equal length."""

    @intrinsic
    def all_of(typingctx, o, kept):
        def codegen(context, builder, signature, arguments):
            (o, kept), kinds = arguments, signature.args
            to = (derivative, kinds[1], kept), (value, kinds[0], o)
            _emit_pass(context, builder, kinds[0], o, *to)
            return context.get_dummy_value()

        return types.void(o, kept), codegen

    return all_of


def _emit_pass(context, builder, kind, x, *to):
    """Emit a loop over a vector, Numbers by Numbers, written as IR: that is an eighth of what Numba
    takes for one. What there is `to` do is a formula, and the vector that its values go to."""
    numbers = Numbers(kind.dtype)
    size = builder.extract_value(make_array(kind)(context, builder, x).shape, 0)
    with Emitter(context, builder, kind.dtype).loop(size, numbers.count) as (i, _):
        of_x = emit_load(context, builder, kind, x, i)
        for formula, of_to, vector in to:
            value = call(context, builder, formula, (numbers,), [of_x])
            emit_put(context, builder, of_to, value, vector, i)


def sums_with_slopes(value, slope):
    """A function (a, Z, Y, s, D): D[k, i] ← s[i] slope(Z[k, i], Y[k, i], a[k]), and the sum of
    s[i] value(Z[k, i], Y[k, i], a[k]). Number by number: it is for LLVM to make vectors of them."""

    @intrinsic
    def all_of(typingctx, a, Z, Y, s, D):
        def codegen(context, builder, signature, arguments):
            emit = Emitter(context, builder, Z.dtype)
            shape = make_array(Z)(context, builder, arguments[1]).shape
            (n_rows, n), kinds = cgutils.unpack_tuple(builder, shape), (Z.dtype, Y.dtype, a.dtype)
            in_rows, in_row = ((n_rows, n), (n, 1)), ((n, 1),)
            extents = ((n_rows, 1),), in_rows, in_rows, in_row, in_rows
            of_a, of_z, of_y, of_s, of_d = (
                emit.pointer(kind, array, n.type(0), *extent)
                for kind, array, extent in zip(signature.args, arguments, extents, strict=True)
            )
            total = cgutils.alloca_once_value(builder, ir.DoubleType()(0))
            rows = (of_z, n), (of_y, n), (of_d, n)
            with emit.loop(n_rows, 1, *rows) as (k, (at_z, at_y, at_d)):
                a_k = builder.load(emit.at(of_a, k))
                with emit.loop(n, 1) as (i, _):

                    def shared(formula):
                        # z and y are read each time: of one product that value and slope have,
                        # LLVM would round it, which else it adds to without.
                        z, y, share = (builder.load(emit.at(p, i)) for p in (at_z, at_y, of_s))
                        return builder.fmul(
                            share, call(context, builder, formula, kinds, (z, y, a_k))
                        )

                    builder.store(shared(slope), emit.at(at_d, i))
                    cost = context.cast(builder, shared(value), Z.dtype, types.float64)
                    builder.store(builder.fadd(builder.load(total), cost), total)
            return builder.load(total)

        return types.float64(a, Z, Y, s, D), codegen

    return all_of


def pass_by_code(formulas):
    """A kernel (code, o, kept) for a pass over o with the formulas of that number.

    They are (value, derivative), o ← value(o) and kept ← derivative(o) where the two are different
    places; or (value, None); or None, which is no pass.
    """
    return by_code([_no_pass if pair is None else _pass(*pair) for pair in formulas])


@njit
def _no_pass(o, kept):
    """Nothing is done."""


def _pass(value, derivative):
    alone = elementwise(value)
    if derivative is None:

        @njit
        def one_pass(o, kept):
            alone(o, o)

        return one_pass
    both = elementwise_with_slope(value, derivative)

    @njit
    def pass_with_slope(o, kept):
        if is_same(o, kept):
            alone(o, o)
        else:
            both(o, kept)

    return pass_with_slope


@intrinsic
def is_same(typingctx, a, b):
    """Whether two arrays begin at the same place."""

    def codegen(context, builder, signature, arguments):
        pointers = [
            make_array(of)(context, builder, array).data
            for of, array in zip(signature.args, arguments, strict=True)
        ]
        return builder.icmp_unsigned("==", *pointers)

    return types.boolean(a, b), codegen


if INTERPRETED:
    # What the above computes, in NumPy.

    def elementwise(formula):
        def kernel(z, o):
            o[:] = [formula(number) for number in z]

        return kernel

    def elementwise_with_slope(value, derivative):
        def kernel(o, kept):
            kept[:] = [derivative(number) for number in o]
            o[:] = [value(number) for number in o]

        return kernel

    def sums_with_slopes(value, slope):
        def kernel(a, Z, Y, s, D):
            total = 0.0
            for k, i in np.ndindex(*Z.shape):
                D[k, i] = s[i] * slope(Z[k, i], Y[k, i], a[k])
                total += s[i] * value(Z[k, i], Y[k, i], a[k])
            return total

        return kernel

    def is_same(a, b):
        return a.__array_interface__["data"] == b.__array_interface__["data"]
