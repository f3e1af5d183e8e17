"""Threads: the same bits for any number, and no harm to whoever else has threads or forks."""

import _thread
import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from founding import founding
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal

from fastbp.fitting import calling, headcount, plan, predicting, team
from fastbp.fitting.headcount import Headcount
from fastbp.fitting.team import Team
from fastbp.kernels.machine.threads import CALLED_OFF, CROWDED

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


def test_no_thread_outlives_a_fit(no_thread_is_left):
    weights(4)


@pytest.mark.parametrize("listens", [False, True])
def test_a_fit_does_without_threads_that_the_system_refuses(listens, monkeypatch, alone):
    if listens:
        monkeypatch.setattr(plan, "LISTENS_FLOPS", 0)
    started, refused = [], []

    def start(*call):
        if len(started) % 2:
            refused.append(call)
            raise RuntimeError("can't start new thread")
        started.append(call)
        return start_new_thread(*call)

    start_new_thread = team.start_new_thread
    monkeypatch.setattr(team, "start_new_thread", start)
    assert_array_equal(weights(4), alone)
    assert started and refused


# ------------------------------------------------------------- exceptions, wherever they come


def until_called_off(threads):
    """As a kernel that waits looks whether it was called off."""
    end = time.monotonic() + 10
    while threads.barrier[CALLED_OFF] == 0:
        assert time.monotonic() < end


@pytest.mark.parametrize("listens", [False, True])
@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, IndexError, SystemExit, MemoryError])
def test_an_exception_in_any_thread_ends_all_and_is_the_callers(
    error, failing, listens, no_thread_is_left
):
    called_off = []

    def kernel(threads):
        if threads.thread == failing:
            raise error
        until_called_off(threads)
        called_off.append(threads.thread)
        return "rubbish"

    with pytest.raises(error):
        Team(3, listens=listens).run(kernel)
    assert n_running() == 0
    assert {failing, *called_off} == {0, 1, 2}  # none has waited in vain


def test_after_an_exception_the_team_works_as_before(no_thread_is_left):
    three, is_failing = Team(3), [True]

    def kernel(threads):
        if is_failing and threads.thread == 2:
            raise IndexError
        return threads.barrier[CALLED_OFF]

    with pytest.raises(IndexError):
        three.run(kernel)
    is_failing.clear()
    assert three.run(kernel) == 0


def test_a_call_that_is_to_stop_is_called_off_and_returns_nothing(no_thread_is_left):
    with pytest.raises(team.CalledOff):
        Team(2, listens=True).run(until_called_off, stop=lambda: True)


def test_an_exception_of_a_signals_handler_while_others_work_calls_them_off(no_thread_is_left):
    def stop():
        raise TimeoutError  # as a handler of SIGALRM does

    with pytest.raises(TimeoutError):
        Team(2, listens=True).run(until_called_off, stop=stop)


@pytest.fixture
def one_begins_late(monkeypatch, no_thread_is_left):
    """The first helper; it may when the test is over, which doesn't wait for that."""
    starting, may_begin = itertools.chain([True], itertools.repeat(False)), threading.Event()

    def start(function, arguments):
        def run():
            if is_late:
                may_begin.wait(60)
            function(*arguments)

        is_late = next(starting)
        return _thread.start_new_thread(run, ())

    monkeypatch.setattr(team, "start_new_thread", start)
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 30
    may_begin.set()


@pytest.mark.parametrize("listens", [False, True])
def test_whoever_begins_late_is_not_waited_for(listens, one_begins_late):
    """On a busy machine that may take longer than all the work: whoever is free does it."""
    done = []

    def kernel(threads):
        done.append(threads.thread)
        return threads.thread

    assert Team(3, listens=listens).run(kernel, meets=False) == 0
    assert sorted(done) == [0, 1, 2]


@pytest.mark.parametrize("listens", [False, True])
def test_whoever_has_begun_is_waited_for(listens, no_thread_is_left):
    has_begun, ended = threading.Event(), []

    def kernel(threads):
        if threads.thread == 1:
            has_begun.set()
            time.sleep(0.2)
        else:
            has_begun.wait(60)
        ended.append(threads.thread)

    Team(2, listens=listens).run(kernel, meets=False)
    assert sorted(ended) == [0, 1]


def test_a_prediction_does_not_wait_for_who_begins_late(alone, one_begins_late):
    X = np.random.default_rng(0).normal(size=(1300, 9))
    model = founding(**BUSY | {"max_iter": 1}, n_threads=1).fit(X, X[:, 0])
    expected = model.predict(X)
    assert_array_equal(model.set_params(n_threads=2).predict(X), expected)


def test_a_failure_of_threads_that_do_not_meet_is_the_callers(no_thread_is_left):
    def kernel(threads):
        if threads.thread == 1:
            raise IndexError
        while not threads.barrier[CALLED_OFF]:
            time.sleep(0.001)

    for listens in (False, True):
        with pytest.raises(IndexError):
            Team(3, listens=listens).run(kernel, meets=False)


def failing_in_helpers(kernel):
    def fail(threads, *arguments):
        if threads.thread == 1:
            raise OSError(28, "No space left on device")
        return kernel(threads, *arguments)

    return fail


def test_an_exception_in_a_helper_of_a_fit_is_the_callers(monkeypatch, no_thread_is_left):
    real = calling.kernel_for

    def kernel_for(*arguments):
        kernel = real(*arguments)
        return kernel._replace(train=failing_in_helpers(kernel.train))

    monkeypatch.setattr(calling, "kernel_for", kernel_for)
    with pytest.raises(OSError, match="No space"):
        weights(3)


def test_what_a_helper_of_predict_fails_to_compute_is_not_returned(monkeypatch, no_thread_is_left):
    X = np.random.default_rng(0).normal(size=(1300, 9))
    model = founding(**BUSY | {"max_iter": 1}, n_threads=2).fit(X, X[:, 0])
    monkeypatch.setattr(predicting, "predict", failing_in_helpers(predicting.predict))
    with pytest.raises(OSError, match="No space"):
        model.predict(X)


def test_kernels_are_compiled_before_threads_start(monkeypatch):
    """Else one of them would compile, all others would wait for it, and failing would be a
    helper's."""
    X, calls = np.random.default_rng(0).normal(size=(1300, 9)), []

    def noting(kernel):
        def note(threads, *arguments):
            calls.append(threads.n)
            return kernel(threads, *arguments)

        return note

    real = calling.kernel_for
    monkeypatch.setattr(
        calling, "kernel_for", lambda *_: real(*_)._replace(train=noting(real(*_).train))
    )
    monkeypatch.setattr(predicting, "predict", noting(predicting.predict))
    model = founding(**BUSY | {"max_iter": 1}, n_threads=2).fit(X, X[:, 0])
    assert calls[0] == 1 and set(calls[1:]) == {2}
    calls.clear()
    model.predict(X)
    assert calls == [1, 2, 2]


@pytest.mark.parametrize("meets", [False, True])
@pytest.mark.parametrize("listens", [False, True])
def test_signals_at_any_line_of_a_call_leave_no_thread_and_no_other_error(
    listens, meets, no_thread_is_left
):
    """A handler that raises is called between any two lines: here, before each in turn."""
    modules = {team.__file__}

    def at(line_wanted, call):
        lines = iter(range(10**6))

        def trace(frame, event, argument):
            if frame.f_code.co_filename not in modules:
                return None
            if event == "line" and next(lines) == line_wanted:
                raise TimeoutError  # as a handler of SIGALRM does
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            call()
        except TimeoutError:
            return True
        finally:
            sys.settrace(before)
        return False

    n = 0
    while at(n, lambda: Team(3, listens=listens).run(count, meets=meets)):
        n += 1
    assert n > 15
    team.running.clear()  # no handler is called right before a team is taken out of it


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
    found = set()

    def in_turn(most, known):
        for n in itertools.count():
            yield 1 + n % most, 0.0

    def counted(self, kernel, *arguments, **how):
        found.add(self.n_threads)
        return run(self, kernel, *arguments, **how)

    run = Team.run
    monkeypatch.setattr(Team, "run", counted)
    monkeypatch.setattr(headcount, "trials", in_turn)
    monkeypatch.setattr(headcount, "TRIAL", 0.0)  # each step is a call
    monkeypatch.setattr(plan, "processors", lambda: 3)
    monkeypatch.setattr(team, "processors", lambda: 3)
    assert_array_equal(weights(None), alone)
    assert found == {1, 2, 3}


def settled(of_machine, most, seconds, some=None):
    """The crew after so many seconds on a machine, of which ``of_machine(n)`` is the pace with n
    threads, and for how many of them it had worked with each number."""
    some, spent = some or Headcount(Team(most, shares=True)), Counter()
    while spent.total() < seconds:
        steps, number = max(1, int(some.pace * some.seconds_of_call(0.1))), some.team.n_threads
        spent[number] += steps / of_machine(number)
        some.note(steps, steps / of_machine(number))
    return some, spent


@pytest.mark.parametrize("most", [1, 2, 3, 8, 16])
@pytest.mark.parametrize(
    ("of_machine", "best"),
    [
        (lambda n: 1e5 * n, 16),
        (lambda n: 1e5 / n, 1),
        (lambda n: 1e5 * (1 if n == 1 else 0.2), 1),
        (lambda n: 1e3 * n / (1 + (n / 6) ** 2), 4),  # 8 are 4 % faster
        (lambda n: 20.0 * min(n, 2), 2),
        (lambda n: 1e5 * (1 + 0.01 * n), 1),
    ],
)
def test_a_fit_settles_on_as_many_threads_as_are_fastest(of_machine, best, most):
    _, spent = settled(of_machine, most, 20)
    (usual, seconds), *_ = spent.most_common()
    assert usual == min(best, most)
    assert seconds > 0.95 * spent.total()
    assert settled(of_machine, most, 2)[1][usual] > 0.8 * 2


def test_threads_that_wait_for_one_another_are_not_tried_for_long():
    _, spent = settled(lambda n: 1e5 if n == 1 else 1e3, 2, 2)
    assert 0 < spent[2] < 0.1


def test_trials_of_long_steps_cost_next_to_nothing():
    some = Headcount(Team(2, shares=True), flops=1e10)
    _, spent = settled(lambda n: 20.0 * n, 2, 20, some)
    assert 0 < spent[1] < 0.03 * 20


def test_the_next_fit_of_that_kind_begins_with_as_many_threads(monkeypatch):
    monkeypatch.setattr(headcount, "remembered", {})
    for of, first in (("a", 1), ("a", 4), ("b", 1)):
        some = Headcount(Team(4, shares=True), of)
        assert some.team.n_threads == first
        settled(lambda n: 1e5 * n, 4, 1, some)
    Headcount(Team(2), "a")  # a user's own word
    some = Headcount(Team(4, shares=True), "a")
    assert some.team.n_threads == 4
    settled(lambda n: 1e5 / n, 4, 9, some)
    assert Headcount(Team(4, shares=True), "a").team.n_threads == 1
    assert Headcount(Team(1, shares=True), "b").team.n_threads == 1


def test_a_fit_follows_a_machine_that_changes():
    some, _ = settled(lambda n: 1e5 * n, 4, 5)
    for of_machine, best in ((lambda n: 1e5 / n, 1), (lambda n: 1e5 * n, 4)):
        settled(of_machine, 4, 10, some)
        assert settled(of_machine, 4, 5, some)[1].most_common()[0][0] == best


def test_the_number_of_threads_that_a_user_asks_for_is_that_of_every_call():
    _, spent = settled(lambda n: 1e5 / n, 3, 5, Headcount(Team(3)))
    assert set(spent) == {3}


@pytest.mark.parametrize(("n_processors", "crowded"), [(1, True), (3, False)])
def test_threads_without_a_processor_of_their_own_give_the_same_bits(
    n_processors, crowded, monkeypatch, alone
):
    monkeypatch.setattr(team, "processors", lambda: n_processors)
    assert Team(3).run(lambda threads: threads.barrier[CROWDED]) == crowded
    assert_array_equal(weights(3), alone)


def n_running():
    return len(team.running)


@pytest.mark.parametrize("n_threads", [0, -1])
@pytest.mark.parametrize("make", [Team, lambda n: plan.team_for(1e9, 4, n, 1e9)])
def test_a_team_has_a_thread_at_least(make, n_threads):
    with pytest.raises(ValueError, match=f"n_threads must be at least 1, got {n_threads}"):
        make(n_threads)


@pytest.mark.parametrize("one", [True, np.int64(1)])
def test_one_thread_may_be_any_integer(one, alone):
    assert_array_equal(weights(one), alone)


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
