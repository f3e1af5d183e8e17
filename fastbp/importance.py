"""How much each column matters to a network, as far as the network itself tells."""

import numpy as np

from fastbp import scaling
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

    Of each output they sum to 1, and the mean over outputs is taken. Deviations and means are those
    that columns were standardised with, else 1 and 0. With no column of any effect all are 0.
    """
    n_features = learnt[0].n_features
    of_columns = learnt[0].scaling
    mean, scale = np.zeros(n_features), np.ones(n_features)
    if of_columns is not None:  # of encoded ones, too, which come after those of X
        mean, scale = of_columns.X_mean[:n_features], of_columns.X_scale[:n_features]
    X = mean + scale * np.random.RandomState(0).normal(size=(ROWS, n_features))
    total = np.zeros((learnt[0].n_outputs, n_features))
    with np.errstate(all="ignore"):
        for rows in scaling.slices(ROWS, max(1, scaling.VALUES_AT_A_TIME // n_features)):
            J = sum(w * jacobian(each, X[rows]) for each, w in zip(learnt, weights, strict=True))
            total += np.abs(J * scale).sum(axis=0)
        shares = total / total.sum(axis=1, keepdims=True)
    return np.nan_to_num(shares).mean(axis=0)
