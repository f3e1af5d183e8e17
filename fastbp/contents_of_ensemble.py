"""What a file has of an ensemble: that of each member, and what they have together."""

import numpy as np

from fastbp.contents import (
    contents,
    is_count,
    is_number,
    is_whole,
    kept,
    names_of_columns,
    or_none,
    restore_saved,
    restored,
    with_tuples,
)

#: What is written besides the members, and whether it is that; and arrays.
SAVED_OF_ENSEMBLE = {
    "n_features_in_": is_count, "n_outputs_": is_count, "max_iter_": is_whole,
    "oob_score_": or_none(is_number),
}  # fmt: skip
ARRAYS_OF_ENSEMBLE = (
    "estimator_weights_", "oob_prediction_", "residuals_", "residual_weights_"
)  # fmt: skip


def contents_of_ensemble(model, include_optimizer=True):
    """The fields and arrays of a file of a fitted ensemble."""
    _check_ensemble(model)
    params = kept(model.get_params(deep=False))
    if model.estimator is not None:  # of a subclass, perhaps, which the file will know nothing of
        params["estimator"] = kept(model.estimator._params())
    fields = {"params": params, "members": []}
    fields |= {name: getattr(model, name) for name in SAVED_OF_ENSEMBLE}
    fields |= names_of_columns(model)
    arrays = {name: getattr(model, name) for name in ARRAYS_OF_ENSEMBLE}
    arrays = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
    fields["arrays"] = list(arrays)
    for number, member in enumerate(model.estimators_):
        of_member, weights = contents(member, include_optimizer, member._params())
        fields["members"].append(of_member)
        arrays |= {f"{number}_{name}": array for name, array in weights.items()}
    return fields, arrays


def restored_ensemble(cls, fields, stored):
    """The ensemble of what `contents_of_ensemble` says; what is missing or wrong is an error."""
    params, members, saved = (fields.pop(name) for name in ("params", "members", "arrays"))
    params.pop("encoding", None)  # of files from before it was said by the estimator alone
    if params["estimator"] is not None:
        params["estimator"] = cls._of_members(**with_tuples(params["estimator"]))
    model = cls(**params)
    restore_saved(model, SAVED_OF_ENSEMBLE, fields)
    by_member = _popped_by_member(stored)
    if by_member.keys() != set(range(len(members))):
        raise ValueError(f"The arrays are those of {len(by_member)} members of {len(members)}.")
    model.estimators_ = [
        restored(cls._of_members, of_member, by_member[number])
        for number, of_member in enumerate(members)
    ]
    for name in ARRAYS_OF_ENSEMBLE:
        setattr(model, name, stored.pop(name).read() if name in saved else None)
    if unknown := [*fields, *stored]:
        raise KeyError(unknown)
    _check_ensemble(model)
    model._validate_params()
    return model


def _popped_by_member(stored):
    """The arrays whose names begin with a member's number."""
    by_member = {}
    for name in [name for name in stored if name[0].isdecimal()]:
        number, _, rest = name.partition("_")
        by_member.setdefault(int(number), {})[rest] = stored.pop(name)
    return by_member


def _check_ensemble(model):
    """An error, unless its parts belong together."""
    model._kinds_of_models()
    if model.residuals_ is not None:
        model._residuals()
