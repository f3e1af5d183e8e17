"""What watches a fit: `verbose`, and the callbacks of scikit-learn."""

import time
from contextlib import nullcontext
from functools import partial
from threading import Lock

from fastbp.fitting import telling
from fastbp.fitting.judging import is_compiled
from fastbp.kernels.machine.cache import announced

#: What to say to who scores by what callbacks are told, and can't.
BY_OUTPUT = (
    "Outputs weigh differently here, or are missing one by one: callbacks are told a weight for "
    "each of them, which scikit-learn's scorers don't take. The model's own does: "
    "ScoringMonitor(scoring=lambda model, X, y, sample_weight: {'R²': model.score(X, y, "
    "sample_weight)})."
)

#: What a first fit waits for.
COMPILING = "compiling kernels, once for this version of fastbp: some 5 to 30 s"


def told_of_compiling(estimator):
    """In this context the terminal is told, where it watches, that kernels are compiled."""
    return announced(partial(telling.say, COMPILING)) if estimator.verbose else nullcontext()


def told_of_trials(estimator):
    """In this context the terminal is told, where it watches, of trials, that find how to train."""
    return telling.of_fit(telling.say if estimator.verbose else None)


def observe(estimator, settings, learnt, table):
    """The observer of one fit, or None where nobody watches.

    Parameters
    ----------
    estimator : BackpropRegressor
    settings : see `settings_of`
    learnt : callable
        What has been learnt, of a θ.
    table : Table
    """
    if not estimator.verbose and not getattr(estimator, "_skl_callbacks", None):
        return None
    return _Observer(estimator, settings, learnt, table)


class Lines:
    """Tells the terminal of each epoch, or of some at once; see `loop.fit`."""

    def __init__(self, planned=None):
        self.planned, self.start = planned, time.perf_counter()

    def pilot_was(self, pilot):
        telling.say(words_of_pilot(pilot, self.planned))

    def training_begins_again(self, eta):
        telling.say(words_of_new_beginning(eta))

    def epoch_begins(self, theta):
        pass

    def epoch_ends(self, history, theta):
        telling.say(line(history, self.planned, self.start))
        return False


class _Observer:
    """Tells callbacks and the terminal of each epoch; see `loop.fit`."""

    def __init__(self, estimator, settings, learnt, table):
        self.estimator, self.learnt, self.planned = estimator, learnt, settings.max_iter
        self.data, self.is_by_output = data_of(table), table.output_weight is not None
        self.fit = estimator._init_callback_context(max_subtasks=settings.max_iter)
        self.fit.call_on_fit_task_begin(estimator=estimator, **self.data)
        self.epoch, self.start = None, time.perf_counter()
        self.score = "R²" if is_compiled(settings.scoring) else "score"
        self.number, self.begun = 0, 0  # of this epoch, and of those that callbacks know of

    def pilot_was(self, pilot):
        """A part of the samples was held out to find how long to train."""
        if self.estimator.verbose:
            telling.say(words_of_pilot(pilot, self.planned))

    def training_begins_again(self, eta):
        """It led nowhere. Callbacks hear of each epoch once."""
        self.number = 0
        if self.estimator.verbose:
            telling.say(words_of_new_beginning(eta))

    def epoch_begins(self, theta):
        self.number += 1
        if self.number <= self.begun:
            return
        self.begun = self.number
        self.epoch = self.fit.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(
            estimator=self.estimator, **self.data, reconstruction_attributes=self.model_of(theta)
        )

    def epoch_ends(self, history, theta):
        if self.estimator.verbose:
            telling.say(line(history, self.planned, self.start, self.score))
        if self.number < self.begun:
            return False
        return self._end(self.epoch, self.model_of(theta))

    def fit_ends(self):
        names = ("_learnt", "n_features_in_", "n_outputs_")
        self._end(self.fit, {name: getattr(self.estimator, name) for name in names})

    def _end(self, task, attributes):
        told = {"estimator": self.estimator, **self.data}
        try:
            return task.call_on_fit_task_end(**told, reconstruction_attributes=attributes)
        except ValueError as error:
            if not self.is_by_output:
                raise
            raise ValueError(f"{error} {BY_OUTPUT}") from error

    def model_of(self, theta):
        """What makes a model that predicts with this θ; worked out only if a callback asks."""

        def attributes():
            learnt = self.learnt(theta.copy())
            ends = {"n_features_in_": learnt.n_features, "n_outputs_": learnt.n_outputs}
            return {"_learnt": learnt, **ends}

        return attributes


class OfMembers:
    """Tells callbacks of each member of an ensemble that is done, one after another.

    Parameters
    ----------
    ensemble : BackpropEnsembleRegressor
    table : Table
    model_of : callable
        What makes an ensemble of the members that are done, of their Fitted by number.
    """

    def __init__(self, ensemble, table, model_of):
        self.ensemble, self.data, self.model_of = ensemble, data_of(table), model_of
        self.done, self.one_at_a_time = {}, Lock()
        self.fit = ensemble._init_callback_context(
            max_subtasks=ensemble.n_estimators, sequential_subtasks=False
        )
        self.fit.call_on_fit_task_begin(estimator=ensemble, **self.data)

    def member_ends(self, number, fitted):
        with self.one_at_a_time:  # members are trained in threads
            self.done[number] = fitted
            self._end(self.fit.subcontext(task_name="member", task_id=number), begin=True)

    def fit_ends(self):
        self._end(self.fit)

    def _end(self, task, begin=False):
        told = {"estimator": self.ensemble, **self.data}
        if begin:
            task.call_on_fit_task_begin(**told)
        model = partial(self.model_of, dict(self.done))
        task.call_on_fit_task_end(**told, reconstruction_attributes=model)


def data_of(table):
    """A Table as callbacks are told of it."""
    X, y, sample_weight = table.X, table.y, table.weights
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"X": X, "y": y.ravel() if y.shape[1] == 1 else y, "metadata": metadata}


def line(history, planned, start, score="R²"):
    """An epoch, in one line."""
    epoch, width = len(history.losses), len(str(planned))
    text = f"epoch {epoch:{width}d}/{planned}  loss {history.losses[-1]:<10.4g}"
    if history.validation_scores:
        text += f"  validation {score} {history.validation_scores[-1]:.4f}"
    return f"{text}  {time.perf_counter() - start:.1f} s"


def words_of_new_beginning(eta):
    return f"this led nowhere; from the beginning, with a step size of {eta:.3g}"


def words_of_pilot(pilot, planned):
    """What a pilot found, in one line."""
    losses = pilot.validation_losses
    return (
        f"pilot: of {len(losses)} epochs, number {losses.index(min(losses)) + 1} had the least "
        f"validation loss, {min(losses):.4g}; all samples are trained on for {planned}"
    )
