"""Tables as users hand them over: what NumPy would make numbers of without a word is refused."""

import warnings
from contextlib import contextmanager, nullcontext
from datetime import date, time, timedelta

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import RegressorMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    validate_data,
)

from fastbp import callers, entries, measuring
from fastbp.fitting import survey
from fastbp.fitting.table import Table, precision_of
from fastbp.kernels.formulas.losses import LINKS
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: What stands for a moment or a duration in an array of objects. (A datetime is a date.)
TEMPORAL = (date, time, timedelta, np.datetime64, np.timedelta64)

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
    if type(X) is list and not any(isinstance(row, np.ma.MaskedArray) for row in X):
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
    if weights[0] is not None and not later:
        X, y = within_use(X, y, *weights)
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


def present(y):
    """y with means in the place of NaN, and where it is a number; None if there is no NaN."""
    y = check_array(
        y, ensure_2d=False, allow_nd=True, ensure_all_finite="allow-nan", dtype=None,
        ensure_min_samples=0, ensure_min_features=0, input_name="y",
    )  # fmt: skip
    if y.dtype.kind == "O":
        y = y.astype(np.float64)
    if y.dtype.kind != "f" or y.ndim not in (1, 2) or not np.isnan(y).any():
        return y, None
    is_there, filled = ~np.isnan(y), y.reshape(len(y), -1).copy()
    for column in filled.T:
        values = column[~np.isnan(column)]
        mean = 1.0  # which is in the range of every loss
        if values.size:  # a mean that is no number is one of values that are too large
            mean = np.clip(np.mean(values), values.min(), values.max())
            mean = mean if np.isfinite(mean) else values[0]
        column[np.isnan(column)] = mean
    return filled.reshape(y.shape), is_there


def weights_by_output(sample_weight, y):
    """Weights of each output in float64, or an error."""
    weight = check_array(
        sample_weight, dtype=np.float64, order="C", ensure_non_negative=True,
        input_name="sample_weight",
    )  # fmt: skip
    if weight.shape != (len(y), 1 if y.ndim == 1 else y.shape[1]):
        raise ValueError(
            f"sample_weight of shape {weight.shape} must be as y, {y.shape}, or of one dimension."
        )
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def of_samples_and_outputs(weight, is_there=None):
    """Weights of samples, of which there may be none, and of outputs, if these differ. A sample's
    weight is then the mean of its outputs'."""
    if is_there is not None:
        is_there = np.ascontiguousarray(is_there.reshape(len(is_there), -1))
        if weight is None:
            weight = is_there.astype(np.float64)
        else:
            weight = weight.reshape(len(weight), -1) * is_there
        if not weight.any():
            raise ValueError("All of y is NaN, or without weight.")
    if weight is None or weight.ndim == 1:
        return weight, None
    if (weight == weight[:, :1]).all():
        return np.ascontiguousarray(weight[:, 0]), None
    return (weight / weight.shape[1]).sum(axis=1), weight


def within_use(X, y, weight, by_output):
    """X and y, whose values without weight are drawn in to the range of those that have some.

    Fill values, of 10³⁷ for example, have infinite losses, and 0 times infinity is no number. (Of a
    sparse X, and of one that is not copied whole without need, only y.)
    """
    if not sparse.issparse(X) and not survey.is_large(X):
        X = _within(X, weight > 0)
    if by_output is None:
        return X, _within(y, weight > 0)
    columns = [y[:, k : k + 1] for k in range(y.shape[1])]
    drawn_in = [_within(*each) for each in zip(columns, by_output.T > 0, strict=True)]
    if all(one is other for one, other in zip(columns, drawn_in, strict=True)):
        return X, y
    return X, np.hstack(drawn_in)


def _within(A, used):
    """Rows, those that are not in use drawn in to the range of the others: a copy, if need be."""
    if used.all() or not used.any():
        return A
    there, rest = A[used], A[~used]
    low, high = there.min(axis=0), there.max(axis=0)
    if ((low <= rest) & (rest <= high)).all():
        return A
    A = A.copy()
    A[~used] = np.clip(rest, low, high)
    return A


@contextmanager
def large_numbers():
    """Where scikit-learn looks at numbers: it asks by a sum whether all are finite, and Python's
    integers have no end."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except OverflowError as error:
        raise ValueError("There are integers that are too large for float64.") from error


def check_values(A, name):
    """A itself, or an error if it holds dates or durations, which would become the integers behind
    them, is masked, has no columns, or fields instead of these. Of a sparse matrix a whole view."""
    if A is None or (type(A) is np.ndarray and A.dtype.kind in "fiub"):
        return A
    if sparse.issparse(A):
        return whole(A, name)
    if hasattr(A, "collect") and not hasattr(A, "__array__"):
        raise TypeError(f"{name} is not computed yet: collect() it.")
    if hasattr(A, "columns") and getattr(A, "shape", ())[1:] == (0,):
        raise ValueError(f"{name} has no columns.")
    if (where := _temporal(A)) is not None:
        raise ValueError(
            f"{name} holds dates, times or durations{where}. Make numbers of them, in a unit and "
            "from a moment of your choice, such as (t - t.min()) / np.timedelta64(1, 'h'), and "
            "leave out rows where they are missing."
        )
    if (n_masked := _masked(A)) > 0:
        raise ValueError(
            f"{name} has {n_masked} masked values, and numbers below the mask mean nothing. Leave "
            "these rows out, or fill them in before."
        )
    if getattr(getattr(A, "dtype", None), "names", None):
        raise ValueError(
            f"{name} is a structured array. Make columns of its fields: "
            "numpy.lib.recfunctions.structured_to_unstructured does it."
        )
    return A if name == "X" else of_objects(A)


def of_objects(A):
    """A vector of Python's objects as float64, its holes as NaN: among objects scikit-learn doesn't
    look for None or infinity, and stumbles over pandas' NA. What are no numbers are its to say."""
    objects = _objects(A)
    if objects is None or objects.dtype.kind != "O":
        return A
    holes = [value is None or type(value).__name__ == "NAType" for value in objects.flat]
    filled = np.where(
        np.fromiter(holes, bool, objects.size).reshape(objects.shape), np.nan, objects
    )
    try:
        return filled.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return A


def whole(A, name):
    """The same sparse matrix, of whose every entry it is sure that it lies in it: SciPy believes
    what it was made of, and reads and writes beyond its arrays."""
    if A.format == "coo":
        parts = A.data, (A.row, A.col)
    elif A.format in ("csr", "csc", "bsr"):
        parts = A.data, A.indices, A.indptr
    else:
        return A
    kind = "matrix" if isinstance(A, sparse.spmatrix) else "array"
    try:
        view = getattr(sparse, f"{A.format}_{kind}")(parts, A.shape)
        if A.format != "coo":
            view.check_format()
    except ValueError as error:
        raise ValueError(f"{name} is no sparse matrix as SciPy has them: {error}") from None
    return view


def _temporal(A):
    """Where there are dates, times or durations: words for it, or None if there are none."""
    dtypes = getattr(A, "dtypes", None)  # of a frame, one for each column
    if dtypes is not None and hasattr(A, "columns"):
        for column, dtype in zip(A.columns, dtypes, strict=True):
            if _is_temporal(dtype):
                return f" in column {column!r}, of dtype {dtype}"
    elif hasattr(A, "dtype") and _is_temporal(A.dtype):
        return f", its dtype is {A.dtype}"
    objects = _objects(A)
    if objects is not None and any(isinstance(value, TEMPORAL) for value in objects.flat):
        return " among its objects"
    return None


def _is_temporal(dtype):
    """Of NumPy, pandas, or polars."""
    if getattr(dtype, "kind", "") in ("M", "m"):
        return True
    if isinstance(dtype, np.dtype):  # its name takes longer to be made than all else
        return False
    if hasattr(dtype, "is_temporal"):
        return dtype.is_temporal()
    return str(dtype).startswith(("period", "date", "time", "duration"))


def _objects(A):
    """An array of what A holds, if these are objects of Python, else None."""
    if isinstance(A, list | tuple):
        try:
            A = np.asarray(A)
        except ValueError:  # rows of different lengths, as scikit-learn will say
            return None
        return A if A.dtype.kind in "OMm" else None
    if getattr(getattr(A, "dtype", None), "kind", "") == "O":
        return np.asarray(A)
    return None


def _masked(A):
    """How many values are masked, of an array or of rows in a list."""
    if isinstance(A, np.ma.MaskedArray):
        return np.ma.count_masked(A)
    if isinstance(A, list | tuple):
        return sum(np.ma.count_masked(row) for row in A if isinstance(row, np.ma.MaskedArray))
    return 0


class Scored(RegressorMixin):
    """`score` of an estimator, which has `_levels`: None, or those of the quantiles it predicts;
    and `missing_targets`, unless its members have it."""

    def score(self, X, y, sample_weight=None):
        """R² of the predictions for X; of several quantiles at once, the mean of their D².

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None

        Returns
        -------
        float
            At most 1; that of the best constant prediction is 0. Of a y that is the same for all
            samples it is 0, unless that is what is predicted.
        """
        predicted, one = self.predict(X), self
        if not hasattr(self, "missing_targets"):  # an ensemble
            one = self.estimators_[0]
        omits = one.missing_targets == "omit"
        if not omits and np.asarray(sample_weight).ndim < 2:
            return score_of(y, predicted, sample_weight, self._levels)
        y, is_there = present(check_values(y, "y")) if omits else (np.asarray(y), None)
        if np.asarray(sample_weight).ndim == 2:
            sample_weight = weights_by_output(sample_weight, y)
        elif sample_weight is not None:
            sample_weight = np.asarray(check_values(sample_weight, "sample_weight"))
        sample_weight, by_output = of_samples_and_outputs(sample_weight, is_there)
        if by_output is None:
            return score_of(y, predicted, sample_weight, self._levels)
        outputs = np.flatnonzero(by_output.any(axis=0))  # each is scored on the rows that it has
        scores = [score_of(y[:, k], predicted[:, k], by_output[:, k]) for k in outputs]
        return float(np.mean(scores))


def array_of(A):
    """As NumPy has it; what is no array to NumPy, as it is, for scikit-learn to say so."""
    array = np.asarray(A)
    return array if array.ndim else A


def are_numbers(A):
    return isinstance(A, np.ndarray) and A.dtype.kind in "fiub" and bool(np.isfinite(A).all())


def score_of(y, predicted, sample_weight=None, levels=None):
    """scikit-learn's R², or the mean D² of quantiles, for y and weights of any magnitude."""
    predicted, y = np.asarray(predicted, np.float64), array_of(check_values(y, "y"))
    if sample_weight is not None:
        sample_weight = array_of(check_values(sample_weight, "sample_weight"))
        if are_numbers(sample_weight) and (sample_weight >= 0).all():
            sample_weight = measuring.relative(sample_weight)
            if are_numbers(y) and sample_weight.shape == y.shape[:1]:
                y = _within(y, sample_weight > 0)
    if levels is None and are_numbers(y) and y.shape in (predicted.shape, (len(predicted), 1)):
        # Squares neither overflow nor vanish, and equal numbers have themselves for mean.
        y = y.astype(np.float64).reshape(predicted.shape)
        constant = y.min(axis=0) == y.max(axis=0)
        y, predicted = (a - np.where(constant, y[0], 0.0) for a in (y, predicted))
        unit = measuring.power_of_two(max(np.abs(y).max(), np.abs(predicted).max()))
        y, predicted = y / unit, predicted / unit
    with large_numbers():
        if levels is None:
            return float(r2_score(y, predicted, sample_weight=sample_weight))
        each = zip(predicted.reshape(len(predicted), -1).T, levels, strict=True)
        return float(
            np.mean([d2_pinball_score(y, q, sample_weight=sample_weight, alpha=a) for q, a in each])
        )
