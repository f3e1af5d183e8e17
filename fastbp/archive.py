"""Named arrays in a file, as `np.savez` writes them.

Nothing in a file is taken on trust: what it holds is known, and is no more than the file itself,
before any of it is read or allocated.
"""

import io
import math
import os
import struct
import sys
import zipfile
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from typing import NamedTuple

import numpy as np

from fastbp import paths

#: Arrays in a file, at most: of an ensemble of a thousand members and more.
MOST_ARRAYS = 2**15

#: Bytes that an array takes in the list of them at the end of a file, at most.
MOST_LISTED = 256

#: That list is followed by this, and in files of 4 GiB and more first by a larger one.
END, END_64, LOCATOR_64 = (
    struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL"),
)  # fmt: skip


# ------------------------------------------------------------------------------- writing


def write(path, arrays):
    """Write arrays to a file, whose place is taken only when all is written.

    Parameters
    ----------
    path : path-like or binary file
    arrays : dict of str to ndarray
    """
    if hasattr(path, "write"):
        whole = io.BytesIO()  # streams say that they can be gone back in, and some can't
        _savez(whole, arrays)
        path.write(whole.getbuffer())
    else:
        with paths.replacing(path) as file:  # np.savez would add .npz to the name it is given
            _savez(file, arrays)


def _savez(file, arrays):
    """As NumPy's. Interrupted where an array ends, it can't close the archive, and says that."""
    before = sys.exc_info()[1]  # of who saves what there is after an error
    try:
        np.savez(file, **arrays)
    except ValueError as error:
        cause = error.__context__
        raise error if cause is before else cause from None


# ------------------------------------------------------------------------------- reading


class Stored(NamedTuple):
    """An array in a file, which has not been read."""

    shape: tuple
    dtype: np.dtype
    read: Callable  # () -> ndarray, in this machine's byte order


@contextmanager
def opened(path):
    """The arrays in a file, a `Stored` by name, to be read within the ``with`` block.

    Parameters
    ----------
    path : path-like or binary file

    Raises
    ------
    ValueError
        If there is anything in it that `write` doesn't write: compressed arrays, objects, lengths
        that don't agree, more than MOST_ARRAYS.
    OSError
        If it can't be opened.
    """
    with nullcontext(path) if hasattr(path, "read") else open(paths.name_of(path), "rb") as stream:
        size = _check_end(stream)
        with zipfile.ZipFile(stream) as archive:
            yield _stored(archive, size)


def _check_end(stream):
    """The file's size, if its end says that it lists arrays, and not too many."""
    size = stream.seek(0, os.SEEK_END)
    _, _, _, _, n, n_bytes, _, comment = _at(stream, size - END.size, END, b"PK\5\6")
    before = size - END.size - LOCATOR_64.size
    with suppress(ValueError):
        _at(stream, before, LOCATOR_64, b"PK\6\7")
        *_, n, n_bytes, _ = _at(stream, before - END_64.size, END_64, b"PK\6\6")
    if comment or n > MOST_ARRAYS or n_bytes > n * MOST_LISTED:
        raise ValueError(f"The file says that it holds {n} arrays, listed in {n_bytes} bytes.")
    return size


def _at(stream, position, struct, begins):
    """What stands at a position."""
    stream.seek(max(position, 0))
    found = stream.read(struct.size)
    if len(found) < struct.size or not found.startswith(begins):
        raise ValueError("The file doesn't end as an archive does.")
    return struct.unpack(found)


def _stored(archive, size):
    """A `Stored` for each array, by name."""
    members = archive.infolist()
    if sum(member.file_size for member in members) > size:
        raise ValueError("The arrays are larger than the file.")
    arrays = {}
    for member in members:
        as_it_is = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
        if not as_it_is or member.compress_size != member.file_size:
            raise ValueError(f"{member.filename} is compressed or encrypted.")
        name = member.filename.removesuffix(".npy")
        if name == member.filename or name in arrays:
            raise ValueError(f"{member.filename} is no array, or there twice.")
        arrays[name] = _described(archive, member)
    return arrays


def _check_kind(name, shape, dtype):
    if dtype.kind not in "fiu" or min(shape, default=0) < 0 or len(shape) > 2:
        raise ValueError(f"{name} holds no numbers, but {dtype} of shape {shape}.")


def in_memory(arrays):
    """As `opened` yields those of a file that `write` would make of them."""
    for name, array in arrays.items():
        _check_kind(name, array.shape, array.dtype)
    return {name: Stored(a.shape, a.dtype, lambda a=a: a) for name, a in arrays.items()}


def _described(archive, member):
    """What a member says of itself, if it is as long as it says."""
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{member.filename} is not of the simple kind.")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        begin = file.tell()
    n = math.prod(shape)
    _check_kind(member.filename, shape, dtype)
    if n * dtype.itemsize != member.file_size - begin:
        raise ValueError(f"{member.filename} is not as long as it says.")

    def read():
        flat = np.frombuffer(archive.read(member), dtype, n, begin)
        whole = flat.reshape(shape, order="F" if is_fortran else "C")
        return whole.astype(dtype.newbyteorder("="), order="C")

    return Stored(shape, dtype, read)
