"""Trainings that are made before the one that counts: how long to train, from where, and what of
the columns."""

import math
from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastbp import parameters
from fastbp.encodings import Encoding
from fastbp.entries import Entries
from fastbp.fitting import recipe, solvers, telling
from fastbp.fitting.blas import one_thread_in_blas
from fastbp.fitting.history import History
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.plan import aligned, held_out_of, rows_of, weights_at
from fastbp.fitting.predicting import predictions
from fastbp.fitting.schedules import SCHEDULES
from fastbp.fitting.state import OptimizerState
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.losses import nothing, of_outputs
from fastbp.kernels.formulas.network import n_parameters
from fastbp.kernels.training.records import Samples


class Plan(NamedTuple):
    """How to train, as far as trials can tell."""

    max_iter: int
    weight_decay: float
    scale: np.ndarray | None = None  # what each standardised column is multiplied by
    looks: bool = True  # half of the first units look at one column each


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a trial, whose network is all that there is."""

    def __init__(self, plan, theta, optimizer, history, n_samples):
        super().__init__()
        self.plan, self.theta, self.optimizer = plan, theta, optimizer
        self.history, self.n_samples = history, n_samples


class Task(NamedTuple):
    """What is to be learnt, and how."""

    net: np.recarray
    settings: object
    samples: Samples
    rows: np.ndarray  # those of the samples that have a weight
    random_state: np.random.RandomState
    drawn: np.ndarray | None = None  # the first weights, where they don't go by the data
    encoding: Encoding | None = None

    @property
    def plan(self):
        """What the settings say."""
        return Plan(self.settings.max_iter, self.settings.weight_decay)

    def some_rows(self, most):
        """Rows at random, at most so many."""
        if len(self.rows) <= most:
            return self.rows
        return self.random_state.choice(self.rows, most, replace=False)

    def start(self, plan):
        """First weights: θ, in float64; drawn anew each time, unless they don't go by the data."""
        return self.first_weights(plan) if self.drawn is None else self.drawn

    @one_thread_in_blas()
    def first_weights(self, plan):
        """Those that know the data."""
        theta = np.zeros(n_parameters(self.net))
        X = scaled(self.samples.X[self.some_rows(recipe.ROWS_LOOKED_AT)], plan)
        recipe.first_weights(
            *parameters.unpack(theta, self.net),
            self.settings.activations,
            X,
            self.random_state,
            columns=self.columns_looked_at(X, plan),
            solver=self.settings.solver,
            steepest=recipe.STEEPEST if self.encoding is None else recipe.STEEPEST_ENCODED,
        )
        return theta

    def columns_looked_at(self, X, plan):
        """Those that first units look at one by one: not at encoded ones."""
        if not plan.looks:
            return ()
        columns = recipe.columns_looked_at(X, plan.scale)
        return columns if self.encoding is None else columns[columns < self.encoding.low.size]

    def step_size(self, plan, theta):
        """The first: where it is "auto", that of the recipe."""
        settings = self.settings
        if settings.learning_rate_init != "auto":
            return settings.learning_rate_init
        if settings.full_batch:  # its own first choice in each line search
            return 1.0
        if settings.solver != "sgd":
            return recipe.adam_step(settings.activations)
        return self.step_size_by_curvature(plan, theta)

    @one_thread_in_blas()
    def step_size_by_curvature(self, plan, theta):
        """That of plain descent, at the first weights."""
        settings = self.settings
        X = scaled(self.samples.X[self.some_rows(256)], plan).astype(np.float64)
        weights = parameters.unpack(np.float64(theta), self.net)
        scale, batch_size = LOSSES[settings.loss].curvature, settings.batch_size
        curvature = recipe.curvature(*weights, settings.activations, X, scale, batch_size)
        return recipe.sgd_step(curvature, settings.momentum, settings.nesterovs_momentum)

    def predict(self, trial):
        """What the networks of a trial say of the rows held out of each, in the units of training:
        ŷ, part after part."""
        settings, said = self.settings, []
        for theta, (_, rest) in zip(trial.thetas, trial.parts, strict=True):
            learnt = Learnt.of(theta, self.net, settings, None)
            X = rows_of(scaled(self.samples.X[rest], trial.trained), slice(None))
            y = np.empty((len(rest), learnt.n_outputs), theta.dtype)
            predictions(learnt.model(), X, y, settings.n_threads)
            said.append(y)
        return np.concatenate(said)

    def try_out(self, plan, theta, seed, rows, held_out=None, **changes):
        """Train θ in place on some rows as planned, with some settings changed, and watch the loss.

        Its seconds are taken off those that there are for all trainings together.

        Returns
        -------
        History, OptimizerState
        """
        settings = copy(self.settings)
        vars(settings).update(
            max_iter=plan.max_iter,
            weight_decay=plan.weight_decay,
            learning_rate_init=self.step_size(plan, theta),
            holds_out=False,
            **changes,
        )
        samples = self.samples._replace(X=scaled(self.samples.X, plan), order=rows.copy())
        scored = None if held_out is None else scored_on(samples, held_out)
        optimizer = OptimizerState.start(settings, theta, seed)
        history = solvers.fit(self.net, theta, samples, scored, settings, optimizer)
        if history.ended_by == "interrupted":
            raise Interrupted(plan, theta, optimizer, history, rows.size)
        if self.settings.max_time is not None:
            self.settings.max_time = max(self.settings.max_time - history.seconds, 1e-6)
        return history, optimizer


def scaled(X, plan):
    """Columns as they are planned to be trained on."""
    if plan.scale is None:
        return X
    if isinstance(X, Entries):
        return X.times(plan.scale)
    X = X * plan.scale.astype(X.dtype)
    X.flags.writeable = False
    return X


def scored_on(samples, rows):
    """Some of the samples, as held-out ones."""
    weight = samples.sample_weight
    weight = weights_at(weight, len(samples.y), rows) if weight.size else None
    return held_out_of(rows_of(samples.X, rows), rows_of(samples.y, rows), weight)


def new_seed(random_state):
    """Of the orders of the samples."""
    return random_state.randint(2**63 - 1, dtype=np.int64)


def best_start(task, plan):
    """First weights and the seed with which training ends best, of a few.

    Returns
    -------
    theta : ndarray of shape (n_parameters,)
    seed : int
    """
    n_starts, seconds = recipe.n_starts(task.settings.hidden), task.settings.max_time
    half = (seconds or 0.0) / 2
    if task.drawn is not None or n_starts == 1:
        return task.start(plan), new_seed(task.random_state)
    if seconds is not None:  # half of it is theirs
        seconds /= 2 * n_starts
    rows = task.some_rows(recipe.ROWS_LOOKED_AT)
    starts, losses = [], []
    telling.of_starts(n_starts, len(rows), plan.max_iter)
    for number in range(1, n_starts + 1):
        start, seed = task.start(plan), new_seed(task.random_state)
        theta = aligned(start, task.samples.X.dtype)
        history, _ = task.try_out(plan, theta, seed, rows, max_time=seconds)
        starts.append((start, seed))
        losses.append(history.last_loss)
        telling.of_start(number, n_starts, history)
        if seconds is not None and task.settings.max_time <= half:  # of a busy processor, say
            break
    return starts[int(np.nanargmin(losses))]


def parts_of(task, n_parts, random_state):
    """Rows to train on and rows held out, so many times."""
    share = task.settings.validation_fraction
    return [split(task.rows, share, random_state, fewest=1) for _ in range(n_parts)]


def split(rows, fraction, random_state, fewest):
    """Rows to train on, and rows held out, of which there are this many at least: those of
    scikit-learn's `train_test_split`, which looks at them for ten times as long."""
    n_held_out = math.ceil(fraction * len(rows))
    if n_held_out < fewest:
        raise ValueError(
            "The validation set is too small. Increase validation_fraction or the number "
            f"of samples: n_samples={len(rows)}."
        )
    if n_held_out == len(rows):
        raise ValueError(
            f"validation_fraction={fraction:g} leaves none of {n_held_out} rows to train on. "
            "Decrease it, or give more samples."
        )
    rows = rows[random_state.permutation(len(rows))]
    return rows[n_held_out:], rows[:n_held_out]


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


class Search:
    """Finds how long to train, with which decay, and with which columns, by rows held out.

    The same rows are held out of all trials; of small tables they are different parts in turn. It
    begins with a pilot, whose curve says how long to train. A table without noise needs no more:
    the rest is for noisy tables, and for those with columns that mean nothing.
    """

    def __init__(self, task, parts=None):
        settings = task.settings
        self.task, n_parts = task, recipe.n_pilots(len(task.rows), settings.hidden)
        self.parts = parts or parts_of(task, n_parts, task.random_state)
        # A third of the time is theirs.
        self.seconds = settings.max_time and settings.max_time / (3 * n_parts)
        self.is_planned = SCHEDULES[settings.learning_rate].is_planned

    def run(self, rival=np.inf):
        """The trial that is to be followed.

        `rival` is the loss of what it will be compared with: far from it nothing more is tried.
        """
        settings, pilot = self.task.settings, self.pilot(self.task.plan)
        to_learn = max(settings.constant_loss - settings.perfect_loss, 0.0)
        steps = -(-len(self.parts[0][0]) // settings.batch_size)
        if not (self.is_planned and settings.searches) or pilot.history.ended_by == "max_time":
            return pilot
        clean = recipe.CLEAN * to_learn
        if pilot.loss < clean:
            return self.somewhat_longer(pilot)
        if pilot.loss > recipe.TOO_FAR * rival:
            return pilot
        if pilot.loss > recipe.NOISY * to_learn and self.has_hardly_begun(pilot):
            before, pilot = pilot, self.longer(pilot, 4, clean)
            if pilot is not before:
                return pilot
        plan = Plan(recipe.short_length(settings.max_iter, steps), settings.search_decay)
        first = self.trial(plan)
        if first.loss > recipe.TOO_FAR * pilot.loss:
            is_short = settings.solver == "sgd" and pilot.plan.max_iter == settings.max_iter
            return self.longer(pilot, 2, clean) if is_short else pilot
        return self.of_columns(pilot, first, to_learn)

    def of_columns(self, pilot, first, to_learn):
        """The best of trials in which units look at no column by itself, columns are scaled by what
        they are worth, and training is short or as long as planned."""
        best = self.better(first, first.plan._replace(looks=False))
        for _ in range(2):
            before, scale = best, self.scale_of(best)
            if scale is not None:
                best = self.better(best, best.plan._replace(scale=scale))
            if best is before:
                break
        rivals = [pilot, best]
        if min(pilot.loss, best.loss) < recipe.NOISY * to_learn and (
            best is not first or best.loss < pilot.loss
        ):
            rivals.append(self.pilot(best.plan._replace(max_iter=self.task.settings.max_iter)))
        return min(rivals, key=lambda trial: trial.loss)

    def has_hardly_begun(self, pilot):
        """Whether a network knows its own rows hardly better than those held out."""
        left = pilot.history.last_loss - self.task.settings.perfect_loss
        return left > recipe.BY_HEART * pilot.loss

    def somewhat_longer(self, pilot):
        """The pilot of a clean table, which is learnt the better, the longer it is trained on."""
        settings, plan = self.task.settings, pilot.plan
        is_whole = settings.finds_length and plan.max_iter == settings.max_iter
        if not is_whole or len(self.task.rows) <= recipe.FEW_ROWS:
            return pilot
        epochs = round(recipe.CLEAN_TIMES * plan.max_iter)
        return pilot._replace(plan=plan._replace(max_iter=epochs))

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
    def trial(self, plan, most_parts=2):
        """Train for as long as planned, and see how that ends."""
        task, losses, scores, thetas = self.task, [], [], []
        for train, rest in self.parts[:most_parts]:
            theta = aligned(task.start(plan), task.samples.X.dtype)
            history, optimizer = task.try_out(
                plan, theta, new_seed(task.random_state), train, rest,
                n_iter_no_change=np.inf, max_time=self.seconds,
            )  # fmt: skip
            losses.append(history.validation_losses)
            scores.append(history.validation_scores)
            thetas.append(theta)
            if history.ended_by == "max_time":  # no two curves need be equally long
                parts = self.parts[: len(thetas)]
                return Trial(plan, np.inf, history, plan, parts, thetas, optimizer)
        history.validation_losses = mean_curve(losses)
        history.validation_scores = mean_curve(scores)
        perfect = np.mean([self.perfect_loss(rest) for _, rest in self.parts[:most_parts]])
        loss, parts = history.validation_losses[-1] - perfect, self.parts[: len(thetas)]
        return Trial(plan, loss, history, plan, parts, thetas, optimizer)

    def pilot(self, plan):
        """Train for half as long as planned, and see how long it does good."""
        n = plan.max_iter
        if self.is_planned:
            n = max(10, round(recipe.PILOT_LENGTH * n))
        trial = self.trial(plan._replace(max_iter=n), len(self.parts))
        if trial.history.ended_by == "max_time":
            return trial._replace(plan=plan)
        losses = np.array(trial.history.validation_losses)
        epochs = recipe.chosen_epochs(losses, plan.max_iter, self.is_planned)
        least = trial.loss + (recipe.smooth(losses).min() - losses[-1])
        return trial._replace(plan=plan._replace(max_iter=epochs), loss=least)

    def perfect_loss(self, rows):
        """That of y itself."""
        row = LOSSES[self.task.settings.loss]
        if row.perfect_loss is nothing:
            return 0.0
        held_out = scored_on(self.task.samples, rows)
        y, weight = np.float64(held_out.y), np.float64(held_out.weight)
        return of_outputs(row.perfect_loss, y, weights_at(weight, len(y), slice(None)))

    @one_thread_in_blas()
    def scale_of(self, trial):
        """The scale of the columns by what they are worth to the network of a trial, or None."""
        rest, task = self.parts[:2][-1][1], self.task
        n_features = task.samples.X.shape[1]
        if n_features > recipe.MOST_SCALED:
            return None
        X = scaled(task.samples.X[rest[: recipe.rows_permuted(n_features)]], trial.plan)
        X = recipe.dense(X.astype(np.float64))
        coefs, intercepts = parameters.unpack(np.float64(trial.thetas[-1]), task.net)
        return recipe.column_scale(
            coefs, intercepts, task.settings.activations, X, task.random_state,
            task.encoding and task.encoding.column_of,
        )  # fmt: skip
