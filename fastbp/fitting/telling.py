"""What a user who waits is told of trainings that come before the one that counts."""

import threading
import time
import unicodedata
from contextlib import contextmanager
from functools import wraps


class _Listening(threading.local):
    tell, number, is_fit = None, 0, False


_listening = _Listening()


@contextmanager
def told_by(tell, *, is_fit=False):
    """Within the ``with`` block `tell` is called with a line for each trial of this thread that
    begins, and one for each that ends. `is_fit`: it is that of one fit."""
    before = _listening.tell, _listening.number, _listening.is_fit
    _listening.tell, _listening.number, _listening.is_fit = tell, 0, is_fit
    try:
        yield
    finally:
        _listening.tell, _listening.number, _listening.is_fit = before


def of_fit(tell):
    """As `told_by`, within one fit. Without `tell` it is who listens already, but in a callback of
    another fit nobody: its listener asked for its own trials."""
    if tell is None and not _listening.is_fit:
        tell = _listening.tell
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
    def make_and_tell(search, plan, most_parts=2, **how):
        if (tell := _listening.tell) is None:
            return make(search, plan, most_parts, **how)
        _listening.number += 1
        encoded = "encoded " if search.task.encoding else ""
        name, start = f"{encoded}trial {_listening.number}", time.perf_counter()
        tell(f"{name}: {words_of_beginning(search.parts[:most_parts], plan.max_iter)}")
        made = make(search, plan, most_parts, **how)
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
    if _listening.tell is not None:
        _listening.tell(
            f"{n_starts} first weights are tried: {n_samples} samples, {n_epochs} epochs each"
        )


def of_start(number, n_starts, history):
    """One of them has been."""
    if _listening.tell is not None:
        _listening.tell(
            f"first weights {number}/{n_starts}: loss {history.last_loss:.4g} after "
            f"{len(history.losses)} epochs  {history.seconds:.1f} s"
        )
