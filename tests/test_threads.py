"""Threads: the same bits for any number, and no harm to whoever else has threads or forks."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from founding import founding
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal

from fastbp.fitting import plan, team
from fastbp.fitting.team import Team
from fastbp.kernels.machine.threads import CROWDED

#: Work enough for threads: several parts in every batch.
BUSY = {
    "hidden_layer_sizes": (64, 64), "solver": "adam", "batch_size": 600, "max_iter": 3,
    "n_iter_no_change": np.inf, "random_state": 0,
}  # fmt: skip


def weights(n_threads, **params):
    """All weights after a fit in so many threads, its losses, and its predictions."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(1300, 9)), random.normal(size=(1300, 2))
    model = founding(**BUSY | params, n_threads=n_threads).fit(X, y)
    parts = (*model.coefs_, *model.intercepts_, model.loss_curve_, model.predict(X))
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.fixture(scope="module")
def alone():
    return weights(1)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_any_number_of_threads_gives_the_same_bits(solver, dtype, early_stopping):
    params = {"solver": solver, "dtype": dtype, "early_stopping": early_stopping}
    alone = weights(1, **params)
    for n_threads in (2, 3, 8, None):
        assert_array_equal(weights(n_threads, **params), alone)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_fits_run_under_joblib(backend, alone):
    for found in Parallel(n_jobs=2, backend=backend)(delayed(weights)(2) for _ in range(4)):
        assert_array_equal(found, alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_after_a_fit_can_fit(alone):
    assert_array_equal(weights(2), alone)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.map(weights, [2, 3]):
            assert_array_equal(found, alone)


def test_many_fits_run_side_by_side(alone):
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(weights, [1, 2, 3, None] * 6):
            assert_array_equal(found, alone)


def test_no_thread_outlives_a_fit():
    before = threading.active_count()
    weights(4)
    assert threading.active_count() == before


def test_a_fit_does_without_threads_that_the_system_refuses(monkeypatch, alone):
    started, refused = [], []

    def start(thread):
        if started:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        started.append(thread)
        original(thread)

    original = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    assert_array_equal(weights(4), alone)
    assert started and refused


def test_an_exception_in_the_first_thread_ends_the_others():
    before, three, called_off = threading.active_count(), Team(3), []

    def kernel(threads):
        if threads.thread == 0:
            raise KeyboardInterrupt
        end = time.monotonic() + 10
        # As a kernel that waits looks whether it was called off.
        while threads.barrier[32] == 0 and time.monotonic() < end:
            pass
        called_off.append(threads.barrier[32] != 0)

    with pytest.raises(KeyboardInterrupt):
        three.run(kernel)
    assert called_off == [True, True]
    assert threading.active_count() == before
    assert n_running() == 0


def test_an_exception_in_another_thread_ends_all_and_is_the_callers():
    before, three = threading.active_count(), Team(3)

    def kernel(threads):
        if threads.thread == 2:
            raise IndexError
        while threads.barrier[32] == 0:
            pass

    with pytest.raises(IndexError):
        three.run(kernel)
    assert threading.active_count() == before
    assert n_running() == 0


def count(threads):
    """A kernel that tells in how many threads it runs."""
    return threads.n


def beside(others, call):
    """call(), while so many other teams are running."""
    if others == 0:
        return call()
    return Team(1).run(lambda *_: beside(others - 1, call))


@pytest.mark.parametrize(("others", "n_threads"), [(0, 4), (1, 2), (2, 1), (7, 1)])
def test_teams_that_run_at_once_share_the_processors(others, n_threads, monkeypatch):
    monkeypatch.setattr(team, "processors", lambda: 4)
    monkeypatch.setattr(plan, "processors", lambda: 4)
    automatic = plan.team_for(flops=1e9, useful=16, n_threads=None)
    assert beside(others, lambda: automatic.run(count)) == n_threads
    assert automatic.run(count) == 4


def test_a_number_of_threads_that_was_asked_for_is_not_shared(monkeypatch):
    monkeypatch.setattr(team, "processors", lambda: 1)
    assert beside(2, lambda: plan.team_for(flops=1e9, useful=16, n_threads=3).run(count)) == 3


def test_a_fit_whose_threads_change_from_call_to_call_gives_the_same_bits(monkeypatch, alone):
    found = []

    def changing():
        found.append(1 + len(found) % 3)
        return found[-1]

    monkeypatch.setattr(plan, "processors", lambda: 3)
    monkeypatch.setattr(team, "processors", changing)
    assert_array_equal(weights(None), alone)
    assert set(found) == {1, 2, 3}


@pytest.mark.parametrize(("n_processors", "crowded"), [(1, True), (3, False)])
def test_threads_without_a_processor_of_their_own_give_the_same_bits(
    n_processors, crowded, monkeypatch, alone
):
    monkeypatch.setattr(team, "processors", lambda: n_processors)
    assert Team(3).run(lambda threads: threads.barrier[CROWDED]) == crowded
    assert_array_equal(weights(3), alone)


def n_running():
    return len(team.running)


def test_what_has_ended_takes_no_share():
    weights(None)
    with pytest.raises(ValueError, match="diverged"):
        founding(4, "identity", learning_rate_init=1e9).fit(np.eye(9), np.arange(9.0))
    assert n_running() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_shares_with_no_team_of_its_parent():
    def in_child():
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return n_running(), pool.apply(n_running)

    assert beside(2, in_child) == (2, 0)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_a_process_with_one_processor_uses_one_thread():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from fastbp.fitting.plan import processors, team_for;"
        "print(processors(), team_for(1e9, 16, None).n_threads)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
