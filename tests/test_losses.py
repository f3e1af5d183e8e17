"""L and dL/dŷ of every loss."""

import numpy as np
import pytest
import reference
from founding import founding
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from scipy.special import huber
from sklearn.metrics import d2_pinball_score

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.kernels.formulas import losses
from fastbp.kernels.formulas.losses import LINKS, LOSSES, TABLE, of_outputs
from fastbp.kernels.machine.compile import from_python

loss, loss_and_slope = from_python(losses.loss), from_python(losses.loss_and_slope)
loss_and_slope_of_tile = from_python(losses.loss_and_slope_of_tile)
loss_and_square = from_python(losses.loss_and_square)

PRECISIONS = ["float32", "float64"]
H = 1e-6


def outputs(dtype, shape=(2, 17)):
    """Predictions, targets and shares of a batch, seen as the kernels see it: (n_outputs, n)."""
    random = np.random.default_rng(0)
    share = random.uniform(0, 1, shape[1])
    arrays = random.normal(size=shape), random.gamma(2.0, size=shape), share / share.sum()
    return [a.astype(dtype) for a in arrays]


def parameter_of(name):
    """The loss's parameter, as the reference has it."""
    return reference.LOSSES[name].params.get("loss_parameter", 0.0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_is_that_of_the_loss(name):
    kind, a = LOSSES[name], parameter_of(name)
    for z, y in [(0.3, 1.2), (2.0, -1.0), (0.1, 0.4), (5.0, 0.01)]:
        rise = loss(kind, z + H, y, a) - loss(kind, z - H, y, a)
        value, slope = loss_and_slope(kind, z, y, a)
        assert_allclose(value, loss(kind, z, y, a), rtol=1e-15)
        assert_allclose(slope, rise / (2 * H), rtol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_no_prediction_costs_less_than_a_perfect_one_which_moves_nothing(name):
    kind, a, mean = LOSSES[name], parameter_of(name), reference.LOSSES[name].mean
    best, slope = loss_and_slope(kind, 1.5, float(mean(1.5)), a)
    assert_allclose(slope, 0, atol=1e-15)
    for z in (1.4, 1.6, -3.0, 9.0):
        assert loss(kind, z, float(mean(1.5)), a) > best


@pytest.mark.parametrize("name", LOSSES)
def test_the_excess_is_what_a_prediction_costs_more_than_a_perfect_one(name):
    value, mean, a = reference.LOSSES[name].value, reference.LOSSES[name].mean, parameter_of(name)
    z = np.array([[1.4, 1.6, -3.0, 9.0]])
    expected = [[value(each, mean(1.5)) - value(1.5, mean(1.5)) for each in z[0]]]
    assert_allclose(TABLE[name].excess(mean(z), mean(1.5), a), expected, rtol=1e-9)
    assert_allclose(
        TABLE["poisson"].excess(np.array([2.0, 0.0]), np.zeros(2), 0.0), [2, 0], atol=1e-300
    )


@pytest.mark.parametrize("name", LOSSES)
def test_what_y_itself_costs_is_known(name):
    value, row = reference.LOSSES[name].value, TABLE[name]
    y, w = np.array([[1.5, 0.3], [4.0, 2.0]]), np.array([0.25, 0.75])
    z = np.log(y) if row.link == "log" else y
    expected = w @ [value(*each) for each in zip(z, y, strict=True)]
    assert_allclose(of_outputs(row.perfect_loss, y, w), expected.sum(), atol=1e-15)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_costs_the_weighted_mean_of_its_samples(name, dtype):
    prediction, Y, share = outputs(dtype)
    D = np.empty_like(Y)
    a = np.full(len(Y), parameter_of(name), dtype)
    total = loss_and_slope_of_tile(LOSSES[name], a, prediction, Y, share, D)
    value, derivative, *_ = reference.LOSSES[name]
    samples = list(zip(prediction.T, Y.T, share, strict=True))
    rtol = 20 * np.finfo(dtype).eps
    assert_allclose(total, sum(s * value(p, y) for p, y, s in samples), rtol=rtol)
    assert_allclose(D.T, [s * derivative(p, y) for p, y, s in samples], rtol=rtol)


def test_squared_error_is_twice_the_half():
    whole, half = LOSSES["squared_error"], LOSSES["half_squared_error"]
    assert loss_and_slope(whole, 5.0, 2.0, 0.0) == (9.0, 6.0)
    assert loss_and_slope(half, 5.0, 2.0, 0.0) == (4.5, 3.0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_nan_is_nan(name):
    assert np.isnan(loss(LOSSES[name], np.nan, 1.0, parameter_of(name)))


@pytest.mark.parametrize("name", LOSSES)
def test_r2_is_of_the_prediction_behind_the_link(name):
    for z, y in [(0.3, 1.2), (2.0, 0.5)]:
        value, square = loss_and_square(LOSSES[name], parameter_of(name), 0.25, z, y)
        assert_allclose(value, 0.25 * loss(LOSSES[name], z, y, parameter_of(name)), rtol=1e-15)
        assert_allclose(square, 0.25 * (reference.LOSSES[name].mean(z) - y) ** 2, rtol=1e-14)


def test_the_reference_knows_every_loss():
    assert reference.LOSSES.keys() == LOSSES.keys()
    assert len(set(LOSSES.values())) == len(LOSSES)


# ------------------------------------------------------------------ in the estimator


@pytest.fixture(params=LOSSES)
def fitted(request, two_outputs):
    """A model for each loss, and what it was trained on."""
    X, Y = two_outputs
    Y = reference.LOSSES[request.param].target(Y)
    params = {"loss": request.param, "max_iter": 60, "n_iter_no_change": np.inf, "random_state": 0}
    return founding(8, **params).fit(X, Y), X, Y


def test_a_prediction_is_behind_the_link_wherever_it_is_made(fitted, tmp_path):
    model, X, _ = fitted
    network = reference.Network(model.coefs_, model.intercepts_, ["logistic"])
    mean = reference.LOSSES[model.loss].mean
    expected = mean(reference.predict(network, X))
    assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-4)
    if model.loss in ("squared_error", "poisson"):  # one of each link: that takes a while
        f = model.as_njit()
        assert_allclose([f(x) for x in X], expected, rtol=1e-4, atol=1e-4)
    model.save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.out_activation_ == model.out_activation_ == LINKS[TABLE[model.loss].link][1]


def test_the_loss_falls_and_its_gradient_is_of_the_raw_table(fitted):
    model, X, Y = fitted
    assert model.loss_curve_[-1] < model.loss_curve_[0] - 0.01
    kind, mean_loss = LOSSES[model.loss], model.loss_gradient(X, Y)[0]
    Z = reference.predict(reference.Network(model.coefs_, model.intercepts_, ["logistic"]), X)
    of, a = losses.TABLE[model.loss].parameter, np.zeros(2)
    if of:
        a = of.default * Y.std(axis=0) ** of.degree
    of_outputs = [
        loss(kind, z, y, a_k)
        for z_k, y_k, a_k in zip(Z.T, Y.T, a, strict=True)
        for z, y in zip(z_k, y_k, strict=True)
    ]
    assert_allclose(mean_loss, np.sum(of_outputs) / len(Y), rtol=1e-10)


def best_by_scipy(y):
    """What Huber's loss with 0.7 standard deviations is least for."""
    delta = 0.7 * y.std()
    return minimize_scalar(lambda m: huber(delta, y - m).sum(), (y.min(), y.max())).x


#: Of which number of a sample each loss has its least sum: those of `reference.LOSSES`.
MINIMISERS = dict.fromkeys(("squared_error", "half_squared_error", "poisson", "gamma"), np.mean)
MINIMISERS |= {
    "absolute_error": np.median,
    "huber": best_by_scipy,
    "quantile": lambda y: np.quantile(y, 0.8),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_constant_is_learnt_to_be_the_minimiser_of_the_loss(name):
    y = np.random.default_rng(0).gamma(1.5, 20.0, size=401)
    model = founding(
        (), loss=name, solver="adam", learning_rate="cosine", learning_rate_init=0.1,
        batch_size=401, max_iter=300, random_state=0, **reference.LOSSES[name].params,
    ).fit(np.zeros((401, 1)), y)  # fmt: skip
    assert_allclose(model.predict([[0.0]]), MINIMISERS[name](y), rtol=0.005)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_a_quantile_leaves_its_part_below(level):
    random = np.random.default_rng(0)
    X, y = random.uniform(-1, 1, (2000, 1)), random.normal(size=2000)
    y = X[:, 0] + (1 + X[:, 0]) * y
    model = founding(
        20, loss="quantile", loss_parameter=level, learning_rate="cosine", solver="adam",
        learning_rate_init=0.01, max_iter=60, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert abs(np.mean(y < model.predict(X)) - level) < 0.03


LEVELS = (0.1, 0.5, 0.9)


def with_levels(levels=LEVELS, **params):
    shared = {"loss": "quantile", "loss_parameter": levels, "random_state": 0}
    return founding(20, **shared | {"n_iter_no_change": np.inf} | params)


def test_several_quantiles_leave_their_parts_below():
    random = np.random.default_rng(0)
    X, y = random.uniform(-1, 1, (2000, 1)), random.normal(size=2000)
    y = X[:, 0] + (1.1 + X[:, 0]) * y
    params = {"learning_rate": "cosine", "solver": "adam", "learning_rate_init": 0.01}
    model = with_levels(max_iter=60, **params).fit(X, y)
    prediction = model.predict(X)
    assert prediction.shape == (2000, 3)
    for half in (X[:, 0] < 0, X[:, 0] > 0):
        assert_allclose(np.mean(y[half, None] < prediction[half], axis=0), LEVELS, atol=0.04)
    scores = [d2_pinball_score(y, q, alpha=a) for q, a in zip(prediction.T, LEVELS, strict=True)]
    assert_allclose(model.score(X, y), np.mean(scores), rtol=1e-12)


def test_quantiles_never_cross_wherever_they_are_predicted(table, tmp_path):
    X, y = table
    model, far = with_levels(max_iter=3).fit(X, y), np.vstack([X, 30 * X, -30 * X])
    network = reference.Network(model.coefs_, model.intercepts_, ["logistic"])
    plain = reference.predict(network, far)
    assert (np.diff(plain, axis=1) < 0).any()  # as the network has them
    expected = np.sort(plain, axis=1)
    assert_allclose(model.predict(far), expected, rtol=1e-4)
    f = model.as_njit()
    assert_allclose([f(x) for x in far], expected, rtol=1e-4)
    model.save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(far), model.predict(far))
    ensemble = BackpropEnsembleRegressor(model, n_estimators=2, random_state=0).fit(X, y)
    each = [member.predict(far) for member in ensemble.estimators_]
    assert_allclose(ensemble.predict(far), np.mean(each, axis=0), rtol=1e-6)
    d2 = [
        d2_pinball_score(y, q, alpha=a) for q, a in zip(ensemble.predict(X).T, LEVELS, strict=True)
    ]
    assert_allclose(ensemble.score(X, y), np.mean(d2), rtol=1e-12)


def test_each_kernel_trains_every_level_as_if_it_were_alone(kernel, model_of):
    """Without hidden layers, which they share: more levels than an octet has lanes."""
    random, levels = np.random.default_rng(0), np.linspace(0.1, 0.9, 9)
    X, y = random.normal(size=(40, 3)), random.normal(size=40)
    W, b = random.normal(size=(3, 9)), random.normal(size=9)
    shared = {"loss": "quantile", "max_iter": 3, "learning_rate": "constant"}
    shared["batch_size"] = 1 if kernel == "online" else 16
    model = model_of(reference.Network([W], [b], []), **shared)
    model.set_params(loss_parameter=levels).fit(X, y, X_val=X, y_val=y)
    losses = []
    for k, level in enumerate(levels):
        one = model_of(reference.Network([W[:, [k]]], [b[[k]]], []), **shared)
        one.set_params(loss_parameter=level).fit(X, y)
        losses.append(one.loss_curve_)
        # The last epoch is the best.
        assert_allclose(model.coefs_[0][:, [k]], one.coefs_[0], rtol=1e-12)
    assert_allclose(model.loss_curve_, np.sum(losses, axis=0), rtol=1e-12)
    assert_allclose(model.validation_loss_curve_[-1], model.loss_gradient(X, y)[0], rtol=1e-12)


def test_delta_is_in_standard_deviations_of_y(table):
    X, y = table
    params = {"loss": "huber", "loss_parameter": 0.3, "max_iter": 20, "n_iter_no_change": np.inf}
    one, other = (founding(8, random_state=0, **params).fit(X, s * y) for s in (1, 1024))
    assert_allclose(other.predict(X), 1024 * one.predict(X), rtol=1e-5)
    apart = one.predict(X) - y
    assert_allclose(one.loss_gradient(X, y)[0], huber(0.3 * y.std(), apart).mean(), rtol=1e-6)


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_a_mean_that_hardly_varies_is_learnt_without_a_warning(loss):
    """Its loss is nearly that of a constant; what is left is as small."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    mean = 1000 * np.exp(0.05 * np.sin(X[:, 0]))
    model = BackpropRegressor(16, loss=loss, max_iter=150, early_stopping=False, random_state=0)
    model.fit(X, mean)
    assert np.corrcoef(model.predict(X), mean)[0, 1] > 0.99


def test_the_best_score_is_that_of_the_best_loss(table):
    X, y = table
    model = founding(8, loss="absolute_error", early_stopping=True, max_iter=30, random_state=0,
                     n_iter_no_change=np.inf, learning_rate_init=0.3).fit(X, y)  # fmt: skip
    best = np.argmin(model.validation_loss_curve_)
    assert best != np.argmax(model.validation_scores_)
    assert model.best_validation_score_ == model.validation_scores_[best]


def test_the_mean_of_counts_is_learnt_and_the_predictions_are_positive():
    random = np.random.default_rng(0)
    X = random.uniform(-1, 1, (3000, 1))
    rate = np.exp(1 + 2 * X[:, 0])
    model = founding(10, loss="poisson", max_iter=100, n_iter_no_change=np.inf, random_state=0)
    prediction = model.fit(X, random.poisson(rate)).predict(X)
    assert prediction.min() > 0
    assert_allclose(prediction, rate, rtol=0.25)


@pytest.mark.parametrize("mean", [0.5, 20, 1e5])
@pytest.mark.parametrize("init", ["auto", "glorot"])
def test_counts_of_any_size_are_learnt_at_the_defaults(init, mean):
    random = np.random.default_rng(0)
    X = random.normal(size=(500, 2))
    rate = mean * np.exp(0.4 * X[:, 0])
    params = {"init": init, "max_iter": 200, "n_iter_no_change": np.inf, "random_state": 0}
    model = founding(10, loss="poisson", **params).fit(X, random.poisson(rate))
    assert_allclose(model.predict(X).mean(), rate.mean(), rtol=0.2)
    assert np.corrcoef(model.predict(X), rate)[0, 1] > 0.8


def test_a_model_does_not_go_on_with_a_loss_of_another_link(two_outputs):
    X, Y = two_outputs
    model = founding(4, max_iter=3, n_iter_no_change=np.inf).fit(X, np.abs(Y))
    model.set_params(loss="poisson", warm_start=True)
    for go_on in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="trained with the loss 'squared_error'"):
            go_on(X, np.abs(Y))
    expected = np.mean(np.sum((model.predict(X) - Y) ** 2, axis=1))
    assert_allclose(model.loss_gradient(X, Y)[0], expected, rtol=1e-4)


def test_targets_out_of_a_losses_range_are_refused(table):
    X, y = table
    with pytest.raises(ValueError, match="out of the range of the loss 'poisson': the least is"):
        founding(loss="poisson").fit(X, y - y.max())
    with pytest.raises(ValueError, match="'gamma': the least is 0, and all must be above 0"):
        founding(loss="gamma").fit(X, y - y.min())


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("quantile", 0.0, "level of the loss 'quantile', must lie between 0 and 1, got 0.0"),
        ("quantile", 1, "must lie between 0 and 1, got 1"),
        ("poisson", 0.5, "'poisson' has no parameter, got loss_parameter=0.5"),
        ("gamma", [0.5], "'gamma' has no parameter"),
        ("quantile", [0.1, 1.0], "must lie between 0 and 1"),
        ("quantile", [0.5, 0.5], "must rise from each level to the next"),
        ("quantile", [], "must be a number or a list of numbers"),
        ("quantile", ["0.5"], "must be a number or a list of numbers"),
        ("huber", [0.5, 1.0], "the delta of the loss 'huber', must be a number, got"),
        ("huber", 0.0, "must lie between 0 and inf, got 0.0"),
    ],
)
def test_a_loss_parameter_must_be_one_of_the_loss(name, given, message, table):
    X, y = table
    with pytest.raises(ValueError, match=message):
        founding(loss=name, loss_parameter=given).fit(X, np.abs(y))


def test_one_level_in_a_list_is_scored_as_one_that_is_not(table):
    X, y = table
    one, listed = (with_levels(levels, max_iter=3).fit(X, y) for levels in (0.3, [0.3]))
    assert_allclose(listed.predict(X), one.predict(X), rtol=0)
    expected = d2_pinball_score(y, one.predict(X), alpha=0.3)
    assert_allclose(listed.score(X, y), expected, rtol=1e-12)


def test_several_levels_are_for_a_single_y(two_outputs):
    with pytest.raises(ValueError, match="is for a single y, it has 2 columns"):
        with_levels().fit(*two_outputs)
