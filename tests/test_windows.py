"""Tables that are too large for a working copy: measured where they lie, trained on in windows."""

import subprocess
import sys
from pathlib import Path

import descent
import numpy as np
import pytest
import reference
from conftest import TRAINING
from descent import OPTIMIZERS, PRECISIONS, assert_same_weights
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropRegressor
from fastbp.fitting import calling, fit, loop, survey, windows
from fastbp.fitting.settings import settings_of
from fastbp.fitting.table import Table
from fastbp.fitting.team import Team
from fastbp.kernels.training.records import STATE
from fastbp.kernels.training.windows import PIECE, shuffle_stretches
from fastbp.outliers import Bounds

#: Rows of tables, batches, windows and blocks: see `conftest.as_cut`.
N, BATCH, ROWS, BLOCK = 103, 7, 28, 5
QUICK = {"batch_size": BATCH, "max_iter": 3, "random_state": 0, "n_iter_no_change": np.inf}


def samples(n=N, outputs=1):
    random = np.random.default_rng(0)
    X = random.normal(size=(n, 3))
    return X, np.column_stack([np.sin(X[:, 0]) + X[:, 1] * X[:, 2], X[:, 0]])[:, :outputs]


def weights_of(model):
    return np.concatenate([np.ravel(a) for a in (*model.coefs_, *model.intercepts_)])


# ---------------------------------------------------------------------- against the reference


@pytest.mark.parametrize("kernel", [name for name in TRAINING if name != "sparse"], indirect=True)
@pytest.mark.parametrize("weighs", [False, True])
def test_every_kernel_trains_in_windows_as_the_reference(kernel, weighs, model_of, cut):
    X, Y = samples(outputs=2)
    weight = np.random.default_rng(1).integers(0, 3, N).astype(float) if weighs else None
    batch_size = 1 if kernel == "online" else BATCH
    cut(outputs=2, weighs=weighs)
    params, rule = OPTIMIZERS["adam"]
    start = reference.random_network([3, 4, 2], ["tanh"])
    shared = {"batch_size": batch_size, "alpha": 0.01, "max_iter": 3}
    model = model_of(start, learning_rate_init=0.01, **params, **shared)
    model.set_params(shuffle=True, random_state=0).fit(X, Y, weight)
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int64).max, dtype=np.int64))
    orders = descent.orders_in_windows(N, 3, seed, rows=ROWS, block=BLOCK)
    course = descent.fit(
        start, "squared_error", rule(0.01), X, Y, weight, orders=orders, **shared
    )  # fmt: skip
    assert_same_weights(model, course.best(), **PRECISIONS["float64"])
    assert_allclose(model.loss_curve_, course.losses, **PRECISIONS["float64"])
    assert model.t_ == 3 * N


@pytest.mark.parametrize("n", [1, 27, 28, 29, 103, 140, 1000])
@pytest.mark.parametrize("every", [None, 9, 2])
def test_an_epoch_takes_every_row_once_and_none_that_is_set_apart(n, every, cut):
    cut()
    X, y = np.random.default_rng(0).normal(size=(n, 3)), np.arange(float(n))[:, None]
    apart = np.empty(0, np.int64) if every is None else np.arange(1, n, every)
    settings = settings_of(founding(batch_size=BATCH, n_threads=2).get_params())
    of = windows.Windows(Table(X, y, None), np.float64, None, None, None, apart, settings)
    state, there = np.zeros(1, STATE).view(np.recarray)[0], np.setdiff1d(np.arange(n), apart)
    for _ in range(2):
        found, position = [], 0
        while position < of.n_samples:
            window, first = of.samples_at(position, state, Team(2))
            rows = window.y[:, 0].astype(int)
            assert first == position
            assert_array_equal(window.X, X[rows])
            found, position = [*found, *rows], position + len(rows)
            assert len(rows) % BATCH == 0 or position == of.n_samples
        assert_array_equal(np.sort(found), there)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("position", [1, 7, 27, 28, 55, 84, 90])
def test_who_skips_to_a_position_goes_on_as_who_has_been_there(position, shuffle, cut):
    cut()
    X, y = np.random.default_rng(0).normal(size=(N, 3)), np.arange(float(N))[:, None]
    settings, found = settings_of(founding(batch_size=BATCH, shuffle=shuffle).get_params()), []
    of_all = Table(X, y, None), "f8", None, None, None, np.empty(0, np.int64), settings
    for skips in (False, True):
        of, state = windows.Windows(*of_all), np.zeros(1, STATE).view(np.recarray)[0]
        if skips:
            if shuffle:
                state.random = of.skip_epoch(state)
            of.go_on_at(position, state, Team(1))
        else:
            for first in range(0, position, ROWS):
                window, _ = of.samples_at(first, state, Team(1))
                if shuffle:  # as a kernel does
                    shuffle_stretches(window.order, np.array([0, window.order.size]), state)
        window, first = of.samples_at(position, state, Team(1))
        rows = window.y[window.order, 0].tolist()
        found.append((first, rows, of.blocks.tolist(), state.random))
    assert found[0] == found[1]
    assert (found[0][-1] > 0) == shuffle


def test_a_window_is_a_sample_of_the_whole_table_however_it_is_sorted(cut):
    cut(rows=280, block=7)
    X, y = np.zeros((10_000, 3)), np.arange(10_000.0)[:, None]
    settings = settings_of(founding(batch_size=BATCH).get_params())
    none, state = np.empty(0, np.int64), np.zeros(1, STATE).view(np.recarray)[0]
    of, seen = windows.Windows(Table(X, y, None), "f8", None, None, None, none, settings), set()
    for position in range(0, 9800, 280):
        rows, _ = of.samples_at(position, state, Team(2))
        counts, _ = np.histogram(rows.y, bins=20, range=(0, 10_000))
        assert abs(counts - 14).max() <= 7  # one block more or less
        seen.add(tuple(rows.y[:, 0]))
    assert len(seen) == 35


# --------------------------------------------------------------------- any table, any threads

LAYOUTS = {
    "C": lambda A: np.ascontiguousarray(A),
    "Fortran": lambda A: np.asfortranarray(A),
    "every other row": lambda A: np.repeat(A, 2, axis=0)[::2],
    "some columns": lambda A: np.column_stack([A, A])[:, : A.shape[1]],
    "backwards": lambda A: np.ascontiguousarray(A[::-1])[::-1],  # is copied
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_in_the_order_of_the_table_windows_change_no_bit(layout, source, dtype, cut):
    X, y = (LAYOUTS[layout](A.astype(source)) for A in samples())
    X.flags.writeable = False
    params = QUICK | {"shuffle": False, "standardize": False, "dtype": dtype}
    whole = founding(4, **params).fit(X, y[:, 0])
    cut(source=X.itemsize)
    model = founding(4, **params).fit(X, y[:, 0])
    assert_array_equal(weights_of(model), weights_of(whole))
    assert model.loss_curve_ == whole.loss_curve_


def test_a_mapped_file_is_trained_on_as_an_array(tmp_path, cut):
    X, y = samples()
    np.save(tmp_path / "X.npy", X)
    cut()
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert windows.is_mapped(np.asarray(mapped)[:50]) and not windows.is_mapped(X)
    found, model = (founding(4, **QUICK).fit(A, y[:, 0]) for A in (mapped, X))
    assert_array_equal(weights_of(found), weights_of(model))


def test_numbers_of_any_kind_and_weights_that_lie_anywhere_are_taken_in_windows(cut):
    X, y = samples()
    X, y, weight = np.floor(9 * X), np.floor(9 * y[:, 0]), np.arange(N) % 3 + 1.0
    at_an_odd_byte = np.zeros(8 * N + 1, np.uint8)[1:].view(float)
    at_an_odd_byte[:] = weight
    cut(weighs=True)
    first = founding(4, **QUICK).fit(X, y, weight)
    for kind in ("i8", "i2", "f2", ">f8"):
        model = founding(4, **QUICK).fit(X.astype(int), y.astype(kind), at_an_odd_byte)
        assert_array_equal(weights_of(model), weights_of(first))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_any_number_of_threads_gives_the_same_bits(early_stopping, cut):
    random = np.random.default_rng(0)
    X = random.normal(size=(3 * PIECE // 2, 2)).astype(np.float32)
    y, weight = X[:, 0] - X[:, 1] ** 2, random.uniform(size=len(X))
    cut(rows=30_000, block=90, columns=2, itemsize=4, source=4, weighs=True)
    params = {"batch_size": 10_000, "max_iter": 2, "early_stopping": early_stopping}
    one, *others = (
        founding(32, **QUICK | params, n_threads=n).fit(X, y, weight) for n in (1, 2, 17, None)
    )
    for other in others:
        assert_array_equal(weights_of(other), weights_of(one))
        assert other.loss_curve_ == one.loss_curve_


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_standardised_in_windows_is_standardised(offset, cut):
    X, y = samples()
    X, y = X * [1.0, 1e-3, 1e9] + offset, 1e3 * y[:, 0] + offset
    X[3, 0], X[4, 1] = X[:, 0].max() + 1e6, offset - 5  # outliers of X are drawn in
    weight = np.random.default_rng(1).integers(0, 3, N).astype(float)
    params = QUICK | {"shuffle": False, "dtype": "float64"}
    for chosen in (None, weight):
        whole = founding(4, **params, standardize=True).fit(X, y, chosen)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(survey, "WHOLE_BYTES", 0)
            model = founding(4, **params, standardize=True).fit(X, y, chosen)
        assert_allclose(model.predict(X), whole.predict(X), rtol=1e-6)
        assert_allclose(model.loss_curve_, whole.loss_curve_, rtol=1e-8)
        assert_allclose(model._scaling.X_scale, whole._scaling.X_scale, rtol=1e-8)


def test_a_stream_of_large_tables_is_followed_as_one_of_small_ones(cut):
    X, y = samples()
    params = QUICK | {"shuffle": False, "standardize": True}
    whole, model = founding(4, **params), founding(4, **params)
    for rows in (slice(0, 50), slice(50, N)):
        whole.partial_fit(X[rows], y[rows, 0])
    cut()
    for rows in (slice(0, 50), slice(50, N)):
        model.partial_fit(X[rows], y[rows, 0])
    assert_allclose(model.predict(X), whole.predict(X), rtol=1e-4, atol=1e-5)
    assert model.t_ == whole.t_ == N


# ----------------------------------------------------------------------------- one pass


def numbers(n=PIECE + 5000, d=3, dtype=np.float64, order="C"):
    A = np.random.default_rng(0).normal(1e6, [1.0, 1e-3, 10.0][:d], (n, d))
    return np.asarray(A, dtype, order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("counts", ["all", "by weight", "but some"])
def test_what_columns_come_to_is_exact(order, dtype, counts):
    A, weight, apart, w = numbers(dtype=dtype, order=order), None, None, np.ones(PIECE + 5000)
    bounds = Bounds(A.min(axis=0) + 0.5, np.full(3, np.inf)) if counts != "all" else None
    if counts == "by weight":
        weight = w = np.random.default_rng(1).integers(0, 3, len(A)).astype(float)
        A[w == 0] = 9.97e36  # that of netCDF files
    if counts == "but some":
        apart = np.arange(3, len(A), 7)
        w[apart] = 0
    found = survey.measured(A, weight, apart, bounds, n_threads=2)
    exact = np.float64(A) if bounds is None else np.clip(np.float64(A), *bounds)
    mean = np.average(exact - 1e6, axis=0, weights=w)
    assert_allclose(found.mean - 1e6, mean, rtol=1e-9, atol=1e-9)
    variance = np.average((exact - 1e6 - mean) ** 2, axis=0, weights=w)
    assert_allclose(found.deviation, np.sqrt(variance), rtol=1e-9)
    assert_array_equal(found.low, A[w > 0].min(axis=0))
    assert_array_equal(found.high, A[w > 0].max(axis=0))
    assert found.weight == w.sum() and found.n_rows == np.count_nonzero(w)


@pytest.mark.parametrize("value", [0.1, -3e17, 1e300, 1e-310])
def test_a_constant_column_has_no_deviation(value):
    found = survey.measured(np.full((PIECE + 100, 1), value))
    assert found.deviation == 0 and found.mean == value


@pytest.mark.parametrize("unit", [1e-200, 1e200, 1e308])
def test_columns_of_any_magnitude_are_measured(unit):
    A = numbers(3000, 1) - 1e6
    A *= unit / np.abs(A).max()
    assert_allclose(survey.measured(A).deviation / unit, (A / unit).std(axis=0), rtol=1e-9)


# -------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 52, N - 1])
def test_what_is_no_number_is_so_in_scikit_learns_words(wrong, row, cut):
    def message(fit, X, y, **more):
        with pytest.raises(ValueError, match=r"contains (NaN|infinity)") as error:
            fit(X, y, **more)
        return str(error.value)

    for name in "Xy":
        X, y = samples()
        (X if name == "X" else y)[row, 0] = wrong
        weight = np.ones(N)
        weight[row] = 0  # not even where it doesn't count
        said = message(founding().fit, X, y[:, 0])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(survey, "WHOLE_BYTES", 0)
            # The last is trained on whole.
            for more in ({}, {"early_stopping": True}, {"solver": "lbfgs"}):
                model = founding(**QUICK | more)
                assert message(model.fit, X, y[:, 0]) == said
            assert message(model.fit, X, y[:, 0], sample_weight=weight) == said
            assert message(founding(**QUICK).partial_fit, X, y[:, 0]) == said


def test_bounds_are_those_of_rows_that_are_trained_on():
    A = np.random.default_rng(0).normal(size=(300, 2))
    apart = np.arange(1, 300, 3)
    A[apart] *= 1e6
    A[0] = 50.0  # so that there is something to be drawn in
    settings = settings_of(BackpropRegressor()._params())
    _, _, bounds, _ = survey.measured_table(Table(A, A[:, :1], None), apart, settings, True)
    assert (bounds.high < 50).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_not_drawn_in_either(wrong):
    """Where bounds were found by other rows."""
    A = np.random.default_rng(0).normal(size=(300, 2))
    bounds = Bounds(np.full(2, -2.0), np.full(2, 2.0))
    assert np.isfinite(survey.measured(A, bounds=bounds).deviation).all()
    A[200, 1] = wrong
    with pytest.raises(survey.NotFinite):
        survey.measured(A, bounds=bounds)


def test_values_beyond_float32_are_an_error_before_training(cut, monkeypatch):
    """Also where they are in none of the rows that first weights are drawn by."""
    monkeypatch.setattr(survey, "ROWS_LOOKED_AT", 10)
    X, y = samples()
    X[40, 1] = 1e300
    cut()
    with pytest.raises(ValueError, match="too large for float32"):
        founding(**QUICK, standardize=False, dtype="float32").fit(X, y[:, 0])
    weight = np.ones(N)
    weight[40] = 0
    model = founding(**QUICK, standardize=False, dtype="float32").fit(X, y[:, 0], weight)
    assert np.isfinite(weights_of(model)).all()


def test_a_training_that_diverges_says_so_and_begins_again_before(cut):
    X, y = samples()
    cut()
    model = founding(4, **QUICK, learning_rate_init=1e3, momentum=0.9, standardize=True)
    with pytest.raises(ValueError, match="diverged"):
        model.fit(X, y[:, 0])
    assert founding(4, **QUICK, init="auto").fit(X, y[:, 0]).loss_ < 1


def test_the_time_may_be_over_within_a_window(cut, calls):
    X, y = samples()
    cut()
    calls.of_steps(5)
    model = founding(4, **QUICK | {"max_iter": 50}, max_time=1e-9).fit(X, y[:, 0])
    assert model.n_iter_ == 1 and np.isfinite(weights_of(model)).all()


def test_ctrl_c_in_a_window_leaves_the_last_whole_epoch(cut, calls):
    X, y = samples()
    cut()
    whole = founding(4, **QUICK | {"max_iter": 1}).fit(X, y[:, 0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calling.Calls, "share", lambda *_, **__: (3, 1))
        pressed = calling.Calls.go_through_windows

        def press(self, *arguments):
            if self.history.losses and self.state["position"] > ROWS:
                self.ctrl_c.pressed = True
            return pressed(self, *arguments)

        patch.setattr(calling.Calls, "go_through_windows", press)
        with pytest.warns(ConvergenceWarning, match="Interrupted"):
            model = founding(4, **QUICK | {"max_iter": 9}).fit(X, y[:, 0])
    assert model.n_iter_ == 1
    assert_array_equal(weights_of(model), weights_of(whole))


# ------------------------------------------------------------------ harmless, where sorted


@pytest.mark.parametrize("by", ["target", "feature"])
def test_a_sorted_table_is_learnt_as_one_in_any_order(by, cut):
    random = np.random.default_rng(0)
    X = random.normal(size=(4000, 3)).astype(np.float32)
    y = np.sin(2 * X[:, 0]) + X[:, 1] + random.normal(0, 0.1, 4000).astype(np.float32)
    order = np.argsort(y if by == "target" else X[:, 0])
    X, y = X[order], y[order]
    params = {"batch_size": 32, "max_iter": 10, "random_state": 0, "early_stopping": False}
    left = {}
    for name, shuffled in (("whole", True), ("windows", True), ("sorted", False)):
        if name == "windows":
            cut(rows=512, block=8, itemsize=4, source=4)
        model = BackpropRegressor(16, shuffle=shuffled, **params).fit(X, y)
        left[name] = 1 - model.score(X, y)
    assert left["windows"] < 1.05 * left["whole"]
    assert left["sorted"] > 1.5 * left["whole"]


# ----------------------------------------------------------------------- what is held out


def test_trials_and_held_out_rows_are_capped(monkeypatch, cut):
    X, y = samples(400)
    cut(itemsize=4)
    monkeypatch.setattr(survey, "TRIAL_BYTES", 0)
    monkeypatch.setattr(survey, "HELD_OUT_BYTES", 0)
    trained, run = [], loop._Loop.run

    def note(self, *arguments):
        trained.append((self.calls.n_samples, len(self.calls.held_out.y)))
        return run(self, *arguments)

    monkeypatch.setattr(loop._Loop, "run", note)
    BackpropRegressor(12, max_iter=20, random_state=0).fit(X, y[:, 0])
    assert max(trained[:-1]) == (204, 52)
    assert trained[-1] == (400, 0)
    founding(4, **QUICK, early_stopping=True, validation_fraction=0.9).fit(X, y[:, 0])
    assert trained[-1] == (144, 256)


def test_windows_are_scaled_as_a_search_has_found_best(cut):
    X, y = samples()
    cut()
    table, scale = Table(X, y, None), np.array([1.0, 0.1, 0.01])
    settings = settings_of(
        founding(batch_size=BATCH, standardize=True, dtype="float64").get_params()
    )
    ((_, found),) = fit.prepare(settings, table, None, mixes=False, whole=False)
    found = found.planned(found.plan._replace(scale=scale))
    assert_allclose(found.units.X_scale, X.std(axis=0) / scale)
    window, _ = found.samples.samples_at(0, np.zeros(1, STATE).view(np.recarray)[0], Team(1))
    rows = np.abs((y - y.mean()) / y.std() - window.y.T).argmin(axis=0)
    assert_allclose(window.X, (X[rows] - X.mean(axis=0)) / X.std(axis=0) * scale)


# -------------------------------------------------------------------------------- memory

CHILD = """
import sys, threading, time
from pathlib import Path
import numpy as np
from fastbp import BackpropRegressor
from fastbp.fitting import survey, windows

def megabytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024

def watch():
    while True:
        peak[0] = max(peak[0], megabytes())
        time.sleep(0.002)

survey.WHOLE_BYTES, survey.TRIAL_BYTES, survey.HELD_OUT_BYTES = 2**22, 2**21, 2**21
windows.MAPPED_WINDOW_BYTES = 2**22
X, y = (np.load(path, mmap_mode="r") for path in sys.argv[1:3])
params = {"batch_size": 256, "max_iter": 1, "random_state": 0}
BackpropRegressor(20, **params).fit(X[:5000], y[:5000])
BackpropRegressor(20, **params).fit(X[:200_000], y[:200_000]).score(X[:9], y[:9])
peak = [0.0]
before = megabytes()
threading.Thread(target=watch, daemon=True).start()
for early_stopping in ("refit", True):
    model = BackpropRegressor(20, early_stopping=early_stopping, **params).fit(X, y)
    print(model.score(X[:10_000], y[:10_000]))
print(peak[0] - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for memory in use")
def test_a_mapped_file_twice_as_large_as_a_limit_is_learnt_within_it(tmp_path):
    random, limit, n = np.random.default_rng(0), 20, 1_200_000
    X = random.standard_normal((n, 8), dtype=np.float32)
    y = np.sin(X[:, 0]) + X[:, 1]
    assert X.nbytes + y.nbytes > 2 * limit * 2**20
    paths = [str(tmp_path / name) for name in ("X.npy", "y.npy")]
    for path, A in zip(paths, (X, y), strict=True):
        np.save(path, A)
    run = subprocess.check_output([sys.executable, "-c", CHILD, *paths], text=True)
    *scores, grown = map(float, run.split())
    assert grown < limit
    assert min(scores) > 0.95
