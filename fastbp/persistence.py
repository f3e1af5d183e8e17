"""Models on disk: arrays and JSON in one ``.npz``, and nothing that could be executed."""

import json
from contextlib import nullcontext

import numpy as np

from fastbp import encodings
from fastbp.encodings import Encoding
from fastbp.fitting.learnt import Learnt
from fastbp.scaling import Scaling

#: Written into each file, and refused where unknown.
FORMAT = "fastbp-model-2"

#: What is written besides coefs_ and intercepts_: what a model needs to predict and resume.
SAVED = (
    "n_features_in_", "n_outputs_", "n_layers_", "n_iter_", "t_", "out_activation_", "kernel_",
    "max_iter_", "batch_size_", "learning_rate_init_", "weight_decay_",
    "loss_", "best_loss_", "loss_curve_", "validation_loss_curve_", "validation_scores_",
    "best_validation_score_",
)  # fmt: skip


def save(model, path):
    """Write a fitted model; see `BackpropRegressor.save`."""
    params = model.get_params(deep=False)
    if not isinstance(params["random_state"], (int, np.integer, type(None))):
        params["random_state"] = None  # a generator's state is not part of a model
    learnt = model._learnt
    learnt.network()  # or an error, if the weights are none
    fields = {
        "params": params,
        "training_dtype": learnt.dtype.name,
        "activations": learnt.activations,
        "loss": learnt.loss,
    }
    fields |= {name: getattr(model, name) for name in SAVED}
    if hasattr(model, "feature_names_in_"):
        fields["feature_names_in_"] = model.feature_names_in_.tolist()
    arrays = {f"coefs_{l}": W for l, W in enumerate(learnt.coefs)}
    arrays |= {f"intercepts_{l}": b for l, b in enumerate(learnt.intercepts)}
    if learnt.scaling is not None:
        arrays |= learnt.scaling._asdict()
    if learnt.encoding is not None:
        fields["encoding"], *parts = learnt.encoding
        arrays |= {f"encoding_{n}": a for n, a in zip(Encoding._fields[1:], parts, strict=True)}
    write(path, fields, arrays)


def load(cls, path):
    """A model of class `cls` that `save` wrote; see `BackpropRegressor.load`."""
    fields, arrays = read(path)
    try:
        return _restored(cls, fields, arrays)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole model of this version of fastbp.") from error


def _restored(cls, fields, arrays):
    """The model of what `save` wrote; whatever is missing is an error."""
    params = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.pop("params").items()
    }
    model = cls(**params)
    dtype = np.dtype(fields.pop("training_dtype"))
    activations, loss = tuple(fields.pop("activations")), fields.pop("loss")
    for name in SAVED:
        setattr(model, name, fields.pop(name))
    if "feature_names_in_" in fields:
        model.feature_names_in_ = np.array(fields.pop("feature_names_in_"), object)
    layers = range(model.n_layers_ - 1)
    coefs = [arrays.pop(f"coefs_{l}") for l in layers]
    intercepts = [arrays.pop(f"intercepts_{l}") for l in layers]
    units = Scaling(*map(arrays.pop, Scaling._fields)) if "X_mean" in arrays else None
    encoding, n_columns = None, model.n_features_in_
    if "encoding" in fields:
        names = encodings.names_of(fields.pop("encoding"))
        encoding = Encoding(names, *(arrays.pop(f"encoding_{n}") for n in Encoding._fields[1:]))
        encodings.check(encoding, n_columns)
        n_columns = encoding.n_columns
    ends = n_columns, model.n_outputs_
    model._learnt = Learnt(coefs, intercepts, activations, loss, units, dtype, *ends, encoding)
    if unknown := [*fields, *arrays]:
        raise KeyError(unknown)
    model._validate_params()
    model._learnt.model()
    return model


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
