"""Plain networks, encoded ones, or both: which, by rows held out of either, and what they weigh."""

import signal

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropEnsembleRegressor, BackpropRegressor, encodings
from fastbp.fitting import committee, contest, members, mixture, recipe, solvers, tasks, trials

BOTH = encodings.NAMES


def share(first, second, y, weight=None, loss="squared_error", parameter=0.0, **rest):
    """Of rows that are there so often that no gain is chance."""
    first, second, y = (np.broadcast_to(a, np.shape(y)) for a in (first, second, y))
    first, second, y = (np.repeat(a.reshape(len(a), -1), 500, axis=0) for a in (first, second, y))
    weight = None if weight is None else np.repeat(weight, 500, axis=0)
    return mixture.share_of_second(first, second, y, weight, loss, parameter, **rest)


def single(**params):
    """A network that is trained at once, after a pilot."""
    return BackpropRegressor(
        **{"hidden_layer_sizes": 12, "max_iter": 20, "random_state": 0} | params
    )


def ensemble(n_estimators=4, member=None, **params):
    return BackpropEnsembleRegressor(
        single(**(member or {})), n_estimators, **{"random_state": 0} | params
    )


def with_steps():
    random = np.random.default_rng(3)
    X = random.normal(size=(500, 3))
    return X, (X[:, 0] > 0.2) + (X[:, 1] > -0.3) * np.float64(X[:, 2] > 0)


def smooth():
    random = np.random.default_rng(3)
    X = random.normal(size=(300, 3))
    return X, np.tanh(X[:, 0]) + X[:, 1] + random.normal(0, 0.3, 300)


@pytest.fixture(autouse=True)
def in_order(monkeypatch):
    """Trials are made one after the other: it is looked at what is tried when."""
    monkeypatch.setattr(contest, "threads_of_trials", lambda settings: 1)


@pytest.fixture
def given(monkeypatch):
    """Sets the share of encoded networks, of few rows, too: in a mixture, and of one alone."""

    def set_to(of_mixture, alone=1.0):
        monkeypatch.setattr(mixture, "FEWEST_ROWS", 0)
        monkeypatch.setattr(mixture, "is_promising", lambda *_: True)
        monkeypatch.setattr(mixture, "AS_GOOD", np.inf if alone else 0.0)
        monkeypatch.setattr(mixture, "share_of_second", lambda *_, **__: of_mixture)

    return set_to


# ---------------------------------------------------------------------------- the share


@pytest.mark.parametrize(
    ("first", "second", "y", "expected"),
    [
        (0.0, 1.0, [0.0, 1.0], 0.5),
        (0.0, 1.0, [0.5, 0.8], 0.65),
        (0.0, 2.0, [0.5, 0.8], 0.325),
        ([0.0, 4.0], [1.0, 2.0], [1.0, 3.0], (1 + 2) / (1 + 4)),
        ([[0.0, 4.0]], [[1.0, 2.0]], [[1.0, 3.0]], (1 + 2) / (1 + 4)),  # two outputs
        (0.0, 1.0, [0.24, 0.24], 0.0),  # too little of it
        (0.0, 1.0, [0.9, 0.9], 1.0),  # too little of the other
        (0.0, 1.0, [3.0, 3.0], 1.0),
        (0.0, 1.0, [-3.0, -3.0], 0.0),
        (0.0, 1.0, [3.2, -2.2], 0.5),  # 0.983 of the error are left: √(7.29 / 7.54)
        (0.0, 1.0, [3.5, -2.5], 0.0),  # 0.986
        (1.0, 1.0, [0.0, 2.0], 0.0),  # no difference
        (1.0, 0.0, [1.0, 1.0], 0.0),  # nothing to mend
        (0.0, np.nan, [0.0, 1.0], 0.0),
    ],
)
def test_the_share_is_that_of_least_squares_if_it_is_worth_it(first, second, y, expected):
    assert_allclose(share(first, second, y), expected, atol=2e-3)


def test_rows_count_by_their_weights():
    assert_allclose(share(0.0, 1.0, [0.0, 1.0], np.array([1.0, 3.0])), 0.75, atol=2e-3)


def test_a_gain_that_may_be_chance_is_none():
    """Of gains of −0.25 and 0.75 in turn the mean is 0.25, with a standard error of 0.5 / √n."""
    for n, expected in ((2, 0.0), (6, 0.5)):
        y = np.arange(n)[:, None] % 2.0
        got = mixture.share_of_second(0 * y, 0 * y + 1, y, None, "squared_error")
        assert_allclose(got, expected, atol=2e-3)


def test_other_losses_have_their_least():
    level = np.linspace(0, 1, 101)
    assert_allclose(share(0.8, 1.0, level, loss="quantile", parameter=0.9), 0.5, atol=5e-3)
    assert share(0.9, 1.0, level, loss="quantile", parameter=0.9) == 0
    assert_allclose(share(1.0, 3.0, [1.0, 3.0], loss="poisson"), 0.5, atol=2e-3)  # its mean
    assert share(2.0, 3.0, [1.0, 3.0], loss="poisson") == 0
    assert_allclose(share(1.0, 3.0, [1.0, 3.0], loss="gamma"), 0.5, atol=2e-3)  # likewise
    assert share(2.0, 3.0, [1.0, 3.0], loss="gamma") == 0
    levels = {"loss": "quantile", "parameter": (0.1, 0.9)}
    y, second = np.column_stack([level, level]), np.array([[0.2, 1.0]])
    assert_allclose(share(second - 0.2, second, y, **levels), 0.5, atol=5e-3)
    assert_allclose(share(1.0, 3.0, [1.0, 3.0], loss="gamma"), 0.5, atol=2e-3)  # likewise
    assert share(2.0, 3.0, [1.0, 3.0], loss="gamma") == 0
    both = np.column_stack([level, level])
    first, second = np.array([[0.0, 0.8]]), np.array([[0.2, 1.0]])
    assert_allclose(
        share(first, second, both, loss="quantile", parameter=(0.1, 0.9)), 0.5, atol=5e-3
    )


@pytest.mark.parametrize(
    ("rows", "features", "columns", "expected"),
    [(100, 8, 520, True), (100, 8, 8, False), (100, 40, 2600, False), (10**6, 8, 520, False)],
)
def test_nothing_is_tried_that_is_huge_or_not_there(rows, features, columns, expected):
    assert mixture.may_be_tried(rows, features, columns) is expected


# -------------------------------------------------------------------------- the choice


def test_steps_are_learnt_with_encoded_columns_and_smooth_functions_without():
    assert single(max_iter=60, encoding="auto").fit(*with_steps()).encoding_ == BOTH
    assert single(max_iter=300, encoding="auto").fit(*smooth()).encoding_ == ()
    kinds = {
        each.encoding_ for each in ensemble(2, {"max_iter": 60}).fit(*with_steps()).estimators_
    }
    assert BOTH in kinds
    model = ensemble(2, {"max_iter": 300}).fit(*smooth())
    assert [each.encoding_ for each in model.estimators_] == [(), ()]
    assert_array_equal(model.estimator_weights_, [0.5, 0.5])


def test_a_plain_network_is_the_same_whether_the_other_was_tried_or_not(given, table):
    given(0.0, alone=0.0)
    expected = single(encoding=None).fit(*table)
    assert_array_equal(single(encoding="auto").fit(*table).coefs_[0], expected.coefs_[0])
    expected = ensemble(2, {"encoding": None}).fit(*table).predict(table[0])
    assert_array_equal(ensemble(2).fit(*table).predict(table[0]), expected)


@pytest.mark.parametrize(
    ("first", "plain", "n_rows", "mixes", "expected"),
    [
        (0.0120, 0.010, 2001, False, True),
        (0.0130, 0.010, 2001, False, False),  # a third more is left
        (0.0130, 0.010, 2000, False, True),
        (0.0152, 0.010, 2000, False, False),
        (0.204, 0.200, 2001, False, True),
        (0.206, 0.200, 2001, False, False),  # so much of what there is to learn
        (0.206, 0.200, 2000, False, True),
        (0.222, 0.200, 2000, False, False),
        (0.39, 0.200, 5000, True, True),
        (0.41, 0.200, 500, True, False),
        (np.inf, 0.1, 500, True, False),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_a_short_trial_says_whether_more_is_promising(first, plain, n_rows, mixes, expected, unit):
    assert mixture.is_promising(first * unit, plain * unit, unit, n_rows, mixes) is expected


@pytest.mark.parametrize(
    ("first", "plain", "expected"),
    [
        (0.149, 0.1, True),
        (0.151, 0.1, False),  # too far
        (0.04, 0.031, True),
        (0.031, 0.04, True),
        (0.04, 0.029, False),  # no noise
        (0.029, 0.04, False),
        (np.inf, 0.1, False),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_columns_are_scaled_where_there_is_noise_and_the_plain_network_near(
    first, plain, expected, unit
):
    assert mixture.may_be_scaled(first * unit, plain * unit, unit) == expected


@pytest.mark.parametrize(
    ("scaled", "expected"),
    [
        (0.96, (False, True)),
        (0.98, (True, True)),
        (1.14, (True, True)),
        (1.16, (True, False)),
        (np.inf, (True, False)),  # there was no time for it
    ],
)
def test_short_trials_say_which_pilots_are_worth_it(scaled, expected):
    assert mixture.worth_a_pilot(1e6, 1e6 * scaled) == expected


@pytest.mark.parametrize(
    ("plain", "n_rows", "solver", "expected"),
    [
        (0.061, 2001, "adam", 0.03),
        (0.059, 2001, "adam", 0.0),  # hardly any noise
        (0.0, 2001, "adam", 0.0),
        (0.061, 2000, "adam", 0.0),
        (0.061, 2001, "sgd", 0.0),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_encoded_networks_drop_units_where_there_are_many_rows_and_noise(
    plain, n_rows, solver, expected, unit
):
    assert mixture.dropout(plain * unit, unit, n_rows, solver) == expected


@pytest.fixture
def tried(monkeypatch):
    """The trials of encoded networks, and what to multiply their losses by."""
    tried, times, trial = [], [1.0], trials.Search.trial

    def noted(search, plan, *rest, **how):
        made = trial(search, plan, *rest, **how)
        if not search.task.encoding:
            return made
        tried.append(made)
        losses = [times[0] * loss for loss in made.history.validation_losses]
        made.history.validation_losses = losses
        return made._replace(loss=times[0] * made.loss)

    monkeypatch.setattr(trials.Search, "trial", noted)
    return tried, times


def test_of_the_two_it_is_the_better_one_or_encoded_columns_are_given_up(tried):
    tried, times = tried
    for times[0], n_trials, names in ((0.5, 2, BOTH), (1e3, 1, ())):
        tried.clear()
        model = BackpropRegressor((12,), max_iter=60, random_state=0).fit(*with_steps())
        assert (len(tried), model.encoding_) == (n_trials, names)


def test_a_pilot_that_is_worse_than_the_plain_one_is_not_followed(tried, monkeypatch):
    monkeypatch.setattr(mixture, "is_promising", lambda *_: True)
    tried, times = tried
    times[0] = 1e3
    assert single(max_iter=60).fit(*with_steps()).encoding_ == ()
    assert len(tried) == 2


def edges_among(n_useless, n_rows=1000, seed=0):
    """A table with sharp edges in some columns, noise, and columns that mean nothing."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_rows, 3 + n_useless))
    y = (X[:, 0] > 0.2) + (X[:, 1] > -0.3) * np.float64(X[:, 2] > 0)
    return X, y + 0.2 * random.normal(size=n_rows)


def test_encoded_columns_that_mean_nothing_are_scaled_down(tried):
    tried, _ = tried
    for n_useless, n_scaled in ((0, 0), (6, 2)):
        tried.clear()
        model = BackpropRegressor(random_state=0).fit(*edges_among(n_useless))
        assert model.encoding_ == BOTH
        assert sum(trial.trained.scale is not None for trial in tried) == n_scaled
    of_table = model._learnt.encoding.column_of
    scale = tried[-1].trained.scale
    assert scale.shape == of_table.shape
    for column in range(9):  # all that are made of it are worth the same
        assert_array_equal(scale[of_table == column], scale[column])
    assert scale[:3].min() > 2 * scale[3:9].max()


def test_only_encoded_columns_that_nobody_has_asked_for_make_a_network_drop_units(
    given, monkeypatch
):
    monkeypatch.setattr(recipe, "FEW_ROWS", 499)
    X, y = edges_among(1, 500)
    model = single(hidden_layer_sizes=(12, 8)).fit(X, y)
    for share, rates in ((1.0, [0.03, 0.03]), (0.0, [0.0, 0.0])):
        given(share, alone=share)
        assert model.fit(X, y).dropout_ == rates
    given(1.0)
    assert model.fit(X, np.round(y)).dropout_ == [0.03, 0.03]
    told = [({"dropout": 0.0}, [0.0, 0.0]), ({"dropout": [0.2, 0.1]}, [0.2, 0.1])]
    told += [({"init": "glorot"}, [0.0, 0.0]), ({"solver": "lbfgs"}, [0.0, 0.0])]
    for params, rates in told:
        assert single(hidden_layer_sizes=(12, 8), **params).fit(X, y).dropout_ == rates
    assert single(encoding=BOTH).fit(X, y).dropout_ == [0.0]
    assert single().partial_fit(X, y).dropout_ == [0.0]


def test_what_is_dropped_is_what_trains(given, monkeypatch):
    given(1.0)
    X, y = edges_among(1, 500)
    monkeypatch.setattr(recipe, "FEW_ROWS", 499)
    monkeypatch.setattr(mixture, "DROPOUT", {"adam": 0.5})
    half = single().fit(X, y)
    assert half.dropout_ == [0.5]
    assert half.loss_ > 1.5 * single(dropout=0.0).fit(X, y).loss_


@pytest.mark.parametrize("given", [{"standardize": False}, {"init": "glorot"}, {"solver": "lbfgs"}])
def test_columns_are_scaled_only_where_the_fit_has_units_of_its_own(given, tried):
    tried, _ = tried
    X, y = edges_among(6)
    model = BackpropRegressor(random_state=0, **given).fit(X, y)
    assert tried and all(trial.trained.scale is None for trial in tried)
    assert model.score(X, y) > 0.8


def test_scaled_columns_leave_less_of_tables_with_edges_and_columns_that_mean_nothing(monkeypatch):
    X, y = edges_among(12, 4000, seed=3)

    def error():  # beside the noise
        model = BackpropRegressor(random_state=0).fit(X[:1000], y[:1000])
        return np.mean((model.predict(X[1000:]) - y[1000:]) ** 2) - 0.2**2

    scaled = error()
    monkeypatch.setattr(recipe, "NEXT_TO_NOTHING", 0.0)
    assert scaled < 0.8 * error()


@pytest.mark.parametrize(("ratio", "are_scaled"), [(0.5, [1]), (1.0, [0, 1]), (2.0, [0])])
def test_the_pilots_are_those_that_short_trials_speak_for(ratio, are_scaled, tried, monkeypatch):
    tried, _ = tried
    short = trials.Search.short_trial

    def given_ratio(search, scale=None):
        made = short(search, scale)
        return made._replace(loss=0.1 * (1.0 if scale is None else ratio))

    monkeypatch.setattr(trials.Search, "short_trial", given_ratio)
    monkeypatch.setattr(mixture, "is_promising", lambda *_: True)
    monkeypatch.setattr(mixture, "may_be_scaled", lambda *_: True)
    monkeypatch.setattr(recipe, "NEXT_TO_NOTHING", 2.0)
    single(max_iter=60).fit(*with_steps())
    assert [trial.trained.scale is not None for trial in tried] == [0, 1, *are_scaled]


def test_a_short_trial_that_its_pilot_is_worse_than_is_followed(monkeypatch):
    """Of noise, say, whose pilot may be too short to come to an end."""
    monkeypatch.setattr(trials.Search, "pilot", pilot_that_leaves(np.inf, trials.Search.pilot))
    model = BackpropRegressor((12,), max_iter=80, random_state=0).fit(*with_steps())
    assert (model.encoding_, model.max_iter_) == (BOTH, 20)


def pilot_that_leaves(loss, pilot):
    """Of encoded columns; the others' as it is."""

    def made(search, plan):
        made = pilot(search, plan)
        return made._replace(loss=loss) if search.task.encoding else made

    return made


def test_ctrl_c_among_scaled_trials_leaves_the_plain_network(monkeypatch, ctrl_c_is_heard):
    monkeypatch.setattr(mixture, "is_promising", lambda *_: True)
    monkeypatch.setattr(mixture, "may_be_scaled", lambda *_: True)
    short = trials.Search.short_trial

    def interrupted(search, scale=None):
        if scale is not None:
            signal.raise_signal(signal.SIGINT)
            raise tasks.Interrupted(None, None, None, None, 0)
        return short(search)

    monkeypatch.setattr(trials.Search, "short_trial", interrupted)
    monkeypatch.setattr(recipe, "NEXT_TO_NOTHING", 2.0)
    X, y = with_steps()
    with pytest.warns(ConvergenceWarning, match="Interrupted after 30 epochs"):
        model = single(max_iter=60).fit(X, y)
    assert model.encoding_ == ()
    assert model.score(X, y) > 0.5


def test_a_pilot_trains_for_no_longer_than_the_plain_network_will(tried, given):
    given(0.0, alone=0.0)
    tried, _ = tried
    X, y = smooth()
    model = single(max_iter=300).fit(X, y + np.random.default_rng(1).normal(size=300))
    assert model.max_iter_ < 200  # of noise
    epochs = round(recipe.PILOT_LENGTH * model.max_iter_), tried[0].trained.max_iter
    assert tried[-1].trained.max_iter == max(epochs)


@pytest.mark.parametrize("is_promising", [True, False])
def test_the_time_of_trials_is_taken_off_that_of_the_fit(is_promising, tried, given, monkeypatch):
    given(0.0, alone=0.0)
    monkeypatch.setattr(mixture, "is_promising", lambda *_: is_promising)
    left, real = [], solvers.fit

    def counted(net, theta, samples, scored, settings, *rest, **more):
        left.append(settings.max_time)
        return real(net, theta, samples, scored, settings, *rest, **more)

    monkeypatch.setattr(solvers, "fit", counted)
    short = trials.Search.short_trial

    def long_trial(search, *scale):
        search.task.settings.max_time -= 400
        return short(search, *scale)

    monkeypatch.setattr(trials.Search, "short_trial", long_trial)
    single(max_time=1000.0, max_iter=60).fit(*with_steps())
    assert 500 < left[-1] < 600


def test_few_rows_and_sparse_ones_are_not_encoded_unasked(tried):
    X, y = with_steps()
    for few, of_y in ((X[:499], y[:499]), (sparse.csr_array(X), y)):
        assert single().fit(few, of_y).encoding_ == ()
    assert tried[0] == []


def test_both_are_tried_on_the_same_rows_held_out(table, monkeypatch):
    searches, trial = [], trials.Search.trial
    monkeypatch.setattr(mixture, "FEWEST_ROWS", 0)
    monkeypatch.setattr(
        trials.Search,
        "trial",
        lambda search, *rest, **how: searches.append(search) or trial(search, *rest, **how),
    )
    single(encoding="auto", alpha=1e-3, linear_part=None).fit(*table)
    plain, encoded = searches[0], searches[-1]
    assert (plain.task.encoding, encoded.task.encoding.names) == (None, BOTH)
    assert plain.parts is encoded.parts
    for found in (search.task.settings for search in searches):
        assert (found.batch_size, found.one_row) == (60, plain.task.settings.one_row)
        assert_allclose(found.alpha, 1e-3 / table[1].var(), rtol=0.1)  # in units of training


@pytest.fixture
def asked(monkeypatch):
    """What the share was asked of, of a table with one pilot; it says so much each time."""
    asked, says = [], [1.0, 0.0]
    monkeypatch.setattr(recipe, "n_pilots", lambda *_: 1)
    monkeypatch.setattr(mixture, "FEWEST_ROWS", 0)
    monkeypatch.setattr(mixture, "is_promising", lambda *_: True)

    def share_of_second(*given, **_):
        asked.append(given[:4])
        return says[len(asked) - 1]

    monkeypatch.setattr(mixture, "share_of_second", share_of_second)
    return asked, says


def test_their_predictions_there_are_those_of_the_networks(table, asked):
    X, y = table
    asked, _ = asked
    model = ensemble(2, {"max_iter": 100}, random_state=1).fit(X, y)
    of_one_part, of_three = asked  # the one that they were searched on, and two more
    units = model.estimators_[0]._learnt.seen.units()
    for plain, encoded, targets, weight in asked:
        assert weight is None
        assert np.isin(np.round(targets * units.y_scale + units.y_mean, 2), np.round(y, 2)).all()
        assert np.mean((plain - targets) ** 2) < 0.3
        assert np.mean((encoded - targets) ** 2) < 0.6
    assert [len(targets) for _, _, targets, _ in asked] == [12, 3 * 12]
    for first, again in zip(of_one_part[1:3], of_three[1:3], strict=True):
        assert_array_equal(again[:12], first)
    assert (of_one_part[0] != of_three[0][:12]).all()  # there it is the mean of two plain ones


def test_where_nothing_is_gained_on_the_first_part_no_more_are_tried(table, asked):
    asked, says = asked
    says[:] = 0.0, 1.0
    assert [each.encoding_ for each in ensemble(2).fit(*table).estimators_] == [(), ()]
    assert len(asked) == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "params",
    [
        {"early_stopping": False}, {"early_stopping": True}, {"hidden_layer_sizes": 3},
        {"hidden_layer_sizes": ()}, {"max_time": 1e-6},
    ],
)  # fmt: skip
def test_without_rows_held_out_for_it_nothing_is_encoded(params, given, table):
    given(1.0)
    assert single(**{"encoding": "auto"} | params).fit(*table).encoding_ == ()


def test_tables_of_many_columns_and_of_none_to_encode_are_not_tried(given, monkeypatch):
    given(1.0)
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 60)), random.normal(size=60)
    for columns in (X, np.sign(X)):
        assert single(encoding="auto").fit(columns, columns[:, 0] + y).encoding_ == ()
    monkeypatch.setattr(mixture, "MOST_COLUMNS", 59)
    monkeypatch.setattr(encodings, "measure", None)
    assert single(encoding="auto").fit(X, X[:, 0] + y).encoding_ == ()


def test_an_encoded_network_that_diverges_is_left(given, table, monkeypatch):
    given(1.0)
    pilot = trials.Search.pilot

    def diverging(search, plan):
        if search.task.encoding:
            raise ValueError("Training diverged")
        return pilot(search, plan)

    monkeypatch.setattr(trials.Search, "pilot", diverging)
    assert single(encoding="auto").fit(*table).encoding_ == ()


@pytest.mark.parametrize("name", ["short_trial", "pilot"])
def test_after_ctrl_c_while_they_are_compared_there_is_the_plain_trials_network(
    name, given, table, monkeypatch, ctrl_c_is_heard
):
    X, y = table
    given(1.0)
    real = getattr(trials.Search, name)

    def interrupted(search, *rest):
        if search.task.encoding:
            signal.raise_signal(signal.SIGINT)
            raise tasks.Interrupted(*5 * [None])
        return real(search, *rest)

    monkeypatch.setattr(trials.Search, name, interrupted)
    model = single(encoding="auto")
    with pytest.warns(ConvergenceWarning, match="Interrupted after 5 epochs.*of a trial"):
        model.fit(X, y)
    assert (model.encoding_, model.n_iter_, model.t_) == ((), 5, 5 * 48)
    loss = np.mean((model.predict(X) - y) ** 2) / y.var()
    assert_allclose(loss, model.loss_, rtol=0.3)
    with pytest.raises(KeyboardInterrupt):
        ensemble(2).fit(X, y)


def test_who_goes_on_keeps_what_was_chosen(given, table):
    X, y = table
    for share in (0.0, 1.0):
        given(0.5, alone=share)
        model = single(encoding="auto", warm_start=True).fit(X, y)
        names = model.encoding_
        assert names == (BOTH if share else ())
        assert model.partial_fit(X, y).fit(X, y).encoding_ == names
    assert single(encoding="auto").partial_fit(X, y).encoding_ == ()


def test_members_have_the_encodings_that_their_networks_ask_for(given, table):
    given(0.3)
    for encoding, expected in ((None, ()), ("periodic", ("periodic",))):
        model = ensemble(2, {"encoding": encoding}).fit(*table)
        assert {each.encoding_ for each in model.estimators_} == {expected}
    model = ensemble(2, {"encoding": "auto"}).fit(*table)
    assert [each.encoding_ for each in model.estimators_] == [(), BOTH]
    assert [each.encoding for each in model.estimators_] == [None, BOTH]


def test_members_drop_what_their_networks_do(given, monkeypatch):
    given(0.3)
    monkeypatch.setattr(recipe, "FEW_ROWS", 499)
    X, y = edges_among(1, 500)
    for dropout, expected in (("auto", [0.0, 0.03]), (0.25, [0.25, 0.25]), ([0.5], [[0.5], [0.5]])):
        model = ensemble(2, {"dropout": dropout}).fit(X, y)
        assert [each.dropout for each in model.estimators_] == expected
        assert [each.dropout_ for each in model.estimators_] == [[np.max(e)] for e in expected]
    model = ensemble(2, {"init": "glorot"}).fit(X, y)
    assert [each.dropout for each in model.estimators_] == [0.0, 0.0]


def test_pilots_drop_what_their_networks_do_and_short_trials_nothing(given, monkeypatch):
    """Whether any units are to be left out, only the plain network's search can say."""
    seen, try_out = [], tasks.Task.try_out

    def noted(task, plan, *rest, **changes):
        if task.encoding is not None:
            rates = [task.net["dropout"][1], max(task.settings.dropout, default=0.0)]
            seen.append((plan.max_iter, *np.round(rates, 6)))
        return try_out(task, plan, *rest, **changes)

    monkeypatch.setattr(tasks.Task, "try_out", noted)
    monkeypatch.setattr(recipe, "FEW_ROWS", 499)
    given(1.0)
    model = single(max_iter=60).fit(*edges_among(1, 500))
    assert model.dropout_ == [0.03]
    (short, *of_short), *pilots = seen
    assert of_short == [0, 0]
    assert [rates for length, *rates in pilots if length > short] == [[0.03, 0.03]]


# -------------------------------------------------------------------------- the weights


@pytest.mark.parametrize(
    ("weights", "n_members", "kinds", "expected"),
    [
        ([1.0], 3, [0, 0, 0], [1 / 3, 1 / 3, 1 / 3]),
        ([0.8, 0.2], 4, [0, 0, 1, 1], [0.4, 0.4, 0.1, 0.1]),
        ([0.8, 0.2], 3, [0, 0, 1], [0.4, 0.4, 0.2]),
        ([0.2, 0.8], 3, [0, 1, 1], [0.2, 0.4, 0.4]),
    ],
)
def test_kinds_are_shared_out_and_their_weights_too(weights, n_members, kinds, expected):
    weights = np.array(weights)
    assert_array_equal(committee.shared_out(weights, n_members), kinds)
    assert_allclose(committee.weights_of(np.array(kinds), weights), expected)


def test_of_members_that_are_left_the_kinds_keep_their_weights():
    weights = np.array([0.8, 0.2])
    assert_allclose(committee.weights_of(np.array([0, 0, 1]), weights), [0.4, 0.4, 0.2])
    assert_allclose(committee.weights_of(np.array([0, 0]), weights), [0.5, 0.5])
    assert_allclose(committee.weights_of(np.array([1]), weights), [1.0])


@numba.njit
def over_rows(f, X, y):
    for i in range(len(X)):
        y[i] = f(X[i])


def test_a_prediction_is_the_weighted_mean(given, two_outputs, tmp_path, monkeypatch):
    X, Y = two_outputs
    given(0.3)
    orders, train = [], members.train
    monkeypatch.setattr(
        members, "train", lambda prepared, rows, *rest: orders.extend(map(np.array, rows))
        or train(prepared, rows, *rest),
    )  # fmt: skip
    model = ensemble(5, {"linear_part": None}).fit(X, Y)  # else members are nearly alike
    weights = model.estimator_weights_
    assert_allclose(weights, [0.7 / 3, 0.7 / 3, 0.7 / 3, 0.15, 0.15])
    assert [each.encoding_ for each in model.estimators_] == [(), (), (), BOTH, BOTH]
    each = np.array([member.predict(X) for member in model.estimators_])
    mean, std = model.predict(X, return_std=True)
    assert_allclose(mean, np.average(each, axis=0, weights=weights), rtol=1e-5, atol=1e-6)
    squares = np.average((each - mean) ** 2, axis=0, weights=weights)
    assert_allclose(std, np.sqrt(squares / (1 - np.sum(weights**2))), rtol=1e-3)
    y = np.empty(Y.shape)
    over_rows(model.as_njit(), X, y)
    assert_allclose(y, mean, rtol=1e-4, atol=1e-5)
    for i in range(len(Y)):
        has_not = [i not in order for order in orders]
        if any(has_not):
            expected = np.average(each[has_not, i], axis=0, weights=weights[has_not])
            assert_allclose(model.oob_prediction_[i], expected, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.npz")
    loaded = BackpropEnsembleRegressor.load(tmp_path / "model.npz")
    assert_array_equal(loaded.estimator_weights_, weights)
    assert_array_equal(loaded.predict(X, return_std=True), (mean, std))
    assert_array_equal(loaded.predict_interval(X, 0.5), model.predict_interval(X, 0.5))


def test_counts_are_mixed_behind_the_link(given):
    random = np.random.default_rng(0)
    X = random.uniform(-1, 1, (80, 2))
    given(0.5)
    model = ensemble(2, {"loss": "poisson"}).fit(X, random.poisson(np.exp(X[:, 0])))
    one, other = (member.predict(X) for member in model.estimators_)
    assert_allclose(model.predict(X), (one + other) / 2, rtol=1e-5)


@pytest.mark.parametrize("resample", [None, "folds", "bootstrap"])
def test_any_number_of_threads_gives_the_same_bits(resample, given, table):
    given(0.3)
    X, y = table
    one, *others = (ensemble(4, resample=resample, n_threads=n).fit(X, y) for n in (1, 2, 3))
    for other in others:
        assert_array_equal(other.predict(X, return_std=True), one.predict(X, return_std=True))
        assert_array_equal(other.oob_prediction_, one.oob_prediction_)


@pytest.mark.parametrize(("done", "weights"), [(1, [0.5, 0.5]), (2, [0.35, 0.35, 0.3])])
def test_after_ctrl_c_the_weights_are_those_of_members_that_are_done(
    done, weights, given, table, monkeypatch, ctrl_c_is_heard
):
    given(0.3)
    train_one = members.train_one

    def pressing(prepared, number, *rest):
        fitted = train_one(prepared, number, *rest)
        if number == done:
            signal.raise_signal(signal.SIGINT)
        return fitted

    monkeypatch.setattr(members, "train_one", pressing)
    model = ensemble(4, n_threads=1)
    with pytest.warns(ConvergenceWarning, match=f"the ensemble is {done + 1} of 4"):
        model.fit(*table)
    assert_allclose(model.estimator_weights_, weights)
    assert np.isfinite(model.predict(table[0])).all()
    assert model.residuals_.shape[1] == 1


def test_progress_names_both_kinds(given, table, capsys):
    given(0.3)
    ensemble(2, n_threads=1, verbose=True).fit(*table)
    lines = capsys.readouterr().out.splitlines()
    kinds = [line.partition(" ")[0] for line in lines if "trial" in line]
    assert kinds[0] == "trial"
    assert "encoded" in kinds
    assert any("held out, 5 times with different parts" in line for line in lines)
    first, second, *_ = lines[len(kinds) :]
    assert first.startswith("pilot: ")
    assert first.endswith("weight 0.70")
    assert second.startswith("encoded pilot: ")
    assert second.endswith("weight 0.30")
