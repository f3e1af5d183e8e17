"""Trainings that lead nowhere: how they are told, and what comes of them."""

from copy import deepcopy
from typing import NamedTuple

import numpy as np

from fastbp.fitting.history import History
from fastbp.fitting.plan import in_a_row, row_numbers, rows_of, shares_of, weights_at
from fastbp.fitting.settings import loss_with_left
from fastbp.fitting.windows import Windows
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.losses import of_outputs
from fastbp.kernels.training.records import HeldOut

#: A training that diverges begins again with a step size divided by this, so many times.
RESTART_DIVISOR, RESTARTS = 4.0, 4

#: It has diverged, too, if it ends worse than it began, with so many times what a constant's loss
#: has more than that of y itself.
HOPELESS = 1.5

#: So many times what a constant's loss has more than that of y itself is no beginning, where first
#: weights are drawn for standardised columns.
EXPLODED = 3.0

#: The part of that from which on nothing has been learnt.
NOTHING = 0.995

#: Weights that are smaller have a finite loss.
HUGE = 1e6

#: Samples that are looked at after the last step.
LOOKED_AT = 256

#: scikit-learn's words for it, that programs may look for.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class Vain(NamedTuple):
    """How a training ended that learnt nothing."""

    loss: float
    eta: float
    history: History
    what: object  # else there is to go back to


class Attempts:
    """The trainings of a fit: when one leads nowhere, the next begins with a smaller step.

    Parameters
    ----------
    history : History
        Of the one that goes on.
    settings : see `settings_of`
    eta : float
        The first's step size.

    Attributes
    ----------
    vain : Vain or None
        The best of those that learnt nothing.
    """

    def __init__(self, history, settings, eta):
        self.history, self.settings, self.eta_at_first, self.vain = history, settings, eta, None

    def has_exploded(self):
        """Whether a first epoch of plain descent, with a step that was given, went far away: there
        units are saturated, and smaller steps later don't bring them back."""
        history, settings = self.history, self.settings
        is_given = settings.solver == "sgd" and not (settings.finds_step or settings.is_partial)
        if not is_given or settings.init == "glorot" or not settings.standardize:
            return False
        is_left = history.restarts < RESTARTS
        return is_left and history.losses[0] > loss_with_left(EXPLODED, settings)

    def may_be_in_vain(self, has_risen=False):
        """Whether this one is over, as a pilot is whose curve `has_risen`, with a step that nobody
        asked for: hinges that a first long one has moved off the data never come back. (Or training
        was too short.)"""
        settings = self.settings
        is_over = has_risen or len(self.history.losses) >= settings.max_iter
        return is_over and settings.finds_step

    def is_vain(self, loss):
        """Whether one that ends so has learnt nothing."""
        return loss > loss_with_left(NOTHING, self.settings)

    def note(self, loss, eta, what):
        """Remember this one if it is the best that learnt nothing; returns whether a smaller step
        may do better. Where it left clearly more than a larger one, it is too small already."""
        vain, settings = self.vain, self.settings
        if vain is None or loss < vain.loss:
            self.vain = Vain(loss, eta, deepcopy(self.history), what)
        slack = loss_with_left(1.0, settings) - loss_with_left(NOTHING, settings)
        return self.may_be_smaller() and (vain is None or loss <= vain.loss + slack)

    def is_left_after_diverging(self):
        """Whether to try a smaller step (or to raise, if there is none)."""
        return self.vain is None or self.may_be_smaller()

    def may_be_smaller(self):
        """Whether the step is one that nobody asked for, and smaller ones are left."""
        return self.settings.finds_step and self.history.restarts < RESTARTS

    def smaller_step(self, eta, advice=""):
        """The step size to begin again with, after a training with `eta`; or an error, if there
        have been enough. Nothing has happened then."""
        history = self.history
        if history.restarts == RESTARTS:
            words = (
                f"Training diverged: the loss is {history.losses[-1]:.4g} in epoch "
                f"{len(history.losses)}, with learning_rate_init={self.eta_at_first:g} and with "
                f"{RESTARTS} smaller step sizes, the last {eta:.3g}. {NON_FINITE} {advice}"
            )
            raise ValueError(words.rstrip())
        history.restarts += 1
        history.forget_after(0)
        return self.eta_at_first / RESTART_DIVISOR**history.restarts

    def best(self, last_loss):
        """The one to end as, which is the history's from now on; None if this is better, by what
        ``last_loss()`` says, or if all have learnt something."""
        vain, self.vain = self.vain, None
        if vain is None or (self.history.losses and last_loss() < vain.loss):
            return None
        self.history.becomes(vain.history)
        return vain


def may_be_penalty(history, settings):
    """Whether a training has ended with a loss as large as if nothing were learnt, of which `alpha`
    may make up most."""
    return settings.alpha > 0 and history.last_loss >= loss_with_left(1.0, settings)


def keeps_the_best(settings):
    """Whether a training that diverges ends with the best weights, as MLPRegressor's."""
    return settings.init == "glorot" and settings.holds_out


def advice(settings):
    """What to do about a training that diverges, with the settings at hand."""
    if not settings.standardize:
        return "Scale the columns of X and y: standardize=True does it."
    if settings.max_grad_norm is None and settings.solver == "sgd":
        return "Lower learning_rate_init or momentum, or set max_grad_norm=1."
    return "Lower learning_rate_init or alpha, or set max_grad_norm=1."


def check_scores(history, settings):
    """An error, if there is no telling in which of the epochs weights were best."""
    if keeps_the_best(settings) and not np.isfinite(history.losses[-1]):
        return
    for figures in filter(None, (history.validation_scores, history.validation_losses)):
        wrong = np.flatnonzero(~np.isfinite(figures))
        if wrong.size:
            epoch = int(wrong[0])
            raise ValueError(
                f"The score on the rows held out is {figures[epoch]} in epoch {epoch + 1}: "
                "some of their X or y are too far from what is trained on. Look for wrong "
                "values among them."
            )


# ------------------------------------------------------------------------- after the last step


def some_samples(samples):
    """Some of what is trained on, as if held out; None if they have no weight."""
    X, y, weight = looked_at(samples)
    weight = weight if weight.size else np.ones(len(y), X.dtype)
    if not weight.any():
        return None
    weight = in_a_row(shares_of(weight))
    return HeldOut(row_numbers(len(y)), X, y, weight, np.ones(y.shape[1]))


def looked_at(samples):
    """X, y and weights of some of the samples."""
    if isinstance(samples, Windows):
        return samples.some(LOOKED_AT)[1:]
    order, X, y, weight = samples
    rows = order[:: -(-order.size // LOOKED_AT)]
    weight = weights_at(weight, len(y), rows) if weight.size else weight
    return rows_of(X, rows), rows_of(y, rows), weight


def hopeless_loss_of(some, settings, loss_scale):
    """What a loss of these is hopeless from."""
    y, weight = np.float64(some.y), np.float64(some.weight)
    row, weight = LOSSES[settings.loss], weights_at(weight, len(y), slice(None))
    constant = of_outputs(row.constant_loss, y, weight, settings.loss_parameter)
    perfect = of_outputs(row.perfect_loss, y, weight)
    return loss_scale * (perfect + HOPELESS * (constant - perfect))
