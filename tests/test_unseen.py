"""What an ensemble says of its errors, by rows that its members have not seen."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_ensemble import ensemble, noisy

from fastbp import BackpropEnsembleRegressor
from fastbp.fitting import members, unseen


@pytest.mark.parametrize("n", [1, 2, 3, 5, 40, 300, 20_000])
@pytest.mark.parametrize("n_members", [1, 2, 3, 4, 5, 8])
def test_folds_leave_few_rows_out_and_all_are_seen(n, n_members):
    rows = np.arange(0, 2 * n, 2, dtype=np.uint32)
    orders = unseen.folds(rows, n_members, np.random.RandomState(0))
    left_out = [np.setdiff1d(rows, order) for order in orders]
    assert all(order.dtype == np.uint32 and len(order) >= 0.75 * n for order in orders)
    counts = np.unique(np.concatenate(left_out), return_counts=True)[1]
    if n_members > 1:
        assert len(np.unique(np.concatenate(orders))) == n
    if n >= 40:
        assert len(counts) >= min(8 * n_members, 40, n // 4)
        assert counts.min() >= (2 if n_members >= 4 else 1)
    if n > 10_000:
        assert max(map(len, left_out)) <= 2000


@pytest.mark.parametrize("resample", ["folds", "bootstrap"])
def test_what_is_said_of_a_row_is_said_by_members_that_have_not_seen_it(resample, monkeypatch):
    X, y = noisy(60)
    orders, train = [], members.train
    monkeypatch.setattr(
        members, "train", lambda prepared, rows, *rest: orders.extend(map(np.array, rows))
        or train(prepared, rows, *rest),
    )  # fmt: skip
    model = ensemble(4, resample=resample).fit(X, y)
    for i in range(len(y)):
        of_unseen = [
            member.predict(X[[i]])[0]
            for member, order in zip(model.estimators_, orders, strict=True)
            if i not in order
        ]
        if of_unseen:
            assert_allclose(model.oob_prediction_[i], np.mean(of_unseen), rtol=1e-5)
        else:
            assert np.isnan(model.oob_prediction_[i])
    known = np.isfinite(model.oob_prediction_)
    errors = np.abs(y - model.oob_prediction_)[known]
    assert len(model.residuals_) == known.sum() > 20
    factor = model.residuals_.ravel() / errors
    assert_allclose(factor, factor[0])
    assert 0.5 < factor[0] <= 1


@pytest.mark.parametrize(("n", "resample"), [(60, "folds"), (400, "folds"), (400, "bootstrap")])
def test_intervals_hold_as_many_new_rows_as_they_say(n, resample):
    X_new, y_new = noisy(2000, 99)
    shares = {0.5: [], 0.9: []}
    for repeat in range(8):
        model = ensemble(4, {"max_iter": 60}, resample=resample, random_state=repeat)
        model.fit(*noisy(n, repeat))
        for coverage, held in shares.items():
            lower, upper = model.predict_interval(X_new, coverage)
            held.append(np.mean((lower <= y_new) & (y_new <= upper)))
    assert 0.85 < np.mean(shares[0.9]) < 0.95
    assert 0.42 < np.mean(shares[0.5]) < 0.58


@pytest.mark.parametrize("unit", [1e-308, 1e-310])
def test_intervals_of_a_y_that_is_hardly_any_are_numbers(unit):
    """It is as good as constant, and errors are large beside it."""
    X, y = noisy(60)
    model = ensemble(4).fit(X, y * unit)
    lower, upper = model.predict_interval(X[:3])
    assert (lower < upper).all()
    assert 0 < model.residuals_.max() < np.inf and np.isfinite(model.oob_score_)


def test_variance_of_members_is_taken_off_their_errors():
    """Half of the square of a member's error is its own: that of eight has 1/8 of this half."""
    random = np.random.default_rng(0)
    shared, own = random.normal(size=(20_000, 1)), random.normal(size=(2, 20_000, 1))
    errors = (shared + own).mean(axis=0)
    count, weight = np.full((1, 20_000), 2), np.ones(20_000)
    variance, of_all = own.var(axis=0, ddof=1)[None], (np.array([1 / 8]), np.array([8]))
    factor = unseen.shrinkage(errors, count, variance, weight, *of_all)
    assert_allclose(factor, np.sqrt((1 + 1 / 8) / (1 + 1 / 2)), rtol=0.02)
    assert unseen.shrinkage(errors, count - 1, own[None, 0] * np.nan, weight, *of_all) == 1


def test_of_two_kinds_each_has_its_variance():
    """Four members of variance 4 and weight 0.1, four of 1 and 0.15. Two and one of them, or one
    and two, have not seen a row."""
    random = np.random.default_rng(0)
    shared, own = random.normal(size=(40_000, 1)), random.normal(size=(8, 40_000, 1))
    own[:4] *= 2
    weights, n_members = np.array([0.1, 0.15]), np.array([4, 4])
    of_rows = np.repeat([[2, 1], [1, 2]], 20_000, axis=0).T
    variance = np.full((2, 40_000, 1), np.nan)
    variance[0, :20_000] = own[:2, :20_000].var(axis=0, ddof=1)
    variance[1, 20_000:] = own[4:6, 20_000:].var(axis=0, ddof=1)
    errors = shared + np.concatenate([
        (0.1 * own[:2, :20_000].sum(axis=0) + 0.15 * own[4, :20_000]) / 0.35,
        (0.1 * own[0, 20_000:] + 0.15 * own[4:6, 20_000:].sum(axis=0)) / 0.4,
    ])  # fmt: skip
    expected = 1 + 4 * 0.01 * 4 + 4 * 0.0225
    seen = np.mean(errors**2)
    factor = unseen.shrinkage(errors, of_rows, variance, np.ones(40_000), weights, n_members)
    assert_allclose(factor, np.sqrt(expected / seen), rtol=0.02)


@pytest.mark.parametrize("n_members", [4, 5, 6, 7, 8, 11])
def test_rows_left_out_are_unseen_by_both_kinds(n_members):
    orders = unseen.folds(np.arange(400), n_members, np.random.RandomState(0), n_kinds=2)
    unseen_by = np.array([~np.isin(np.arange(400), order) for order in orders])
    n_plain = n_members - n_members // 2
    counts = np.array([unseen_by[:n_plain].sum(axis=0), unseen_by[n_plain:].sum(axis=0)])
    rows = unseen_by.any(axis=0)
    assert 50 < rows.sum() <= 160
    assert counts[:, rows].min() >= 1
    if n_members in (6, 8):
        assert (counts.max(axis=1) >= 2).all()


def test_the_quantile_is_that_of_conformal_prediction():
    residuals, weight = np.arange(1.0, 20)[:, None], np.ones(19)
    assert unseen.quantile(residuals, weight, 0.9) == 18  # of 20, one being the new one
    assert unseen.quantile(residuals, weight, 0.95) == 19
    assert unseen.quantile(residuals, weight, 0.96) is None
    weight[:9] = 0
    assert unseen.quantile(residuals, weight, 0.5) == 15


def test_weights_count_in_intervals():
    X, y = noisy(300)
    right = X[:, 0] > 0
    y = np.where(right, y, y + np.random.default_rng(1).normal(0, 3, len(y)))
    narrow, wide = (
        np.subtract(*ensemble(4).fit(X, y, weight).predict_interval(X[:1])[::-1])
        for weight in (np.where(right, 1, 0.01), None)
    )
    assert narrow < 0.6 * wide


def test_intervals_that_nothing_is_known_of_are_refused(table):
    model = ensemble(resample=None).fit(*table)
    assert model.oob_score_ is None
    of_few = ensemble().fit(*table, np.arange(60) < 4)  # with weights
    for each in (model, of_few):
        with pytest.raises(ValueError, match=r"^No row .* resample='folds' on 5 rows or"):
            each.predict_interval(table[0])
    assert ensemble().fit(*table, np.arange(60) < 5).residuals_ is not None
    model = ensemble().fit(table[0][:8], table[1][:8])
    with pytest.raises(ValueError, match="rows held out are too few"):
        model.predict_interval(table[0])
    for coverage in (0, 1, 90, np.nan):
        with pytest.raises(ValueError, match="coverage"):
            model.predict_interval(table[0], coverage)


def test_who_predicts_during_a_refit_is_told_all_of_one_fit(table, monkeypatch):
    X, y = table
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = ensemble(2).fit(frame, y)
    before, heard, judge = model.predict_interval(frame), [], BackpropEnsembleRegressor._judge

    def judged(self, *of_rows):
        heard.append(model.predict_interval(frame))
        judge(self, *of_rows)
        heard.append(model.predict_interval(frame))

    monkeypatch.setattr(BackpropEnsembleRegressor, "_judge", judged)
    model.fit(X[:, :2], -y)
    assert_array_equal(heard, [before, before])
    monkeypatch.undo()
    fresh = ensemble(2).fit(X[:, :2], -y)
    assert_array_equal(model.predict_interval(X[:, :2]), fresh.predict_interval(X[:, :2]))
    assert vars(model).keys() == vars(fresh).keys()


def test_counts_are_not_below_0():
    X, _ = noisy(80)
    model = ensemble(2, {"loss": "poisson"}).fit(X, np.random.default_rng(0).poisson(0.3, 80))
    lower, upper = model.predict_interval(X)
    assert lower.min() == 0
    assert upper.min() > 0
