"""BLAS has one thread where more gain nothing, and what it had before afterwards."""

import os
import signal
import threading

import numpy as np
import pytest

from fastbp import BackpropRegressor, blas, hidden, measuring
from fastbp.fitting import recipe
from fastbp.fitting.table import Table


def threads():
    return [each["num_threads"] for each in blas.controller().info() if each["user_api"] == "blas"]


def test_blas_has_its_threads_again_when_the_last_who_asked_is_done():
    before = threads()
    with blas.one_thread_in_blas():
        with blas.one_thread_in_blas():
            assert set(threads()) <= {1}
        assert set(threads()) <= {1}
    assert threads() == before


@pytest.mark.parametrize("method", ["limit", "restore_original_limits"])
def test_ctrl_c_while_threads_are_counted_leaves_them_as_they_were(
    method, monkeypatch, ctrl_c_is_heard
):
    before, limiter = threads(), type(blas.controller().limit(limits=None))
    owner = type(blas.controller()) if method == "limit" else limiter
    do = getattr(owner, method)

    def interrupted(*given, **rest):
        signal.raise_signal(signal.SIGINT)
        return do(*given, **rest)

    monkeypatch.setattr(owner, method, interrupted)
    with pytest.raises(KeyboardInterrupt), blas.one_thread_in_blas():
        assert method != "limit"
    assert threads() == before
    assert not blas._Limit.users


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_counts_none_of_its_parents_threads():
    """Nor does it wait for a lock that none of its own threads holds."""
    held, waiting, forked = threading.Event(), threading.Event(), threading.Event()

    def hold():
        with blas.one_thread_in_blas():
            with blas._Limit.lock:
                held.set()
                waiting.wait(60)
            forked.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    threading.Timer(0.05, waiting.set).start()
    child = os.fork()
    if not child:
        signal.alarm(60)  # whoever waits for ever
        with blas.one_thread_in_blas():
            os._exit(0 if set(threads()) <= {1} and len(blas._Limit.users) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    forked.set()
    thread.join()


@pytest.mark.parametrize(
    ("function", "params"),
    [("first_weights", {}), ("column_scale", {}), ("curvature", {"solver": "sgd"})],
)
def test_looks_at_the_data_take_one_thread_of_blas(function, params, table, monkeypatch):
    seen, look = [], getattr(recipe, function)
    monkeypatch.setattr(
        recipe, function, lambda *given, **rest: seen.append(threads()) or look(*given, **rest)
    )
    monkeypatch.setattr(recipe, "CLEAN", 0.0)  # so that there is a search
    with blas.controller().limit(limits=2, user_api="blas"):  # of a forked process it is 1
        before = threads()
        BackpropRegressor(12, max_iter=20, random_state=0, **params).fit(*table)
        assert threads() == before
    assert seen
    assert {number for each in seen for number in each} <= {1}


def test_so_do_measures_of_wide_tables_and_the_diagnosis_of_a_network(monkeypatch):
    seen, squares, row = [], measuring._mean_square, hidden.ACTIVATIONS["logistic"]
    monkeypatch.setattr(
        measuring,
        "_mean_square",
        lambda A, *rest: (A.shape[1] > 1 and seen.append(threads())) or squares(A, *rest),
    )
    plain = row._replace(plain=lambda Z: seen.append(threads()) or row.plain(Z))
    X = np.random.default_rng(0).normal(size=(400, 30))
    model = BackpropRegressor(4, max_iter=1, early_stopping=False, random_state=0)
    with blas.controller().limit(limits=2, user_api="blas"):
        model.fit(X, X[:, 0])
        assert len(seen) == 1
        monkeypatch.setitem(hidden.ACTIVATIONS, "logistic", plain)
        list(hidden.look(model._learnt, Table(X, X[:, :1], None)))
    assert len(seen) == 4
    assert {number for each in seen for number in each} <= {1}
