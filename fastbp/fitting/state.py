"""What an optimiser carries from step to step: its memory, its figures, and the average of θ."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fastbp.fitting.plan import aligned, aligned_zeros, optimizer_of
from fastbp.kernels.formulas.optimizers import TABLE as OPTIMIZERS
from fastbp.kernels.training.records import STATE


@dataclass
class OptimizerState:
    """What an optimiser carries from step to step; a later `partial_fit` goes on with it."""

    name: str
    memory: np.ndarray
    state: np.ndarray = field(repr=False)  # (1,) STATE; no recarray, which not everyone can store
    eta: float
    began: int  # samples seen before the first step
    #: With `ema_decay` that of θ after each step, which predicts, and at the end θ itself.
    average: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    theta: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    ahead: object = None  # where training goes on from, if that isn't what predicts: an `Ahead`
    watches: tuple = ()  # what its best figures are of
    given: float | str | None = None  # the `learning_rate_init` that eta is of, if that is known

    def fits(self, settings, theta):
        """Whether a training with these settings can go on with it.

        It may come from a file, as the model does: nothing of it is believed.
        """
        name = optimizer_of(settings)
        shape, memory, state = (OPTIMIZERS[name].remembers, theta.size), self.memory, self.state
        alike = (self.name, memory.shape, memory.dtype.newbyteorder("=")) == (
            name, shape, theta.dtype,
        )  # fmt: skip
        is_state = state.shape == (1,) and state.dtype == STATE and state["position"][0] == 0
        return alike and is_state and bool(np.isfinite(memory).all())

    def keeps_step(self, learning_rate_init):
        """Whether who goes on keeps eta, which may have become smaller: not, if another step size
        is asked for than before."""
        return self.given in (None, learning_rate_init)

    def copy(self):
        """The same in memory of its own, as kernels take it: a file's may be read-only."""
        memory = aligned(self.memory, self.memory.dtype.newbyteorder("="))
        return replace(self, memory=memory, state=self.state.copy())

    def begin_average(self, settings, theta, average=None, decay_to_t=1.0):
        """Let the average begin with the first step, or go on."""
        self.average = self.theta = np.empty(0, theta.dtype)
        if settings.ema_decay is not None:
            self.average = aligned(theta if average is None else average, theta.dtype)
            self.state["decay_to_t"] = decay_to_t

    def remember(self, earlier):
        """The best figures of a training that this one goes on from, and since when there were
        none better."""
        if earlier.state.shape != (1,) or earlier.state.dtype != STATE:  # of a file, perhaps
            return
        self.watches = earlier.watches
        for name in ("best", "best_held_out", "stalled"):
            self.state[name] = earlier.state[name]

    def watch(self, watches):
        """Figures of something else are forgotten."""
        if self.watches != watches:
            self.watches = watches
            self.state["best"] = self.state["best_held_out"] = np.inf
            self.state["stalled"] = 0

    @classmethod
    def start(cls, settings, theta, seed, began=0):
        name = optimizer_of(settings)
        remembers = OPTIMIZERS[name].remembers if name in OPTIMIZERS else 0  # lbfgs is SciPy's
        memory = aligned_zeros((remembers, theta.size), theta.dtype)
        state = np.zeros(1, STATE)
        state["random"] = state["masks"] = seed
        state["beta_1_to_t"] = state["beta_2_to_t"] = state["decay_to_t"] = 1.0
        state["best"] = state["best_held_out"] = np.inf
        optimizer = cls(name, memory, state, settings.learning_rate_init, began)
        optimizer.begin_average(settings, theta)
        return optimizer


class Ahead(NamedTuple):
    """The network that is trained on, where an average of it predicts; in raw units."""

    weights: tuple  # coefs, intercepts
    of: list  # the weights of the average, as they were: if they have been changed, it isn't theirs

    @classmethod
    def of_both(cls, trained, average):
        """Of what has been learnt, twice."""
        of = [a.copy() for a in (*average.coefs, *average.intercepts)]
        return cls((trained.coefs, trained.intercepts), of)

    def is_of(self, learnt):
        """Whether the average is what has been learnt, still."""
        present = *learnt.coefs, *learnt.intercepts
        return len(present) == len(self.of) and all(map(np.array_equal, present, self.of))


def trained_of(before, optimizer, settings):
    """The network that has been trained, where `before` is the average of it, and is gone on with;
    else None."""
    if settings.ema_decay is None or optimizer is None or optimizer.ahead is None:
        return None
    if optimizer.state.dtype != STATE or not optimizer.ahead.is_of(before):
        return None
    coefs, intercepts = optimizer.ahead.weights
    return before._replace(coefs=coefs, intercepts=intercepts, packed=None)
