"""Ensembles: the same members however they are trained, and however training ends."""

import doctest
import pickle
import signal
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_persistence import rewritten

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp import ensemble as module
from fastbp.fitting import calling, members, plan, team
from fastbp.fitting.interrupts import CtrlC, is_pressed_here

#: A member that is trained at once.
SMALL = {
    "hidden_layer_sizes": 12,
    "max_iter": 30,
    "early_stopping": False,
    "encoding": None,
}


def ensemble(n_estimators=3, member=None, **params):
    member = BackpropRegressor(**SMALL | (member or {}))
    params = {"random_state": 0} | params
    return BackpropEnsembleRegressor(member, n_estimators, **params)


def noisy(n, random_state=0, noise=0.3):
    """A smooth function of two columns, and noise that no network can tell."""
    random = np.random.default_rng(random_state)
    X = random.uniform(-2, 2, (n, 2))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + random.normal(0, noise, n)


def assert_same(one, other, X):
    assert_array_equal(one.predict(X, return_std=True), other.predict(X, return_std=True))


# ------------------------------------------------------------------------- scikit-learn


@parametrize_with_checks(
    [ensemble(2), ensemble(2, {"dtype": "float64"}, resample=None)],
    expected_failed_checks=lambda _: {
        f"check_sample_weight_equivalence_on_{kind}_data": "first weights go by the rows"
        for kind in ("dense", "sparse")
    },
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # noise is not learnt
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_it_is_scored_searched_and_cloned_as_others_are(table):
    model = ensemble(2)
    assert cross_val_score(model, *table, cv=3).min() > 0.3
    search = GridSearchCV(model, {"estimator__max_iter": [1, 30], "n_estimators": [2]}, cv=2)
    assert search.fit(*table).best_params_["estimator__max_iter"] == 30
    assert_same(clone(model).fit(*table), model.fit(*table), table[0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"resample": "jackknife"}, "resample"),
        ({"estimator": "mlp"}, "estimator"),
        ({"estimator": BackpropRegressor(alpha=-1)}, "alpha"),
        ({"estimator": BackpropRegressor(loss="quantile", loss_parameter=-1)}, "loss_parameter"),
        ({"n_threads": 0}, "n_threads"),
    ],
)
def test_parameters_are_checked_before_any_work(params, message, table, monkeypatch):
    monkeypatch.setattr(members, "train", None)
    with pytest.raises(ValueError, match=message):
        BackpropEnsembleRegressor(**params).fit(*table)


def test_a_fit_that_fails_leaves_the_model_as_it_was(table):
    X, y = table
    model = ensemble().fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X[:, :2] * np.nan, y)
    assert_array_equal(model.predict(X), before)


# ------------------------------------------------------------------------------ members


@pytest.mark.parametrize("resample", [None, "folds", "bootstrap"])
def test_any_number_of_threads_gives_the_same_bits(resample, table):
    X, y = table
    alone, *others = [ensemble(3, resample=resample, n_threads=n).fit(X, y) for n in (1, 2, 5)]
    for other in others:
        assert_same(alone, other, X)
        assert_array_equal(alone.oob_prediction_, other.oob_prediction_)


def test_threads_beyond_the_members_are_the_members_own(table, monkeypatch):
    seen, of_layout = [], calling.layout

    def layout(*arguments):
        seen.append(arguments[2].n_threads)
        return of_layout(*arguments)

    monkeypatch.setattr(calling, "layout", layout)
    ensemble(2, n_threads=5).fit(*table)
    assert set(seen) == {2}


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"max_iter": "auto", "early_stopping": "refit"},
        {"init": "glorot", "learning_rate_init": 0.01},
        {"hidden_layer_sizes": 4},
        {"solver": "sgd", "dtype": "float64"},
    ],
)
def test_a_clone_of_a_member_is_that_member_once_fitted(member, table):
    X, y = table
    weight = np.linspace(0.1, 2, len(y))
    model = ensemble(2, member, resample=None).fit(X, y, weight)
    first, second = model.estimators_
    assert not np.array_equal(first.coefs_[0], second.coefs_[0])
    assert_array_equal(clone(first).fit(X, y, weight).coefs_[0], first.coefs_[0])
    mean = np.mean([first.predict(X), second.predict(X)], axis=0)
    assert_allclose(model.predict(X), mean, rtol=1e-6)


def test_more_members_change_none_of_the_others(table):
    two, three = (ensemble(n, resample="bootstrap").fit(*table).estimators_ for n in (2, 3))
    for one, other in zip(two, three, strict=False):
        assert_array_equal(one.coefs_[0], other.coefs_[0])


def test_one_pilot_serves_all(table, monkeypatch):
    pilots, by_pilots = [], members.fit.trials.Search.run
    monkeypatch.setattr(
        members.fit.trials.Search, "run", lambda search: pilots.append(1) or by_pilots(search)
    )
    model = ensemble(3, {"max_iter": "auto", "early_stopping": "refit"}).fit(*table)
    assert len(pilots) == 1
    assert {member.n_iter_ for member in model.estimators_} == {model.max_iter_}


def test_early_stopping_holds_the_same_rows_out_for_all(table):
    model = ensemble(3, {"early_stopping": True}).fit(*table)
    assert all(member.best_validation_score_ > 0 for member in model.estimators_)
    assert 0 < np.isnan(model.oob_prediction_).sum() < len(table[1])


def test_rows_without_weight_are_not_there(table):
    X, y = table
    weight = np.ones(len(y))
    weight[::4] = 0
    wrong = np.where(weight == 0, 1e6, y)
    for resample in ("folds", "bootstrap", None):
        one, other = (ensemble(resample=resample).fit(X, each, weight) for each in (y, wrong))
        assert_array_equal(one.predict(X), other.predict(X))
        if resample:
            assert np.isnan(one.oob_prediction_[::4]).all()


def test_several_outputs_and_sparse_rows(two_outputs):
    X, Y = two_outputs
    model = ensemble(member={"max_iter": 100}).fit(X, Y)
    assert model.score(X, Y) > 0.5
    lower, upper = model.predict_interval(X, 0.8)
    mean, std = model.predict(X, return_std=True)
    assert lower.shape == upper.shape == mean.shape == std.shape == Y.shape
    assert model.oob_prediction_.shape == Y.shape
    other = clone(model).fit(sparse.csr_matrix(X), Y)
    assert other.score(sparse.csr_matrix(X), Y) > 0.5
    assert np.isfinite(other.oob_prediction_).any()


def test_the_deviation_is_that_of_the_members_predictions(table):
    X, y = table
    model = ensemble(4).fit(X, y)
    each = np.array([member.predict(X) for member in model.estimators_])
    mean, std = model.predict(X, return_std=True)
    assert_allclose(mean, each.mean(axis=0), rtol=1e-6)
    assert_allclose(std, each.std(axis=0, ddof=1), rtol=1e-4)
    assert (ensemble(1).fit(X, y).predict(X, return_std=True)[1] == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_estimators", [3, 8])
def test_a_row_is_predicted_alike_whatever_lies_beside_it(n_estimators, dtype, table, two_outputs):
    for X, y in (table, two_outputs):
        model = ensemble(n_estimators, {"max_iter": 3, "dtype": dtype}).fit(X, y)
        whole = model.predict(X, return_std=True)
        for size in (1, 2, 17):
            pieces = [X[start : start + size] for start in range(0, len(X), size)]
            pieces = [model.predict(piece, return_std=True) for piece in pieces]
            for one, of_pieces in zip(whole, zip(*pieces, strict=True), strict=True):
                assert_array_equal(one, np.concatenate(of_pieces))
        for laid_out in (np.asfortranarray(X), np.hstack([X, X])[:, : X.shape[1]]):
            assert_array_equal(whole, model.predict(laid_out, return_std=True))


def test_how_far_members_differ_for_a_row_is_a_number_beside_any_other(table):
    X, y = table
    model = ensemble(3, {"activation": "relu", "max_iter": 3, "dtype": "float64"}).fit(X, y)
    rows = np.vstack([X[:1], np.full_like(X[:1], 1e200)])
    both = model.predict(rows, return_std=True)[1]
    assert both[0] == model.predict(X[:1], return_std=True)[1][0] > 0


def test_several_are_better_than_one():
    X, y = noisy(400)
    X_new, y_new = noisy(1000, 1, noise=0)
    model = ensemble(8, {"max_iter": 300, "hidden_layer_sizes": 40}).fit(X, y)
    error = np.mean((model.predict(X_new) - y_new) ** 2)
    alone = [np.mean((member.predict(X_new) - y_new) ** 2) for member in model.estimators_]
    assert error < 0.9 * np.mean(alone)


# ------------------------------------------------------------------ files and functions


@pytest.mark.parametrize("resample", [None, "folds"])
def test_a_loaded_ensemble_is_the_same(resample, table, tmp_path):
    X, y = pd.DataFrame(table[0], columns=["a", "b", "c"]), table[1]
    model = ensemble(2, resample=resample).fit(X, y)
    model.save(tmp_path / "model.npz")
    loaded = BackpropEnsembleRegressor.load(tmp_path / "model.npz")
    assert_same(loaded, model, X)
    assert str(loaded.get_params()) == str(model.get_params())
    assert_array_equal(loaded.feature_names_in_, ["a", "b", "c"])
    for name in ("oob_prediction_", "residuals_", "residual_weights_", "max_iter_", "oob_score_"):
        assert_array_equal(getattr(loaded, name), getattr(model, name))
    if resample:
        assert_array_equal(loaded.predict_interval(X), model.predict_interval(X))
    assert loaded.estimators_[0].loss_curve_ == model.estimators_[0].loss_curve_
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fu" for name in file.files)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, arrays: header.pop("members"),
        lambda header, arrays: header["members"].clear(),
        lambda header, arrays: header["members"].pop(),
        lambda header, arrays: header["params"].update(n_estimators=0),
        lambda header, arrays: header["members"][1].update(predict=9),
        lambda header, arrays: arrays.pop("1_coefs_0"),
        lambda header, arrays: arrays.pop("residuals_"),
        lambda header, arrays: arrays.pop("estimator_weights_"),
        lambda header, arrays: arrays.update(estimator_weights_=np.ones(1)),
        lambda header, arrays: arrays.update(more=np.zeros(3)),
    ],
)
def test_a_file_that_does_not_describe_an_ensemble_is_refused(change, table, tmp_path):
    path = tmp_path / "model.npz"
    ensemble(2).fit(*table).save(path)
    with pytest.raises(ValueError, match=r"model\.npz is not a whole model"):
        BackpropEnsembleRegressor.load(rewritten(path, change))


#: What somebody may do to an ensemble after its fit, and what is said of it.
ALTERED = {
    "a member less": (lambda m: m.estimators_.pop(), "a weight for each member"),
    "a member more": (lambda m: m.estimators_.append(m.estimators_[0]), "a weight for each member"),
    "no members": (lambda m: m.estimators_.clear(), "list of fitted networks"),
    "no list": (lambda m: vars(m).update(estimators_=None), "list of fitted networks"),
    "not fitted": (
        lambda m: m.estimators_.__setitem__(1, BackpropRegressor()), r"estimators_\[1\] is not"
    ),
    "other columns": (lambda m: vars(m).update(n_features_in_=2), "columns|expecting 2"),
    "other outputs": (lambda m: vars(m).update(n_outputs_=2), "outputs"),
    "ones": (lambda m: vars(m).update(estimator_weights_=np.ones(2)), "sum to 1"),
    "NaN": (lambda m: vars(m).update(estimator_weights_=[np.nan, 1.0]), "sum to 1"),
    "negative": (lambda m: vars(m).update(estimator_weights_=[-1.0, 2.0]), "at least 0"),
    "a column": (lambda m: vars(m).update(estimator_weights_=np.full((2, 1), 0.5)), "of shape"),
    "no weights": (lambda m: vars(m).update(estimator_weights_=None), "array of numbers"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), ALTERED.values(), ids=ALTERED)
def test_an_ensemble_that_was_altered_is_no_whole_one(change, message, table, tmp_path):
    model, path = ensemble(2).fit(*table), tmp_path / "model.npz"
    model.save(path)
    before = path.read_bytes()
    change(model)
    for use in (
        lambda: model.predict(table[0]), lambda: model.score(*table), model.as_njit,
        lambda: model.predict_interval(table[0]), lambda: model.feature_importances_,
        lambda: model.to_c(tmp_path / "model.c"), lambda: model.save(path),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            use()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"residuals_": np.ones(40)}, "different shapes"),
        ({"residuals_": "x"}, "array of numbers"),
        ({"residuals_": np.full((40, 1), np.nan)}, "not finite"),
        ({"residuals_": np.full((40, 1), np.inf)}, "not finite"),
        ({"residuals_": -np.ones((40, 1))}, "negative"),
        ({"residual_weights_": None}, "array of numbers"),
        ({"residual_weights_": np.ones(3)}, "different shapes"),
        ({"residual_weights_": -np.ones(40)}, "at least 0"),
        ({"residual_weights_": np.zeros(40)}, "not all 0"),
        ({"residual_weights_": np.full(40, np.inf)}, "finite"),
    ],
)
def test_intervals_need_residuals_and_their_weights(changed, message, table, tmp_path):
    model = ensemble(2).fit(*table)
    vars(model).update(residuals_=np.ones((40, 1)), residual_weights_=np.ones(40))
    model.predict_interval(table[0])
    vars(model).update(changed)
    for use in (lambda: model.predict_interval(table[0]), lambda: model.save(tmp_path / "m.npz")):
        with pytest.raises(ValueError, match=message):
            use()
    assert not (tmp_path / "m.npz").exists()


def test_lists_and_single_precision_will_do(table, tmp_path):
    model, X = ensemble(3).fit(*table), table[0]
    expected, interval = model.predict(X), model.predict_interval(X)
    for form in (np.ndarray.tolist, lambda a: a.astype(np.float32)):
        model.estimator_weights_ = form(np.full(3, 1 / 3))
        assert_allclose(model.predict(X), expected, rtol=1e-6)
        model.save(tmp_path / "model.npz")
    vars(model).update(
        residuals_=model.residuals_.tolist(), residual_weights_=model.residual_weights_.tolist()
    )
    assert_allclose(model.predict_interval(X), interval, rtol=1e-6)
    model.save(tmp_path / "model.npz")
    loaded = BackpropEnsembleRegressor.load(tmp_path / "model.npz")
    assert_allclose(loaded.predict_interval(X), interval, rtol=1e-6)


@pytest.mark.parametrize("value", [0, -1, 2.5, "2"])
def test_no_threads_predict_nothing(value, table):
    model = ensemble(2).fit(*table).set_params(n_threads=value)
    for method in (model.predict, model.predict_interval):
        with pytest.raises(InvalidParameterError, match="n_threads"):
            method(table[0])


def test_a_file_from_when_the_ensemble_said_the_encoding_is_read(table, tmp_path):
    model = ensemble(2).fit(*table)
    model.save(tmp_path / "model.npz")
    path = rewritten(
        tmp_path / "model.npz", lambda header, _: header["params"].update(encoding="auto")
    )
    assert_array_equal(
        BackpropEnsembleRegressor.load(path).predict(table[0]), model.predict(table[0])
    )


def test_a_default_estimator_and_a_generator_are_saved_too(table, tmp_path):
    model = ensemble(1).fit(*table)
    model.set_params(estimator=None, random_state=np.random.RandomState(0))
    with pytest.warns(UserWarning, match="A file can't hold random_state=RandomState: "):
        model.save(tmp_path / "model.npz")
    loaded = BackpropEnsembleRegressor.load(tmp_path / "model.npz")
    assert (loaded.estimator, loaded.random_state) == (None, None)


def test_networks_and_ensembles_refuse_each_others_files(table, tmp_path):
    path = tmp_path / "model.npz"
    ensemble(1).fit(*table).save(path)
    with pytest.raises(ValueError, match=r"BackpropEnsembleRegressor\.load reads it"):
        BackpropRegressor.load(path)
    BackpropRegressor(**SMALL).fit(*table).save(path)
    with pytest.raises(ValueError, match=r"BackpropRegressor\.load reads it"):
        BackpropEnsembleRegressor.load(path)
    with pytest.raises(NotFittedError):
        ensemble().save(path)


def test_it_can_be_pickled(table):
    model = ensemble(2).fit(*table)
    assert_same(pickle.loads(pickle.dumps(model)), model, table[0])


# ------------------------------------------------------------------ ends of all kinds


def test_a_prediction_is_as_precise_as_the_most_precise_member(table):
    X, y = map(np.float32, table)
    model = ensemble(2).fit(X, y)
    expected = model.predict(X)
    assert expected.dtype == np.float32
    last = model.estimators_[1]
    last._learnt = last._learnt._replace(y_dtype=np.dtype(np.float64))
    predicted = model.predict(X)
    assert predicted.dtype == np.float64
    assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_after_ctrl_c_the_members_that_are_done_are_the_model(
    n_threads, table, monkeypatch, ctrl_c_is_heard, no_thread_is_left
):
    X, y = table
    whole = ensemble(4, n_threads=1).fit(X, y)
    train_one, done = members.train_one, threading.Event()

    def pressing(prepared, number, *rest):
        if number == 1:
            assert n_threads == 1 or done.wait(10)
            threading.Thread(target=signal.raise_signal, args=[signal.SIGINT]).start()
            end = time.monotonic() + 10
            while not is_pressed_here() and time.monotonic() < end:
                time.sleep(0.001)
        fitted = train_one(prepared, number, *rest)
        done.set()
        return fitted

    monkeypatch.setattr(members, "train_one", pressing)
    model = ensemble(4, {"max_iter": 30}, n_threads=n_threads)
    with pytest.warns(ConvergenceWarning, match=r"Interrupted: the ensemble is \d of 4 members"):
        model.fit(X, y)
    assert 1 <= len(model.estimators_) < 4
    assert_array_equal(model.estimators_[0].coefs_[0], whole.estimators_[0].coefs_[0])
    assert np.isfinite(model.predict_interval(X, 0.5)).all()


def test_of_members_those_that_are_whole_are_kept_else_those_that_were_begun():
    whole, begun = (
        SimpleNamespace(history=SimpleNamespace(ended_by=by)) for by in ("max_iter", "interrupted")
    )
    assert members.whole_members([begun, whole, None, whole]) == [1, 3]
    assert members.whole_members([None, begun, None, begun]) == [1, 3]
    with pytest.raises(KeyboardInterrupt):
        members.whole_members([None, None])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_in_the_first_members_keeps_their_whole_epochs(n_threads, table, ctrl_c_is_heard):
    model = ensemble(3, {"max_iter": 10**7}, n_threads=n_threads)
    ensemble(2).fit(*table)  # compiles
    threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
    start = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match=f"{n_threads} of 3 members, none of which is done"):
        model.fit(*table)
    assert time.perf_counter() - start < 2
    assert 0 < model.estimators_[0].n_iter_ < 10**7
    assert model.predict(table[0]).shape == (60,)


def test_ctrl_c_before_any_epoch_leaves_no_model(table, monkeypatch, ctrl_c_is_heard):
    def pressing(*arguments):
        signal.raise_signal(signal.SIGINT)
        raise KeyboardInterrupt

    monkeypatch.setattr(members, "train_one", pressing)
    model = ensemble()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*table)
    assert not hasattr(model, "estimators_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_in_a_member_is_the_callers(n_threads, table, monkeypatch, no_thread_is_left):
    train_one = members.train_one

    def failing(prepared, number, *rest):
        if number == 1:
            raise MemoryError("no room for this member")
        return train_one(prepared, number, *rest)

    monkeypatch.setattr(members, "train_one", failing)
    with pytest.raises(MemoryError, match="no room"):
        ensemble(4, n_threads=n_threads).fit(*table)


def test_an_error_in_a_helper_of_a_member_is_the_callers(table, monkeypatch, no_thread_is_left):
    """Of a member that has threads of its own: nothing that was computed with it is returned."""
    real = calling.kernel_for

    def kernel_for(*arguments):
        kernel = real(*arguments)

        def train(threads, *rest):
            if threads.thread == 1:
                raise MemoryError("no room for a helper")
            return kernel.train(threads, *rest)

        return kernel._replace(train=train)

    monkeypatch.setattr(calling, "kernel_for", kernel_for)
    monkeypatch.setattr(plan.Team, "__init__", lambda self, *_, **__: vars(self).update(
        n_threads=2, shares=False, listens=False))  # fmt: skip
    model = ensemble(2, n_threads=2)
    with pytest.raises(MemoryError, match="no room"):
        model.fit(*table)
    assert not hasattr(model, "estimators_")


def test_without_more_threads_the_caller_does_it_all(table, monkeypatch):
    expected = ensemble().fit(*table)

    def no_thread(*call):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(team, "start_new_thread", no_thread)
    assert_same(ensemble(n_threads=3).fit(*table), expected, table[0])


def test_in_a_thread_it_is_the_outer_ctrl_c_that_is_asked():
    with CtrlC() as outer, outer.heard_here(), CtrlC() as inner:
        assert inner is outer
    with CtrlC() as other:
        assert other is not outer


def test_what_is_to_be_said_is_said_once(table):
    X, y = np.random.default_rng(0).normal(size=(200, 3)), np.random.default_rng(1).normal(size=200)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ensemble(3, {"max_iter": 1, "learning_rate_init": 1e-9}).fit(X, y)
    assert [str(each.message)[:21] for each in said] == ["The fit learnt nothin"]


def test_progress_is_a_line_for_the_pilot_and_each_member(table, capsys):
    member = {"max_iter": "auto", "early_stopping": "refit"}
    ensemble(2, member, n_threads=1, verbose=True).fit(*table)
    lines = capsys.readouterr().out.splitlines()
    kinds = [line.split()[0] for line in lines]
    n_trials = kinds.count("trial")
    assert n_trials > 1 and kinds == ["trial"] * n_trials + ["pilot:"] + ["member"] * 2
    assert "member 2/2" in lines[-1]
    assert "loss" in lines[-1]


def test_the_examples_of_the_docstrings_run():
    results = doctest.testmod(module)
    assert results.attempted > 10
    assert results.failed == 0


def test_its_score_is_of_y_of_any_magnitude(table):
    X, y = table
    model, other = (ensemble(2, resample=None).fit(X, y * unit) for unit in (1.0, 2.0**600))
    assert other.score(X, y * 2.0**600) == pytest.approx(model.score(X, y), rel=1e-3)


@pytest.mark.parametrize(("dtype", "power"), [(np.float32, 80), (np.float64, 600)])
def test_deviations_and_intervals_are_of_y_of_any_magnitude(dtype, power, table):
    X, y = (A.astype(dtype) for A in table)
    units, found = np.array([[1.0, 1.0], [2.0**power, 0.5**power]]), []
    for unit in units:
        model = ensemble(4).fit(X, (y[:, None] * unit).astype(dtype))
        _, std = model.predict(X, return_std=True)
        lower, upper = model.predict_interval(X, 0.5)
        found.append([std / unit, (np.float64(upper) - lower) / unit])
    assert_allclose(*found, rtol=1e-3)
    assert (np.array(found) > 0).all()
