"""A barrier between threads that run inside kernels.

They are Python's threads, running a kernel that holds no interpreter lock, and live as long as
one fit: nothing of them is left to break in a forked process, and Numba's own threading layers,
which abort on concurrent use or die after a fork, are not touched. A barrier costs a tenth of a
microsecond where every thread has a processor; where not, threads that wait give way.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from fastbp.kernels.machine.compile import inline, njit

# Places in the array that threads share, a cache line apart.
ARRIVED, GENERATION, CALLED_OFF, CROWDED, TAKEN = 0, 16, 32, 48, 64

#: Looks at the barrier before giving way to other threads of the machine; where there are fewer
#: processors than threads, none.
PATIENCE = 2000

#: How often a thread of a crowd gives way before it naps, and for how many microseconds. One that
#: only gives way keeps a processor from taking over threads that others are too busy for; but a
#: nap lasts longer than it should, and would delay a barrier that others are about to reach.
YIELDS, NAP = 50, 20


def new_barrier():
    """What the threads of one fit share."""
    return np.zeros(80, np.int64)


def call_off(barrier):
    """Let every thread that waits, or will wait, return at once."""
    barrier[CALLED_OFF] = 1


def set_crowded(barrier, crowded):
    """Say whether there are fewer processors than threads."""
    barrier[CROWDED] = crowded


@njit
def wait(barrier, n_threads):
    """Return when all threads have come here; False if they need not come any more.

    Pieces of work that are taken afterwards are counted anew.
    """
    if n_threads == 1:
        return True
    generation = load(barrier, GENERATION)
    if add(barrier, ARRIVED, 1) == n_threads - 1:
        barrier[TAKEN] = 0
        add(barrier, ARRIVED, -n_threads)
        add(barrier, GENERATION, 1)
        return True
    crowded = load(barrier, CROWDED) != 0
    looks = PATIENCE if crowded else 0
    while load(barrier, GENERATION) == generation:
        if load(barrier, CALLED_OFF) != 0:
            return False
        looks += 1
        if crowded and looks > PATIENCE + YIELDS:
            nap()
        elif looks > PATIENCE:
            give_way()
    return True


@inline
def is_called_off(barrier):
    """Whether nobody waits for what is being computed: what comes of it is good for nothing."""
    return load(barrier, CALLED_OFF) != 0


@njit
def next_piece(barrier, piece, n_threads):
    """The piece of work for a thread that has done `piece`, its first being the thread's number.

    Whoever is free takes it: processors differ in speed, by what they are and by their neighbours.
    """
    if n_threads == 1:
        return piece + 1
    return n_threads + add(barrier, TAKEN, 1)


@njit
def share_of(thread, n_threads, n, unit):
    """What one thread takes of n things, in runs of `unit` if it can be: from where to where."""
    first = n // unit * thread // n_threads * unit
    if thread + 1 == n_threads:
        return first, n
    return first, n // unit * (thread + 1) // n_threads * unit


@intrinsic
def load(typingctx, array, index):
    """array[index], as other threads have left it."""

    def codegen(context, builder, signature, arguments):
        pointer = _address(context, builder, signature, arguments)
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(array, types.intp), codegen


@intrinsic
def add(typingctx, array, index, number):
    """array[index] += number, of which other threads see nothing half done; the old value."""

    def codegen(context, builder, signature, arguments):
        pointer = _address(context, builder, signature, arguments)
        return builder.atomic_rmw("add", pointer, arguments[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread of the machine run, if one wants to."""

    def codegen(context, builder, signature, arguments):
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), []), _GIVE_WAY
        )
        builder.call(function, [])
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def nap(typingctx):
    """Leave the processor, even if no other thread wants to run on it."""

    def codegen(context, builder, signature, arguments):
        name, duration = _NAP
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), [ir.IntType(32)]), name
        )
        builder.call(function, [ir.Constant(ir.IntType(32), duration)])
        return context.get_dummy_value()

    return types.none(), codegen


def _address(context, builder, signature, arguments):
    array = make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


if llvmlite.binding.address_of_symbol("sched_yield"):
    _GIVE_WAY, _NAP = "sched_yield", ("usleep", NAP)
else:  # Windows, whose unit is the millisecond
    _GIVE_WAY, _NAP = "SwitchToThread", ("Sleep", 1)

if numba.config.DISABLE_JIT:

    def load(barrier, place):
        """As above."""
        return barrier[place]

    def wait(barrier, n_threads):
        """Interpreted kernels run in one thread."""
        return True

    def next_piece(barrier, piece, n_threads):
        """As above, for one thread."""
        return piece + 1
