"""Schedules: the step size over the epochs, in plain Python.

A new schedule is a function and a row in `SCHEDULES`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: "adaptive" divides the step size by this when progress stalls, and stops training when
#: it is this small already.
ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM = 5.0, 1e-6

#: The part of a limited time after which the pace of training is believed.
TIME_TO_TELL = 0.1


class Epochs(NamedTuple):
    """Some epochs of a training, and what a schedule may go by."""

    eta: float  # the initial step size; for "adaptive" the present one
    power_t: float  # exponent of "invscaling"
    number: np.ndarray  # of each epoch, from 0
    planned: int  # how many epochs training is planned to last
    samples_seen: np.ndarray  # trained on before each epoch
    began: int = 0  # how many those were when the schedule began
    warmup: float | None = None  # part of the planned epochs in which the step size rises


def constant(epochs):
    """η."""
    return np.full(len(epochs.number), float(epochs.eta))


def invscaling(epochs):
    """η / (t + 1)^power_t, t being the samples seen; the first epoch takes η."""
    later = epochs.samples_seen > epochs.began
    return np.where(
        later, epochs.eta / (epochs.samples_seen + 1.0) ** epochs.power_t, float(epochs.eta)
    )


def cosine(epochs):
    """η (1 + cos π t) / 2, t being the part of the planned epochs that is done (Loshchilov &
    Hutter, 2017). In a warm-up, that comes before it, η grows by equal steps."""
    n_rising = round((epochs.warmup or 0.0) * epochs.planned)
    t = (epochs.number - n_rising) / max(epochs.planned - n_rising, 1)
    rising = (epochs.number + 1) / (n_rising + 1)
    return epochs.eta * np.where(t < 0, rising, (1 + np.cos(np.pi * t)) / 2)


def one_cycle(epochs):
    """From η/25 up to η, in a warm-up of three tenths, and down to 0, both by half a cosine (Smith
    & Topin, 2018)."""
    n_rising = round((0.3 if epochs.warmup is None else epochs.warmup) * epochs.planned)
    up = epochs.number / max(n_rising, 1)
    rising = 1 / 25 + (1 - 1 / 25) * (1 - np.cos(np.pi * up)) / 2
    down = (epochs.number - n_rising) / max(epochs.planned - n_rising, 1)
    return epochs.eta * np.where(epochs.number < n_rising, rising, (1 + np.cos(np.pi * down)) / 2)


class Schedule(NamedTuple):
    """A row of the table."""

    step_sizes: Callable  # of Epochs, for each of them
    #: It has an end, which it leads to: a loss that doesn't fall meanwhile doesn't end training.
    is_planned: bool = False
    #: The step size is divided when progress stalls.
    adapts: bool = False
    #: Of plain descent alone: other solvers take no notice of it, as in scikit-learn.
    is_sgds: bool = False


SCHEDULES = {
    "constant": Schedule(constant),
    "invscaling": Schedule(invscaling, is_sgds=True),
    "adaptive": Schedule(constant, adapts=True, is_sgds=True),
    "cosine": Schedule(cosine, is_planned=True),
    "one_cycle": Schedule(one_cycle, is_planned=True),
}


def planned_epochs(settings, done, seconds, since):
    """How many epochs a training lasts: `max_iter`, or as many as there is time for.

    A schedule that ends with the time loses less than one that is cut off, where steps are large
    still (Li, Yumer & Ramanan, "Budgeted training", ICLR 2020): with half of the time that it
    takes, kin40k has 1.3 times its error, and had 1.9; a noisy table 1.02, and had 1.2. Where
    time is enough by far, nothing goes by the clock.

    Parameters
    ----------
    settings : see `settings_of`
    done : float
        Epochs so far.
    seconds, since : float
        Seconds of training so far, and when the first of these epochs began.
    """
    if settings.max_time is None or not SCHEDULES[settings.learning_rate].is_planned:
        return settings.max_iter
    if not done or seconds - since < TIME_TO_TELL * settings.max_time:
        return settings.max_iter
    pace = done / (seconds - since)
    return min(settings.max_iter, int(done + pace * (settings.max_time - seconds)))
