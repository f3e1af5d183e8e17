"""What may come of a trial, and what is a fault."""

import traceback
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from campaigns.runner import Fault

#: Warnings of ours, and those of scikit-learn about a column in place of a vector, or names.
WARNINGS = {
    ConvergenceWarning: (
        "Stopped after", "Trained for all of", "Training diverged", "The fit learnt nothing",
        "Interrupted",
    ),
    UserWarning: (
        "Got `batch_size`", "One row holds", "Column ", "y lies", "A file can't hold scoring",
    ),
    DataConversionWarning: ("A column-vector y was passed",),
}  # fmt: skip

#: Where an error may come from: from us, or from who looks at what users hand over.
OURS = ("/fastbp/", "/sklearn/utils/validation.py", "/sklearn/utils/_param_validation.py")


def demand(is_so, what):
    if not is_so:
        raise Fault(what)


def same(one, two):
    if isinstance(one, tuple):
        return all(map(same, one, two))
    if isinstance(one, np.ndarray):
        is_float = one.dtype.kind == "f"
        if one.dtype.kind == "O":  # NaN among objects is another each time
            one, two = repr(one.tolist()), repr(two.tolist())
            return one == two
        return one.dtype == two.dtype and np.array_equal(one, two, equal_nan=is_float)
    return one == two


def bits_of(model):
    """Arrays that say what was learnt."""
    members = getattr(model, "estimators_", [model])
    for member in members:
        yield from member.coefs_
        yield from member.intercepts_
        yield np.array(member.loss_curve_)
        yield np.array(member.validation_scores_ or [])
    if members[0] is not model and model.oob_prediction_ is not None:
        yield model.oob_prediction_


def in_words(error):
    """The first words of an error of ours; one of a library's inside is a fault."""
    frames = traceback.extract_tb(error.__traceback__)
    where = Path(frames[-1].filename).as_posix()
    is_ours = any(part in where for part in OURS) and str(error)
    demand(is_ours, "".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {' '.join(str(error).split()[:4])}"


def check_warning(said):
    begins = WARNINGS.get(said.category, ())
    text = str(said.message)
    is_ours = text.startswith(begins) and said.filename.endswith("campaigns/fits.py")
    is_ours |= said.category is DataConversionWarning
    is_ours |= text.startswith(("X has feature names", "X does not have"))
    demand(is_ours, f"{said.category.__name__} at {said.filename}:{said.lineno}: {text}")
