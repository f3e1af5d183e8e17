"""A fit on a table in parts: see `parts.py`.

"lbfgs" asks all of them for the loss and its gradient. Steps are made in rounds: in each, every
part trains for itself, from one θ and one optimiser's memory; the means of what they end with,
weighted by the rows, begin the next round (local SGD: Stich, 2019). What is drawn at random goes by
the numbers of the part and of the round, never by who computes it.
"""

import time
from copy import copy
from functools import reduce
from itertools import count, repeat

import numpy as np
from sklearn.utils import check_random_state

from fastbp.fitting import fit, lbfgs
from fastbp.fitting.begun import begin, part_in
from fastbp.fitting.divergence import HOPELESS, Attempts, may_be_penalty
from fastbp.fitting.ground import alpha_for
from fastbp.fitting.history import History
from fastbp.fitting.parts import as_is, facts_in, known, measured, parted, reduced
from fastbp.fitting.schedules import (
    ADAPTIVE_DIVISOR,
    ADAPTIVE_MINIMUM,
    SCHEDULES,
    Epochs,
    planned_epochs,
)
from fastbp.fitting.scores import Scores
from fastbp.fitting.settings import loss_with_left
from fastbp.fitting.state import OptimizerState
from fastbp.fitting.turns import Mean, Share, State, first_turn, gradient_in, next_turn, trained
from fastbp.kernels.formulas.network import step_flops
from fastbp.kernels.training.kernels import kernel_for

#: Floating-point operations of the largest part in a round: some seconds, beside which the 10 to 50
#: ms that a scheduler takes are little.
ROUND_FLOPS = 2e10

#: However little work they are, so many rounds are made: means of networks that have been apart for
#: long are worse.
LEAST_ROUNDS = 50


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
    settings.alpha = alpha_for(settings, units, weight)
    tell = None if watch is None else places.tell
    begun = places.submit(begin, sample, settings, facts, units, bounds, before, tell)
    begun = places.result(begun)
    handle, settings = places.submit(as_is, begun), begun.settings
    random_state.set_state(settings.random_state.get_state())  # it was drawn from elsewhere
    parts = places.map(part_in, repeat(handle), tables)
    score = None
    if held_out is not None:
        score = Scores(places, handle, held_out, facts_apart, spread_of_constant)
    observer = None if watch is None else watch(settings.max_iter)
    if observer is not None and begun.pilot is not None:
        observer.pilot_was(begun.pilot)
    if settings.full_batch:
        theta, function = begun.theta.copy(), Everywhere(places, handle, parts)
        optimizer = OptimizerState.start(settings, theta, begun.seed)
        history = lbfgs.minimized(function, theta, score, settings, observer)
    else:
        rounds = _Rounds(places, begun, handle, parts, facts.sizes, score, observer, seen)
        rounds.run()
        rounds.end_as_the_best()
        theta, optimizer, history = rounds.theta, rounds.optimizer(), rounds.history
    if may_be_penalty(history, settings):
        bare = copy(settings)
        bare.alpha = 0.0
        bare = places.submit(as_is, begun._replace(settings=bare))
        if settings.full_batch:
            loss, _ = Everywhere(places, bare, parts)(theta)
        else:
            loss = rounds.loss_at_rest(bare)
        history.without_penalty = float(loss)
    rest = history, settings, facts.n, begun.pilot, observer
    return fit.Fitted(begun.learnt(theta), optimizer, *rest)


class Everywhere:
    """L and ∂L/∂θ over all parts, as a function of θ."""

    def __init__(self, places, begun, parts):
        self.places, self.begun, self.parts = places, begun, parts

    def __call__(self, theta, stop=None):
        theta, n = self.places.submit(as_is, theta.copy()), len(self.parts)
        of_all = repeat(theta), repeat(n)
        handles = self.places.map(gradient_in, repeat(self.begun), self.parts, *of_all)
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
        self.history, self.start = History(kernel=self.kernel), time.perf_counter()
        self.attempts = Attempts(self.history, settings, settings.learning_rate_init)
        self.begin(settings.learning_rate_init)

    def begin(self, eta):
        """From the first weights."""
        begun, self.eta = self.begun, eta
        first = OptimizerState.start(self.settings, begun.theta, begun.seed)
        self.state = State.of(begun.theta, first)
        self.turns = self.places.map(first_turn, repeat(self.handle), self.parts, count())
        self.best, self.best_apart, self.stalled = np.inf, np.inf, 0
        self.since = self.history.seconds
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
        dtype = self.begun.theta.dtype
        handles = self.trained_in_all(self.handle, self.state, share)
        if self.settings.shuffle and is_first:
            given = repeat(self.handle), self.parts, self.turns, repeat(self.epochs)
            self.turns = self.places.map(next_turn, *given)
        weight, (theta, memory, decays, losses) = reduced(self.places, Mean.merged, handles)
        self.state = State(theta.astype(dtype), memory.astype(dtype), decays)
        return Mean(weight, (losses,))

    def loss_at_rest(self, begun):
        """That of the last weights, which an epoch of steps of size 0, from no speed, leaves."""
        theta = self.state.theta
        at_rest = State.of(theta, OptimizerState.start(self.settings, theta, self.begun.seed))
        handles = self.trained_in_all(begun, at_rest, Share(np.zeros(1), 0, 1))
        return reduced(self.places, Mean.merged, handles).values[-1][0]

    def trained_in_all(self, begun, state, share):
        """Handles of what each part makes of a state."""
        of_all = (repeat(self.places.submit(as_is, value)) for value in (state, share))
        return self.places.map(trained, repeat(begun), self.parts, self.turns, *of_all)

    def step_sizes(self, n_epochs):
        settings, numbers = self.settings, len(self.history.losses) + np.arange(n_epochs)
        seen = self.seen + self.n * numbers
        planned = max(self.planned(), len(self.history.losses) + n_epochs)
        plan = planned, seen, self.seen, settings.warmup_fraction
        return self.schedule.step_sizes(Epochs(self.eta, settings.power_t, numbers, *plan))

    def planned(self):
        """As `Calls.planned`."""
        history = self.history
        return planned_epochs(self.settings, len(history.losses), history.seconds, self.since)

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

    def has_diverged(self):
        losses, settings = self.history.losses, self.settings
        if not (np.isfinite(losses[-1]) and np.isfinite(self.state.theta).all()):
            return True
        if len(losses) <= self.epochs and self.attempts.has_exploded():
            return True
        worst = max(loss_with_left(HOPELESS, settings), losses[0])
        is_over = len(losses) >= settings.max_iter
        return is_over and losses[-1] > worst and settings.init != "glorot"

    def leads_nowhere(self):
        """Whether a smaller step is to be tried: as `loop.fit` does it."""
        attempts, loss = self.attempts, self.history.losses[-1]
        if self.has_diverged():
            is_left = attempts.is_left_after_diverging()
        elif attempts.may_be_in_vain() and attempts.is_vain(loss):
            is_left = attempts.note(loss, self.eta, (self.state, self.theta))
        else:
            return False
        if not is_left:
            self.end_as_the_best()
        return is_left

    def end_as_the_best(self):
        """Of the trainings that learnt nothing, if this one is no better."""
        best = self.attempts.best(lambda: self.history.losses[-1])
        if best is not None:
            self.eta, (self.state, self.theta) = best.eta, best.what

    def begin_again(self):
        self.begin(self.attempts.smaller_step(self.eta))
        if self.observer is not None:
            self.observer.training_begins_again(self.eta)

    def reason_to_stop(self):
        """Why training ends after this round, or None."""
        settings = self.settings
        if self.stalled > settings.n_iter_no_change and not self.schedule.is_planned:
            if not self.schedule.adapts or self.eta <= ADAPTIVE_MINIMUM:
                return "stalled"
            self.eta, self.stalled = self.eta / ADAPTIVE_DIVISOR, 0
        if settings.max_time is None:
            return None
        has_ended = self.planned() <= len(self.history.losses) < settings.max_iter
        return "max_time" if has_ended or self.history.seconds >= settings.max_time else None
