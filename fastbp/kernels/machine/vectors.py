"""What a vector is: its width on this processor, and numbers made of lanes.

Only this file, `functions.py`, `emitter.py` and `tiles.py` know vectors.
"""

import operator
import platform

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import (
    intrinsic,
    lower_builtin,
    register_model,
)
from numba.np.arrayobj import make_array

from fastbp.kernels.machine.bounds import check
from fastbp.kernels.machine.compile import CHECKED

#: Whether kernels run as plain Python, where there are no Numbers.
INTERPRETED = bool(numba.config.DISABLE_JIT)


def _lanes():
    """Float32 lanes of this processor's vectors."""
    features = llvmlite.binding.get_host_cpu_features()
    if numba.config.CPU_FEATURES is not None:  # NUMBA_CPU_FEATURES: compile for another one
        names = filter(None, numba.config.CPU_FEATURES.split(","))
        features = {name[1:]: name[0] == "+" for name in names}
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx2") else 4


#: Float32 lanes of a vector. Tiles are padded with samples of weight 0 to a multiple of it, so
#: that no loop over samples has a remainder.
LANES = _lanes()


#: Whether there are 32 registers of that width, and not 16.
MANY_REGISTERS = LANES == 16 or platform.machine().lower() in ("aarch64", "arm64")


def _emits(number):
    def codegen(context, builder, signature, arguments):
        return ir.IntType(64)(number)

    return codegen


@intrinsic
def lanes(typingctx, a):
    """Lanes of a vector of a's elements."""
    return types.intp(a), _emits(LANES * 32 // a.dtype.bitwidth)


@intrinsic
def padded(typingctx, n):
    """n rounded up to whole vectors."""

    def codegen(context, builder, signature, arguments):
        n, number = arguments[0], ir.IntType(64)
        vectors = builder.sdiv(builder.add(n, number(LANES - 1)), number(LANES))
        return builder.mul(vectors, number(LANES))

    return types.intp(types.intp), codegen


# ------------------------------------------------ many numbers as if they were one

#: Vectors that a formula is computed for at a time: its steps wait for one another, and the
#: processor doesn't look far enough ahead to find others. (logistic: 0.51 ns a value for one
#: vector at a time, 0.41 for two, 0.34 for four.) Where vectors are twice as wide, two are as many
#: numbers, and a batch of 32 leaves no lane idle; four were no faster.
TOGETHER = 4 if LANES < 16 else 2


class Numbers(types.Type):
    """Floats in lanes. A formula that is written for one number can be compiled for these."""

    def __init__(self, dtype, count=None):
        self.dtype, self.count = dtype, count or TOGETHER * LANES * 32 // dtype.bitwidth
        super().__init__(f"{self.count} × {dtype}")


@register_model(Numbers)
class _NumbersModel(PrimitiveModel):
    def __init__(self, manager, numbers):
        element = ir.FloatType() if numbers.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, numbers, ir.VectorType(element, numbers.count))


@infer_getattr
class _NumbersAttributes(AttributeTemplate):
    key = Numbers

    def resolve___class__(self, numbers):
        """type(z)(1) is one number, of z's precision."""
        return types.NumberClass(numbers.dtype)


@intrinsic
def count(typingctx, a):
    """How many of a's elements are Numbers."""
    return types.intp(a), _emits(Numbers(a.dtype).count)


@intrinsic
def load(typingctx, a, i):
    """Numbers from a[i] on; past the end of a they are anything."""

    def codegen(context, builder, signature, arguments):
        return emit_load(context, builder, signature.args[0], *arguments)

    return Numbers(a.dtype)(a, types.intp), codegen


def emit_load(context, builder, array_type, a, i):
    """Emit Numbers of an array, see `load`."""
    of = array_type, a, i
    address, room, whole, bytes_left = _at(context, builder, Numbers(array_type.dtype), *of)
    with builder.if_then(builder.not_(whole), likely=False):
        cgutils.raw_memcpy(builder, room, address, bytes_left, 1)
    numbers = builder.load(builder.select(whole, address, room))
    numbers.align = array_type.dtype.bitwidth // 8
    return numbers


@intrinsic
def put(typingctx, numbers, a, i):
    """Numbers to a[i] and on, as far as a goes."""

    def codegen(context, builder, signature, arguments):
        numbers, a, i = arguments
        emit_put(context, builder, signature.args[1], numbers, a, i)
        return context.get_dummy_value()

    return types.void(numbers, a, types.intp), codegen


def emit_put(context, builder, array_type, numbers, a, i):
    """Emit that they are stored, see `put`."""
    of = array_type, a, i
    address, room, whole, bytes_left = _at(context, builder, Numbers(array_type.dtype), *of)
    to = builder.select(whole, address, room)
    builder.store(numbers, to).align = array_type.dtype.bitwidth // 8
    with builder.if_then(builder.not_(whole), likely=False):
        cgutils.raw_memcpy(builder, address, room, bytes_left, 1)


def _at(context, builder, numbers, array_type, a, i):
    """The address of a[i], room for Numbers elsewhere, whether all of them lie in a, and how many
    bytes of a lie from there on."""
    of = context.get_value_type(numbers)
    a, pointer = make_array(array_type)(context, builder, a), of.as_pointer()
    if CHECKED:
        check(context, builder, "a vector", i, i.type(0), a.nitems)
    address = builder.bitcast(builder.gep(a.data, [i]), pointer)
    left = builder.sub(builder.extract_value(a.shape, 0), i)
    whole = builder.icmp_signed(">=", left, left.type(of.count))
    return address, cgutils.alloca_once(builder, of), whole, builder.mul(left, a.itemsize)


def _operator(function, instruction):
    """Let an operator take Numbers, or Numbers and a number of their precision."""

    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            numbers = next((arg for arg in args if isinstance(arg, Numbers)), None)
            if numbers and all(arg in (numbers, numbers.dtype) for arg in args):
                return signature(numbers, *args)

    def emit(context, builder, signature, arguments):
        of = context.get_value_type(signature.return_type)
        return getattr(builder, instruction)(*(spread(builder, x, of) for x in arguments))

    lower_builtin(function, Numbers, Numbers)(emit)
    lower_builtin(function, Numbers, types.Float)(emit)
    lower_builtin(function, types.Float, Numbers)(emit)
    lower_builtin(function, Numbers)(emit)


_operator(operator.add, "fadd")
_operator(operator.iadd, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.isub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.imul, "fmul")
_operator(operator.truediv, "fdiv")
_operator(operator.neg, "fneg")


def spread(builder, number, of):
    """A number in every lane of LLVM type `of`; what has lanes already stays."""
    if number.type == of:
        return number
    none = ir.Constant(of, ir.Undefined)
    first = builder.insert_element(none, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, none, constant(with_lanes(of, ir.IntType(32)), 0))


def with_lanes(of, element):
    """`element`, in as many lanes as LLVM type `of` has."""
    return ir.VectorType(element, of.count) if isinstance(of, ir.VectorType) else element


def constant(of, value):
    """A constant of LLVM type `of`, the same in every lane."""
    return ir.Constant(of, [value] * of.count if isinstance(of, ir.VectorType) else value)


@intrinsic
def gathered(typingctx, A, order, start, column):
    """A[order[start:], column], as many as Numbers are.

    Lane by lane in registers: a vector can't be loaded from where numbers were stored one by one
    until all of them have arrived, which would cost a small network's step half of its time.
    """
    to = Numbers(A.dtype)

    def codegen(context, builder, signature, arguments):
        A, order, start, column = arguments
        A = make_array(signature.args[0])(context, builder, A)
        order = make_array(signature.args[1])(context, builder, order)
        byte, of = ir.IntType(8).as_pointer(), context.get_value_type(to)
        below, aside = cgutils.unpack_tuple(builder, A.strides, 2)
        first = builder.gep(builder.bitcast(A.data, byte), [builder.mul(column, aside)])
        numbers = ir.Constant(of, ir.Undefined)
        if CHECKED:
            check(context, builder, "an order", start, start.type(to.count), order.nitems)
        for lane in range(to.count):
            place = builder.gep(order.data, [builder.add(start, start.type(lane))])
            row = builder.zext(builder.load(place), below.type)
            if CHECKED:
                n_rows, n_columns = cgutils.unpack_tuple(builder, A.shape, 2)
                check(context, builder, "a row", row, row.type(1), n_rows)
                check(context, builder, "a column", column, row.type(1), n_columns)
            address = builder.gep(first, [builder.mul(row, below)])
            number = builder.load(builder.bitcast(address, of.element.as_pointer()))
            numbers = builder.insert_element(numbers, number, ir.IntType(32)(lane))
        return numbers

    return to(A, order, types.intp, types.intp), codegen


if INTERPRETED:
    # What the above computes, in NumPy.

    def lanes(a):
        return LANES * 4 // a.itemsize

    def count(a):
        return TOGETHER * lanes(a)

    def padded(n):
        return -(-n // LANES) * LANES

    def gathered(A, order, start, column):
        return A[order[start : start + count(A)], column]

    def put(numbers, a, i):
        a[i : i + numbers.size] = numbers
