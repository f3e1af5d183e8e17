"""What a part of a table makes of a round, and means of what all make of it."""

from typing import NamedTuple

import numpy as np

from fastbp.fitting.fullbatch import FullBatch
from fastbp.fitting.plan import aligned, nothing_held_out, record_of, samples_of
from fastbp.fitting.state import OptimizerState
from fastbp.fitting.table import Table
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
    """In which order a part's rows are, or its blocks, and what draws the next order."""

    order: np.ndarray
    random: int
    #: Of blocks that are in order: what drew the orders of the windows, from the first on.
    random_within: int = 0


def first_turn(begun, part, number):
    """That of a part, by its number: as its samples are, also if training begins again. The first
    is that of a fit in one place."""
    seed = begun.seed
    if number > 0:
        seed = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
    return Turn(begun.windows(part).blocks if isinstance(part, Table) else part.order, seed)


def next_turn(begun, part, turn, epochs):
    """After so many epochs: the kernel's own shuffle, without rows and the steps between.

    (Training could return it, but then whoever replaces a lost worker would have to train from the
    first round on.)
    """
    theta = aligned(begun.theta, begun.theta.dtype)
    optimizer = OptimizerState.start(begun.settings, theta, turn.random)
    if isinstance(part, Table):
        windows, state = begun.windows(part, turn.order.copy()), record_of(optimizer.state)
        for _ in range(epochs):
            within = windows.skip_epoch(state)
        return Turn(windows.blocks, int(state["random"]), within)
    X, y = (np.empty((0, begun.net["width"][end]), theta.dtype) for end in (0, -1))
    X.flags.writeable = y.flags.writeable = False
    samples = samples_of(X, y, order=turn.order.copy())
    kernel, training, team = begun.layout(samples, theta, optimizer)
    for _ in range(epochs):
        course = Course(0, *np.zeros((4, 1)), 0, samples.order.size)
        team.run(kernel.train, training, samples, nothing_held_out(samples), course)
    return Turn(samples.order, int(optimizer.state["random"][0]))


def trained(begun, part, turn, state, share):
    """What a part makes of the state in a round: the mean of θ, memory, decays and losses."""
    is_large, order = isinstance(part, Table), turn.order.copy()
    samples = begun.windows(part, order) if is_large else part._replace(order=order)
    size, n_epochs = samples.n_samples, len(share.etas)
    batch_size = min(begun.settings.batch_size, size)
    first, steps = share.steps(-(-size // batch_size))
    if steps == 0:
        return Mean(0.0, (*state, np.zeros(n_epochs)))
    theta = aligned(state.theta, state.theta.dtype)
    random = turn.random_within if is_large and first > 0 else turn.random
    optimizer = state.optimizer(begun.settings, random)
    optimizer.state["position"] = first * batch_size
    kernel, training, team = begun.layout(samples, theta, optimizer)
    record, losses = training.state, np.zeros(n_epochs)
    course = Course(steps, share.etas, losses, *np.zeros((2, n_epochs)), 0, size)
    if is_large:
        if first > 0:
            samples.go_on_at(int(record["position"]), record, team)
        done = train_in_windows(kernel, training, samples, course, team)
    else:
        done = team.run(kernel.train, training, samples, nothing_held_out(samples), course)
    if share.parts > 1:
        losses[:] = record["loss"] / record["weight"]
    losses[max(done, 1) :] = losses[done - 1]  # one that isn't finite is the last
    return Mean(float(record["weight"]), (*State.of(theta, optimizer), losses))


def train_in_windows(kernel, training, windows, course, team):
    """As ``kernel.train``, in one window after the other: whole epochs, or a part of one."""

    def run(samples, course):
        return team.run(kernel.train, training, samples, nothing_held_out(samples), course)

    arrays = course.etas, course.losses, course.losses_val, course.scores
    for epoch in range(len(course.etas)):
        of_epoch = (array[epoch : epoch + 1] for array in arrays)
        of_epoch = Course(course.steps, *of_epoch, 0, course.n_samples)
        if not windows.go_through(of_epoch, training, team, run):
            return epoch
        if not np.isfinite(course.losses[epoch]):
            return epoch + 1
    return len(course.etas)


def gradient_in(begun, samples, theta, n_parts):
    """L and its gradient over a part; the penalty's is as large in each as if it were all."""
    function = FullBatch(begun.net, theta.dtype, samples, begun.settings)
    function.training.recipe["alpha"] /= n_parts
    weight, sample_weight = float(samples.order.size), samples.sample_weight
    if sample_weight.size:
        weight = float(sample_weight.sum(dtype=np.float64))
    loss, gradient = function(theta)
    return Mean(weight, (loss, gradient.copy()))
