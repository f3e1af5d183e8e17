"""NumPy's and SciPy's BLAS, where its threads gain nothing."""

import threading
from contextlib import contextmanager
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController


@cache
def controller():
    """Of the BLAS libraries of this process."""
    return ThreadpoolController()


class _Limit:
    """How many ask for it, and what has been changed for them."""

    lock, users, changed = threading.Lock(), 0, None


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
    with _Limit.lock:
        _Limit.users += 1
        if _Limit.users == 1:
            _Limit.changed = controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.users -= 1
            if _Limit.users == 0:
                _Limit.changed.restore_original_limits()
