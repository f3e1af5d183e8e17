"""Models on disk: arrays and JSON in one ``.npz``, and nothing that could be executed."""

import json
from contextlib import nullcontext

import numpy as np

from fastbp import encodings
from fastbp.encodings import Encoding
from fastbp.fitting.learnt import Learnt, Packed
from fastbp.scaling import Scaling

#: Written into each file, and refused where unknown: by what a file holds.
FORMAT, ENSEMBLE = "fastbp-model-2", "fastbp-ensemble-1"

#: What is written besides coefs_ and intercepts_: what a model needs to predict and resume.
SAVED = (
    "n_features_in_", "n_outputs_", "n_layers_", "n_iter_", "t_", "out_activation_", "kernel_",
    "max_iter_", "batch_size_", "learning_rate_init_", "weight_decay_",
    "loss_", "best_loss_", "loss_curve_", "validation_loss_curve_", "validation_scores_",
    "best_validation_score_",
)  # fmt: skip

#: The same of an ensemble, besides its members; and its arrays.
SAVED_OF_ENSEMBLE = ("n_features_in_", "n_outputs_", "max_iter_", "oob_score_")
ARRAYS_OF_ENSEMBLE = ("oob_prediction_", "residuals_", "residual_weights_")


def save(model, path):
    """Write a fitted model; see `BackpropRegressor.save`."""
    write(path, *contents(model))


def save_ensemble(model, path):
    """Write a fitted ensemble; see `BackpropEnsembleRegressor.save`."""
    params = params_of(model)
    if model.estimator is not None:
        params["estimator"] = params_of(model.estimator)
    fields = {"params": params, "members": []}
    fields |= {name: getattr(model, name) for name in SAVED_OF_ENSEMBLE}
    fields |= names_of_columns(model)
    arrays = {name: getattr(model, name) for name in ARRAYS_OF_ENSEMBLE}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    fields["arrays"] = list(arrays)
    for number, member in enumerate(model.estimators_):
        of_member, weights = contents(member)
        fields["members"].append(of_member)
        arrays |= {f"{number}_{name}": array for name, array in weights.items()}
    write(path, fields, arrays, ENSEMBLE)


def contents(model):
    """The fields and arrays of a file of a fitted model."""
    learnt = model._learnt
    learnt.network()  # or an error, if the weights are none
    fields = {
        "params": params_of(model),
        "training_dtype": learnt.dtype.name,
        "activations": learnt.activations,
        "loss": learnt.loss,
    }
    fields |= {name: getattr(model, name) for name in SAVED} | names_of_columns(model)
    arrays = {f"coefs_{l}": W for l, W in enumerate(learnt.coefs)}
    arrays |= {f"intercepts_{l}": b for l, b in enumerate(learnt.intercepts)}
    if learnt.scaling is not None:
        arrays |= learnt.scaling._asdict()
    if learnt.encoding is not None:
        fields["encoding"], *parts = learnt.encoding
        arrays |= {f"encoding_{n}": a for n, a in zip(Encoding._fields[1:], parts, strict=True)}
    return fields, arrays


def params_of(model):
    """Its parameters; a generator's state is not part of a model."""
    params = model.get_params(deep=False)
    if not isinstance(params["random_state"], (int, np.integer, type(None))):
        params["random_state"] = None
    return params


def names_of_columns(model):
    names = getattr(model, "feature_names_in_", None)
    return {} if names is None else {"feature_names_in_": names.tolist()}


def load(cls, path):
    """A model of class `cls` that `save` wrote; see `BackpropRegressor.load`."""
    return _or_an_error(path, _restored, cls, *read(path))


def load_ensemble(cls, of_members, path):
    """An ensemble of class `cls` that `save_ensemble` wrote, its members of class `of_members`."""
    return _or_an_error(path, _restored_ensemble, cls, of_members, *read(path, ENSEMBLE))


def _or_an_error(path, restored, *arguments):
    try:
        return restored(*arguments)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole model of this version of fastbp.") from error


def _restored_ensemble(cls, of_members, fields, arrays):
    """The ensemble of what `save_ensemble` wrote; whatever is missing is an error."""
    params, members, saved = (fields.pop(name) for name in ("params", "members", "arrays"))
    if params["estimator"] is not None:
        params["estimator"] = of_members(**_with_tuples(params["estimator"]))
    model = cls(**params)
    for name in SAVED_OF_ENSEMBLE:
        setattr(model, name, fields.pop(name))
    for name in ARRAYS_OF_ENSEMBLE:
        setattr(model, name, arrays.pop(name) if name in saved else None)
    _restore_names_of_columns(model, fields)
    model.estimators_ = []
    for number, of_member in enumerate(members):
        prefix = f"{number}_"
        names = [name for name in arrays if name.startswith(prefix)]
        weights = {name.removeprefix(prefix): arrays.pop(name) for name in names}
        model.estimators_.append(_restored(of_members, of_member, weights))
    if unknown := [*fields, *arrays]:
        raise KeyError(unknown)
    model._validate_params()
    model.estimators_[0]._learnt.model()
    return model


def _with_tuples(params):
    """Parameters as they were: JSON has no tuples."""
    return {n: tuple(value) if isinstance(value, list) else value for n, value in params.items()}


def _restore_names_of_columns(model, fields):
    if "feature_names_in_" in fields:
        model.feature_names_in_ = np.array(fields.pop("feature_names_in_"), object)


def _restored(cls, fields, arrays):
    """The model of what `save` wrote; whatever is missing is an error."""
    model = cls(**_with_tuples(fields.pop("params")))
    dtype = np.dtype(fields.pop("training_dtype"))
    activations, loss = tuple(fields.pop("activations")), fields.pop("loss")
    for name in SAVED:
        setattr(model, name, fields.pop(name))
    _restore_names_of_columns(model, fields)
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
    learnt = Learnt(coefs, intercepts, activations, loss, units, dtype, *ends, encoding)
    model._learnt = learnt._replace(packed=Packed())
    if unknown := [*fields, *arrays]:
        raise KeyError(unknown)
    model._validate_params()
    model._learnt.model()
    return model


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


def read(path, format=FORMAT):
    """Read a model that `write` wrote in this format.

    Returns
    -------
    fields : dict
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If `path` isn't such a file, or one of another format.
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
    if known != format:
        other = {FORMAT: "BackpropRegressor", ENSEMBLE: "BackpropEnsembleRegressor"}.get(known)
        advice = f"; {other}.load reads it" if other else ""
        raise ValueError(f"{path} has format {known!r}, this here reads {format!r}{advice}.")
    return fields, arrays
