"""A training that is short of time: its schedule ends with the time, and so do those of trials."""

from types import SimpleNamespace

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose
from test_rounds import fit_in

from fastbp import BackpropRegressor
from fastbp.fitting import calling, loop, rounds
from fastbp.fitting.schedules import planned_epochs

#: What an epoch takes, by our own clock.
SECONDS = 0.1

COSINE = {"learning_rate": "cosine", "max_iter": 100, "random_state": 0}


@pytest.fixture
def clock(monkeypatch):
    """By it each epoch takes equally long, and nothing else takes any time."""

    def seconds(calls):
        part = int(calls.state["position"]) / calls.n_samples
        return SECONDS * (len(calls.history.losses) + part) + calls.since

    share = calling.Calls.share

    def one_epoch(calls, left, **_):  # by another clock calls would be too long
        return share(calls, left, one_epoch=True)

    monkeypatch.setattr(calling.Calls, "seconds", seconds)
    monkeypatch.setattr(calling.Calls, "share", one_epoch)


@pytest.fixture
def step_sizes(monkeypatch):
    """Those of each call."""
    sizes, of_calls = [], calling.Calls.step_sizes

    def noted(calls, n_epochs):
        sizes.append(of_calls(calls, n_epochs))
        return sizes[-1]

    monkeypatch.setattr(calling.Calls, "step_sizes", noted)
    return sizes


@pytest.mark.parametrize(
    ("done", "seconds", "since", "planned"),
    [
        (0, 0.0, 0.0, 100), (0, 5.0, 0.0, 100), (3, 1.0, 0.0, 100), (3, 4.0, 3.0, 100),  # so far
        (10, 1.1, 0.0, 92), (10, 2.0, 0.9, 84), (20, 2.0, 0.0, 100), (1, 4.0, 2.0, 4),
        (0.5, 2.0, 0.0, 2), (10, 10.15, 1.15, 10), (10, 11.0, 0.0, 9), (0.1, 9.9, 0.0, 0),
    ],
)  # fmt: skip
def test_a_training_lasts_as_planned_or_as_many_whole_epochs_as_there_is_time_for(
    done, seconds, since, planned
):
    given = {"max_iter": 100, "max_time": 10.15, "learning_rate": "cosine"}
    assert planned_epochs(SimpleNamespace(**given), done, seconds, since) == planned
    for other in ({"max_time": None}, {"learning_rate": "constant"}):
        assert planned_epochs(SimpleNamespace(**given | other), done, seconds, since) == 100


def test_a_part_of_an_epoch_says_something_of_the_pace():
    settings = SimpleNamespace(max_iter=100, max_time=10.0, learning_rate="cosine")
    history = SimpleNamespace(losses=[1.0, 0.9], seconds=2.0)
    calls = {"settings": settings, "history": history, "since": 0.0, "n_samples": 60}
    for position, planned in ((0, 10), (30, 12)):
        state = {"position": np.int64(position)}
        assert calling.Calls.planned(SimpleNamespace(**calls, state=state)) == planned


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}])
def test_a_planned_end_comes_with_that_of_the_time(params, table, clock, step_sizes):
    """And no epoch is begun that there is no time to end."""
    model = founding(9, **COSINE | params, max_time=30.5 * SECONDS).fit(*table)
    assert model.n_iter_ == 30 and model.max_iter_ == 100
    first, *_ = sizes = np.concatenate(step_sizes)
    assert_allclose(sizes[-26:], first * np.cos(np.pi * np.arange(4, 30) / 60) ** 2)


def test_time_that_is_enough_by_far_changes_nothing(table):
    alone, limited = (
        BackpropRegressor((16,), random_state=0, max_time=limit).fit(*table)
        for limit in (None, 600.0)
    )
    assert limited.loss_curve_ == alone.loss_curve_


@pytest.mark.filterwarnings("ignore:Stopped:sklearn.exceptions.ConvergenceWarning")
def test_a_schedule_without_an_end_knows_no_time(table, clock):
    given = COSINE | {"learning_rate": "constant"}
    alone = founding(5, **given | {"n_iter_no_change": 100}).fit(*table)
    model = founding(5, **given | {"n_iter_no_change": 100}, max_time=30.5 * SECONDS).fit(*table)
    assert model.loss_curve_ == alone.loss_curve_[:31]


@pytest.mark.filterwarnings("ignore:Training diverged:sklearn.exceptions.ConvergenceWarning")
def test_after_a_training_that_diverged_the_pace_is_that_of_the_next(table, clock, monkeypatch):
    """What was trained in vain has taken its time, but was no epoch of this one."""
    begin_again, began = loop._Loop.begin_again, []

    def noted(self, observer):
        begin_again(self, observer)
        began.append(self.calls.since)

    monkeypatch.setattr(loop._Loop, "begin_again", noted)
    params = COSINE | {"init": "auto", "momentum": 0.0, "learning_rate_init": 30.0}
    model = founding(9, "relu", **params, max_time=30.5 * SECONDS).fit(*table)
    assert began[-1] > SECONDS / 2
    assert model.n_iter_ == int(30.5 - began[-1] / SECONDS)


def test_a_pilot_that_is_short_of_time_says_as_much_as_a_shorter_one(clock):
    """A third of the time is a pilot's. (Its epochs take as long as others, by our clock.)"""
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 12))
    of_function, of_noise = np.sin(X[:, 0]) + X[:, 1] * X[:, 2], random.normal(size=400)
    params = {"encoding": None, "linear_part": None, "random_state": 0}
    params |= {"max_iter": 400, "max_time": 150.5 * SECONDS}
    model = BackpropRegressor(**params).fit(X, of_function)
    assert len(model.validation_scores_) == 50
    assert model.max_iter_ == 400 and model.n_iter_ == 100  # it was best at its end
    model.fit(X, X[:, 0] + 2 * of_noise)
    assert len(model.validation_scores_) == 50
    assert model.max_iter_ == model.n_iter_ < 30  # and here soon
    given = BackpropRegressor(**params, early_stopping=False).fit(X, X[:, 0] + 2 * of_noise)
    X = np.random.default_rng(1).normal(size=(2000, 12))
    error, by_heart = (np.mean((m.predict(X) - X[:, 0]) ** 2) for m in (model, given))
    assert error < 0.5 * by_heart


def test_rounds_end_with_the_time(monkeypatch):
    now, sizes = iter(range(1000)), []
    monkeypatch.setattr(rounds, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    step_sizes = rounds._Rounds.step_sizes

    def noted(self, n_epochs):
        sizes.append(step_sizes(self, n_epochs))
        return sizes[-1]

    monkeypatch.setattr(rounds._Rounds, "step_sizes", noted)
    params = COSINE | {"hidden_layer_sizes": (4,), "early_stopping": False, "max_time": 5.4}
    model = fit_in([100], **params)  # a round of two epochs is a second
    assert model.n_iter_ == 10 and [len(of_round) for of_round in sizes] == [2] * 5
    expected = sizes[0][0] * np.cos(np.pi * np.arange(10) / 20) ** 2
    assert_allclose(np.concatenate(sizes[1:]), expected[2:])
