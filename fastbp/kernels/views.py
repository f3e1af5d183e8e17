"""Matrices and vectors cut from flat buffers.

Numba's own ``a[i:j].reshape(m, n)`` counts references and may raise, which costs more than a
small network's whole step, and seconds of compilation. These views borrow: the caller of a
kernel holds the buffer.
"""

import numba
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


@intrinsic
def matrix(typingctx, buffer, start, rows, columns):
    """The elements of a contiguous `buffer` from `start` on, as (rows, columns)."""
    return _view(buffer, 2)(buffer, types.intp, types.intp, types.intp), _borrow


@intrinsic
def vector(typingctx, buffer, start, size):
    """The elements of a contiguous `buffer` from `start` on, as (size,)."""
    return _view(buffer, 1)(buffer, types.intp, types.intp), _borrow


def _view(buffer, ndim):
    return types.Array(buffer.dtype, ndim, "C")


def _borrow(context, builder, signature, arguments):
    """Emit the view: a pointer and a shape, with no reference to an owner."""
    buffer, start, *shape = arguments
    source = make_array(signature.args[0])(context, builder, buffer)
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


if numba.config.DISABLE_JIT:

    def matrix(buffer, start, rows, columns):
        """As above, in NumPy."""
        return buffer.reshape(-1)[start : start + rows * columns].reshape(rows, columns)

    def vector(buffer, start, size):
        """As above, in NumPy."""
        return buffer.reshape(-1)[start : start + size]
