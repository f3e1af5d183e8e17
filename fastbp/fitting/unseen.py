"""Rows that members of an ensemble don't see: which, and what their errors there say of it."""

import numpy as np

from fastbp import scaling
from fastbp.fitting.members import predict

#: Rows that are held out to judge the ensemble by: so many of four, within bounds. Each member does
#: without its share of them, and with few members at most with one row of five.
ONE_OF, FEWEST, MOST, MOST_OF_MEMBER = 4, 100, 2000, 0.2


# ------------------------------------------------------------------ who sees which rows


def all_rows(rows, n_members, random_state):
    """Every member sees all of them."""
    return [rows.copy() for _ in range(n_members)]


def bootstrap(rows, n_members, random_state):
    """Each member sees as many as there are, drawn with replacement (Breiman, 1996)."""
    return [np.sort(random_state.choice(rows, len(rows))) for _ in range(n_members)]


def folds(rows, n_members, random_state):
    """Each member sees all but one part of a quarter of the rows; of four members or more, at least
    two do without the same part, so that it can be seen how far they differ there.

    All rows in turn, an eighth for each of eight members, would cost 3 % in accuracy.
    """
    n, n_parts = len(rows), n_members // 2 if n_members >= 4 else n_members
    held_out = min(n, max(FEWEST, min(n // ONE_OF, MOST)), int(MOST_OF_MEMBER * n) * n_parts)
    chosen = random_state.permutation(rows)[:held_out]
    return [np.setdiff1d(rows, chosen[number % n_parts :: n_parts]) for number in range(n_members)]


#: By name: of the rows, the number of members and a random state, the rows of each member.
RESAMPLES = {None: all_rows, "folds": folds, "bootstrap": bootstrap}


# ------------------------------------------------------------------- what they say


def predict_unseen(learnt, table, left_out, n_threads):
    """What the members that have not seen a row predict for it.

    Parameters
    ----------
    learnt : list of Learnt
    table : fit.Table
    left_out : list of ndarray of int
        The rows that each has not seen.
    n_threads : int or None

    Returns
    -------
    count : ndarray of shape (n_rows,)
        Of the members that have not seen a row.
    mean, variance : ndarrays of shape (n_rows, n_outputs)
        Of their predictions; NaN where there is none, or for the variance only one.
    """
    count, (total, squares) = np.zeros(len(table.y), int), np.zeros((2, *table.y.shape))
    for member, rows in zip(learnt, left_out, strict=True):
        # From y, so that squares of numbers far from 0 are not subtracted.
        error = predict([member], table.X[rows], n_threads)[0] - table.y[rows]
        count[rows] += 1
        total[rows] += error
        squares[rows] += error**2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count[:, None]
        variance = np.maximum(squares - total * mean, 0) / (count - 1)[:, None]
    variance[count < 2] = np.nan
    return count, table.y + mean, variance


def shrinkage(residuals, count, variance, weight, n_members):
    """How much smaller than these residuals those of the whole ensemble are, for each output.

    A mean over m members has 1/m of a member's variance, which is measured where two or more have
    not seen a row: the mean square error falls by (1/m − 1/n_members) of it.

    Parameters
    ----------
    residuals, variance : ndarrays of shape (n_rows, n_outputs)
    count, weight : ndarrays of shape (n_rows,)
    n_members : int
    """
    known, weight = count >= 2, scaling.relative(weight)
    if not known.any():
        return np.ones(residuals.shape[1])
    squares = np.average(residuals**2, axis=0, weights=weight)
    per_member = np.average(variance[known], axis=0, weights=weight[known])
    more = np.average(1 / count - 1 / n_members, weights=weight)
    left = np.clip(squares - more * per_member, squares / n_members, squares)
    return np.sqrt(left / np.where(squares > 0, squares, 1))


def quantile(residuals, weight, coverage):
    """The least of the absolute residuals that is no less than a part `coverage` of them and of one
    more, as conformal prediction has it; by output. None if there are too few."""
    n, weight = len(residuals), scaling.relative(weight)
    wanted = coverage * (n + 1) / max(n, 1)
    if wanted > 1:
        return None
    order = np.argsort(residuals, axis=0)
    shares = np.cumsum(weight[order], axis=0) / weight.sum()
    first = np.argmax(shares >= wanted - 1e-12, axis=0)
    return np.take_along_axis(np.take_along_axis(residuals, order, 0), first[None], 0)[0]
