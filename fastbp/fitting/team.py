"""Threads that run one kernel together, and leave their share of processors to others."""

import os
from threading import Thread

from fastbp.kernels.machine.threads import call_off, new_barrier, set_crowded
from fastbp.kernels.training.records import Threads

#: The teams of this process that run a kernel at the moment.
running = set()

if hasattr(os, "register_at_fork"):  # a child has the set, but not the threads
    os.register_at_fork(after_in_child=running.clear)


def processors():
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    """

    def __init__(self, n_threads, *, shares=False):
        self.n_threads, self.shares = n_threads, shares
        self.barrier = new_barrier()

    def run(self, kernel, *arguments):
        """``kernel(threads, *arguments)`` in every thread.

        Returns what it returns in the first, which is the calling one.
        """
        try:
            running.add(self)
            return self._run(kernel, arguments)
        finally:
            running.discard(self)

    def _run(self, kernel, arguments):
        n_threads, others, errors = self.n_threads, [], []
        if n_threads == 1:
            return kernel(Threads(0, 1, self.barrier), *arguments)
        n_processors, n_teams = processors(), len(running)
        if self.shares:
            n_threads = min(n_threads, max(1, n_processors // n_teams))
        set_crowded(self.barrier, n_threads * n_teams > n_processors)
        try:
            for thread in range(1, n_threads):
                call = errors, kernel, Threads(thread, n_threads, self.barrier), *arguments
                others.append(Thread(target=self._share, args=call, daemon=True))
                others[-1].start()
        except RuntimeError:  # the system gives no more threads: the work is done without
            self._send_home(others[:-1])
            self.n_threads, n_threads, others = 1, 1, []
        except BaseException:
            self._send_home(others)
            raise
        try:
            result = kernel(Threads(0, n_threads, self.barrier), *arguments)
        except BaseException:
            call_off(self.barrier)
            raise
        finally:
            for other in others:
                other.join()
        if errors:
            raise errors[0]
        return result

    def _share(self, errors, kernel, *arguments):
        """What the other threads do: an error there is the calling thread's, too."""
        try:
            kernel(*arguments)
        except BaseException as error:
            errors.append(error)
            call_off(self.barrier)

    def _send_home(self, others):
        """End threads that wait for one that isn't coming."""
        call_off(self.barrier)
        for other in others:
            other.join()
        self.barrier = new_barrier()
