"""Jobs that go on at the same time, in threads: members of an ensemble, trials of one fit."""

import numpy as np

from fastbp.fitting import telling
from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.team import Helpers, processors, running


def threads_of_trials(settings):
    """In how many threads the trials of a fit may be made: in one where its time is limited, which
    they share, or where other trainings of this process have the processors."""
    if settings.max_time is not None:
        return 1
    return settings.n_threads or max(1, processors() - len(running))


def threads_of_each(settings, n_jobs):
    """How many threads each of some trials may have meanwhile; None if nobody has numbered them, so
    that they share the processors."""
    at_a_time = min(threads_of_trials(settings), n_jobs)
    return settings.n_threads and max(1, settings.n_threads // at_a_time)


def in_threads(jobs, n_threads):
    """What each job returns. The caller works at them, and up to `n_threads` − 1 threads meanwhile,
    which tell of trials whom the caller does.

    After Ctrl-C no job begins, and those that ask for it end; None stands for one that returned
    nothing. So does an error in any of them, which then is the caller's; a KeyboardInterrupt, too,
    that no Ctrl-C has asked for.
    """
    results, errors, waiting = [None] * len(jobs), [], enumerate(jobs)
    listening = telling.here()

    def work():
        # Neither is known to another thread by itself.
        with ctrl_c.heard_here(), telling.as_in(listening), np.errstate(all="ignore"):
            for number, job in waiting:  # each job comes to one of the threads
                try:
                    results[number] = job()
                except BaseException as error:
                    if not (isinstance(error, KeyboardInterrupt) and ctrl_c.pressed):
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
        ctrl_c.pressed = ctrl_c.heard  # the caller may go on
        raise errors[0]
    return results
