"""A network with encoded columns against a plain one, by rows that were held out of both."""

import numpy as np

from fastbp import encodings
from fastbp.fitting import mixture, trials
from fastbp.fitting.ground import encoding_for
from fastbp.fitting.prepared import prepared_on


def encoded_on(ground, settings, random_state):
    """A network with encoded columns, as `prepared_on`; None if it is not for such a table."""
    settings.encoding, (n_rows, n_features) = encodings.NAMES, ground.table.X.shape
    if n_features > mixture.MOST_COLUMNS:
        return None
    encoding = encoding_for(ground, settings, None, random_state)
    if not mixture.may_be_tried(n_rows, n_features, encoding.n_columns):
        return None
    return prepared_on(ground, settings, encoding, None, random_state)


def kinds_of(plain, search, found, encoded, mixes):
    """The plain network as its search has found it, the encoded one, or both, by rows that were
    held out of both; as `prepare`."""
    settings, share = plain.task.settings, 0.0
    try:
        other = trials.Search(encoded.task, search.parts).run()
        firsts, second = contest(plain.task, found, encoded.task, other, mixes)
    except ValueError:  # it diverged, and nobody has asked for it
        return [(1.0, plain.following(found))]
    except trials.Interrupted:  # the plain one has been trained for longer
        return [(1.0, plain.ended_with(found.interrupted()))]
    settings.max_time = encoded.task.settings.max_time  # what is left of it
    if all(trial.history.ended_by != "max_time" for trial in (other, *firsts, second)):
        rows = np.concatenate([rest for _, rest in second.parts])
        samples = plain.samples
        share = mixture.share_of_second(
            np.mean([plain.task.predict(first) for first in firsts], axis=0),
            encoded.task.predict(second),
            samples.y[rows],
            samples.sample_weight[rows] if samples.sample_weight.size else None,  # of samples
            settings.loss,
            settings.loss_parameter,
            mixes=mixes,
        )
    kinds = (1 - share, plain, found), (share, encoded, other)
    return [(weight, kind.following(trial)) for weight, kind, trial in kinds if weight > 0]


def contest(plain, found, encoded, other, mixes):
    """Trials of both kinds on the same parts: on that of the searches, or on more of a small table.

    A mixture is to be better than the mean of several plain networks, not than one: of these there
    are two.

    Returns
    -------
    list of Trial, Trial
    """
    random_state, n_parts = encoded.random_state, mixture.n_parts(len(plain.rows))
    plain = plain._replace(random_state=random_state)  # as if there were no contest
    parts = found.parts
    if n_parts > 1:
        parts = trials.parts_of(plain, n_parts, random_state)
        plain.settings.max_time = encoded.settings.max_time
        found = trials.Search(plain, parts).trial(found.trained, n_parts)
        encoded.settings.max_time = plain.settings.max_time
        other = trials.Search(encoded, parts).trial(other.trained, n_parts)
    firsts = [found]
    if mixes:
        plain.settings.max_time = encoded.settings.max_time
        firsts.append(trials.Search(plain, parts).trial(found.trained, n_parts))
        encoded.settings.max_time = plain.settings.max_time
    return firsts, other
