"""scikit-learn's `MLPRegressor` from equal weights in equal order: equal weights, to rounding."""

import warnings

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor

SOLVERS = {
    "sgd": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "momentum": {
        "solver": "sgd",
        "momentum": 0.8,
        "nesterovs_momentum": False,
        "learning_rate_init": 0.05,
    },
    "nesterov": {"solver": "sgd", "momentum": 0.9, "learning_rate_init": 0.02},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
}

COMMON = {
    "hidden_layer_sizes": (7, 4), "activation": "tanh", "batch_size": 16, "max_iter": 50,
    "tol": 0.0, "n_iter_no_change": 1000, "shuffle": False, "random_state": 0, "alpha": 0.0,
}  # fmt: skip


def ours_of(peer):
    """The contract: a BackpropRegressor that behaves as this MLPRegressor."""
    params = {**peer.get_params(), "loss": "half_squared_error"}
    return founding(**params, standardize=False, dtype=None)


def fit_both(X, y, weight=None, **params):
    """The peer and ours, fitted to the same samples."""
    peer = MLPRegressor(**COMMON | params)
    ours = ours_of(peer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return peer.fit(X, y, sample_weight=weight), ours.fit(X, y, sample_weight=weight)


def assert_same_model(ours, peer, rtol=1e-9):
    for name in ("coefs_", "intercepts_"):
        for mine, theirs in zip(getattr(ours, name), getattr(peer, name), strict=True):
            assert_allclose(mine, theirs, rtol=rtol, atol=rtol)


def assert_same_course(ours, peer, rtol=1e-9):
    assert ours.n_iter_ == peer.n_iter_
    assert ours.t_ == peer.t_
    assert_allclose(ours.loss_curve_, peer.loss_curve_, rtol=rtol)
    assert_allclose(ours.best_loss_, peer.best_loss_, rtol=rtol)
    assert_same_model(ours, peer, rtol)


@pytest.mark.parametrize("hidden", [(), (5,), (7, 4, 3)])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_the_same_random_state_draws_the_same_first_weights(activation, hidden, standard_table):
    # A step too small to be seen in float64.
    params = {"learning_rate_init": 1e-30, "solver": "sgd", "max_iter": 1, "activation": activation}
    peer, ours = fit_both(*standard_table, hidden_layer_sizes=hidden, **params)
    assert_same_model(ours, peer, rtol=0)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_are_equal_after_many_epochs(solver, activation, standard_table):
    peer, ours = fit_both(*standard_table, **SOLVERS[solver], activation=activation)
    assert_same_course(ours, peer)


@pytest.mark.parametrize("batch_size", [1, 16, 60, "auto"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_batch_size_is_cut_alike(solver, batch_size, standard_table):
    peer, ours = fit_both(*standard_table, **SOLVERS[solver], batch_size=batch_size, max_iter=10)
    assert_same_course(ours, peer)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_penalty_is_scikit_learns(solver, standard_table):
    peer, ours = fit_both(*standard_table, **SOLVERS[solver], alpha=3.0)
    assert_same_course(ours, peer)


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_outputs_are_trained_alike(solver, two_outputs):
    peer, ours = fit_both(*two_outputs, **SOLVERS[solver], alpha=0.1)
    assert_same_course(ours, peer)
    assert_allclose(ours.predict(two_outputs[0]), peer.predict(two_outputs[0]), rtol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_sample_weights_enter_alike(solver, standard_table):
    weight = np.random.default_rng(1).uniform(0, 3, 60)
    peer, ours = fit_both(*standard_table, weight, **SOLVERS[solver], alpha=1.0)
    assert_same_course(ours, peer)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("solver", ["sgd", "momentum", "nesterov"])
def test_schedules_are_alike(solver, learning_rate, standard_table):
    params = SOLVERS[solver] | {"learning_rate": learning_rate, "power_t": 0.3}
    patience = {"tol": 1e-3, "n_iter_no_change": 2, "max_iter": 200}
    peer, ours = fit_both(*standard_table, **params, **patience)
    assert_same_course(ours, peer)


def test_an_adaptive_step_size_shrinks_until_training_ends(standard_table):
    params = SOLVERS["sgd"] | {"learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 1}
    peer, ours = fit_both(*standard_table, **params, max_iter=1000)
    assert_same_course(ours, peer)
    assert ours.n_iter_ < 1000
    assert ours._optimizer.eta == peer._optimizer.learning_rate < 1e-6


@pytest.mark.parametrize("patience", [1, 5, 10])
@pytest.mark.parametrize("solver", SOLVERS)
def test_training_that_stalls_ends_at_the_same_epoch(solver, patience, standard_table):
    params = SOLVERS[solver] | {"tol": 3e-3, "n_iter_no_change": patience, "max_iter": 500}
    peer, ours = fit_both(*standard_table, **params)
    assert ours.n_iter_ < 500
    assert_same_course(ours, peer)
    assert_allclose(ours.best_loss_, peer.best_loss_, rtol=1e-9)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_is_alike(weighted, n_outputs, two_outputs):
    X, Y = two_outputs
    y = Y[:, 0] if n_outputs == 1 else Y
    weight = np.random.default_rng(1).uniform(0.1, 3, 60) if weighted else None
    params = SOLVERS["adam"] | {
        "early_stopping": True,
        "validation_fraction": 0.3,
        "tol": 1e-3,
        "n_iter_no_change": 3,
    }
    peer, ours = fit_both(X, y, weight, **params, max_iter=300)
    assert ours.n_iter_ == peer.n_iter_ < 300
    assert_allclose(ours.validation_scores_, peer.validation_scores_, rtol=1e-9)
    assert_allclose(ours.best_validation_score_, peer.best_validation_score_, rtol=1e-9)
    assert ours.best_loss_ is None and peer.best_loss_ is None
    assert_same_model(ours, peer)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
def test_partial_fits_are_alike(learning_rate, standard_table):
    X, y = standard_table
    params = SOLVERS["nesterov"] | {"learning_rate": learning_rate}
    peer = MLPRegressor(**COMMON | params)
    ours = ours_of(peer)
    for rows in (slice(0, 20), slice(20, 37), slice(37, 60), slice(0, 60)):
        peer.partial_fit(X[rows], y[rows])
        ours.partial_fit(X[rows], y[rows])
        assert_same_course(ours, peer)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_warm_start_goes_on_alike(solver, learning_rate, standard_table):
    X, y = standard_table
    params = SOLVERS[solver] | {"learning_rate": learning_rate, "warm_start": True, "max_iter": 5}
    peer, ours = fit_both(X, y, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(X, y)
        ours.fit(X, y)
    assert_same_course(ours, peer)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_takes_the_same_way(weighted, n_outputs, activation, two_outputs):
    # For so long: each iteration makes rounding some times greater, in both.
    X, Y = two_outputs
    weight = np.random.default_rng(1).uniform(0, 3, 60) if weighted else None
    params = {"solver": "lbfgs", "activation": activation, "alpha": 0.3, "max_iter": 30}
    peer, ours = fit_both(X, Y[:, :n_outputs].squeeze(), weight, **params)
    assert ours.n_iter_ == peer.n_iter_
    assert_allclose(ours.loss_, peer.loss_, rtol=1e-7)
    assert_same_model(ours, peer, rtol=1e-5)


def test_lbfgs_ends_for_the_same_reasons(standard_table):
    converged = {"activation": "identity", "tol": 1e-3, "alpha": 1.0, "max_iter": 200}
    for params in ({"max_iter": 5}, {"max_fun": 6}, converged):
        peer, ours = fit_both(*standard_table, **{"solver": "lbfgs", "max_iter": 50} | params)
        assert ours.n_iter_ == peer.n_iter_ < 50


@pytest.mark.parametrize("solver", SOLVERS)
def test_losses_in_float32_are_equal_to_a_ten_thousandth_after_20_epochs(solver, standard_table):
    X, y = (a.astype(np.float32) for a in standard_table)
    peer, ours = fit_both(X, y, **SOLVERS[solver], max_iter=20)
    assert ours.coefs_[0].dtype == peer.coefs_[0].dtype == np.float32
    assert ours.predict(X).dtype == peer.predict(X).dtype == np.float32
    assert_allclose(ours.loss_curve_, peer.loss_curve_, rtol=1e-4)


def test_sgd_agrees_with_mlpregressor_at_twice_the_rate(standard_table):
    """dL/dŷ = 2(ŷ − y), and scikit-learn's is ŷ − y."""
    X, y = standard_table
    peer, _ = fit_both(X, y, solver="sgd", momentum=0.9, learning_rate_init=2 * 0.01)
    ours = founding(
        **{**ours_of(peer).get_params(), "loss": "squared_error", "learning_rate_init": 0.01}
    )
    with pytest.warns(ConvergenceWarning):
        ours.fit(X, y)
    assert_same_model(ours, peer)
    assert_allclose(ours.loss_curve_, 2 * np.array(peer.loss_curve_), rtol=1e-9)


def test_all_documented_attributes_are_there_and_of_the_same_type(standard_table):
    peer, ours = fit_both(*standard_table, **SOLVERS["adam"], early_stopping=True, max_iter=3)
    attributes = [name for name in vars(peer) if name.endswith("_") and not name.startswith("_")]
    assert len(attributes) >= 12
    for name in attributes:  # a NumPy float is a float
        assert isinstance(getattr(peer, name), type(getattr(ours, name))), name


def options(constraint):
    """A constraint in comparable form: the options of a StrOptions have no order."""
    return getattr(constraint, "options", str(constraint))


#: What a parameter may be besides.
MORE = {name: {"auto"} for name in ("learning_rate_init", "max_iter")}
MORE["early_stopping"] = {"refit"}


def test_parameters_have_mlpregressors_names_and_ranges():
    ours, theirs = BackpropRegressor, MLPRegressor
    peers = theirs().get_params().keys()
    assert peers <= ours().get_params().keys()
    assert ours(**theirs().get_params()).get_params().items() >= theirs().get_params().items()
    for name in peers - {"activation", "loss", "solver", "learning_rate"}:
        mine, hers = ours._parameter_constraints[name], theirs._parameter_constraints[name]
        more = MORE.get(name, set())
        mine = [options(c) for c in mine]
        assert [o for o in mine if o != more] == [options(c) for c in hers], name
