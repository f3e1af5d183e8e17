"""Trainings before the one that counts: how long to train, with which decay and which columns."""

from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastbp import measuring, parameters
from fastbp.blas import one_thread_in_blas
from fastbp.fitting import curves, recipe, telling
from fastbp.fitting.history import History
from fastbp.fitting.plan import aligned, weights_at
from fastbp.fitting.schedules import SCHEDULES
from fastbp.fitting.settings import to_learn_of
from fastbp.fitting.state import OptimizerState
from fastbp.fitting.tasks import Interrupted, Plan, new_seed, scaled, scored_on, split
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.losses import nothing, of_outputs


def parts_of(task, n_parts, random_state):
    """Rows to train on and rows held out, so many times."""
    share = task.settings.validation_fraction
    return [split(task.rows, share, random_state, fewest=1) for _ in range(n_parts)]


def mean_curve(curves):
    """Their mean, after each epoch; one that ended before the others stays as it was."""
    n = max(map(len, curves))
    return np.mean([c + c[-1:] * (n - len(c)) for c in curves], axis=0).tolist()


class Trial(NamedTuple):
    """Trainings with a part of the rows held out."""

    plan: Plan  # that it speaks for
    loss: float  # on the rows held out, less that of their y itself
    history: History  # with the mean curves on the rows held out
    trained: Plan  # by which its networks were
    parts: list  # the rows that each was trained on, and those held out
    thetas: list  # the networks
    optimizer: OptimizerState  # of the last

    def of_parts(self, n):
        """What it says of the first parts."""
        return self._replace(parts=self.parts[:n], thetas=self.thetas[:n])

    def and_of(self, other):
        """With what one of the same plan says of other parts."""
        return other._replace(parts=self.parts + other.parts, thetas=self.thetas + other.thetas)

    def interrupted(self):
        """As if Ctrl-C had ended the last of its trainings."""
        history = replace(self.history, ended_by="interrupted")
        train, _ = self.parts[-1]
        return Interrupted(self.trained, self.thetas[-1], self.optimizer, history, train.size)


def least(made):
    """The trial that leaves the least."""
    return min(made, key=lambda trial: trial.loss)


class Search:
    """Finds how long to train, with which decay, and with which columns, by rows held out.

    The same rows are held out of all trials; of small tables they are different parts in turn. It
    begins with a pilot, whose curve says how long to train. Then short trials say whether a strong
    decay or other columns are better. If they are far from it, and the table has hardly any noise,
    another pilot says whether a moderate decay is.
    """

    def __init__(self, task, parts=None):
        settings = task.settings
        self.task, n_parts = task, recipe.n_pilots(len(task.rows), settings.hidden)
        self.parts = parts or parts_of(task, n_parts, task.random_state)
        # A third of the time is that of one, half of it that of all.
        self.seconds = settings.max_time and settings.max_time / (3 * len(self.parts))
        self.reserve = settings.max_time and settings.max_time / 2
        self.is_planned = SCHEDULES[settings.learning_rate].is_planned
        self.last = None  # trial

    def of(self, task):
        """The same for another task, of the same samples."""
        other = copy(self)
        other.task, other.last = task, None
        return other

    def run(self):
        """The trial that is to be followed."""
        settings, pilot = self.task.settings, self.pilot(self.task.plan)
        to_learn = to_learn_of(settings)
        if not (self.is_planned and settings.searches) or pilot.history.ended_by == "max_time":
            return pilot
        clean = recipe.CLEAN * to_learn
        if pilot.loss > recipe.NOISY * to_learn and self.has_hardly_begun(pilot):
            before, pilot = pilot, self.longer(pilot, 4, clean)
            if pilot is not before:
                return pilot
        firsts = self.first_trials(pilot)
        if any(first.loss <= recipe.TOO_FAR * pilot.loss for first in firsts):
            best = self.following(pilot, firsts, to_learn)
        elif pilot.loss < clean:
            best = self.decayed(pilot)
        else:
            is_short = settings.solver == "sgd" and pilot.plan.max_iter == settings.max_iter
            best = self.longer(pilot, 2, clean) if is_short else pilot
        return self.finer(best) if best.loss < clean else best

    def first_trials(self, pilot):
        """A short trial with strong decay; and, if that is clearly better, one without, but with
        columns scaled by what they are worth to the pilot."""
        first = self.trial(Plan(self.short_length, self.task.settings.search_decay))
        if len(self.task.rows) < recipe.ENOUGH_ROWS:
            return [first]
        scale = self.telling_scale_of(pilot)
        if scale is None:
            return [first]
        scaled = self.trial(first.plan._replace(weight_decay=pilot.plan.weight_decay, scale=scale))
        is_better = scaled.loss < recipe.CLEARLY * min(first.loss, pilot.loss)
        return [first, scaled] if is_better else [first]

    def following(self, pilot, firsts, to_learn):
        """The best of the pilot, of what these short trials lead to, and of the better one of that
        for as long as planned."""
        best = least([self.of_columns(first) for first in firsts])
        rivals = [pilot, best]
        if min(pilot.loss, best.loss) < recipe.NOISY * to_learn and (
            best is not firsts[0] or best.loss < pilot.loss
        ):
            rivals.append(self.pilot(best.plan._replace(max_iter=self.task.settings.max_iter)))
        return least(rivals)

    def decayed(self, pilot):
        """The better of the pilot of a clean table, and of one with a moderate decay."""
        plan, settings = self.task.plan, self.task.settings
        if "weight_decay" not in settings.auto or len(self.task.rows) > recipe.FEW_ROWS:
            return pilot
        return least([pilot, self.pilot(plan._replace(weight_decay=recipe.MODERATE_DECAY))])

    def of_columns(self, first):
        """The best of short trials in which units look at no column by itself, and columns are
        scaled by what they are worth."""
        best = self.better(first, first.plan._replace(looks=False))
        for _ in range(2):
            before, scale = best, self.scale_of(best)
            if scale is not None:
                best = self.better(best, best.plan._replace(scale=scale))
            if best is before:
                break
        return best

    def has_hardly_begun(self, pilot):
        """Whether a network knows its own rows hardly better than those held out. Where it has
        ended before, since it was worse and worse for these, it had begun. (Noise that is learnt by
        heart slowly needs no pilots of ever more epochs.)"""
        if pilot.history.ended_by == "risen":
            return False
        left = pilot.history.last_loss - self.task.settings.perfect_loss
        return left > recipe.BY_HEART * pilot.loss

    def finer(self, pilot):
        """The pilot of a clean table, which is learnt the better, the more steps are made: smaller
        ones where they may be, else a few more."""
        settings, plan = self.task.settings, pilot.plan
        if not settings.finds_length or plan.max_iter != settings.max_iter:
            return pilot
        batch_size, times = settings.for_clean
        plan = plan._replace(batch_size=batch_size, max_iter=round(times * plan.max_iter))
        return pilot._replace(plan=plan)

    def longer(self, pilot, times, clean):
        """The pilot of a plan so many times as long, and of ever longer ones, as long as each is
        clearly better, not `clean`, and its curve doesn't say that it was too long."""
        settings, length = self.task.settings, self.task.settings.max_iter
        is_cheap = settings.finds_length and len(self.task.rows) <= recipe.FEW_ROWS
        most = recipe.LONGEST * length if is_cheap else length
        while pilot.loss > clean and length < most:
            length *= times
            other = self.pilot(self.task.plan._replace(max_iter=length))
            if not other.loss < recipe.WORTH_LONGER * pilot.loss:
                break
            pilot = other
            if pilot.plan.max_iter < length:
                break
        return pilot

    def better(self, best, plan):
        """The trial of this plan, if it is better."""
        other = self.trial(plan)
        return other if other.loss < best.loss else best

    @telling.of_trials
    def trial(self, plan, *, ends_when_risen=False):
        """Train for as long as planned, or until the curve has risen, and see how that ends."""
        task, losses, scores, thetas = self.task, [], [], []
        for train, rest in self.parts:
            theta = aligned(task.start(plan), task.samples.X.dtype)
            history, optimizer = task.try_out(
                plan, theta, new_seed(task.random_state), train, rest,
                n_iter_no_change=np.inf, max_time=self.seconds_left(),
                ends_above=self.perfect_loss(rest) if ends_when_risen else None,
            )  # fmt: skip
            losses.append(history.validation_losses)
            scores.append(history.validation_scores)
            thetas.append(theta)
            if history.ended_by == "max_time":  # no two curves need be equally long
                parts = self.parts[: len(thetas)]
                self.last = Trial(plan, np.inf, history, plan, parts, thetas, optimizer)
                return self.last
        history.validation_losses = mean_curve(losses)
        history.validation_scores = mean_curve(scores)
        perfect = np.mean([self.perfect_loss(rest) for _, rest in self.parts])
        loss = history.validation_losses[-1] - perfect
        self.last = Trial(plan, loss, history, plan, self.parts, thetas, optimizer)
        return self.last

    def seconds_left(self):
        """For the next training."""
        if self.seconds is None:
            return None
        return max(min(self.seconds, self.task.settings.max_time - self.reserve), 1e-6)

    @property
    def short_length(self):
        """Epochs of a trial that gives a first impression."""
        settings = self.task.settings
        steps = -(-len(self.parts[0][0]) // settings.batch_size)
        return recipe.short_length(settings.max_iter, steps)

    def short_trial(self, scale=None):
        """A first impression."""
        return self.trial(self.task.plan._replace(max_iter=self.short_length, scale=scale))

    def pilot(self, plan):
        """Train for half as long as planned, and see how long it does good."""
        n = plan.max_iter
        if self.is_planned:
            n = max(10, round(recipe.PILOT_LENGTH * n))
        # Of several the mean curve is read, to which each belongs to its end: cut off by itself,
        # 25 of 95 say another length.
        is_alone = self.is_planned and len(self.parts) == 1
        plan_of_pilot = plan._replace(max_iter=n)
        trial = self.trial(plan_of_pilot, ends_when_risen=is_alone)
        losses = np.array(trial.history.validation_losses)
        if trial.history.ended_by == "max_time":  # to which its schedule has kept
            n = len(losses)
        epochs = curves.chosen_epochs(losses, n, plan.max_iter, self.is_planned)
        least = trial.loss + (curves.smooth(losses, n).min() - losses[-1])
        return trial._replace(plan=plan._replace(max_iter=epochs), loss=least)

    def perfect_loss(self, rows):
        """That of y itself."""
        row = LOSSES[self.task.settings.loss]
        if row.perfect_loss is nothing:
            return 0.0
        held_out = scored_on(self.task.samples, rows)
        y, weight = np.float64(held_out.y), np.float64(held_out.weight)
        return of_outputs(row.perfect_loss, y, weights_at(weight, len(y), slice(None)))

    def telling_scale_of(self, trial):
        """As `scale_of`; None, too, if columns may not be scaled, or all are worth something."""
        scale = self.scale_of(trial) if self.task.settings.searches else None
        return None if scale is None or scale.min() >= recipe.NEXT_TO_NOTHING else scale

    @one_thread_in_blas()
    def scale_of(self, trial):
        """The scale of the columns by what they are worth to the network of a trial, or None."""
        (_, rest), task = trial.parts[-1], self.task
        n_features = task.samples.X.shape[1]
        if n_features > recipe.MOST_SCALED:
            return None
        X = scaled(task.samples.X[rest[: recipe.rows_permuted(n_features)]], trial.plan)
        X = recipe.dense(X.astype(np.float64))
        coefs, intercepts = parameters.unpack(np.float64(trial.thetas[-1]), task.net)
        column_of = np.arange(n_features) if task.encoding is None else task.encoding.column_of
        scale = recipe.column_scale(
            coefs, intercepts, task.settings.activations, X, task.random_state, column_of
        )
        seen = task.settings.seen
        if scale is not None and seen is not None:  # what is constant may move in a later table
            scale[measuring.are_constant(seen.X_mean, seen.X_deviation)[column_of]] = 1.0
        return scale
