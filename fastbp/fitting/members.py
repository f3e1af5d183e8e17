"""Members of an ensemble: networks that are trained on rows of one table, at the same time."""

from copy import copy
from functools import partial

import numpy as np

from fastbp.fitting import calling, fit, lbfgs
from fastbp.fitting.beginning import glorot
from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.team import Helpers, processors
from fastbp.kernels.training.kernels import kernel_for


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
        if (id(kind), order.size) not in compiled:
            compile_for(kind, order.size)
            compiled.add((id(kind), order.size))
    jobs = [
        partial(train_one, kind, number, order.copy(), seed, done)
        for number, (kind, order, seed) in enumerate(zip(prepared, orders, seeds, strict=True))
    ]
    return in_threads(jobs, n_threads or processors())


def compile_for(prepared, n_samples):
    """Compile, or load, what trains on so many samples, before all threads wait for it."""
    settings, dtype = copy(prepared.task.settings), prepared.samples.X.dtype
    if settings.full_batch:
        lbfgs.prepare(prepared.task.net, prepared.samples, settings)
        return
    settings.learning_rate_init = 1.0  # of no step
    batch_size = min(settings.batch_size, n_samples)
    calling.prepare(kernel_for(prepared.task.net, batch_size, dtype.itemsize), settings, dtype)


def train_one(prepared, number, order, seed, done):
    """Train one member: as a network by itself, but for what is prepared."""
    task, random_state = prepared.task, np.random.RandomState(seed)
    settings, drawn = copy(task.settings), None
    if settings.init == "glorot":
        drawn = glorot(task.net, settings, random_state)
    task = task._replace(settings=settings, random_state=random_state, drawn=drawn)
    task = task._replace(samples=task.samples._replace(order=order), rows=np.unique(order))
    samples = prepared.samples._replace(order=order)
    with np.errstate(all="ignore"):  # of this thread
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


def in_threads(jobs, n_threads):
    """What each job returns. The caller works at them, and up to `n_threads` − 1 threads meanwhile.

    After Ctrl-C no job begins, and those that ask for it end; None stands for one that returned
    nothing. So does an error in any of them, which then is the caller's.
    """
    results, errors, waiting = [None] * len(jobs), [], enumerate(jobs)

    def work():
        with ctrl_c.heard_here():
            for number, job in waiting:  # each job comes to one of the threads
                try:
                    results[number] = job()
                except KeyboardInterrupt:
                    ctrl_c.pressed = True
                except BaseException as error:
                    errors.append(error)
                    ctrl_c.pressed = True
                if ctrl_c.pressed:
                    return

    def give_up():
        ctrl_c.pressed = True

    helpers = Helpers(give_up)
    with CtrlC() as ctrl_c:
        try:
            helpers.start([work] * (min(n_threads, len(jobs)) - 1))  # or as many as there are
            work()
        except BaseException:
            give_up()
            raise
        finally:
            helpers.wait()
    errors += helpers.errors
    if errors:
        raise errors[0]
    return results
