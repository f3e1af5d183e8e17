"""The estimator's parameters as fitting takes them: checked against one another, and resolved."""

from numbers import Integral
from types import SimpleNamespace

import numpy as np

from fastbp import encodings
from fastbp.fitting import recipe
from fastbp.fitting.learnt import Found
from fastbp.fitting.schedules import SCHEDULES
from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: Samples in a step where `batch_size` is "auto" and first weights are scikit-learn's: as there.
BATCH_SIZE = 200


def settings_of(params, *, is_partial=False, found=None):
    """The parameters, each under its name, and what follows from them.

    Parameters
    ----------
    params : dict
        Those of `BackpropRegressor`, each valid by itself.
    is_partial : bool
        They are for a `partial_fit`: one epoch of a training without a planned end.
    found : Found or None
        By trials, for what goes on from there.

    Returns
    -------
    SimpleNamespace
        `encoding` is a tuple of names; of "auto" an empty one, and `tries_encoding` is set.
        `dropout` is one number for each hidden layer, or none at all if all are 0. Also with
        `hidden` and `activations`, the units and the activation of each hidden layer,
        `holds_out` and `refits`, the two kinds of early stopping; `finds_length` and `finds_step`,
        whether max_iter and the step size are "auto"; `most_epochs`, that "auto" becomes at most;
        `auto`, the names of what was "auto" that trials find, and `is_found`, whether they have;
        `full_batch`, whether each step takes all samples, and no step size;
        `searches`, whether trials may scale columns, and `search_decay`, with which decay;
        `by_loss`, whether the loss judges rows that are held out; and what is known later: `model`,
        the estimator, for scorers; `constant_loss`, that of the best constant prediction,
        `perfect_loss`, that of y itself, `one_row`, the largest part that a single row has in the
        variance of y, `for_clean`, the rows in a step of a clean table, and for how many times as
        long as planned it is trained on, `ends_above`, the loss of y itself on the rows held out of
        a pilot, which ends when its curve has risen above that, `drawn_in`, the bounds that y was
        clipped to, `y_dtype`, the least precision of predictions, `seen`, what the scaling is of,
        and `moved`, how far the table lies from all before it in a stream, see `Seen.distance_to`.

    Raises
    ------
    ValueError
        If some don't go with others.
    """
    settings = SimpleNamespace(
        **params,
        is_partial=is_partial,
        constant_loss=np.inf,
        perfect_loss=0.0,
        one_row=0.0,
        drawn_in=None,
        y_dtype=np.dtype(np.float64),
        seen=None,
        moved=(),
        model=None,
        for_clean=(None, 1),
        ends_above=None,
        found=found,
    )
    settings.hidden = hidden_widths(settings.hidden_layer_sizes)
    settings.activations = activation_names(settings.activation, len(settings.hidden))
    settings.full_batch = settings.solver == "lbfgs"
    settings.auto = {name for name in Found._fields[1:] if isinstance(params[name], str)}
    settings.is_found = not is_partial and is_found(settings.auto, settings.solver, found)
    by_default = Found(settings.solver, np.inf, recipe.WEIGHT_DECAY.get(settings.solver, 0.0), 0.0)
    known = found if settings.is_found else by_default
    finds_dropout = isinstance(settings.dropout, str)  # "auto": none, unless columns are encoded
    if finds_dropout:
        settings.dropout = known.dropout
    settings.dropout = dropout_rates(settings.dropout, len(settings.hidden))
    settings.tries_encoding = isinstance(settings.encoding, str) and settings.encoding == "auto"
    settings.encoding = encodings.names_of(None if settings.tries_encoding else settings.encoding)
    settings.loss_parameter = loss_parameter(settings.loss, settings.loss_parameter)
    settings.by_loss = settings.scoring == "loss"  # held-out rows are judged, else by a score
    if settings.scoring is None:
        settings.by_loss = not LOSSES[settings.loss].is_r2s
    if settings.ema_decay == "auto":
        is_stream = is_partial and settings.learning_rate_init == "auto"
        settings.ema_decay = recipe.STREAM_DECAY if is_stream else None
    if settings.full_batch:
        check_full_batch(settings)
    of_sgd = SCHEDULES[settings.learning_rate].is_sgds
    if settings.full_batch or (settings.solver != "sgd" and of_sgd):
        settings.learning_rate = "constant"
    settings.finds_length = settings.max_iter == "auto" and not is_partial
    settings.most_epochs = known.max_iter
    settings.finds_step = settings.learning_rate_init == "auto" and not is_partial
    settings.searches = settings.init == "auto" and settings.standardize and not settings.full_batch
    settings.finds_dropout = finds_dropout and settings.searches
    settings.search_decay = settings.weight_decay
    if settings.weight_decay == "auto":
        settings.weight_decay = known.weight_decay
        settings.search_decay = recipe.STRONG_DECAY
    check_warmup(settings)
    settings.refits = settings.early_stopping == "refit" and not is_partial
    settings.holds_out = settings.early_stopping not in (False, "refit") and not settings.full_batch
    if is_partial:
        settings.max_iter, settings.max_time = 1, None
        if SCHEDULES[settings.learning_rate].is_planned:
            settings.learning_rate = "constant"
    return settings


def is_found(auto, solver, found):
    """Whether trials of this solver have found all that is "auto"."""
    is_of_solver = found is not None and found.solver == solver
    return is_of_solver and all(getattr(found, name) is not None for name in auto)


def check_warmup(settings):
    """A warm-up needs a planned end, of which it is a part."""
    is_planned = settings.full_batch or SCHEDULES[settings.learning_rate].is_planned
    if settings.warmup_fraction and not is_planned:
        raise ValueError(
            f"warmup_fraction={settings.warmup_fraction} needs a schedule with a planned end, got "
            f"learning_rate={settings.learning_rate!r}."
        )


def hidden_widths(sizes):
    """Units of each hidden layer."""
    sizes = np.atleast_1d(np.asarray(sizes, object)).tolist()
    if any(not isinstance(size, Integral) or not 0 < size < 2**31 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers > 0 and < 2**31, got {sizes}.")
    return [int(size) for size in sizes]


def activation_names(activation, n_hidden):
    """The activation of each hidden layer."""
    if isinstance(activation, str):
        return [activation] * n_hidden
    names = np.atleast_1d(np.asarray(activation, object)).tolist()
    if len(names) != n_hidden:
        raise ValueError(f"activation names {len(names)} activations for {n_hidden} hidden layers.")
    if unknown := [name for name in names if name not in list(ACTIVATIONS)]:
        raise ValueError(f"Unknown activation {unknown[0]!r}; known: {sorted(ACTIVATIONS)}.")
    return names


def dropout_rates(dropout, n_hidden):
    """The part that is left out of each hidden layer; () if nothing is."""
    if type(dropout) is float and dropout == 0:  # as nearly always
        return ()
    rates = np.asarray(dropout)
    if rates.dtype.kind not in "iuf" or rates.ndim > 1:
        raise ValueError(f"dropout must be a number or a list of numbers, got {dropout!r}.")
    if not ((rates >= 0) & (rates < 1)).all():
        raise ValueError(f"dropout must be at least 0 and less than 1, got {dropout!r}.")
    if rates.ndim and len(rates) != n_hidden:
        raise ValueError(f"dropout has {len(rates)} numbers for {n_hidden} hidden layers.")
    return tuple(np.broadcast_to(rates, n_hidden).tolist()) if rates.any() else ()


def loss_parameter(loss, given):
    """The number that the loss reads, 0 where it reads none; or a tuple of one for each output."""
    parameter = LOSSES[loss].parameter
    if parameter is None and given is None:
        return 0.0
    if parameter is None:
        raise ValueError(f"The loss {loss!r} has no parameter, got loss_parameter={given}.")
    if given is None:
        return parameter.default
    values = np.asarray(given)
    if values.dtype.kind not in "iuf" or values.ndim > parameter.by_output or not values.size:
        several = " or a list of numbers" if parameter.by_output else ""
        raise ValueError(
            f"loss_parameter, the {parameter.name} of the loss {loss!r}, must be a number"
            f"{several}, got {given}."
        )
    if not ((values > parameter.low) & (values < parameter.high)).all():
        raise ValueError(
            f"loss_parameter, the {parameter.name} of the loss {loss!r}, must lie between "
            f"{parameter.low:g} and {parameter.high:g}, got {given}."
        )
    if values.ndim and (np.diff(values) <= 0).any():
        raise ValueError(
            f"loss_parameter={given} must rise from each {parameter.name} to the next."
        )
    return tuple(values.tolist()) if values.ndim else given


def check_full_batch(settings):
    """An error for what is asked of steps, where a line search makes them."""
    if settings.weight_decay != "auto" and settings.weight_decay > 0:
        raise ValueError(
            f"solver='lbfgs' knows no weight_decay={settings.weight_decay:g}; alpha is its penalty."
        )
    if settings.max_grad_norm is not None:
        raise ValueError(
            f"solver='lbfgs' knows no max_grad_norm={settings.max_grad_norm:g}: a line search "
            "finds how far it goes."
        )
    if settings.dropout:
        raise ValueError(
            f"solver='lbfgs' knows no dropout={max(settings.dropout):g}: a line search needs the "
            "same loss each time."
        )
    if settings.ema_decay is not None:
        raise ValueError(
            f"solver='lbfgs' knows no ema_decay={settings.ema_decay:g}: it ends in a minimum."
        )


def loss_with_left(part, settings):
    """The loss with so much left of what the best constant prediction's has more than y itself;
    infinity where that is nothing."""
    to_learn = to_learn_of(settings)
    return settings.perfect_loss + part * to_learn if to_learn > 0 else np.inf


def to_learn_of(settings):
    """What the best constant prediction's loss has more than that of y itself."""
    return max(settings.constant_loss - settings.perfect_loss, 0.0)
