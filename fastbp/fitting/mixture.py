"""Whether networks with encoded columns are worth having beside plain ones, or instead of them, by
rows that neither have been trained on. Pure functions.

They take turns in being better: sharp edges are learnt better with encoded columns, smooth
functions without. What they predict differs more than what two networks of one kind do, so that
both together are often better than either.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: Smaller a share is not worth training networks for: at a tenth of the best mixture's gain or
#: less, it may as well be chance. Likewise what is left of the others.
LEAST, MOST = 0.15, 0.85

#: The part of the plain network's error that must not be left. Two plain networks together already
#: have 0.97 of the error of one, and rows held out of a small table err by as much.
BETTER = 0.97

#: Most columns with all encoded ones, some thirty of a table: there an epoch takes ten times as
#: long as without. And most values of all rows: half a gigabyte in float32.
MOST_COLUMNS, MOST_VALUES = 2000, 2**27


def may_be_tried(n_rows, n_features, n_columns):
    """Whether so many columns, the encoded ones among them, are for a network that nobody asked
    for; where nothing can be encoded, there is nothing to try."""
    return n_features < n_columns <= MOST_COLUMNS and n_rows * n_columns <= MOST_VALUES


def share_of_second(first, second, y, weight, loss, parameter=0.0, *, mixes=True):
    """The weight of the second in the mean of two predictions that is best for rows held out.

    That is w in (1 − w) first + w second for which the mean loss is least; for a squared error
    Σ (second − first)(y − first) / Σ (second − first)², between 0 and 1. It becomes 0 where it is
    small or gains little, and 1 where it is large.

    Parameters
    ----------
    first, second, y : ndarrays of shape (n_rows, n_outputs)
        Behind the link, if the loss has one.
    weight : ndarray of shape (n_rows,)
    loss : str
    parameter : float
        Of the loss.
    mixes : bool
        False: it is one of the two.
    """
    row, first, y = LOSSES[loss], np.float64(first), np.float64(y)
    step = second - first

    def error(w):
        """In units of y."""
        excess = row.excess(first + w * step, y, parameter).sum(axis=1)
        return np.average(excess, weights=weight) ** (1 / row.degree)

    if mixes:
        w = minimize_scalar(error, bounds=(0, 1), method="bounded", options={"xatol": 1e-3}).x
    else:
        w = float(error(1.0) < error(0.0))
    if w < LEAST or not error(w) < BETTER * error(0.0):
        return 0.0
    return 1.0 if w > MOST else float(w)
