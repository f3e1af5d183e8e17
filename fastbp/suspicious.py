"""What NumPy would make numbers of without a word: it is refused, with advice."""

from contextlib import contextmanager
from datetime import date, time, timedelta

import numpy as np
from scipy import sparse

#: What stands for a moment or a duration in an array of objects. (A datetime is a date.)
TEMPORAL = (date, time, timedelta, np.datetime64, np.timedelta64)


@contextmanager
def large_numbers():
    """Where scikit-learn looks at numbers: it asks by a sum whether all are finite, and Python's
    integers have no end."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except OverflowError as error:
        raise ValueError("There are integers that are too large for float64.") from error


def check_values(A, name):
    """A itself, or an error if it holds dates or durations, which would become the integers behind
    them, is masked, has no columns, or fields instead of these. Of a sparse matrix a whole view."""
    if A is None or (type(A) is np.ndarray and A.dtype.kind in "fiub"):
        return A
    if sparse.issparse(A):
        return whole(A, name)
    if hasattr(A, "collect") and not hasattr(A, "__array__"):
        raise TypeError(f"{name} is not computed yet: collect() it.")
    if hasattr(A, "columns") and getattr(A, "shape", ())[1:] == (0,):
        raise ValueError(f"{name} has no columns.")
    if (where := _temporal(A)) is not None:
        raise ValueError(
            f"{name} holds dates, times or durations{where}. Make numbers of them, in a unit and "
            "from a moment of your choice, such as (t - t.min()) / np.timedelta64(1, 'h'), and "
            "leave out rows where they are missing."
        )
    if (n_masked := _masked(A)) > 0:
        raise ValueError(
            f"{name} has {n_masked} masked values, and numbers below the mask mean nothing. Leave "
            "these rows out, or fill them in before."
        )
    if getattr(getattr(A, "dtype", None), "names", None):
        raise ValueError(
            f"{name} is a structured array. Make columns of its fields: "
            "numpy.lib.recfunctions.structured_to_unstructured does it."
        )
    return A if name == "X" else of_objects(A)


def of_objects(A):
    """A vector of Python's objects as float64, its holes as NaN: among objects scikit-learn doesn't
    look for None or infinity, and stumbles over pandas' NA. What are no numbers are its to say."""
    objects = _objects(A)
    if objects is None or objects.dtype.kind != "O":
        return A
    holes = [value is None or type(value).__name__ == "NAType" for value in objects.flat]
    filled = np.where(
        np.fromiter(holes, bool, objects.size).reshape(objects.shape), np.nan, objects
    )
    try:
        return filled.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return A


def whole(A, name):
    """The same sparse matrix, of whose every entry it is sure that it lies in it: SciPy believes
    what it was made of, and reads and writes beyond its arrays."""
    if A.format == "coo":
        parts = A.data, (A.row, A.col)
    elif A.format in ("csr", "csc", "bsr"):
        parts = A.data, A.indices, A.indptr
    else:
        return A
    kind = "matrix" if isinstance(A, sparse.spmatrix) else "array"
    try:
        view = getattr(sparse, f"{A.format}_{kind}")(parts, A.shape)
        if A.format != "coo":
            view.check_format()
    except ValueError as error:
        raise ValueError(f"{name} is no sparse matrix as SciPy has them: {error}") from None
    return view


def _temporal(A):
    """Where there are dates, times or durations: words for it, or None if there are none."""
    dtypes = getattr(A, "dtypes", None)  # of a frame, one for each column
    if dtypes is not None and hasattr(A, "columns"):
        for column, dtype in zip(A.columns, dtypes, strict=True):
            if _is_temporal(dtype):
                return f" in column {column!r}, of dtype {dtype}"
    elif hasattr(A, "dtype") and _is_temporal(A.dtype):
        return f", its dtype is {A.dtype}"
    objects = _objects(A)
    if objects is not None and any(isinstance(value, TEMPORAL) for value in objects.flat):
        return " among its objects"
    return None


def _is_temporal(dtype):
    """Of NumPy, pandas, or polars."""
    if getattr(dtype, "kind", "") in ("M", "m"):
        return True
    if isinstance(dtype, np.dtype):  # its name takes longer to be made than all else
        return False
    if hasattr(dtype, "is_temporal"):
        return dtype.is_temporal()
    return str(dtype).startswith(("period", "date", "time", "duration"))


def _objects(A):
    """An array of what A holds, if these are objects of Python, else None."""
    if isinstance(A, list | tuple):
        try:
            A = np.asarray(A)
        except ValueError:  # rows of different lengths, as scikit-learn will say
            return None
        return A if A.dtype.kind in "OMm" else None
    if getattr(getattr(A, "dtype", None), "kind", "") == "O":
        return np.asarray(A)
    return None


def _masked(A):
    """How many values are masked, of an array or of rows in a list."""
    if isinstance(A, np.ma.MaskedArray):
        return np.ma.count_masked(A)
    if isinstance(A, list | tuple):
        return sum(np.ma.count_masked(row) for row in A if isinstance(row, np.ma.MaskedArray))
    return 0
