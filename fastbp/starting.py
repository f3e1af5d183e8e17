"""Ctrl-C while ``python -m fastbp`` still imports: the one line of later, and no traceback.

An exception wouldn't do: what is imported swallows some, and the interpreter prints others.
"""

import os
import signal
import sys


def as_command():
    """Whether it is ``python -m fastbp`` that imports the package; Python says so while it does."""
    return sys.argv[:1] == ["-m"] and "fastbp" in sys.orig_argv


def leave_on_ctrl_c():
    """End the process at once, from now on; there is nothing to lose. Ignored signals stay so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(number, frame):
    os.write(2, b"fastbp: interrupted\n")
    os._exit(130)


def started():
    """Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
