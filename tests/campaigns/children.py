"""Processes that are forked for a trial, and get a signal at a random moment of it."""

import faulthandler
import os
import signal
import time
import traceback
import warnings

from campaigns.runner import Fault

#: Seconds after which a child that got its signal hangs.
PATIENCE = 300


def after_a_while(random, act, number, longest, again=0.0):
    """Run ``act()`` in a child, and send it a signal.

    Parameters
    ----------
    act : callable
        ``act(ready)``, whose ``ready()`` says that time begins; what it returns is told.
    number : signal
    longest : float
        Seconds, before which it comes: mostly much earlier.
    again : float, default=0.0
        How probably it comes twice.

    Returns
    -------
    str or None
        What the child tells; None if the signal ended it.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        _be_child(act, writes)
    os.close(writes)
    with os.fdopen(reads, "rb") as told:
        begun = told.read(1)
        if begun:
            time.sleep(10 ** random.uniform(-3, 0) * longest)
            os.kill(child, number)
            if random.random() < again:
                time.sleep(10 ** random.uniform(-5, -1))
                os.kill(child, number)
        what = told.read().decode()
    _, status = os.waitpid(child, 0)
    if what.startswith("FAULT"):
        raise Fault(what)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -number) or not begun or (code == 0 and not what):
        raise Fault(f"the child ended with {code} and said {what!r}")
    return what or None


def _be_child(act, writes):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(PATIENCE)
    warnings.simplefilter("ignore")
    code = 1
    try:
        what = act(lambda: os.write(writes, b"!"))
        code = 0
    except BaseException:
        what = f"FAULT in the child: {traceback.format_exc()}"
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(writes, what.encode())
        os._exit(code)
