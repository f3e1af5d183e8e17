"""Models on disk: arrays and JSON in one ``.npz``, and nothing that could be executed."""

import json
import warnings
from contextlib import ExitStack, contextmanager
from copy import copy
from numbers import Integral, Real
from os import PathLike

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_is_fitted

from fastbp import archive, callers, paths
from fastbp.contents import contents, is_text, not_kept, restored
from fastbp.contents_of_ensemble import contents_of_ensemble, restored_ensemble

#: Written into each file, and refused where unknown: by what a file holds.
FORMAT, ENSEMBLE = "fastbp-model-2", "fastbp-ensemble-2"


class OtherFormat(ValueError):
    """A file of fastbp's, but of another format than the one asked for: `format`."""

    def __init__(self, message, format):
        super().__init__(message)
        self.format = format


class Saved:
    """`save` and `load` of an estimator, whose `_format` says which."""

    def save(self, path, *, include_optimizer=True):
        """Write the fitted model to a file, as arrays and JSON.

        The file is replaced as a whole, when all is on the disk: whatever happens meanwhile, there
        is the old model or the new one.

        A file has no functions, and no generators: where `scoring` or `random_state` is one, a
        warning says so, and the loaded model has None there. Nor has it callbacks.

        Parameters
        ----------
        path : str or path-like
            Written as it is named; ``.npz`` is customary.
        include_optimizer : bool, default=True
            With what the optimiser carries from step to step: `partial_fit` and `warm_start` then
            go on with the loaded model as if they had never stopped, to the last bit (`fit` by a
            number for `random_state`). Without, the file has about half the size ("adam", float32),
            and they begin with a new optimiser.

        Raises
        ------
        ValueError
            If what has been set since the fit makes it no whole model, which `load` would refuse:
            nothing is written.
        """
        check_is_fitted(self)
        of_now = copy(self)  # another thread may be fitting
        contents_of, restored_of = FORMATS[self._format]
        fields, arrays = contents_of(of_now, include_optimizer)
        _check_it_loads(type(self), restored_of, fields, arrays)
        if lost := not_kept(of_now):
            named = {n: getattr(v, "__qualname__", type(v).__name__) for n, v in lost.items()}
            words = " and ".join(f"{name}={value}" for name, value in named.items())
            warnings.warn(
                f"A file can't hold {words}: the loaded model has None there. Set it again before "
                "that is trained on.",
                UserWarning,
                stacklevel=callers.stacklevel(),
            )
        write(path, fields, arrays, self._format)

    @classmethod
    def load(cls, path):
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        The fitted estimator.

        Raises
        ------
        ValueError
            If the file is not one of fastbp's, or of a version that is not known here.
        """
        with opened(path, cls._format) as (fields, stored):
            try:
                return FORMATS[cls._format][1](cls, fields, stored)
            except OSError:
                raise
            except Exception as error:  # a hostile file may fail in any of a dozen ways
                what = "is not a whole model of this version of fastbp"
                raise ValueError(f"{path} {what}: {error}") from error


def _check_it_loads(cls, restored_of, fields, arrays):
    """An error, if `load` would refuse the file that is to be written, over a good one perhaps."""
    as_read = json.loads(json.dumps(fields, default=_plain))
    try:
        restored_of(cls, as_read, archive.in_memory(arrays))
    except InvalidParameterError:  # which says it as a fit does
        raise
    except Exception as error:  # as in `load`
        raise ValueError(f"The model can't be saved, it is not a whole one: {error}") from error


def write(path, fields, arrays, format=FORMAT):
    """Write a model.

    Parameters
    ----------
    path : path-like or binary file
    fields : dict
        What JSON can hold.
    arrays : dict of str to ndarray
    format : str
    """
    text = json.dumps({"format": format, **fields}, default=_plain)
    if len(arrays) >= archive.MOST_ARRAYS:
        raise ValueError(f"{len(arrays):,} arrays are more than a file may hold.")
    archive.write(path, {"header": np.frombuffer(text.encode(), np.uint8), **arrays})


def _plain(number):
    """A NumPy number as Python's, which a search over parameters leaves in them; a range as its
    list."""
    if isinstance(number, Integral):
        return int(number)
    if isinstance(number, Real):  # a long double's `tolist` is a long double
        return float(number)
    if isinstance(number, np.bool_):
        return bool(number)
    if isinstance(number, np.ndarray):
        return number.tolist()
    if isinstance(number, range):
        return list(number)
    raise TypeError(f"{number!r} can't be saved.")


def check_can_be_read(path):
    """Raise for what can be read only once, or may never end: an archive's list is at its end."""
    if isinstance(path, str | bytes | PathLike):
        paths.check_is_file(path)
    elif hasattr(path, "seekable") and not path.seekable():
        raise ValueError(f"{path} can't be gone back in; pass io.BytesIO of all that it holds.")


@contextmanager
def opened(path, format=FORMAT):
    """A model that `write` wrote in this format, to be read within the ``with`` block.

    Yields
    ------
    fields : dict
    stored : dict of str to archive.Stored

    Raises
    ------
    ValueError
        If `path` isn't such a file, or one of another format.
    """
    check_can_be_read(path)
    with ExitStack() as stack:
        try:
            stored = stack.enter_context(archive.opened(path))
            fields = json.loads(stored.pop("header").read().tobytes())
            known = fields.pop("format")
        except OSError:
            raise
        except Exception as error:  # a damaged archive may fail in any of a dozen ways
            raise ValueError(f"{path} is not a model that fastbp saved.") from error
        if known != format:
            other = {FORMAT: "BackpropRegressor", ENSEMBLE: "BackpropEnsembleRegressor"}
            other = other.get(known) if is_text(known) else None
            advice = f"; {other}.load reads it" if other else ""
            told = f"{path} has format {known!r}, this here reads {format!r}{advice}."
            raise OtherFormat(told, known)
        yield fields, stored


#: By format: what to write of an estimator, and the estimator of what was read.
FORMATS = {
    FORMAT: (contents, restored),
    ENSEMBLE: (contents_of_ensemble, restored_ensemble),
}
