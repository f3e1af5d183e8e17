"""What an optimiser carries from step to step, in a file: a training goes on as if it had never
stopped."""

from numbers import Real

import numpy as np

from fastbp import parameters
from fastbp.fitting.state import Ahead, OptimizerState
from fastbp.kernels.formulas.network import n_parameters
from fastbp.kernels.formulas.optimizers import TABLE as OPTIMIZERS
from fastbp.kernels.training.records import STATE

#: The names of its memory, and of the weights that training goes on from where an average of them
#: predicts, among a file's arrays.
MEMORY, AHEAD = "optimizer_memory", "optimizer_ahead"

#: What numbers of each kind of a state are: bounds, or None for any number.
BOUNDS = {"u": (0, 2**64 - 1), "i": (0, 2**62 - 1), "b": (False, True), "f": None}

#: Parts of a state that are bounded otherwise. Between two trainings no epoch is begun.
BOUNDS_OF = {
    "position": (0, 0),
    "beta_1_to_t": (0.0, 1.0),
    "beta_2_to_t": (0.0, 1.0),
    "decay_to_t": (0.0, 1.0),
}

#: What there is nothing better than, as yet.
FIGURES = ("best", "best_held_out")


def described(optimizer, learnt):
    """What JSON holds of an optimiser, and its arrays; None if it is not of what has been learnt,
    which may have been set by hand."""
    if optimizer is None:
        return None
    state = optimizer.state
    if state.shape != (1,) or state.dtype != STATE:
        return None
    fields = {
        "name": optimizer.name,
        "eta": float(optimizer.eta),
        "began": int(optimizer.began),
        "given": optimizer.given,
        "watches": list(optimizer.watches),
        "state": {name: state[name][0].item() for name in STATE.names},
    }
    try:
        check_fields(fields)
        check_memory(optimizer.memory, learnt)
    except ValueError:
        return None
    arrays = {MEMORY: optimizer.memory}
    if optimizer.ahead is not None and optimizer.ahead.is_of(learnt):
        arrays[AHEAD] = parameters.pack(*optimizer.ahead.weights, np.float64)
    return fields, arrays


def restored(fields, arrays, learnt):
    """The optimiser of what `described` says; whatever is missing or wrong is an error."""
    memory, fields = arrays[MEMORY], {"given": None} | fields  # which older files don't have
    check_fields(fields)
    check_memory(memory, learnt)
    state = np.zeros(1, STATE)
    for name, value in fields["state"].items():
        state[name] = value
    watches = tuple(fields["watches"])
    eta, began = float(fields["eta"]), fields["began"]
    ahead = ahead_of(arrays[AHEAD], learnt) if AHEAD in arrays else None
    rest = {"ahead": ahead, "watches": watches, "given": fields["given"]}
    return OptimizerState(fields["name"], memory, state, eta, began, **rest)


def ahead_of(theta, learnt):
    """The network that is trained on, of its weights."""
    if theta.dtype.kind != "f" or not np.isfinite(theta).all():
        raise ValueError("The weights to go on from must be finite.")
    coefs, intercepts = parameters.unpack(theta, learnt.network())
    kind = learnt.coefs[0].dtype
    weights = [W.astype(kind) for W in coefs], [b.astype(kind) for b in intercepts]
    return Ahead.of_both(learnt._replace(coefs=weights[0], intercepts=weights[1]), learnt)


def shape_of_memory(fields, n_parameters):
    """The shape of the array that such an optimiser remembers, by what it says of itself."""
    name = fields["name"]
    if name != "lbfgs" and name not in list(OPTIMIZERS):
        raise ValueError(f"There is no optimiser {name!r}.")
    return (OPTIMIZERS[name].remembers if name in OPTIMIZERS else 0, n_parameters)


def check_memory(memory, learnt):
    """An error, unless it is finite, and of the precision of the training."""
    dtype = memory.dtype.newbyteorder("=")
    if dtype != learnt.dtype or memory.shape[1:] != (n_parameters(learnt.network()),):
        raise ValueError(f"The memory is {dtype} of shape {memory.shape}, of another network.")
    if not np.isfinite(memory).all():
        raise ValueError("What the optimiser remembers must be finite.")


def check_fields(fields):
    """An error, unless each is what it should be."""
    wanted = {"name", "eta", "began", "watches", "given", "state"}
    if fields.keys() != wanted or fields["state"].keys() != set(STATE.names):
        raise ValueError(f"{sorted(fields)} don't describe an optimiser.")
    shape_of_memory(fields, 0)
    eta, began, watches, given = (fields[name] for name in ("eta", "began", "watches", "given"))
    if not (isinstance(eta, float) and 0 < eta < np.inf):
        raise ValueError(f"The step size is {eta!r}.")
    if type(began) is not int or not 0 <= began < 2**62:
        raise ValueError(f"The samples seen before are {began!r}.")
    is_step = isinstance(given, Real) and not isinstance(given, bool) and given > 0
    if given is not None and given != "auto" and not is_step:
        raise ValueError(f"The step size that was asked for is {given!r}.")
    if type(watches) is not list or not all(isinstance(each, str | bool) for each in watches):
        raise ValueError(f"What is watched is {watches!r}.")
    for name, value in fields["state"].items():
        kind = STATE[name].kind
        bounds = BOUNDS_OF.get(name, BOUNDS[kind])
        is_right = isinstance(value, Real) and isinstance(value, bool) == (kind == "b")
        is_right = is_right and (kind == "f" or not isinstance(value, float))
        if not is_right or (bounds and not bounds[0] <= value <= bounds[1]):
            raise ValueError(f"The optimiser's {name} is {value!r}.")
        if name in FIGURES and np.isnan(value):
            raise ValueError(f"The optimiser's {name} is {value!r}.")
