"""What a table comes to before a network is chosen: the rows to train on, and their units."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import encodings, measuring, outliers, scaling
from fastbp.fitting import following, survey, tasks
from fastbp.fitting.plan import row_numbers
from fastbp.fitting.table import Table
from fastbp.kernels.formulas.losses import TABLE as LOSSES


class Ground(NamedTuple):
    """What a table comes to before a network is chosen."""

    table: Table  # with y drawn in, if one row rules it
    order: np.ndarray  # the rows that are trained on
    held_out: Table | None
    units: scaling.Scaling | None  # of the table's columns
    bounds: outliers.Bounds | None
    spread_of_constant: float = 1.0  # of held-out y that are all equal
    n_rows: int | None = None  # of the whole table, where this is a sample of it


def ground_for(settings, table, held_out, before, random_state):
    """Which rows are trained on, and in which units."""
    order, spread_of_constant = row_numbers(len(table.y)), 1.0
    if settings.holds_out and held_out is None:
        if table.sample_weight is not None:  # what has no weight is not there
            order = order[table.sample_weight > 0]
        order, rows = tasks.split(order, settings.validation_fraction, random_state, fewest=2)
        held_out = table.rows(rows)
        if settings.init == "glorot":  # as scikit-learn
            spread_of_constant = np.inf
    if table.output_weight is not None and not settings.is_partial:
        check_outputs(table.output_weight[order])
    shares = shares_of_one_row(table, order, settings)
    settings.one_row = float(shares.max(initial=0.0))
    if settings.one_row > survey.RULES and before is None and not settings.is_partial:
        table, settings.drawn_in = drawn_in(table, order, shares)
    units, bounds, settings.seen = scaling_for(table, order, settings, before)
    weight = None if table.weights is None else table.weights[order]
    settings.alpha = alpha_for(settings, units, weight)
    return Ground(table, order, held_out, units, bounds, spread_of_constant)


def check_outputs(weight):
    """An error, if there is nothing to train an output on."""
    if not (there := weight.any(axis=0)).all():
        raise ValueError(f"There is no y with a weight for output {np.argmin(there)}.")


def y_in_use(table, rows):
    """The y that have a weight, as arrays of some outputs: where these weigh differently, of one,
    else of all."""
    if table.sample_weight is not None:
        rows = rows[table.sample_weight[rows] > 0]
    if table.output_weight is None:
        return [table.y[rows]]
    is_there = table.output_weight[rows] > 0
    return [table.y[rows[there], k : k + 1] for k, there in enumerate(is_there.T)]


def shares_of_one_row(table, rows, settings):
    """See `survey.shares_of_one_row`."""
    if not settings.standardize:
        return np.zeros(table.y.shape[1])
    return np.concatenate([shares_in(y) for y in y_in_use(table, rows)])


def shares_in(y):
    """Of y that all have a weight."""
    if len(y) < outliers.FEWEST_ROWS:
        return np.zeros(y.shape[1])
    y = np.float64(y)
    low, high = y.min(axis=0), y.max(axis=0)
    unit = np.maximum(np.maximum(-low, high), measuring.TINY)
    y /= unit
    return survey.shares_of_one_row(len(y), y.mean(axis=0), y.std(axis=0), low / unit, high / unit)


def drawn_in(table, rows, shares):
    """The table without such a row's value: drawn in to what the others' are, if these differ."""
    each = y_in_use(table, rows)
    looked_at = [y[:: outliers.step_of_rows(*y.shape)] for y in each]
    bounds = np.concatenate([outliers.likely_bounds(y) for y in looked_at], axis=1)
    bounds = survey.bounds_of_ruled(outliers.Bounds(*bounds), shares)
    ends = np.concatenate([(y.min(axis=0), y.max(axis=0)) for y in each], axis=1)
    if bounds.holds(*ends):
        return table, None
    return table._replace(y=np.clip(table.y, *bounds)), bounds


def scaling_for(table, rows, settings, before):
    """In which units to train, between which bounds the columns of X, and what the units are of:
    measured on the rows that are trained on, and, for a `partial_fit` that goes on, on all before.
    """
    if not settings.standardize:
        return None, None, None
    before = before if settings.is_partial else None
    if before is not None and before.seen is None:
        return before.scaling, None, None
    X, y, weight, y_weight = table[:4]
    if len(rows) < len(y):
        trained_on = np.zeros(len(y))
        trained_on[rows] = 1.0
        weight = trained_on if weight is None else weight * trained_on
        y_weight = None if y_weight is None else y_weight * trained_on[:, None]
    bounds = outliers.bounds_of(X, rows if weight is None else np.flatnonzero(weight))
    seen = scaling.seen_of(X, y, weight, bounds, y_weight)
    units, seen = units_since(settings, seen, before, table.linear)
    return units, bounds, seen


def units_since(settings, seen, before, line=None):
    """The units for what has been seen of a table, and of all tables of a stream, which goes on
    from what has been learnt `before`, beside a line or None; and what has been seen in all. The
    settings then say how far the table lies from all before."""
    link = LOSSES[settings.loss].link
    if before is None:
        return seen.units(link).beside(line), seen
    if before.seen is None:  # in raw units, or of a file that doesn't say it
        return before.scaling, None
    of_X, of_y = before.seen.distance_to(seen)
    settings.moved = (of_X, of_y) if link == "identity" else (of_X,)  # else only y's size counts
    seen = before.seen.merged(seen)
    return following.units_of(seen, before, link).beside(line), seen


def alpha_for(settings, units, weight):
    """The penalty in the units of training: of y, and of the weights of samples, whose sum it is
    divided by."""
    alpha = settings.alpha
    if alpha > 0 and units is not None:
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            alpha = alpha / np.mean(units.y_scale ** LOSSES[settings.loss].degree)
    if alpha > 0 and weight is not None:
        with np.errstate(over="ignore", under="ignore"):
            alpha = np.ldexp(alpha, -measuring.exponent_of(weight))
    if alpha > np.finfo(np.float32).max:
        raise ValueError(
            f"alpha={settings.alpha:g} is beyond all measure for so small a y, or such small "
            "weights of samples. Lower it."
        )
    return float(alpha)


def encoding_for(ground, settings, before, random_state):
    """What the network sees of X besides its columns, or None: measured on the rows that are
    trained on, at the first fit; who goes on, keeps it."""
    if before is not None or not settings.encoding:
        return before and before.encoding
    table, rows, _, _, bounds, *_ = ground
    if table.sample_weight is not None:
        rows = rows[table.sample_weight[rows] > 0]
    X = table.X[encodings.rows_looked_at(rows, table.X.shape[1])]
    eps = np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps
    X = np.float64(X.toarray() if sparse.issparse(X) else X)
    X = X if bounds is None else np.clip(X, *bounds)
    return encodings.measure(settings.encoding, X, random_state, eps)
