"""The scaling of `partial_fit` follows the stream, and what was learnt stays."""

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler
from test_persistence import rewritten

from fastbp import BackpropRegressor, measuring, scaling
from fastbp.fitting import following, recipe
from fastbp.fitting.fullbatch import loss_and_gradient
from fastbp.fitting.settings import settings_of

#: Steps too small to be seen.
STILL = {
    "momentum": 0.0, "learning_rate_init": 1e-20, "dtype": "float64", "random_state": 0,
    "n_iter_no_change": np.inf,
}  # fmt: skip


@pytest.fixture
def stream():
    """X (90, 4), y (90, 2) and weights; one column is constant, one is in the first rows."""
    random = np.random.default_rng(0)
    X = random.normal([1e6, 0, 0, 0], [1e-2, 1e3, 1, 1], (90, 4))
    X[:, 2], X[:30, 3] = 7, -3
    y = np.column_stack([X[:, 1] + X[:, 3], 1e5 + np.tanh(X[:, 3])])
    return X, y, random.integers(0, 4, 90) * 1.5 + (np.arange(90) % 10 == 0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("first", "size"), [("fit", 30), ("partial_fit", 30), ("partial_fit", 1)])
def test_the_scaling_is_that_of_all_rows_so_far(first, size, weighted, stream):
    X, y, weight = stream
    if not weighted:
        weight = None
    elif size == 1:
        weight += 1e-3  # a call without any weight is an error
    model, peers = founding(2, **STILL, max_iter=1), (StandardScaler(), StandardScaler())
    for i, rows in enumerate(measuring.slices(90, size)):
        w = None if weight is None else weight[rows]
        getattr(model, "partial_fit" if i else first)(X[rows], y[rows], w)
        for peer, A in zip(peers, (X, y), strict=True):
            peer.partial_fit(A[rows], sample_weight=w)
        units, seen = model._scaling, model._learnt.seen
        assert_allclose(seen.weight, np.max(peers[0].n_samples_seen_), rtol=1e-14)
        of_peer = [a for p in peers for a in (p.mean_, np.sqrt(p.var_))]
        for got, expected, atol in zip(seen[1:5], of_peer, (0, 1e-9, 0, 1e-9), strict=True):
            assert_allclose(got, expected, rtol=1e-6, atol=atol)
        assert_array_equal(units.X_mean, seen.X_mean)
        assert units.X_scale[2] == 7
    assert_allclose(seen.X_deviation[[1, 3]], np.sqrt(peers[0].var_)[[1, 3]], rtol=1e-12)
    assert_array_equal(units.X_scale[[0, 1, 3]], seen.X_deviation[[0, 1, 3]])
    assert_array_equal(units.y_scale, seen.y_deviation)
    at_once = scaling.measure(X, y, weight)
    for one, other in zip(units, at_once, strict=True):
        assert_allclose(one, other, rtol=1e-7)  # 1e6 ± 1e-2 has few digits


def test_behind_a_link_y_is_divided_by_the_mean_so_far(stream):
    X, y, _ = stream
    y = np.abs(y[:, 0])
    model = founding(2, **STILL, loss="poisson")
    for rows in measuring.slices(90, 40):
        model.partial_fit(X[rows], y[rows])
    assert_array_equal(model._scaling.y_mean, 0)
    assert_allclose(model._scaling.y_scale, y.mean(), rtol=1e-12)


def test_a_fit_measures_anew(stream):
    X, y, _ = stream
    model = founding(2, **STILL, max_iter=1, warm_start=True).fit(X[:50], y[:50])
    model.partial_fit(X[:50], y[:50]).fit(X[50:], y[50:])
    assert model._learnt.seen.weight == 40
    for one, other in zip(model._scaling, scaling.measure(X[50:], y[50:]), strict=True):
        assert_array_equal(one, other)


def test_outliers_of_later_calls_are_drawn_in_as_those_of_a_fit(stream):
    X, y, _ = stream
    model = founding(2, **STILL, max_iter=1).fit(X[:45], y[:45])
    X[70, 1] = 1e9
    assert model.partial_fit(X[45:], y[45:])._scaling.X_scale[1] < 1e4


@pytest.mark.parametrize("exponent", [-1000, 1000])
def test_weights_and_values_of_any_magnitude_are_added_up(exponent, stream):
    X, y, weight = stream
    expected, got = (founding(2, **STILL) for _ in range(2))
    size = np.ldexp(1.0, exponent)
    for rows in measuring.slices(90, 45):
        expected.partial_fit(X[rows], y[rows], weight[rows])
        got.partial_fit(X[rows] * size, y[rows], np.ldexp(weight[rows], exponent))
    assert_array_equal(got._scaling.X_mean, expected._scaling.X_mean * size)
    assert_array_equal(got._scaling.X_scale[:2], expected._scaling.X_scale[:2] * size)


def test_weights_whose_sum_is_beyond_all_numbers_are_as_many_as_can_be(stream):
    X, y, weight = stream
    model = founding(2, **STILL)
    for _ in range(3):
        model.partial_fit(X, y, weight * 1e307)
    assert model._learnt.seen.weight == measuring.MOST_WEIGHT
    assert_allclose(model._scaling.X_mean, scaling.measure(X, y, weight).X_mean, rtol=1e-9)


def test_a_stream_whose_values_are_too_far_apart_is_refused_and_goes_on():
    X, y = np.array([[1.5e308], [1.4e308]]), np.zeros(2)
    model = founding(2, **STILL).partial_fit(X, y)
    with pytest.raises(ValueError, match="their differences overflow"):
        model.partial_fit(-X, y)
    assert model.partial_fit(X, y)._learnt.seen.weight == 4


# ------------------------------------------------------------------- what was learnt


@pytest.mark.parametrize(
    "change",
    [
        {}, {"hidden_layer_sizes": ()}, {"hidden_layer_sizes": (4, 3), "solver": "adam"},
        {"loss": "poisson"}, {"encoding": "piecewise_linear"},
    ],
    ids=str,
)  # fmt: skip
def test_with_steps_too_small_to_be_seen_predictions_stay(change, table):
    X, y = table
    model = founding(**{"max_iter": 5, "n_iter_no_change": np.inf, "dtype": "float64"} | change)
    before = model.fit(X[:30], y[:30]).predict(X)
    scale = model._scaling.X_scale[0]
    model.set_params(learning_rate_init=1e-20, solver="sgd", momentum=0.0)
    model.partial_fit(1000 * X[30:], 1000 * y[30:])
    assert model._scaling.X_scale[0] > 100 * scale
    assert_allclose(model.predict(X), before, rtol=1e-8)


def test_a_scale_that_trials_gave_a_column_stays_a_part_of_it(table):
    X, y = table
    model = founding(4, **STILL, encoding="periodic", max_iter=1).fit(X, y)
    units = model._scaling
    factor = np.linspace(2, 3, units.X_scale.size)
    model._learnt = model._learnt._replace(scaling=units._replace(X_scale=factor * units.X_scale))
    before = model.predict(X)
    model.partial_fit(5 * X, y)
    assert_allclose(model._scaling.X_scale[:3] / np.std([X, 5 * X], axis=(0, 1)), factor[:3])
    assert_array_equal(model._scaling.X_scale[3:], factor[3:])
    assert_allclose(model.predict(X), before, rtol=1e-8)


def test_a_column_that_begins_to_move_has_the_weights_of_a_standardised_one(stream):
    X, y, _ = stream
    X[30:, 3] *= 1e4
    model = founding((3,), **STILL).partial_fit(X[:30], y[:30])
    before, units = model.predict(X[:30]), model._scaling
    W = model.coefs_[0][3] * units.X_scale[3]
    model.partial_fit(X[30:], y[30:])
    assert model._scaling.X_scale[3] > 1000 * units.X_scale[3]
    assert_allclose(model.coefs_[0][3] * model._scaling.X_scale[3], W, rtol=1e-9)
    # The other y was constant in these rows.
    assert_allclose(model.predict(X[:30])[:, 0], before[:, 0], rtol=1e-7)


@pytest.mark.filterwarnings("ignore:Column 1 of y lies")
def test_a_y_that_begins_to_move_has_the_weights_of_a_standardised_one(stream):
    X, y, _ = stream
    y[:30, 1] = 1e5
    model = founding((3,), **STILL).partial_fit(X[:30], y[:30])
    before, W = model.predict(X[:30]), model.coefs_[1][:, 1].copy()
    assert model._scaling.y_scale[1] == 1
    model.partial_fit(X[30:], 1e3 * y[30:])
    scale = model._scaling.y_scale[1]
    assert scale > 1e6
    assert_allclose(model.coefs_[1][:, 1], W * scale, rtol=1e-9)
    assert_allclose(model.predict(X[:30])[:, 0], before[:, 0], rtol=1e-7)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma"])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2)])
def test_what_the_optimiser_remembers_turns_as_gradients_do(hidden, loss, table):
    """By the chain rule, exactly: the gradient in other units is the gradient, turned."""
    X, y = table[0], np.abs(table[1])[:, None]
    settings = settings_of(founding(hidden, loss=loss, random_state=0).get_params())
    learnt = founding(hidden, loss=loss, max_iter=2, **STILL).fit(X, y.ravel())._learnt
    link = learnt.link.out_activation
    since = learnt.scaling
    units = since, scaling.Scaling(
        since.X_mean + np.array([1, -2, 3]), since.X_scale * [2, 0.5, 3],
        since.y_mean + (link == "identity"), since.y_scale * 1.5,
    )  # fmt: skip
    net, gradients = learnt.network(trained=True), []
    for each in units:
        theta = learnt.theta(each, np.dtype(np.float64))
        standard = (X - each.X_mean) / each.X_scale, (y - each.y_mean) / each.y_scale
        gradients.append(loss_and_gradient(net, theta, *standard, None, settings)[1].copy())
    memory = gradients[0][None]
    following.turn(memory, net, *units, loss)
    assert_allclose(memory[0], gradients[1], rtol=1e-9, atol=1e-13)


def test_remembered_squares_turn_as_those_of_uncorrelated_gradients():
    learnt = founding((), **STILL).partial_fit([[0.0], [1.0]], [0.0, 1.0])._learnt
    net = learnt.network(trained=True)
    one = np.ones(1)
    since = scaling.Scaling(0 * one, one, one, one)
    units = scaling.Scaling(6 * one, 2 * one, one, 4 * one)
    memory = np.array([[2.0, 3.0], [5.0, 7.0]])  # of W and b: m, v
    following.turn(memory, net, since, units, "squared_error")
    assert_allclose(memory, [[(2 / 2 - 3 * 3) / 4, 3 / 4], [(5 / 4 + 9 * 7) / 16, 7 / 16]])


def test_a_memory_that_other_units_have_no_numbers_for_begins_anew():
    learnt = founding((), **STILL).partial_fit([[0.0], [1.0]], [0.0, 1.0])._learnt
    one = np.ones(1)
    since, units = (scaling.Scaling(0 * one, scale * one, one, one) for scale in (1e30, 1.0))
    memory = np.ones((2, 2), np.float32)
    with np.errstate(over="ignore"):
        following.turn(memory, learnt.network(trained=True), since, units, "squared_error")
    assert_array_equal(memory, 0)


@pytest.mark.parametrize("size", [5, 1])
def test_a_small_first_chunk_costs_a_long_stream_nearly_nothing(size):
    random = np.random.default_rng(0)
    X = random.normal([0, 5000, 0], [1, 1000, 1e-3], (2000, 3))
    y = 10 * X[:, 0] + X[:, 1] / 50 + 1e4 * X[:, 2]
    model, known = (founding((8,), "tanh", solver="adam", random_state=0) for _ in range(2))
    for start in (known.partial_fit(X, y), model.partial_fit(X[:size], y[:size])):
        for _ in range(4):
            for rows in measuring.slices(2000, 200):
                start.partial_fit(X[rows], y[rows])
    assert known.score(X, y) > 0.95
    assert model.score(X, y) > known.score(X, y) - 0.02


# ------------------------------------------------------------------- files and hands


def test_who_saves_loads_and_goes_on_has_never_stopped(stream, tmp_path):
    X, y, weight = stream
    params = {"momentum": 0.0, "shuffle": False, "random_state": 0}  # what files don't hold
    model = founding((3,), **params)
    other, path = founding((3,), **params), tmp_path / "model.npz"
    for rows in measuring.slices(90, 20):
        model.partial_fit(X[rows], y[rows], weight[rows])
        other.partial_fit(X[rows], y[rows], weight[rows]).save(path)
        other = BackpropRegressor.load(path)
    assert_array_equal(other.predict(X), model.predict(X))
    for one, expected in zip(
        [*other._learnt.seen, *other._scaling], [*model._learnt.seen, *model._scaling], strict=True
    ):
        assert_array_equal(one, expected)


def test_a_file_that_does_not_say_what_was_seen_keeps_its_scaling(stream, tmp_path):
    X, y, _ = stream
    model = founding((3,), **STILL).partial_fit(X, y)
    model.save(tmp_path / "model.npz")
    names = [f"seen_{name}" for name in scaling.Seen._fields[:5]]
    rewritten(tmp_path / "model.npz", lambda _, arrays: [arrays.pop(name) for name in names])
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    for one, other in zip(loaded.partial_fit(2 * X, y)._scaling, model._scaling, strict=True):
        assert_array_equal(one, other)


WRONG = {
    "weight": (np.zeros(1), np.ones(2)),
    "X_mean": (np.full(4, np.nan), np.zeros(3)),
    "X_deviation": (-np.ones(4), np.zeros((4, 1))),
    "y_mean": (np.full(2, np.inf), np.zeros(1)),
    "y_deviation": (-np.ones(2), np.zeros(0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_have_been_seen_is_refused(name, stream, tmp_path):
    X, y, _ = stream
    model = founding((3,), **STILL).partial_fit(X, y)
    learnt, path = model._learnt, tmp_path / "model.npz"
    for wrong in WRONG[name]:
        model._learnt = learnt
        model.save(path)
        rewritten(path, lambda _, arrays, wrong=wrong: arrays.update({f"seen_{name}": wrong}))
        with pytest.raises(ValueError, match=r"model\.npz is not a whole model"):
            BackpropRegressor.load(path)
        model._learnt = learnt._replace(seen=learnt.seen._replace(**{name: wrong}))
        with pytest.raises(ValueError, match=r"[Ww]hat was seen"):
            model.partial_fit(X, y)


def sorted_stream():
    """X (5000, 3) in the order of the column that y goes by most, and y."""
    X = np.random.default_rng(0).normal(size=(5000, 3)) * [1, 1000, 1e-3] + [0, 5000, 0]
    X = X[np.argsort(X[:, 1])]
    return X, X[:, 0] + X[:, 1] / 500 + np.sin(3 * X[:, 0])


def streamed(X, y, **params):
    """The score of a model that has seen a table in chunks."""
    model = BackpropRegressor(**params)
    for rows in measuring.slices(len(y), 100):
        model.partial_fit(X[rows], y[rows])
    return model.score(X, y)


@pytest.mark.parametrize("seed", range(3))
def test_the_last_chunk_of_a_stream_does_not_speak_for_all(seed):
    X, y = sorted_stream()
    assert streamed(X, y, random_state=seed) > -0.5
    assert streamed(X, y, random_state=seed, ema_decay=None) < -2


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_average_of_a_stream_is_asked_for_by_its_decay(solver):
    X, y = (a[::5] for a in sorted_stream())
    params = {"solver": solver, "random_state": 0, "hidden_layer_sizes": (9,)}
    none, auto, given = ({"ema_decay": d} for d in (None, "auto", recipe.STREAM_DECAY))
    assert streamed(X, y, **params, **auto) == streamed(X, y, **params, **given)
    params["learning_rate_init"] = 0.01  # what is given is obeyed as it is
    assert streamed(X, y, **params, **auto) == streamed(X, y, **params, **none)
    one, other = (
        BackpropRegressor(**params, **each, max_iter=3).fit(X, y) for each in (none, auto)
    )
    assert_array_equal(one.predict(X), other.predict(X))


def call_of(jump=0.0, n=50, seed=1):
    """X and y of a call of `partial_fit`, in which one column has moved."""
    X = np.random.default_rng(seed).normal(size=(n, 3))
    return X + np.array([0.0, jump, 0.0]), X[:, 0] - X[:, 1]


def after_three_calls(**params):
    model = BackpropRegressor((4,), **params)
    for seed in range(3):
        model.partial_fit(*call_of(seed=seed))
    return model


def test_a_stream_that_goes_far_away_is_told_of():
    """Its rows hardly differ in the units of all."""
    X, y = call_of(jump=50.0)
    with pytest.warns(UserWarning, match=r"Column 1 of X lies [\d.]+ deviations from all"):
        after_three_calls().partial_fit(X, y)
    with pytest.warns(UserWarning, match=r"y lies [\d.]+ deviations from all"):
        after_three_calls().partial_fit(X - [0, 50, 0], y + 100)


def test_it_is_told_of_the_column_by_its_name():
    pd = pytest.importorskip("pandas")
    before, after = (pd.DataFrame(call_of(jump)[0], columns=["a", "b", "c"]) for jump in (0, 50))
    model = BackpropRegressor((4,)).partial_fit(before, before["a"])
    with pytest.warns(UserWarning, match=r"Column 'b' of X lies [\d.]+ deviations from all"):
        model.partial_fit(after, after["a"])


def test_it_is_told_of_a_table_in_windows_too(cut):
    model = after_three_calls()
    cut()
    with pytest.warns(UserWarning, match="Column 1 of X lies"):
        model.partial_fit(*call_of(jump=50.0, n=200))


STAY = {
    "near": lambda X, y: (X - [0, 45, 0], y),
    "one row": lambda X, y: (X[:1], y[:1]),
    "one of them is far": lambda X, y: (np.where(X[3] == X, 1e6, X - [0, 50, 0]), y),
    "a column is constant": lambda X, y: (X * [1, 0, 1] + [0, 50, 0], y),
}


@pytest.mark.parametrize("case", STAY)
def test_of_a_stream_that_may_be_where_it_was_nothing_is_told(case):
    after_three_calls().partial_fit(*STAY[case](*call_of(jump=50.0)))


def test_of_a_stream_of_few_rows_a_call_nothing_is_told():
    """The deviations of two rows may be next to nothing."""
    X = np.random.default_rng(0).normal(size=(12, 200))
    model = BackpropRegressor((2,))
    for rows in np.split(X, [1, 3, 5, 7, 9]):
        model.partial_fit(rows, rows[:, 0])


def test_it_is_told_once_and_not_where_units_are_others():
    X, y = call_of(jump=50.0)
    model = after_three_calls()
    with pytest.warns(UserWarning, match="lies"):
        model.partial_fit(X, y)
    model.partial_fit(X, y).partial_fit(X, y)
    after_three_calls(standardize=False).partial_fit(X, y)
    BackpropRegressor((4,)).partial_fit(X, y)
    # That it lies far from narrow ones before is no matter of the new rows.
    BackpropRegressor((4,)).partial_fit(X / 1e3, y).partial_fit(X - [0, 45, 0], y)
    # Behind a logarithm y is but divided by its mean.
    BackpropRegressor((4,), loss="poisson").partial_fit(X, 9 + y).partial_fit(X, 1000 + y)
