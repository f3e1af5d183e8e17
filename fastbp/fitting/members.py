"""Members of an ensemble: networks that are trained on rows of one table, at the same time."""

from copy import copy
from functools import partial

import numpy as np

from fastbp.fitting import fit, solvers
from fastbp.fitting.beginning import glorot
from fastbp.fitting.team import processors
from fastbp.fitting.together import in_threads


def train(prepared, orders, seeds, n_threads, done=None):
    """Train a member on each order of samples, as many at a time as there are threads.

    Whatever the threads, the members are the same: each draws its random numbers by itself.

    Parameters
    ----------
    prepared : list of Prepared
        Of each member; those of one kind share it.
    orders : list of ndarray of uint32
        The samples of each member, some perhaps more than once.
    seeds : list of int
    n_threads : int or None
        None is the processors that this process may use.
    done : callable, default=None
        Is given the number of each member and its Fitted, in the member's thread.

    Returns
    -------
    list of Fitted, or of None for a member that had no whole epoch before Ctrl-C
    """
    compiled = set()
    for kind, order in zip(prepared, orders, strict=True):
        # Of one member; those that nobody has numbered share the processors.
        kind.task.settings.n_threads = n_threads and max(1, n_threads // len(orders))
        if (id(kind), order.size) not in compiled:  # before all threads wait for it
            solvers.compile_for(kind.task.net, kind.samples, kind.task.settings, order.size)
            compiled.add((id(kind), order.size))
    jobs = [
        partial(train_one, kind, number, order.copy(), seed, done)
        for number, (kind, order, seed) in enumerate(zip(prepared, orders, seeds, strict=True))
    ]
    return in_threads(jobs, n_threads or processors())


def train_one(prepared, number, order, seed, done):
    """Train one member: as a network by itself, but for what is prepared."""
    task, random_state = prepared.task, np.random.RandomState(seed)
    settings, drawn = copy(task.settings), None
    if settings.init == "glorot":
        drawn = glorot(task.net, settings, random_state)
    task = task._replace(settings=settings, random_state=random_state, drawn=drawn)
    task = task._replace(samples=task.samples._replace(order=order), rows=np.unique(order))
    samples = prepared.samples._replace(order=order)
    fitted = fit.train(prepared._replace(task=task, samples=samples))
    if done is not None:
        done(number, fitted)
    return fitted


def is_whole(fitted):
    """Whether a member was trained to its end."""
    return fitted is not None and fitted.history.ended_by != "interrupted"


def whole_members(fitted):
    """The numbers of those that were trained to their end; if none was, of those that were begun.

    A member whose step size has not come down yet is worse than the others by more than their mean
    gains from it.
    """
    kept = [number for number, each in enumerate(fitted) if is_whole(each)]
    kept = kept or [number for number, each in enumerate(fitted) if each is not None]
    if not kept:
        raise KeyboardInterrupt
    return kept
