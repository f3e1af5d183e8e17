"""Numbers too small to be normal, as zeros.

Processors multiply subnormal numbers (below 1e-38 in float32) a hundred times slower than others.
Gradients of units that are saturated at all rows but a few are full of them: without this, a step
of a network with steep first units takes three to six times as long.
"""

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: In x86's control register: results that are subnormal become 0, and operands that are count as 0.
FLUSHED = 0x8000 | 0x0040

#: Others multiply them as fast as any.
IS_X86 = llvmlite.binding.get_default_triple().startswith(("x86_64", "i686", "i386", "amd64"))


@intrinsic
def flush_subnormals(typingctx):
    """From here on they are zeros in this thread; returns what `restore` takes."""

    def codegen(context, builder, signature, arguments):
        if not IS_X86:
            return context.get_constant(types.uint32, 0)
        place = cgutils.alloca_once(builder, ir.IntType(32))
        _call(builder, "llvm.x86.sse.stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, ir.Constant(ir.IntType(32), FLUSHED)), place)
        _call(builder, "llvm.x86.sse.ldmxcsr", place)
        return before

    return types.uint32(), codegen


@intrinsic
def restore(typingctx, before):
    """As it was before."""

    def codegen(context, builder, signature, arguments):
        if IS_X86:
            place = cgutils.alloca_once_value(builder, arguments[0])
            _call(builder, "llvm.x86.sse.ldmxcsr", place)
        return context.get_dummy_value()

    return types.none(types.uint32), codegen


def _call(builder, name, place):
    bytes_at = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [bytes_at]), name
    )
    builder.call(function, [builder.bitcast(place, bytes_at)])


if numba.config.DISABLE_JIT:

    def flush_subnormals():
        """NumPy's are what they are."""
        return 0

    def restore(before):
        """Nothing was changed."""
