"""Models on disk: arrays and JSON in one ``.npz``, and nothing that could be executed."""

import json
from contextlib import nullcontext

import numpy as np

#: Written into each file, and refused where unknown.
FORMAT = "fastbp-model-1"


def write(path, fields, arrays):
    """Write a model.

    Parameters
    ----------
    path : path-like or binary file
    fields : dict
        What JSON can hold.
    arrays : dict of str to ndarray
    """
    text = json.dumps({"format": FORMAT, **fields}, default=_plain)
    arrays = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    if hasattr(path, "write"):
        np.savez(path, **arrays)
    else:
        with open(path, "wb") as file:  # np.savez would add .npz to the name it is given
            np.savez(file, **arrays)


def _opened(path):
    """A file to read from; of a path, one that is closed even if NumPy can't make sense of it."""
    return nullcontext(path) if hasattr(path, "read") else open(path, "rb")


def _plain(number):
    """A NumPy number as Python's: what a search over parameters leaves in them."""
    if isinstance(number, np.generic | np.ndarray):
        return number.tolist()
    raise TypeError(f"{number!r} can't be saved.")


def read(path):
    """Read a model that `write` wrote.

    Returns
    -------
    fields : dict
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If `path` isn't such a file, or one of a later format.
    """
    try:
        with _opened(path) as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        fields = json.loads(arrays.pop("header").tobytes())
        known = fields.pop("format")
    except OSError:
        raise
    except Exception as error:  # a damaged archive may fail in any of a dozen ways
        raise ValueError(f"{path} is not a model that fastbp saved.") from error
    if known != FORMAT:
        raise ValueError(f"{path} has format {known!r}; this version of fastbp reads {FORMAT!r}.")
    return fields, arrays
