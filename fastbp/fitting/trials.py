"""Trainings that are made before the one that counts: how long to train, and from where."""

from collections.abc import Callable
from copy import copy
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from fastbp import parameters
from fastbp.fitting import loop, recipe
from fastbp.fitting.plan import aligned, held_out_of
from fastbp.fitting.schedules import SCHEDULES
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.network import n_parameters
from fastbp.kernels.training.records import Samples


class Task(NamedTuple):
    """What is to be learnt, and how."""

    net: np.recarray
    settings: object
    samples: Samples
    rows: np.ndarray  # those of the samples that have a weight
    random_state: np.random.RandomState
    start: Callable  # first weights, θ in float64, as often as they are asked for

    def some_rows(self, most):
        """Rows at random, at most so many."""
        if len(self.rows) <= most:
            return self.rows
        return self.random_state.choice(self.rows, most, replace=False)


def first_weights(task):
    """θ that knows the data, in float64."""
    theta = np.zeros(n_parameters(task.net))
    recipe.first_weights(
        *parameters.unpack(theta, task.net),
        task.settings.activations,
        task.samples.X[task.some_rows(recipe.ROWS_LOOKED_AT)],
        task.random_state,
        task.settings.solver,
    )
    return theta


def step_size(task, theta):
    """That of plain descent, by the curvature at the first weights."""
    settings, X = task.settings, np.float64(task.samples.X[task.some_rows(256)])
    coefs, intercepts = parameters.unpack(np.asarray(theta, np.float64), task.net)
    curvature = recipe.curvature(
        coefs, intercepts, settings.activations, X, LOSSES[settings.loss].curvature,
        settings.batch_size,
    )  # fmt: skip
    return recipe.sgd_step(curvature, settings.momentum, settings.nesterovs_momentum)


def new_optimizer(settings, theta, seed, began=0):
    """An optimiser that begins."""
    return loop.OptimizerState.start(settings, theta, seed, began)


def new_seed(random_state):
    """Of the orders of the samples."""
    return random_state.randint(np.iinfo(np.int64).max, dtype=np.int64)


def try_out(task, settings, theta, seed, rows, held_out=None):
    """Train on some rows with these settings, and watch the loss; the weights are thrown away.

    Its seconds are taken off those that there are for all trainings together.
    """
    scored = None if held_out is None else scored_on(task.samples, held_out)
    theta = aligned(theta, task.samples.X.dtype)
    optimizer = new_optimizer(settings, theta, seed)
    samples = task.samples._replace(order=rows.copy())
    history = loop.fit(task.net, theta, samples, scored, settings, optimizer)
    if history.ended_by == "interrupted":  # there is no model yet that could be kept
        raise KeyboardInterrupt
    if task.settings.max_time is not None:
        task.settings.max_time = max(task.settings.max_time - history.seconds, 1e-6)
    return history


def scored_on(samples, rows):
    """Some of the samples, as held-out ones."""
    weight = samples.sample_weight[rows] if samples.sample_weight.size else None
    return held_out_of(samples.X[rows], samples.y[rows], weight)


def best_start(task):
    """First weights and the seed with which training ends best, of a few.

    Returns
    -------
    theta : ndarray of shape (n_parameters,), float64
    seed : int
    """
    n_starts, settings = recipe.n_starts(task.settings.hidden), copy(task.settings)
    if settings.init == "glorot" or n_starts == 1:
        return task.start(), new_seed(task.random_state)
    settings.holds_out = False
    if settings.max_time is not None:  # half of it is theirs
        settings.max_time /= 2 * n_starts
    rows = task.some_rows(recipe.ROWS_LOOKED_AT)
    starts, losses = [], []
    for _ in range(n_starts):
        starts.append((task.start(), new_seed(task.random_state)))
        losses.append(try_out(task, settings, *starts[-1], rows).losses[-1])
    return starts[int(np.nanargmin(losses))]


def length_by_pilots(task):
    """The mean course of trainings with a part held out, and how long it says to train on all.

    Returns
    -------
    pilot : History
    max_iter : int
    """
    settings, shorter = task.settings, copy(task.settings)
    is_planned = SCHEDULES[settings.learning_rate].is_planned
    if is_planned:
        shorter.max_iter = max(10, round(recipe.PILOT_LENGTH * settings.max_iter))
    shorter.holds_out, shorter.n_iter_no_change = False, np.inf
    n_pilots = recipe.n_pilots(len(task.rows))
    if settings.max_time is not None:  # a third of it is theirs
        shorter.max_time = settings.max_time / (3 * n_pilots)
    curves, scores = [], []
    for _ in range(n_pilots):
        train, rest = train_test_split(
            task.rows, test_size=settings.validation_fraction, random_state=task.random_state
        )
        theta = task.start()
        history = try_out(task, shorter, theta, new_seed(task.random_state), train, rest)
        curves.append(history.validation_losses)
        scores.append(history.validation_scores)
        if history.ended_by == "max_time":
            return history, settings.max_iter
    history.validation_losses = np.mean(curves, axis=0).tolist()
    history.validation_scores = np.mean(scores, axis=0).tolist()
    losses = np.array(history.validation_losses)
    return history, recipe.chosen_epochs(losses, settings.max_iter, is_planned)
