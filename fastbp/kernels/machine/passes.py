"""Passes over an array: a formula of a number, for each of its elements."""

from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from fastbp.kernels.machine.compile import njit
from fastbp.kernels.machine.vectors import INTERPRETED, count, load, put


def elementwise(formula):
    """A kernel (z, o) that computes ``o[i] = formula(z[i])`` for two vectors of equal length."""

    @njit
    def kernel(z, o):
        for i in range(0, z.size, count(z)):
            put(formula(load(z, i)), o, i)

    return kernel


def elementwise_with_slope(value, derivative):
    """A kernel (o, kept): o ← value(o) and kept ← derivative(o), of vectors of equal length."""

    @njit
    def kernel(o, kept):
        for i in range(0, o.size, count(o)):
            z = load(o, i)
            put(derivative(z), kept, i)
            put(value(z), o, i)

    return kernel


def pass_by_code(formulas):
    """A kernel (code, o, kept) for a pass over o with the formulas of that number.

    They are (value, derivative), o ← value(o) and kept ← derivative(o) where the two are different
    places; or (value, None); or None, which is no pass.
    """

    @njit
    def chosen(code, o, kept):
        """Nothing is done."""

    for code, pair in enumerate(formulas):
        if pair is not None:
            value, derivative = pair
            both = derivative and elementwise_with_slope(value, derivative)
            chosen = _pass_or(code, elementwise(value), both, chosen)
    return chosen


def _pass_or(this, alone, both, rest):
    if both is None:

        @njit
        def chosen(code, o, kept):
            if code == this:
                alone(o, o)
            else:
                rest(code, o, kept)

    else:

        @njit
        def chosen(code, o, kept):
            if code == this:
                if is_same(o, kept):
                    alone(o, o)
                else:
                    both(o, kept)
            else:
                rest(code, o, kept)

    return chosen


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
