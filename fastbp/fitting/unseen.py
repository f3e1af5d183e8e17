"""Rows that members of an ensemble don't see: which, and what their errors there say of it."""

import numpy as np

from fastbp import measuring, parameters
from fastbp.fitting.committee import predict

#: Rows that are held out to judge the ensemble by: so many of four, within bounds. Each member does
#: without its share of them, and with few members at most with one row of five.
ONE_OF, FEWEST, MOST, MOST_OF_MEMBER = 4, 100, 2000, 0.2


# ------------------------------------------------------------------ who sees which rows


def all_rows(rows, n_members, random_state, n_kinds=1):
    """Every member sees all of them."""
    return [rows.copy() for _ in range(n_members)]


def bootstrap(rows, n_members, random_state, n_kinds=1):
    """Each member sees as many as there are, drawn with replacement (Breiman, 1996)."""
    return [np.sort(random_state.choice(rows, len(rows))) for _ in range(n_members)]


def folds(rows, n_members, random_state, n_kinds=1):
    """Each member sees all but one part of a quarter of the rows; of four members or more, at least
    two do without the same part, so that it can be seen how far they differ there. Of two kinds,
    the one the first half of the members, it is one of each, and of six members or more two of one
    kind and one of the other in turn, as far as they go.

    All rows in turn, an eighth for each of eight members, would cost 3 % in accuracy.
    """
    n, n_parts = len(rows), n_members
    if n_members >= 4:
        n_parts = max(2, (n_members + 1 - n_kinds) // 2)
    held_out = min(n, max(FEWEST, min(n // ONE_OF, MOST)), int(MOST_OF_MEMBER * n) * n_parts)
    chosen = random_state.permutation(rows)[:held_out]
    return [np.setdiff1d(rows, chosen[number % n_parts :: n_parts]) for number in range(n_members)]


#: By name: of the rows, the number of members, a random state and the number of kinds of members,
#: the rows of each member.
RESAMPLES = {None: all_rows, "folds": folds, "bootstrap": bootstrap}


# ------------------------------------------------------------------- what they say


def predict_unseen(learnt, kinds, weights, table, left_out, n_threads):
    """What the members that have not seen a row predict for it.

    Parameters
    ----------
    learnt : list of Learnt
    kinds : list of int
        The number of each member's kind.
    weights : list of float
        Of one member of each kind, in the mean of all.
    table : Table
    left_out : list of ndarray of int
        The rows that each has not seen.
    n_threads : int or None

    Returns
    -------
    count : ndarray of shape (n_kinds, n_rows)
        Of the members of each kind that have not seen a row.
    mean : ndarray of shape (n_rows, n_outputs)
        The weighted mean of their predictions; NaN where there is none.
    variance : ndarray of shape (n_kinds, n_rows, n_outputs)
        Of those of each kind, in units squared; NaN where there is no more than one.
    unit : ndarray of shape (n_outputs,)
        Powers of two of the size of the errors, so that squares are numbers.
    """
    # From y, so that squares of numbers far from 0 are not subtracted.
    errors = [
        np.float64(predict([member], table.X[rows], n_threads)[0]) - table.y[rows]
        for member, rows in zip(learnt, left_out, strict=True)
    ]
    most = [np.abs(error).max(axis=0, initial=0.0) for error in errors]
    unit = measuring.power_of_two(np.max(most, axis=0))
    count = np.zeros((len(weights), len(table.y)), int)
    total, squares = np.zeros((2, len(weights), *table.y.shape))
    for error, kind, rows in zip(errors, kinds, left_out, strict=True):
        error /= unit
        count[kind, rows] += 1
        total[kind, rows] += error
        squares[kind, rows] += error**2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.einsum("k,kio->io", weights, total) / (weights @ count)[:, None]
        of_kind = total / count[..., None]
        variance = np.maximum(squares - total * of_kind, 0) / (count - 1)[..., None]
    variance[count < 2] = np.nan
    return count, table.y + mean * unit, variance, unit


def shrinkage(residuals, count, variance, weight, weights, n_members):
    """How much smaller than these residuals those of the whole ensemble are, for each output.

    A mean over m members has 1/m of a member's variance, which is measured where two or more of its
    kind have not seen a row: the mean square error falls by (1/m − 1/n_members) of it. In a
    weighted mean it is the sum of the squares of the weights that falls. Of a kind whose variance
    is not known, nothing is taken off.

    Parameters
    ----------
    residuals : ndarray of shape (n_rows, n_outputs)
    count, variance : as of `predict_unseen`, for these rows
    weight : ndarray of shape (n_rows,)
    weights : ndarray of shape (n_kinds,)
        Of one member of each kind, in the mean of all.
    n_members : ndarray of shape (n_kinds,)
        Of each kind.
    """
    weight = measuring.relative(weight)
    squares = left = np.average(residuals**2, axis=0, weights=weight)
    there = (weights / (weights @ count)[:, None]).T  # a member's weight in the mean for a row
    for kind, of_kind in enumerate(variance):
        known = count[kind] >= 2
        if known.any():
            per_member = np.average(of_kind[known], axis=0, weights=weight[known])
            more = count[kind] * there[kind] ** 2 - n_members[kind] * weights[kind] ** 2
            left = left - np.average(more, weights=weight) * per_member
    left = np.clip(left, squares / n_members.sum(), squares)
    return np.sqrt(left / np.where(squares > 0, squares, 1))


def checked(residuals, weight, n_outputs):
    """Residuals and their weights as arrays, or an error: anybody may have set them."""
    residuals = parameters.floats_of(residuals, "residuals_")
    weight = parameters.floats_of(weight, "residual_weights_")
    if residuals.shape != (weight.size, n_outputs) or weight.ndim != 1:
        raise ValueError(
            f"Residuals and their weights are of different shapes: residuals_ of {residuals.shape} "
            f"and residual_weights_ of {weight.shape}, for {n_outputs} outputs."
        )
    if not (np.isfinite(residuals) & (residuals >= 0)).all():
        raise ValueError("Some residuals are not finite, or negative: residuals_ are distances.")
    if not (np.isfinite(weight) & (weight >= 0)).all() or (weight.size and not weight.any()):
        raise ValueError("residual_weights_ must be finite, at least 0, and not all 0.")
    return residuals, weight


def quantile(residuals, weight, coverage):
    """The least of the absolute residuals that is no less than a part `coverage` of them and of one
    more, as conformal prediction has it; by output. None if there are too few."""
    n, weight = len(residuals), measuring.relative(weight)
    wanted = coverage * (n + 1) / max(n, 1)
    if wanted > 1:
        return None
    order = np.argsort(residuals, axis=0)
    shares = np.cumsum(weight[order], axis=0) / weight.sum()
    first = np.argmax(shares >= wanted - 1e-12, axis=0)
    return np.take_along_axis(np.take_along_axis(residuals, order, 0), first[None], 0)[0]
