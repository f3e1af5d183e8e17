"""What all parts of a table are trained with: found in one place, by a sample of the rows."""

from copy import copy, deepcopy
from typing import NamedTuple

import numpy as np

from fastbp import encodings, outliers, scaling
from fastbp.encodings import Encoding
from fastbp.fitting import fit, survey, tasks
from fastbp.fitting.ground import Ground
from fastbp.fitting.history import History
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.plan import aligned, layout, row_numbers, samples_of
from fastbp.fitting.prepared import is_too_large, scaled_units
from fastbp.fitting.telling import told_by
from fastbp.fitting.windows import Windows
from fastbp.kernels.training.kernels import kernel_for

#: A part's batches are smaller by the number of parts, so that all together are as large as those
#: of a fit in one place, but no smaller than so many rows; and Adam's steps are longer by its root,
#: but by no more than so much: fewer of them are made one after the other, from gradients that vary
#: more. (8 and 64 parts of tables of 10,000 to 40,000 rows: a tenth to a half of the price of equal
#: batches and steps. Rounds of a part of an epoch change nothing.)
LEAST_BATCH, MOST_TIMES = 16, 8

#: Rows of a table that is looked at as a whole, in one place, to find how it is best trained on.
SEARCHED = 50_000


class Begun(NamedTuple):
    """What all parts are trained with."""

    net: np.recarray
    settings: object  # with what "auto" became
    theta: np.ndarray
    seed: int
    units: scaling.Scaling | None  # of all that the network sees
    bounds: outliers.Bounds | None
    plan: tasks.Plan
    encoding: Encoding | None
    exponent: int | None  # of the weights of samples
    pilot: History | None
    linear: np.ndarray | None = None  # of what is gone on from

    @property
    def trained_units(self):
        """Those of the columns as they are planned to be scaled; None: they are the table's."""
        return self.units and scaled_units(self.units, self.plan)

    def learnt(self, theta):
        alone = Learnt.of(theta, self.net, self.settings, self.trained_units, self.encoding)
        return alone._replace(linear=self.linear)

    def converted(self, table, bounds=None):
        """X, y and weights as they are trained on."""
        table = table._replace(linear=self.linear)
        X, y, weight = table.converted(self.theta.dtype, self.units, bounds, self.encoding)
        return tasks.scaled(X, self.plan), y, weight

    def without_line(self):
        """As if there were none: all of y, in the units of that."""
        if self.linear is None:
            return self
        units = self.units and self.units.beside(-self.linear)
        return self._replace(units=units, linear=None)

    def windows(self, table, blocks=None):
        """A part that is trained on where it lies, with its blocks in this order."""
        X, y = (survey.readable(A) for A in table[:2])
        table, none, units = table._replace(X=X, y=y), np.empty(0, np.int64), self.trained_units
        given = {"exponent": self.exponent, "blocks": blocks, "may_move": True}
        of_all = self.theta.dtype, units, self.bounds, None, none, self.settings
        return Windows(table, *of_all, **given)

    def layout(self, samples, theta, optimizer, best_theta=None, n_held_out=0):
        """The kernel for these samples, what it trains with, and its threads."""
        settings = copy(self.settings)
        settings.n_iter_no_change = np.inf  # it is not the part that decides
        batch_size = min(settings.batch_size, samples.n_samples)
        kernel = kernel_for(self.net, batch_size, theta.itemsize)
        best_theta = theta[:0] if best_theta is None else best_theta
        rest = batch_size, theta, optimizer, best_theta, n_held_out
        return kernel, *layout(kernel, self.net, settings, *rest)


def begin(sample, settings, facts, units, bounds, before, tell):
    """How to train, from which θ, by a sample of the rows, or by all of them.

    On a table that is no larger than `SEARCHED`, all is found that a fit in one place finds, and
    `tell`, unless it is None, is told of the trials.
    """
    with told_by(tell):
        return begun_by(sample, settings, facts, units, bounds, before)


def begun_by(sample, settings, facts, units, bounds, before):
    """What `begin` returns."""
    settings, n, batch_size = deepcopy(settings), facts.n, settings.batch_size
    settings.linear_part = None  # of all parts nobody has the rows
    if before is not None and before.linear is not None:
        sample = sample._replace(linear=before.linear)
        units = units and units.beside(before.linear)
    if n > SEARCHED or len(sample.y) < n:
        settings.refits = settings.tries_encoding = False
    ground = Ground(sample, row_numbers(len(sample.y)), None, units, bounds, n_rows=n)
    ((_, prepared),) = fit.prepare(settings, sample, None, before, mixes=False, ground=ground)
    settings, plan, task = prepared.task.settings, prepared.plan, prepared.task
    settings.y_dtype, dtype = facts.y_dtype, prepared.samples.X.dtype
    if before is not None:
        theta, seed = before.theta(prepared.units, dtype), tasks.new_seed(task.random_state)
    else:
        theta, seed = tasks.best_start(task, plan)
    theta = aligned(theta, dtype)
    times = adapt(settings, len(facts.sizes), batch_size)
    settings.learning_rate_init = times * task.step_size(plan, theta)
    units = encodings.widened(units, task.encoding)
    rest = plan, task.encoding, facts.exponent, prepared.pilot, before and before.linear
    return Begun(task.net, settings, theta, seed, units, bounds, *rest)


def adapt(settings, n_parts, batch_size):
    """Batches, where they are "auto", to the number of parts; and what to multiply a step size by
    that is."""
    if batch_size == "auto" and not settings.full_batch:
        before = settings.batch_size
        settings.batch_size = max(min(LEAST_BATCH, before), before // n_parts)
        settings.alpha *= settings.batch_size / before  # which is divided by it
    is_longer = settings.finds_step and settings.solver == "adam"
    return min(np.sqrt(n_parts), MOST_TIMES) if is_longer else 1.0


def part_in(begun, table):
    """A part as it is trained on: Samples, or of one that is too large for a working copy the table
    itself, for windows."""
    if is_too_large(table, begun.settings):
        return table._replace(linear=begun.linear).left()
    return samples_of(*begun.converted(table, begun.bounds), exponent=begun.exponent)
