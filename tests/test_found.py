"""What trials have found holds for fits that go on: no row is left that these don't know."""

import pickle
import signal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropRegressor
from fastbp.contents import found_of
from fastbp.fitting import fit, linear, tasks, telling, trials
from fastbp.fitting.learnt import Found

pytestmark = pytest.mark.usefixtures("ctrl_c_is_heard")

NETWORK = {"hidden_layer_sizes": (32, 32), "random_state": 0, "linear_part": None}


def noisy(n=600, n_useless=10, seed=0):
    """As much noise as there is to learn, and columns that mean nothing."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 3 + n_useless))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + random.normal(0, 1.2, n)


def going_on(**params):
    return BackpropRegressor(**NETWORK | {"encoding": None, "warm_start": True} | params)


def scale_of(model):
    """What trials have multiplied columns by."""
    learnt = model._learnt
    return learnt.seen.units().X_scale / learnt.scaling.X_scale


def test_a_warm_start_does_not_learn_noise_by_heart():
    X, y = noisy()
    new_rows = noisy(3000, seed=1)
    model = going_on().fit(X, y)
    assert model.max_iter_ < 300 and model.weight_decay_ == 0.1
    found = model.max_iter_, model.weight_decay_, model.dropout_
    score, scale = model.score(*new_rows), scale_of(model)
    assert scale.min() < 0.5
    for _ in range(3):
        model.fit(X, y)
        assert (model.max_iter_, model.weight_decay_, model.dropout_) == found
        assert model.n_iter_ == model.max_iter_
        assert_allclose(scale_of(model), scale)
        assert model.score(*new_rows) > score - 0.08
    everything_new = going_on(max_iter=400, weight_decay=0.003, early_stopping=False).fit(X, y)
    assert everything_new.score(*new_rows) < score - 0.3  # what it is about


def test_what_is_given_then_is_obeyed_and_is_nothing_that_trials_found():
    X, y = noisy()
    model = going_on().fit(X, y)
    found = model._learnt.found
    model.set_params(max_iter=7, weight_decay=0.02, dropout=0.2).fit(X, y)
    assert (model.max_iter_, model.weight_decay_, model.dropout_) == (7, 0.02, [0.2, 0.2])
    model.set_params(max_iter="auto", weight_decay="auto", dropout="auto").fit(X, y)
    assert (model.max_iter_, model.weight_decay_, model.dropout_) == (*found[1:3], [0.0, 0.0])


@pytest.mark.parametrize("name", ["max_iter", "weight_decay", "dropout"])
def test_what_was_given_before_trials_find_when_it_is_auto(name):
    X, y = noisy()
    new_rows = noisy(3000, seed=1)
    value = {"max_iter": 3, "weight_decay": 0.5, "dropout": 0.5}[name]
    model = going_on(**{name: value}).fit(X, y)
    assert getattr(model._learnt.found, name) is None
    assert trials_of(lambda: model.fit(X, y)) == 0
    assert trials_of(lambda: model.set_params(**{name: "auto"}).fit(X, y)) > 1
    assert getattr(model._learnt.found, name) not in (None, value)
    assert model.score(*new_rows) > 0.25


def test_a_larger_table_is_gone_through_no_more_often_than_it_would_be():
    X, y = noisy(100, 0)
    model = going_on().fit(X, y)
    model._learnt = model._learnt._replace(found=Found("adam", 10**6, 0.003, 0.0))
    assert model.fit(X, y).max_iter_ < 10_000


def test_partial_fit_keeps_it_and_goes_by_its_own_rules():
    X, y = noisy()
    model = going_on().fit(X, y)
    found = model._learnt.found
    assert found == ("adam", model.max_iter_, 0.1, 0.0)
    model.partial_fit(X, y)
    assert model.weight_decay_ == 0.003 and model._learnt.found == found
    assert model.fit(X, y).max_iter_ == found.max_iter


@pytest.mark.parametrize("include_optimizer", [True, False])
def test_a_file_knows_it(include_optimizer, tmp_path):
    X, y = noisy()
    model = going_on(dropout=[0.1, 0.0]).fit(X, y)
    model.save(tmp_path / "model.npz", include_optimizer=include_optimizer)
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    assert loaded._learnt.found == model._learnt.found == ("adam", model.max_iter_, 0.1, None)
    again = pickle.loads(pickle.dumps(model))
    for each in (model, loaded, again):
        each.set_params(random_state=1).fit(X, y)
        assert_array_equal(each.coefs_[0], model.coefs_[0])


@pytest.mark.parametrize(
    "fields",
    [["adam", 0, 0.1, 0.0], ["adam", 1.5, 0.1, 0.0], ["adam", 9, -0.1, 0.0], ["adam", 9, 0.1, 1.0],
     ["adam", 9, np.inf, 0.0], ["adam", 9, 0.1, []], ["adam", 9, True, 0.0], [None, 9, 0.1, 0.0],
     ["adam", 9, 0.1, -0.1]],
)  # fmt: skip
def test_a_file_may_not_say_what_nobody_finds(fields):
    with pytest.raises(ValueError, match="What trials have found is"):
        found_of(fields)
    assert found_of(["adam", None, None, None]) == ("adam", None, None, None)


def trials_of(fit):
    """How many trials are made."""
    told = []
    with telling.told_by(told.append):
        fit()
    return len(told) // 2


def test_who_goes_on_from_where_nothing_was_found_makes_trials():
    """Of networks of their own: how long they are trained says how long this one is to be."""
    X, y = noisy(300, 0)
    model = going_on(early_stopping=False, max_iter=5).fit(X, y)
    assert model._learnt.found is None
    assert trials_of(lambda: model.fit(X, y)) == 0
    model.set_params(early_stopping="refit", max_iter="auto")
    W = model.coefs_[0].copy()
    assert trials_of(lambda: model.fit(X, y)) > 1
    assert model._learnt.found.max_iter == model.max_iter_ < 300
    assert np.corrcoef(W.ravel(), model.coefs_[0].ravel())[0, 1] > 0.2  # it went on
    assert trials_of(lambda: model.fit(X, y)) == 0
    model = going_on().partial_fit(X, y)
    assert trials_of(lambda: model.partial_fit(X, y)) == 0
    assert trials_of(lambda: model.fit(X, y)) > 1


def test_what_is_found_of_one_solver_is_nothing_to_another():
    X, y = noisy(100, 0)
    model = going_on().fit(X, y)
    assert trials_of(lambda: model.set_params(solver="sgd").fit(X, y)) > 0
    found = model._learnt.found
    assert found.solver == "sgd" and trials_of(lambda: model.fit(X, y)) == 0
    model.set_params(solver="lbfgs").fit(X, y)
    assert model._learnt.found.solver == "lbfgs" and model.weight_decay_ == 0.0


def test_a_trial_that_time_has_cut_off_has_found_nothing():
    X, y = noisy()
    model = going_on(max_time=1e-3).fit(X, y)
    assert model._learnt.found is None
    assert trials_of(lambda: model.set_params(max_time=None).fit(X, y)) > 1
    assert model.weight_decay_ == 0.1


def test_after_ctrl_c_in_trials_a_fit_that_goes_on_makes_them_anew(monkeypatch):
    X, y = noisy()
    model = going_on(max_iter=100)
    monkeypatch.setattr(trials.Search, "trial", pressing_after(trials.Search.trial, 1))
    with pytest.warns(ConvergenceWarning, match="of a trial"):
        model.fit(X, y)
    assert model._learnt.found is None
    monkeypatch.undo()
    assert trials_of(lambda: model.fit(X, y)) > 1
    assert model._learnt.found is not None


def pressing_after(method, n):
    """The method, after whose n-th call Ctrl-C is pressed."""
    calls = []

    def pressing(*arguments, **more):
        made = method(*arguments, **more)
        calls.append(made)
        if len(calls) == n:
            signal.raise_signal(signal.SIGINT)
        return made

    return pressing


@pytest.mark.parametrize(
    "where", [(trials.Search, "trial"), (fit, "aligned")], ids=["trial", "end"]
)
def test_ctrl_c_in_trials_of_a_fit_that_goes_on_leaves_the_model_as_it_was(where, monkeypatch):
    X, y = noisy(300, 0)
    model = going_on().partial_fit(X, y)
    expected = model.predict(X)
    monkeypatch.setattr(*where, pressing_after(getattr(*where), 1))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("name", ["best_start", "aligned"])
def test_ctrl_c_between_trials_and_the_training_that_counts_leaves_the_trials_network(
    name, monkeypatch
):
    X, y = noisy(300, 0)
    where = tasks if name == "best_start" else fit
    monkeypatch.setattr(where, name, pressing_after(getattr(where, name), 1))
    with pytest.warns(ConvergenceWarning, match="of a trial"):
        model = going_on().fit(X, y)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_ctrl_c_while_a_straight_line_is_fitted_leaves_the_trials_network(n, monkeypatch):
    """To the others of a trial, to those of another, and to all rows."""
    X = noisy(300, 0)[0]
    y = X @ [1.0, 2.0, 3.0] + noisy(300, 0, seed=1)[0][:, 0]
    monkeypatch.setattr(linear, "ridge", pressing_after(linear.ridge, n))
    with pytest.warns(ConvergenceWarning, match="of a trial"):
        model = going_on(linear_part="auto").fit(X, y)
    assert model.linear_part_ is None
    assert np.isfinite(model.predict(X)).all()


def test_ctrl_c_after_the_last_epoch_is_heard(monkeypatch):
    X, y = noisy(100, 0)
    monkeypatch.setattr(fit, "Fitted", pressing_after(fit.Fitted, 1))
    with pytest.warns(ConvergenceWarning, match="Interrupted after 9 epochs"):
        model = going_on(early_stopping=False, max_iter=9).fit(X, y)
    assert model.n_iter_ == 9


def test_a_column_that_was_constant_when_trials_were_made_is_seen_once_it_moves():
    X, y = noisy(600, 3)
    still = X.copy()
    still[:, 0] = 1.0
    y = y + 3 * X[:, 0]
    model = going_on().fit(still, y - 3 * X[:, 0])
    assert_allclose(scale_of(model)[0], 1.0)
    model.fit(X, y)
    assert_allclose(scale_of(model)[0], 1.0)
    assert model.score(X, y) > 0.7


def test_encoded_columns_stay_scaled_and_units_are_left_out_as_before():
    X, y = noisy(500)
    y = y + 3 * (X[:, 0] > 0.3)
    model = BackpropRegressor(**NETWORK, warm_start=True, max_iter=20, encoding="piecewise_linear")
    model.fit(X, y)
    learnt = model._learnt
    scaled = learnt.scaling._replace(X_scale=learnt.scaling.X_scale * 2)
    model._learnt = learnt._replace(scaling=scaled, found=Found("adam", 9, 0.1, 0.1))
    model.set_params(max_iter="auto").fit(X, y)
    assert_allclose(model._learnt.scaling.X_scale, scaled.X_scale)
    assert (model.max_iter_, model.dropout_) == (9, [0.1, 0.1])
    held_out = noisy(500, seed=2)
    model.fit(X, y, X_val=held_out[0], y_val=held_out[1])
    assert_allclose(model.best_validation_score_, model.score(*held_out), atol=1e-4)
