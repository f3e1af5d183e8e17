"""What a user who waits is told of trainings that come before the one that counts."""

import threading
import time
import unicodedata
from contextlib import contextmanager
from functools import wraps
from itertools import count
from typing import NamedTuple


class Listener(NamedTuple):
    """Who is told, if anybody is."""

    tell: object = None  # a function of a line
    is_fit: bool = False  # it is that of one fit
    numbers: object = None  # of trials, one after the other, whichever thread makes them


class _Listening(threading.local):
    listener = Listener()


_listening = _Listening()


def here():
    """Who is told of trials in this thread."""
    return _listening.listener


@contextmanager
def as_in(listener):
    """Within the ``with`` block it is told of trials in this thread."""
    before, _listening.listener = _listening.listener, listener
    try:
        yield
    finally:
        _listening.listener = before


def told_by(tell, *, is_fit=False):
    """Within the ``with`` block `tell` is called with a line for each trial of this thread that
    begins, and one for each that ends. `is_fit`: it is that of one fit."""
    return as_in(Listener(tell, is_fit, count(1)))


def of_fit(tell):
    """As `told_by`, within one fit. Without `tell` it is who listens already, but in a callback of
    another fit nobody: its listener asked for its own trials."""
    if tell is None and not here().is_fit:
        tell = here().tell
    return told_by(tell, is_fit=True)


def say(line):
    """Print a line, in one go: members of an ensemble print from their threads. No fit ends because
    a terminal can't show a character."""
    try:
        print(line + "\n", end="", flush=True)
    except UnicodeEncodeError:
        plain = unicodedata.normalize("NFKD", line).encode("ascii", "replace").decode()
        print(plain + "\n", end="", flush=True)


def of_trials(make):
    """Decorates the method of `trials.Search` that makes a trial."""

    @wraps(make)
    def make_and_tell(search, plan, **how):
        tell, _, numbers = here()
        if tell is None:
            return make(search, plan, **how)
        encoded = "encoded " if search.task.encoding else ""
        name, start = f"{encoded}trial {next(numbers)}", time.perf_counter()
        tell(f"{name}: {words_of_beginning(search.parts, plan.max_iter)}")
        made = make(search, plan, **how)
        tell(f"{name}: {words_of_end(made.history)}  {time.perf_counter() - start:.1f} s")
        return made

    return make_and_tell


def words_of_beginning(parts, n_epochs):
    """What is trained on, and for how long."""
    (train, rest), n = parts[0], len(parts)
    times = f", {n} times with different parts" if n > 1 else ""
    return f"{len(train)} samples, {len(rest)} held out{times}; {n_epochs} epochs"


def words_of_end(history):
    """How a trial ended."""
    losses = history.validation_losses
    if history.ended_by == "max_time":
        return f"out of time after {len(losses)} epochs"
    least = min(losses)
    early = f"ended after {len(losses)} epochs: " if history.ended_by == "risen" else ""
    return (
        f"{early}validation loss {losses[-1]:.4g}, the least {least:.4g} in epoch "
        f"{losses.index(least) + 1}"
    )


def of_starts(n_starts, n_samples, n_epochs):
    """So many first weights are going to be tried."""
    if (tell := here().tell) is not None:
        tell(f"{n_starts} first weights are tried: {n_samples} samples, {n_epochs} epochs each")


def of_start(number, n_starts, history):
    """One of them has been."""
    if (tell := here().tell) is not None:
        tell(
            f"first weights {number}/{n_starts}: loss {history.last_loss:.4g} after "
            f"{len(history.losses)} epochs  {history.seconds:.1f} s"
        )
