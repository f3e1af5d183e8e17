"""Passes over an array: a formula of a number, for each of its elements."""

from numba import types
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

    def is_same(a, b):
        return a.__array_interface__["data"] == b.__array_interface__["data"]
