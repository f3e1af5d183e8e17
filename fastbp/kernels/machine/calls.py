"""Calls of kernels from code that is emitted: of one, or of the one with a number."""

import numba
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.machine.compile import njit_copied


def call(context, builder, kernel, kinds, values):
    """Emit a call of a kernel, or of an intrinsic, with values of these types."""
    kernel, signature = _resolved(context.typing_context, kernel, kinds)
    return context.get_function(kernel, signature)(builder, values)


def _resolved(typingctx, kernel, kinds):
    kernel = typingctx.resolve_value_type(kernel)
    return kernel, kernel.get_call_type(typingctx, kinds, {})


def by_code(kernels):
    """A kernel (code, …) that calls the kernel of that number, or the last one, with what else it
    is given.

    A chain of comparisons, all in one: as a chain of kernels each of them would have to be compiled
    for itself. It is made anew in each process: only entries are kept on disk, and the folder's
    name is the hash of all sources.
    """
    if numba.config.DISABLE_JIT:
        return lambda code, *arguments: kernels[code](*arguments)

    @intrinsic
    def call_one(typingctx, code, arguments):
        signatures = [_resolved(typingctx, kernel, arguments.types)[1] for kernel in kernels]
        results = [signature.return_type for signature in signatures]
        result = typingctx.unify_types(*results)

        def codegen(context, builder, signature, given):
            code, values = given[0], cgutils.unpack_tuple(builder, given[1])
            place = cgutils.alloca_once(builder, context.get_value_type(result))
            end = builder.append_basic_block("end")

            def leave_by(kernel, of_kernel):
                value = call(context, builder, kernel, arguments.types, values)
                builder.store(context.cast(builder, value, of_kernel, result), place)
                builder.branch(end)

            *others, last = zip(kernels, results, strict=True)
            for number, one in enumerate(others):
                with builder.if_then(builder.icmp_signed("==", code, code.type(number))):
                    leave_by(*one)
            leave_by(*last)
            builder.position_at_end(end)
            return builder.load(place)

        return result(code, arguments), codegen

    def chosen(code, *arguments):
        return call_one(code, arguments)

    return njit_copied(chosen)
