"""A fit, from validated samples to what has been learnt."""

from copy import copy
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from fastbp import parameters, scaling
from fastbp.fitting import loop, recipe
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.observer import observe
from fastbp.fitting.plan import aligned, held_out_of, row_numbers, samples_of
from fastbp.fitting.schedules import SCHEDULES
from fastbp.fitting.settings import BATCH_SIZE
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.network import n_parameters, network


class Table(NamedTuple):
    """Validated samples, in raw units."""

    X: np.ndarray  # or a sparse matrix
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None

    def rows(self, chosen):
        """Some of them."""
        weight = None if self.sample_weight is None else self.sample_weight[chosen]
        return Table(self.X[chosen], self.y[chosen], weight)

    def converted(self, dtype, units):
        """X, y and weights as the kernels take them."""
        X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
        X = scaling.converted(self.X, dtype, X_mean, X_scale)
        return X, scaling.converted(self.y, dtype, y_mean, y_scale), self.sample_weight


class Fitted(NamedTuple):
    """What comes of a fit."""

    learnt: Learnt
    optimizer: loop.OptimizerState  # to go on with
    history: loop.History
    settings: object  # with what "auto" became
    n_samples: int  # that were trained on
    pilot: loop.History | None  # of the rows held out to find how long to train
    observer: object  # or None


def fit(estimator, settings, table, held_out, *, before=None, optimizer=None, seen=0):
    """Train.

    Parameters
    ----------
    estimator : BackpropRegressor
        Only for those who watch it.
    settings : see `settings_of`
    table, held_out : Table, Table or None
    before : Learnt or None
        What to go on from.
    optimizer : OptimizerState or None
        To go on with: then the scaling of `before` stays.
    seen : int
        Samples trained on so far.

    Returns
    -------
    Fitted
    """
    random_state = check_random_state(settings.random_state)
    activations, X, y = settings.activations, table.X, table.y
    net = network((X.shape[1], *settings.hidden, y.shape[1]), activations, trained=True)
    dtype = np.dtype(settings.dtype or X.dtype)
    refits = settings.refits and held_out is None and before is None
    if before is not None:
        check_goes_on(before, net, settings.loss)
    elif settings.init == "glorot":
        # scikit-learn's bound for the first weights of the output layer goes by the one activation
        # of all hidden layers, even where there are none.
        like = settings.activation if isinstance(settings.activation, str) else None
        theta = parameters.initialize(net, activations, random_state, like)

    order = row_numbers(len(y))
    if settings.holds_out and held_out is None:
        if table.sample_weight is not None:  # what has no weight is not there
            order = order[table.sample_weight > 0]
        order, rows = split(order, settings.validation_fraction, random_state)
        held_out = table.rows(rows)
    units = before.scaling if before is not None and settings.is_partial else None
    if not settings.standardize:
        units = None
    elif units is None:
        units = scaling_of(table, order, settings.loss)
    samples = samples_of(*table.converted(dtype, units), order)
    scored = None if held_out is None else held_out_of(*held_out.converted(dtype, units))
    rows = in_use(samples)
    resolve(settings, len(rows))

    def start():
        """First weights, drawn anew."""
        if settings.init == "glorot":
            return theta
        return draw(net, activations, samples.X, rows, random_state)

    pilot = None
    if before is not None:
        theta = before.theta(units, dtype)
    elif settings.init != "glorot":
        theta = start()
    find_step_size(settings, net, theta, samples.X, rows, random_state)
    if refits and recipe.n_pilots(len(rows)):
        pilot, settings.max_iter = length_by_pilots(
            settings, net, start, samples, rows, random_state
        )
        theta = start()
    theta = aligned(theta, dtype)

    if optimizer is None or not optimizer.fits(settings, theta):
        began = 0 if settings.is_partial else seen
        optimizer = new_optimizer(settings, theta, random_state, began)

    def learnt(theta):
        return Learnt.of(theta, net, activations, settings.loss, units)

    observer = None if settings.is_partial else observe(estimator, settings, learnt, table)
    history = loop.fit(
        net, theta, samples, scored, settings, optimizer, observer=observer, seen=seen
    )
    if not np.isfinite(theta).all():
        raise ValueError("Training diverged: weights are not finite. Lower learning_rate_init.")
    return Fitted(learnt(theta), optimizer, history, settings, len(order), pilot, observer)


def new_optimizer(settings, theta, random_state, began=0):
    """An optimiser that begins."""
    seed = random_state.randint(np.iinfo(np.int64).max, dtype=np.int64)
    return loop.OptimizerState.start(settings, theta, seed, began)


def in_use(samples):
    """The rows that are trained on: those that have a weight."""
    if samples.sample_weight.size == 0:
        return samples.order
    return samples.order[samples.sample_weight[samples.order] > 0]


def resolve(settings, n):
    """What is "auto" adapts to the n rows that are trained on, and to what else is given."""
    if settings.batch_size == "auto":
        of_recipe = settings.init != "glorot"
        settings.batch_size = min(recipe.batch_size(n) if of_recipe else BATCH_SIZE, max(n, 1))
    if settings.max_iter == "auto":
        settings.max_iter = recipe.epochs(max(n, 1), settings.batch_size, settings.solver)
    if settings.learning_rate_init == "auto" and settings.solver != "sgd":
        settings.learning_rate_init = recipe.adam_step(settings.activations)


def find_step_size(settings, net, theta, X, rows, random_state):
    """That of plain descent, where it is "auto": by the curvature at the first weights."""
    if settings.learning_rate_init == "auto":
        chosen = rows if len(rows) <= 256 else random_state.choice(rows, 256, replace=False)
        coefs, intercepts = parameters.unpack(np.asarray(theta, np.float64), net)
        X, scale = np.asarray(X[chosen], np.float64), LOSSES[settings.loss].curvature
        curvature = recipe.curvature(
            coefs, intercepts, settings.activations, X, scale, settings.batch_size
        )
        settings.learning_rate_init = recipe.sgd_step(
            curvature, settings.momentum, settings.nesterovs_momentum
        )


def draw(net, activations, X, rows, random_state):
    """First weights that know the data."""
    theta = np.zeros(n_parameters(net))
    weights = parameters.unpack(theta, net)
    if len(rows) > recipe.ROWS_LOOKED_AT:
        rows = random_state.choice(rows, recipe.ROWS_LOOKED_AT, replace=False)
    recipe.first_weights(*weights, activations, X[rows], random_state)
    return theta


def length_by_pilots(settings, net, start, samples, rows, random_state):
    """The mean course of trainings with a part held out, and how long it says to train on all."""
    curves, scores, shorter, n_pilots = [], [], copy(settings), recipe.n_pilots(len(rows))
    is_planned = SCHEDULES[settings.learning_rate].is_planned
    if is_planned:
        shorter.max_iter = max(10, round(recipe.PILOT_LENGTH * settings.max_iter))
    shorter.holds_out, shorter.n_iter_no_change = False, np.inf
    if settings.max_time is not None:  # a third of it is theirs
        shorter.max_time = settings.max_time / (3 * n_pilots)
    for _ in range(n_pilots):
        train, rest = train_test_split(
            rows, test_size=settings.validation_fraction, random_state=random_state
        )
        weight = samples.sample_weight[rest] if samples.sample_weight.size else None
        scored = held_out_of(samples.X[rest], samples.y[rest], weight)
        theta = aligned(start(), samples.X.dtype)
        optimizer = new_optimizer(shorter, theta, random_state)
        history = loop.fit(net, theta, samples._replace(order=train), scored, shorter, optimizer)
        if history.ended_by == "interrupted":  # there is no model yet that could be kept
            raise KeyboardInterrupt
        if settings.max_time is not None:  # the time is that of all trainings together
            settings.max_time = max(settings.max_time - history.seconds, 1e-6)
        curves.append(history.validation_losses)
        scores.append(history.validation_scores)
        if history.ended_by == "max_time":
            return history, settings.max_iter
    history.validation_losses = np.mean(curves, axis=0).tolist()
    history.validation_scores = np.mean(scores, axis=0).tolist()
    losses = np.array(history.validation_losses)
    return history, recipe.chosen_epochs(losses, settings.max_iter, is_planned)


def check_goes_on(before, net, loss):
    """The present weights must be those of the network that the parameters ask for."""
    if LOSSES[before.loss].link != LOSSES[loss].link:
        raise ValueError(
            f"The present weights were trained with the loss {before.loss!r}, whose predictions "
            f"come otherwise of the output than those of {loss!r}. Fit anew."
        )
    have, want = (each["width"].tolist() for each in (before.network(), net))
    if have != want:
        raise ValueError(
            f"The present weights are of layers {have}, hidden_layer_sizes and the data ask "
            f"for {want}. Fit with warm_start=False."
        )


def split(rows, fraction, random_state):
    """Rows to train on, and rows held out."""
    train, held_out = train_test_split(rows, test_size=fraction, random_state=random_state)
    if len(held_out) < 2:
        raise ValueError(
            "The validation set is too small. Increase validation_fraction or the number "
            "of samples."
        )
    return train, held_out


def scaling_of(table, rows, loss):
    """Scaling measured on the rows that are trained on.

    Behind a link y is divided by its mean: from 0 on, that is where it is 0.
    """
    X, y, weight = table
    if len(rows) < len(y):
        trained_on = np.zeros(len(y))
        trained_on[rows] = 1.0
        weight = trained_on if weight is None else weight * trained_on
    units = scaling.measure(X, y, weight)
    if LOSSES[loss].link != "identity":
        mean = np.where(units.y_mean > 0, units.y_mean, 1.0)
        units = units._replace(y_mean=np.zeros_like(mean), y_scale=mean)
    return units
