"""L and dL/dŷ of every loss."""

import numpy as np
import pytest
import reference
from founding import founding
from numpy.testing import assert_allclose

from fastbp import BackpropRegressor
from fastbp.kernels.formulas import losses
from fastbp.kernels.formulas.losses import LINKS, LOSSES, TABLE
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
        assert value == loss(kind, z, y, a)
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


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_costs_the_weighted_mean_of_its_samples(name, dtype):
    prediction, Y, share = outputs(dtype)
    D = np.empty_like(Y)
    total = loss_and_slope_of_tile(LOSSES[name], parameter_of(name), prediction, Y, share, D)
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
    a = losses.TABLE[model.loss].parameter
    a = a.default if a else 0.0
    of_outputs = [loss(kind, z, y, a) for z, y in zip(Z.flat, Y.flat, strict=True)]
    assert_allclose(mean_loss, np.sum(of_outputs) / len(Y), rtol=1e-10)


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


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("quantile", 0.0, "level of the loss 'quantile', must lie between 0 and 1, got 0.0"),
        ("quantile", 1, "must lie between 0 and 1, got 1"),
        ("poisson", 0.5, "'poisson' has no parameter, got loss_parameter=0.5"),
    ],
)
def test_a_loss_parameter_must_be_one_of_the_loss(name, given, message, table):
    X, y = table
    with pytest.raises(ValueError, match=message):
        founding(loss=name, loss_parameter=given).fit(X, np.abs(y))
