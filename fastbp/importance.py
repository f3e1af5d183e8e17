"""How much each column matters to a network, as far as the network itself tells."""

import numpy as np

from fastbp import converting, measuring
from fastbp.fitting.predicting import jacobian

#: Rows that are drawn to look at it.
ROWS = 256


class Important:
    """`feature_importances_` of an estimator with `_parts`: what networks have learnt, and the
    weight of each."""

    @property
    def feature_importances_(self):
        if not self.__sklearn_is_fitted__():
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute 'feature_importances_'"
            )
        return importances(*self._parts)


def importances(learnt, weights):
    """The mean of |∂ŷ/∂x| times the deviation of x, over rows drawn from normal distributions.

    Of each output they sum to 1, and the mean is taken over outputs that anything has an effect on;
    where nothing has any all are 0. Deviations and means are those of the table, if columns were
    standardised, else 1 and 0.
    """
    n_features = learnt[0].n_features
    mean, deviation = columns_of(learnt[0])
    X = mean + deviation * np.random.RandomState(0).normal(size=(ROWS, n_features))
    total = np.zeros((learnt[0].n_outputs, n_features))
    with np.errstate(all="ignore"):
        for rows in measuring.slices(ROWS, max(1, converting.VALUES_AT_A_TIME // n_features)):
            J = sum(w * jacobian(each, X[rows]) for each, w in zip(learnt, weights, strict=True))
            total += np.abs(J * deviation).sum(axis=0)
        shares = total / total.sum(axis=1, keepdims=True)
    shares = shares[np.isfinite(shares).all(axis=1)]
    return shares.mean(axis=0) if len(shares) else np.zeros(n_features)


def columns_of(learnt):
    """Means and deviations of the columns. (What they are divided by in training is more, where
    trials have found that they mean little, or where they are constant.)"""
    n = learnt.n_features
    if learnt.seen is not None:
        return learnt.seen.X_mean, learnt.seen.X_deviation
    if learnt.scaling is None:
        return np.zeros(n), np.ones(n)
    return learnt.scaling.X_mean[:n], learnt.scaling.X_scale[:n]  # and of encoded ones
