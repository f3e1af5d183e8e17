"""The step size over the epochs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastbp import BackpropRegressor
from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM, SCHEDULES, step_sizes

SEEN = np.array([0, 60, 120, 180])


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_first_epoch_takes_the_initial_step(name):
    assert step_sizes(name, 0.3, 0.5, SEEN)[0] == 0.3


@pytest.mark.parametrize("name", ["constant", "adaptive"])
def test_a_step_that_does_not_depend_on_time_stays(name):
    assert_array_equal(step_sizes(name, 0.3, 0.5, SEEN), [0.3] * 4)


@pytest.mark.parametrize("power_t", [0.0, 0.5, 1.0])
def test_invscaling_divides_by_a_power_of_the_samples_seen(power_t):
    expected = 0.3 / (SEEN + 1.0) ** power_t
    assert_allclose(step_sizes("invscaling", 0.3, power_t, SEEN), expected, rtol=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_steps_of_many_epochs_are_those_of_each(name):
    one_by_one = [step_sizes(name, 0.3, 0.5, SEEN[i : i + 1])[0] for i in range(len(SEEN))]
    assert_array_equal(step_sizes(name, 0.3, 0.5, SEEN), one_by_one)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_adaptive_divides_the_step_until_it_is_too_small(solver, table):
    model = BackpropRegressor(
        5, solver=solver, learning_rate="adaptive", learning_rate_init=0.01, tol=0.5,
        n_iter_no_change=2, max_iter=1000, random_state=0,
    ).fit(*table)  # fmt: skip
    # The first fall below the minimum ends it: so many divisions of 0.01.
    divisions = np.ceil(np.log(0.01 / ADAPTIVE_MINIMUM) / np.log(ADAPTIVE_DIVISOR))
    assert_allclose(model._optimizer.eta, 0.01 / ADAPTIVE_DIVISOR**divisions, rtol=1e-12)
    assert model.n_iter_ < 1000


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_every_solver_follows_the_schedule(solver, standard_table):
    """With a step that dies out at once, later epochs move next to nothing."""
    params = {
        "standardize": False,
        "dtype": "float64",
        "solver": solver,
        "n_iter_no_change": np.inf,
    }
    params |= {"learning_rate": "invscaling", "power_t": 8.0, "random_state": 0, "shuffle": False}
    params |= {"momentum": 0.0, "beta_1": 0.0}
    short = BackpropRegressor(5, max_iter=1, **params).fit(*standard_table)
    long = BackpropRegressor(5, max_iter=20, **params).fit(*standard_table)
    assert_allclose(long.coefs_[0], short.coefs_[0], rtol=1e-9)
