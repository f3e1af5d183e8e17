"""Models on disk: arrays and JSON in one ``.npz``, and nothing that could be executed."""

import json
import zipfile

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
    header = json.dumps({"format": FORMAT, **fields})
    if hasattr(path, "write"):
        np.savez(path, header=np.array(header), **arrays)
    else:
        with open(path, "wb") as file:  # np.savez would add .npz to the name it is given
            np.savez(file, header=np.array(header), **arrays)


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
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        fields = json.loads(str(arrays.pop("header")))
        known = fields.pop("format")
    except (KeyError, TypeError, AttributeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a model that fastbp saved.") from error
    if known != FORMAT:
        raise ValueError(f"{path} has format {known!r}; this version of fastbp reads {FORMAT!r}.")
    return fields, arrays
