"""What NumPy would make numbers of without a word: it is refused, with advice."""

from contextlib import contextmanager
from datetime import date, time, timedelta
from itertools import chain, repeat
from operator import is_

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
    if (n := n_masked(A)) > 0:  # before NumPy makes NaN of them, with a warning
        raise ValueError(
            f"{name} has {n} masked values, and numbers below the mask mean nothing. Leave "
            "these rows out, or fill them in before."
        )
    if (where := _temporal(A)) is not None:
        raise ValueError(
            f"{name} holds dates, times or durations{where}. Make numbers of them, in a unit and "
            "from a moment of your choice, such as (t - t.min()) / np.timedelta64(1, 'h'), and "
            "leave out rows where they are missing."
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
    for column, dtype in _columns(A):
        if _is_temporal(dtype):
            return f" in column {column!r}, of dtype {dtype}"
    if not hasattr(A, "columns"):
        name = "dtype" if hasattr(A, "dtype") else "type"  # of Arrow
        if _is_temporal(dtype := getattr(A, name, None)):
            return f", its {name} is {dtype}"
    objects = _objects(A)
    if objects is not None and any(isinstance(value, TEMPORAL) for value in objects.flat):
        return " among its objects"
    return None


def _columns(A):
    """Name and dtype of each column of a frame, or of a table of Arrow; else none."""
    if _is_of_arrow(A):
        return zip(A.schema.names, A.schema.types, strict=True)
    if hasattr(A, "columns") and (dtypes := getattr(A, "dtypes", None)) is not None:
        return zip(A.columns, dtypes, strict=True)
    return ()


def _is_of_arrow(A):
    """Whether it is a table of Arrow, or a batch of its rows."""
    return not hasattr(A, "dtypes") and hasattr(getattr(A, "schema", None), "types")


def _is_temporal(dtype):
    """Of NumPy, pandas, polars, or Arrow; and what is encoded as such a type, or has one within."""
    if getattr(dtype, "kind", "") in ("M", "m"):
        return True
    if dtype is None or isinstance(dtype, np.dtype):  # its name takes longer to be made than all
        return False
    if hasattr(dtype, "is_temporal"):
        return dtype.is_temporal()
    if str(dtype).startswith(("period", "date", "time", "duration", "month_day")):
        return True
    return any(map(_is_temporal, _within(dtype)))


def _within(dtype):
    """The types that one of pandas or Arrow stores, encodes or nests."""
    if (categories := getattr(dtype, "categories", None)) is not None:
        yield categories.dtype
    for name in ("pyarrow_dtype", "subtype", "value_type", "storage_type"):
        yield getattr(dtype, name, None)
    for number in range(getattr(dtype, "num_fields", 0)):
        yield dtype.field(number).type


def _objects(A):
    """An array of what A holds, if these are objects of Python, else None."""
    if hasattr(A, "columns"):
        dtypes = getattr(A, "dtypes", ())
        are_there = any(isinstance(dtype, np.dtype) and dtype.kind == "O" for dtype in dtypes)
        return np.asarray(A) if are_there else None
    if hasattr(A, "dtype"):
        return np.asarray(A) if getattr(A.dtype, "kind", "") == "O" else None
    try:  # a list, or whatever else NumPy makes an array of
        A = np.asarray(A)
    except (TypeError, ValueError, NotImplementedError):  # as scikit-learn will say
        return None
    return A if A.dtype.kind in "OMm" else None


def n_masked(A):
    """How many values are masked: of an array, of rows in a list, or of these rows' numbers."""
    if isinstance(A, np.ma.MaskedArray):
        return np.ma.count_masked(A)
    if isinstance(A, list | tuple):
        kinds = set(map(type, A))
        if kinds <= {list, tuple}:
            return sum(map(is_, chain.from_iterable(A), repeat(np.ma.masked)))
        may_be = any(issubclass(kind, list | tuple | np.ma.MaskedArray) for kind in kinds)
        return sum(map(n_masked, A)) if may_be else 0
    if getattr(getattr(A, "dtype", None), "kind", "") == "O":
        return sum(map(is_, np.asarray(A).flat, repeat(np.ma.masked)))
    return 0
