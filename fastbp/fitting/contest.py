"""A network with encoded columns against a plain one, by rows that were held out of both."""

import numpy as np
from scipy import sparse

from fastbp import encodings
from fastbp.fitting import mixture, tasks, trials
from fastbp.fitting.ground import encoding_for
from fastbp.fitting.prepared import prepared_on
from fastbp.fitting.settings import dropout_rates, to_learn_of


def encoded_on(ground, plain, found, settings, random_state):
    """A network with encoded columns, as `prepared_on`; None if it is not for such a table. The
    plain one is as its search has found it."""
    n_in_use, (n_rows, n_features) = len(plain.task.rows), ground.table.X.shape
    settings.encoding = encodings.NAMES
    is_too_much = sparse.issparse(ground.table.X) or n_features > mixture.MOST_COLUMNS
    if is_too_much or n_in_use < mixture.FEWEST_ROWS:
        return None
    encoding = encoding_for(ground, settings, None, random_state)
    if not mixture.may_be_tried(n_rows, n_features, encoding.n_columns):
        return None
    if settings.finds_dropout:
        to_learn = to_learn_of(plain.task.settings)
        rate = mixture.dropout(found.loss, to_learn, n_in_use, settings.solver)
        settings.dropout = dropout_rates(rate, len(settings.hidden))
    return prepared_on(ground, settings, encoding, None, random_state)


def kinds_of(plain, search, found, encoded, mixes):
    """The plain network as its search has found it, the encoded one, or both, by rows that were
    held out of both; as `prepare`."""
    tried, share, other = trials.Search(encoded.task, search.parts), 0.0, None
    to_learn, n_rows = to_learn_of(plain.task.settings), len(plain.task.rows)
    try:
        firsts = short_trials(tried, found.loss, to_learn)
        if mixture.is_promising(trials.least(firsts).loss, found.loss, to_learn, n_rows, mixes):
            other = best_trial(tried, firsts, found.plan.max_iter)
            if mixes:
                share = share_of_encoded(plain.task, found, encoded.task, other)
            else:
                share = float(other.loss < mixture.AS_GOOD * found.loss)
    except ValueError:  # it diverged, and nobody has asked for it
        share = 0.0
    except tasks.Interrupted:  # the plain one has been trained for longer
        return [(1.0, plain.ended_with(found.interrupted()))]
    plain.task.settings.max_time = encoded.task.settings.max_time  # what is left of it
    kinds = (1 - share, plain, found), (share, encoded, other)
    return [(weight, kind.following(trial)) for weight, kind, trial in kinds if weight > 0]


def short_trials(search, plain, to_learn):
    """A short trial of encoded networks; and one with columns scaled by what they are worth, where
    that may be better. `plain` is the loss of the plain network."""
    first = search.short_trial()
    if not mixture.may_be_scaled(first.loss, plain, to_learn):
        return [first]
    scale = search.telling_scale_of(first)
    return [first] if scale is None else [first, search.short_trial(scale)]


def best_trial(search, firsts, most_epochs):
    """The best of short trials and of pilots: with columns as they are, scaled, or both, as short
    trials say. Pilots speak for no more epochs than plain networks are trained for, unless those
    are so few that a short trial has as many."""
    plan = search.task.plan.no_longer_than(max(most_epochs, 2 * firsts[0].plan.max_iter))
    begun = firsts
    if len(firsts) > 1:
        are_worth_it = mixture.worth_a_pilot(*(trial.loss for trial in firsts))
        begun = [trial for trial, is_one in zip(firsts, are_worth_it, strict=True) if is_one]
    pilots = [search.pilot(plan._replace(scale=trial.plan.scale)) for trial in begun]
    return trials.least(firsts + pilots)


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
        first = first.and_of(trials.Search(plain, parts).trial(first.trained, n_more))
        second = second.and_of(trials.Search(encoded, parts).trial(second.trained, n_more))
    again = trials.Search(plain, first.parts).trial(first.trained, len(first.parts))
    return share([first, again], second)
