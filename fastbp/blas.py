"""NumPy's and SciPy's BLAS, where its threads gain nothing."""

import os
import threading
from contextlib import contextmanager
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from fastbp.kernels.machine.compile import ctrl_c_waits


@cache
def controller():
    """Of the BLAS libraries of this process."""
    return ThreadpoolController()


class _Limit:
    """Which threads ask for it, and what has been changed for them."""

    lock, users, changed = threading.RLock(), [], None

    @classmethod
    def begin(cls):
        with cls.lock:
            if not cls.users:
                cls.changed = controller().limit(limits=1, user_api="blas")
            cls.users.append(threading.get_ident())

    @classmethod
    def end(cls):
        with cls.lock:
            cls.users.remove(threading.get_ident())
            if not cls.users:
                cls.changed.restore_original_limits()

    @classmethod
    def begin_in_child(cls):
        """A forked process has only this one of its parent's threads."""
        cls.users[:] = [user for user in cls.users if user == threading.get_ident()]
        cls.lock.release()


if hasattr(os, "register_at_fork"):  # a lock that another thread holds then nobody gives back
    os.register_at_fork(
        before=_Limit.lock.acquire,
        after_in_parent=_Limit.lock.release,
        after_in_child=_Limit.begin_in_child,
    )


#: Numbers in a matrix whose product with a vector OpenBLAS computes in one thread anyway. (To ask
#: for that takes 17 µs.)
FEW = 9000


@contextmanager
def one_thread_in_blas(size=np.inf):
    """Meanwhile products of a few numbers don't wait for other threads.

    SciPy's L-BFGS calls BLAS for products of ten numbers; on a busy machine its threads make each
    iteration take 15 ms instead of 0.1. First weights take products of 512 rows: OpenBLAS's threads
    go on waiting for more of these for a tenth of a second, in which they keep a processor busy: a
    third of the processor time of a fit of 1,000 rows. The number is the process's: whoever is last
    sets it back. `size` is that of a product with a vector, if there is nothing else.
    """
    if size <= FEW:
        yield
        return
    has_begun = False
    try:
        with ctrl_c_waits():
            _Limit.begin()
            has_begun = True
        yield
    finally:
        if has_begun:
            with ctrl_c_waits():
                _Limit.end()
