"""What is said of a training that has ended, as warnings: why it ended, and what to do about it."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import callers, hidden
from fastbp.fitting.committee import mean_and_std
from fastbp.fitting.schedules import SCHEDULES
from fastbp.fitting.settings import loss_with_left
from fastbp.scored import score_by_output

#: The part of a layer's units from which on it is their state that ended learning.
MOST_UNITS = 0.5

#: Deviations that a call's rows may lie from all before, in a stream. (A fifth of y's variance
#: that is left unexplained becomes a half from there on, from 100 on all of it.)
FAR = 10.0

#: Of how many rows, before and now, deviations are believed: of two or three they may be anything.
FEWEST_ROWS = 10

#: R² of what is the same for all rows may be so large, by rounding.
ROUNDING = 1e-6

#: What to say of a training that ended unfinished, by what ended it.
UNFINISHED = {
    "max_iter": "Stopped after max_iter={model.max_iter_} epochs, before the loss stopped "
    "improving.",
    "no end": "Trained for all of max_iter={model.max_iter_} epochs, since n_iter_no_change=inf; "
    "whether the loss still improved was not looked at.",
    "max_fun": "Stopped after more than max_fun={model.max_fun} gradients, before the loss stopped "
    "improving.",
    "line search": "Stopped after {model.n_iter_} iterations, where no step improved the loss. "
    "Scale the columns of X and y, unless that is as good as it gets.",
}


def warn(model, fitted, table=None):
    """All that the user should know of the training that made this model a fitted one.

    Parameters
    ----------
    model : BackpropRegressor
        Which has noted what happened.
    fitted : Fitted
    table : Table, default=None
        Which it was fitted on, where it is in one place.
    """
    warn_of_clipping(model, fitted)
    warn_of_restarts(model, fitted)
    if fitted.settings.is_partial:
        warn_of_encoding(model, fitted)
        warn_of_move(model, fitted)
    else:
        warn_of_end(model, fitted, table, model._parts)


def warn_of_clipping(model, fitted):
    """Say that the batches that were given are larger than the table."""
    makes_steps = model.batch_size != "auto" and not fitted.settings.full_batch
    if makes_steps and model.batch_size > fitted.n_samples:
        say(
            f"Got `batch_size` {model.batch_size}, larger than the sample size. It is going to "
            f"be clipped to {fitted.n_samples}.",
            UserWarning,
        )


def warn_of_restarts(model, fitted):
    """Say that the step size that was given is not the one trained with."""
    if fitted.history.restarts and model.learning_rate_init != "auto":
        say(
            f"Training diverged with learning_rate_init={model.learning_rate_init:g}, and was "
            f"begun again with {model.learning_rate_init_:.3g}. Lower it, or leave it 'auto'."
        )


def warn_of_encoding(model, fitted):
    """Say that the rows of a stream's first call, which encodings are measured on, were too few."""
    is_first = model.t_ == fitted.n_samples
    if is_first and fitted.learnt.encoding_names and not model.encoding_:
        say(
            f"No column is encoded: that is measured on the rows of the first call, {model.t_} "
            "here, in which no column has three values. Begin with more of them.",
            UserWarning,
        )


def warn_of_move(model, fitted):
    """Say that a stream has gone so far that its rows, and those before, hardly differ in the
    units of both together."""
    if min(fitted.n_samples, model.t_ - fitted.n_samples) < FEWEST_ROWS:
        return
    for distance, of in zip(fitted.settings.moved, ("X", "y"), strict=False):
        column = int(np.argmax(distance))
        if distance[column] > FAR:
            names = getattr(model, "feature_names_in_", None) if of == "X" else None
            name = column if names is None else repr(str(names[column]))
            what = f"Column {name} of {of}" if of == "X" or len(distance) > 1 else of
            say(
                f"{what} lies {distance[column]:.3g} deviations from all that was trained on "
                "before. In the units of both its rows hardly differ, and little is learnt of "
                "them. Fit anew, or take off the columns of each call what moves.",
                UserWarning,
            )


def warn_of_end(model, fitted, table, parts):
    """Say how training ended, where that is not as it should be; `parts` are what has been learnt
    and its weights, of all members of an ensemble."""
    history, settings = fitted.history, fitted.settings
    as_planned = SCHEDULES[settings.learning_rate].is_planned or fitted.pilot is not None
    if history.ended_by == "interrupted":
        what = "the last whole epoch"
        if fitted.is_of_trial:
            what += " of a trial on a part of the rows"
        say(f"Interrupted after {model.n_iter_} epochs; the weights are those of {what}.")
    elif history.ended_by in UNFINISHED and not as_planned:
        endless = history.ended_by == "max_iter" and model.n_iter_no_change == np.inf
        say(UNFINISHED["no end" if endless else history.ended_by].format(model=model))
    if settings.holds_out and not np.isfinite(history.losses[-1]):
        say(
            f"Training diverged: the loss is {history.losses[-1]:.4g}. The weights are those "
            "of the best validation score. Lower learning_rate_init, or scale X and y."
        )
    is_done, nothing = history.ended_by != "interrupted", loss_with_left(1.0, settings)
    if is_done and nothing < np.inf and (loss := loss_of(fitted, table, parts)) >= nothing:
        say(
            f"The fit learnt nothing: its loss, {loss:.4g}, is no better than that "
            f"of the best constant, {settings.constant_loss:.4g}. {advice(model, fitted)}"
            f"{diagnosis(fitted, table)}"
        )
    if settings.drawn_in is not None:
        say(
            f"One row holds {settings.one_row:.0%} of the variance of y. It was taken for "
            "wrong, and its y drawn in to the range of the others. Leave the row out; or, if "
            "it is right, predict the logarithm of y.",
            UserWarning,
        )


def loss_of(fitted, table, parts):
    """That of what is predicted for the rows of a fit: of the training, unless there is a linear
    part, which that doesn't know; 0 if the table is in many places."""
    learnt, of_members = parts
    if all(each.linear is None for each in learnt):
        return fitted.history.loss_of_predictions
    if table is None:
        return 0.0
    settings, (X, y, *weights) = fitted.settings, table[:4]
    y = y if settings.drawn_in is None else np.clip(y, *settings.drawn_in)
    given = learnt, np.asarray(of_members), X, settings.n_threads
    predicted, _ = mean_and_std(*given, with_std=False)
    score = score_by_output(y, predicted, *weights)
    return loss_with_left(1.0 - score if score > ROUNDING else max(1.0 - score, 1.0), settings)


def advice(model, fitted):
    """What to do about a fit that learnt nothing."""
    settings, by_hand = fitted.settings, ("learning_rate_init", "max_iter", "init")
    given = [name for name in by_hand if getattr(model, name) != "auto"]
    if not model.standardize:
        return "Scale the columns of X and y: standardize=True does it."
    if model.alpha >= 0.1:
        return f"Lower alpha={model.alpha:g}."
    if given:
        return f"Leave {' and '.join(given)} 'auto'."
    if settings.refits and fitted.pilot is not None:
        return "On the rows held out, no length of training was of use: X may say nothing of y."
    return "X may say nothing of y."


def diagnosis(fitted, table):
    """What is wrong with most units of a layer that gets no gradient, if there is one."""
    if table is None or fitted.learnt.is_line:
        return ""
    if not all(np.isfinite(W).all() for W in fitted.learnt.coefs):
        return ""
    for found in hidden.look(fitted.learnt, hidden.some_rows(table), duplicates=False):
        if found.kind in ("dead", "saturated") and found.figure > MOST_UNITS:
            return f" In {found}"
    return ""


def say(message, category=ConvergenceWarning):
    warnings.warn(message, category, stacklevel=callers.stacklevel())
