"""What is to be learnt of which samples, from which first weights, and one training of it."""

import math
from copy import copy
from typing import NamedTuple

import numpy as np

from fastbp import parameters
from fastbp.blas import one_thread_in_blas
from fastbp.encodings import Encoding
from fastbp.entries import Entries
from fastbp.fitting import recipe, solvers, telling
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.plan import aligned, held_out_of, rows_of, weights_at
from fastbp.fitting.predicting import predictions
from fastbp.fitting.state import OptimizerState
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.network import n_parameters
from fastbp.kernels.training.records import Samples


class Plan(NamedTuple):
    """How to train, as far as trials can tell."""

    max_iter: int
    weight_decay: float
    scale: np.ndarray | None = None  # what each standardised column is multiplied by
    looks: bool = True  # half of the first units look at one column each
    batch_size: int | None = None  # None: what the settings say

    def no_longer_than(self, epochs):
        return self._replace(max_iter=min(self.max_iter, epochs))

    def put_into(self, settings):
        """Settings then say so; an alpha goes by the rows in a step, of which scikit-learn divides
        it by the number."""
        settings.max_iter, settings.weight_decay = self.max_iter, self.weight_decay
        if self.batch_size:
            settings.alpha *= self.batch_size / settings.batch_size
            settings.batch_size = self.batch_size


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
    n_threads: int | None = None  # of each training meanwhile, if not those of the settings

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
            # Of rows in float64 the kernel is compiled in any case, for whoever predicts.
            X = np.float64(scaled(self.samples.X[rest], trial.trained))
            X.flags.writeable = False
            y = np.empty((len(rest), learnt.n_outputs))
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
        settings.n_threads = self.n_threads or settings.n_threads
        plan.put_into(settings)
        vars(settings).update(
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
