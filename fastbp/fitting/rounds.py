"""A fit on a table in parts: see `parts.py`.

"lbfgs" asks all of them for the loss and its gradient. Steps are made in rounds: in each, every
part trains for itself, from one θ and one optimiser's memory; the means of what they end with,
weighted by the rows, begin the next round (local SGD: Stich, 2019). What is drawn at random goes by
the numbers of the part and of the round, never by who computes it.
"""

import time
from copy import copy, deepcopy
from functools import reduce
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from fastbp import encodings, scaling
from fastbp.encodings import Encoding
from fastbp.fitting import fit, lbfgs, loop, trials
from fastbp.fitting.fullbatch import FullBatch
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.parts import as_is, facts_in, known, measured, parted, reduced
from fastbp.fitting.plan import aligned, layout, nothing_held_out, row_numbers, samples_of
from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM, SCHEDULES, Epochs
from fastbp.fitting.settings import loss_with_left
from fastbp.kernels.formulas.network import step_flops
from fastbp.kernels.training.kernels import kernel_for
from fastbp.kernels.training.records import Course, HeldOut

#: Floating-point operations of the largest part in a round: some seconds, beside which the 10 to 50
#: ms that a scheduler takes are little.
ROUND_FLOPS = 2e10

#: However little work they are, so many rounds are made: means of networks that have been apart for
#: long are worse.
LEAST_ROUNDS = 50

#: A part's batches are smaller by the number of parts, so that all together are as large as those
#: of a fit in one place, but no smaller than so many rows; and Adam's steps are longer by its root,
#: but by no more than so much: fewer of them are made one after the other, from gradients that vary
#: more. (8 and 64 parts of tables of 10,000 to 40,000 rows: a tenth to a half of the price of equal
#: batches and steps. Rounds of a part of an epoch change nothing.)
LEAST_BATCH, MOST_TIMES = 16, 8

#: Rows of a table that is looked at as a whole, in one place, to find how it is best trained on.
SEARCHED = 50_000


# ------------------------------------------------------------------------------ the beginning


class Begun(NamedTuple):
    """What all parts are trained with."""

    net: np.recarray
    settings: object  # with what "auto" became
    theta: np.ndarray
    seed: int
    units: scaling.Scaling | None  # of all that the network sees
    bounds: scaling.Bounds | None
    plan: trials.Plan
    encoding: Encoding | None
    exponent: int | None  # of the weights of samples
    pilot: loop.History | None

    @property
    def trained_units(self):
        """Those of the columns as they are planned to be scaled."""
        return fit.scaled_units(self.units, self.plan)

    def learnt(self, theta):
        return Learnt.of(theta, self.net, self.settings, self.trained_units, self.encoding)

    def converted(self, table, bounds=None):
        """X, y and weights as they are trained on."""
        X, y, weight = table.converted(self.theta.dtype, self.units, bounds, self.encoding)
        return trials.scaled(X, self.plan), y, weight

    def layout(self, samples, theta, optimizer, best_theta=None, n_held_out=0):
        """The kernel for these samples, what it trains with, and its threads."""
        settings = copy(self.settings)
        settings.n_iter_no_change = np.inf  # it is not the part that decides
        batch_size = min(settings.batch_size, samples.order.size)
        kernel = kernel_for(self.net, batch_size, theta.itemsize)
        best_theta = theta[:0] if best_theta is None else best_theta
        rest = batch_size, theta, optimizer, best_theta, n_held_out
        return kernel, *layout(kernel, self.net, settings, *rest)


def begin(sample, settings, facts, units, bounds, before):
    """How to train, from which θ, by a sample of the rows, or by all of them.

    On a table that is no larger than `SEARCHED`, all is found that a fit in one place finds.
    """
    settings, n, batch_size = deepcopy(settings), facts.n, settings.batch_size
    if n > SEARCHED or len(sample.y) < n:
        settings.refits = settings.tries_encoding = False
    ground = fit.Ground(sample, row_numbers(len(sample.y)), None, units, bounds, n_rows=n)
    ((_, prepared),) = fit.prepare(settings, sample, None, before, mixes=False, ground=ground)
    settings, plan, task = prepared.task.settings, prepared.plan, prepared.task
    settings.y_dtype, dtype = facts.y_dtype, prepared.samples.X.dtype
    if before is not None:
        theta, seed = before.theta(prepared.units, dtype), trials.new_seed(task.random_state)
    else:
        theta, seed = trials.best_start(task, plan)
    theta = aligned(theta, dtype)
    times = adapt(settings, len(facts.sizes), batch_size)
    settings.learning_rate_init = times * task.step_size(plan, theta)
    units = encodings.widened(units, task.encoding)
    rest = plan, task.encoding, facts.exponent, prepared.pilot
    return Begun(task.net, settings, theta, seed, units, bounds, *rest)


def adapt(settings, n_parts, batch_size):
    """Batches, where they are "auto", to the number of parts; and what to multiply a step size by
    that is."""
    if batch_size == "auto" and not settings.full_batch:
        before = settings.batch_size
        settings.batch_size = max(min(LEAST_BATCH, before), before // n_parts)
        settings.alpha *= settings.batch_size / before  # which is divided by it
    is_longer = settings.finds_step and settings.solver == "adam"
    return min(np.sqrt(n_parts), MOST_TIMES) if is_longer else 1.0


def samples_in(begun, table):
    """A part as it is trained on."""
    return samples_of(*begun.converted(table, begun.bounds), exponent=begun.exponent)


# ------------------------------------------------------------------------------ means


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
        optimizer = loop.OptimizerState.start(settings, self.theta, seed)
        optimizer.memory[:] = self.memory
        for name, value in zip(DECAYS, self.decays, strict=True):
            optimizer.state[name] = value
        return optimizer


#: Names in `records.STATE`.
DECAYS = "beta_1_to_t", "beta_2_to_t"


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


def first_turn(ordered, seed, number):
    """That of a part, by its number, of its samples, or of the turn at which it begins again. The
    first is that of a fit in one place."""
    if number > 0:
        seed = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
    return Turn(ordered.order, seed)


def next_turn(begun, turn, epochs):
    """After so many epochs: the kernel's own shuffle, without rows and the steps between.

    (Training could return it, but then whoever replaces a lost worker would have to train from the
    first round on.)
    """
    theta = aligned(begun.theta, begun.theta.dtype)
    optimizer = loop.OptimizerState.start(begun.settings, theta, turn.random)
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


# ------------------------------------------------------------------------------ held-out rows


class Scores:
    """The loss and R² on rows that are held out, in parts, as a function of θ."""

    def __init__(self, places, handle, tables, facts, spread_of_constant):
        self.places, self.begun, exponent = places, handle, facts.exponent

        def summed(function, *arguments):
            handles = [places.submit(function, handle, table, *arguments) for table in tables]
            return reduced(places, np.add, handles)

        total = summed(weight_apart, exponent)
        mean = summed(mean_apart, exponent, total)
        spread = summed(spread_apart, exponent, total, mean)
        # A mean of equal numbers may differ from them in the last bits.
        spread[(facts.y_least == facts.y_greatest) | (spread == 0)] = spread_of_constant
        self.is_constant = np.mean(np.isinf(spread))
        self.parts = [
            places.submit(held_out_in, handle, table, exponent, total, spread) for table in tables
        ]

    def __call__(self, theta):
        theta = self.places.submit(as_is, theta)
        handles = [self.places.submit(score_in, self.begun, part, theta) for part in self.parts]
        loss, score = reduced(self.places, merged_scores, handles)
        return float(loss), float(score - self.is_constant)


def apart(begun, table, exponent, total=1.0):
    """Held-out rows as they are scored, with their weights, which are so much in all."""
    X, y, weight = begun.converted(table)
    weight = np.ones(len(y)) if weight is None else scaling.relative(weight, exponent)
    return X, y, weight / total


def weight_apart(begun, table, exponent):
    return apart(begun, table, exponent)[2].sum()


def mean_apart(begun, table, exponent, total):
    _, y, weight = apart(begun, table, exponent, total)
    return weight @ np.float64(y)


def spread_apart(begun, table, exponent, total, mean):
    _, y, weight = apart(begun, table, exponent, total)
    return weight @ (np.float64(y) - mean) ** 2


def held_out_in(begun, table, exponent, total, spread):
    X, y, weight = apart(begun, table, exponent, total)
    return HeldOut(row_numbers(len(y)), X, y, weight.astype(X.dtype), spread)


def score_in(begun, held_out, theta):
    """What a part of the held-out rows adds to the loss, and R² if the others have no error."""
    samples, theta = samples_of(held_out.X, held_out.y), aligned(theta, theta.dtype)
    optimizer = loop.OptimizerState.start(begun.settings, theta, 0)
    optimizer.state["position"], optimizer.state["weight"] = samples.order.size, 1.0
    rest = theta, optimizer, np.empty_like(theta), len(held_out.y)
    kernel, training, team = begun.layout(samples, *rest)
    course = Course(0, *np.zeros((4, 1)), 0, samples.order.size)
    team.run(kernel.train, training, samples, held_out, course)
    return course.losses_val[0], course.scores[0]


def merged_scores(one, other):
    return one[0] + other[0], one[1] + other[1] - 1


# ------------------------------------------------------------------------------ the fit


def train(settings, tables, held_out, places, *, before=None, seen=0, watch=None):
    """Train.

    Parameters
    ----------
    settings : see `settings_of`
    tables : list of handles of Table
        In raw units; none has rows without weight.
    held_out : list of handles of Table, or None
    places : see `parts.py`
    before : Learnt or None
        What to go on from.
    seen : int
        Samples trained on so far.
    watch : callable
        Makes an observer, as of `loop.fit`, of the number of epochs that are planned.

    Returns
    -------
    fit.Fitted
    """
    random_state = settings.random_state = check_random_state(settings.random_state)
    settings.n_threads = settings.n_threads or 1
    spread_of_constant = 1.0
    if settings.holds_out and held_out is None:
        spread_of_constant = np.inf if settings.init == "glorot" else 1.0
        tables, held_out = parted(places, tables, settings.validation_fraction, random_state)
        if facts_in(places, held_out).n < 2:
            raise ValueError(
                "The validation set is too small. Increase validation_fraction or the number "
                "of samples."
            )
    facts, tables = known(places, tables)
    if held_out is not None:
        facts_apart, held_out = known(places, held_out)
    sample, tables, units, bounds = measured(places, tables, facts, settings)
    weight = None if facts.heaviest is None else np.array([facts.heaviest])
    settings.alpha = fit.alpha_for(settings, units, weight)
    begun = places.submit(begin, sample, settings, facts, units, bounds, before)
    begun = places.result(begun)
    handle, settings = places.submit(as_is, begun), begun.settings
    random_state.set_state(settings.random_state.get_state())  # it was drawn from elsewhere
    parts = [places.submit(samples_in, handle, table) for table in tables]
    score = None
    if held_out is not None:
        score = Scores(places, handle, held_out, facts_apart, spread_of_constant)
    observer = None if watch is None else watch(settings.max_iter)
    if observer is not None and begun.pilot is not None:
        observer.pilot_was(begun.pilot)
    if settings.full_batch:
        theta, function = begun.theta.copy(), Everywhere(places, handle, parts)
        optimizer = loop.OptimizerState.start(settings, theta, begun.seed)
        history = lbfgs.minimized(function, theta, score, settings, observer)
    else:
        rounds = _Rounds(places, begun, handle, parts, facts.sizes, score, observer, seen)
        rounds.run()
        theta, optimizer, history = rounds.theta, rounds.optimizer(), rounds.history
    rest = history, settings, facts.n, begun.pilot, observer
    return fit.Fitted(begun.learnt(theta), optimizer, *rest)


class Everywhere:
    """L and ∂L/∂θ over all parts, as a function of θ."""

    def __init__(self, places, begun, parts):
        self.places, self.begun, self.parts = places, begun, parts

    def __call__(self, theta, stop=None):
        theta, n = self.places.submit(as_is, theta.copy()), len(self.parts)
        handles = [
            self.places.submit(gradient_in, self.begun, part, theta, n) for part in self.parts
        ]
        return reduced(self.places, Mean.merged, handles).values


def share_of_round(net, sizes, max_iter, each_epoch):
    """Epochs of a round, or parts of an epoch: by the work of the largest part."""
    flops = step_flops(net, max(sizes))
    if each_epoch or flops > ROUND_FLOPS:
        return 1, max(1, round(flops / ROUND_FLOPS))
    return max(1, min(int(ROUND_FLOPS // flops), max_iter // LEAST_ROUNDS)), 1


class _Rounds:
    """One training by rounds; what it decides is what `loop.fit` does, but only after rounds."""

    def __init__(self, places, begun, handle, parts, sizes, score, observer, seen):
        settings = begun.settings
        self.places, self.begun, self.handle, self.parts = places, begun, handle, parts
        self.score, self.observer, self.settings = score, observer, settings
        self.n, self.seen, self.schedule = sum(sizes), seen, SCHEDULES[settings.learning_rate]
        self.epochs, self.shares = share_of_round(
            begun.net, sizes, settings.max_iter, each_epoch=score is not None
        )
        batch_size = min(settings.batch_size, max(sizes))
        self.kernel = kernel_for(begun.net, batch_size, begun.theta.itemsize).name
        self.eta_at_first, self.start = settings.learning_rate_init, time.perf_counter()
        self.history = loop.History(kernel=self.kernel)
        self.begin(self.eta_at_first)

    def begin(self, eta):
        """From the first weights."""
        begun, self.eta = self.begun, eta
        first = loop.OptimizerState.start(self.settings, begun.theta, begun.seed)
        self.state = State.of(begun.theta, first)
        self.turns = [
            self.places.submit(first_turn, part, begun.seed, number)
            for number, part in enumerate(self.parts)
        ]
        self.best, self.best_apart, self.stalled = np.inf, np.inf, 0
        self.theta = begun.theta  # what training ends with
        self.history.forget_after(0)

    def optimizer(self):
        """To go on with."""
        optimizer = self.state.optimizer(self.settings, self.begun.seed)
        optimizer.eta, optimizer.began = self.eta, self.seen
        return optimizer

    def run(self):
        """Train until one of the reasons to stop."""
        history, settings = self.history, self.settings
        while len(history.losses) < settings.max_iter:
            self.make_round()
            history.seconds = time.perf_counter() - self.start
            if self.leads_nowhere():
                self.begin_again()
            elif reason := self.reason_to_stop():
                history.ended_by = reason
                return

    def make_round(self):
        """Some epochs, or one in several rounds."""
        epoch = len(self.history.losses)
        etas, losses = self.step_sizes(min(self.epochs, self.settings.max_iter - epoch)), []
        for number in range(self.shares):
            losses.append(self.mean_of_all(Share(etas, number, self.shares), number == 0))
        losses = reduce(Mean.merged, losses).values[0]
        self.history.losses += losses.tolist()
        if self.score is None:
            self.theta = self.state.theta
        for loss in self.history.losses[epoch:]:
            self.judge(loss)
        if self.observer is not None:
            self.observer.epoch_ends(self.history, self.state.theta)

    def mean_of_all(self, share, is_first):
        """All parts go on from the mean of all: returns that of their losses."""
        submit, dtype = self.places.submit, self.begun.theta.dtype
        state, share = submit(as_is, self.state), submit(as_is, share)
        handles = [
            submit(trained, self.handle, part, turn, state, share)
            for part, turn in zip(self.parts, self.turns, strict=True)
        ]
        if self.settings.shuffle and is_first:
            self.turns = [submit(next_turn, self.handle, turn, self.epochs) for turn in self.turns]
        weight, (theta, memory, decays, losses) = reduced(self.places, Mean.merged, handles)
        self.state = State(theta.astype(dtype), memory.astype(dtype), decays)
        return Mean(weight, (losses,))

    def step_sizes(self, n_epochs):
        settings, numbers = self.settings, len(self.history.losses) + np.arange(n_epochs)
        seen = self.seen + self.n * numbers
        plan = settings.max_iter, seen, self.seen, settings.warmup_fraction
        return self.schedule.step_sizes(Epochs(self.eta, settings.power_t, numbers, *plan))

    def judge(self, loss):
        """Compare an epoch with the best so far: as `epoch.end_epoch`."""
        history, settings, figure = self.history, self.settings, loss
        if self.score is not None:
            loss_apart, score = self.score(self.state.theta)
            if not (np.isfinite(loss_apart) and np.isfinite(score)) and np.isfinite(loss):
                raise ValueError(
                    f"On the rows held out the loss is {loss_apart:.4g}, the score {score:.4g}: "
                    "some of their X or y are too far from what is trained on. Look for wrong "
                    "values among them."
                )
            history.validation_losses.append(loss_apart)
            history.validation_scores.append(score)
            judged = loss_apart if settings.by_loss else -score
            if judged < self.best_apart:
                self.best_apart, self.theta = judged, self.state.theta
            figure = judged if settings.holds_out else figure
        self.stalled = self.stalled + 1 if figure > self.best - settings.tol else 0
        self.best = min(self.best, figure)

    def leads_nowhere(self):
        """Whether a smaller step is to be tried: as `loop.fit` does it."""
        losses, settings = self.history.losses, self.settings
        if not (np.isfinite(losses[-1]) and np.isfinite(self.state.theta).all()):
            return True
        if len(losses) < settings.max_iter:
            return False
        worst = max(loss_with_left(loop.HOPELESS, settings), losses[0])
        if losses[-1] > worst and settings.init != "glorot":
            return True
        nothing = losses[-1] > loss_with_left(loop.NOTHING, settings)
        return nothing and settings.finds_step and self.history.restarts < loop.RESTARTS

    def begin_again(self):
        history = self.history
        if history.restarts == loop.RESTARTS:
            raise ValueError(
                f"Training diverged: the loss is {history.losses[-1]:.4g} in epoch "
                f"{len(history.losses)}, with learning_rate_init={self.eta_at_first:g} and with "
                f"{loop.RESTARTS} smaller step sizes, the last {self.eta:.3g}. {loop.NON_FINITE}"
            )
        history.restarts += 1
        self.begin(self.eta_at_first / loop.RESTART_DIVISOR**history.restarts)
        if self.observer is not None:
            self.observer.training_begins_again(self.eta)

    def reason_to_stop(self):
        """Why training ends after this round, or None."""
        settings = self.settings
        if self.stalled > settings.n_iter_no_change and not self.schedule.is_planned:
            if not self.schedule.adapts or self.eta <= ADAPTIVE_MINIMUM:
                return "stalled"
            self.eta, self.stalled = self.eta / ADAPTIVE_DIVISOR, 0
        if settings.max_time is not None and self.history.seconds >= settings.max_time:
            return "max_time"
        return None
