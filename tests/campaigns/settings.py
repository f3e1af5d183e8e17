"""Settings of a random fit, and the kernel that is to train it."""

from contextlib import ExitStack
from unittest import mock

import numpy as np
from conftest import SMALL_PIECES, TRAINING

from fastbp.fitting import calling, plan
from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: Units of a layer: those at the edges of lanes and blocks above all.
WIDTHS = (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 33, 50, 64, 65, 130)


def params_of(random):
    """Parameters of a `BackpropRegressor`, any of which may be left out."""

    def one_of(*values):
        return values[random.integers(len(values))]

    def log_uniform(low, high):
        return float(10.0 ** random.uniform(low, high))

    hidden = tuple(int(w) for w in random.choice(WIDTHS, random.choice([0, 1, 1, 1, 2, 2, 3, 4])))
    activation = one_of(*ACTIVATIONS)
    if hidden and random.random() < 0.3:
        activation = [one_of(*ACTIVATIONS) for _ in hidden]
    loss = one_of(*LOSSES, "squared_error", "squared_error")
    params = {
        "hidden_layer_sizes": hidden, "activation": activation, "loss": loss,
        "solver": one_of("adam", "adam", "adam", "sgd", "sgd", "lbfgs"),
        "max_iter": int(one_of(1, 2, 3, 5, 10, 20)), "random_state": int(random.integers(2**31)),
    }  # fmt: skip
    if random.random() < 0.05:
        params["max_iter"] = "auto"
    if loss == "huber" and random.random() < 0.5:
        params["loss_parameter"] = log_uniform(-3, 3)
    if loss == "quantile" and random.random() < 0.7:
        params["loss_parameter"] = one_of(0.01, 0.9, (0.1, 0.5, 0.9), [0.5], (0.05, 0.95))
    others = {
        "alpha": lambda: one_of(1e-4, 1.0, log_uniform(-12, 12)),
        "weight_decay": lambda: one_of(0.0, 0.01, 1.0, log_uniform(-6, 3)),
        "max_grad_norm": lambda: one_of(1.0, log_uniform(-20, 20)),
        "batch_size": lambda: int(one_of(1, 1, 2, 7, 8, 16, 33, 64, 200, 10**6)),
        "learning_rate": lambda: one_of(
            "constant", "cosine", "one_cycle", "invscaling", "adaptive"
        ),
        "warmup_fraction": lambda: one_of(0.0, 0.5, 0.99),
        "learning_rate_init": lambda: one_of(0.01, 0.1, log_uniform(-12, 6)),
        "power_t": lambda: one_of(0.0, 0.5, 3.0),
        "init": lambda: "glorot",
        "encoding": lambda: one_of(
            "auto", "periodic", "piecewise_linear", ["piecewise_linear", "periodic"]
        ),
        "linear_part": lambda: None,
        "shuffle": lambda: False,
        "tol": lambda: one_of(0.0, 1e-3, 1e300),
        "momentum": lambda: one_of(0.0, 0.5, 0.99, 1.0),
        "nesterovs_momentum": lambda: False,
        "early_stopping": lambda: one_of(True, False, False),
        "validation_fraction": lambda: one_of(0.0, 0.01, 0.1, 0.5, 0.99),
        "beta_1": lambda: one_of(0.0, 0.5, 0.999999),
        "beta_2": lambda: one_of(0.0, 0.5, 0.999999),
        "epsilon": lambda: log_uniform(-300, 30),
        "n_iter_no_change": lambda: one_of(1, 3, np.inf),
        "max_fun": lambda: one_of(1, 5),
        "standardize": lambda: False,
        "dtype": lambda: one_of("float64", "float64", None),
        "dropout": lambda: one_of(0.1, 0.5, 0.95, [one_of(0.0, 0.3) for _ in hidden]),
        "ema_decay": lambda: one_of(0.0, 0.5, 0.999),
        "scoring": lambda: one_of("loss", "r2", "neg_mean_absolute_error", nearness),
        "missing_targets": lambda: "omit",
    }
    often = {"dtype": 0.5, "early_stopping": 0.6, "batch_size": 0.5, "encoding": 0.12}
    for name, draw in others.items():
        if random.random() < often.get(name, 0.2):
            params[name] = draw()
    if params["solver"] == "lbfgs" and random.random() < 0.9:  # it refuses these
        for name in ("weight_decay", "max_grad_norm", "early_stopping", "dropout", "ema_decay"):
            params.pop(name, None)
    if np.ndim(params.get("loss_parameter", 0)) and params.get("scoring") not in (None, "loss"):
        params["scoring"] = "r2"  # others are for one prediction of a y
    if random.random() < 0.02:
        params["max_time"] = one_of(1e-9, 0.05)
    return params


def nearness(model, X, y):
    """A scorer."""
    return -float(np.median(np.abs(model.predict(X) - y)))


def pinned(random, params):
    """Which kernel trains, or None for that which suits; a small one has work for threads then."""
    names, batch_size = ["tiled", "narrow"], params.get("batch_size", 64)
    if batch_size == 1:
        names.append("online")
    if batch_size != "auto" and batch_size > 2 and params["max_iter"] != "auto":
        names.append("large")  # whose threads wait for one another in each layer of each step
    return str(random.choice(names)) if random.random() < 0.6 else None


def pins(name):
    """Within the ``with`` block fits are that kernel's, cut so that small batches are many pieces
    (as conftest's `pin`), and calls listen."""
    stack = ExitStack()
    if name is None:
        return stack
    kernel, constants = TRAINING[name], list(SMALL_PIECES)
    if name == "large":
        kernel = kernel._replace(threads=lambda *_: 3)
        constants.append((plan, "LISTENS_FLOPS", 0))
    for module, constant, value in [(calling, "kernel_for", lambda *_: kernel), *constants]:
        stack.enter_context(mock.patch.object(module, constant, value))
    return stack
