"""Schedules: the step size over the epochs, in plain Python.

A new schedule is a function and a row in `SCHEDULES`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: "adaptive" divides the step size by this when progress stalls, and stops training when
#: it is this small already.
ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM = 5.0, 1e-6


class Epochs(NamedTuple):
    """Some epochs of a training, and what a schedule may go by."""

    eta: float  # the initial step size; for "adaptive" the present one
    power_t: float  # exponent of "invscaling"
    number: np.ndarray  # of each epoch, from 0
    planned: int  # how many epochs training is planned to last
    samples_seen: np.ndarray  # trained on before each epoch
    began: int = 0  # how many those were when the schedule began


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
    Hutter, 2017)."""
    return epochs.eta * (1 + np.cos(np.pi * epochs.number / epochs.planned)) / 2


class Schedule(NamedTuple):
    """A row of the table."""

    step_sizes: Callable  # of Epochs, for each of them
    #: It has an end, which it leads to: a loss that doesn't fall meanwhile doesn't end training.
    is_planned: bool = False
    #: The step size is divided when progress stalls.
    adapts: bool = False


SCHEDULES = {
    "constant": Schedule(constant),
    "invscaling": Schedule(invscaling),
    "adaptive": Schedule(constant, adapts=True),
    "cosine": Schedule(cosine, is_planned=True),
}
