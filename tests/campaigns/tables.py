"""Random tables, in all forms in which users hand them over."""

import tempfile

import numpy as np
import pandas as pd
from scipy import sparse


def numbers(random, shape):
    """Of some distribution, float64 and of magnitude 1."""
    kind = random.choice(["normal", "uniform", "integers", "two values", "heavy tails", "same"])
    if kind == "normal":
        return random.normal(size=shape)
    if kind == "uniform":
        return random.uniform(-1, 1, shape)
    if kind == "integers":
        return random.integers(-9, 10, shape).astype(float)
    if kind == "two values":
        return (random.random(shape) < 0.3).astype(float)
    if kind == "heavy tails":
        return random.standard_t(1.5, shape)
    return np.full(shape, random.normal())


def in_units(random, A, most=30):
    """The same in another unit, and with an offset, for each column or all."""
    if random.random() < 0.5:
        return A
    n = A.shape[1] if A.ndim == 2 and random.random() < 0.5 else 1
    A = A * 10.0 ** random.uniform(-most, most, n)
    if random.random() < 0.4:
        A = A + np.abs(A).max() * random.choice([0.1, 10, 1e4, 1e8, -1e3])
    return A


def weights(random, n):
    """Of samples, or None; some are none that can be trained on."""
    kind = random.choice(
        [None, "uniform", "zeros", "none", "tiny", "huge", "ratios", "one", "integers", "ones"],
        p=[0.4, 0.1, 0.15, 0.02, 0.05, 0.05, 0.08, 0.03, 0.06, 0.06],
    )
    if kind is None:
        return None
    w = random.uniform(0.1, 2, n)
    if kind == "zeros":
        w[random.random(n) < random.uniform(0, 0.95)] = 0
    elif kind == "none":
        w[:] = 0
    elif kind == "tiny":
        w *= 10.0 ** random.uniform(-320, -30)
    elif kind == "huge":
        w *= 10.0 ** random.uniform(30, 307)
    elif kind == "ratios":
        w = 10.0 ** random.uniform(-40, 40, n)
    elif kind == "one":
        w[:] = 0
        w[random.integers(n)] = 1
    elif kind == "integers":
        w = random.integers(0, 4, n)
    elif kind == "ones":
        w = np.ones(n, random.choice(["f4", "i8", "?"]))
    return w


def strided(A):
    room = np.full([2 * n + 1 for n in A.shape], np.nan if A.dtype.kind == "f" else 1, A.dtype)
    view = room[tuple(slice(1, None, 2) for _ in A.shape)]
    view[...] = A
    return view


def unaligned(A):
    room = np.empty(A.nbytes + 1, np.uint8)
    view = room[1:].view(A.dtype).reshape(A.shape)
    view[...] = A
    return view


def read_only(A):
    A = A.copy()
    A.flags.writeable = False
    return A


def mapped(A):
    """In memory that a file's pages stand for."""
    with tempfile.TemporaryFile() as file:
        file.write(np.ascontiguousarray(A).tobytes() or b"\0")
        file.flush()
        return np.memmap(file, A.dtype, "c", shape=A.shape)


#: Forms that say the same numbers, of float64.
DENSE = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": strided,
    "backwards": lambda A: np.ascontiguousarray(A[::-1])[::-1],
    "columns backwards": lambda A: np.ascontiguousarray(A[..., ::-1])[..., ::-1],
    "repeated": lambda A: np.broadcast_to(A[:1], A.shape),
    "read-only": read_only,
    "unaligned": unaligned,
    "mapped": mapped,
    "big-endian": lambda A: A.astype(">f8"),
    "float32": np.float32,
    "float32 F": lambda A: np.asfortranarray(A, np.float32),
    "float32 strided": lambda A: strided(np.float32(A)),
    "float32 big-endian": lambda A: A.astype(">f4"),
    "float32 read-only": lambda A: read_only(np.float32(A)),
    "float16": np.float16,
    "longdouble": np.longdouble,
    "objects": lambda A: A.astype(object),
    "list": lambda A: A.tolist(),
    "masked": np.ma.masked_array,
    "frame": lambda A: pd.DataFrame(A, columns=[f"c{j}" for j in range(A.shape[1])]),
    "frame without names": pd.DataFrame,
    "mixed frame": lambda A: pd.DataFrame(
        {f"c{j}": np.float32(A[:, j]) if j % 2 else A[:, j] for j in range(A.shape[1])}
    ),
    "nullable frame": lambda A: pd.DataFrame(A).astype("Float64"),
    "int64": np.int64, "int8": np.int8, "uint16": np.uint16, "bool": np.bool_,
}  # fmt: skip

SPARSE = {
    "csr": sparse.csr_array,
    "csc": sparse.csc_array,
    "coo": sparse.coo_array,
    "csr matrix": sparse.csr_matrix,
    "float32 csr": lambda A: sparse.csr_array(np.float32(A)),
    "csr with zeros": lambda A: with_zeros(sparse.csr_array(A)),
    "csr of int64": lambda A: wide_indices(sparse.csr_array(A)),
}

#: Of y, or of weights.
VECTORS = {
    "C": np.ascontiguousarray,
    "strided": strided,
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "list": lambda a: a.tolist(),
    "series": lambda a: pd.Series(a) if a.ndim == 1 else pd.DataFrame(a),
    "F": np.asfortranarray,
}


def with_zeros(A):
    """Some are stored."""
    A.data[: len(A.data) // 3] = 0
    return A


def wide_indices(A):
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


def in_form(random, A, forms):
    """The numbers in one of these forms, as far as it can hold them, and its name."""
    name = str(random.choice(list(forms)))
    with np.errstate(all="ignore"):
        return forms[name](A), name


def plain(A):
    """The same numbers as whoever looks at them first would have them: C-ordered, of this machine's
    byte order, float64 if not float32. Sparse ones stay sparse."""
    if sparse.issparse(A):
        A = sparse.csr_array(A, copy=True)
        return A.astype(np.float32 if A.dtype == np.float32 else np.float64)
    if isinstance(A, pd.DataFrame | pd.Series):
        A = A.to_numpy(np.float64) if A.ndim == 2 else A.to_numpy()
    A = np.asarray(A)
    if A.ndim == 2 and not A.dtype.isnative:  # as scikit-learn has it
        A = A.astype(np.float64)
    to = A.dtype.newbyteorder("=") if A.ndim == 1 or A.dtype.kind == "f" else np.dtype(float)
    to = np.dtype(float) if to.kind == "O" or to.itemsize not in (4, 8) else to
    return np.array(A, to, order="C")


def contents_of(A):
    """All that an array, a frame or a list holds, to be compared."""
    if sparse.issparse(A):
        parts = (A.row, A.col) if A.format == "coo" else (A.indices, A.indptr)
        return tuple(part.copy() for part in (A.data, *parts))
    if A is None or isinstance(A, list):
        return repr(A)
    return np.array(A, object if isinstance(A, pd.DataFrame) else None)
