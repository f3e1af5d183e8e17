"""Threads that run one kernel together, and leave their share of processors to others."""

import os
from _thread import start_new_thread
from functools import partial
from itertools import repeat
from operator import index
from queue import Empty, SimpleQueue

from fastbp.kernels.machine.threads import CALLED_OFF, call_off, new_barrier, set_crowded
from fastbp.kernels.training.records import Threads

#: The teams of this process that run a kernel at the moment.
running = set()

if hasattr(os, "register_at_fork"):  # a child has the set, but not the threads
    os.register_at_fork(after_in_child=running.clear)

#: Seconds for which the caller waits for other threads, before it asks whether to stop.
PATIENCE = 0.05


def processors():
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CalledOff(Exception):
    """A call was asked to stop, and what it has computed is good for nothing."""


class Helpers:
    """Threads for the time of a call. All have come home when `wait` returns or raises.

    A signal may be heard, and its handler raise, between any two lines of Python. So that it is
    always known who has to be waited for, threads are started in one go of C code, which hears
    none: what is in the list has been started, and nothing else has. (`threading.Thread` can't
    tell.)

    Parameters
    ----------
    give_up : callable
        Lets the others end as soon as they can; called when one of them fails.
    """

    def __init__(self, give_up):
        self.give_up, self.errors = give_up, []
        self.started, self.ended, self.bell = [], [], SimpleQueue()

    def start(self, calls):
        """Make each call in a thread of its own; False if the system gives no more threads."""
        try:
            self.started.extend(map(start_new_thread, repeat(self._work), zip(calls)))
        except RuntimeError:
            return False
        return True

    def _work(self, call):
        try:
            call()
        except BaseException as error:
            self.errors.append(error)
            self.give_up()
        finally:
            self.ended.append(call)
            self.bell.put(None)

    def wait(self, stop=None, is_done=lambda: False):
        """Until all have ended, or all is done; they are asked to end as soon as ``stop()`` says
        so, or at an exception of a signal's handler, which is raised then."""
        interruption = None
        while len(self.ended) < len(self.started) and not is_done():
            try:
                if not self._rings() and stop is not None and stop():
                    self.give_up()
            except BaseException as error:
                interruption = error
                self.give_up()
        if interruption is not None:
            raise interruption

    def _rings(self):
        """Whether somebody has come home lately."""
        try:
            self.bell.get(timeout=PATIENCE)
        except Empty:
            return False
        return True


class Team:
    """The calling thread, and up to `n_threads` − 1 more for the time of a call.

    Starting a thread costs some ten microseconds, a call lasts a thousand times as long; and
    threads that don't outlive the call can't be missing in a forked process.

    Parameters
    ----------
    n_threads : int
    shares : bool, default=False
        Take no more threads for a call than there are processors for each team that runs when
        it begins. More would wait for one another at every barrier.
    listens : bool, default=False
        Calls are long: the calling thread works at none, but hears signals, and asks whether to
        stop. (A kernel hears nothing.)
    """

    def __init__(self, n_threads, *, shares=False, listens=False):
        self.n_threads = index(n_threads)  # True, too, and NumPy's: kernels take no others
        if self.n_threads < 1:  # it would wait for itself
            raise ValueError(f"n_threads must be at least 1, got {n_threads}.")
        self.shares, self.listens = shares, listens

    def run(self, kernel, *arguments, stop=None, meets=True):
        """``kernel(threads, *arguments)`` for every thread.

        Returns what it returns for the first, which is the calling one unless that listens.

        Where threads don't meet in the kernel, at a barrier, whoever is free takes the place of one
        that has not begun: on a busy machine that may take the system as long as the whole call. It
        finds nothing to do, after the call's end too.

        Raises
        ------
        CalledOff
            If ``stop()`` said so, which only a team that listens asks.
        """
        try:
            running.add(self)
            if self.n_threads == 1 and not self.listens:
                return kernel(Threads(0, 1, new_barrier()), *arguments)
            return self._run(kernel, arguments, stop, meets)
        finally:
            running.discard(self)

    def _run(self, kernel, arguments, stop, meets):
        n_threads, barrier, results = self.n_threads, new_barrier(), {}
        n_processors, n_teams = processors(), len(running)
        if self.shares:
            n_threads = min(n_threads, max(1, n_processors // n_teams))
        set_crowded(barrier, n_threads * n_teams > n_processors)

        def share(thread):
            results[thread] = kernel(Threads(thread, n_threads, barrier), *arguments)

        numbers = iter(range(n_threads))  # each of which is taken once

        def share_what_is_left():
            for thread in numbers:
                share(thread)

        helpers, is_off = Helpers(partial(call_off, barrier)), False
        try:
            first = 0 if self.listens else 1
            # The first thread last: before it nobody gets beyond a barrier, if threads run out.
            calls = [partial(share, thread) for thread in reversed(range(first, n_threads))]
            if not meets:
                calls = [share_what_is_left] * len(calls)
            if not helpers.start(calls):
                is_off = True
                call_off(barrier)
            elif not self.listens:
                share(0) if meets else share_what_is_left()
        except BaseException:
            call_off(barrier)
            raise
        finally:
            helpers.wait(stop, lambda: not meets and len(results) == n_threads)
        if is_off:  # the work is done without: the system gives no more threads
            self.n_threads, self.listens = 1, False
            return kernel(Threads(0, 1, new_barrier()), *arguments)
        if helpers.errors:
            raise helpers.errors[0]
        if barrier[CALLED_OFF]:
            raise CalledOff
        return results[0]
