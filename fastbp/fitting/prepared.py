"""What a training needs: a network, and the samples as it sees them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import encodings, scaling
from fastbp.blas import one_thread_in_blas
from fastbp.fitting import linear, recipe, survey, tasks, windows
from fastbp.fitting.beginning import begun
from fastbp.fitting.ground import alpha_for, units_since
from fastbp.fitting.history import History
from fastbp.fitting.learnt import Found
from fastbp.fitting.plan import held_out_of, samples_of, shares_of, weights_at
from fastbp.fitting.settings import BATCH_SIZE
from fastbp.fitting.table import Table
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.losses import of_outputs
from fastbp.kernels.formulas.network import is_by_entries, n_parameters
from fastbp.kernels.training.records import HeldOut, Samples


class Prepared(NamedTuple):
    """What a training needs, and what several trainings on the same samples share."""

    task: tasks.Task
    plan: tasks.Plan
    samples: Samples | windows.Windows  # as they are planned to be trained on
    scored: HeldOut | None  # that best weights are chosen by
    units: scaling.Scaling | None  # of the samples
    pilot: History | None = None
    interrupted: tasks.Interrupted | None = None  # and nothing more is to be trained
    held_out: Table | None = None  # what is scored, in raw units
    beside: linear.Beside | None = None  # the network, of which it knows how much
    instead: Prepared | None = None  # after Ctrl-C, before there is a whole epoch

    def following(self, trial):
        """As a trial has found best; settings say then what "auto" became."""
        prepared = self.beside_a_line(trial.plan, trial)
        if prepared.interrupted is not None:
            return prepared
        if trial.history.ended_by != "max_time":
            self.task.settings.found = found_by(trial.plan, self.task.settings)
        instead = self.ended_with(trial.interrupted())
        return prepared.planned(trial.plan)._replace(pilot=trial.history, instead=instead)

    def planned(self, plan):
        """With settings and columns as they are planned."""
        plan.put_into(self.task.settings)
        samples, scored = self.samples, self.scored
        if isinstance(samples, windows.Windows):
            samples = samples.rescaled(plan.scale)
        else:
            samples = samples._replace(X=tasks.scaled(samples.X, plan))
        if scored is not None:
            scored = scored._replace(X=tasks.scaled(scored.X, plan))
        units = scaled_units(self.units, plan)
        return self._replace(plan=plan, samples=samples, scored=scored, units=units)

    def as_before(self, before):
        """With columns scaled as what has been learnt sees them, if trials have scaled them."""
        if not self.task.settings.is_found or self.units is None or before.seen is None:
            return self
        units = before.seen.units(LOSSES[before.loss].link)
        scale = encodings.widened(units, before.encoding).X_scale / before.scaling.X_scale
        return self if np.allclose(scale, 1.0) else self.planned(self.plan._replace(scale=scale))

    def beside_a_line(self, plan, trial=None):
        """With the share of ridge regression in what is predicted, if there may be one."""
        if self.beside is None:
            return self
        try:
            return self._replace(beside=self.beside.found(self.task, plan, trial))
        except ValueError:  # a trial diverged, and nobody has asked for it
            return self
        except tasks.Interrupted as interrupted:
            return self.ended_with(interrupted)

    def ended_with(self, trial):
        """As an interrupted trial was trained, whose network is all that comes of it."""
        units = scaled_units(self.units, trial.plan)
        return self._replace(plan=trial.plan, units=units, interrupted=trial)


def found_by(plan, settings):
    """What a trial's plan says of what was "auto"."""
    dropout = max(settings.dropout, default=0.0)
    found = Found(settings.solver, plan.max_iter, plan.weight_decay, dropout)
    given = set(Found._fields[1:]) - settings.auto
    return found._replace(**dict.fromkeys(given))


def prepared_on(ground, settings, encoding, before, random_state, first=None):
    """A network as the settings have it, and the samples as it sees them.

    `first` is the network and its first weights, if they have been drawn.
    """
    table, order, held_out, units, bounds, *_ = ground
    units = encodings.widened(units, encoding)
    n_columns = table.X.shape[1] if encoding is None else encoding.n_columns
    net, drawn = first or begun(settings, table, n_columns, before, random_state)
    by_entries = is_by_entries(net)
    dtype = np.dtype(settings.dtype or table.X.dtype)
    if settings.full_batch:  # a line search compares losses that differ in the last digits
        dtype = np.dtype(np.float64)
    converted = table.converted(dtype, units, bounds, encoding, by_entries=by_entries)
    samples, scored = samples_of(*converted, order), None
    if held_out is not None:
        rest = encoding, by_entries, ground.spread_of_constant
        scored = scored_rows(held_out, dtype, units, *rest)
    task = tasks.Task(net, settings, samples, in_use(samples), random_state, drawn, encoding)
    whole = table.whole_y(dtype, units)
    settings.constant_loss, settings.perfect_loss = plain_losses(task, whole)
    resolve(settings, ground.n_rows or len(task.rows), n_parameters(net))
    beside = linear.beside(table, settings, held_out) if before is None else None
    return Prepared(task, task.plan, samples, scored, units, held_out=held_out, beside=beside)


def takes_windows(table, settings):
    """Whether a table is trained on window by window, since a working copy would be too large."""
    if sparse.issparse(table.X) or not is_too_large(table, settings):
        return False
    return all(map(survey.source_of, table[:2]))


def is_too_large(table, settings):
    """Whether a working copy would be, of a table that windows can be made of."""
    if settings.full_batch or settings.encoding or table.output_weight is not None:
        return False
    n_bytes = len(table.y) * survey.row_bytes(table, settings.dtype or table.X.dtype)
    return n_bytes > survey.WHOLE_BYTES


def prepared_in_windows(settings, table, held_out, before, random_state, first, searches):
    """As `ground_for` and `prepared_on`, without a copy of the table; trials are made with some of
    its rows, in the table's units."""
    apart, spread_of_constant = np.empty(0, np.int64), 1.0
    if settings.holds_out and held_out is None:
        apart = survey.rows_held_out(table, settings, random_state)
        held_out = table.rows(apart)
        if settings.init == "glorot":  # as scikit-learn
            spread_of_constant = np.inf
    whole, table = table, table.left()
    X, y, bounds, y_bounds = survey.measured_table(table, apart, settings, before is None)
    units = None
    if settings.standardize:
        since, of_y = before if settings.is_partial else None, y
        if whole.linear is not None:  # what has been seen is all of y
            of_y = survey.measured(whole.y, whole.sample_weight, apart, None, settings.n_threads)
        seen = survey.seen_of(X, of_y)
        units, settings.seen = units_since(settings, seen, since, whole.linear)
    settings.alpha = alpha_for(settings, units, table.sample_weight)
    net, drawn = first
    resolve(settings, X.n_rows, n_parameters(net))
    dtype = np.dtype(settings.dtype or table.X.dtype)
    X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
    survey.check_range(X, dtype, X_mean, X_scale, bounds)
    survey.check_range(y, dtype, y_mean, y_scale, y_bounds)
    samples = windows.Windows(table, dtype, units, bounds, y_bounds, apart, settings)
    rows = samples.spread(survey.rows_of_trials(table, dtype, searches), random_state)
    some = samples.at(rows)
    task = tasks.Task(net, settings, some, in_use(some), random_state, drawn)
    whole_y = whole.rows(rows).whole_y(dtype, units)
    settings.constant_loss, settings.perfect_loss = plain_losses(task, whole_y)
    scored = None
    if held_out is not None:
        scored = scored_rows(held_out, dtype, units, None, False, spread_of_constant)
    return Prepared(task, task.plan, samples, scored, units, held_out=held_out)


def scored_rows(table, dtype, units, encoding, by_entries, spread_of_constant):
    """A table that is held out, as it is scored in the units of training."""
    samples = table.converted(dtype, units, encoding=encoding, by_entries=by_entries)
    return held_out_of(*samples, spread_of_constant, table.whole_y(dtype, units))


def in_use(samples):
    """The rows that are trained on: those that have a weight."""
    if samples.sample_weight.size == 0:
        return samples.order
    return samples.order[samples.sample_weight[samples.order] > 0]


def resolve(settings, n, n_parameters):
    """What is "auto" adapts to the n rows that are trained on, and to what else is given."""
    may_be_fine = False
    if settings.full_batch:
        settings.batch_size = max(n, 1)
    elif settings.batch_size == "auto":
        theirs = min(BATCH_SIZE, max(n, 1))
        of_recipe = settings.init != "glorot"
        if of_recipe:
            settings.batch_size = min(recipe.batch_size(n), max(n, 1))
            may_be_fine = settings.finds_step and settings.solver != "sgd"
        else:
            settings.batch_size = theirs
        # An alpha that is given means what it means to scikit-learn, which divides by its batches.
        settings.alpha *= settings.batch_size / theirs
    settings.for_clean = recipe.for_clean(n, settings.batch_size, may_be_fine)
    if settings.max_iter == "auto":
        epochs = recipe.epochs(max(n, 1), settings.batch_size, settings.solver, n_parameters)
        settings.max_iter = min(epochs, settings.most_epochs)


def plain_losses(task, whole=None):
    """The loss of the best prediction that is the same for all samples, and that of y itself: of
    the `whole` y, where samples are what a linear part leaves of it."""
    row, y, weight = LOSSES[task.settings.loss], task.samples.y, task.samples.sample_weight
    y = y if whole is None else whole
    n, y = len(y), np.float64(y[task.rows])
    if not weight.size:
        weight = np.full(len(y), 1 / max(len(y), 1))
    elif (weight := np.float64(weights_at(weight, n, task.rows))).any():
        weight = shares_of(weight)
    with one_thread_in_blas(y.size):
        loss = of_outputs(row.constant_loss, y, weight, task.settings.loss_parameter)
        loss = loss / y.shape[1] if row.reported_by_output else loss
        return loss, of_outputs(row.perfect_loss, y, weight)


def scaled_units(units, plan):
    """Units in which the columns are scaled as planned."""
    if plan.scale is None:
        return units
    return units._replace(X_scale=units.X_scale / plan.scale)
