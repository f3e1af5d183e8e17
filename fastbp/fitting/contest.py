"""A network with encoded columns against a plain one, by rows that were held out of both."""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import encodings
from fastbp.drawing import generator_of
from fastbp.fitting import mixture, solvers, tasks, trials
from fastbp.fitting.beginning import network_of
from fastbp.fitting.ground import encoding_for
from fastbp.fitting.interrupts import CtrlC, is_pressed_here
from fastbp.fitting.prepared import Prepared, prepared_on
from fastbp.fitting.settings import dropout_rates, to_learn_of
from fastbp.fitting.together import in_threads, threads_of_each, threads_of_trials


class Rival(NamedTuple):
    """A network with encoded columns, and the best of its trials so far, if it didn't diverge."""

    prepared: Prepared
    search: trials.Search
    best: trials.Trial | None


def kinds_of(plain, search, look, mixes):
    """The plain network as its search finds it, an encoded one, or both, by rows that are held out
    of both; as `prepare`.

    Parameters
    ----------
    plain : Prepared
    search : Search
        For the plain network.
    look : callable or None
        Returns a Rival, or None: see `looked_at`. None: there is no encoded one.
    mixes : bool
        False: the result is one kind of network.

    Raises
    ------
    Interrupted
        By Ctrl-C, the plain network, whatever the other has come to.
    """
    settings = search.task.settings
    with CtrlC() as ctrl_c:
        found, look = searched(search, look)
        if ctrl_c.pressed_again:
            raise KeyboardInterrupt
        if isinstance(found, tasks.Interrupted):
            raise found
        try:
            rival, kinds = look(), [(1.0, plain, found)]
            if ctrl_c.pressed:
                raise KeyboardInterrupt
            if rival is not None:
                share, rival = compared(search.task, found, rival, mixes)
                settings.max_time = rival.search.task.settings.max_time  # what is left of it
                kinds = [(1 - share, plain, found), (share, rival.prepared, rival.best)]
            kinds = [(weight, kind.following(trial)) for weight, kind, trial in kinds if weight > 0]
            if ctrl_c.pressed:  # since a trial last asked
                raise KeyboardInterrupt
            return kinds
        except KeyboardInterrupt:
            if ctrl_c.pressed_again or not ctrl_c.pressed:
                raise
            raise found.interrupted() from None


def searched(search, look):
    """What the search of the plain network finds, or how Ctrl-C ended it; and what is to be asked
    for its rival, at which another thread may have looked meanwhile. Where time is limited, the
    rival gets what is left."""
    task, settings = search.task, search.task.settings
    if look is None or settings.max_time is not None:
        found = ended(search)
        has_rival = look is not None and found.history.ended_by != "max_time"
        return found, look if has_rival else lambda: None
    solvers.compile_for(task.net, task.samples, settings, len(task.rows))
    search = search.of(task._replace(n_threads=threads_of_each(settings, 2)))
    found, rival = in_threads([partial(ended, search), look], threads_of_trials(settings))
    if found is None:
        raise KeyboardInterrupt
    return found, lambda: rival


def ended(search):
    """What it finds, or how Ctrl-C ended it: in a trial, or with what the last one has trained. (No
    exception: that of a thread ends all others, and what they have found is lost.)"""
    try:
        return search.run()
    except tasks.Interrupted as trial:
        return trial
    except KeyboardInterrupt:  # before the first epoch of a trial
        if search.last is None or not is_pressed_here():
            raise
        return search.last.interrupted()


def looked_at(ground, search, settings, random_state):
    """A network with encoded columns, and a first impression of it, by rows that the `search` of
    the plain one holds out; None if it is not for such a table."""
    prepared = encoded_on(ground, search.task, settings, random_state)
    if prepared is None:
        return None
    task, of_encoded = prepared.task, trials.Search(prepared.task, search.parts)
    meanwhile = of_encoded.of(task._replace(n_threads=threads_of_each(settings, 2)))
    try:
        return Rival(prepared, of_encoded, meanwhile.short_trial())
    except ValueError:  # it diverged, and nobody has asked for it
        return Rival(prepared, of_encoded, None)


def may_have_rival(ground, plain):
    """Whether the plain network may have one on such a table, as far as can be said at once."""
    is_too_much = sparse.issparse(ground.table.X) or ground.table.X.shape[1] > mixture.MOST_COLUMNS
    return not is_too_much and len(plain.rows) >= mixture.FEWEST_ROWS


def encoded_on(ground, plain, settings, random_state):
    """A network with encoded columns, as `prepared_on`; None if it is not for such a table."""
    n_rows, n_features = ground.table.X.shape
    settings.max_time, settings.encoding = plain.settings.max_time, encodings.NAMES
    encoding = encoding_for(ground, settings, None, random_state)
    if not mixture.may_be_tried(n_rows, n_features, encoding.n_columns):
        return None
    return prepared_on(ground, settings, encoding, None, random_state)


def compared(plain, found, rival, mixes):
    """The weight of the encoded network beside the plain one, and the former as it is best."""
    to_learn, n_rows = to_learn_of(plain.settings), len(plain.rows)
    if rival.best is None:
        return 0.0, rival
    try:
        firsts = short_trials(rival, found.loss, to_learn)
        least = trials.least(firsts).loss
        if not mixture.is_promising(least, found.loss, to_learn, n_rows, mixes):
            return 0.0, rival
        rival = dropping(rival, found.loss, to_learn)
        rival = rival._replace(best=best_trial(rival.search, firsts, found.plan.max_iter))
        if mixes:
            return share_of_encoded(plain, found, rival.search.task, rival.best), rival
        return float(rival.best.loss < mixture.AS_GOOD * found.loss), rival
    except ValueError:  # it diverged, and nobody has asked for it
        return 0.0, rival


def short_trials(rival, plain, to_learn):
    """The short trial of an encoded network; and one with columns scaled by what they are worth,
    where that may be better. `plain` is the loss of the plain network."""
    _, search, first = rival
    if not mixture.may_be_scaled(first.loss, plain, to_learn):
        return [first]
    scale = search.telling_scale_of(first)
    return [first] if scale is None else [first, search.short_trial(scale)]


def dropping(rival, plain, to_learn):
    """With a part of its units left out from now on, where "auto" says so."""
    prepared, search, best = rival
    task, settings = prepared.task, prepared.task.settings
    if not settings.finds_dropout:
        return rival
    rate = mixture.dropout(plain, to_learn, len(task.rows), settings.solver)
    settings.dropout = dropout_rates(rate, len(settings.hidden))
    task = task._replace(net=network_of(settings, task.net["width"].tolist()))
    return Rival(prepared._replace(task=task), search.of(task), best)


def best_trial(search, firsts, most_epochs):
    """The best of short trials and of pilots: with columns as they are, scaled, or both, as short
    trials say. Pilots speak for no more epochs than plain networks are trained for, unless those
    are so few that a short trial has as many."""
    plan = search.task.plan.no_longer_than(max(most_epochs, 2 * firsts[0].plan.max_iter))
    begun = firsts
    if len(firsts) > 1:
        are_worth_it = mixture.worth_a_pilot(*(trial.loss for trial in firsts))
        begun = [trial for trial, is_one in zip(firsts, are_worth_it, strict=True) if is_one]
    pilots = pilots_of(search, [plan._replace(scale=trial.plan.scale) for trial in begun])
    return trials.least(firsts + pilots)


def pilots_of(search, plans):
    """A pilot by each plan, at the same time where there are threads for it: so each draws random
    numbers of its own."""
    task, settings, jobs = search.task, search.task.settings, []
    for plan in plans:
        random_state = generator_of(tasks.new_seed(task.random_state) % 2**32)
        rest = {"n_threads": threads_of_each(settings, len(plans))}
        by_itself = search.of(task._replace(random_state=random_state, **rest))
        jobs.append(partial(by_itself.pilot, plan))
    pilots = in_threads(jobs, threads_of_trials(settings))
    if None in pilots:
        raise KeyboardInterrupt
    return pilots


def share_of_encoded(plain, found, encoded, other):
    """The weight of encoded networks, by trials of both kinds on the same parts: those of the
    searches, and more of a small table, unless the first say already that nothing is gained.

    A mixture is to be better than the mean of several plain networks, not than one: of these there
    are two.
    """
    samples, settings, random_state = plain.samples, plain.settings, encoded.random_state
    # With the other's random numbers and time: it itself goes on as if there were no contest.
    plain = plain._replace(random_state=random_state, settings=encoded.settings)

    def share(firsts, second, **limits):
        if any(trial.history.ended_by == "max_time" for trial in (*firsts, second)):
            return 0.0
        rows = np.concatenate([rest for _, rest in second.parts])
        weight = samples.sample_weight
        return mixture.share_of_second(
            np.mean([plain.predict(first) for first in firsts], axis=0),
            encoded.predict(second),
            samples.y[rows],
            weight[rows] if weight.size else None,
            settings.loss,
            settings.loss_parameter,
            **limits,
        )

    n_parts = min(len(found.parts), len(other.parts))  # both searches begin with the same
    first, second = found.of_parts(n_parts), other.of_parts(n_parts)
    if share([first], second, better=1.0, sure=0) == 0:
        return 0.0
    n_more = mixture.n_parts(len(plain.rows)) - n_parts
    if n_more > 0:
        parts = trials.parts_of(plain, n_more, random_state)
        first = first.and_of(trials.Search(plain, parts).trial(first.trained))
        second = second.and_of(trials.Search(encoded, parts).trial(second.trained))
    again = trials.Search(plain, first.parts).trial(first.trained)
    return share([first, again], second)
