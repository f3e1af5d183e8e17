"""Tables as kernels take them: in one precision, standardised if asked, and finite."""

import numpy as np
from scipy import sparse

from fastbp import entries
from fastbp.measuring import CHUNK, slices

TOO_LARGE = "Values are too large for {}. Pass dtype='float64', or rescale the column."

#: Values of a sparse table that are dense at a time.
VALUES_AT_A_TIME = 2**21


def converted(A, dtype, mean=None, scale=None, bounds=None):
    """A as the kernels take it: C-contiguous, read-only, in `dtype`, standardised if asked.

    The result is a view of `A` where `A` is all of that already. Otherwise it is the one
    working copy of a fit: a conversion for every sample of every epoch costs more.
    """
    if mean is None and is_as_taken(A, dtype):
        out = A.view()
    else:
        size = min(CHUNK, max(1, A.shape[0]))
        if sparse.issparse(A):  # of a dense table what is temporary is small beside it
            size = min(size, max(1, VALUES_AT_A_TIME // A.shape[1]))
        out, room = np.empty(A.shape, dtype), np.empty((size, A.shape[1]))
        for rows in slices(A.shape[0], size):
            chunk = A[rows].toarray() if sparse.issparse(A) else A[rows]
            chunk = chunk if bounds is None else np.clip(chunk, *bounds)
            with np.errstate(over="ignore"):  # reported below
                if mean is None:
                    out[rows] = chunk
                else:
                    # In float64: raw values may be beyond float32, or far from 0.
                    standard = np.subtract(chunk, mean, out=room[: len(chunk)])
                    standard /= scale
                    out[rows] = standard
        check_finite(out)
    out.flags.writeable = False
    return out


def is_as_taken(A, dtype):
    """Whether kernels take A itself, and no copy."""
    is_of_dtype = isinstance(A, np.ndarray) and A.dtype == dtype
    return is_of_dtype and A.flags.c_contiguous and A.flags.aligned


def entries_of(A, dtype, mean=None, scale=None):
    """As `converted`, of a sparse table, whose entries are all that is looked at."""
    with np.errstate(over="ignore"):  # reported below
        out = entries.entries_of(A, dtype, mean, scale)
    check_finite(out.rows.data)
    check_finite(out.rows.centre)
    return out


def check_finite(converted):
    """An error, if these numbers are beyond their precision."""
    if converted.size and not (np.isfinite(converted.min()) and np.isfinite(converted.max())):
        raise ValueError(TOO_LARGE.format(converted.dtype.name))


def within(columns, limit):
    """The same, but no further from 0 than the limit: read-only, a copy only if some are."""
    if columns.size and max(columns.max(), -columns.min()) > limit:
        columns = np.clip(columns, -limit, limit)
        columns.flags.writeable = False
    return columns
