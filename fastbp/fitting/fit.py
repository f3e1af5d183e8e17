"""A fit, from validated samples to what has been learnt."""

from copy import copy, deepcopy
from functools import partial
from typing import NamedTuple

import numpy as np

from fastbp.drawing import generator_of
from fastbp.fitting import following, judging, recipe, solvers, survey, tasks, trials, windows
from fastbp.fitting.beginning import begun, check_encoding
from fastbp.fitting.contest import kinds_of, looked_at, may_have_rival
from fastbp.fitting.divergence import RESTART_DIVISOR
from fastbp.fitting.ground import encoding_for, ground_for
from fastbp.fitting.history import History
from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.observer import observe
from fastbp.fitting.plan import aligned
from fastbp.fitting.prepared import prepared_in_windows, prepared_on, takes_windows
from fastbp.fitting.state import Ahead, OptimizerState, trained_of
from fastbp.fitting.table import precision_of


class Fitted(NamedTuple):
    """What comes of a fit."""

    learnt: Learnt
    optimizer: OptimizerState  # to go on with
    history: History
    settings: object  # with what "auto" became
    n_samples: int  # that were trained on
    pilot: History | None  # of the rows held out to find how long to train
    observer: object  # or None
    is_of_trial: bool = False  # which was interrupted


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
        To go on with.
    seen : int
        Samples trained on so far.

    Returns
    -------
    Fitted
    """
    ((_, prepared),) = prepare(settings, table, held_out, before, mixes=False, whole=False)
    settings, ctrl_c = prepared.task.settings, CtrlC()

    def watch(learnt):
        return None if settings.is_partial else observe(estimator, settings, learnt, table)

    try:
        with ctrl_c as ctrl_c:
            fitted = train(prepared, before=before, optimizer=optimizer, seen=seen, watch=watch)
            if ctrl_c.pressed:  # since training last asked
                fitted.history.ended_by = "interrupted"
            return fitted
    except KeyboardInterrupt:  # before there was a whole epoch
        is_once = ctrl_c.pressed and not ctrl_c.pressed_again
        if not is_once or before is not None or prepared.instead is None:
            raise
        return fitted_by(prepared.instead)


def prepare(settings, table, held_out, before=None, *, mixes=True, whole=True, ground=None):
    """All that comes before the training that counts; parameters as of `fit`.

    There, trials find how long to train. Where they may, they find too whether networks with
    encoded columns are better than plain ones, or both together.

    Parameters
    ----------
    mixes : bool
        False: the result is one kind of network.
    whole : bool
        False: a table that is too large for a working copy is trained on window by window.
    ground : Ground or None
        Of this table, if it is known.

    Returns
    -------
    list of (float, Prepared)
        Each kind of network, and its weight in the mean of their predictions.
    """
    random_state = generator_of(settings.random_state)
    settings.y_dtype = precision_of(table.y)
    if settings.is_partial and before is not None:
        settings.y_dtype = np.result_type(settings.y_dtype, before.y_dtype)
    searches = not settings.is_found and settings.refits and held_out is None
    searches = searches and not recipe.is_truth_table(table.X)
    tries_encoding = searches and before is None and settings.tries_encoding and settings.hidden
    # By itself: a plain network is the same whether the other is tried or not.
    other_state = deepcopy(random_state) if tries_encoding else None
    if before is not None:
        check_encoding(before, settings)
    held_out = held_out and held_out.within_use()
    if before is not None and before.linear is not None:
        table = table._replace(linear=before.linear)
        held_out = held_out and held_out._replace(linear=before.linear)
    first = None
    if not settings.encoding:  # as scikit-learn, which draws first weights before it splits
        first = begun(settings, table, table.X.shape[1], before, random_state)
    if not whole and takes_windows(table, settings):
        rest = before, random_state, first, searches
        plain = prepared_in_windows(settings, table, held_out, *rest)
    else:
        if not table.is_checked:
            survey.check(table.X, table.y)
            table = table.within_use()
        if ground is None:
            ground = ground_for(settings, table, held_out, before, random_state)
        if tries_encoding:
            other_settings = copy(settings)  # with what the ground has told, but "auto" as it was
        encoding = encoding_for(ground, settings, before, random_state)
        plain = prepared_on(ground, settings, encoding, before, random_state, first)
    if not searches:
        return [(1.0, plain.as_before(before))]
    if not recipe.n_pilots(len(plain.task.rows), settings.hidden):
        return [(1.0, plain.beside_a_line(plain.plan))]
    search, look = trials.Search(plain.task), None
    is_copied = not isinstance(plain.samples, windows.Windows)
    if tries_encoding and is_copied and may_have_rival(ground, plain.task):
        look = partial(looked_at, ground, search, other_settings, other_state)
    try:
        return kinds_of(plain, search, look, mixes)
    except tasks.Interrupted as trial:
        if before is not None:  # it stays what it was
            raise KeyboardInterrupt from None
        return [(1.0, plain.ended_with(trial))]


def train(prepared, *, before=None, optimizer=None, seen=0, watch=None):
    """The training that counts; parameters as of `fit`.

    `watch` makes an observer, or None, of a function that says what has been learnt, of a θ.
    """
    if prepared.interrupted is not None:
        return fitted_by(prepared)
    task, plan, samples, scored, units, pilot, _, held_out, beside, _ = prepared
    net, settings, dtype = task.net, task.settings, task.samples.X.dtype
    since = None  # units that `before` is re-expressed from
    average = None  # what `before` is, where the weights that it is of are gone on with
    if before is not None:
        trained = trained_of(before, optimizer, settings)
        if settings.is_partial and units is not None:
            trained = trained and following.begun_in(trained, units)[0]
            before, since = following.begun_in(before, units)
        theta, seed = before.theta(units, dtype), tasks.new_seed(task.random_state)
        if trained is not None:
            theta, average = trained.theta(units, dtype), theta
    else:
        try:
            theta, seed = tasks.best_start(task, plan)
        except tasks.Interrupted as trial:  # of the samples as they are scaled now
            return fitted_by(prepared._replace(interrupted=trial))
    theta = aligned(theta, dtype)
    earlier = optimizer
    if earlier is not None and settings.is_partial and earlier.fits(settings, theta):
        optimizer = earlier.copy()
        if since is not None:
            following.turn(optimizer.memory, net, since, units, before.loss)
        if not earlier.keeps_step(settings.learning_rate_init):
            optimizer.eta = task.step_size(plan, theta)
        settings.learning_rate_init = optimizer.eta
    else:
        settings.learning_rate_init = task.step_size(plan, theta)
        began = 0 if settings.is_partial else seen
        optimizer = OptimizerState.start(settings, theta, seed, began)
        if earlier is not None:
            optimizer.remember(earlier)
    decay_to_t = 1.0 if average is None else earlier.state["decay_to_t"][0]
    optimizer.begin_average(settings, theta, average, decay_to_t)

    add = None if beside is None or not len(beside.shares) else beside.added(samples, units)
    kept = None if before is None else before.linear

    def learnt(theta):
        alone = Learnt.of(theta, net, settings, units, task.encoding)
        return alone._replace(linear=kept) if add is None else add(alone)

    observer = None if watch is None else watch(learnt)
    if observer is not None and pilot is not None:
        observer.pilot_was(pilot)
    history = solvers.fit(
        net, theta, samples, scored, settings, optimizer, observer=observer, seen=seen,
        judge=judging.judge_of(settings, learnt, held_out),
    )  # fmt: skip
    n_samples, optimizer.ahead, predicting = samples.n_samples, None, learnt(theta)
    if optimizer.average.size and scored is None:  # else what was best goes on
        optimizer.ahead = Ahead.of_both(learnt(optimizer.theta), predicting)
    return Fitted(predicting, optimizer, history, settings, n_samples, pilot, observer)


def fitted_by(prepared):
    """What comes of a trial that was interrupted."""
    task, trial, settings = prepared.task, prepared.interrupted, prepared.task.settings
    begun_again = trial.history.restarts
    settings.learning_rate_init = trial.optimizer.eta * RESTART_DIVISOR**begun_again
    settings.weight_decay = trial.plan.weight_decay
    learnt = Learnt.of(trial.theta, task.net, settings, prepared.units, task.encoding)
    n_samples = trial.n_samples
    return Fitted(learnt, trial.optimizer, trial.history, settings, n_samples, None, None, True)
