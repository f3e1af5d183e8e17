"""What judges the rows that are held out, where kernels don't: any scorer of scikit-learn's."""

from copy import copy
from inspect import signature
from numbers import Real

import numpy as np
from sklearn.metrics import check_scoring

#: The values of `scoring` that kernels know.
COMPILED = (None, "loss", "r2")


def is_compiled(scoring):
    """Whether kernels judge by it."""
    return scoring is None or (isinstance(scoring, str) and scoring in COMPILED)


def name_of(scoring):
    """What tells it from others, in a pickle and in a file."""
    if isinstance(scoring, str):
        return scoring
    return getattr(scoring, "__qualname__", None) or repr(scoring)


def judge_of(settings, learnt, held_out):
    """The score of a θ on held-out rows, as a function; None where kernels say it.

    Parameters
    ----------
    settings : see `settings_of`
        With `model`, an estimator that predicts with what has been learnt.
    learnt : callable
        What has been learnt, of a θ.
    held_out : Table or None
        In raw units.
    """
    if held_out is None or is_compiled(settings.scoring):
        return None
    scorer = check_scoring(settings.model, settings.scoring)
    X, y, weight, by_output = held_out[:4]
    if by_output is not None:
        raise ValueError(
            f"scoring={settings.scoring!r} can't be told that outputs weigh differently, or are "
            "missing: take 'r2' or 'loss'."
        )
    y = y.ravel() if y.shape[1] == 1 else y
    if np.ndim(settings.loss_parameter):  # a column for each quantile of one y
        y = y[:, 0]
    weights = {}
    if weight is not None and takes_weights(scorer):
        weights["sample_weight"] = weight

    def judge(theta):
        score = scorer(with_learnt(settings.model, learnt(theta.copy())), X, y, **weights)
        if not isinstance(score, Real) or not np.isfinite(score):
            raise ValueError(
                f"scoring={settings.scoring!r} gives {score!r} for the rows held out, which is no "
                "finite number."
            )
        return float(score)

    return judge


def takes_weights(scorer):
    """Whether a scorer knows weights of samples."""
    if hasattr(scorer, "_accept_sample_weight"):  # scikit-learn's, by what they call
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


def with_learnt(model, learnt):
    """An estimator with these weights; of the table's columns it knows how many there are."""
    model = copy(model)
    vars(model).pop("feature_names_in_", None)
    known = {"n_features_in_": learnt.n_features, "n_outputs_": learnt.n_outputs}
    vars(model).update(known, _learnt=learnt)
    return model
