"""What a file has of a network: what is written of a fitted estimator, and the estimator of it."""

from numbers import Real

import numpy as np

from fastbp import archive, encodings, resuming
from fastbp.encodings import Encoding
from fastbp.fitting.learnt import Found, Learnt, Packed
from fastbp.scaling import Scaling, Seen

#: The last of what was seen, which most models don't have.
Y_WEIGHT = f"seen_{Seen._fields[-1]}"

#: What is added for each x, where anything is; and what trials have found.
LINEAR, FOUND = "linear", "found"

#: What a pipeline's file has of its `TableVectorizer`: its columns, and its parameters.
OF_TABLE = ("columns_", "vectorizer_")


def is_count(value):
    """Whether it is a whole number that NumPy can hold."""
    return type(value) is int and 0 <= value < 2**62


def is_whole(value):
    """Whether it is a number of epochs: as many as are asked for, with another end in mind."""
    return type(value) is int and value > 0


def is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def is_text(value):
    return isinstance(value, str)


def are_numbers(value):
    return isinstance(value, list) and all(map(is_number, value))


def or_none(is_right):
    return lambda value: value is None or is_right(value)


#: What is written besides coefs_ and intercepts_: what a model needs to predict and resume, and
#: whether it is that.
SAVED = {
    "n_features_in_": is_count, "n_outputs_": is_count, "n_layers_": is_count,
    "n_iter_": is_count, "t_": is_count, "out_activation_": is_text, "kernel_": or_none(is_text),
    "max_iter_": is_whole, "batch_size_": is_count, "learning_rate_init_": is_number,
    "weight_decay_": is_number, "dropout_": are_numbers, "loss_": is_number,
    "best_loss_": or_none(is_number), "loss_curve_": are_numbers,
    "validation_loss_curve_": or_none(are_numbers),
    "validation_scores_": or_none(are_numbers), "best_validation_score_": or_none(is_number),
}  # fmt: skip


#: What `Found` has, part by part, and whether it is that.
OF_FOUND = (
    is_text,
    or_none(lambda n_epochs: is_count(n_epochs) and n_epochs > 0),
    or_none(lambda decay: is_number(decay) and 0 <= decay < np.inf),
    or_none(lambda rate: is_number(rate) and 0 <= rate < 1),
)


# ------------------------------------------------------------------------------- to a file


def contents(model, include_optimizer=True, params=None):
    """The fields and arrays of a file of a fitted model."""
    params = model.get_params(deep=False) if params is None else params
    learnt = model._learnt.checked()
    fields = {
        "params": kept(params),
        "training_dtype": learnt.dtype.name,
        "y_dtype": learnt.y_dtype.name,
        "activations": learnt.activations,
        "loss": learnt.loss,
        "loss_parameter": learnt.loss_parameter,
    }
    if learnt.found is not None:
        fields[FOUND] = list(learnt.found)
    fields |= {name: getattr(model, name) for name in SAVED} | names_of_columns(model)
    arrays = {f"coefs_{l}": W for l, W in enumerate(learnt.coefs)}
    arrays |= {f"intercepts_{l}": b for l, b in enumerate(learnt.intercepts)}
    if learnt.scaling is not None:
        arrays |= learnt.scaling._asdict()
    if learnt.seen is not None:
        of_seen = learnt.seen._asdict().items()
        arrays |= {f"seen_{name}": array for name, array in of_seen if array is not None}
    if learnt.encoding is not None:
        fields["encoding"], *parts = learnt.encoding
        arrays |= {f"encoding_{n}": a for n, a in zip(Encoding._fields[1:], parts, strict=True)}
    if learnt.linear is not None:
        arrays[LINEAR] = learnt.linear
    optimizer = vars(model).get("_optimizer") if include_optimizer else None
    if (of_optimizer := resuming.described(optimizer, learnt)) is not None:
        fields["optimizer"] = of_optimizer[0]
        arrays |= of_optimizer[1]
    return fields, arrays


def kept(params):
    """Parameters as a file has them: a generator's state and a function are not part of a model."""
    params = params.copy()
    if callable(params.get("scoring")):
        params["scoring"] = None
    if not isinstance(params.get("random_state"), (int, np.integer, type(None))):
        params["random_state"] = None
    return params


def not_kept(model):
    """The parameters that a file doesn't have as they are, by name: those of an ensemble, too,
    and what judges its members, which have numbers for random states."""
    of_all = [model.get_params(deep=False)]
    members = of_all[0].get("estimator"), *getattr(model, "estimators_", ())
    of_all += [{"scoring": member.scoring} for member in members if member is not None]
    each = ((params, kept(params)) for params in of_all)
    return {n: p[n] for p, of_file in each for n in p if p[n] is not of_file[n]}


def names_of_columns(model):
    """Names, and what is known of the `TableVectorizer` that made the columns, if one did."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return {}
    of_table = {name: getattr(model, name) for name in OF_TABLE if hasattr(model, name)}
    return {"feature_names_in_": _checked_names(names, model)} | of_table


def _checked_names(names, model):
    """Names of columns, if there are as many as columns."""
    names = list(names)
    if len(names) != model.n_features_in_ or not all(map(is_text, names)):
        raise ValueError(f"feature_names_in_ must name {model.n_features_in_} columns: {names}.")
    return names


# ----------------------------------------------------------------------------- from a file


def with_tuples(params):
    """Parameters as they were: JSON has no tuples."""
    return {n: tuple(value) if isinstance(value, list) else value for n, value in params.items()}


def restore_saved(model, saved, fields):
    """Attributes by the table of those of its kind, and names of columns."""
    for name, is_right in saved.items():
        value = fields.pop(name)
        if not is_right(value):
            raise ValueError(f"{name} is {value!r}.")
        setattr(model, name, value)
    if "feature_names_in_" in fields:
        names = _checked_names(fields.pop("feature_names_in_"), model)
        model.feature_names_in_ = np.array(names, object)
        vars(model).update({name: fields.pop(name) for name in OF_TABLE if name in fields})


def restored(cls, fields, stored):
    """The model of what `contents` says; whatever is missing or wrong is an error."""
    model = cls(**with_tuples(fields.pop("params")))
    dtype = np.dtype(fields.pop("training_dtype"))
    y_dtype = np.dtype(fields.pop("y_dtype", "float64"))
    activations, loss = tuple(fields.pop("activations")), fields.pop("loss")
    loss_parameter = fields.pop("loss_parameter")
    loss_parameter = tuple(loss_parameter) if np.ndim(loss_parameter) else float(loss_parameter)
    if "dropout_" not in fields:  # of a version that had to be told
        n_hidden = np.size(model.hidden_layer_sizes)
        fields["dropout_"] = np.broadcast_to(model.dropout, n_hidden).tolist()
    restore_saved(model, SAVED, fields)
    np.broadcast_to(loss_parameter, model.n_outputs_)  # or an error
    names = encodings.names_of(fields.pop("encoding", None))
    optimizer, found = fields.pop("optimizer", None), found_of(fields.pop(FOUND, None))
    wanted = _names_of_arrays(
        model.n_layers_, "X_mean" in stored, "seen_weight" in stored, bool(names)
    )
    if optimizer is not None:
        wanted += [resuming.MEMORY] + [resuming.AHEAD] * (resuming.AHEAD in stored)
    wanted += [name for name in (Y_WEIGHT, LINEAR) if name in stored]
    if fields or stored.keys() != set(wanted):
        raise KeyError(sorted(fields.keys() | stored.keys() ^ set(wanted)))
    n_columns = _check_shapes(stored, model, bool(names), optimizer)
    arrays = {name: stored[name].read() for name in wanted}
    layers = range(model.n_layers_ - 1)
    coefs, intercepts = (
        [arrays[f"{part}_{l}"] for l in layers] for part in ("coefs", "intercepts")
    )
    units = Scaling(*(arrays[name] for name in Scaling._fields)) if "X_mean" in arrays else None
    encoding = seen = None
    if "seen_weight" in arrays:
        seen = Seen(*(arrays.get(f"seen_{name}") for name in Seen._fields))
    if names:
        encoding = Encoding(names, *(arrays[f"encoding_{n}"] for n in Encoding._fields[1:]))
    ends = n_columns, model.n_outputs_
    trained = activations, loss, loss_parameter, units, dtype
    rest = encoding, y_dtype, seen, Packed(), arrays.get(LINEAR), found
    learnt = Learnt(coefs, intercepts, *trained, *ends, *rest)
    model._learnt = learnt.checked()
    if optimizer is not None:
        model._optimizer = resuming.restored(optimizer, arrays, model._learnt)
    model._validate_params()
    return model


def found_of(fields):
    """What trials have found, of a file's list."""
    if fields is None:
        return None
    found = Found(*fields)
    if not all(is_right(value) for is_right, value in zip(OF_FOUND, found, strict=True)):
        raise ValueError(f"What trials have found is {fields!r}.")
    return found


def _names_of_arrays(n_layers, is_scaled, is_seen, is_encoded):
    """Those that a file of such a network has."""
    if n_layers > archive.MOST_ARRAYS:
        raise ValueError(f"{n_layers} layers are more than a file holds.")
    names = [f"{part}_{l}" for l in range(n_layers - 1) for part in ("coefs", "intercepts")]
    names += Scaling._fields if is_scaled else ()
    names += [f"seen_{name}" for name in Seen._fields[:-1] if is_seen]
    return names + [f"encoding_{name}" for name in Encoding._fields[1:] if is_encoded]


def _check_shapes(stored, model, is_encoded, optimizer=None):
    """How many columns the network sees, if all arrays agree, none of which has been read."""
    shape = {name: array.shape for name, array in stored.items()}
    n, n_columns = model.n_features_in_, model.n_features_in_
    wanted = {}
    if is_encoded:
        (n_bins,), (n_waves,) = shape["encoding_bin_of"], shape["encoding_wave_of"]
        n_columns += n_bins + 2 * n_waves
        lengths = 4 * [n] + 4 * [n_bins] + 2 * [n_waves]
        parts = zip(Encoding._fields[1:], lengths, strict=True)
        wanted |= {f"encoding_{name}": (length,) for name, length in parts}
    if "X_mean" in shape:
        ends = n_columns, n_columns, model.n_outputs_, model.n_outputs_
        wanted |= {name: (end,) for name, end in zip(Scaling._fields, ends, strict=True)}
    if LINEAR in shape:
        wanted[LINEAR] = (n, model.n_outputs_)
    if "seen_weight" in shape:
        lengths = 1, n, n, model.n_outputs_, model.n_outputs_
        parts = zip(Seen._fields[:-1], lengths, strict=True)
        wanted |= {f"seen_{name}": (length,) for name, length in parts}
        if Y_WEIGHT in shape:
            wanted[Y_WEIGHT] = (model.n_outputs_,)
    n_in, n_parameters = n_columns, 0
    for l in range(model.n_layers_ - 1):
        (n_out,) = shape[f"intercepts_{l}"]
        wanted |= {f"coefs_{l}": (n_in, n_out), f"intercepts_{l}": (n_out,)}
        n_parameters += (n_in + 1) * n_out
        n_in = n_out
    if optimizer is not None:
        wanted[resuming.MEMORY] = resuming.shape_of_memory(optimizer, n_parameters)
        if resuming.AHEAD in shape:
            wanted[resuming.AHEAD] = (n_parameters,)
    if shape != wanted or n_in != model.n_outputs_ or 0 in (n, n_in):
        raise ValueError(f"The arrays are of shapes {shape}, these belong together: {wanted}.")
    return n_columns
