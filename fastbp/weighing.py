"""Weights of samples and of outputs, and targets that are missing."""

import numpy as np
from sklearn.utils.validation import check_array


def targets(y):
    """y as an array, of any shape, in which there may be NaN; or an error."""
    return check_array(
        y, ensure_2d=False, allow_nd=True, ensure_all_finite="allow-nan", dtype=None,
        ensure_min_samples=0, ensure_min_features=0, input_name="y",
    )  # fmt: skip


def present(y):
    """y with means in the place of NaN, and where it is a number; None if there is no NaN."""
    y = targets(y)
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
