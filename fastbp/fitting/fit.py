"""A fit, from validated samples to what has been learnt."""

from copy import copy, deepcopy
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from fastbp import encodings, entries, parameters, scaling
from fastbp.fitting import following, judging, loop, mixture, recipe, solvers, trials, windows
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.observer import observe
from fastbp.fitting.plan import (
    aligned,
    held_out_of,
    row_numbers,
    samples_of,
    shares_of,
    weights_at,
)
from fastbp.fitting.settings import BATCH_SIZE
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.losses import of_outputs
from fastbp.kernels.formulas.network import is_by_entries, n_parameters, network
from fastbp.kernels.training.records import HeldOut, Samples


class Table(NamedTuple):
    """Validated samples, in raw units."""

    X: np.ndarray  # or a sparse matrix
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    output_weight: np.ndarray | None = None  # as y, whose mean that is, or None
    is_checked: bool = True  # else who is to train sees to it that all are numbers

    def rows(self, chosen):
        """Some of them."""
        weights = (None if weight is None else weight[chosen] for weight in self[2:4])
        return Table(self.X[chosen], self.y[chosen], *weights)

    @property
    def weights(self):
        """Those that are trained with."""
        return self.sample_weight if self.output_weight is None else self.output_weight

    @property
    def is_by_entries(self):
        """Whether nothing else of X is looked at, unless it is encoded."""
        return entries.are_worth_it(self.X)

    def converted(self, dtype, units, bounds=None, encoding=None, *, by_entries=False):
        """X, encoded or by its entries if asked, y and weights as the kernels take them."""
        X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
        if by_entries:
            X = scaling.entries_of(self.X, dtype, X_mean, X_scale)
        elif encoding is None:
            X = scaling.converted(self.X, dtype, X_mean, X_scale, bounds)
        else:
            X = encodings.converted(self.X, dtype, encoding, units, bounds)
        return X, scaling.converted(self.y, dtype, y_mean, y_scale), self.weights


class Ground(NamedTuple):
    """What a table comes to before a network is chosen."""

    table: Table  # with y drawn in, if one row rules it
    order: np.ndarray  # the rows that are trained on
    held_out: Table | None
    units: scaling.Scaling | None  # of the table's columns
    bounds: scaling.Bounds | None
    spread_of_constant: float = 1.0  # of held-out y that are all equal
    n_rows: int | None = None  # of the whole table, where this is a sample of it


class Prepared(NamedTuple):
    """What a training needs, and what several trainings on the same samples share."""

    task: trials.Task
    plan: trials.Plan
    samples: Samples | windows.Windows  # as they are planned to be trained on
    scored: HeldOut | None  # that best weights are chosen by
    units: scaling.Scaling | None  # of the samples
    pilot: loop.History | None = None
    interrupted: trials.Interrupted | None = None  # and nothing more is to be trained
    held_out: Table | None = None  # what is scored, in raw units

    def following(self, trial):
        """As a trial has found best; settings say then what "auto" became."""
        settings, plan, samples = self.task.settings, trial.plan, self.samples
        settings.max_iter, settings.weight_decay = plan.max_iter, plan.weight_decay
        units = scaled_units(self.units, plan)
        if isinstance(samples, windows.Windows):
            samples = samples.rescaled(plan.scale)
        else:
            samples = samples._replace(X=trials.scaled(samples.X, plan))
        return self._replace(plan=plan, samples=samples, units=units, pilot=trial.history)

    def ended_with(self, trial):
        """As an interrupted trial was trained, whose network is all that comes of it."""
        units = scaled_units(self.units, trial.plan)
        return self._replace(plan=trial.plan, units=units, interrupted=trial)


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


class Fitted(NamedTuple):
    """What comes of a fit."""

    learnt: Learnt
    optimizer: loop.OptimizerState  # to go on with
    history: loop.History
    settings: object  # with what "auto" became
    n_samples: int  # that were trained on
    pilot: loop.History | None  # of the rows held out to find how long to train
    observer: object  # or None
    is_of_trial: bool = False  # which was interrupted


def fit(estimator, settings, table, held_out, *, before=None, optimizer=None, seen=0):
    """Train.

    Parameters
    ----------
    estimator : BackpropRegressor
        Only for those who watch it.
    settings : see `settings_of`
    table, held_out : Table, Table or None
    before : Learnt or None
        What to go on from.
    optimizer : OptimizerState or None
        To go on with.
    seen : int
        Samples trained on so far.

    Returns
    -------
    Fitted
    """
    ((_, prepared),) = prepare(settings, table, held_out, before, mixes=False, whole=False)
    settings = prepared.task.settings

    def watch(learnt):
        return None if settings.is_partial else observe(estimator, settings, learnt, table)

    return train(prepared, before=before, optimizer=optimizer, seen=seen, watch=watch)


def prepare(settings, table, held_out, before=None, *, mixes=True, whole=True, ground=None):
    """All that comes before the training that counts; parameters as of `fit`.

    There, trials find how long to train. Where they may, they find too whether networks with
    encoded columns are better than plain ones, or both together.

    Parameters
    ----------
    mixes : bool
        False: the result is one kind of network.
    whole : bool
        False: a table that is too large for a working copy is trained on window by window.
    ground : Ground or None
        Of this table, if it is known.

    Returns
    -------
    list of (float, Prepared)
        Each kind of network, and its weight in the mean of their predictions.
    """
    random_state = check_random_state(settings.random_state)
    settings.y_dtype = precision_of(table.y)
    if settings.is_partial and before is not None:
        settings.y_dtype = np.result_type(settings.y_dtype, before.y_dtype)
    # By itself: a plain network is the same whether the other is tried or not.
    other_state = deepcopy(random_state) if settings.tries_encoding else None
    if before is not None:
        check_encoding(before, settings)
    first = None
    if not settings.encoding:  # as scikit-learn, which draws first weights before it splits
        first = begun(settings, table, table.X.shape[1], before, random_state)
    if not whole and takes_windows(table, settings):
        plain = prepared_in_windows(settings, table, held_out, before, random_state, first)
    else:
        if not table.is_checked:
            windows.check(table)
        if ground is None:
            ground = ground_for(settings, table, held_out, before, random_state)
        other_settings = copy(settings)
        encoding = encoding_for(ground, settings, before, random_state)
        plain = prepared_on(ground, settings, encoding, before, random_state, first)
    searches = before is None and settings.refits and held_out is None
    if not (searches and recipe.n_pilots(len(plain.task.rows), settings.hidden)):
        return [(1.0, plain)]
    search = trials.Search(plain.task)
    try:
        found = search.run()
    except trials.Interrupted as trial:
        return [(1.0, plain.ended_with(trial))]
    is_copied = not isinstance(plain.samples, windows.Windows)
    tries = settings.tries_encoding and settings.hidden and is_copied
    if tries and found.history.ended_by != "max_time":
        other_settings.max_time = settings.max_time  # what is left of it
        encoded = encoded_on(ground, other_settings, other_state)
        if encoded is not None:
            return kinds_of(plain, search, found, encoded, mixes)
    return [(1.0, plain.following(found))]


def ground_for(settings, table, held_out, before, random_state):
    """Which rows are trained on, and in which units."""
    order, spread_of_constant = row_numbers(len(table.y)), 1.0
    if settings.holds_out and held_out is None:
        if table.sample_weight is not None:  # what has no weight is not there
            order = order[table.sample_weight > 0]
        order, rows = trials.split(order, settings.validation_fraction, random_state, fewest=2)
        held_out = table.rows(rows)
        if settings.init == "glorot":  # as scikit-learn
            spread_of_constant = np.inf
    if table.output_weight is not None and not settings.is_partial:
        check_outputs(table.output_weight[order])
    settings.one_row = share_of_one_row(table, order, settings)
    if settings.one_row > windows.RULES and before is None and not settings.is_partial:
        table, settings.drawn_in = drawn_in(table, order)
    units, bounds, settings.seen = scaling_for(table, order, settings, before)
    weight = None if table.weights is None else table.weights[order]
    settings.alpha = alpha_for(settings, units, weight)
    return Ground(table, order, held_out, units, bounds, spread_of_constant)


def check_outputs(weight):
    """An error, if there is nothing to train an output on."""
    if not (there := weight.any(axis=0)).all():
        raise ValueError(f"There is no y with a weight for output {np.argmin(there)}.")


def prepared_on(ground, settings, encoding, before, random_state, first=None):
    """A network as the settings have it, and the samples as it sees them.

    `first` is the network and its first weights, if they have been drawn.
    """
    table, order, held_out, units, bounds, *_ = ground
    units = encodings.widened(units, encoding)
    n_columns = table.X.shape[1] if encoding is None else encoding.n_columns
    net, drawn = first or begun(settings, table, n_columns, before, random_state)
    by_entries = is_by_entries(net)
    dtype = np.dtype(settings.dtype or table.X.dtype)
    if settings.full_batch:  # a line search compares losses that differ in the last digits
        dtype = np.dtype(np.float64)
    converted = table.converted(dtype, units, bounds, encoding, by_entries=by_entries)
    samples, scored = samples_of(*converted, order), None
    if held_out is not None:
        converted = held_out.converted(dtype, units, encoding=encoding, by_entries=by_entries)
        scored = held_out_of(*converted, ground.spread_of_constant)
    task = trials.Task(net, settings, samples, in_use(samples), random_state, drawn, encoding)
    settings.constant_loss, settings.perfect_loss = plain_losses(task)
    resolve(settings, ground.n_rows or len(task.rows), n_parameters(net))
    return Prepared(task, task.plan, samples, scored, units, held_out=held_out)


def takes_windows(table, settings):
    """Whether a table is trained on window by window, since a working copy would be too large."""
    is_plain = not (settings.full_batch or settings.encoding or sparse.issparse(table.X))
    if not is_plain or table.output_weight is not None:
        return False
    n_bytes = len(table.y) * windows.row_bytes(table, settings.dtype or table.X.dtype)
    are_read = all(windows.source_of(A) is not None for A in (table.X, table.y))
    return are_read and n_bytes > windows.WHOLE_BYTES


def prepared_in_windows(settings, table, held_out, before, random_state, first):
    """As `ground_for` and `prepared_on`, without a copy of the table; trials are made with some of
    its rows, in the table's units."""
    apart, spread_of_constant = np.empty(0, np.int64), 1.0
    if settings.holds_out and held_out is None:
        apart = windows.rows_held_out(table, settings, random_state)
        held_out = table.rows(apart)
        if settings.init == "glorot":  # as scikit-learn
            spread_of_constant = np.inf
    X, y, bounds, y_bounds = windows.measured_table(table, apart, settings, before is None)
    units = None
    if settings.standardize:
        link = LOSSES[settings.loss].link
        seen = windows.seen_of(X, y)
        units, settings.seen = units_since(seen, before if settings.is_partial else None, link)
    settings.alpha = alpha_for(settings, units, table.sample_weight)
    net, drawn = first
    resolve(settings, X.n_rows, n_parameters(net))
    dtype = np.dtype(settings.dtype or table.X.dtype)
    X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
    windows.check_range(X, dtype, X_mean, X_scale, bounds)
    windows.check_range(y, dtype, y_mean, y_scale, y_bounds)
    samples = windows.Windows(table, dtype, units, bounds, y_bounds, apart, settings)
    searches = before is None and settings.refits and held_out is None
    some = samples.some(windows.rows_of_trials(table, dtype, searches), random_state)
    task = trials.Task(net, settings, some, in_use(some), random_state, drawn)
    settings.constant_loss, settings.perfect_loss = plain_losses(task)
    scored = None
    if held_out is not None:
        scored = held_out_of(*held_out.converted(dtype, units), spread_of_constant)
    return Prepared(task, task.plan, samples, scored, units, held_out=held_out)


def encoded_on(ground, settings, random_state):
    """A network with encoded columns, as `prepared_on`; None if it is not for such a table."""
    settings.encoding, (n_rows, n_features) = encodings.NAMES, ground.table.X.shape
    if n_features > mixture.MOST_COLUMNS:
        return None
    encoding = encoding_for(ground, settings, None, random_state)
    if not mixture.may_be_tried(n_rows, n_features, encoding.n_columns):
        return None
    return prepared_on(ground, settings, encoding, None, random_state)


def kinds_of(plain, search, found, encoded, mixes):
    """The plain network as its search has found it, the encoded one, or both, by rows that were
    held out of both; as `prepare`."""
    settings, share = plain.task.settings, 0.0
    try:
        other = trials.Search(encoded.task, search.parts).run()
        firsts, second = contest(plain.task, found, encoded.task, other, mixes)
    except ValueError:  # it diverged, and nobody has asked for it
        return [(1.0, plain.following(found))]
    except trials.Interrupted:  # the plain one has been trained for longer
        return [(1.0, plain.ended_with(found.interrupted()))]
    settings.max_time = encoded.task.settings.max_time  # what is left of it
    if all(trial.history.ended_by != "max_time" for trial in (other, *firsts, second)):
        rows = np.concatenate([rest for _, rest in second.parts])
        samples = plain.samples
        share = mixture.share_of_second(
            np.mean([plain.task.predict(first) for first in firsts], axis=0),
            encoded.task.predict(second),
            samples.y[rows],
            samples.sample_weight[rows] if samples.sample_weight.size else None,  # of samples
            settings.loss,
            settings.loss_parameter,
            mixes=mixes,
        )
    kinds = (1 - share, plain, found), (share, encoded, other)
    return [(weight, kind.following(trial)) for weight, kind, trial in kinds if weight > 0]


def contest(plain, found, encoded, other, mixes):
    """Trials of both kinds on the same parts: on that of the searches, or on more of a small table.

    A mixture is to be better than the mean of several plain networks, not than one: of these there
    are two.

    Returns
    -------
    list of Trial, Trial
    """
    random_state, n_parts = encoded.random_state, mixture.n_parts(len(plain.rows))
    plain = plain._replace(random_state=random_state)  # as if there were no contest
    parts = found.parts
    if n_parts > 1:
        parts = trials.parts_of(plain, n_parts, random_state)
        plain.settings.max_time = encoded.settings.max_time
        found = trials.Search(plain, parts).trial(found.trained, n_parts)
        encoded.settings.max_time = plain.settings.max_time
        other = trials.Search(encoded, parts).trial(other.trained, n_parts)
    firsts = [found]
    if mixes:
        plain.settings.max_time = encoded.settings.max_time
        firsts.append(trials.Search(plain, parts).trial(found.trained, n_parts))
        encoded.settings.max_time = plain.settings.max_time
    return firsts, other


def scaled_units(units, plan):
    """Units in which the columns are scaled as planned."""
    if plan.scale is None:
        return units
    return units._replace(X_scale=units.X_scale / plan.scale)


def train(prepared, *, before=None, optimizer=None, seen=0, watch=None):
    """The training that counts; parameters as of `fit`.

    `watch` makes an observer, or None, of a function that says what has been learnt, of a θ.
    """
    if prepared.interrupted is not None:
        return fitted_by(prepared)
    task, plan, samples, scored, units, pilot, _, held_out = prepared
    net, settings, dtype = task.net, task.settings, task.samples.X.dtype
    since = None  # units that `before` is re-expressed from
    average = None  # what `before` is, where the weights that it is of are gone on with
    if before is not None:
        trained = trained_of(before, optimizer, settings)
        if settings.is_partial and units is not None:
            trained = trained and following.begun_in(trained, units)[0]
            before, since = following.begun_in(before, units)
        theta, seed = before.theta(units, dtype), trials.new_seed(task.random_state)
        if trained is not None:
            theta, average = trained.theta(units, dtype), theta
    else:
        try:
            theta, seed = trials.best_start(task, plan)
        except trials.Interrupted as trial:  # of the samples as they are scaled now
            return fitted_by(prepared._replace(interrupted=trial))
    theta = aligned(theta, dtype)
    earlier = optimizer
    if earlier is not None and settings.is_partial and earlier.fits(settings, theta):
        optimizer = earlier.copy()
        if since is not None:
            following.turn(optimizer.memory, net, since, units, before.loss)
        settings.learning_rate_init = optimizer.eta
    else:
        settings.learning_rate_init = task.step_size(plan, theta)
        began = 0 if settings.is_partial else seen
        optimizer = loop.OptimizerState.start(settings, theta, seed, began)
        if earlier is not None:
            optimizer.remember(earlier)
    decay_to_t = 1.0 if average is None else earlier.state["decay_to_t"][0]
    optimizer.begin_average(settings, theta, average, decay_to_t)

    def learnt(theta):
        return Learnt.of(theta, net, settings, units, task.encoding)

    observer = None if watch is None else watch(learnt)
    if observer is not None and pilot is not None:
        observer.pilot_was(pilot)
    history = solvers.fit(
        net, theta, samples, scored, settings, optimizer, observer=observer, seen=seen,
        judge=judging.judge_of(settings, learnt, held_out),
    )  # fmt: skip
    n_samples, optimizer.ahead, predicting = samples.n_samples, None, learnt(theta)
    if optimizer.average.size and scored is None:  # else what was best goes on
        optimizer.ahead = Ahead.of_both(learnt(optimizer.theta), predicting)
    return Fitted(predicting, optimizer, history, settings, n_samples, pilot, observer)


def trained_of(before, optimizer, settings):
    """The network that has been trained, where `before` is the average of it, and is gone on with;
    else None."""
    if settings.ema_decay is None or optimizer is None or optimizer.ahead is None:
        return None
    if optimizer.state.dtype != loop.STATE or not optimizer.ahead.is_of(before):
        return None
    coefs, intercepts = optimizer.ahead.weights
    return before._replace(coefs=coefs, intercepts=intercepts, packed=None)


def fitted_by(prepared):
    """What comes of a trial that was interrupted."""
    task, trial, settings = prepared.task, prepared.interrupted, prepared.task.settings
    begun_again = trial.history.restarts
    settings.learning_rate_init = trial.optimizer.eta * loop.RESTART_DIVISOR**begun_again
    settings.weight_decay = trial.plan.weight_decay
    learnt = Learnt.of(trial.theta, task.net, settings, prepared.units, task.encoding)
    n_samples = trial.n_samples
    return Fitted(learnt, trial.optimizer, trial.history, settings, n_samples, None, None, True)


def glorot(net, settings, random_state):
    """First weights as scikit-learn draws them."""
    # Its bound for those of the output layer goes by the one activation of all hidden layers, even
    # where there are none.
    like = settings.activation if isinstance(settings.activation, str) else None
    return parameters.initialize(net, settings.activations, random_state, like)


def begun(settings, table, n_columns, before, random_state):
    """The network, and its first weights where they don't go by the data."""
    widths = n_columns, *settings.hidden, table.y.shape[1]
    by_entries = not settings.encoding and table.is_by_entries
    net = network(
        widths, settings.activations, trained=True, dropout=settings.dropout, by_entries=by_entries
    )
    if before is not None:
        check_goes_on(before, net, settings.loss)
    elif settings.init == "glorot":
        return net, glorot(net, settings, random_state)
    return net, None


def in_use(samples):
    """The rows that are trained on: those that have a weight."""
    if samples.sample_weight.size == 0:
        return samples.order
    return samples.order[samples.sample_weight[samples.order] > 0]


def resolve(settings, n, n_parameters):
    """What is "auto" adapts to the n rows that are trained on, and to what else is given."""
    if settings.full_batch:
        settings.batch_size = max(n, 1)
    elif settings.batch_size == "auto":
        theirs = min(BATCH_SIZE, max(n, 1))
        of_recipe = settings.init != "glorot"
        settings.batch_size = min(recipe.batch_size(n), max(n, 1)) if of_recipe else theirs
        # An alpha that is given means what it means to scikit-learn, which divides by its batches.
        settings.alpha *= settings.batch_size / theirs
    if settings.max_iter == "auto":
        settings.max_iter = recipe.epochs(
            max(n, 1), settings.batch_size, settings.solver, n_parameters
        )


def plain_losses(task):
    """The loss of the best prediction that is the same for all samples, and that of y itself."""
    row, y, weight = LOSSES[task.settings.loss], task.samples.y, task.samples.sample_weight
    n, y = len(y), np.float64(y[task.rows])
    weight = np.float64(weights_at(weight, n, task.rows)) if weight.size else np.ones(len(y))
    if weight.any():
        weight = shares_of(weight)
    loss = of_outputs(row.constant_loss, y, weight, task.settings.loss_parameter)
    loss = loss / y.shape[1] if row.reported_by_output else loss
    return loss, of_outputs(row.perfect_loss, y, weight)


def share_of_one_row(table, rows, settings):
    """The largest part that one row has in the variance of y, where there are enough rows."""
    if table.sample_weight is not None:
        rows = rows[table.sample_weight[rows] > 0]
    y = np.float64(table.y[rows])
    if not settings.standardize or len(y) < scaling.FEWEST_ROWS:
        return 0.0
    y /= np.maximum(np.abs(y).max(axis=0), np.finfo(float).tiny)
    with np.errstate(invalid="ignore"):  # of a constant
        squares = (y - y.mean(axis=0)) ** 2
        shares = squares.max(axis=0) / squares.sum(axis=0)
    return float(np.nanmax(shares, initial=0.0))


def precision_of(y):
    """What predictions need to say of such a y: integers that float32 holds need no more."""
    if y.dtype.kind == "f":
        return np.dtype(np.float32 if y.itemsize <= 4 else np.float64)
    largest = max(abs(int(y.min())), abs(int(y.max())))
    return np.dtype(np.float32 if largest <= 2**24 else np.float64)


def alpha_for(settings, units, weight):
    """The penalty in the units of training: of y, and of the weights of samples, whose sum it is
    divided by."""
    alpha = settings.alpha
    if alpha > 0 and units is not None:
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            alpha = alpha / np.mean(units.y_scale ** LOSSES[settings.loss].degree)
    if alpha > 0 and weight is not None:
        with np.errstate(over="ignore", under="ignore"):
            alpha = np.ldexp(alpha, -scaling.exponent_of(weight))
    if alpha > np.finfo(np.float32).max:
        raise ValueError(
            f"alpha={settings.alpha:g} is beyond all measure for so small a y, or such small "
            "weights of samples. Lower it."
        )
    return float(alpha)


def drawn_in(table, rows):
    """The table without such a row's value: drawn in to what the others' are, if these differ."""
    bounds = scaling.bounds_of(table.y, rows)
    if bounds is None:
        return table, None
    return table._replace(y=np.clip(table.y, *bounds)), bounds


def check_encoding(before, settings):
    """The present weights must be those of the columns that the parameters ask for."""
    known = before.encoding_names
    if settings.tries_encoding:  # it has been
        settings.encoding = known
    if known != settings.encoding:
        raise ValueError(
            f"The present weights are for the encodings {list(known)}, encoding asks for "
            f"{list(settings.encoding)}. Fit with warm_start=False."
        )


def check_goes_on(before, net, loss):
    """The present weights must be those of the network that the parameters ask for."""
    if LOSSES[before.loss].link != LOSSES[loss].link:
        raise ValueError(
            f"The present weights were trained with the loss {before.loss!r}, whose predictions "
            f"come otherwise of the output than those of {loss!r}. Fit anew."
        )
    have, want = (each["width"].tolist() for each in (before.network(), net))
    if have != want:
        raise ValueError(
            f"The present weights are of layers {have}, hidden_layer_sizes and the data ask "
            f"for {want}. Fit with warm_start=False."
        )


def scaling_for(table, rows, settings, before):
    """In which units to train, between which bounds the columns of X, and what the units are of:
    measured on the rows that are trained on, and, for a `partial_fit` that goes on, on all before.
    """
    if not settings.standardize:
        return None, None, None
    before = before if settings.is_partial else None
    if before is not None and before.seen is None:
        return before.scaling, None, None
    X, y, weight, y_weight, _ = table
    if len(rows) < len(y):
        trained_on = np.zeros(len(y))
        trained_on[rows] = 1.0
        weight = trained_on if weight is None else weight * trained_on
        y_weight = None if y_weight is None else y_weight * trained_on[:, None]
    bounds = scaling.bounds_of(X, rows if weight is None else np.flatnonzero(weight))
    seen = scaling.seen_of(X, y, weight, bounds, y_weight)
    units, seen = units_since(seen, before, LOSSES[settings.loss].link)
    return units, bounds, seen


def units_since(seen, before, link):
    """The units for what has been seen of a table, and of all tables of a stream, which goes on
    from what has been learnt `before`; and what has been seen in all."""
    if before is None:
        return seen.units(link), seen
    if before.seen is None:  # in raw units, or of a file that doesn't say it
        return before.scaling, None
    seen = before.seen.merged(seen)
    return following.units_of(seen, before, link), seen


def encoding_for(ground, settings, before, random_state):
    """What the network sees of X besides its columns, or None: measured on the rows that are
    trained on, at the first fit; who goes on, keeps it."""
    if before is not None or not settings.encoding:
        return before and before.encoding
    table, rows, _, _, bounds, *_ = ground
    if table.sample_weight is not None:
        rows = rows[table.sample_weight[rows] > 0]
    X = table.X[encodings.rows_looked_at(rows, table.X.shape[1])]
    X = np.float64(X.toarray() if sparse.issparse(X) else X)
    X = X if bounds is None else np.clip(X, *bounds)
    return encodings.measure(settings.encoding, X, random_state)
