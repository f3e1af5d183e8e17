"""`DaskBackpropRegressor` on real workers, in processes of their own; and joblib's backends.

(test_rounds.py has what a fit in parts equals.)
"""

import doctest
import gc
import os
import pickle
import signal
import sys
import time
from copy import copy
from functools import partial
from importlib import import_module

import joblib
import numpy as np
import pytest
from conftest import as_cut
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from test_readme import blocks, section
from test_rounds import HELD_OUT, QUICK, WEIGHT, X, Y, assert_equal, assert_near, fit_in, lines

import fastbp.dask
from fastbp import BackpropRegressor
from fastbp.dask import DaskBackpropRegressor
from fastbp.fitting import rounds
from fastbp.workers.cluster import client_of
from fastbp.workers.collections import columns_of

distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
delayed = pytest.importorskip("dask").delayed

pytestmark = [
    pytest.mark.ends,
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::DeprecationWarning",
        "ignore:Creating scratch directories is taking a surprisingly long time",
    ),
]  # fmt: skip

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def client():
    """Of two workers, processes of one thread each."""
    cluster = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**cluster) as workers, distributed.Client(workers) as client:
        yield client


def arrays(*arrays, chunks=((100, 130),)):
    return [da.from_array(A, chunks=chunks + A.shape[1:]) for A in arrays]


def frames(X, *columns, npartitions=3):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    index = np.arange(len(X)) + 1000
    X = pd.DataFrame(X, columns=NAMES, index=index)
    columns = [pd.Series(column, index=index) for column in columns]
    return [dd.from_pandas(A, npartitions=npartitions) for A in (X, *columns)]


@pytest.fixture(scope="module")
def fitted(client):
    """A model fitted on arrays in two partitions."""
    return DaskBackpropRegressor(**QUICK).fit(*arrays(X, Y, WEIGHT))


def test_workers_train_as_one_process_does_to_the_bit(fitted):
    assert_equal(fitted, fit_in([100], X, Y, WEIGHT, **QUICK))


def test_full_gradients_of_workers_are_those_of_one_process_and_of_one_machine(client):
    params = QUICK | {"solver": "lbfgs", "alpha": 0.1, "max_iter": 12, "n_iter_no_change": np.inf}
    model = DaskBackpropRegressor(**params).fit(*arrays(X, Y, WEIGHT))
    assert_equal(model, fit_in([100], X, Y, WEIGHT, **params))
    assert_near(model, BackpropRegressor(**params).fit(X, Y, WEIGHT), rtol=1e-4)


def test_progress_of_workers_is_that_of_one_process(client, capsys):
    params = QUICK | {"verbose": True}
    DaskBackpropRegressor(**params).fit(*arrays(X, Y))
    told = lines(capsys)
    fit_in([100], **params)
    assert told == lines(capsys)
    assert told[1].startswith("first weights 1/5: ")
    assert told[-1].startswith("epoch 3/3")


def test_predictions_are_lazy_and_equal(fitted):
    dX, dy, weight = arrays(X, Y, WEIGHT)
    lazy = fitted.predict(dX.rechunk((70, 2)))
    assert isinstance(lazy, da.Array)
    assert lazy.shape == (230,) and lazy.chunks[0] == (70, 70, 70, 20)
    assert_array_equal(lazy.compute(), fitted.predict(X))
    assert lazy.dtype == lazy.compute().dtype
    assert_allclose(fitted.score(dX, dy, weight), fitted.score(X, Y, WEIGHT), rtol=1e-9)
    constant = da.full_like(dy, 3.0)
    assert fitted.score(dX, constant) == 0.0
    of_equal_rows = da.zeros_like(dX)
    assert fitted.score(of_equal_rows, fitted.predict(of_equal_rows)) == 1.0


def test_no_threads_predict_nothing(fitted):
    model = copy(fitted).set_params(n_threads=0)
    for method in (model.predict, lambda dX: model.score(dX, arrays(Y)[0])):
        with pytest.raises(ValueError, match="'n_threads' parameter of DaskBackpropRegressor"):
            method(arrays(X)[0])


def test_the_local_model_is_the_same_and_needs_no_dask(fitted, tmp_path):
    local = fitted.to_local()
    assert type(local) is BackpropRegressor
    assert_array_equal(local.predict(X), fitted.predict(X))
    assert local.loss_curve_ == fitted.loss_curve_
    local.coefs_[0][:] = 0
    assert fitted.coefs_[0].any()
    fitted.save(tmp_path / "model")
    assert_array_equal(BackpropRegressor.load(tmp_path / "model").predict(X), fitted.predict(X))
    assert_array_equal(DaskBackpropRegressor.load(tmp_path / "model").predict(X), fitted.predict(X))


def test_it_is_an_estimator_of_scikit_learns(fitted, client):
    params = BackpropRegressor().get_params() | {"client": None}
    assert DaskBackpropRegressor().get_params() == params
    model = clone(DaskBackpropRegressor(9, "relu", alpha=0.5, client=client))
    assert (model.hidden_layer_sizes, model.activation, model.alpha) == (9, "relu", 0.5)
    assert model.client is client
    assert pickle.loads(pickle.dumps(model)).client is None
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    assert not hasattr(model, "partial_fit")
    with pytest.raises(ValueError, match="The 'alpha' parameter"):
        DaskBackpropRegressor(alpha=-1).fit(*arrays(X, Y))


def test_dataframes_keep_names_and_index(client):
    X_val, y_val = frames(*HELD_OUT, npartitions=2)
    dX, dy, weight = frames(X, Y, WEIGHT)
    model = DaskBackpropRegressor(**QUICK, client=client)
    model.fit(dX, dy, weight, X_val=X_val, y_val=y_val)
    cuts = np.cumsum(dX.map_partitions(len).compute())[:-1]
    cuts_of_held_out = np.cumsum(X_val.map_partitions(len).compute())[:-1]
    local = fit_in(
        cuts, X, Y, WEIGHT, held_out=HELD_OUT, cuts_of_held_out=cuts_of_held_out, **QUICK
    )
    assert_equal(model, local)
    assert_array_equal(model.feature_names_in_, NAMES)
    assert model.n_features_in_ == 3
    lazy = model.predict(dX)
    assert_array_equal(lazy.compute().index, np.arange(230) + 1000)
    assert_array_equal(lazy.compute(), local.predict(X))
    assert_allclose(model.score(dX, dy), local.score(X, Y), rtol=1e-9)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(dX.rename(columns={"a": "A"}))


def test_several_outputs_are_predicted_in_columns(client):
    two = np.c_[Y, X[:, 0]]
    model = DaskBackpropRegressor(**QUICK).fit(*arrays(X, two))
    assert_equal(model, fit_in([100], X, two, **QUICK))
    lazy = model.predict(arrays(X)[0])
    assert lazy.shape == (230, 2)
    assert_array_equal(lazy.compute(), model.predict(X))
    (frame,) = frames(X)
    model.feature_names_in_ = np.array(NAMES, object)
    assert_array_equal(model.predict(frame).compute().to_numpy(), lazy)


def test_arrays_are_taken_in_whatever_chunks(client, fitted):
    dX = da.from_array(X, chunks=((100, 130), (1, 2)))
    dy, weight = da.from_array(Y, chunks=60), da.from_array(WEIGHT, chunks=230)
    assert_equal(DaskBackpropRegressor(**QUICK).fit(dX, dy, weight), fitted)


def test_what_is_wrong_is_said_before_any_work(client):
    dX, dy = arrays(X, Y)
    model = DaskBackpropRegressor(**QUICK)
    unknown = da.from_array(X)[:, da.from_array(np.array([True, True, False]))]
    with pytest.raises(ValueError, match="columns of unknown number"):
        model.fit(unknown, dy)
    with pytest.raises(TypeError, match="BackpropRegressor is for what is in memory"):
        model.fit(X, Y)
    with pytest.raises(TypeError, match="y must be a dask collection"):
        model.fit(dX, Y)
    with pytest.raises(ValueError, match="X has 2 partitions, y has 3"):
        model.fit(dX, da.from_array(np.arange(9.0), chunks=3)[dX[:9, 0] > 0])
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.fit(dy, dy)
    with pytest.raises(ValueError, match="X_val and y_val"):
        model.fit(dX, dy, X_val=dX)
    with pytest.raises(ValueError, match="sample_weight_val needs"):
        model.fit(dX, dy, sample_weight_val=dy)
    with pytest.raises(ValueError, match="X has 2 features, but DaskBackpropRegressor"):
        model.fit(dX, dy, X_val=dX[:, :2], y_val=dy)
    for wrong, message in (
        (da.where(dX > 15, np.nan, dX), "Input X contains NaN."),
        (dX.map_blocks(sparse.csr_array), "Sparse blocks are not for"),
        (dX.map_blocks(lambda block: block[1:]), "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=rf"(Partition \d: )?{message}"):
            model.fit(wrong, dy)
    with pytest.raises(ZeroDivisionError):
        model.fit(dX.map_blocks(lambda block: 1 // 0, meta=np.empty((0, 0))), dy)
    assert not hasattr(model, "n_features_in_")


def test_what_is_known_not_to_go_together_is_said_by_its_name(client):
    dX, dy, weight = arrays(X, Y, WEIGHT)
    model, two = DaskBackpropRegressor(**QUICK), arrays(np.c_[Y, Y])[0]
    unknown = two[:, da.from_array(np.array([True, False]))]
    for given, message in (
        ((dX, dy[:200]), "X has 230 rows, y has 200"),
        ((dX, dy, weight[:200]), "X has 230 rows, sample_weight has 200"),
        ((dX, dy.sum()), "y has 0 dimensions"),
        ((dX, two[:, :, None]), "y has 3 dimensions"),
        ((dX, unknown), "y has columns of unknown number"),
        ((dX, dy, None, dX, dy[:9]), "X_val has 230 rows, y_val has 9"),
        ((dX, dy, None, dX, two), "y_val has 2 outputs, y has 1"),
        ((dX.astype("M8[s]"), dy), "X holds dates"),
    ):
        X_val, y_val = given[3:] or (None, None)
        with pytest.raises(ValueError, match=message):
            model.fit(*given[:3], X_val=X_val, y_val=y_val)
    for given, message in (
        ((dX, None), "y must be a dask collection"),
        ((delayed(X), dy), "got Delayed.*: make one of it"),
    ):
        with pytest.raises(TypeError, match=message):
            model.fit(*given)


def test_columns_of_text_are_named_before_any_work(client):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    text = np.where(X[:, 0] > 10, "u", "v")
    frame = pd.DataFrame({"a": X[:, 0], "k": text, "l": pd.Categorical(text)})
    frame["levels"] = pd.Categorical(np.where(X[:, 0] > 10, 1, 2))
    dX, dy = (dd.from_pandas(A, npartitions=2) for A in (frame, pd.Series(Y)))
    with pytest.raises(ValueError, match="columns of text or categories: 'k', 'l'"):
        DaskBackpropRegressor(**QUICK).fit(dX, dy)
    numbers = dX[["a", "levels"]].assign(levels=dX["levels"].cat.as_unknown())
    for given in (dX[["a", "levels"]], numbers):
        assert columns_of(DaskBackpropRegressor(), given, True).n_features_in_ == 2


def test_rows_of_unknown_number_are_trained_on_and_scored(client):
    dX, dy, weight = arrays(X, Y, WEIGHT)
    chosen = dX[:, 0] > 10
    some = dX[chosen], dy[chosen], weight[chosen]
    kept = X[:, 0] > 10
    model = DaskBackpropRegressor(**QUICK).fit(*some, X_val=dX[chosen], y_val=dy[chosen])
    local = X[kept], Y[kept], WEIGHT[kept]
    cuts = [np.count_nonzero(kept[:100])]
    assert_equal(model, fit_in(cuts, *local, local[:2], cuts, **QUICK))
    assert_allclose(model.score(*some), model.score(*local), rtol=1e-9)
    assert_array_equal(model.predict(some[0]).compute(), model.predict(local[0]))
    with pytest.raises(ValueError, match=r"Partition \d: .*inconsistent numbers"):
        model.fit(some[0], dy)


def test_a_client_that_can_not_be_asked_is_refused():
    model = DaskBackpropRegressor(**QUICK)
    with pytest.raises(TypeError, match=r"client must be a distributed.Client, got str"):
        model.set_params(client="tcp://127.0.0.1:8786").fit(*arrays(X, Y))
    for status, is_asynchronous, message in (
        ("closed", False, "The client is closed"), ("running", True, "is asynchronous"),
    ):  # fmt: skip

        class Client(distributed.Client):
            def __init__(self):
                pass

            def __del__(self):
                pass

        Client.status, Client.asynchronous = status, is_asynchronous
        with pytest.raises(ValueError, match=message):
            client_of(DaskBackpropRegressor(client=Client()))


def test_ctrl_c_leaves_the_model_as_it_was_and_nothing_on_the_workers(client, monkeypatch):
    class Presses:
        def __init__(self, planned):
            pass

        def epoch_ends(self, history, theta):
            raise KeyboardInterrupt

    monkeypatch.setattr(fastbp.dask, "Lines", Presses)
    model, before = DaskBackpropRegressor(**QUICK, verbose=True), set(client.futures)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*arrays(X, Y))
    assert not hasattr(model, "coefs_")
    assert_nothing_is_left(client, before)
    model.set_params(verbose=False).fit(*arrays(X, Y))
    assert_nothing_is_left(client, before)


def test_a_fit_that_fails_leaves_nothing_on_the_workers(client):
    dX, dy = arrays(X, Y)
    before = set(client.futures)
    with pytest.raises(ValueError, match="NaN"):
        DaskBackpropRegressor(**QUICK).fit(da.where(dX > 15, np.nan, dX), dy)
    assert_nothing_is_left(client, before)


def assert_nothing_is_left(client, before):
    """Nobody holds futures but those who did before."""
    gc.collect()
    for _ in range(50):  # they are released in another thread
        if not (left := set(client.futures) - before):
            return
        time.sleep(0.02)
    raise AssertionError(left)


def test_without_a_client_or_dask_it_says_what_to_do(monkeypatch):
    def no_client():
        raise ValueError("No clients found")

    monkeypatch.setattr(distributed, "default_client", no_client)
    with pytest.raises(ValueError, match=r"LocalCluster\(n_workers=2\)"):
        DaskBackpropRegressor(**QUICK).fit(*arrays(X, Y))
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'fastbp\[dask\]'"):
        DaskBackpropRegressor(**QUICK).fit(*arrays(X, Y))


FIRST, SECOND = blocks("python", section("Many rows, many machines"))


def test_the_example_of_the_readme_runs(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dX, dy = arrays(X, Y)
    assert FIRST.count("Client(LocalCluster(n_workers=2))") == 1
    program = FIRST.replace("Client(LocalCluster(n_workers=2))", "running")
    program = program.replace("(20,)", "(4,), max_iter=3")
    exec(program, {"X": dX, "y": dy, "running": client})
    assert BackpropRegressor.load("model.npz").n_features_in_ == 3


@pytest.mark.parametrize("backend", ["threading", "loky", "dask"])
def test_many_fits_run_on_each_of_joblibs_backends(backend, client):
    assert f'"{backend}"' in SECOND
    search_on(backend)


def search_on(backend):
    """The example of the README, on another of joblib's backends."""
    program = SECOND.replace('backend="threading"', f'backend="{backend}"')
    alone = partial(BackpropRegressor, linear_part=None)  # which settings make a difference to
    names = {"X": X, "y": Y, "BackpropRegressor": alone}
    exec(program, names)
    assert joblib.parallel.DEFAULT_BACKEND == "loky"  # as before
    scores = names["search"].cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and scores[0] != scores[1]


@pytest.mark.filterwarnings("ignore")  # they have much to say
@pytest.mark.parametrize("backend", ["ray", "spark"])
def test_many_fits_run_on_ray_and_on_spark(backend, request, monkeypatch):
    if not request.config.getoption("--campaigns"):
        pytest.skip("takes a minute: --campaigns")
    assert f"register_{backend}()" in section("Many rows, many machines")
    if backend == "ray":
        register = pytest.importorskip("ray.util.joblib").register_ray
        ray = pytest.importorskip("ray")
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        stop = ray.shutdown
    else:
        register = pytest.importorskip("joblibspark").register_spark
        monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = pytest.importorskip("pyspark.sql").SparkSession.builder.master("local[2]")
        for key, value in {"ui.enabled": "false", "driver.host": "127.0.0.1"}.items():
            builder = builder.config(f"spark.{key}", value)
        stop = builder.getOrCreate().stop
    try:
        register()
        search_on(backend)
    finally:
        stop()


def test_the_example_of_the_docstring_runs(client, request):
    if not request.config.getoption("--campaigns"):  # a fit by the defaults, in parts
        pytest.skip("takes ten seconds: --campaigns")
    text = DaskBackpropRegressor.__doc__
    assert "Client(LocalCluster(n_workers=2))" in text and "client.cluster.close()" in text
    text = text.replace("Client(LocalCluster(n_workers=2))", "running")
    text = text.replace("client.cluster.close()", "pass")
    example = doctest.DocTestParser().get_doctest(text, {"running": client}, "example", None, 0)
    results = doctest.DocTestRunner().run(example)
    assert results.failed == 0 and results.attempted > 8


@pytest.fixture
def cut_everywhere(client, cut):
    """Tables are trained on in windows here and on all workers, those to come included."""
    names = [(module.__name__, name, value) for module, name, value in as_cut(itemsize=4)]

    class Cut(distributed.WorkerPlugin):
        def __init__(self, names):
            self.names, self.before = names, []

        def setup(self, worker):
            for module, name, value in self.names:
                module = import_module(module)
                self.before.append((module, name, getattr(module, name)))
                setattr(module, name, value)

        def teardown(self, worker):
            for place in self.before:
                setattr(*place)

    cut(itemsize=4)
    client.register_plugin(Cut(names), name="cut")
    yield
    client.unregister_worker_plugin("cut")


@pytest.mark.parametrize("in_windows", [True, False], ids=["windows", "whole"])
def test_a_worker_that_is_killed_in_a_fit_changes_no_bit(in_windows, client, monkeypatch, request):
    if not (in_windows or request.config.getoption("--campaigns")):
        pytest.skip("waits for a new worker: --campaigns")
    params, killed = QUICK | {"max_iter": 4, "batch_size": 7}, []
    whole = fit_in([100], **params)
    if in_windows:
        request.getfixturevalue("cut_everywhere")
        monkeypatch.setattr(rounds, "ROUND_FLOPS", 6 * 21 * 130 / 3)  # parts of epochs

    class Killer:
        def __init__(self, planned):
            pass

        def epoch_ends(self, history, theta):
            if len(history.losses) == 2:
                pid = next(iter(client.run(os.getpid).values()))
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            return False

    monkeypatch.setattr(fastbp.dask, "Lines", Killer)
    model = DaskBackpropRegressor(**params, verbose=True).fit(*arrays(X, Y))
    assert len(killed) == 1
    assert_equal(model, fit_in([100], **params))
    assert np.array_equal(model.coefs_[0], whole.coefs_[0]) != in_windows


def test_a_worker_that_joins_is_used(request, monkeypatch):
    if not request.config.getoption("--campaigns"):
        pytest.skip("takes a minute: --campaigns")
    many = np.random.default_rng(0).normal(size=(200_000, 3))
    y, params = np.sin(many[:, 0]), QUICK | {"hidden_layer_sizes": (128, 128), "max_iter": 4}
    cluster = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**cluster) as workers, distributed.Client(workers) as client:

        class Joiner:
            def __init__(self, planned):
                pass

            def epoch_ends(self, history, theta):
                if len(history.losses) == 1:
                    workers.scale(2)
                    client.wait_for_workers(2)
                return False

        monkeypatch.setattr(fastbp.dask, "Lines", Joiner)
        dX, dy = arrays(many, y, chunks=(25_000,))
        with distributed.get_task_stream(client) as stream:
            model = DaskBackpropRegressor(**params, verbose=True, client=client).fit(dX, dy)
    trained = [task["worker"] for task in stream.data if str(task["key"]).startswith("trained")]
    assert len(set(trained)) == 2
    assert min(map(trained.count, set(trained))) >= 4  # of 32, after the first 8
    assert_equal(model, fit_in(np.arange(25_000, 200_000, 25_000), many, y, **params))
