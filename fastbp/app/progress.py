"""How far a command is, on standard error: what people see who wait, and nobody else reads."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec

import numpy as np
from sklearn.base import clone
from sklearn.callback import ProgressBar

from fastbp.fitting import telling
from fastbp.kernels.machine.cache import announced, is_kept

#: Seconds between two lines of progress where there is no bar.
PULSE = 5.0

#: Where nobody looks on, a preparation is worth a line that took so many seconds.
SLOW = 1.0

#: Bytes of a table beside which kernels are compiled in another process.
LARGE = 2**24

#: What another process does: it has the modules that this one has.
MAKES_A_CALL = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "pickle.load(sys.stdin.buffer)()"
)


def is_watched():
    """Whether somebody sees standard error."""
    return sys.stderr.isatty()


def bars():
    """Whether progress bars can be shown: in a terminal, with rich."""
    return is_watched() and find_spec("rich") is not None


def prepare_kernels(*calls, beside=0):
    """Make calls that compile the kernels, or load them, so that no time that is told holds it.

    Beside a table of so many bytes, if that is large, it is another process that compiles them, and
    this one loads what that has kept: LLVM gives back nothing of the 50 MB that it takes for it.
    Where nothing can be kept, this one would compile them as well.
    """
    is_once = is_kept()
    once = (
        "compiled on first use, then kept on disk" if is_once else "there is no folder to keep them"
    )
    if is_watched():
        say(f"Preparing the kernels ({once}) ... ", end="")
    start, seconds = time.perf_counter(), None
    is_elsewhere = beside > LARGE and is_once
    try:
        with ctrl_c_ends_the_process():
            for call in calls:
                elsewhere = partial(by_another_process, call)
                with announced(elsewhere) if is_elsewhere else nullcontext():
                    call()
        seconds = time.perf_counter() - start
    finally:
        if is_watched():
            say("" if seconds is None else f"{seconds:.1f} s")
    if not is_watched() and seconds > SLOW:
        say(f"The kernels were prepared in {seconds:.1f} s ({once}).")


def by_another_process(call):
    """Make a call in a process of its own, which ends with this one, and hears no Ctrl-C; if that
    fails, nothing does: whoever calls makes the call as well.

    One of multiprocessing's would begin with the lines of the user's program.
    """
    if not sys.executable or getattr(sys, "frozen", False):  # it is none of Python's
        return
    given = pickle.dumps(sys.path) + pickle.dumps(partial(_beside_its_parent, call))
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-P", "-c", MAKES_A_CALL]  # a struct.py may lie in this folder
    try:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, start_new_session=True, **nowhere
        ) as process:
            process.stdin.write(given)
            process.stdin.flush()
            process.wait()
    except OSError:  # there may be no more processes
        return


def _beside_its_parent(call):
    def end_with_it():
        os.read(0, 1)  # nothing comes, until it is gone
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()
    call()


def step_of(model, n_features, n_samples):
    """A call that trains such a model for a step, on zeros: which kernel does it goes by its layers
    and its batches."""
    n = min(4096, n_samples)  # from where on there are larger batches
    return partial(_fit_zeros, model, n, n_features)


def _fit_zeros(model, n, n_features):
    one = clone(model)
    if hasattr(one, "partial_fit"):
        learn = one.partial_fit
    else:  # "lbfgs" makes no steps
        learn = one.set_params(max_iter=1, early_stopping=False).fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training itself warns of the same
        learn(np.zeros((n, n_features)), np.zeros(n)).predict(np.zeros((1, n_features)))


@contextmanager
def ctrl_c_ends_the_process():
    """Take Ctrl-C without an exception: raised within LLVM, it would be lost, or crash."""

    def leave(*_):
        os.write(2, b"fastbp: interrupted\n")
        os._exit(130)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears of Ctrl-C
        return
    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Lines:
    """A callback of scikit-learn's that prints a line now and then, where there is no bar."""

    def setup(self, estimator, context):
        self.last = time.monotonic()

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.parent is not None and time.monotonic() - self.last > PULSE:
            self.last = time.monotonic()
            done, most = context.task_id + 1, context.parent.max_subtasks
            say(f"  epoch {done} of at most {most}")

    def teardown(self, estimator, context):
        pass


def bar():
    """The callback that shows how far training is."""
    if not bars():
        return Lines()
    import rich

    rich.reconfigure(stderr=True)  # scikit-learn's bar is drawn where rich draws
    return ProgressBar()


def told_of_trials():
    """In this context a line is said of each trial; where nobody looks on, now and then."""
    last, is_seen = time.monotonic(), is_watched()

    def tell(words):
        nonlocal last
        if is_seen or time.monotonic() - last > PULSE:
            last = time.monotonic()
            say(f"  {words}")

    return telling.told_by(tell)


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)
