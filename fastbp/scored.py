"""The score of predictions, for y and weights of any magnitude."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score, r2_score

from fastbp import measuring
from fastbp.fitting.table import drawn_in
from fastbp.suspicious import check_values, large_numbers
from fastbp.weighing import of_samples_and_outputs, present, targets, weights_by_output


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
        y, sample_weight = check_values(y, "y"), check_values(sample_weight, "sample_weight")
        if not omits and np.ndim(sample_weight) < 2:
            return score_of(y, predicted, sample_weight, self._levels)
        with large_numbers():
            y, is_there = present(y) if omits else (targets(y), None)
            n_outputs = 1 if self._levels is not None else self.n_outputs_
            if y.shape[1:] != (n_outputs,) and not (n_outputs == y.ndim == 1):
                raise ValueError(f"y has shape {y.shape}, {n_outputs} outputs are expected.")
            if np.ndim(sample_weight) == 2:
                sample_weight = weights_by_output(sample_weight, y)
            elif sample_weight is not None:
                sample_weight = np.asarray(sample_weight)
        weights = of_samples_and_outputs(sample_weight, is_there)
        return score_by_output(y, predicted, *weights, self._levels)


def score_by_output(y, predicted, sample_weight, by_output, levels=None):
    """As `score_of`, with a weight for each output of a sample, too, or None."""
    if by_output is None:
        return score_of(y, predicted, sample_weight, levels)
    outputs = np.flatnonzero(by_output.any(axis=0))  # each is scored on the rows that it has
    scores = [score_of(y[:, k], predicted[:, k], by_output[:, k]) for k in outputs]
    return float(np.mean(scores))


def array_of(A):
    """As NumPy has it, in float64 at most; what is no array to NumPy, as it is, for scikit-learn to
    say so."""
    array = np.asarray(A)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with large_numbers():  # beyond float64 is infinity, which scikit-learn tells
            array = array.astype(np.float64)
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
                y = drawn_in(y, sample_weight > 0)
    is_far = np.isinf(predicted)  # behind exp; scikit-learn takes it for a mistake
    if is_far.any() and are_numbers(y):
        if are_numbers(sample_weight):
            is_far[sample_weight == 0] = False
        if is_far.any():
            return -np.inf
        predicted = np.where(np.isinf(predicted), 0.0, predicted)
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
