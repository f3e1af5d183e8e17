"""Members of an ensemble as one: their kinds, their weights, and the mean of what they predict."""

import numpy as np

from fastbp import encodings, measuring, parameters
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.predicting import predictions_of

#: Rows that all members predict before their mean is taken.
ROWS_AT_A_TIME = 2**16

#: How far from 1 the weights of members may sum to: they may have been float32.
ROUNDING = 1e-6


def shared_out(weights, n_members):
    """The number of each member's kind: of two kinds as many of either, and of an odd number one
    more of that with the larger weight."""
    n_second = 0
    if len(weights) == 2:
        n_second = (n_members + int(weights[1] > weights[0])) // 2
    return np.repeat([0, 1], [n_members - n_second, n_second])


def weights_of(kinds, weights):
    """The weight of each member, of the number of its kind and the weight of each kind, which is
    shared by its members."""
    weights = weights[kinds] / np.bincount(kinds)[kinds]
    return weights / weights.sum()


def kinds_of(learnt, weights):
    """Of each member the number of its kind; of each kind a member's weight, and how many."""
    encoded = [each.encoding is not None for each in learnt]
    _, first, kinds, n_members = np.unique(
        encoded, return_index=True, return_inverse=True, return_counts=True
    )
    return kinds, weights[first], n_members


def checked(members, weights, ends):
    """What each member has learnt, and the members' weights as an array, or an error, if these
    don't belong together: anybody may have set them.

    Parameters
    ----------
    members : list of BackpropRegressor
    weights : array-like of shape (n_members,)
    ends : (int, int)
        The ensemble's columns and outputs.
    """
    if not isinstance(members, list | tuple | np.ndarray) or len(members) == 0:
        raise ValueError(f"estimators_ must be a list of fitted networks, got {members!r}.")
    learnt = [getattr(member, "_learnt", None) for member in members]
    for number, each in enumerate(learnt):
        if not isinstance(each, Learnt):
            raise ValueError(f"estimators_[{number}] is not a fitted BackpropRegressor.")
        if (each.n_features, each.n_outputs) != ends:
            raise ValueError(
                f"The members are not of the ensemble's columns: estimators_[{number}] is for "
                f"{each.n_features} features and {each.n_outputs} outputs, n_features_in_ and "
                f"n_outputs_ are {ends[0]} and {ends[1]}."
            )
    return learnt, checked_weights(weights, len(learnt))


def checked_weights(weights, n_members):
    """Weights of members as an array, or an error, unless a mean is made with them."""
    weights = parameters.floats_of(weights, "estimator_weights_")
    if weights.shape != (n_members,):
        raise ValueError(
            f"An ensemble has a weight for each member: estimator_weights_ must be of shape "
            f"{(n_members,)}, it is of {weights.shape}."
        )
    each = weights.tolist()
    if not all(weight >= 0 for weight in each) or not abs(sum(each) - 1) <= ROUNDING:
        raise ValueError(
            f"The weights of members are {weights}: estimator_weights_ must be at least 0 and "
            "sum to 1."
        )
    return weights.astype(np.float64, copy=False)


def precision(learnt, X):
    """That of the members' predictions for X."""
    return np.result_type(*(member.precision(X) for member in learnt))


def predict(learnt, X, n_threads):
    """What each member, by what it has learnt, predicts for rows of X, in raw units.

    Returns
    -------
    ndarray of shape (n_members, n_rows, n_outputs)
    """
    columns = of = None
    y = np.empty((len(learnt), X.shape[0], learnt[0].n_outputs), precision(learnt, X))
    for member, of_member in zip(learnt, y, strict=True):
        kind = member.inner_precision(X), member.goes_by_entries(X)
        if kind != of:
            columns, of = member.columns(X), kind
        predictions_of(member, member.model_for(X), X, columns, of_member, n_threads)
    return y


def mean_and_std(learnt, weights, X, n_threads, *, with_std):
    """The weighted mean of what the members predict for rows of X, and how far they differ from it:
    both of shape (n_rows, n_outputs)."""
    mean, std = np.empty((2, X.shape[0], learnt[0].n_outputs), precision(learnt, X))
    # Of the variance; (n − 1)/n of n equal members.
    left = max(1 - np.sum(weights**2), 0.0) or 1.0
    at_a_time = min(each.rows_at_a_time(ROWS_AT_A_TIME, X) for each in learnt)
    with np.errstate(all="ignore"):
        for rows in measuring.slices(X.shape[0], at_a_time):
            each = predict(learnt, X[rows], n_threads)
            mean[rows] = center = weighted_sum(weights, each)
            if with_std:
                apart = each - center
                unit = measuring.power_of_two(np.abs(apart).max(axis=0))
                squares = weighted_sum(weights, (apart / unit) ** 2)
                std[rows] = np.sqrt(squares / left) * unit
    return mean, std


def weighted_sum(weights, each):
    """Σ of each member's values times its weight, member after member, in float64: what a row has
    doesn't depend on others, whereas einsum and BLAS add up in another order for other shapes."""
    total = np.zeros(each.shape[1:])
    for weight, of_member in zip(weights, each, strict=True):
        total += np.multiply(of_member, weight, dtype=np.float64)
    return total


def linear_of(learnt, weights=None):
    """The mean of what members add for each x, or None if none does."""
    weights = np.full(len(learnt), 1 / len(learnt)) if weights is None else weights
    linear = [w * m.linear for w, m in zip(weights, learnt, strict=True) if m.linear is not None]
    return np.sum(linear, axis=0) if linear else None


def kinds_of_models(learnt, weights):
    """Of each kind the members as kernels predict with them, if they are alike in all but
    numbers; the encoding that they see, what they add for each x or None, and what all of them
    together weigh."""
    learnt = [each.checked() for each in learnt]
    kinds, _, n_members = kinds_of(learnt, weights)
    found = []
    for kind in range(len(n_members)):
        of_kind = weights[kinds == kind]
        if np.ptp(of_kind) > 0:
            raise ValueError(
                "Members of one kind have different weights: only equal ones in "
                "estimator_weights_ can be written or compiled."
            )
        alike = [each for each, its in zip(learnt, kinds, strict=True) if its == kind]
        models, first = [each.model() for each in alike], alike[0]
        for other, model in zip(alike, models, strict=True):
            is_alike = np.array_equal(model.net, models[0].net)
            is_alike = is_alike and other.loss == learnt[0].loss
            if not is_alike or not encodings.are_the_same(other.encoding, first.encoding):
                raise ValueError("The members are not networks of one kind.")
        found.append((models, first.encoding, linear_of(alike), of_kind.sum()))
    return found
