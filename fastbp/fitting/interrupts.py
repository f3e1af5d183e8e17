"""Ctrl-C as a question that training asks between two calls of a kernel, and within long ones."""

import _signal as signal  # of whose handlers `signal` makes enums, which takes ten times as long
import threading
from contextlib import contextmanager

from fastbp.kernels.machine.compile import is_main_thread

#: Who is asked in each thread, where it is not for a training to hear the signal itself.
here = threading.local()


class CtrlC:
    """Within the ``with`` block Ctrl-C raises nothing, but sets `pressed`, as may do who else wants
    trainings to end; `heard` is the signal alone.

    An exception could come at any moment: within a compilation, which it would leave half
    done, or when weights are ahead of what is noted about them. Whoever presses Ctrl-C twice
    gets the exception, after a compilation if there is one. Nothing is changed where somebody
    else handles the signal, and outside of the main thread, which hears no signals: there,
    `heard_here` is who waits for the thread.

    Of blocks within one another, a fit in a callback of a fit, it is the outermost that is asked:
    Ctrl-C ends them all.
    """

    def __init__(self):
        self.pressed = self.heard = self.pressed_again = self.is_waiting = False
        self.ours = self.outermost = False

    def __enter__(self):
        if (asked := getattr(here, "asked", None)) is not None:
            return asked
        is_main = is_main_thread()
        self.ours = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        try:
            here.asked, self.outermost = self, True
            if self.ours:
                signal.signal(signal.SIGINT, self)
        except BaseException:  # it was pressed a moment ago
            here.asked = None
            raise
        return self

    def __exit__(self, *error):
        self._end()

    def _end(self):
        if self.outermost:
            here.asked = None
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def heard_here(self):
        """Within the ``with`` block, trainings in this thread ask this one."""
        before, here.asked = getattr(here, "asked", None), self
        try:
            yield
        finally:
            here.asked = before

    @contextmanager
    def waits(self):
        """Within the ``with`` block a second Ctrl-C raises nothing; afterwards it does."""
        before, self.is_waiting = self.is_waiting, True
        try:
            yield
        finally:
            self.is_waiting = before
        if self.pressed_again and not before:
            self._raise()

    def __call__(self, *signal_and_frame):
        """The handler of the signal."""
        self.pressed, self.heard, self.pressed_again = True, True, self.heard
        if self.pressed_again and not self.is_waiting:
            self._raise(*signal_and_frame)

    def _raise(self, number=signal.SIGINT, frame=None):
        self._end()  # this very exception may keep the block from being left in order
        signal.default_int_handler(number, frame)


def is_pressed_here():
    """Whether whoever is asked in this thread knows of Ctrl-C."""
    asked = getattr(here, "asked", None)
    return asked is not None and asked.pressed
