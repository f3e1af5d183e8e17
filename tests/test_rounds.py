"""A fit on a table in parts: what it equals, in this process.

(test_dask.py: the same on workers.)
"""

import re
import warnings
from copy import copy, deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal

from fastbp import BackpropRegressor, endings, outliers
from fastbp.dask import DaskBackpropRegressor
from fastbp.fitting import begun, rounds, survey, windows
from fastbp.fitting.history import History
from fastbp.fitting.observer import COMPILING
from fastbp.fitting.parts import (
    Here,
    all_merged,
    every,
    extremes,
    facts_of,
    joined,
    known,
    measured,
    merged_facts,
    seen_of,
    split,
)
from fastbp.fitting.settings import settings_of
from fastbp.fitting.table import Table
from fastbp.workers.tasks import table_of, tables_in

RANDOM = np.random.default_rng(0)
X = RANDOM.normal([10, -2, 0], [3, 0.5, 1], (230, 3))
Y = 100 + 20 * np.tanh(X[:, 2]) + X[:, 0] * X[:, 1] + RANDOM.normal(0, 1, 230)
WEIGHT = RANDOM.uniform(0.5, 3, 230)
HELD_OUT = X[::5] + 0.1, Y[::5]

#: Partitionings, by where they are cut: some parts are empty.
CUTS = {"one": [], "three": [50, 120], "many": [0, 1, 40, 40, 41, 100, 180, 230]}

QUICK = {"hidden_layer_sizes": (4,), "max_iter": 3, "early_stopping": False, "random_state": 0}


def tables_of(model, cuts, X=X, y=Y, weight=None):
    columns, places = copy(model), Here()
    columns.n_features_in_ = X.shape[1]
    n_outputs = 1 if y.ndim == 1 else y.shape[1]
    weights = [None] * (len(cuts) + 1) if weight is None else np.split(weight, cuts)
    parts = zip(np.split(X, cuts), np.split(y, cuts), weights, strict=True)
    return columns, tables_in(places, columns, parts, n_outputs)


def fit_in(cuts, X=X, y=Y, weight=None, held_out=None, cuts_of_held_out=(), **params):
    """A fit on a table in parts."""
    model = DaskBackpropRegressor(**params)
    columns, tables = tables_of(model, cuts, X, y, weight)
    if held_out is not None:
        held_out = tables_of(model, cuts_of_held_out, *held_out)[1]
    return model._train_in(Here(), columns, tables, held_out)


def assert_equal(model, other):
    """To the bit, and the course of training."""
    assert_same_weights(model, other)
    assert model.loss_curve_ == other.loss_curve_
    assert model.validation_scores_ == other.validation_scores_


def assert_same_weights(model, other):
    """To the bit."""
    for a, b in zip(
        model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True
    ):
        assert_array_equal(a, b)


def assert_near(model, other, rtol=1e-6):
    for a, b in zip(
        model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True
    ):
        assert_allclose(a, b, rtol=rtol, atol=rtol)


SETTINGS = {
    "adam": {},
    "sgd": {"solver": "sgd", "batch_size": 32, "shuffle": False},
    "a schedule that adapts": {
        "solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.1,
        "max_iter": 12,
    },
    "stalled": {
        "learning_rate": "constant", "n_iter_no_change": 2, "tol": 0.5, "max_iter": 12,
    },
    "weights": {"weight": WEIGHT, "alpha": 1.0},
    "glorot": {"init": "glorot", "dtype": "float64", "standardize": False},
    "held out": {"held_out": HELD_OUT, "max_iter": 6},
    "refit": {
        "early_stopping": "refit", "hidden_layer_sizes": (9,), "max_iter": 15, "linear_part": None
    },
    "encoded": {"encoding": "periodic"},
    "begun again": {"solver": "sgd", "learning_rate_init": 30.0, "max_iter": 12},
    "short": {"activation": "relu", "hidden_layer_sizes": (2,), "max_iter": 2},
    "lbfgs": {"solver": "lbfgs", "weight": WEIGHT, "alpha": 0.1},
    "outliers": {"X": np.r_[X[:-1], [[1e6, 0, 0]]], "y": np.r_[Y[:-1], 1e9]},
    "poisson": {"loss": "poisson", "y": np.round(np.exp(X[:, 2]))},
    "quantiles": {"loss": "quantile", "loss_parameter": (0.1, 0.9)},
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_one_part_is_the_fit_in_one_place_to_the_bit(case):
    given = QUICK | SETTINGS[case]
    data = {name: given.pop(name, None) for name in ("X", "y", "weight", "held_out")}
    X_, y = (X if data["X"] is None else data["X"]), (Y if data["y"] is None else data["y"])
    held_out = dict(zip(("X_val", "y_val"), data["held_out"] or (), strict=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        local = BackpropRegressor(**given).fit(X_, y, data["weight"], **held_out)
        model = fit_in([], X_, y, data["weight"], data["held_out"], **given)
    assert_equal(model, local)
    assert vars(model).keys() - {"client"} == vars(local).keys()
    for name in ("n_iter_", "max_iter_", "learning_rate_init_", "weight_decay_", "t_", "kernel_"):
        assert getattr(model, name) == getattr(local, name), name
    if case == "begun again":
        assert model.learning_rate_init_ < 30


@pytest.mark.parametrize("cuts", ["three", "many"])
def test_lbfgs_is_that_of_one_place_for_any_partitioning(cuts):
    params = QUICK | {"solver": "lbfgs", "alpha": 0.1, "max_iter": 12, "n_iter_no_change": np.inf}
    apart = dict(zip(("X_val", "y_val"), HELD_OUT, strict=True))
    local = BackpropRegressor(**params).fit(X, Y, WEIGHT, **apart)
    model = fit_in(CUTS[cuts], X, Y, WEIGHT, HELD_OUT, [10, 10, 30], **params)
    assert_near(model, local)
    assert_allclose(model.validation_scores_, local.validation_scores_, rtol=1e-6)
    assert_allclose(model.validation_loss_curve_, local.validation_loss_curve_, rtol=1e-6)
    assert_allclose(model.loss_curve_, local.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_of_one_step_a_round_the_means_are_descent_on_all_rows(momentum, weight):
    # Steps and velocities are linear in the gradient: that of all rows is the mean of the parts'.
    params = QUICK | {
        "solver": "sgd", "momentum": momentum, "nesterovs_momentum": False, "batch_size": 1000,
        "learning_rate_init": 0.1, "dtype": "float64", "init": "glorot", "max_iter": 6,
        "weight_decay": 0.01,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of batches larger than the table
        local = BackpropRegressor(**params).fit(X, Y, weight)
        model = fit_in(CUTS["many"], weight=weight, **params)
    assert_near(model, local, 1e-12)
    assert_allclose(model.loss_curve_, local.loss_curve_, rtol=1e-12)


def test_what_is_measured_is_equal_for_any_partitioning():
    X_, y = X.copy(), Y.copy()
    X_[7, 1], y[9] = 1e4, 1e6  # outliers, of X and of y
    of = {}
    for name, cuts in CUTS.items():
        model = DaskBackpropRegressor(**QUICK)
        _, tables = tables_of(model, cuts, X_, y, WEIGHT)
        settings, places = model.to_local()._settings(), Here()
        facts, tables = known(places, tables)
        sample, _, units, bounds = measured(places, tables, facts, settings)
        assert_array_equal(sample.X, X_)
        of[name] = [*units, *bounds, *settings.drawn_in, settings.one_row]
    assert of["one"][0].max() < 20 and of["one"][-1] > 0.9
    for name in ("three", "many"):
        for a, b in zip(of["one"], of[name], strict=True):
            assert_allclose(a, b, rtol=1e-13)


def test_a_sample_is_of_the_same_rows_for_any_partitioning():
    whole = Table(X, Y[:, None], WEIGHT)
    for cuts in CUTS.values():
        before, parts = [0, *cuts], np.split(np.arange(len(Y)), cuts)
        parts = [every(whole.rows(p), 7, start) for p, start in zip(parts, before, strict=True)]
        sample = all_merged(joined, *parts)
        assert_array_equal(sample.y, Y[::7, None])
        assert_array_equal(sample.sample_weight, WEIGHT[::7])


def test_empty_parts_change_no_bit_and_rows_of_weight_0_are_not_there():
    model = fit_in([100], **QUICK)
    assert_equal(fit_in([0, 100, 100, 230], **QUICK), model)
    assert not np.array_equal(fit_in([90], **QUICK).coefs_[0], model.coefs_[0])
    more = np.r_[X, X[:50] + 100], np.r_[Y, Y[:50] + 100], np.r_[WEIGHT, np.zeros(50)]
    assert_equal(fit_in([100, 230], *more, **QUICK), fit_in([100], X, Y, WEIGHT, **QUICK))


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_parts_of_an_epoch_and_several_epochs_make_rounds(cuts, monkeypatch):
    params = QUICK | {"batch_size": 16, "max_iter": 5}
    model = fit_in(cuts, **params)
    shares = []
    run = rounds.trained

    def trained(begun, samples, turn, state, share):
        shares.append((len(share.etas), share.number, share.parts))
        return run(begun, samples, turn, state, share)

    monkeypatch.setattr(rounds, "trained", trained)
    monkeypatch.setattr(rounds, "ROUND_FLOPS", 6 * 21 * 230 / 4)
    in_parts = fit_in(cuts, **params)
    assert {share[2] for share in shares} == ({4} if not cuts else {share[2] for share in shares})
    monkeypatch.undo()
    monkeypatch.setattr(rounds, "trained", trained)
    monkeypatch.setattr(rounds, "LEAST_ROUNDS", 3)
    shares.clear()
    monkeypatch.setattr(rounds, "LEAST_ROUNDS", 2)
    of_two = fit_in(cuts, **params)
    assert {share[0] for share in shares} == {2, 1}
    if not cuts:  # nothing is averaged: all are the same training
        for other in (in_parts, of_two):
            for a, b in zip(model.coefs_, other.coefs_, strict=True):
                assert_array_equal(a, b)
        assert_array_equal(of_two.loss_curve_, model.loss_curve_)
    assert_allclose(in_parts.loss_curve_, model.loss_curve_, rtol=1e-9 if not cuts else 0.3)
    assert len(of_two.loss_curve_) == len(in_parts.loss_curve_) == 5


IN_WINDOWS = {
    "adam": {},
    "in the order of the table": {"solver": "sgd", "shuffle": False},
    "weights": {"weight": WEIGHT, "alpha": 1.0},
    "begun again": {"solver": "sgd", "learning_rate_init": 30.0},
}


@pytest.mark.parametrize("flops", [1e18, 6 * 21 * 230 / 5])
@pytest.mark.parametrize("case", IN_WINDOWS)
def test_one_part_in_windows_is_the_fit_in_one_place_at_any_length_of_a_round(
    case, flops, cut, monkeypatch
):
    params = QUICK | {"init": "glorot", "batch_size": 7, "max_iter": 5} | IN_WINDOWS[case]
    weight = params.pop("weight", None)
    cut(itemsize=4, weighs=weight is not None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        local = BackpropRegressor(**params).fit(X, Y, weight)
    monkeypatch.setattr(rounds, "ROUND_FLOPS", flops)
    monkeypatch.setattr(rounds, "LEAST_ROUNDS", 2)
    positions, begun_at = [], windows.Windows.samples_at

    def samples_at(self, position, state, team):
        positions.append(position % self.rows)
        return begun_at(self, position, state, team)

    monkeypatch.setattr(windows.Windows, "samples_at", samples_at)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a training that began again
        model = fit_in([], weight=weight, **params)
    assert any(positions) == (flops < 1e18)  # rounds of a part of an epoch end within windows
    assert_same_weights(model, local)
    assert_allclose(model.loss_curve_, local.loss_curve_, rtol=0 if flops == 1e18 else 1e-9)
    assert len(model.loss_curve_) == 5


@pytest.mark.parametrize("kind", ["f4", "i8", "Fortran", "mapped", "backwards"])
def test_parts_in_windows_train_alike_however_their_numbers_lie(kind, cut, monkeypatch, tmp_path):
    A, y = np.floor(9 * X).astype("f4"), np.floor(Y).astype("f4")
    cut(itemsize=4, source=4)
    params = QUICK | {"batch_size": 7, "n_threads": 2}
    model = fit_in([100], A, y, **QUICK | {"batch_size": 7})
    if kind == "i8":  # X is converted to float64, of which blocks have half as many rows
        cut(itemsize=4, source=8)
        A, y = A.astype("i8"), y.astype("i8")
    elif kind == "Fortran":
        A = np.asfortranarray(A)
    elif kind == "mapped":
        np.save(tmp_path / "X.npy", A)
        A = np.load(tmp_path / "X.npy", mmap_mode="r")
        for name in ("MAPPED_WINDOW_BYTES", "MAPPED_BLOCK_BYTES"):
            monkeypatch.setattr(windows, name, 99)  # it may be in memory on another worker
    elif kind == "backwards":
        A = np.ascontiguousarray(A[::-1])[::-1]
    other = fit_in([100], A, y, **params)
    if kind in ("i8", "Fortran"):  # whose units are rounded otherwise
        return assert_near(other, model, 1e-5)
    assert_same_weights(other, model)


@pytest.mark.parametrize("n_threads", [2, 17])
def test_any_number_of_threads_trains_a_part_in_windows_alike(n_threads, cut):
    A = np.random.default_rng(0).normal(size=(3000, 3)).astype("f4")
    cut(rows=1200, block=40, itemsize=4, source=4)
    params = QUICK | {"batch_size": 1200, "hidden_layer_sizes": (32,)}
    one, other = (fit_in([1700], A, np.sin(A[:, 0]), **params, n_threads=n) for n in (1, n_threads))
    assert_equal(other, one)


def test_a_large_part_is_measured_as_a_small_one(monkeypatch):
    found = []
    for whole in (np.inf, 0):
        monkeypatch.setattr(survey, "WHOLE_BYTES", whole)
        for columns in (X, np.asfortranarray(X), X[:9], np.tile(X, 100)):
            table = Table(columns, Y[: len(columns), None], WEIGHT[: len(columns)])
            bounds = outliers.Bounds(columns.min(axis=0) + 1, columns.max(axis=0))
            found.append([*seen_of(table, bounds)[:-1], *extremes(columns)])
            assert_array_equal(extremes(columns), [columns.min(axis=0), columns.max(axis=0)])
    for one, other in zip(found[:4], found[4:], strict=True):
        for a, b in zip(one, other, strict=True):
            assert_allclose(a, b, rtol=1e-12)


def test_each_part_has_orders_of_its_own_and_new_ones_in_each_round(monkeypatch):
    orders, run = [], rounds.next_turn

    def next_turn(*arguments):
        turn = run(*arguments)
        orders.append(tuple(turn.order))
        return turn

    monkeypatch.setattr(rounds, "next_turn", next_turn)
    fit_in([115], **QUICK)
    assert len(set(orders)) == len(orders) == 6
    assert all(sorted(order) == list(range(115)) for order in orders)


def test_held_out_rows_are_scored_alike_in_one_part_and_in_three():
    params = QUICK | {
        "max_iter": 20, "learning_rate": "constant", "learning_rate_init": 0.3,
        "n_iter_no_change": np.inf,
    }  # fmt: skip
    one = fit_in([100], held_out=HELD_OUT, **params)
    three = fit_in([100], held_out=HELD_OUT, cuts_of_held_out=[7, 7, 20], **params)
    assert_allclose(three.validation_scores_, one.validation_scores_, rtol=1e-5)
    assert_array_equal(three.coefs_[0], one.coefs_[0])
    best = int(np.argmax(one.validation_scores_))
    assert best < 19  # the weights are not the last ones
    assert_allclose(one.score(*HELD_OUT), one.validation_scores_[best], rtol=1e-4)


def test_each_part_sets_its_own_rows_aside():
    table = Table(X, Y[:, None], WEIGHT)
    kept, apart = split(table, 0.1, 5)
    assert (len(kept.y), len(apart.y)) == (207, 23)
    assert_array_equal(np.sort(np.r_[kept.y, apart.y], axis=0), np.sort(table.y, axis=0))
    assert not np.array_equal(split(table, 0.1, 6)[1].y, apart.y)
    params = QUICK | {"early_stopping": True, "learning_rate": "constant", "n_iter_no_change": 2}
    model = fit_in([100, 110], **params | {"max_iter": 40, "learning_rate_init": 0.3})
    assert len(model.validation_scores_) == model.n_iter_ < 40
    assert max(model.validation_scores_) == model.best_validation_score_
    assert model.t_ == model.n_iter_ * (230 - 20 - 2 - 24)
    with pytest.raises(ValueError, match="The validation set is too small"):
        fit_in([2, 4], X[:6], Y[:6], **params)


def test_what_is_known_of_parts_is_of_all():
    y, weight = Y[:, None], np.arange(1.0, 231.0)
    one = Table(X[:9].astype(np.float32), y[:9].astype(np.float32), weight[:9])
    other = Table(X[9:], y[9:], weight[9:])
    for parts in ((one, other), (other, one)):
        facts = merged_facts(*map(facts_of, parts))
        assert (facts.n, facts.heaviest, facts.y_dtype) == (230, 230.0, np.float64)


def test_a_planned_training_in_rounds_lasts_as_long_as_planned():
    params = QUICK | {"learning_rate": "cosine", "max_iter": 8, "tol": 10.0, "n_iter_no_change": 1}
    assert fit_in(CUTS["three"], **params).n_iter_ == 8


def test_of_rounds_with_equal_scores_the_first_is_kept():
    judging = rounds._Rounds.__new__(rounds._Rounds)
    vars(judging).update(
        history=History(), score=lambda theta: (1.0, 0.5), best=np.inf, best_apart=np.inf,
        stalled=0, settings=SimpleNamespace(by_loss=False, holds_out=True, tol=0.0),
    )  # fmt: skip
    for theta in ("first", "second"):
        judging.state = SimpleNamespace(theta=theta)
        judging.judge(1.0)
    assert judging.theta == "first"


@pytest.mark.parametrize(
    ("asked", "n_parts", "batch_size"), [("auto", 4, 64), ("auto", 1000, 16), (256, 4, 256)]
)
def test_smaller_batches_of_more_parts_share_one_penalty(asked, n_parts, batch_size):
    """Each step divides it by the samples of its batch."""
    model = BackpropRegressor(alpha=0.1, learning_rate_init=0.1, solver="sgd")
    settings = settings_of(model._params())
    settings.batch_size = 256
    assert begun.adapt(settings, n_parts, asked) == 1.0
    assert settings.batch_size == batch_size
    assert_allclose(settings.alpha / settings.batch_size, 0.1 / 256)


def test_a_large_table_is_not_searched_and_its_sample_is_not_all_of_it(monkeypatch):
    monkeypatch.setattr(begun, "SEARCHED", 100)
    monkeypatch.setattr(outliers, "step_of_rows", lambda n, n_columns: 2)
    model = fit_in([100], **QUICK | {"early_stopping": "refit", "max_iter": "auto"})
    assert model.validation_scores_ is None
    local = BackpropRegressor(**QUICK).fit(X, Y)
    assert_allclose(model._scaling.X_mean, local._scaling.X_mean, rtol=1e-13)
    assert (model.batch_size_, model.learning_rate_init_) == (32, 0.01 * 2**0.5)  # of two parts


PENALISED = {
    "adam": {"max_iter": 10},
    "sgd": {"max_iter": 3, "learning_rate_init": 0.001},
    "lbfgs": {"max_iter": 1},
}


@pytest.mark.parametrize("cuts", ["one", "three"])
@pytest.mark.parametrize("solver", PENALISED)
@pytest.mark.filterwarnings("ignore:Stopped after")
def test_a_penalty_is_no_lack_of_what_parts_have_learnt(solver, cuts, monkeypatch):
    params = QUICK | {"solver": solver, "alpha": 4e4, "dtype": "float64"} | PENALISED[solver]
    told, warn = [], endings.warn
    monkeypatch.setattr(endings, "warn", lambda *given: told.append(given[1]) or warn(*given))
    model = fit_in(CUTS[cuts], weight=WEIGHT, **params)  # a warning would be an error
    left = 1 - model.score(X, Y, WEIGHT)
    assert left < 0.95 and model.loss_ > 1
    assert_allclose(told[0].history.without_penalty, left, rtol=1e-9)
    if cuts == "one":
        BackpropRegressor(**params).fit(X, Y, WEIGHT)
        assert_allclose(told[1].history.without_penalty, left, rtol=1e-9)


def with_a_line(X):
    """A model with a linear part, which is to go on, the same here and in parts, and its y."""
    y = 20 + X[:, 0] - X[:, 0].min() + 3 * np.random.default_rng(0).normal(size=230)
    local = BackpropRegressor((9,), max_iter=20, random_state=0).fit(X, y)
    assert local.linear_part_ is not None
    params = QUICK | {"hidden_layer_sizes": (9,), "warm_start": True}
    model = DaskBackpropRegressor().set_params(**local.get_params())
    vars(model).update({name: value for name, value in vars(local).items() if name not in params})
    return *(deepcopy(each).set_params(**params) for each in (local, model)), y


@pytest.mark.parametrize("whole", [np.inf, 0], ids=["whole", "in windows"])
@pytest.mark.parametrize("held_out", [(), HELD_OUT], ids=["", "held out"])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_it_goes_on_from_a_linear_part_as_in_one_place(held_out, whole, offset, monkeypatch):
    far, held_out = X + offset, held_out and (held_out[0] + offset, held_out[1])
    local, model, y = with_a_line(far)
    linear = local.linear_part_.copy()
    monkeypatch.setattr(survey, "WHOLE_BYTES", whole)
    columns, tables = tables_of(model, [], far, y)
    apart = tables_of(model, [], *held_out)[1] if held_out else None
    model._train_in(Here(), columns, tables, apart, go_on=True)
    local.fit(far, y, **dict(zip(("X_val", "y_val"), held_out, strict=False)))
    assert_equal(model, local)
    assert_array_equal(model.linear_part_, linear)
    assert_array_equal(model.predict(far), local.predict(far))


@pytest.mark.parametrize("whole", [np.inf, 0], ids=["whole", "in windows"])
def test_so_it_does_in_many_parts(whole, monkeypatch):
    local, model, y = with_a_line(X)
    before = local.score(X, y, WEIGHT)
    monkeypatch.setattr(survey, "WHOLE_BYTES", whole)
    columns, tables = tables_of(model, CUTS["many"], X, y, WEIGHT)
    apart = tables_of(model, CUTS["three"], X, y, WEIGHT)[1]
    model._train_in(Here(), columns, tables, apart, go_on=True)
    assert_array_equal(model.linear_part_, local.linear_part_)
    assert_allclose(model.score(X, y, WEIGHT), max(model.validation_scores_), rtol=1e-5)
    assert model.score(X, y, WEIGHT) > before - 0.02


def test_it_goes_on_with_warm_start():
    model = DaskBackpropRegressor(**QUICK | {"warm_start": True})
    columns, tables = tables_of(model, [100])
    model._train_in(Here(), columns, tables, None)
    before = model.loss_curve_[0]
    model._train_in(Here(), columns, tables, None, go_on=True)
    assert model.t_ == 6 * 230 and len(model.loss_curve_) == 6
    assert model.loss_curve_[3] < before


def test_what_cannot_be_trained_on_is_said_with_its_partition():
    wrong = X.copy()
    wrong[150, 1] = np.nan
    with pytest.raises(ValueError, match=r"Partition 1: Input X contains NaN."):
        fit_in([100], wrong, **QUICK)
    model = DaskBackpropRegressor(**QUICK)
    model.n_features_in_ = 3
    with pytest.raises(ValueError, match=r"Partition 4: .*inconsistent numbers of samples"):
        table_of(model, 4, 1, X[:5], Y[:4], None)
    with pytest.raises(ValueError, match="0 sample"):
        fit_in([0], X[:0], Y[:0], **QUICK)
    with pytest.raises(ValueError, match="none that has a weight"):
        fit_in([2], X[:5], Y[:5], np.zeros(5), **QUICK)
    with pytest.raises(ValueError, match="with 4 smaller step sizes"):
        fit_in([100], **QUICK | {"learning_rate_init": 1e300, "dtype": "float64"})


def lines(capsys):
    """What was printed, but for seconds and compilations."""
    printed = [line for line in capsys.readouterr().out.splitlines() if line != COMPILING]
    return [re.sub(r"\S+ s$", "", line) for line in printed]


@pytest.mark.parametrize("case", ["held out", "refit"])
def test_it_says_what_a_fit_in_one_place_says(case, capsys):
    params = QUICK | SETTINGS[case] | {"verbose": True}
    held_out = params.pop("held_out", None)
    BackpropRegressor(**params).fit(
        X, Y, **dict(zip(("X_val", "y_val"), held_out or (), strict=False))
    )
    expected = lines(capsys)
    fit_in([], held_out=held_out, **params)
    assert lines(capsys) == expected
    before = [line for line in expected if not line.startswith("epoch")]
    assert before[0].startswith("trial 1: " if case == "refit" else "5 first weights are tried")
    assert expected[: len(before)] == before


def test_time_may_be_over():
    assert fit_in([100], **QUICK | {"max_iter": 1000, "max_time": 1e-9}).n_iter_ < 30


def test_the_founding_network_is_trained_in_parts():
    params = founding(random_state=0, max_iter=100, n_iter_no_change=np.inf).get_params()
    assert fit_in([100], **params).score(X, Y) > 0.5
