"""Matrices and vectors cut from flat buffers.

Numba's own ``a[i:j].reshape(m, n)`` counts references and may raise, which costs more than a
small network's whole step, and seconds of compilation. These views borrow: the caller of a
kernel holds the buffer. They are as long as they say: see `bounds.py`.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from fastbp.kernels.machine.bounds import check, product
from fastbp.kernels.machine.compile import CHECKED


@intrinsic
def matrix(typingctx, buffer, start, rows, columns):
    """The elements of a contiguous `buffer` from `start` on, as (rows, columns)."""

    def codegen(context, builder, signature, arguments):
        buffer, start, *shape = arguments
        return _borrow(context, builder, signature, buffer, start, shape)

    return _view(buffer, 2)(buffer, types.intp, types.intp, types.intp), codegen


@intrinsic
def vector(typingctx, buffer, start, size):
    """The elements of a contiguous `buffer` from `start` on, as (size,)."""

    def codegen(context, builder, signature, arguments):
        buffer, start, size = arguments
        return _borrow(context, builder, signature, buffer, start, [size])

    return _view(buffer, 1)(buffer, types.intp, types.intp), codegen


@intrinsic
def rest_of(typingctx, buffer, start):
    """The elements of a contiguous `buffer` from `start` to its end: where a tile goes on from, of
    which somebody else knows the size."""

    def codegen(context, builder, signature, arguments):
        buffer, start = arguments
        size = make_array(signature.args[0])(context, builder, buffer).nitems
        rest = builder.sub(size, start)
        return _borrow(context, builder, signature, buffer, start, [rest])

    return _view(buffer, 1)(buffer, types.intp), codegen


@intrinsic
def part_of(typingctx, buffer, part, n):
    """buffer[part] of a buffer of two dimensions, as rows of n: as many as there are."""

    def codegen(context, builder, signature, arguments):
        buffer, part, n = arguments
        size = builder.extract_value(
            make_array(signature.args[0])(context, builder, buffer).shape, 1
        )
        start, rows = builder.mul(part, size), builder.sdiv(size, n)
        return _borrow(context, builder, signature, buffer, start, [rows, n])

    return _view(buffer, 2)(buffer, types.intp, types.intp), codegen


@intrinsic
def least(typingctx, a, b):
    """The smaller of two integers; Python's `min` would be a kernel of its own to compile."""
    return types.intp(types.intp, types.intp), _first_if("<")


@intrinsic
def greatest(typingctx, a, b):
    """The larger of two integers."""
    return types.intp(types.intp, types.intp), _first_if(">")


def _first_if(comparison):
    """Emits the first of two integers if they compare so, else the second."""

    def codegen(context, builder, signature, arguments):
        a, b = arguments
        return builder.select(builder.icmp_signed(comparison, a, b), a, b)

    return codegen


@intrinsic
def ask_for(typingctx, buffer, i):
    """Have the line of memory of buffer[i] fetched: it will be needed soon. Any i is harmless."""

    def codegen(context, builder, signature, arguments):
        buffer, i = arguments
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.gep(make_array(signature.args[0])(context, builder, buffer).data, [i])
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0",
        )
        to_read, soon, data = number(0), number(3), number(1)
        builder.call(prefetch, [builder.bitcast(place, byte), to_read, soon, data])
        return context.get_dummy_value()

    return types.void(buffer, types.intp), codegen


def layer_view(start, *shape):
    """A function of a flat buffer, the layers of a network and the number of one, l: a view.

    Parameters
    ----------
    start : str
        The field of layer l that says at which element the view begins.
    *shape : tuple of (str, int)
        For each dimension a field, and of which layer, counted from l.
    """
    if numba.config.DISABLE_JIT:

        def view(buffer, net, l):
            sizes = [net[l + at][field] for field, at in shape]
            first = net[l][start]
            return buffer.reshape(-1)[first : first + np.prod(sizes)].reshape(sizes)

        return view

    @intrinsic
    def view(typingctx, buffer, net, l):
        def codegen(context, builder, signature, arguments):
            buffer, net, l = arguments
            field = _layer_fields(context, builder, signature.args[1], net, l)
            sizes = [field(name, at) for name, at in shape]
            return _borrow(context, builder, signature, buffer, field(start, 0), sizes)

        return _view(buffer, len(shape))(buffer, net, types.intp), codegen

    return view


def layer_rows(start, height):
    """As `layer_view`, for a buffer of (rows, n): `height` rows, from the row `start` on."""
    if numba.config.DISABLE_JIT:

        def view(buffer, net, l):
            return buffer[net[l][start] : net[l][start] + net[l][height]]

        return view

    @intrinsic
    def view(typingctx, buffer, net, l):
        def codegen(context, builder, signature, arguments):
            buffer, net, l = arguments
            field = _layer_fields(context, builder, signature.args[1], net, l)
            source = make_array(signature.args[0])(context, builder, buffer)
            n = builder.extract_value(source.shape, 1)
            first = builder.mul(field(start, 0), n)
            return _borrow(context, builder, signature, buffer, first, [field(height, 0), n])

        return _view(buffer, 2)(buffer, net, types.intp), codegen

    return view


def _view(buffer, ndim):
    return types.Array(buffer.dtype, ndim, "C")


def _borrow(context, builder, signature, buffer, start, shape):
    """Emit the view: a pointer and a shape, with no reference to an owner."""
    source = make_array(signature.args[0])(context, builder, buffer)
    if CHECKED:
        check(context, builder, "a view", start, product(builder, shape), source.nitems)
    view = make_array(signature.return_type)(context, builder)
    strides = [source.itemsize]
    for size in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], size))
    populate_array(
        view,
        data=builder.gep(source.data, [start]),
        shape=shape,
        strides=strides,
        itemsize=source.itemsize,
        meminfo=None,
        parent=None,
    )
    return view._getvalue()


def _layer_fields(context, builder, net_type, net, l):
    """Emit reading a field (int64) of layer l + at."""
    record, number = net_type.dtype, ir.IntType(64)
    layers = make_array(net_type)(context, builder, net)
    first_byte = builder.bitcast(layers.data, ir.IntType(8).as_pointer())

    def field(name, at):
        layer = builder.add(l, number(at))
        if CHECKED:
            check(context, builder, "a layer", layer, number(1), layers.nitems)
        byte = builder.add(builder.mul(layer, number(record.size)), number(record.offset(name)))
        address = builder.bitcast(builder.gep(first_byte, [byte]), number.as_pointer())
        return builder.load(address)

    return field


if numba.config.DISABLE_JIT:

    def ask_for(buffer, i):
        """There is nothing to compute."""

    def matrix(buffer, start, rows, columns):
        """As above, in NumPy."""
        return buffer.reshape(-1)[start : start + rows * columns].reshape(rows, columns)

    def vector(buffer, start, size):
        """As above, in NumPy."""
        return buffer.reshape(-1)[start : start + size]

    def rest_of(buffer, start):
        """As above, in NumPy."""
        return buffer.reshape(-1)[start:]

    def part_of(buffer, part, n):
        """As above, in NumPy."""
        rows = buffer.shape[1] // n
        return buffer[part, : rows * n].reshape(rows, n)

    def least(a, b):
        """As above, in Python."""
        return min(a, b)

    def greatest(a, b):
        """As above, in Python."""
        return max(a, b)
