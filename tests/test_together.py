"""Trials of one fit at the same time: the plain network's search, and a look at an encoded one."""

import signal
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropEnsembleRegressor, BackpropRegressor, encodings
from fastbp.fitting import contest, mixture, recipe, solvers, team, telling, together, trials
from fastbp.fitting.settings import settings_of

pytestmark = pytest.mark.usefixtures("ctrl_c_is_heard")

ENCODED = encodings.NAMES
QUICK = {"hidden_layer_sizes": (12,), "max_iter": 60, "random_state": 0, "linear_part": None}


def with_steps(n=500):
    random = np.random.default_rng(3)
    X = random.normal(size=(n, 3))
    return X, (X[:, 0] > 0.2) + (X[:, 1] > -0.3) * np.float64(X[:, 2] > 0)


@pytest.fixture
def two_pilots(monkeypatch):
    """Encoded networks are tried with scaled columns, too, in short trials and in pilots."""
    monkeypatch.setattr(mixture, "may_be_scaled", lambda *_: True)
    monkeypatch.setattr(mixture, "worth_a_pilot", lambda *_: (True, True))
    monkeypatch.setattr(mixture, "is_promising", lambda *_: True)
    monkeypatch.setattr(recipe, "NEXT_TO_NOTHING", 2.0)


def threads_in(monkeypatch, name):
    """Which threads call a method of searches, of plain networks and of encoded ones."""
    seen, real = {False: set(), True: set()}, getattr(trials.Search, name)

    def noted(search, *arguments, **more):
        seen[search.task.encoding is not None].add(threading.get_ident())
        return real(search, *arguments, **more)

    monkeypatch.setattr(trials.Search, name, noted)
    return seen


def test_the_model_is_the_same_for_any_number_of_threads(two_pilots):
    X, y = with_steps()
    expected = BackpropRegressor(**QUICK, n_threads=1).fit(X, y)
    assert expected.encoding_ == ENCODED
    for n_threads in (2, 3, None):
        model = BackpropRegressor(**QUICK, n_threads=n_threads).fit(X, y)
        assert model.max_iter_ == expected.max_iter_
        for W, of_one in zip(model.coefs_, expected.coefs_, strict=True):
            assert_array_equal(W, of_one)


def test_an_ensemble_is_the_same_for_any_number_of_threads(two_pilots):
    X, y = with_steps()
    member = BackpropRegressor(**QUICK)
    predictions = [
        BackpropEnsembleRegressor(member, 2, random_state=0, n_threads=n).fit(X, y).predict(X)
        for n in (1, 2)
    ]
    assert_array_equal(*predictions)


def test_the_encoded_network_is_looked_at_in_another_thread(monkeypatch):
    began, seen = threading.Barrier(2, timeout=60), threads_in(monkeypatch, "trial")
    run, look = trials.Search.run, trials.Search.short_trial
    monkeypatch.setattr(trials.Search, "run", lambda search: (began.wait(), run(search))[1])
    monkeypatch.setattr(
        trials.Search, "short_trial", lambda search, *scale: (began.wait(), look(search, *scale))[1]
    )
    monkeypatch.setattr(mixture, "is_promising", lambda *_: False)
    BackpropRegressor(**QUICK, n_threads=2).fit(*with_steps())
    assert len(seen[False] | seen[True]) == 2


def test_two_pilots_are_made_in_two_threads_with_their_own_random_numbers(two_pilots, monkeypatch):
    both, pilot, generators = threading.Barrier(2, timeout=60), trials.Search.pilot, []

    def met(search, plan):
        if search.task.encoding is not None:
            generators.append(search.task.random_state)
            both.wait()
        return pilot(search, plan)

    monkeypatch.setattr(trials.Search, "pilot", met)
    assert BackpropRegressor(**QUICK, n_threads=2).fit(*with_steps()).encoding_ == ENCODED
    first, second = generators
    assert first is not second
    assert first.randint(2**31) != second.randint(2**31)


def test_where_time_is_limited_or_others_work_there_is_one_thread(monkeypatch):
    def threads(**params):
        return together.threads_of_trials(settings_of(BackpropRegressor(**params).get_params()))

    monkeypatch.setattr(together, "processors", lambda: 4)
    assert (threads(), threads(n_threads=3), threads(max_time=60.0)) == (4, 3, 1)
    monkeypatch.setattr(together, "running", {team.Team(1), team.Team(1), team.Team(1)})
    assert threads() == 1
    together.running.add(team.Team(1))
    assert threads() == 1


@pytest.mark.parametrize(
    ("n_threads", "each"), [(None, None), (1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]
)
def test_all_trainings_together_have_no_more_threads_than_a_fit(
    n_threads, each, two_pilots, monkeypatch
):
    seen, fit = [], solvers.fit

    def noted(net, theta, samples, scored, settings, *rest, **watched):
        seen.append((settings.max_iter, settings.n_threads))
        return fit(net, theta, samples, scored, settings, *rest, **watched)

    monkeypatch.setattr(trials.Search, "first_trials", lambda search, pilot: [])
    monkeypatch.setattr(solvers, "fit", noted)
    BackpropRegressor(**QUICK, n_threads=n_threads).fit(*with_steps())
    (*beside, scaled, pilot, other), final = seen[:5], seen[5:]
    assert {threads for _, threads in (*beside, pilot, other)} == {each}
    assert {threads for _, threads in (scaled, *final)} == {n_threads}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_rivals_divergence_is_none_of_the_plain_networks_business(n_threads, monkeypatch):
    X, y = with_steps()
    expected = BackpropRegressor(**QUICK, encoding=None).fit(X, y)

    def diverging(search, scale=None):
        raise ValueError("Training diverged")

    monkeypatch.setattr(trials.Search, "short_trial", diverging)
    model = BackpropRegressor(**QUICK, n_threads=n_threads).fit(X, y)
    assert_array_equal(model.coefs_[0], expected.coefs_[0])


def test_no_thread_is_remembered(two_pilots, monkeypatch):
    """As `threading.current_thread` would, for ever."""
    asked, current_thread, main = [], threading.current_thread, threading.main_thread().ident

    def noted():
        asked.append(threading.get_ident())
        return current_thread()

    monkeypatch.setattr(threading, "current_thread", noted)
    BackpropRegressor(**QUICK, n_threads=2).fit(*with_steps())
    assert set(asked) <= {main}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_reaches_the_caller_when_all_threads_have_come_home(n_threads, monkeypatch):
    def without_memory(*_):
        raise MemoryError("as large as this")

    monkeypatch.setattr(contest, "encoded_on", without_memory)
    before = threading.active_count()
    with pytest.raises(MemoryError, match="as large as this"):
        BackpropRegressor(**QUICK, n_threads=n_threads).fit(*with_steps())
    assert threading.active_count() == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", ["short_trial", "pilot"])
def test_ctrl_c_while_an_encoded_network_is_tried_leaves_the_plain_one(
    name, n_threads, two_pilots, monkeypatch
):
    """Pressed between two trials of the plain one's search, or after them."""
    X, y = with_steps()
    real, pilot = getattr(trials.Search, name), trials.Search.pilot
    pressed, has_pilot = threading.Event(), threading.Event()

    def pressing(search, *arguments):
        if search.task.encoding is not None and not pressed.is_set():
            assert has_pilot.wait(60)
            signal.raise_signal(signal.SIGINT)  # which the main thread hears
            pressed.set()
        return real(search, *arguments)

    def noted(search, plan):
        found = pilot(search, plan)
        if search.task.encoding is None:
            has_pilot.set()
            if n_threads == 2 and name == "short_trial":
                assert pressed.wait(60)
        return found

    monkeypatch.setattr(trials.Search, "pilot", noted)
    if name == "pilot":
        real = noted
    monkeypatch.setattr(trials.Search, name, pressing)
    with pytest.warns(ConvergenceWarning, match=r"Interrupted after \d+ epochs.*of a trial"):
        model = BackpropRegressor(**QUICK, n_threads=n_threads).fit(X, y)
    assert pressed.is_set() and model.encoding_ == ()
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("name", ["short_trial", "pilot"])
def test_ctrl_c_twice_while_an_encoded_network_is_tried_is_an_exception(
    name, two_pilots, monkeypatch
):
    real = getattr(trials.Search, name)

    def pressing(search, *arguments):
        if search.task.encoding is not None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(search, *arguments)

    monkeypatch.setattr(trials.Search, name, pressing)
    with pytest.raises(KeyboardInterrupt):
        BackpropRegressor(**QUICK, n_threads=1).fit(*with_steps())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Alarm(KeyboardInterrupt):
    """Somebody else's."""


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("name", "of_encoded"), [("first_trials", False), ("telling_scale_of", True), ("pilot", True)]
)
def test_another_handlers_exception_is_the_callers(
    name, of_encoded, n_threads, two_pilots, monkeypatch
):
    """Between two trials of the plain network, and of its rival, and in another thread."""
    real = getattr(trials.Search, name)

    def ringing(search, *arguments):
        if (search.task.encoding is not None) == of_encoded:
            raise Alarm
        return real(search, *arguments)

    monkeypatch.setattr(trials.Search, "has_hardly_begun", lambda *_: False)
    monkeypatch.setattr(recipe, "CLEAN", 0.0)
    monkeypatch.setattr(trials.Search, name, ringing)
    with pytest.raises(Alarm):
        BackpropRegressor(**QUICK, n_threads=n_threads).fit(*with_steps())


@pytest.mark.parametrize("n_threads", [1, 2])
def test_who_watches_is_told_of_the_trials_of_all_threads(n_threads, two_pilots, capsys):
    BackpropRegressor(**QUICK, n_threads=n_threads, verbose=True).fit(*with_steps())
    begun = [
        line.partition(":")[0]
        for line in capsys.readouterr().out.splitlines()
        if "held out" in line
    ]
    assert sum(name.startswith("encoded") for name in begun) == 4
    assert sorted(int(name.split()[-1]) for name in begun) == list(range(1, len(begun) + 1))


def test_who_listened_before_listens_again():
    told = []
    with telling.told_by(told.append):
        before = telling.here()
        with telling.told_by(None):
            BackpropRegressor(**QUICK).fit(*with_steps())
        assert telling.here() is before
    assert told == [] and telling.here().tell is None
