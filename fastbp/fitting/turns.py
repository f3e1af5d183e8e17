"""What a part of a table makes of a round, and means of what all make of it."""

from typing import NamedTuple

import numpy as np

from fastbp.fitting.fullbatch import FullBatch
from fastbp.fitting.plan import aligned, nothing_held_out, samples_of
from fastbp.fitting.state import OptimizerState
from fastbp.kernels.training.records import Course

#: Names in `records.STATE`.
DECAYS = "beta_1_to_t", "beta_2_to_t"


class Mean(NamedTuple):
    """Of some parts: their weight, and means of arrays."""

    weight: float
    values: tuple

    def merged(self, other):
        weight = self.weight + other.weight
        if weight == 0:
            return self
        part = other.weight / weight
        pairs = zip(self.values, other.values, strict=True)
        return Mean(weight, tuple(a + part * (np.float64(b) - a) for a, b in pairs))


class State(NamedTuple):
    """What a round begins with."""

    theta: np.ndarray
    memory: np.ndarray  # of the optimiser
    decays: np.ndarray  # what is left of its beginning: β₁ᵗ, β₂ᵗ

    @classmethod
    def of(cls, theta, optimizer):
        return cls(theta, optimizer.memory, np.array([optimizer.state[name][0] for name in DECAYS]))

    def optimizer(self, settings, seed):
        """As the kernels take it."""
        optimizer = OptimizerState.start(settings, self.theta, seed)
        optimizer.memory[:] = self.memory
        for name, value in zip(DECAYS, self.decays, strict=True):
            optimizer.state[name] = value
        return optimizer


class Share(NamedTuple):
    """How much of the training a round is: some epochs, or one part of several of an epoch."""

    etas: np.ndarray  # the step size of each epoch
    number: int
    parts: int

    def steps(self, per_epoch):
        """The first step, in its epoch, and how many there are."""
        first, end = (per_epoch * i // self.parts for i in (self.number, self.number + 1))
        return first, end - first if self.parts > 1 else per_epoch * len(self.etas)


class Turn(NamedTuple):
    """In which order a part's rows are, and what draws the next order."""

    order: np.ndarray
    random: int


def first_turn(samples, seed, number):
    """That of a part, by its number: as its samples are, also if training begins again. The first
    is that of a fit in one place."""
    if number > 0:
        seed = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
    return Turn(samples.order, seed)


def next_turn(begun, turn, epochs):
    """After so many epochs: the kernel's own shuffle, without rows and the steps between.

    (Training could return it, but then whoever replaces a lost worker would have to train from the
    first round on.)
    """
    theta = aligned(begun.theta, begun.theta.dtype)
    optimizer = OptimizerState.start(begun.settings, theta, turn.random)
    X, y = (np.empty((0, begun.net["width"][end]), theta.dtype) for end in (0, -1))
    X.flags.writeable = y.flags.writeable = False
    samples = samples_of(X, y, order=turn.order.copy())
    kernel, training, team = begun.layout(samples, theta, optimizer)
    for _ in range(epochs):
        course = Course(0, *np.zeros((4, 1)), 0, samples.order.size)
        team.run(kernel.train, training, samples, nothing_held_out(samples), course)
    return Turn(samples.order, int(optimizer.state["random"][0]))


def trained(begun, samples, turn, state, share):
    """What a part makes of the state in a round: the mean of θ, memory, decays and losses."""
    size, n_epochs = samples.order.size, len(share.etas)
    batch_size = min(begun.settings.batch_size, size)
    first, steps = share.steps(-(-size // batch_size))
    if steps == 0:
        return Mean(0.0, (*state, np.zeros(n_epochs)))
    theta = aligned(state.theta, state.theta.dtype)
    optimizer = state.optimizer(begun.settings, turn.random)
    optimizer.state["position"] = first * batch_size
    samples = samples._replace(order=turn.order.copy())
    kernel, training, team = begun.layout(samples, theta, optimizer)
    course = Course(steps, share.etas, *np.zeros((3, n_epochs)), 0, size)
    done = team.run(kernel.train, training, samples, nothing_held_out(samples), course)
    record, losses = training.state, course.losses
    if share.parts > 1:
        losses[:] = record.loss / record.weight
    losses[max(done, 1) :] = losses[done - 1]  # one that isn't finite is the last
    return Mean(float(record.weight), (*State.of(theta, optimizer), losses))


def gradient_in(begun, samples, theta, n_parts):
    """L and its gradient over a part; the penalty's is as large in each as if it were all."""
    function = FullBatch(begun.net, theta.dtype, samples, begun.settings)
    function.training.recipe.alpha /= n_parts
    weight, sample_weight = float(samples.order.size), samples.sample_weight
    if sample_weight.size:
        weight = float(sample_weight.sum(dtype=np.float64))
    loss, gradient = function(theta)
    return Mean(weight, (loss, gradient.copy()))
