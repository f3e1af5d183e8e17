"""Runs: what lies in a buffer one behind the other, single numbers or vectors of them.

Numba's own arrays ask of every index whether it is counted from the end, and an array of vectors
they don't have.
"""

import operator

from numba import types
from numba.core import cgutils
from numba.core.datamodel import StructModel
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, make_attribute_wrapper, register_model
from numba.np.arrayobj import make_array

from fastbp.kernels.machine.bounds import check
from fastbp.kernels.machine.compile import CHECKED
from fastbp.kernels.machine.vectors import Numbers


class Run(types.Type):
    """Numbers one behind the other: a pointer and a size. An index is what it says, and is not
    looked at, but see `bounds.py`; Numba's own arrays ask of each whether it is counted from the
    end."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"run of {dtype}")


@register_model(Run)
class _RunModel(StructModel):
    def __init__(self, manager, run):
        super().__init__(manager, run, [("data", types.CPointer(run.dtype)), ("size", types.intp)])


make_attribute_wrapper(Run, "size", "size")


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args, kws):
        run, i = args
        if isinstance(run, Run) and isinstance(i, types.Integer):
            return signature(run.dtype, run, types.intp)


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args, kws):
        run, i, _ = args
        if isinstance(run, Run) and isinstance(i, types.Integer):
            return signature(types.none, run, types.intp, run.dtype)


def _item(context, builder, run_type, run, i):
    """The address of run[i], and what it is aligned to."""
    run = cgutils.create_struct_proxy(run_type)(context, builder, run)
    if CHECKED:
        check(context, builder, "an index of a run", i, i.type(1), run.size)
    number = getattr(run_type.dtype, "dtype", run_type.dtype)
    return builder.gep(run.data, [i]), number.bitwidth // 8


def _bytes(element):
    """Of a number, or of Numbers."""
    return getattr(element, "count", 1) * getattr(element, "dtype", element).bitwidth // 8


@lower_builtin(operator.getitem, Run, types.intp)
def _get_item(context, builder, signature, arguments):
    run, i = arguments
    place, alignment = _item(context, builder, signature.args[0], run, i)
    value = builder.load(place)
    value.align = alignment
    return value


@lower_builtin(operator.setitem, Run, types.intp, types.Any)
def _set_item(context, builder, signature, arguments):
    run, i, value = arguments
    place, alignment = _item(context, builder, signature.args[0], run, i)
    builder.store(value, place).align = alignment


def _run_of(element):
    """A function of a flat buffer or a run, where to begin and how many: a Run of elements."""

    @intrinsic
    def run_of(typingctx, buffer, start, size):
        to = Run(element(getattr(buffer.dtype, "dtype", buffer.dtype)))

        def codegen(context, builder, signature, arguments):
            buffer, start, size = arguments
            is_run = isinstance(signature.args[0], Run)
            make = cgutils.create_struct_proxy if is_run else make_array
            source = make(signature.args[0])(context, builder, buffer)
            if CHECKED:
                n, one, element = source.size if is_run else source.nitems, start.type(1), to.dtype
                here, each = one.type(_bytes(signature.args[0].dtype)), one.type(_bytes(element))
                places = builder.mul(start, here), builder.mul(size, each), builder.mul(n, here)
                check(context, builder, "a run", *places)
            run = cgutils.create_struct_proxy(to)(context, builder)
            run.data = builder.bitcast(builder.gep(source.data, [start]), run.data.type)
            run.size = size
            return run._getvalue()

        return to(buffer, types.intp, types.intp), codegen

    return run_of


#: Numbers, octets (eight numbers together), and single numbers.
numbers, octets, singles = (
    _run_of(element) for element in (Numbers, lambda dtype: Numbers(dtype, 8), lambda dtype: dtype)
)
