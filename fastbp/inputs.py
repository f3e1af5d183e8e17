"""Tables as users hand them over: checked, and made what training takes."""

import warnings
from contextlib import nullcontext

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastbp import callers, entries
from fastbp.fitting import survey
from fastbp.fitting.table import Table, precision_of
from fastbp.kernels.formulas.losses import LINKS
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.suspicious import check_values, large_numbers, n_masked
from fastbp.weighing import of_samples_and_outputs, present, weights_by_output

#: What is said of a y that is a column, in scikit-learn's words.
COLUMN = (
    "A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
    "(n_samples, ), for example using ravel()."
)

#: Precisions that tables keep.
FLOATS = np.float64, np.float32


def rows(model, X):
    """X for a fitted model to predict: float32 or float64, of the columns of its fit.

    What is valid at first sight is not looked at twice: that takes some 50 µs, longer than
    predicting a row; of a frame, ten times as long.
    """
    A = numbers(values_of_frame(X))
    if is_valid(model, A, X):
        return A
    with large_numbers():
        if is_table(A):  # then there is something to say of its columns
            validate_data(model, X, reset=False, skip_check_array=True)
            return A
        return validate_data(
            model, check_values(X, "X"), accept_sparse="csr", dtype=FLOATS, reset=False
        )


def values_of_frame(X):
    """What a frame of pandas or polars holds, if these are common numbers; all else as it is."""
    package = type(X).__module__.partition(".")[0] if type(X).__name__ == "DataFrame" else ""
    if package == "pandas":
        dtypes = set(X.dtypes)
        are_common = all(isinstance(t, np.dtype) and t.char in "df?bBhHiIlLqQ" for t in dtypes)
        return X.to_numpy(np.result_type(*dtypes)) if are_common and dtypes else X
    if package == "polars" and all(t.is_float() or t.is_integer() for t in X.dtypes):
        return X.to_numpy()
    return X


def numbers(X):
    """Lists of numbers, or integers, as an array of floats; all else as it is."""
    if type(X) is list and n_masked(X) == 0:
        try:
            A = np.asarray(X)
        except (ValueError, TypeError):
            return X
        return A.astype(np.float64) if A.dtype.kind in "iuf" else X
    return X.astype(np.float64) if type(X) is np.ndarray and X.dtype.kind in "iu" else X


def is_valid(model, A, X=None):
    """Whether there is nothing to say of A, the values of X, if that may be a frame; what this says
    no to may be valid all the same."""
    if not is_table(A) or A.shape[1] != model.n_features_in_:
        return False
    names, columns = vars(model).get("feature_names_in_"), getattr(X, "columns", None)
    if names is None or columns is None:
        return names is columns
    return list(names) == list(columns)


def are_valid(model, X, y, *, reset):
    """As `is_valid`, of what is to be fitted; a model that is `reset` takes down its columns."""
    if type(y) is not np.ndarray or y.ndim not in (1, 2) or not are_plain(y):
        return False
    if not (is_table(X) if reset else is_valid(model, X)) or len(X) != len(y):
        return False
    if reset:
        vars(model).pop("feature_names_in_", None)
        model.n_features_in_ = X.shape[1]
    return True


def is_table(X):
    """Whether it is an array of two dimensions and of numbers as training takes them."""
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype.char in "df" and are_plain(X)


def are_plain(A):
    """Whether an array's numbers are there, common ones of this machine, and finite."""
    if A.size == 0 or not A.dtype.isnative:
        return False
    if A.dtype.char not in "df":
        return A.dtype.kind in "iu"
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(A, axis=None)))


def table_of(model, X, y, sample_weight, reset, n_outputs=None, learnt=None, may_be_later=False):
    """X, y (n_samples, n_outputs) and weights as a Table, or a clear error; as the parameters of a
    `BackpropRegressor` have it, or what has been learnt. Whether a large table is of numbers
    `may_be` looked at `later`."""
    loss, parameter = model.loss, model.loss_parameter
    if learnt is not None:
        loss, parameter = learnt.loss, learnt.loss_parameter
    omits = model.missing_targets == "omit"
    # A large table is read once, by who trains on it.
    later = may_be_later and not omits and survey.is_large(X)
    X, y, *weights = samples(
        model, X, y, sample_weight, reset=reset, omits=omits, all_finite=not later
    )
    if parameter is not None and np.ndim(parameter):  # an output for each
        if y.shape[1] > 1:
            raise ValueError(
                f"loss_parameter={parameter} is for a single y, it has {y.shape[1]} columns."
            )
        y = np.repeat(y, np.size(parameter), axis=1)
    if not later:
        table = Table(X, y, *weights).within_use(with_X=not survey.is_large(X))
        X, y = table[:2]
    n_outputs = n_outputs or (y.shape[1] if reset else model.n_outputs_)
    if y.shape[1] != n_outputs:
        raise ValueError(f"y has {y.shape[1]} outputs, {n_outputs} are expected.")
    lowest, above = LINKS[LOSSES[loss].link].lowest, LOSSES[loss].above
    least = y.min() if y.size else np.inf
    if later and not np.isfinite(least):
        samples(model, X, y, None, reset=reset)  # which says so
    if least < lowest or least <= above:
        allowed = f"none may be below {lowest:g}" if above < lowest else "all must be above 0"
        raise ValueError(
            f"Some values of y are out of the range of the loss {loss!r}: the least is "
            f"{least:g}, and {allowed}."
        )
    if may_be_later and y.dtype not in FLOATS and survey.is_large(X):  # windows take no others
        y = y.astype(precision_of(y))
    return Table(X, y, *weights, not later)


def samples(model, X, y, sample_weight, *, reset, omits=False, all_finite=True):
    """X, y of shape (n_samples, n_outputs), weights of samples in float64 or None, and weights of
    outputs, as y, if these differ, or None; or a clear error.

    With `omits`, y may be NaN: that weighs nothing, and is filled in with what the loss can take.
    With ``all_finite=False`` nobody looks whether X and y are numbers.
    """
    named = (X, "X"), (y, "y"), (sample_weight, "sample_weight")
    X, y, sample_weight = (check_values(values, name) for values, name in named)
    kinds = {"accept_sparse": "csr", "multi_output": True, "y_numeric": True, "dtype": FLOATS}
    with large_numbers():
        y, is_there = present(y) if omits and y is not None else (y, None)
        if not (all_finite and are_valid(model, X, y, reset=reset)):
            with nullcontext() if all_finite else config_context(assume_finite=True):
                X, y = validate_data(model, X, y, **kinds, reset=reset)
        if np.asarray(sample_weight).ndim == 2:
            sample_weight = weights_by_output(sample_weight, y)
        elif sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
    if sparse.issparse(X):
        X = entries.without_duplicates(X)
    if sparse.issparse(y):
        y = y.toarray()
    if y.dtype.kind not in "biuf":
        raise ValueError(f"y must be numeric, it has dtype {y.dtype}.")
    if y.ndim == 2 and y.shape[1] == 1:
        warnings.warn(COLUMN, DataConversionWarning, stacklevel=callers.stacklevel())
    return X, y.reshape(len(y), -1), *of_samples_and_outputs(sample_weight, is_there)
