"""The fit loop: epochs in the kernels, decisions between them in Python."""

import time
from copy import copy, deepcopy

import numpy as np

from fastbp.entries import entries_of
from fastbp.fitting.divergence import (
    HOPELESS,
    HUGE,
    NOTHING,
    Vain,
    advice,
    check_scores,
    has_exploded,
    hopeless_loss_of,
    is_worth_another,
    keeps_the_best,
    may_be_smaller,
    smaller_step,
    some_samples,
)
from fastbp.fitting.headcount import Headcount
from fastbp.fitting.history import History
from fastbp.fitting.interrupts import CtrlC
from fastbp.fitting.judging import name_of
from fastbp.fitting.plan import (
    LISTENS_FLOPS,
    for_kernels,
    layout,
    nothing_held_out,
    samples_of,
    some_of,
)
from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM, SCHEDULES, Epochs
from fastbp.fitting.settings import loss_with_left
from fastbp.fitting.state import OptimizerState
from fastbp.fitting.team import CalledOff, Team
from fastbp.fitting.windows import Windows
from fastbp.kernels.formulas.network import n_parameters, network, step_flops
from fastbp.kernels.training.kernels import kernel_for
from fastbp.kernels.training.records import Course
from fastbp.kernels.training.sparse import SPARSE

#: Seconds that one call of a kernel should last: short enough for Ctrl-C, long enough that
#: the call itself costs nothing. The epochs of a small table share a call.
CALL_SECONDS = 0.1

#: Kernels, each with a precision, that this process has compiled.
compiled = set()


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
        loop.compile()
        try:
            loop.run(observer, ctrl_c)
        except KeyboardInterrupt:
            loop.return_to_whole_epoch()
            if not loop.history.losses and loop.vain is None:
                raise
            loop.history.ended_by = "interrupted"
        loop.return_to_vain()
    check_scores(loop.history, settings)
    if ctrl_c.pressed:  # since training last asked
        loop.history.ended_by = "interrupted"
    if settings.dropout and loop.history.ended_by != "interrupted":
        loop.history.without_dropout = loop.last_loss()
    if optimizer.average.size:
        optimizer.theta, theta[:] = theta.copy(), optimizer.average
    if held_out is not None:
        theta[:] = loop.best_theta
    return loop.history


class _Loop:
    """One call of `fit`."""

    def __init__(
        self, net, theta, samples, held_out, settings, optimizer, *, seen=0, kernel=None, judge=None
    ):
        self.settings, self.optimizer = settings, optimizer
        self.windows = samples if isinstance(samples, Windows) else None
        self.samples = samples if self.windows is None else self.windows.samples
        self.n_samples, self.seen = samples.n_samples, seen
        batch_size = self.batch_size = min(settings.batch_size, self.n_samples)
        self.steps_per_epoch = -(-self.n_samples // batch_size)
        self.is_validated = held_out is not None
        self.held_out = held_out if self.is_validated else nothing_held_out(self.samples)
        best_theta = theta.copy() if self.is_validated else theta[:0]
        self.judge, self.best_theta = judge, best_theta
        if judge is not None:  # what the kernel thinks best is not asked for
            best_theta = best_theta.copy()
        self.kernel = kernel or kernel_for(net, batch_size, theta.itemsize)
        self.training, self.team = layout(
            self.kernel, net, settings, batch_size, theta, optimizer, best_theta,
            len(self.held_out.y),
        )  # fmt: skip
        self.headcount = Headcount(self.team, (self.kernel.name, net.tobytes(), batch_size))
        self.state, self.schedule = self.training.state, SCHEDULES[settings.learning_rate]
        self.history, self.is_noted = History(kernel=self.kernel.name), True
        # What changes in an epoch, and how it was before: one that is cut off returns to it.
        average = optimizer.average
        self.predicting = average if average.size else theta
        self.changing = theta, self.best_theta, average, optimizer.memory, optimizer.state
        self.before, self.epochs_before = [array.copy() for array in self.changing], 0
        self.order = samples.order if self.windows is None else self.windows.blocks
        self.at_first = [a.copy() for a in (*self.changing, self.order)]
        self.eta_at_first = optimizer.eta
        self.vain = None  # the best of the trainings that learnt nothing
        self.ctrl_c, self.start = None, time.perf_counter()

    def compile(self):
        """Compile the kernel, or load what was compiled, before there are threads to wait for it:
        no step is taken."""
        what = self.kernel.train, self.training.theta.dtype
        if what not in compiled:
            self.call(0, 0, Team(1))
            compiled.add(what)

    def run(self, observer, ctrl_c):
        """Train until one of the reasons to stop."""
        settings, history = self.settings, self.history
        self.ctrl_c, self.start = ctrl_c, time.perf_counter()
        while len(history.losses) < settings.max_iter:
            left = settings.max_time and settings.max_time - history.seconds
            is_first = self.team.listens and not history.losses
            apart = observer is not None or self.judge is not None or self.windows is not None
            one_epoch = apart or is_first
            steps, epochs = self.share_of_call(left, one_epoch=one_epoch)
            if self.state.position == 0:
                self.note_whole_epoch()
                if observer is not None:
                    observer.epoch_begins(self.predicting)
            try:
                done = self.call(steps, epochs)
            except CalledOff:
                done = 0
            history.seconds = time.perf_counter() - self.start
            if ctrl_c.pressed and not done:
                raise KeyboardInterrupt
            if not done and self.is_late():
                if history.losses:  # the epoch is left out
                    self.return_to_whole_epoch()
                    history.ended_by = "max_time"
                    return
                done = self.end_first_epoch()
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
        wrong = np.flatnonzero(~np.isfinite(losses[-done:]))
        if wrong.size:
            self.history.forget_after(len(losses) - done + int(wrong[0]) + 1)
            return True
        if not np.isfinite(self.training.theta).all():
            return True
        if len(losses) == done and has_exploded(self.history, settings):
            return True
        if len(losses) < settings.max_iter:
            return False
        # The last loss is that before the last step.
        is_planned = not settings.is_partial and settings.init != "glorot"
        if not is_planned and np.abs(self.training.theta).max() < HUGE:
            return False
        some = None if self.is_validated else self.some_samples()  # then each epoch is scored
        last = self.last_loss()
        after = last if some is None else self.loss_of(some)
        if not np.isfinite(after):
            losses[-1] = after
            return True
        worst = max(loss_with_left(HOPELESS, settings), losses[0])
        if settings.dropout and (some := self.some_samples()) is not None:
            # As `last`, with all units.
            worst = max(worst, self.loss_of(some, self.at_first[0]))
        if not is_planned or max(last, after) <= worst:
            return False
        if last <= worst:  # these may be unlike the others
            hopeless = hopeless_loss_of(some, settings, self.training.recipe.loss_scale)
            if after <= max(hopeless, self.loss_of(some, self.at_first[0])):
                return False
        losses[-1] = max(losses[-1], after)
        return True

    def some_samples(self):
        """Some of them, as if held out; None where none has a weight."""
        return some_samples(self.samples if self.windows is None else self.windows)

    def loss_of(self, some, theta=None):
        """That at the present weights, or at others."""
        # Scored as held-out ones are, after the last of the steps: nothing but a score comes of it.
        state = self.optimizer.state.copy()
        state["position"], best_theta = self.n_samples, np.empty_like(self.training.theta)
        training = self.training._replace(state=state.view(np.recarray)[0], best_theta=best_theta)
        if theta is not None:
            training = training._replace(theta=theta, average=theta[:0])
        course = self.course(0, np.zeros(1), self.n_samples - self.samples.n_samples)
        on = for_kernels(self.samples), for_kernels(some)
        Team(1).run(self.kernel.train, training, *on, course)
        return course.losses_val[0]

    def judge_epoch(self):
        """What `epoch.end_epoch` does with its own figures, with the score of the epoch."""
        if not np.isfinite(self.training.theta).all():  # a diverged training, which ends here
            self.history.validation_scores[-1] = np.nan
            return
        self.is_noted = False  # Ctrl-C may be pressed
        score, state, before = self.judge(self.predicting), self.state, self.before[-1][0]
        self.history.validation_scores[-1] = score
        state.best_held_out = before["best_held_out"]
        if -score < state.best_held_out:
            state.best_held_out, self.best_theta[:] = -score, self.predicting
        if self.settings.holds_out:
            is_better = -score <= before["best"] - self.training.recipe.tol
            state.stalled = 0 if is_better else before["stalled"] + 1
            state.best = min(-score, before["best"])
        self.is_noted = True

    def leads_nowhere(self, done):
        """Whether to begin again, with a smaller step. Where that has been done and was no better,
        training ends as the best of all has."""
        if self.has_diverged(done):
            is_left = self.vain is None or may_be_smaller(self.history, self.settings)
        elif self.has_learnt_nothing():
            is_left = self.note_vain()
        else:
            return False
        if not is_left:
            self.return_to_vain()
        return is_left

    def has_learnt_nothing(self):
        """Whether a step that nobody asked for led nowhere: hinges that a first long one has moved
        off the data never come back. (Or training was too short.)"""
        history, settings = self.history, self.settings
        if len(history.losses) < settings.max_iter or not settings.finds_step:
            return False
        return self.last_loss() > loss_with_left(NOTHING, settings)

    def note_vain(self):
        """Remember this training if it is the best that learnt nothing; returns whether a smaller
        step may do better."""
        loss, history, vain = self.last_loss(), self.history, self.vain
        if vain is None or loss < vain.loss:
            arrays = [array.copy() for array in self.arrays()]
            self.vain = Vain(loss, self.optimizer.eta, deepcopy(history), arrays)
        return is_worth_another(history, loss, vain, self.settings)

    def arrays(self):
        """All that a training changes, and how it was before the last epoch."""
        return (*self.changing, *self.before, self.order)

    def return_to_vain(self):
        """End as the best of the trainings that learnt nothing did, if this one is no better."""
        vain, self.vain = self.vain, None
        if vain is None or (self.history.losses and self.last_loss() < vain.loss):
            return
        self.history.becomes(vain.history)
        self.optimizer.eta = vain.eta
        for array, then in zip(self.arrays(), vain.what, strict=True):
            array[...] = then

    def last_loss(self):
        """That at the present weights, with all units: what dropout adds to it is no lack."""
        if not self.settings.dropout:
            return self.history.losses[-1]
        some = self.some_samples()
        return self.history.losses[-1] if some is None else float(self.loss_of(some))

    def begin_again(self, observer):
        """Train from the beginning, with a smaller step."""
        history, optimizer = self.history, self.optimizer
        words = advice(self.settings)
        optimizer.eta = smaller_step(history, self.eta_at_first, optimizer.eta, words)
        for array, first in zip((*self.changing, self.order), self.at_first, strict=True):
            array[...] = first
        if observer is not None:
            observer.training_begins_again(optimizer.eta)

    def share_of_call(self, seconds_left, *, one_epoch):
        """Steps and epochs of the next call, at the pace of the last."""
        pace = self.headcount.pace
        steps = max(1, int(pace * self.headcount.seconds_of_call(CALL_SECONDS)))
        epochs = max(1, steps // self.steps_per_epoch)
        epochs = min(epochs, self.settings.max_iter - len(self.history.losses))
        if one_epoch:
            epochs = 1
        if seconds_left is not None:
            epochs = min(epochs, max(1, int(pace * seconds_left / self.steps_per_epoch)))
        return min(steps, epochs * self.steps_per_epoch), epochs

    def is_late(self):
        """Whether the time is over, and there is something to end with: a whole epoch, or some
        steps of the first."""
        max_time = self.settings.max_time
        if max_time is None or time.perf_counter() - self.start < max_time:
            return False
        return bool(self.history.losses) or self.state.position > 0

    def is_to_stop(self):
        """Whether somebody waits for the end of a call. (A first epoch is not cut off within a
        call: there would be no weights to end with.)"""
        if self.ctrl_c is not None and self.ctrl_c.pressed:
            return True
        return self.is_late() and (self.history.losses or self.state.position == self.n_samples)

    def end_first_epoch(self):
        """Let the first epoch be what has been trained of it, and score it on some of the rows."""
        order, held_out, n_samples = self.samples.order, self.held_out, self.n_samples
        first = 0 if self.windows is None else self.windows.first
        self.n_samples = int(self.state.position)
        self.samples = self.samples._replace(order=order[: self.n_samples - first])
        self.held_out = some_of(held_out, LISTENS_FLOPS / step_flops(self.training.net, 1))
        done = self.call(0, 1, Team(1), first)
        self.samples, self.held_out = self.samples._replace(order=order), held_out
        self.n_samples = n_samples
        return done

    def course(self, steps, etas, first=0):
        """That of a call."""
        losses, losses_val, scores = np.zeros((3, len(etas)))
        return Course(steps, etas, losses, losses_val, scores, first, self.n_samples)

    def call(self, steps, epochs, team=None, first=None):
        """Run the kernel, and note what it reports; returns the epochs completed.

        Without a team, with as many threads as are fastest. Of a table in windows, go from one to
        the next, but with `first`, which says where in the epoch the samples at hand begin.
        """
        course = self.course(steps, self.step_sizes(epochs), first or 0)
        self.is_noted = False
        if self.windows is None or first is not None or not epochs:
            done = self.run_kernel(course, team)
        else:
            done = self.go_through_windows(course)
        losses, losses_val, scores = course.losses, course.losses_val, course.scores
        self.history.losses += losses[:done].tolist()
        if self.is_validated:
            self.history.validation_losses += losses_val[:done].tolist()
            # scikit-learn's R² of a constant output is 0.
            scores -= np.mean(np.isinf(self.held_out.spread))
            self.history.validation_scores += scores[:done].tolist()
        self.is_noted = True
        return done

    def run_kernel(self, course, team=None):
        """For the samples at hand."""
        on = for_kernels(self.samples), for_kernels(self.held_out)
        run = (team or self.headcount.team).run
        before, start = int(self.state.position), time.perf_counter()
        done = run(self.kernel.train, self.training, *on, course, stop=self.is_to_stop)
        if team is None:
            samples = done * self.n_samples + int(self.state.position) - before
            self.headcount.note(samples / self.batch_size, time.perf_counter() - start)
        return done

    def go_through_windows(self, course):
        """As many steps as the course has, but to the end of the epoch at most."""
        while True:
            before = int(self.state.position)
            self.samples, first = self.windows.samples_at(before, self.state, self.team)
            done = self.run_kernel(course._replace(first=first))
            samples_done = int(self.state.position) - before
            course = course._replace(steps=course.steps - samples_done // self.batch_size)
            if done or course.steps <= 0 or self.is_to_stop():
                return done

    def step_sizes(self, n_epochs):
        """Those of the next epochs."""
        numbers, settings = len(self.history.losses) + np.arange(n_epochs), self.settings
        seen = self.seen + self.n_samples * numbers
        eta, began = self.optimizer.eta, self.optimizer.began
        return self.schedule.step_sizes(
            Epochs(
                eta,
                settings.power_t,
                numbers,
                settings.max_iter,
                seen,
                began,
                settings.warmup_fraction,
            )
        )

    def reason_to_stop(self, observer):
        """Why training ends after the epochs that are done, or None."""
        settings, history, optimizer = self.settings, self.history, self.optimizer
        if observer is not None and observer.epoch_ends(history, self.predicting):
            return "callback"
        if self.state.stalled > self.training.recipe.patience:
            if not self.schedule.adapts or optimizer.eta <= ADAPTIVE_MINIMUM:
                return "stalled"
            optimizer.eta /= ADAPTIVE_DIVISOR
            self.state.stalled = 0
        if settings.max_time is not None and history.seconds >= settings.max_time:
            return "max_time"
        return None

    def note_whole_epoch(self):
        """Here begins an epoch."""
        for before, array in zip(self.before, self.changing, strict=True):
            before[...] = array
        self.epochs_before = len(self.history.losses)

    def return_to_whole_epoch(self):
        """Undo the part of an epoch that was cut off, or what nobody has noted."""
        if self.is_noted and self.state.position == 0:
            return
        self.history.forget_after(self.epochs_before)
        for array, before in zip(self.changing, self.before, strict=True):
            array[...] = before


def prepare(kernel, settings, dtype):
    """Compile a kernel that trains, or load what was compiled: no step is taken."""
    X, by_entries = np.zeros((1, 1), dtype), kernel is SPARSE
    X.flags.writeable = False
    net = network((1, 1, 1), ("identity",), trained=True, by_entries=by_entries)
    theta = np.zeros(n_parameters(net), dtype)
    optimizer = OptimizerState.start(settings, theta, seed=0)
    settings = copy(settings)
    settings.loss_parameter = 0.0  # of the one output
    samples = samples_of(entries_of(X, dtype) if by_entries else X, X)
    loop = _Loop(net, theta, samples, None, settings, optimizer, kernel=kernel)
    loop.compile()
