"""The fit loop: epochs in the kernels, decisions between them in Python."""

import math

import numpy as np

from fastbp.fitting import curves
from fastbp.fitting.calling import Calls
from fastbp.fitting.divergence import (
    HOPELESS,
    HUGE,
    Attempts,
    advice,
    check_scores,
    hopeless_loss_of,
    keeps_the_best,
    may_be_penalty,
)
from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.judging import name_of
from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM
from fastbp.fitting.settings import loss_with_left
from fastbp.fitting.team import CalledOff


def fit(net, theta, samples, held_out, settings, optimizer, *, observer=None, seen=0, judge=None):
    """Train θ in place.

    Parameters
    ----------
    net : recarray, see `network.network`
    theta : ndarray of shape (n_parameters,)
        Float32 or float64, the precision of training. In: where to start. Out: the last
        weights, or those that were best on the validation set where there is one; with
        `ema_decay` both are averages, and the last weights are the optimiser's.
    samples : Samples or Windows
        Its order is shuffled in place.
    held_out : HeldOut or None
    settings : see `settings_of`
    optimizer : OptimizerState
        Carried on, in place.
    observer : object, default=None
        Has ``epoch_begins(theta)`` and ``epoch_ends(history, theta)``, which returns True to
        stop, and ``training_begins_again(eta)``. With an observer, every epoch is a call of its
        own.
    seen : int
        Samples trained on in earlier calls.
    judge : callable, default=None
        The score of a θ, to judge each epoch by; with one, too, every epoch is a call of its own.
        None is what kernels judge by.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If training diverges with the least of the step sizes, too.
    """
    watches = settings.loss, settings.holds_out, held_out is not None
    if settings.scoring is not None:
        watches += (name_of(settings.scoring),)
    optimizer.watch(watches)
    loop = _Loop(net, theta, samples, held_out, settings, optimizer, seen=seen, judge=judge)
    with CtrlC() as ctrl_c:
        loop.calls.compile()
        try:
            loop.run(observer, ctrl_c)
        except KeyboardInterrupt:
            loop.return_to_whole_epoch()
            if not loop.history.losses and loop.attempts.vain is None:
                raise
            loop.history.ended_by = "interrupted"
        loop.end_as_the_best()
    check_scores(loop.history, settings)
    if ctrl_c.pressed:  # since training last asked
        loop.history.ended_by = "interrupted"
    if settings.dropout and loop.history.ended_by != "interrupted":
        loop.history.without_dropout = loop.calls.last_loss()
    if may_be_penalty(loop.history, settings):
        loop.history.without_penalty = loop.calls.loss_of_predictions()
    if optimizer.average.size:
        optimizer.theta, theta[:] = theta.copy(), optimizer.average
    if held_out is not None:
        theta[:] = loop.best_theta
    return loop.history


class _Loop:
    """One call of `fit`."""

    def __init__(self, net, theta, samples, held_out, settings, optimizer, *, seen=0, judge=None):
        self.settings, self.optimizer, self.judge = settings, optimizer, judge
        self.is_validated = held_out is not None
        self.best_theta = theta.copy() if self.is_validated else theta[:0]
        # What the kernel thinks best is not asked for where there is a judge.
        best_theta = self.best_theta if judge is None else self.best_theta.copy()
        self.calls = Calls(
            net, theta, samples, held_out, best_theta, settings, optimizer, seen=seen
        )
        self.history, self.training = self.calls.history, self.calls.training
        self.attempts = Attempts(self.history, settings, optimizer.eta)
        self.patience, self.has_risen = self.training.recipe["patience"], False
        # What changes in an epoch, and how it was before: one that is cut off returns to it.
        average, self.state = optimizer.average, optimizer.state[0]
        self.predicting = average if average.size else theta
        self.changing = theta, self.best_theta, average, optimizer.memory, optimizer.state
        self.before, self.epochs_before = [array.copy() for array in self.changing], 0
        windows = self.calls.windows
        self.order = samples.order if windows is None else windows.blocks
        self.at_first = [a.copy() for a in (*self.changing, self.order)]

    def run(self, observer, ctrl_c):
        """Train until one of the reasons to stop."""
        settings, history, calls = self.settings, self.history, self.calls
        calls.begin(ctrl_c)
        while len(history.losses) < settings.max_iter:
            left = settings.max_time and settings.max_time - history.seconds
            is_first = calls.team.listens and not history.losses
            apart = observer is not None or self.judge is not None or calls.windows is not None
            steps, epochs = calls.share(left, one_epoch=apart or is_first)
            if self.state["position"] == 0:
                self.note_whole_epoch()
                if observer is not None:
                    observer.epoch_begins(self.predicting)
            try:
                done = calls.make(steps, epochs)
            except CalledOff:
                done = 0
            history.seconds = calls.seconds()
            if ctrl_c.pressed and not done:
                raise KeyboardInterrupt
            if not done and calls.is_late():
                if history.losses:  # the epoch is left out
                    self.return_to_whole_epoch()
                    history.ended_by = "max_time"
                    return
                done = calls.end_first_epoch()
            self.has_risen = bool(done) and self.is_risen()
            if done and self.leads_nowhere(done):
                self.begin_again(observer)
            elif done:
                if self.judge is not None:
                    self.judge_epoch()
                if reason := self.reason_to_stop(observer):
                    history.ended_by = reason
                    return
            if ctrl_c.pressed:
                raise KeyboardInterrupt

    def has_diverged(self, done):
        """Whether the weights are good for nothing, or were after one of the last epochs: it makes
        no difference how epochs are cut into calls."""
        losses, settings = self.history.losses, self.settings
        if keeps_the_best(settings):
            return False
        for epoch in range(len(losses) - done, len(losses)):
            if not math.isfinite(losses[epoch]):
                self.history.forget_after(epoch + 1)
                return True
        largest = np.abs(self.training.theta).max()
        if not math.isfinite(largest):
            return True
        if len(losses) == done and self.attempts.has_exploded():
            return True
        if len(losses) < settings.max_iter and not (self.is_over() or self.has_risen):
            return False
        # The last loss is that before the last step.
        is_planned = not settings.is_partial and settings.init != "glorot"
        if not is_planned and largest < HUGE:
            return False
        some = None if self.is_validated else self.calls.some_samples()  # then each epoch is scored
        last = self.calls.last_loss()
        after = last if some is None else self.calls.loss_of(some)
        if not np.isfinite(after):
            losses[-1] = after
            return True
        worst = max(loss_with_left(HOPELESS, settings), losses[0])
        if settings.dropout and (some := self.calls.some_samples()) is not None:
            # As `last`, with all units.
            worst = max(worst, self.calls.loss_of(some, self.at_first[0]))
        if not is_planned or max(last, after) <= worst:
            return False
        if last <= worst:  # these may be unlike the others
            hopeless = hopeless_loss_of(some, settings, self.training.recipe["loss_scale"])
            if after <= max(hopeless, self.calls.loss_of(some, self.at_first[0])):
                return False
        losses[-1] = max(losses[-1], after)
        return True

    def is_over(self):
        """Whether there is no time left, or a planned end comes before that of another epoch."""
        settings, history = self.settings, self.history
        if settings.max_time is None:
            return False
        has_ended = self.calls.planned() <= len(history.losses) < settings.max_iter
        return has_ended or history.seconds >= settings.max_time

    def is_risen(self):
        """Whether this is a pilot whose curve has risen."""
        losses, settings = self.history.validation_losses, self.settings
        perfect, n = settings.ends_above, settings.max_iter
        return perfect is not None and curves.has_risen(losses, n, perfect)

    def judge_epoch(self):
        """What `epoch.end_epoch` does with its own figures, with the score of the epoch."""
        if not np.isfinite(self.training.theta).all():  # a diverged training, which ends here
            self.history.validation_scores[-1] = np.nan
            return
        self.calls.is_noted = False  # Ctrl-C may be pressed
        score, state, before = self.judge(self.predicting), self.state, self.before[-1][0]
        self.history.validation_scores[-1] = score
        state["best_held_out"] = before["best_held_out"]
        if -score < state["best_held_out"]:
            state["best_held_out"], self.best_theta[:] = -score, self.predicting
        if self.settings.holds_out:
            is_better = -score <= before["best"] - self.settings.tol
            state["stalled"] = 0 if is_better else before["stalled"] + 1
            state["best"] = min(-score, before["best"])
        self.calls.is_noted = True

    def leads_nowhere(self, done):
        """Whether to begin again, with a smaller step. Where that has been done and was no better,
        training ends as the best of all has."""
        attempts = self.attempts
        if self.has_diverged(done):
            is_left = attempts.is_left_after_diverging()
        elif attempts.may_be_in_vain(self.has_risen) and attempts.is_vain(
            loss := self.calls.last_loss()
        ):
            copies = [array.copy() for array in self.arrays()]
            is_left = attempts.note(loss, self.optimizer.eta, copies)
        else:
            return False
        if not is_left:
            self.end_as_the_best()
        return is_left

    def arrays(self):
        """All that a training changes, and how it was before the last epoch."""
        return (*self.changing, *self.before, self.order)

    def end_as_the_best(self):
        """Of the trainings that learnt nothing, if this one is no better."""
        best = self.attempts.best(self.calls.last_loss)
        if best is not None:
            self.optimizer.eta = best.eta
            for array, then in zip(self.arrays(), best.what, strict=True):
                array[...] = then
            # It was over, too: nobody is to go on from where a pilot's curve had risen.
            self.has_risen = len(self.history.losses) < self.settings.max_iter

    def begin_again(self, observer):
        """Train from the beginning, with a smaller step."""
        optimizer = self.optimizer
        optimizer.eta = self.attempts.smaller_step(optimizer.eta, advice(self.settings))
        for array, first in zip((*self.changing, self.order), self.at_first, strict=True):
            array[...] = first
        self.calls.since = self.history.seconds
        if observer is not None:
            observer.training_begins_again(optimizer.eta)

    def reason_to_stop(self, observer):
        """Why training ends after the epochs that are done, or None."""
        history, optimizer = self.history, self.optimizer
        if observer is not None and observer.epoch_ends(history, self.predicting):
            return "callback"
        if self.state["stalled"] > self.patience:
            if not self.calls.schedule.adapts or optimizer.eta <= ADAPTIVE_MINIMUM:
                return "stalled"
            optimizer.eta /= ADAPTIVE_DIVISOR
            self.state["stalled"] = 0
        if self.is_over():
            return "max_time"
        return "risen" if self.has_risen else None

    def note_whole_epoch(self):
        """Here begins an epoch."""
        for before, array in zip(self.before, self.changing, strict=True):
            before[...] = array
        self.epochs_before = len(self.history.losses)

    def return_to_whole_epoch(self):
        """Undo the part of an epoch that was cut off, or what nobody has noted."""
        if self.calls.is_noted and self.state["position"] == 0:
            return
        self.history.forget_after(self.epochs_before)
        for array, before in zip(self.changing, self.before, strict=True):
            array[...] = before
