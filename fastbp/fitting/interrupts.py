"""Ctrl-C as a question that training asks between two calls of a kernel."""

import signal
import threading


class CtrlC:
    """Within the ``with`` block Ctrl-C raises nothing, but sets `pressed`.

    An exception could come at any moment: within a compilation, which it would leave half
    done, or when weights are ahead of what is noted about them. Whoever presses Ctrl-C twice
    gets the exception. Nothing is changed where somebody else handles the signal, and outside
    of the main thread, which hears no signals.
    """

    def __init__(self):
        self.pressed = False
        self.ours = False

    def __enter__(self):
        is_main = threading.current_thread() is threading.main_thread()
        self.ours = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.ours:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *error):
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, *call):
        if self.pressed:
            signal.default_int_handler(*call)
        self.pressed = True
