"""The step size over the epochs."""

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal

from fastbp.fitting.schedules import ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM, SCHEDULES, Epochs

EPOCHS = Epochs(0.3, 0.5, np.arange(4), planned=4, samples_seen=60 * np.arange(4))


def step_sizes(name, epochs=EPOCHS):
    return SCHEDULES[name].step_sizes(epochs)


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_planned_epoch_is_without_a_step(name):
    sizes = step_sizes(name)
    assert sizes.shape == (4,)
    assert (sizes > 0).all()
    assert sizes.max() <= 0.3


@pytest.mark.parametrize("name", ["constant", "adaptive"])
def test_a_step_that_does_not_depend_on_time_stays(name):
    assert_array_equal(step_sizes(name), [0.3] * 4)


@pytest.mark.parametrize("power_t", [0.0, 0.5, 1.0])
def test_invscaling_divides_by_a_power_of_the_samples_seen(power_t):
    expected = 0.3 / (EPOCHS.samples_seen + 1.0) ** power_t
    got = step_sizes("invscaling", EPOCHS._replace(power_t=power_t))
    assert_allclose(got, expected, rtol=1e-15)


def test_cosine_falls_from_the_initial_step_to_the_planned_end():
    numbers = np.arange(9)
    sizes = step_sizes("cosine", EPOCHS._replace(number=numbers, planned=8))
    assert_allclose(sizes, 0.3 * np.cos(np.pi * numbers / 16) ** 2, atol=1e-15)
    assert_allclose(sizes[[0, 4, 8]], [0.3, 0.15, 0], atol=1e-15)


def test_a_warm_up_rises_to_the_initial_step_by_equal_steps():
    numbers = np.arange(20)
    epochs = EPOCHS._replace(number=numbers, planned=20, warmup=0.2)
    sizes = step_sizes("cosine", epochs)
    assert_allclose(sizes[:5], 0.3 * np.arange(1, 6) / 5)
    assert_allclose(sizes[4:], 0.3 * np.cos(np.pi * np.arange(16) / 32) ** 2)


@pytest.mark.parametrize(("warmup", "top"), [(None, 3), (0.5, 5), (0.0, 0)])
def test_one_cycle_rises_from_a_25th_and_falls_to_0(warmup, top):
    sizes = step_sizes(
        "one_cycle", EPOCHS._replace(number=np.arange(11), planned=10, warmup=warmup)
    )
    assert_allclose(sizes[[top, 10]], [0.3, 0], atol=1e-15)
    assert (np.diff(sizes[: top + 1]) > 0).all() and (np.diff(sizes[top:]) < 0).all()
    if top:
        assert_allclose(sizes[0], 0.3 / 25)


def test_a_warm_up_needs_an_end_that_is_planned(table):
    with pytest.raises(ValueError, match=r"warmup_fraction=0.1 needs .*'constant'"):
        founding(5, learning_rate="constant", warmup_fraction=0.1).fit(*table)
    given = {"learning_rate": "cosine", "max_iter": 40, "random_state": 0}
    plain, warmed = (founding(5, **given, warmup_fraction=w).fit(*table) for w in (None, 0.5))
    assert warmed.loss_curve_[1] > plain.loss_curve_[1]


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_steps_of_many_epochs_are_those_of_each(name):
    one_by_one = [
        step_sizes(
            name,
            EPOCHS._replace(
                number=EPOCHS.number[i : i + 1], samples_seen=EPOCHS.samples_seen[i : i + 1]
            ),
        )[0]
        for i in range(4)
    ]
    assert_array_equal(step_sizes(name), one_by_one)


def test_a_planned_training_lasts_as_long_as_planned(table):
    """However little the loss falls meanwhile; and it is finished then."""
    params = {"max_iter": 30, "n_iter_no_change": 2, "tol": 1e9, "random_state": 0}
    assert founding(5, learning_rate="cosine", **params).fit(*table).n_iter_ == 30
    assert founding(5, learning_rate="constant", **params).fit(*table).n_iter_ == 4


def test_partial_fit_has_no_planned_end(table):
    """Its steps stay: they would all be a first one, or none at all."""
    cosine, constant = (
        founding(5, learning_rate=name, max_iter=2, random_state=0)
        for name in ("cosine", "constant")
    )
    for _ in range(5):
        cosine.partial_fit(*table)
        constant.partial_fit(*table)
    assert_array_equal(cosine.coefs_[0], constant.coefs_[0])


def test_adaptive_divides_the_step_until_it_is_too_small(table):
    model = founding(
        5, learning_rate="adaptive", learning_rate_init=0.01, tol=0.5,
        n_iter_no_change=2, max_iter=1000, random_state=0,
    ).fit(*table)  # fmt: skip
    # The first fall below the minimum ends it: so many divisions of 0.01.
    divisions = np.ceil(np.log(0.01 / ADAPTIVE_MINIMUM) / np.log(ADAPTIVE_DIVISOR))
    assert_allclose(model._optimizer.eta, 0.01 / ADAPTIVE_DIVISOR**divisions, rtol=1e-12)
    assert model.n_iter_ < 1000


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_every_solver_follows_the_schedule(solver, standard_table, monkeypatch):
    """With a step that dies out at once, later epochs move next to nothing."""
    params = {
        "standardize": False,
        "dtype": "float64",
        "solver": solver,
        "n_iter_no_change": np.inf,
    }
    params |= {"random_state": 0, "shuffle": False, "momentum": 0.0, "beta_1": 0.0}
    if solver == "adam":
        monkeypatch.setitem(SCHEDULES, "constant", SCHEDULES["invscaling"])
    params |= {"learning_rate": "invscaling", "power_t": 8.0}
    short = founding(5, max_iter=1, **params).fit(*standard_table)
    long = founding(5, max_iter=20, **params).fit(*standard_table)
    assert_allclose(long.coefs_[0], short.coefs_[0], rtol=1e-9)


@pytest.mark.parametrize("name", [name for name, row in SCHEDULES.items() if row.is_sgds])
def test_adam_takes_no_notice_of_what_is_plain_descents(name, table):
    """As in scikit-learn: whoever leaves it among Adam's settings gets a constant step."""
    params = {"solver": "adam", "max_iter": 30, "random_state": 0, "n_iter_no_change": np.inf}
    one, other = (founding(5, learning_rate=each, **params) for each in (name, "constant"))
    assert_array_equal(one.fit(*table).coefs_[0], other.fit(*table).coefs_[0])
