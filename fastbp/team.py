"""Threads that run one kernel together."""

from threading import Thread

from fastbp.kernels.threads import call_off, new_barrier


class Team:
    """The calling thread, and `n_threads` − 1 more for the time of a call.

    Starting a thread costs some ten microseconds, a call lasts a thousand times as long; and
    threads that don't outlive the call can't be missing in a forked process.
    """

    def __init__(self, n_threads):
        self.n_threads = n_threads
        self.barrier = new_barrier()

    def run(self, kernel, *arguments):
        """``kernel(thread, n_threads, barrier, *arguments)`` in every thread.

        Returns what it returns in the first, which is the calling one.
        """
        others = []
        try:
            for thread in range(1, self.n_threads):
                call = (thread, self.n_threads, self.barrier, *arguments)
                others.append(Thread(target=kernel, args=call, daemon=True))
                others[-1].start()
        except RuntimeError:  # the system gives no more threads: the work is done without
            self._send_home(others[:-1])
            self.n_threads, others = 1, []
        except BaseException:
            self._send_home(others)
            raise
        try:
            return kernel(0, self.n_threads, self.barrier, *arguments)
        except BaseException:
            call_off(self.barrier)
            raise
        finally:
            for other in others:
                other.join()

    def _send_home(self, others):
        """End threads that wait for one that isn't coming."""
        call_off(self.barrier)
        for other in others:
            other.join()
        self.barrier = new_barrier()
