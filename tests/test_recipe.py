"""The recipe: what "auto" becomes, and the troubles that it mends."""

import time
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import reference
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropEnsembleRegressor, BackpropRegressor, outliers
from fastbp.fitting import calling, curves, divergence, loop, recipe, solvers, survey, tasks, trials
from fastbp.fitting.schedules import SCHEDULES
from fastbp.kernels.formulas.activations import ACTIVATIONS
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.network import n_parameters, network
from fastbp.parameters import unpack

#: The defaults.
RECIPE = {"random_state": 0}


# ------------------------------------------------------------------------- the formulas


@pytest.mark.parametrize(
    ("n", "batch", "solver", "expected"),
    [
        (4, 4, "adam", 1000), (4, 4, "sgd", 8000), (1000, 64, "adam", 400), (2500, 64, "adam", 200),
        (5000, 128, "adam", 100), (50_000, 128, "adam", 100), (10**6, 128, "adam", 20),
    ],
)  # fmt: skip
def test_the_number_of_epochs_goes_by_the_rows(n, batch, solver, expected):
    assert recipe.epochs(n, batch, solver, 17_000) == expected


def test_networks_of_few_parameters_are_trained_for_longer():
    lengths = [recipe.epochs(5000, 128, "adam", n) for n in (9, 250, 1000, 10**6)]
    assert lengths == [800, 400, 200, 100]


def test_many_rows_have_larger_batches_and_moderate_ones_half_of_the_epochs():
    assert [recipe.batch_size(n) for n in (10, 4096, 50_000, 50_001)] == [64, 64, 64, 128]
    given = [(4095, 64), (4096, 64), (4096, 128), (50_000, 64), (50_001, 64)]
    expected = [123, 62, 123, 50, 100]
    assert [recipe.epochs(n, batch, "adam", 17_000) for n, batch in given] == expected


@pytest.mark.parametrize(
    ("n", "batch", "may_be_fine", "expected"),
    [
        (2000, 64, True, (None, 1)),
        (2001, 64, True, (32, 1)),
        (4095, 64, True, (32, 1)),
        (4096, 64, True, (32, 2)),
        (50_000, 64, True, (32, 2)),
        (50_001, 128, True, (None, 7 / 6)),
        (2001, 64, False, (None, 7 / 6)),
        (4096, 64, False, (None, 2)),
        (4096, 128, False, (None, 7 / 6)),
    ],
)
def test_clean_tables_have_smaller_steps_or_more(n, batch, may_be_fine, expected):
    assert recipe.for_clean(n, batch, may_be_fine) == expected


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("activation", ["identity", "tanh", "logistic"])
def test_the_curvature_is_the_hessians_where_residuals_are_none(activation, n_outputs):
    """The Gauss-Newton matrix is then the Hessian, whose eigenvalues differences tell."""
    layers = reference.random_network([3, 4, n_outputs], [activation], seed=1)
    X, h = np.random.default_rng(0).normal(size=(30, 3)), 1e-5
    theta = reference.pack(layers.coefs, layers.intercepts)
    largest = 0.0
    for k in range(n_outputs):

        def outputs(theta, k=k):
            return reference.predict(reference.unpack(theta, layers), X)[:, k]

        steps = h * np.eye(theta.size)
        J = np.array([(outputs(theta + s) - outputs(theta - s)) / (2 * h) for s in steps])
        largest = max(largest, np.linalg.eigvalsh(2 * J @ J.T / len(X))[-1])
    got = recipe.curvature(layers.coefs, layers.intercepts, layers.activations, X)
    assert_allclose(got, largest, rtol=1e-3)


@pytest.mark.parametrize(
    ("params", "bound"),
    [
        ({"momentum": 0.0}, 2.0),
        ({"momentum": 0.9, "nesterovs_momentum": False}, 3.8),
        ({}, 3.8 / 2.8),
    ],
)
def test_below_its_bound_plain_descent_converges_and_beyond_it_diverges(params, bound, monkeypatch):
    """On linear regression, full batches: λ is then that of the loss itself."""
    random = np.random.default_rng(0)
    X = random.normal(size=(64, 3)) @ random.normal(size=(3, 3))
    y = X @ [1.0, -2.0, 3.0]
    curvature = recipe.curvature([np.zeros((3, 1))], [np.zeros(1)], [], X)
    given = {"solver": "sgd", "batch_size": 64, "standardize": False, "dtype": "float64", **params}
    given |= {"learning_rate": "constant", "max_iter": 3000, "n_iter_no_change": np.inf}
    fit = founding((), **given, learning_rate_init=0.99 * bound / curvature).fit(X, y)
    assert fit.loss_ < 0.1 * fit.loss_curve_[0]
    monkeypatch.setattr(divergence, "RESTARTS", 0)
    with pytest.raises(ValueError, match="diverged"):
        founding((), **given, learning_rate_init=1.3 * bound / curvature).fit(X, y)
    curvature = recipe.curvature([np.zeros((3, 1))], [np.zeros(1)], [], X, batch_size=64)
    auto = founding((), **given, learning_rate_init="auto", init="auto").fit(X, y)
    assert_allclose(auto.learning_rate_init_, min(1, 0.75 * bound / curvature), rtol=1e-2)


def drawn(widths, activations, X, seed=0, **given):
    net = network(widths, activations)
    weights = unpack(np.full(n_parameters(net), np.nan), net)
    recipe.first_weights(*weights, activations, X, np.random.RandomState(seed), **given)
    return weights


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_first_weights_know_the_data(activation):
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(size=(500, 2)), np.ones(500), random.exponential(size=500)])
    (W, *others), (b, *_) = drawn([4, 64, 16, 2], [activation] * 2, X)
    assert np.isfinite(W).all() and all(np.isfinite(w).all() for w in others)
    looking = (W != 0).sum(axis=0) == 1
    if activation == "identity":
        assert not looking.any()
        return
    # Half of them look at one column, but at none that is constant; theirs are its quantiles.
    assert_array_equal(looking, [True] * 32 + [False] * 32)
    assert not W[2, :32].any()
    for j in (0, 1, 3):
        middles = -b[:32][W[j, :32] != 0] / W[j, :32][W[j, :32] != 0]
        assert len(middles) in (10, 11)
        share_below = np.mean(X[:, j] < np.sort(middles)[:, None], axis=1)
        assert_allclose(share_below, (np.arange(len(middles)) + 0.5) / 11, atol=0.02)


@pytest.mark.parametrize("activation", ["silu", "tanh"])
def test_plain_descents_hinges_begin_less_steep(activation):
    """They are large numbers to the next layer; sigmoids end at 1."""
    X = np.random.default_rng(0).normal(size=(500, 4))
    steepest = [
        np.abs(drawn([4, 200, 1], [activation], X, solver=solver)[0][0][:, :100]).max()
        for solver in ("adam", "sgd")
    ]
    assert steepest == ([8, 2] if activation == "silu" else [8, 8])


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1001])
def test_quantiles_of_columns_are_numpys_to_the_last_bit(n):
    X = np.random.default_rng(n).normal(size=(n, 4)) * [1.0, 1e-300, 1e300, 7.0]
    X[:, 3] = X[:, 3].round()  # of which many are equal
    parts = np.linspace(0, 1, 23)
    assert_array_equal(recipe.quantiles_of(X, parts), np.quantile(X, parts, axis=0))


def test_where_columns_outnumber_units_none_looks_at_one():
    (W, _), _ = drawn([40, 64, 1], ["logistic"], np.random.default_rng(0).normal(size=(50, 40)))
    assert (W != 0).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_a_network_of_any_depth_begins_with_outputs_of_mean_0_that_differ(depth, activation):
    X = np.random.default_rng(0).normal(size=(400, 5))
    coefs, intercepts = drawn([5, *[50] * depth, 1], [activation] * depth, X)
    outputs = reference.predict(reference.Network(coefs, intercepts, [activation] * depth), X)
    assert abs(outputs.mean()) < outputs.std()
    assert 1e-3 < outputs.std() < 10


def test_the_pilots_curve_says_how_long_to_train():
    falling, early = np.linspace(1, 0, 100), np.abs(np.arange(100) - 20.0)
    assert curves.chosen_epochs(falling, 100, 200) == 200
    # Up to the best epoch, the pilot made steps of about that many whole ones.
    assert 35 <= curves.chosen_epochs(early, 100, 200) <= 43
    assert curves.chosen_epochs(np.arange(10.0), 10, 20) == 5


def test_one_lucky_epoch_doesnt_say_how_long_to_train():
    losses = np.abs(np.arange(200) - 100.0)
    losses[30] = -1.0
    assert curves.chosen_epochs(losses, 200, 400, by_cosine=False) == 101


def ends(losses, **given):
    """After how many epochs a pilot with this curve ends."""
    n = len(losses)
    return next((k for k in range(n) if curves.has_risen(losses[:k], n, **given)), n)


LATE = np.r_[np.linspace(9, 4, 50), np.full(100, 4.0), np.linspace(4, 1, 50)]


@pytest.mark.parametrize(
    ("losses", "given", "end"),
    [
        (2 + np.abs(np.arange(200) - 40) / 50, {}, 110),  # a third of the epochs after the least
        (np.linspace(2, 1, 200), {}, 200),
        (LATE, {}, 200),
        (LATE + 0.02 * (np.arange(200) > 60), {}, 200),
        (LATE - 6, {"perfect": -6.0}, 200),  # of a loss that is less than nothing
        (10 + np.abs(np.arange(200) - 40) / 500, {"perfect": 9.0}, 110),
        (10 + np.abs(np.arange(200) - 40) / 1000, {}, 200),
    ],
    ids=["noisy", "clean", "late", "nearly flat", "negative", "much is noise", "flat"],
)
def test_a_pilot_ends_when_its_curve_has_risen(losses, given, end):
    assert ends(losses, **given) == end
    cut, n = losses[:end], len(losses)
    assert curves.chosen_epochs(cut, n, 400) == curves.chosen_epochs(losses, n, 400)
    assert curves.smooth(cut, n).min() == curves.smooth(losses, n).min()


def test_a_lucky_last_epoch_of_a_pilot_that_ended_early_is_not_its_best():
    losses = 2 + np.abs(np.arange(200) - 40) / 50
    losses[109] = 0.0
    assert curves.chosen_epochs(losses[:110], 200, 400) == curves.chosen_epochs(losses, 200, 400)


@pytest.mark.parametrize("n", [1, 10, 84, 200])
def test_a_pilot_is_looked_at_when_it_may_end(n):
    looks, done = [], 0
    while (done := done + curves.until_next_look(done, n)) < n:
        looks.append(done)
    rising = np.arange(1.0, n + 1)
    assert [k for k in range(n) if curves.has_risen(rising[:k], n)] == looks
    assert len(looks) <= curves.SMOOTHED


def pilots_of(monkeypatch, X, y, **params):
    """The pilots of a fit: how each ended, after how many epochs, and what it chose."""
    pilots, pilot = [], trials.Search.pilot

    def noting(search, plan):
        found = pilot(search, plan)
        pilots.append((found.history.ended_by, len(found.history.losses), found.plan.max_iter))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(trials.Search, "pilot", noting)
        given = RECIPE | {"linear_part": None, "encoding": None, "n_threads": 1} | params
        return BackpropRegressor((32, 32), **given).fit(X, y), pilots


@pytest.mark.parametrize("call_seconds", [0.1, 1e-9])
def test_a_noisy_tables_pilot_ends_early_and_says_the_same(call_seconds, monkeypatch):
    X, y = smooth(300)
    y = y + np.random.default_rng(1).normal(0, 1, 300)
    monkeypatch.setattr(calling, "CALL_SECONDS", call_seconds)  # which makes no difference
    monkeypatch.setattr(recipe, "BY_HEART", np.inf)  # the whole pilot would be made a longer one
    model, ((how, length, chosen), *_) = pilots_of(monkeypatch, X, y)
    planned = recipe.epochs(300, 64, "adam", n_parameters_of(model)) // 2
    assert how == "risen" and length < 0.6 * planned
    monkeypatch.setattr(curves, "RISE", np.inf)
    whole, ((how, length, as_chosen), *_) = pilots_of(monkeypatch, X, y)
    assert (how, length, as_chosen) == ("max_iter", planned, chosen)
    assert_array_equal(model.predict(X), whole.predict(X))


def test_the_pilots_of_waves_and_those_of_several_parts_go_on_to_their_end(monkeypatch):
    _, pilots = pilots_of(monkeypatch, *wave(40), activation="softplus")
    assert len(pilots) > 1 and {how for how, *_ in pilots} == {"max_iter"}
    y = np.random.default_rng(1).normal(size=150)
    monkeypatch.setattr(curves, "RISE", 1e-9)  # each by itself would have ended early
    _, pilots = pilots_of(monkeypatch, smooth(150)[0], y)
    assert {how for how, *_ in pilots} == {"max_iter"}


@pytest.mark.parametrize("has_risen", [False, True])
def test_a_pilot_that_ended_early_may_have_learnt_nothing(has_risen):
    settings = SimpleNamespace(max_iter=9, finds_step=True)
    attempts = divergence.Attempts(SimpleNamespace(losses=[1.0]), settings, 0.1)
    assert attempts.may_be_in_vain(has_risen) == has_risen


def test_nobody_goes_on_from_a_pilot_that_ended_early(monkeypatch):
    """As when smaller steps have learnt nothing either, and it was the best."""
    begun, begin_again = [], loop._Loop.begin_again

    def noting(training, observer):
        begun.append(training.history.restarts)
        begin_again(training, observer)

    monkeypatch.setattr(loop._Loop, "begin_again", noting)
    monkeypatch.setattr(divergence, "NOTHING", -100.0)  # all have learnt nothing
    X, y = smooth(300)
    y = y + np.random.default_rng(1).normal(0, 1, 300)
    _, ((how, length, _), *_) = pilots_of(monkeypatch, X, y)
    assert begun[:5] in ([0, 1, 2, 3], [0, 1, 2, 3, 0])  # the next 0 is another training's
    assert how == "risen" and length < 200


def test_noise_whose_pilot_ended_early_has_been_learnt_by_heart():
    search = SimpleNamespace(task=SimpleNamespace(settings=SimpleNamespace(perfect_loss=0.0)))
    for how, expected in (("max_iter", True), ("risen", False)):
        pilot = SimpleNamespace(history=SimpleNamespace(ended_by=how, last_loss=0.9), loss=1.0)
        assert trials.Search.has_hardly_begun(search, pilot) == expected


# --------------------------------------------------------------------- the estimator


def smooth(n, seed=0):
    X = np.random.default_rng(seed).uniform(-1, 1, (n, 3))
    return X, np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2]


def test_refit_trains_on_all_rows_for_as_long_as_the_pilot_says():
    X, y = smooth(300)
    y = y + np.random.default_rng(1).normal(0, 1, 300)  # so that it should be short
    model = BackpropRegressor((64, 64), **RECIPE, standardize=False).fit(X, y)  # pilots alone
    assert model.n_iter_ == model.max_iter_ < 400
    assert model.t_ == 300 * model.n_iter_
    assert len(model.validation_loss_curve_) == 200
    assert model.best_validation_score_ is None  # no weights of the pilot were kept
    plain = model.set_params(early_stopping=False, max_iter=model.n_iter_).fit(X, y)
    assert plain.t_ == 300 * plain.n_iter_


def test_columns_are_scaled_by_what_they_are_worth():
    """To a linear network, by their weights; but none by less than a hundredth."""
    X = np.random.default_rng(0).normal(size=(400, 4))
    W = np.array([[-2.0], [0.5], [1e-6], [0.0]])
    for coefs, activations in (([W], []), ([W, np.ones((1, 1))], ["identity"])):
        intercepts = [np.ones(each.shape[1]) for each in coefs]
        scale = recipe.column_scale(coefs, intercepts, activations, X, np.random.RandomState(0))
        assert_allclose(scale, [1, 0.25, 0.01, 0.01], rtol=0.1)
    assert recipe.column_scale([0 * W], [np.ones(1)], [], X, np.random.RandomState(0)) is None


def test_useless_columns_do_little_harm(monkeypatch):
    """And the weights are those of the raw columns, whatever scale they were trained with."""
    random = np.random.default_rng(0)
    X = np.column_stack([smooth(2500)[0], random.normal(3, 5, (2500, 60))])
    y = smooth(2500)[1] + random.normal(0, 0.1, 2500)
    fit = BackpropRegressor((64, 64), random_state=0).fit(X[:500], y[:500])
    assert fit._learnt.scaling.X_scale[3:].min() > 10 * X[:500, 3:].std(axis=0).max()
    network = reference.Network(fit.coefs_, fit.intercepts_, ["logistic"] * 2)
    assert_allclose(fit.predict(X), reference.predict(network, X).ravel(), rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(trials.Search, "first_trials", lambda *_: [])  # the pilot alone
    plain = BackpropRegressor((64, 64), random_state=0).fit(X[:500], y[:500])
    assert plain.weight_decay_ == 0.003
    error, plain_error = (np.std(m.predict(X[500:]) - y[500:]) for m in (fit, plain))
    assert error < 0.7 * plain_error


def test_of_few_rows_no_search_begins_with_what_the_pilot_tells_of_columns(monkeypatch):
    asked = []
    monkeypatch.setattr(trials.Search, "telling_scale_of", lambda *_: asked.append(1))
    X, y = smooth(500)
    y = y + np.random.default_rng(1).normal(0, 1, 500)
    for n, times in ((499, 0), (500, 1)):
        BackpropRegressor(20, random_state=0, encoding=None, max_iter=40).fit(X[:n], y[:n])
        assert len(asked) == times


def test_columns_are_scaled_by_networks_of_either_decay(monkeypatch):
    """Strong decay keeps a network from what its columns could tell."""
    X, y = smooth(2500)
    random = np.random.default_rng(0)
    y = y + (X[:, 0] > 0.3) * (X[:, 1] > 0) + random.normal(0, 0.1, 2500)
    X = np.column_stack([X, random.normal(size=(2500, 12))])

    def fit():
        model = BackpropRegressor((64, 64), random_state=0, encoding=None, linear_part=None)
        return model.fit(X[:500], y[:500])

    either = fit()
    assert either.weight_decay_ == 0.003
    assert either._learnt.scaling.X_scale[3:].min() > 5
    monkeypatch.setattr(recipe, "NEXT_TO_NOTHING", 0.0)
    strong = fit()
    assert strong.weight_decay_ == recipe.STRONG_DECAY
    error, of_strong = (np.mean((m.predict(X[500:]) - y[500:]) ** 2) for m in (either, strong))
    assert error - 0.1**2 < 0.8 * (of_strong - 0.1**2)


@pytest.mark.parametrize(("loss", "begins"), [(0.91, [0.1]), (0.89, [0.1, 0.003])])
def test_a_scaled_trial_begins_a_search_only_if_it_is_clearly_better(loss, begins, monkeypatch):
    said, trial, first_trials = [], trials.Search.trial, trials.Search.first_trials

    def given(search, plan, *rest, **how):
        made = trial(search, plan, *rest, **how)
        return made._replace(loss=1.0 if plan.scale is None else loss)

    def noted(search, pilot):
        said.append(first_trials(search, pilot._replace(loss=1.0)))
        return said[0]

    monkeypatch.setattr(recipe, "NEXT_TO_NOTHING", 2.0)  # any scale is telling
    monkeypatch.setattr(trials.Search, "trial", given)
    monkeypatch.setattr(trials.Search, "first_trials", noted)
    monkeypatch.setattr(trials.Search, "has_hardly_begun", lambda *_: False)
    BackpropRegressor(20, random_state=0, max_iter=40).fit(*smooth(500))
    assert [made.plan.weight_decay for made in said[0]] == begins
    assert [made.plan.scale is not None for made in said[0]] == [False, True][: len(begins)]


@pytest.mark.parametrize(("scaled", "is_followed"), [(0.8, True), (1.3, False)])
def test_a_search_goes_on_if_one_of_its_first_trials_is_near(scaled, is_followed, monkeypatch):
    followed, pilot = [], trials.Search.pilot

    def first_trials(search, pilot):
        first = search.trial(pilot.plan)
        return [first._replace(loss=1.3), first._replace(loss=scaled)]

    def following(search, pilot, firsts, to_learn):
        followed.append(firsts)
        return pilot

    monkeypatch.setattr(trials.Search, "pilot", lambda *given: pilot(*given)._replace(loss=1.0))
    monkeypatch.setattr(trials.Search, "first_trials", first_trials)
    monkeypatch.setattr(trials.Search, "following", following)
    monkeypatch.setattr(trials.Search, "has_hardly_begun", lambda *_: False)
    BackpropRegressor(20, random_state=0, max_iter=20, encoding=None).fit(*smooth(200))
    assert len(followed) == is_followed


def decays_of_pilots(monkeypatch, times):
    """Notes the decay of each pilot; the second leaves so many times what the first does."""
    made, pilot = [], trials.Search.pilot

    def noted(search, plan):
        made.append(plan.weight_decay)
        return pilot(search, plan)._replace(loss=1e-3 * times ** (len(made) - 1))

    monkeypatch.setattr(trials.Search, "pilot", noted)
    monkeypatch.setattr(trials.Search, "first_trials", lambda *_: [])
    return made


@pytest.mark.parametrize(
    ("n", "given", "times", "tried", "found"),
    [
        (300, {}, 2.0, [0.003, 0.03], 0.003),
        (300, {}, 0.5, [0.003, 0.03], 0.03),
        (300, {"weight_decay": 0.003}, 0.5, [0.003], 0.003),
        (310, {}, 0.5, [0.003], 0.003),
    ],
)
def test_a_clean_table_of_few_rows_has_a_pilot_with_moderate_decay(
    n, given, times, tried, found, monkeypatch
):
    monkeypatch.setattr(recipe, "FEW_ROWS", 305)
    made = decays_of_pilots(monkeypatch, times)
    params = {"encoding": None, "linear_part": None, "max_iter": 20, "random_state": 0} | given
    model = BackpropRegressor(12, **params).fit(*smooth(n))
    assert (made, model.weight_decay_) == (tried, found)


def test_hardly_any_noise_is_not_learnt_by_heart():
    """One percent of y's variance: it was taken for none."""
    random = np.random.default_rng(0)
    X = random.normal(size=(2800, 5))
    f = X @ [1, 0.5, -0.7, 0.3, 0.2] + np.maximum(X[:, 0] + X[:, 1], 0)
    y = f + 0.1 * f.std() * random.normal(size=2800)
    found, plain = (
        BackpropRegressor(random_state=0, encoding=None, linear_part=None, **given).fit(
            X[:800], y[:800]
        )
        for given in ({}, {"weight_decay": 0.003})
    )
    assert found.weight_decay_ > 0.003
    error, by_heart = (np.mean((m.predict(X[800:]) - f[800:]) ** 2) for m in (found, plain))
    assert error < 0.8 * by_heart


@pytest.mark.parametrize(
    ("X", "is_one"),
    [
        (np.array([[0.0, 5], [0, 7], [1, 5], [1, 7]]), True),
        (np.array([[0.0, 5], [0, 7], [1, 5], [1, 5]]), False),  # one is missing
        (np.array([[0.0, 5], [0, 7], [1, 5], [2, 7]]), False),  # three values
        (np.array([[0.0, 5], [0, 7], [1, 5]]), False),
        (np.array([[0.0], [1]]), True),
    ],
)
def test_a_truth_table_is_all_that_there_can_be(X, is_one):
    assert recipe.is_truth_table(X) == is_one


@pytest.mark.parametrize("n_bits", [5, 6])
@pytest.mark.parametrize("of", [np.asarray, sparse.csr_array])
def test_of_a_truth_table_nothing_is_held_out(n_bits, of):
    """What is true of some rows of parity is wrong for all others."""
    X = np.array(np.meshgrid(*[[0.0, 1]] * n_bits)).reshape(n_bits, -1).T
    y = X.sum(axis=1) % 2
    model = BackpropRegressor(random_state=0).fit(of(X), y)
    assert model.score(X, y) > 0.99 and model.validation_scores_ is None


@pytest.mark.parametrize(("n", "n_pilots"), [(11, 0), (12, 5), (199, 5), (200, 1)])
def test_rows_are_held_out_from_twelve_on(n, n_pilots):
    assert recipe.n_pilots(n, [20]) == n_pilots
    model = BackpropRegressor(20, random_state=0, max_iter=10).fit(*smooth(n))
    assert (model.validation_scores_ is not None) == (n_pilots > 0)


def test_very_few_rows_are_held_out_of():
    """A network that has learnt 25 of them by heart, and their noise, knows less of others."""
    errors = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        X = random.normal(size=(1025, 3))
        y = X[:, 0] + np.tanh(2 * X[:, 1]) + random.normal(0, 1, 1025)
        for early_stopping in ("refit", False):
            model = BackpropRegressor(
                random_state=seed, linear_part=None, early_stopping=early_stopping
            ).fit(X[:25], y[:25])
            errors.append(np.mean((model.predict(X[25:]) - y[25:]) ** 2))
    held_out, by_heart = np.reshape(errors, (-1, 2)).mean(axis=0)
    assert held_out - 1 < 0.8 * (by_heart - 1)


@pytest.mark.parametrize("params", [{"weight_decay": 0.02}, {"max_iter": 60}])
def test_what_is_given_is_obeyed_by_all_trials(params, monkeypatch):
    tried, try_out = [], tasks.Task.try_out

    def noting(task, plan, *args, **changes):
        tried.append(plan)
        return try_out(task, plan, *args, **changes)

    monkeypatch.setattr(tasks.Task, "try_out", noting)
    X, y = smooth(400)
    y = y + np.random.default_rng(1).normal(0, 1, 400)
    BackpropRegressor(20, random_state=0, linear_part=None, **params).fit(X, y)
    assert len(tried) > 2
    if "weight_decay" in params:
        assert {plan.weight_decay for plan in tried} == {0.02}
    else:
        assert max(plan.max_iter for plan in tried) == 30  # half of it


def wave(length):
    X = np.arange(0, length, 0.1)[:, None]
    return X, np.sin(X[:, 0])


def test_what_is_learnt_late_is_trained_for_longer(monkeypatch):
    X, y = wave(40)
    params = {"hidden_layer_sizes": (32, 32), "activation": "softplus", "random_state": 0}
    late = BackpropRegressor(**params).fit(X, y)
    assert late.score(X, y) > 0.98
    assert BackpropRegressor(**params, max_iter=300).fit(X, y).max_iter_ <= 300
    monkeypatch.setattr(recipe, "LONGEST", 1)
    plain = BackpropRegressor(**params).fit(X, y)
    assert plain.score(X, y) < 0.5 and late.max_iter_ > 4 * plain.max_iter_


def test_plain_descent_that_still_gains_is_trained_for_longer(monkeypatch):
    X = np.random.default_rng(0).uniform(-1, 1, (700, 3))
    y = np.sin(8 * X[:, 0]) + X[:, 1] * X[:, 2]
    params = {"solver": "sgd", "activation": "silu", "random_state": 0}
    longer = BackpropRegressor(200, **params).fit(X[:300], y[:300])
    monkeypatch.setattr(recipe, "LONGEST", 1)
    plain = BackpropRegressor(200, **params).fit(X[:300], y[:300])
    assert longer.max_iter_ in [2**k * plain.max_iter_ for k in (1, 2, 3, 4)]
    assert 1 - longer.score(X[300:], y[300:]) < 0.5 * (1 - plain.score(X[300:], y[300:]))


@pytest.mark.parametrize(
    ("n_rows", "given", "times", "batch_size"),
    [
        (90, {}, 1.0, 32),
        (60, {}, 1.0, 60),
        (120, {}, 7 / 6, 120),
        (90, {"max_iter": 600}, 1.0, 64),
        (90, {"batch_size": 45}, 7 / 6, 45),
        (90, {"learning_rate_init": 0.01}, 7 / 6, 64),
        (90, {"solver": "sgd"}, 7 / 6, 64),
    ],
)
def test_on_clean_tables_more_steps_are_made(n_rows, given, times, batch_size, monkeypatch):
    monkeypatch.setattr(recipe, "FEW_ROWS", 80)
    monkeypatch.setattr(recipe, "MANY_ROWS", 100)
    monkeypatch.setattr(trials.Search, "first_trials", lambda *_: [])
    params = {"max_iter": "auto", "solver": "adam", "linear_part": None, "random_state": 0} | given
    X = np.random.default_rng(0).normal(size=(n_rows, 2))
    model = BackpropRegressor(16, **params).fit(X, X[:, 0] + X[:, 1])
    planned = params["max_iter"]
    if planned == "auto":
        batch = params.get("batch_size", recipe.batch_size(n_rows))
        planned = recipe.epochs(n_rows, batch, params["solver"], n_parameters_of(model))
    assert (model.max_iter_, model.batch_size_) == (round(times * planned), batch_size)
    assert model.n_iter_ == model.max_iter_
    assert model.t_ == model.n_iter_ * n_rows


def test_a_penalty_goes_by_the_rows_in_a_step():
    settings = SimpleNamespace(alpha=0.5, batch_size=128)
    tasks.Plan(7, 0.1, batch_size=32).put_into(settings)
    assert vars(settings) == {"alpha": 0.125, "batch_size": 32, "max_iter": 7, "weight_decay": 0.1}
    tasks.Plan(9, 0.2).put_into(settings)
    assert vars(settings) == {"alpha": 0.125, "batch_size": 32, "max_iter": 9, "weight_decay": 0.2}


@pytest.mark.parametrize("n", [100, 300])
def test_noise_is_not_trained_on_for_longer(n):
    """It is learnt by heart."""
    X, y = np.random.default_rng(0).normal(size=(n, 4)), np.random.default_rng(1).normal(size=n)
    model = BackpropRegressor(64, random_state=0).fit(X, y)
    assert model.max_iter_ <= recipe.epochs(n, 64, "adam", n_parameters_of(model))


def n_parameters_of(model):
    return sum(W.size for W in (*model.coefs_, *model.intercepts_))


def test_what_a_pilot_is_scored_on_it_has_not_seen():
    X, y = np.random.default_rng(0).normal(size=(200, 4)), np.random.default_rng(1).normal(size=200)
    model = BackpropRegressor((128, 128), **RECIPE).fit(X, y)
    assert max(model.validation_scores_) < 0.2


def test_time_is_that_of_all_trainings_together():
    X, y = smooth(3000)
    model = BackpropRegressor((64, 64), **RECIPE | {"max_iter": 10**6}, max_time=0.5)
    start = time.perf_counter()
    model.fit(X, y)
    assert time.perf_counter() - start < 5
    assert 0 < model.n_iter_ < 10**6


def test_the_pilots_leave_the_fit_most_of_the_time():
    X, y = smooth(150)
    params = {"max_iter": 10**6, "learning_rate": "cosine", "early_stopping": "refit"}
    model = BackpropRegressor(8, **params, max_time=0.3, random_state=0).fit(X, y)
    alone = model.n_iter_
    model.set_params(early_stopping=False).fit(X, y)
    assert alone > model.n_iter_ / 10


def test_trials_leave_the_fit_half_of_the_time_however_many_there_are(monkeypatch):
    """And a quarter, where encoded networks are tried, too; each takes what it may."""
    left, try_out, fit = [], tasks.Task.try_out, solvers.fit

    def slow(task, *arguments, **changes):
        made = try_out(task, *arguments, **changes)
        task.settings.max_time -= min(changes["max_time"], 2000.0)
        return made

    def counted(net, theta, samples, scored, settings, *rest, **more):
        left.append(settings.max_time)
        return fit(net, theta, samples, scored, settings, *rest, **more)

    monkeypatch.setattr(tasks.Task, "try_out", slow)
    monkeypatch.setattr(solvers, "fit", counted)
    X, y = smooth(600)
    y = y + np.random.default_rng(1).normal(0, 0.5, 600)
    for encoding, part in ((None, 0.5), ("auto", 0.25)):
        left.clear()
        model = BackpropRegressor(9, max_iter=30, random_state=0, max_time=1e4, linear_part=None)
        model.set_params(encoding=encoding).fit(X, y)
        assert len(left) > 4
        assert left[-1] > part * 1e4 - 10  # by our own clock


@pytest.mark.parametrize("n", [100, 300])
def test_refit_goes_with_every_schedule(n):
    """Pilots of one length, and of all of it where the step size doesn't lead to an end."""
    X, y = smooth(n)
    for name in SCHEDULES:
        params = {"learning_rate": name, "learning_rate_init": 0.005, "max_iter": 40, "tol": 1.0}
        model = BackpropRegressor(
            9, **params, early_stopping="refit", n_iter_no_change=1, random_state=0
        ).fit(X, y)
        assert len(model.validation_loss_curve_) == (20 if SCHEDULES[name].is_planned else 40)
        assert model.max_iter_ == 40  # a loss that still falls says so


@pytest.mark.parametrize("hidden", [(8,), (9,)], ids=["of the starts", "of the search"])
def test_ctrl_c_in_a_trial_keeps_the_trials_network(hidden, calls):
    X, y = smooth(300)
    calls.of_steps(10)  # of five an epoch, on the whole table, or of four
    calls.press_ctrl_c(10)
    model = BackpropRegressor(hidden, **RECIPE)
    with pytest.warns(ConvergenceWarning, match=r"after \d+ epochs.*of a trial on a part"):
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) > 1
    assert model.t_ == model.n_iter_ * (300 if hidden == (8,) else 240)
    assert model.validation_scores_ is None
    loss = np.mean((model.predict(X) - y) ** 2) / y.var()
    assert abs(loss - model.loss_) < 0.5 * model.loss_
    assert np.isfinite(model.partial_fit(X, y).predict(X)).all()


def test_ctrl_c_in_the_search_of_an_ensemble_leaves_no_model(calls):
    calls.of_steps(1)
    calls.press_ctrl_c(20)
    model = BackpropEnsembleRegressor(BackpropRegressor(9, **RECIPE), 2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*smooth(300))
    assert not hasattr(model, "estimators_")


def test_what_auto_became_is_told_and_what_is_given_is_obeyed():
    X, y = smooth(300)
    model = BackpropRegressor(9, **RECIPE | {"early_stopping": False}).fit(X, y)
    assert (model.max_iter_, model.batch_size_, model.learning_rate_init_) == (3200, 64, 0.01)
    assert model.weight_decay_ == 0.003
    given = {"max_iter": 7, "batch_size": 50, "learning_rate_init": 0.002, "weight_decay": 0.1}
    model.set_params(**given).fit(X, y)
    assert (model.max_iter_, model.batch_size_, model.learning_rate_init_) == (7, 50, 0.002)
    assert model.weight_decay_ == 0.1
    assert model.set_params(solver="sgd", weight_decay="auto").fit(X, y).weight_decay_ == 0
    mlps = founding(8, batch_size="auto", max_iter=3, n_iter_no_change=np.inf).fit(X, y)
    assert mlps.batch_size_ == 200


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_same_seed_gives_the_same_model(n_threads):
    X, y = smooth(150)
    one, other = (
        BackpropRegressor(16, **RECIPE, n_threads=n).fit(X, y).predict(X) for n in (1, n_threads)
    )
    assert_array_equal(one, other)


# ------------------------------------------------------------------------- the troubles

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([0.0, 1, 1, 0])
BITS = np.array(np.meshgrid(*[[0.0, 1]] * 4)).reshape(4, -1).T
WAVE = np.arange(0, 20, 0.1)[:, None]
TROUBLES = {
    "xor": (*XOR, {}),
    "parity": (BITS, BITS.sum(axis=1) % 2, {}),
    "three rows": (np.arange(3.0)[:, None], np.array([0.0, 2, 1]), {}),
    "a long wave": (WAVE, np.sin(WAVE[:, 0]), {}),
    "150 rows": (*smooth(150, 1), {}),
    "a thousand units": (*smooth(400), {"hidden_layer_sizes": (1000,)}),
    "six layers": (*smooth(400), {"hidden_layer_sizes": (64,) * 6}),
    "a rare dummy": (
        np.c_[smooth(2000)[0], np.eye(2000, 1)], smooth(2000)[1], {"hidden_layer_sizes": (64, 64)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_troubles_networks_is_learnt(trouble):
    X, y, params = TROUBLES[trouble]
    given = RECIPE | {"hidden_layer_sizes": (128, 128)} | params
    assert BackpropRegressor(**given).fit(X, y).score(X, y) > 0.99


@pytest.mark.parametrize("trouble", ["a long wave", "a thousand units", "six layers"])
def test_a_plain_start_fails_on_it(trouble, monkeypatch):
    """Else the test above says nothing."""
    monkeypatch.setattr(divergence, "RESTARTS", 0)
    X, y, params = TROUBLES[trouble]
    try:
        score = founding(**{"random_state": 0} | params).fit(X, y).score(X, y)
    except ValueError:
        return
    assert score < 0.9


@pytest.mark.parametrize("activation", ["logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(50,), (1000,), (64,) * 5])
def test_plain_descent_finds_its_own_step_at_any_width_and_depth(hidden, activation):
    X, y = smooth(400)
    given = RECIPE | {"solver": "sgd", "weight_decay": 0.0, "early_stopping": False}
    model = BackpropRegressor(hidden, activation, **given).fit(X, y)
    assert model.score(X, y) > 0.95
    assert 0 < model.learning_rate_init_ < 1


def outlier_in(column):
    X, y = smooth(600)
    X[17, column] = 1e6
    return X, y


@pytest.mark.parametrize("column", [0, 1, 2])
def test_one_wrong_value_costs_no_column(column):
    X, y = outlier_in(column)
    others = np.arange(600) != 17
    model = BackpropRegressor((64, 64), random_state=0).fit(X, y)
    assert model.score(X[others], y[others]) > 0.98
    fresh = smooth(500, seed=5)
    assert model.score(*fresh) > 0.97


@pytest.mark.parametrize("hidden", [(3,), (5, 2)])
def test_of_a_narrow_network_the_best_of_some_starts_is_trained(hidden, monkeypatch):
    """With the bits that it would have from there alone."""
    X, y = smooth(300)
    model = BackpropRegressor(hidden, early_stopping=False, random_state=0).fit(X, y)
    monkeypatch.setattr(recipe, "STARTS", 1)
    singles = [clone(model).set_params(random_state=seed).fit(X, y).loss_ for seed in range(9)]
    assert model.loss_ < np.median(singles)


def test_starts_leave_half_of_the_time_however_long_they_take(monkeypatch):
    X, y = smooth(60)
    taken, try_out = [], tasks.Task.try_out

    def slow(self, *arguments, **changes):
        taken.append(0.3 * 600)
        found = try_out(self, *arguments, **changes)
        self.settings.max_time -= taken[-1]
        return found

    monkeypatch.setattr(tasks.Task, "try_out", slow)
    model = BackpropRegressor((3,), max_iter=5, early_stopping=False, max_time=600.0)
    model.fit(X, y)
    assert len(taken) == 2 and model.n_iter_ == 5


# -------------------------------------------------------------------- how training ends


def test_a_training_that_diverges_begins_again_with_a_smaller_step(table, capsys):
    given = {"activation": "identity", "learning_rate": "constant", "momentum": 0.0}
    given |= {"max_iter": 50, "random_state": 0, "n_iter_no_change": np.inf}
    model = founding(4, **given, learning_rate_init=2.0, verbose=True)
    with pytest.warns(UserWarning, match="diverged with learning_rate_init=2, .* again with"):
        model.fit(*table)
    assert "led nowhere; from the beginning" in capsys.readouterr().out
    eta = model.learning_rate_init_
    assert eta in (0.5, 0.125, 2 / 64, 2 / 256)
    # It is what that step size would have given at once, but for the orders of the samples.
    alone = founding(4, **given, learning_rate_init=eta).fit(*table)
    assert_allclose(model.loss_, alone.loss_, rtol=0.2)
    assert len(model.loss_curve_) == 50
    assert model.score(*table) > 0.8


def test_callbacks_hear_of_each_epoch_once_though_training_began_again(table):
    heard = []

    class Listener:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            heard.append(context.task_id)

        def teardown(self, estimator, context):
            pass

    model = founding(4, activation="identity", learning_rate_init=2.0, momentum=0.0, max_iter=20,
                     n_iter_no_change=np.inf, learning_rate="constant")  # fmt: skip
    with pytest.warns(UserWarning, match="diverged"):
        model.set_callbacks(Listener()).fit(*table)
    assert heard == [*range(20), 0]  # and the whole fit


def test_partial_fit_recovers_from_where_it_was(standard_table):
    X, y = standard_table
    model = founding(4, activation="identity", standardize=False, random_state=0)
    for _ in range(3):
        model.partial_fit(X, y)
    before = model.loss_
    steep = np.tile(X, (9, 1)) * 12, np.tile(y, 9) * 12  # its curvature is beyond the step
    with pytest.warns(ConvergenceWarning, match=r"diverged with learning_rate_init=0\.02"):
        model.partial_fit(*steep)
    assert np.isfinite(model.loss_)
    assert model.partial_fit(X, y).loss_ < 5 * before


def test_a_fit_that_learnt_nothing_says_so_and_what_to_do(table):
    X, y = table
    alone = partial(BackpropRegressor, 9, random_state=1, linear_part=None)
    with pytest.warns(ConvergenceWarning, match="learnt nothing.*Leave learning_rate_init 'auto'"):
        alone(learning_rate_init=1e-9).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="learnt nothing.*standardize=True"):
        alone(standardize=False, max_iter=3).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="learnt nothing.*alpha"):
        alone(alpha=1e4).fit(X, y)


def test_a_penalty_beyond_the_loss_of_a_constant_is_no_alarm_where_predictions_are_good(table):
    params = {"early_stopping": False, "max_iter": 60, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BackpropRegressor(9, alpha=3000, **params).fit(*table)
    assert model.loss_ > 1.1
    assert model.score(*table) > 0.4


def test_units_that_get_no_gradient_are_told_if_nothing_was_learnt(table):
    X, y = table
    model = BackpropRegressor(9, "relu", random_state=0, warm_start=True, max_iter=1)
    model.set_params(early_stopping=False, learning_rate_init=1e-9).fit(X, y)
    fifth = model.intercepts_[0][4]
    model.coefs_[1][:] = 0.0
    model.intercepts_[0][:5] = -1e9
    with pytest.warns(
        ConvergenceWarning, match=r"nothing.* In hidden layer 1: dead are 56% .*Lower"
    ):
        model.fit(X, y)
    model.intercepts_[0][4] = fifth
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    told = " ".join(str(warning.message) for warning in caught)
    assert "learnt nothing" in told and "hidden layer" not in told


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_loss_of_the_best_constant_is_the_least_there_is(loss, n_outputs):
    random, plain = np.random.default_rng(0), reference.LOSSES[loss]
    y, w = random.poisson(3.0, (50, n_outputs)).astype(float), random.uniform(size=50)
    w /= w.sum()
    least = 0.0
    for k in range(n_outputs):
        of = [
            sum(s * plain.value(z, t) for s, t in zip(w, y[:, k], strict=True))
            for z in np.arange(-1, 12, 0.04)
        ]
        least += min(of)
    a = plain.params.get("loss_parameter", 0.0)
    assert_allclose(LOSSES[loss].constant_loss(y, w, a), least, rtol=2e-3)


@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_plain_descent_whose_first_epoch_explodes_begins_again_with_a_smaller_step(schedule):
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 8))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] / 2 + X[:, 3]
    params = RECIPE | {"solver": "sgd", "learning_rate": schedule, "max_iter": 30}
    params |= {"early_stopping": False, "n_iter_no_change": np.inf}
    model = BackpropRegressor(50, learning_rate_init=0.1, **params)
    with pytest.warns(ConvergenceWarning) as said:
        model.fit(X, y)
    assert "diverged with learning_rate_init=0.1, and was begun again with 0.025" in str(said[0])
    with pytest.warns(ConvergenceWarning):
        smaller = BackpropRegressor(50, learning_rate_init=0.025, **params).fit(X, y)
    assert_array_equal(model.predict(X), smaller.predict(X))
    assert model.score(X, y) > 0.75


def test_one_row_that_holds_most_of_ys_variance_is_spoken_of():
    X, y = smooth(300)
    y[11] = 1e6
    with pytest.warns(UserWarning, match="One row holds 100% of the variance of y"):
        model = BackpropRegressor(32, random_state=0).fit(X, y)
    assert y[11] == 1e6
    others = np.arange(300) != 11
    assert model.score(X[others], y[others]) > 0.9


def test_a_rows_share_of_y_is_its_part_of_the_squares_about_the_mean():
    y = np.random.default_rng(0).normal(size=(outliers.FEWEST_ROWS, 4))
    y[7, 0], y[3, 1], y[:, 3] = 30.0, -9.0, 0.1
    squares = (y - y.mean(axis=0)) ** 2
    of_y = y.mean(axis=0), y.std(axis=0), y.min(axis=0), y.max(axis=0)
    expected = [*(squares[:, :3].max(axis=0) / squares[:, :3].sum(axis=0)), 0.0]
    assert_allclose(survey.shares_of_one_row(len(y), *of_y), expected)
    assert_array_equal(survey.shares_of_one_row(len(y) - 1, *of_y), np.zeros(4))


@pytest.mark.parametrize("far", [3.0, 1e6])
def test_of_several_y_those_alone_are_drawn_in_that_one_row_rules(far, recwarn):
    """As where an autoencoder's columns have rare events, and others long tails."""
    X, y = smooth(300)
    rare, tailed = np.zeros(300), y * 10.0 ** (np.arange(300) % 10 == 7)
    rare[11], y[11] = 1.0, far
    y_of = np.column_stack([rare, tailed, y])
    model = BackpropRegressor(4, max_iter=1, early_stopping=False, random_state=0)
    warnings.simplefilter("always")
    seen = model.fit(X, y_of)._learnt.seen
    assert any("One row holds" in str(each.message) for each in recwarn) == (far == 1e6)
    assert_allclose(seen.y_deviation[:2], y_of[:, :2].std(axis=0), rtol=1e-6)


def test_a_chunk_of_a_stream_is_trained_on_as_it_is():
    """Nobody would hear that y was drawn in: its largest value may be the first of many."""
    X, y = smooth(300)
    y[11] = 1e6
    model = BackpropRegressor(32, random_state=0).partial_fit(X, y)
    assert model._learnt.scaling.y_scale[0] > 1e4


def test_a_rare_event_is_no_outlier(recwarn):
    """Where all others are equal, they say nothing of what is honest."""
    X, y = smooth(300)[0], np.zeros(300)
    y[11] = 3.0
    model = BackpropRegressor(32, random_state=0, early_stopping=False).fit(X, y)
    assert model.predict(X[11:12])[0] > 0.3
    assert not recwarn.list


def test_alpha_is_added_to_a_loss_in_units_of_y():
    """Else whoever keeps MLPRegressor's alpha has a penalty that grows with the variance of y."""
    X, y = smooth(200)
    plain = founding(8, alpha=0.5, max_iter=30, random_state=0, standardize=False, tol=0.0)
    scaled = clone(plain).set_params(standardize=True, alpha=0.5 * 1e6)
    units = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    with pytest.warns(ConvergenceWarning, match="Stopped"):
        plain.fit(*units)
    with pytest.warns(ConvergenceWarning, match="Stopped"):
        scaled.fit(X, 1000 * y / y.std())
    assert_allclose(plain.loss_curve_, scaled.loss_curve_, rtol=1e-3)


def test_nothing_is_said_where_all_is_well(recwarn):
    BackpropRegressor(random_state=0).fit(*smooth(300))
    assert not recwarn.list


@pytest.mark.parametrize("seed", range(3))
def test_hinges_that_died_are_tried_with_a_smaller_step(seed, monkeypatch):
    X = np.random.default_rng(seed).normal(size=(200, 2))
    y = np.maximum(X @ [1.0, 2.0], 0) - np.maximum(X @ [-1.0, 1.0] + 0.5, 0)
    model = BackpropRegressor((2,), "relu", solver="sgd", random_state=seed)
    assert model.fit(X, y).score(X, y) > 0.5
    assert model.loss_ < divergence.NOTHING


SHORT = {
    "hidden_layer_sizes": (5,), "max_iter": 3, "early_stopping": False, "random_state": 7,
}  # fmt: skip


@pytest.fixture
def short_table(monkeypatch):
    """So few epochs teach this network nothing, from the one start that there is."""
    monkeypatch.setattr(recipe, "STARTS", 1)
    X = np.random.default_rng(0).normal(size=(200, 3))
    return X, X[:, 0]


def test_of_short_trainings_that_learn_nothing_the_best_is_kept(short_table, capsys):
    """It is that of the first step: smaller ones come less far, and after one no more are tried."""
    X, y = short_table
    with pytest.warns(ConvergenceWarning, match="learnt nothing"):
        found = BackpropRegressor(**SHORT, verbose=True).fit(X, y)
        told = capsys.readouterr().out
        given = BackpropRegressor(**SHORT, learning_rate_init=0.01).fit(X, y)
    assert told.count("led nowhere") == 1
    assert found.loss_curve_ == given.loss_curve_ and len(given.loss_curve_) == 3
    assert f"{given.loss_:.4g} " in told.splitlines()[-1]
    assert found.learning_rate_init_ == 0.01
    assert_array_equal(found.predict(X), given.predict(X))


@pytest.mark.parametrize("ending", ["interrupted", "diverged", "late"])
def test_however_a_smaller_step_ends_what_was_best_is_kept(ending, short_table, monkeypatch):
    X, y = short_table
    with pytest.warns(ConvergenceWarning, match="learnt nothing"):
        given = BackpropRegressor(**SHORT, learning_rate_init=0.01).fit(X, y)
    begin_again, has_diverged = loop._Loop.begin_again, loop._Loop.has_diverged

    def begun_again(self, observer):
        begin_again(self, observer)
        if ending == "interrupted":
            raise KeyboardInterrupt
        if ending == "late":
            self.settings.max_time, self.calls.start = 1e-9, -1e9

    def diverged(self, done):
        return has_diverged(self, done) or (ending == "diverged" and self.history.restarts > 0)

    monkeypatch.setattr(loop._Loop, "begin_again", begun_again)
    monkeypatch.setattr(loop._Loop, "has_diverged", diverged)
    with pytest.warns(ConvergenceWarning):
        model = BackpropRegressor(**SHORT).fit(X, y)
    assert model.loss_curve_ == given.loss_curve_ and model.learning_rate_init_ == 0.01
    assert_array_equal(model.predict(X), given.predict(X))


def test_a_step_that_was_given_is_kept_where_nothing_is_learnt():
    X, y = np.random.default_rng(0).normal(size=(2, 200, 2))
    with pytest.warns(ConvergenceWarning, match="learnt nothing"):
        model = BackpropRegressor(
            (64, 64), "relu", learning_rate_init=1e-9, max_iter=5, early_stopping=False,
            random_state=0,
        ).fit(X, y[:, 0])  # fmt: skip
    assert model.learning_rate_init_ == 1e-9
