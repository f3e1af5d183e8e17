"""Models from scikit-learn's `MLPRegressor`, and back to it: weights, course and optimiser."""

import warnings
from copy import deepcopy

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastbp import parameters
from fastbp.fitting.learnt import Learnt, Packed
from fastbp.fitting.settings import BATCH_SIZE, settings_of
from fastbp.fitting.state import OptimizerState
from fastbp.fitting.tasks import new_seed

#: With these a BackpropRegressor behaves as an MLPRegressor.
CONTRACT = {"init": "glorot", "weight_decay": 0.0, "standardize": False, "dtype": None}

#: scikit-learn's losses -> ours of the same gradient. (`squared_error` here has twice that.)
OF_SCIKIT_LEARN = {"squared_error": "half_squared_error", "poisson": "poisson"}

#: Our losses that are theirs -> their gradient, as a part of ours.
PART_OF_GRADIENT = {"squared_error": 0.5, "half_squared_error": 1.0, "poisson": 1.0}

#: scikit-learn's schedules and activations.
SCHEDULES, ACTIVATIONS = (
    ("constant", "invscaling", "adaptive"),
    ("identity", "logistic", "tanh", "relu"),
)

#: What both note of a training, in equal terms.
NOTED = ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_")


# ----------------------------------------------------------------------------- to ours


def from_sklearn(cls, mlp):
    """A model of class `cls`; see `BackpropRegressor.from_sklearn`."""
    if not isinstance(mlp, MLPRegressor):
        raise TypeError(f"from_sklearn takes an MLPRegressor, got {type(mlp).__name__}.")
    params = mlp.get_params(deep=False)
    if params["loss"] not in OF_SCIKIT_LEARN:
        raise ValueError(f"The loss {params['loss']!r} of this MLPRegressor is not known here.")
    model = cls(**params | {"loss": OF_SCIKIT_LEARN[params["loss"]]}, **CONTRACT)
    if not hasattr(mlp, "coefs_"):
        return model
    model._validate_params()
    settings = settings_of(model._params())
    coefs, intercepts = ([a.copy() for a in arrays] for arrays in (mlp.coefs_, mlp.intercepts_))
    ends = mlp.n_features_in_, mlp.n_outputs_
    of_training = tuple(settings.activations), model.loss, settings.loss_parameter, None
    learnt = Learnt(
        coefs, intercepts, *of_training, coefs[0].dtype, *ends,
        y_dtype=coefs[0].dtype, packed=Packed(),
    )  # fmt: skip
    model._learnt = learnt.checked()  # or an error, if hidden_layer_sizes was changed meanwhile
    for name in NOTED:
        setattr(model, name, getattr(mlp, name))
    if hasattr(mlp, "feature_names_in_"):
        model.feature_names_in_ = mlp.feature_names_in_
    _note_course(model, mlp)
    model._optimizer = _state_of(mlp, settings, model._learnt)
    return model


def _note_course(model, mlp):
    """The attributes that say how training went; lbfgs notes no curve."""
    model.loss_ = float(mlp.loss_)
    model.loss_curve_ = [float(loss) for loss in getattr(mlp, "loss_curve_", [mlp.loss_])]
    model.best_loss_ = getattr(mlp, "best_loss_", mlp.loss_)
    model.validation_scores_ = deepcopy(getattr(mlp, "validation_scores_", None))
    model.best_validation_score_ = getattr(mlp, "best_validation_score_", None)
    model.validation_loss_curve_, model.kernel_ = None, None
    model.max_iter_, model.learning_rate_init_ = model.max_iter, model.learning_rate_init
    model.weight_decay_, model.dropout_ = 0.0, [0.0] * (model.n_layers_ - 2)
    batch_size = BATCH_SIZE if model.batch_size == "auto" else model.batch_size
    n_samples = mlp.t_ // len(model.loss_curve_) or batch_size
    model.batch_size_ = min(batch_size, n_samples)


def _state_of(mlp, settings, learnt):
    """What the optimiser carries on: the same vectors, as one."""
    theta = learnt.theta(None, learnt.dtype)
    seed = new_seed(deepcopy(getattr(mlp, "_random_state", None)) or np.random.RandomState())
    optimizer = OptimizerState.start(settings, theta, seed)
    optimizer.given = settings.learning_rate_init
    theirs, state = getattr(mlp, "_optimizer", None), optimizer.state
    if theirs is None or settings.full_batch:
        return optimizer
    if settings.solver == "adam":
        vectors = theirs.ms, theirs.vs
        state["beta_1_to_t"] = settings.beta_1**theirs.t
        state["beta_2_to_t"] = settings.beta_2**theirs.t
    else:
        vectors = (theirs.velocities,)[: len(optimizer.memory)]
        if settings.learning_rate == "adaptive":
            optimizer.eta = theirs.learning_rate
    for row, arrays in zip(optimizer.memory, vectors, strict=True):
        half = len(arrays) // 2
        row[:] = parameters.pack(arrays[:half], arrays[half:], row.dtype)
    if mlp.loss != "poisson" and mlp.best_loss_ is not None:  # its loss has another constant
        optimizer.watch((settings.loss, False, False))  # the loss of what is trained on
        state["best"], state["stalled"] = mlp.best_loss_, mlp._no_improvement_count
    return optimizer


# --------------------------------------------------------------------------- to scikit-learn


def to_sklearn(model):
    """An MLPRegressor; see `BackpropRegressor.to_sklearn`."""
    check_is_fitted(model)
    model._validate_params()
    learnt = model._learnt.checked()
    if learnt.encoding is not None:
        raise ValueError(
            "MLPRegressor has no encodings: it can't be this model. Fit with encoding=None."
        )
    if learnt.linear is not None:
        raise ValueError(
            "MLPRegressor has no linear part: it can't be this model. Fit with linear_part=None."
        )
    if learnt.rising:
        raise ValueError("MLPRegressor does not sort its outputs: it has no several quantiles.")
    loss, activation = _their_loss(learnt), _their_activation(learnt)
    mlp = MLPRegressor(**_their_params(model) | {"loss": loss, "activation": activation})
    mlp.coefs_, mlp.intercepts_ = (
        [np.array(a) for a in arrays] for arrays in (learnt.coefs, learnt.intercepts)
    )
    for name in NOTED:
        setattr(mlp, name, getattr(model, name))
    if hasattr(model, "feature_names_in_"):
        mlp.feature_names_in_ = model.feature_names_in_
    mlp._random_state = check_random_state(mlp.random_state)
    mlp._best_coefs, mlp._best_intercepts = deepcopy((mlp.coefs_, mlp.intercepts_))
    _hand_on(model, mlp)
    return mlp


def _their_loss(learnt):
    """The loss with which an MLPRegressor predicts the same."""
    if learnt.loss in ("squared_error", "half_squared_error"):
        return "squared_error"
    if learnt.link.out_activation == "exp":
        loss = "poisson"
    elif learnt.link.out_activation == "identity":
        loss = "squared_error"
    else:
        raise ValueError(f"MLPRegressor has no loss whose predictions are as of {learnt.loss!r}.")
    if loss != learnt.loss:
        warnings.warn(
            f"MLPRegressor has no loss {learnt.loss!r}. This one predicts the same; if it is "
            f"trained on, it minimises {loss!r}.",
            stacklevel=4,
        )
    return loss


def _their_activation(learnt):
    """The one activation of all hidden layers."""
    names = set(learnt.activations) or {"identity"}
    if len(names) > 1:
        raise ValueError(f"MLPRegressor has one activation, this model has {sorted(names)}.")
    if not names <= set(ACTIVATIONS):
        raise ValueError(f"MLPRegressor has no activation {names.pop()!r}.")
    return names.pop()


def _their_params(model):
    """Those that they have, and what "auto" became."""
    params = model._params()
    params = {name: params[name] for name in MLPRegressor().get_params()}
    for name in ("batch_size", "max_iter", "learning_rate_init"):
        if params[name] == "auto":
            params[name] = getattr(model, f"{name}_")
    params["hidden_layer_sizes"] = tuple(len(b) for b in model._learnt.intercepts[:-1])
    if params["learning_rate"] not in SCHEDULES:  # who goes on with those, keeps the step size
        params["learning_rate"] = "constant"
    if params["early_stopping"] == "refit":
        params["early_stopping"] = False
    if model._learnt.loss == "squared_error":  # of which theirs is half
        params["alpha"] /= 2
        params["tol"] /= 2 * model.n_outputs_
        params["epsilon"] /= 2
        if params["solver"] == "sgd":
            params["learning_rate_init"] *= 2
    return params


def _hand_on(model, mlp):
    """The course, in their units; and the optimiser, if they can go on as we would."""
    learnt, optimizer = model._learnt, getattr(model, "_optimizer", None)
    # Theirs is the mean over outputs, although its gradient is the sum's.
    part = 1 / (2 * model.n_outputs_) if learnt.loss == "squared_error" else 1.0
    mlp.loss_ = part * model.loss_
    if mlp.solver == "lbfgs":
        return
    mlp.loss_curve_ = [part * loss for loss in model.loss_curve_]
    mlp.validation_scores_ = deepcopy(model.validation_scores_) if mlp.early_stopping else None
    mlp.best_validation_score_ = model.best_validation_score_ if mlp.early_stopping else None
    mlp.best_loss_ = None if mlp.early_stopping else np.inf
    mlp._no_improvement_count = 0
    settings = settings_of(model._params())
    goes_on = optimizer is not None and optimizer.fits(settings, learnt.theta(None, learnt.dtype))
    is_plain = settings.weight_decay == 0 and settings.max_grad_norm is None
    goes_on &= is_plain and not settings.dropout and settings.ema_decay is None
    goes_on = goes_on and not optimizer.average.size
    if not goes_on or learnt.scaling is not None or learnt.loss not in PART_OF_GRADIENT:
        return
    # Of the penalty it is another part; and poisson's loss has another constant.
    is_part = part in (0.5, 1.0) or mlp.alpha == 0
    if model.best_loss_ is not None and learnt.loss != "poisson" and is_part:
        mlp.best_loss_ = part * model.best_loss_
        mlp._no_improvement_count = int(optimizer.state["stalled"][0])
    is_kept = optimizer.keeps_step(model.learning_rate_init) or settings.finds_step
    eta = optimizer.eta if is_kept else model.learning_rate_init
    mlp._optimizer = _their_optimizer(mlp, optimizer, eta, learnt, PART_OF_GRADIENT[learnt.loss])


def _their_optimizer(mlp, optimizer, eta, learnt, part):
    """Theirs, with ours' memory, and this step size."""
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

    params, net = mlp.coefs_ + mlp.intercepts_, learnt.network()
    rows = [[*W, *b] for W, b in (parameters.unpack(row.copy(), net) for row in optimizer.memory)]
    if mlp.solver == "adam":
        theirs = AdamOptimizer(params, eta, mlp.beta_1, mlp.beta_2, mlp.epsilon)
        theirs.ms, theirs.vs = ([part**n * a for a in row] for n, row in enumerate(rows, start=1))
        theirs.t = _steps(optimizer.state[0], mlp)
        return theirs
    theirs = SGDOptimizer(
        params, eta / part, mlp.learning_rate, mlp.momentum, mlp.nesterovs_momentum, mlp.power_t,
    )  # fmt: skip
    if rows:
        theirs.velocities = rows[0]
    if mlp.learning_rate == "invscaling" and mlp.t_ > optimizer.began:
        theirs.iteration_ends(mlp.t_)
    return theirs


def _steps(state, mlp):
    """How many steps have been made; many are one number, from where on they make no difference."""
    for beta, beta_to_t in ((mlp.beta_2, state["beta_2_to_t"]), (mlp.beta_1, state["beta_1_to_t"])):
        if beta > 0 and beta_to_t > 0:
            return round(np.log(beta_to_t) / np.log(beta))
    return 10**6
