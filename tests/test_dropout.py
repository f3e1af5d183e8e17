"""`dropout` and `ema_decay`, as who fits models sees them; each kernel is tested elsewhere."""

import pickle
import warnings
from copy import deepcopy

import numba
import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from test_training import Watcher

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.kernels.formulas.dropout import drop_rows
from fastbp.kernels.formulas.network import network, tile_rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Nothing but steps from the same first weights.
PLAIN = {
    "hidden_layer_sizes": (4,), "learning_rate": "constant", "shuffle": False, "max_iter": 6,
    "momentum": 0.0, "n_iter_no_change": np.inf, "random_state": 0, "batch_size": 7,
    "learning_rate_init": 0.05,
}  # fmt: skip
EXACT = PLAIN | {"standardize": False, "dtype": "float64"}


def weights_of(model):
    return np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])


def in_parts(params, X, y, again=lambda model: model):
    """A model that is trained an epoch at a time."""
    model = founding(**params)
    for _ in range(params["max_iter"]):
        model = again(model.partial_fit(X, y))
    return model


def test_a_network_without_either_is_as_it_was(table):
    X, y = table
    plain = founding(**PLAIN).fit(X, y)
    none = founding(**PLAIN, dropout=[0.0], ema_decay=0.0).fit(X, y)
    assert_array_equal(weights_of(none), weights_of(plain))


@numba.njit
def drop_first_layer(net, O, room):
    drop_rows(net, 1, O, np.uint64(5), np.int64(16), np.int64(0), net[1].width, room)


@pytest.mark.parametrize("n_at_a_time", [1, 3, 7])
def test_masks_are_the_same_however_many_there_is_room_for(n_at_a_time):
    net, n = network((3, 7, 1), ("tanh",), trained=True, dropout=(0.4,)), 8
    O = np.random.default_rng(0).normal(size=(tile_rows(net), n))
    expected = O.copy()
    drop_first_layer(net, expected, np.empty(100 * n))
    drop_first_layer(net, O, np.empty(n_at_a_time * n + 1))
    assert_array_equal(O, expected)
    assert 0 < np.mean(O[net["units_at"][1] :][:7] == 0) < 1


# ---------------------------------------------------------------------------- the average


@pytest.mark.parametrize("again", [lambda m: m, lambda m: pickle.loads(pickle.dumps(m))])
def test_partial_fit_goes_on_from_the_weights_and_their_average(again, standard_table):
    params = EXACT | {"ema_decay": 0.97, "dropout": 0.2}
    whole = founding(**params).fit(*standard_table)
    assert_array_equal(weights_of(in_parts(params, *standard_table, again)), weights_of(whole))


def test_a_stream_in_other_units_goes_on_from_both(table):
    X, y = table
    params = PLAIN | {"ema_decay": 0.97, "dtype": "float64"}
    whole, parts = founding(**params).fit(X, y), in_parts(params, X, y)
    assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-9)


def test_a_warm_start_goes_on_from_both(standard_table):
    params = EXACT | {"ema_decay": 0.97}
    whole = founding(**params).fit(*standard_table)
    half = founding(**params | {"max_iter": 3, "warm_start": True})
    half.fit(*standard_table).fit(*standard_table)
    assert_allclose(weights_of(half), weights_of(whole), rtol=1e-12)


def test_weights_that_were_set_by_hand_are_gone_on_from(standard_table):
    model = founding(**EXACT, ema_decay=0.9).partial_fit(*standard_table)
    model.coefs_[0][:] = 0.25  # in its place
    other = deepcopy(model)
    other._optimizer.ahead = None  # as if there had been no average
    other.partial_fit(*standard_table)
    assert_array_equal(weights_of(model.partial_fit(*standard_table)), weights_of(other))


def test_a_file_holds_what_predicts(table, tmp_path):
    X, y = table
    model = founding(**PLAIN, ema_decay=0.9, dropout=(0.3,)).fit(X, y)
    model.save(tmp_path / "model")
    loaded = BackpropRegressor.load(tmp_path / "model")
    assert loaded.get_params() == model.get_params()
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_allclose(model.to_sklearn().predict(X), model.predict(X), rtol=1e-5)


def test_callbacks_are_given_the_average(standard_table):
    told = []

    class Listener(Watcher):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                told.append(weights_of(fitted_estimator))

    listener = Listener(lambda epoch: None)
    model = founding(**EXACT, ema_decay=0.9).set_callbacks(listener).fit(*standard_table)
    assert_array_equal(told[-1], weights_of(model))


def test_a_training_that_begins_again_forgets_the_average(standard_table):
    params = PLAIN | {"ema_decay": 0.9, "standardize": False}
    model = founding(**params | {"learning_rate_init": 100.0}).fit(*standard_table)
    params["learning_rate_init"] = model.learning_rate_init_
    assert model.learning_rate_init_ < 100
    assert_array_equal(weights_of(founding(**params).fit(*standard_table)), weights_of(model))


def test_an_average_is_nearer_to_the_minimum_than_the_steps_around_it():
    """Of a noisy linear function, online with a long step."""
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 3))
    y = X @ [1.0, -2.0, 0.5] + random.normal(size=400)
    best = np.linalg.lstsq(np.column_stack([X, np.ones(400)]), y, rcond=None)[0][:3]
    params = PLAIN | {"hidden_layer_sizes": (), "batch_size": 1, "learning_rate_init": 0.03}
    away = [
        np.linalg.norm(founding(**params, ema_decay=decay).fit(X, y).coefs_[0].ravel() - best)
        for decay in (None, 0.99)
    ]
    assert away[1] < 0.5 * away[0]


# ------------------------------------------------------------------------------- dropout


def test_a_dropped_unit_makes_the_loss_larger_but_not_that_of_what_predicts(standard_table):
    X, y = standard_table
    params = PLAIN | {"hidden_layer_sizes": (20,), "max_iter": 40}
    model = founding(**params, dropout=0.5).fit(X, y, X_val=X, y_val=y)
    assert model.loss_curve_[-1] > 1.5 * model.validation_loss_curve_[-1]
    best = min(model.validation_loss_curve_)
    assert_allclose(np.mean((model.predict(X) - y) ** 2) / np.var(y), best, rtol=1e-4)
    assert_allclose(model.loss_gradient(X, y)[0], np.mean((model.predict(X) - y) ** 2), rtol=1e-5)


def test_what_dropout_adds_to_the_loss_is_not_taken_for_a_fit_that_learnt_nothing():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 2))
    y = 0.4 * X[:, 0] + random.normal(size=300)
    params = {"early_stopping": False, "random_state": 0, "max_iter": 30}
    model = BackpropRegressor(32, "tanh", dropout=0.8, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.loss_ > 1.0
    assert model.score(X, y) > 0.05
    assert model.learning_rate_init_ == 0.003  # it wasn't begun again


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_ensemble_and_its_trials_are_trained_with_both(n_threads, table):
    X, y = table
    one = BackpropRegressor(4, dropout=0.2, ema_decay=0.9, max_iter=8, encoding=None)
    ensemble = BackpropEnsembleRegressor(
        one, 2, resample=None, random_state=0, n_threads=n_threads
    ).fit(X, y)
    member = clone(ensemble.estimators_[1])
    assert (member.dropout, member.ema_decay) == (0.2, 0.9)
    assert_allclose(member.fit(X, y).predict(X), ensemble.estimators_[1].predict(X), rtol=1e-6)


def test_rows_held_out_do_not_say_whether_a_training_with_dropout_diverged(standard_table):
    X, y = standard_table
    elsewhere = {"X_val": X + 6, "y_val": 10 * y}
    params = {"early_stopping": False, "random_state": 0, "max_iter": 10, "batch_size": 16}
    model = BackpropRegressor(4, dropout=0.2, **params).fit(X, y, **elsewhere)
    assert model.validation_loss_curve_[-1] > 10 > 1 > model.loss_
    assert model.learning_rate_init_ == 0.01  # it wasn't begun again


def test_a_short_training_with_dropout_is_compared_with_what_it_began_with():
    """Far from y, its one step loses less, by the units that are left out, than all units do."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    params = {"early_stopping": False, "random_state": 0, "max_iter": 1, "batch_size": 40}
    model = BackpropRegressor(4, dropout=0.5, standardize=False, learning_rate_init=1e-6, **params)
    assert model.fit(X, 100 + X[:, 0]).learning_rate_init_ == 1e-6  # it wasn't begun again
