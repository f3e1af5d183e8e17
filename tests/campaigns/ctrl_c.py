"""Ctrl-C, once or twice, at a random moment of whatever runs.

It ends in a KeyboardInterrupt, or in a model and a warning; and the process is as it was: settings
of Numba, garbage collection, the handler of the signal, threads; a fit gives the model it gave.
"""

import _thread
import gc
import io
import signal
import time
import warnings
from functools import cache
from unittest import mock

import numba
import numpy as np
from conftest import TRAINING
from founding import founding
from sklearn.model_selection import GridSearchCV

from campaigns.children import after_a_while
from campaigns.judgement import demand
from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.fitting import calling, interrupts, team
from fastbp.kernels.machine import compile as compilation

LONG = {"max_iter": 10**7, "n_iter_no_change": np.inf, "random_state": 0}

X = np.random.default_rng(0).normal(size=(300, 4))
Y = np.sin(X[:, 0]) + X[:, 1] ** 2


def fit(params, rows=300):
    def act():
        return BackpropRegressor(**{"early_stopping": False} | LONG | params).fit(
            X[:rows], Y[:rows]
        )

    return act


def steps():
    model = founding((100, 100), random_state=0)
    for _ in range(10**7):
        model.partial_fit(X, Y)


def ensemble():
    member = BackpropRegressor((8,), max_iter=10**5)
    return BackpropEnsembleRegressor(member, 3, random_state=0).fit(X, Y)


def search():
    model = founding((8,), **LONG)
    return GridSearchCV(model, {"alpha": [0, 1]}, cv=2, refit=False).fit(X, Y)


def forever(call):
    def act():
        while True:
            call(model_of_all())

    return act


def saved_and_loaded(model):
    file = io.BytesIO()
    model.save(file)
    BackpropRegressor.load(file)


def first_compilation():
    """Of a kernel that was never compiled, nor kept."""
    with mock.patch.object(compilation, "FOLDERS", []):
        train = compilation.entry(TRAINING["tiled"].train.py_func)
    fresh.append(TRAINING["tiled"]._replace(train=train))
    with pinned(fresh[0]):
        return founding((8,), **LONG).fit(X, Y)


#: Kernels of this process that `first_compilation` has begun with.
fresh = []


def pinned(kernel):
    return mock.patch.object(calling, "kernel_for", lambda *_: kernel)


def of_kernel(kernel):
    with pinned(kernel):
        return founding((8,), max_iter=2, random_state=0).fit(X, Y).predict(X)


@cache
def model_of_all():
    return founding((50, 50), max_iter=2, random_state=0).fit(X, Y)


MANY = np.resize(X, (40_000, 4))

#: What runs until it is interrupted.
ACTS = {
    "small fit": fit({"hidden_layer_sizes": (3,)}),
    "fit of a network": fit({"hidden_layer_sizes": (50, 50)}),
    "fit in two threads": fit({"hidden_layer_sizes": (200, 200), "n_threads": 2}),
    "fit sample by sample": fit({"hidden_layer_sizes": (8,), "batch_size": 1}),
    "fit by sgd": fit({"solver": "sgd", "hidden_layer_sizes": (8,), "max_grad_norm": 1.0}),
    "fit by lbfgs": fit(
        {"solver": "lbfgs", "hidden_layer_sizes": (200, 200), "tol": 0, "max_fun": 10**7}
    ),
    "fit and refit": fit({"early_stopping": "refit", "max_iter": 10**5}),
    "trials of a small table": fit({"early_stopping": "refit", "max_iter": 10**5}, 60),
    "fit and split": fit({"early_stopping": True, "learning_rate": "constant"}),
    "fit of encoded columns": fit(
        {"encoding": "auto", "early_stopping": "refit", "max_iter": 10**4}
    ),
    "partial_fit": steps,
    "ensemble": ensemble,
    "search": search,
    "predict": forever(lambda model: model.predict(MANY)),
    "predict a row": forever(lambda model: model.predict(X[:1])),
    "score": forever(lambda model: model.score(X, Y)),
    "loss_gradient": forever(lambda model: model.loss_gradient(X, Y)),
    "jacobian": forever(lambda model: model.predict_jacobian(X)),
    "save and load": forever(saved_and_loaded),
}


def trial(random):
    return trial_of(str(random.choice(list(ACTS))), random)


def trial_of(name, random):
    """`name` is one of `ACTS`, or "first compilation", which takes some ten seconds."""
    after, act, longest = expected(), ACTS.get(name, first_compilation), 2.0
    if name not in ACTS:
        longest = 20.0

    def child(ready):
        before = numba.config.OPT, gc.get_threshold(), _thread._count()
        model, said = None, []
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                ready()
                model = act()
        except KeyboardInterrupt:
            model = None
        try:  # a second one may come here
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        demand(handler in (signal.default_int_handler, signal.SIG_IGN), f"{name}: {handler} stays")
        end = time.monotonic() + 5  # a thread that has come home may not have been swept up yet
        while _thread._count() > before[2] and time.monotonic() < end:
            time.sleep(0.01)
        now = numba.config.OPT, gc.get_threshold(), _thread._count()
        demand(now == before, f"{name}: {before} has become {now}")
        demand(getattr(interrupts.here, "asked", None) is None, f"{name}: somebody is still asked")
        demand(not team.running, f"{name}: {team.running} still run")
        words = [str(each.message) for each in said]
        if model is not None:
            demand(any("Interrupted" in each for each in words), f"{name} ended by itself: {words}")
            demand(np.isfinite(model.predict(X)).all(), f"{name}: no usable model")
        demand(np.array_equal(expected.__wrapped__(), after), f"{name}: fits are others since")
        for kernel in fresh:
            is_equal = np.array_equal(of_kernel(kernel), of_kernel(TRAINING["tiled"]))
            demand(is_equal, "what was interrupted is compiled to something else")
        return f"{name}: " + ("KeyboardInterrupt" if model is None else "a model")

    # (A second Ctrl-C while the first is answered ends all, as it is meant to; and may come when
    # nobody is there any more to be asked.)
    return after_a_while(random, child, signal.SIGINT, longest, again=0.3)


@cache
def expected():
    """What fits give, whose kernels are compiled by now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = [model_of_all().predict(X)]
        for params in ({}, {"batch_size": 1}):
            predicted.append(
                founding((8,), max_iter=2, random_state=0, **params).fit(X, Y).predict(X)
            )
        member = BackpropRegressor((8,), max_iter=3)
        predicted.append(BackpropEnsembleRegressor(member, 2, random_state=0).fit(X, Y).predict(X))
    return np.concatenate(predicted)
