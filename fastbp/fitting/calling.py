"""The calls of a kernel that a training is made of."""

import time
from copy import copy

import numpy as np

from fastbp.entries import entries_of
from fastbp.fitting import curves
from fastbp.fitting.divergence import some_samples
from fastbp.fitting.headcount import Headcount
from fastbp.fitting.history import History
from fastbp.fitting.plan import (
    LISTENS_FLOPS,
    for_kernels,
    layout,
    nothing_held_out,
    record_of,
    samples_of,
    some_of,
)
from fastbp.fitting.schedules import SCHEDULES, Epochs, planned_epochs
from fastbp.fitting.state import OptimizerState
from fastbp.fitting.team import Team
from fastbp.fitting.windows import Windows
from fastbp.kernels.formulas.network import n_parameters, network, step_flops
from fastbp.kernels.training.kernels import kernel_for
from fastbp.kernels.training.records import Course
from fastbp.kernels.training.sparse import SPARSE

#: Seconds that one call of a kernel should last: short enough for Ctrl-C, long enough that
#: the call itself costs nothing. The epochs of a small table share a call.
CALL_SECONDS = 0.1

#: The part that one may take of the time that is left of `max_time`, should the machine become so
#: much slower meanwhile, and seconds that it may take in any case.
PART_OF_REST, LAST_SECONDS = 0.25, 0.002

#: Kernels, each with a precision, that this process has compiled.
compiled = set()


class Calls:
    """What a training gives its kernel, how much of it in a call, and what comes back.

    Parameters
    ----------
    net, theta, samples, held_out, settings, optimizer, seen : see `loop.fit`
    best_theta : ndarray like theta
        Out: the weights that the kernel found best on the rows held out, if there are any.
    kernel : Kernel, default=None
        By default the one that suits the network.

    Attributes
    ----------
    history : History
        Of all calls.
    is_noted : bool
        Whether the history has what the kernel has done.
    """

    def __init__(
        self, net, theta, samples, held_out, best_theta, settings, optimizer, *, seen=0, kernel=None
    ):
        self.settings, self.optimizer = settings, optimizer
        self.windows = samples if isinstance(samples, Windows) else None
        self.samples = samples if self.windows is None else self.windows.samples
        self.n_samples, self.seen = samples.n_samples, seen
        batch_size = self.batch_size = min(settings.batch_size, self.n_samples)
        self.steps_per_epoch = -(-self.n_samples // batch_size)
        self.is_validated = held_out is not None
        self.held_out = held_out if self.is_validated else nothing_held_out(self.samples)
        self.kernel = kernel or kernel_for(net, batch_size, theta.itemsize)
        self.training, self.team = layout(
            self.kernel, net, settings, batch_size, theta, optimizer, best_theta,
            len(self.held_out.y),
        )  # fmt: skip
        of, flops = (self.kernel.name, net.tobytes(), batch_size), step_flops(net, batch_size)
        self.headcount = Headcount(self.team, of, flops)
        self.state, self.schedule = self.training.state, SCHEDULES[settings.learning_rate]
        self.history, self.is_noted = History(kernel=self.kernel.name), True
        self.ctrl_c, self.start, self.since = None, time.perf_counter(), 0.0

    def begin(self, ctrl_c):
        """The time of the training begins; calls end when this has been pressed."""
        self.ctrl_c, self.start = ctrl_c, time.perf_counter()

    def seconds(self):
        """Since it began."""
        return time.perf_counter() - self.start

    def compile(self):
        """Compile the kernel, or load what was compiled, before there are threads to wait for it:
        no step is taken."""
        what = self.kernel.train, self.training.theta.dtype
        if what not in compiled:
            self.make(0, 0, Team(1))
            compiled.add(what)

    def share(self, seconds_left, *, one_epoch):
        """Steps and epochs of the next call, at the pace of the last."""
        seconds = CALL_SECONDS
        if seconds_left is not None:
            seconds = min(seconds, max(PART_OF_REST * seconds_left, LAST_SECONDS))
        steps = max(1, int(self.headcount.pace * self.headcount.seconds_of_call(seconds)))
        epochs = max(1, steps // self.steps_per_epoch)
        done, n = len(self.history.losses), self.settings.max_iter
        epochs = min(epochs, n - done)
        if self.settings.ends_above is not None:
            epochs = min(epochs, curves.until_next_look(done, n))
        if one_epoch:
            epochs = 1
        return min(steps, epochs * self.steps_per_epoch), epochs

    def make(self, steps, epochs, team=None, first=None):
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
        before, start = int(self.state["position"]), time.perf_counter()
        done = run(self.kernel.train, self.training, *on, course, stop=self.is_to_stop)
        if team is None:
            samples = done * self.n_samples + int(self.state["position"]) - before
            self.headcount.note(samples / self.batch_size, time.perf_counter() - start)
        return done

    def go_through_windows(self, course):
        """As many steps as the course has, but to the end of the epoch at most."""

        def run(samples, course):
            self.samples = samples
            return self.run_kernel(course)

        return self.windows.go_through(course, self.training, self.team, run, self.is_to_stop)

    def course(self, steps, etas, first=0):
        """That of a call."""
        losses, losses_val, scores = np.zeros((3, len(etas)))
        return Course(steps, etas, losses, losses_val, scores, first, self.n_samples)

    def step_sizes(self, n_epochs):
        """Those of the next epochs."""
        settings, optimizer = self.settings, self.optimizer
        numbers = len(self.history.losses) + np.arange(n_epochs)
        seen = self.seen + self.n_samples * numbers
        planned = max(self.planned(), len(self.history.losses) + n_epochs)
        plan = planned, seen, optimizer.began, settings.warmup_fraction
        return self.schedule.step_sizes(Epochs(optimizer.eta, settings.power_t, numbers, *plan))

    def planned(self):
        """Epochs that training lasts, as far as its pace so far tells."""
        done = len(self.history.losses) + int(self.state["position"]) / self.n_samples
        return planned_epochs(self.settings, done, self.history.seconds, self.since)

    def is_late(self):
        """Whether the time is over, and there is something to end with: a whole epoch, or some
        steps of the first."""
        max_time = self.settings.max_time
        if max_time is None or self.seconds() < max_time:
            return False
        return bool(self.history.losses) or self.state["position"] > 0

    def is_to_stop(self):
        """Whether somebody waits for the end of a call. (A first epoch is not cut off within a
        call: there would be no weights to end with.)"""
        if self.ctrl_c is not None and self.ctrl_c.pressed:
            return True
        return self.is_late() and (self.history.losses or self.state["position"] == self.n_samples)

    def end_first_epoch(self):
        """Let the first epoch be what has been trained of it, and score it on some of the rows."""
        order, held_out, n_samples = self.samples.order, self.held_out, self.n_samples
        first = 0 if self.windows is None else self.windows.first
        self.n_samples = int(self.state["position"])
        self.samples = self.samples._replace(order=order[: self.n_samples - first])
        self.held_out = some_of(held_out, LISTENS_FLOPS / step_flops(self.training.net, 1))
        done = self.make(0, 1, Team(1), first)
        self.samples, self.held_out = self.samples._replace(order=order), held_out
        self.n_samples = n_samples
        return done

    def loss_of(self, some, theta=None):
        """That at the present weights, or at others."""
        # Scored as held-out ones are, after the last of the steps: nothing but a score comes of it.
        state = self.optimizer.state.copy()
        state["position"], best_theta = self.n_samples, np.empty_like(self.training.theta)
        training = self.training._replace(state=record_of(state), best_theta=best_theta)
        if theta is not None:
            training = training._replace(theta=theta, average=theta[:0])
        course = self.course(0, np.zeros(1), self.n_samples - self.samples.n_samples)
        on = for_kernels(self.samples), for_kernels(some)
        Team(1).run(self.kernel.train, training, *on, course)
        return course.losses_val[0]

    def last_loss(self):
        """That at the present weights, with all units: what dropout adds to it is no lack."""
        loss = self.loss_of_predictions() if self.settings.dropout else None
        return self.history.losses[-1] if loss is None else loss

    def loss_of_predictions(self):
        """That at the present weights, with all units and without a penalty; None where no sample
        has a weight."""
        some = self.some_samples()
        return None if some is None else float(self.loss_of(some))

    def some_samples(self):
        """Some of them, as if held out; None where none has a weight."""
        return some_samples(self.samples if self.windows is None else self.windows)


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
    Calls(net, theta, samples, None, theta[:0], settings, optimizer, kernel=kernel).compile()
