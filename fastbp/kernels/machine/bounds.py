"""Whether kernels stay within what they are given: asked of every view and index, if at all.

With NUMBA_BOUNDSCHECK=1 in the environment, Numba looks at each index of its own arrays. What is
cut from a workspace here, without its knowledge, is then looked at too; else nothing is emitted.
"""

from numba.core import cgutils

from fastbp.kernels.machine.compile import CHECKED


def check(context, builder, what, start, size, of):
    """Emit: IndexError, unless the elements from `start` on, `size` of them, lie in `of` elements.

    Callers ask for it where kernels are `CHECKED`: what they compute for it are instructions, too.
    """
    assert CHECKED
    zero, left = start.type(0), builder.sub(of, start)
    is_out = builder.or_(
        builder.or_(builder.icmp_signed("<", start, zero), builder.icmp_signed("<", size, zero)),
        builder.icmp_signed(">", size, left),
    )
    with cgutils.if_unlikely(builder, is_out):
        context.call_conv.return_user_exc(
            builder, IndexError, (f"{what} reaches out of what it is cut from",)
        )


def product(builder, sizes):
    """Emit their product."""
    first, *others = sizes
    for size in others:
        first = builder.mul(first, size)
    return first
