"""Functions of a number, or of Numbers: what formulas are written with."""

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.machine.compile import overload
from fastbp.kernels.machine.vectors import INTERPRETED, Numbers, constant, spread, with_lanes

#: Bits of a fraction, by the width of a number, that are left out where squares must be exact.
LOW_BITS = {32: 12, 64: 27}


@intrinsic
def as_many(typingctx, number, x):
    """A number, as many times as x is numbers."""

    def codegen(context, builder, signature, arguments):
        number, x = arguments
        return spread(builder, number, x.type)

    return x(number, x), codegen


@overload(np.sqrt)
def _sqrt(x):
    if isinstance(x, Numbers):
        return lambda x: _root(x)


@intrinsic
def _root(typingctx, x):
    def codegen(context, builder, signature, arguments):
        of = arguments[0].type
        root = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(of, [of]), f"llvm.sqrt.v{x.count}f{x.dtype.bitwidth}"
        )
        return builder.call(root, arguments)

    return x(x), codegen


@intrinsic
def total(typingctx, x):
    """The sum of numbers; of one number, itself."""

    def codegen(context, builder, signature, arguments):
        (x,) = arguments
        while isinstance(x.type, ir.VectorType) and x.type.count > 1:
            half, none = x.type.count // 2, ir.Constant(x.type, ir.Undefined)
            lanes = ir.VectorType(ir.IntType(32), half)
            halves = (list(range(half)), list(range(half, 2 * half)))
            lower, upper = (
                builder.shuffle_vector(x, none, ir.Constant(lanes, each)) for each in halves
            )
            x = builder.fadd(lower, upper)
        if isinstance(x.type, ir.VectorType):
            x = builder.extract_element(x, ir.IntType(32)(0))
        return x

    return getattr(x, "dtype", x)(x), codegen


@intrinsic
def first(typingctx, x):
    """The first of Numbers."""

    def codegen(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], ir.IntType(32)(0))

    return x.dtype(x), codegen


@intrinsic
def one_where_positive(typingctx, x):
    """1 where x > 0, else 0."""

    def codegen(context, builder, signature, arguments):
        (x,) = arguments
        zero, one = constant(x.type, 0.0), constant(x.type, 1.0)
        return builder.select(builder.fcmp_ordered(">", x, zero), one, zero)

    return x(x), codegen


@intrinsic
def clamped(typingctx, x, low, high):
    """x, or the bound that it lies beyond; NaN stays NaN."""

    def codegen(context, builder, signature, arguments):
        x, low, high = (spread(builder, each, arguments[0].type) for each in arguments)
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
        return builder.select(builder.fcmp_ordered(">", x, high), high, x)

    return x(x, low, high), codegen


@intrinsic
def power_of_two(typingctx, shifted):
    """2ⁿ, where the lowest bits of `shifted` are those of its exponent."""
    number = getattr(shifted, "dtype", shifted)
    of_fraction = {32: 23, 64: 52}[number.bitwidth]

    def codegen(context, builder, signature, arguments):
        of = arguments[0].type
        bits = with_lanes(of, ir.IntType(number.bitwidth))
        places = constant(bits, of_fraction)
        return builder.bitcast(builder.shl(builder.bitcast(arguments[0], bits), places), of)

    return shifted(shifted), codegen


@intrinsic
def absolute(typingctx, x):
    """|x|."""
    width = getattr(x, "dtype", x).bitwidth
    return x(x), _but_for(1 << (width - 1), width)


@intrinsic
def without_low_bits(typingctx, x):
    """x, rounded towards zero to so few bits that its square is exact."""
    width = getattr(x, "dtype", x).bitwidth
    return x(x), _but_for((1 << LOW_BITS[width]) - 1, width)


def _but_for(cleared, width):
    """Emits a number of so many bits, or Numbers, with these bits of it cleared."""

    def codegen(context, builder, signature, arguments):
        of = arguments[0].type
        bits = with_lanes(of, ir.IntType(width))
        left = constant(bits, (1 << width) - 1 - cleared)
        return builder.bitcast(builder.and_(builder.bitcast(arguments[0], bits), left), of)

    return codegen


@intrinsic
def with_sign_of(typingctx, z, x):
    """x ≥ 0, or −x where z is negative, −0 included."""
    width = getattr(x, "dtype", x).bitwidth

    def codegen(context, builder, signature, arguments):
        of = arguments[0].type
        bits = with_lanes(of, ir.IntType(width))
        z, x = (builder.bitcast(argument, bits) for argument in arguments)
        sign = builder.and_(z, constant(bits, 1 << (width - 1)))
        return builder.bitcast(builder.or_(x, sign), of)

    return x(x, x), codegen


if INTERPRETED:
    # What the above computes, in NumPy.

    def as_many(number, x):
        return number

    def one_where_positive(x):
        return type(x)(x > 0)

    def clamped(x, low, high):
        return np.clip(x, low, high)

    def absolute(x):
        return np.abs(x)

    def without_low_bits(x):
        unsigned = {4: np.uint32, 8: np.uint64}[np.dtype(type(x)).itemsize]
        low = unsigned(2 ** LOW_BITS[8 * np.dtype(unsigned).itemsize] - 1)
        return (np.asarray(x).view(unsigned) & ~low).view(type(x))[()]

    def with_sign_of(z, x):
        return np.copysign(x, z)
