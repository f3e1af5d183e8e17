"""The promises of the mathematics: labels are not touched, the mean is a mean, units are raw."""

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal

from fastbp.fitting.plan import row_numbers
from fastbp.kernels.machine.compile import from_python
from fastbp.kernels.training import samples
from fastbp.kernels.training.records import STATE
from fastbp.scaling import measure

QUICK = {"hidden_layer_sizes": (4,), "max_iter": 5, "n_iter_no_change": np.inf, "random_state": 0}
PLAIN = QUICK | {"standardize": False, "dtype": "float64"}
FULL_BATCH = PLAIN | {"batch_size": 10_000, "learning_rate_init": 0.02}


#: Prints the bits of a model's predictions: what another process must agree on.
SCRIPT = """
import sys

import numpy as np

sys.path.insert(0, "tests")
from founding import founding

X = np.random.default_rng(0).normal(size=(61, 3))
y = X[:, 0] * X[:, 1] + X[:, 2]
for solver in ("sgd", "adam"):
    for dtype in ("float32", "float64"):
        model = founding(
            (4, 3), ["logistic", "tanh"], solver=solver, dtype=dtype, alpha=0.1, random_state=0,
            max_iter=50, n_iter_no_change=np.inf,
        )
        print(model.fit(X, y).predict(X).tobytes().hex())
"""


def weights_of(model):
    return np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])


def memory_mapped(array, folder):
    path = folder / f"{id(array)}.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


#: The same values, in every form in which an array may come.
FORMS = {
    "C order": lambda a, _: a.copy(),
    "F order": lambda a, _: np.asfortranarray(a),
    "read-only": lambda a, _: read_only(a),
    "memory-mapped": memory_mapped,
    "every second row": lambda a, _: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a, _: a[::-1].copy()[::-1],
    "big-endian": lambda a, _: a.astype(">f8"),
    "list": lambda a, _: a.tolist(),
    "DataFrame": lambda a, _: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a),
}


# ------------------------------------------------------- 1. labels never change


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_labels_are_never_written_to(method, dtype, standardize, table):
    given = [a.astype(dtype) for a in (*table, np.linspace(0.5, 2, 60))]
    before = [a.copy() for a in given]
    model = founding(**QUICK | {"dtype": dtype, "standardize": standardize})
    getattr(model, method)(*given)
    model.predict(given[0])
    model.loss_gradient(*given)
    model.score(*given)
    for a, b in zip(given, before, strict=True):
        assert_array_equal(a, b)
        assert a.flags.writeable


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_values_gives_the_same_model(form, standard_table, tmp_path):
    weight = np.linspace(0.5, 2, 60)
    X, y, s = (FORMS[form](a, tmp_path) for a in (*standard_table, weight))
    expected = founding(**PLAIN).fit(*standard_table, weight)
    model = founding(**PLAIN).fit(X, y, s)
    assert_array_equal(weights_of(model), weights_of(expected))
    assert_array_equal(model.predict(X), expected.predict(standard_table[0]))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_standardised_alike(form, table, tmp_path):
    """Not to the last bit: a mean over rows and one over columns add up in another order."""
    X, y = (FORMS[form](a, tmp_path) for a in table)
    expected = founding(**QUICK | {"dtype": "float64"}).fit(*table)
    model = founding(**QUICK | {"dtype": "float64"}).fit(X, y)
    assert_allclose(weights_of(model), weights_of(expected), rtol=1e-10)


@pytest.mark.parametrize("form", ["read-only", "memory-mapped"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_cannot_be_written_to_is_trained_on_without_a_copy(form, dtype, table, tmp_path):
    X, y = (FORMS[form](a.astype(dtype), tmp_path) for a in table)
    model = founding(**PLAIN | {"dtype": dtype, "learning_rate_init": 1e-4}).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, bool, np.float16])
def test_integers_and_booleans_are_numbers(dtype):
    X = np.random.default_rng(0).integers(0, 2, (40, 3)).astype(dtype)
    y = X[:, 0]
    expected = founding(**QUICK).fit(X.astype(float), y.astype(float))
    assert_array_equal(weights_of(founding(**QUICK).fit(X, y)), weights_of(expected))


def test_early_stopping_and_validation_leave_their_data_alone(table):
    given = [read_only(a) for a in (*table, *table)]
    params = QUICK | {"early_stopping": True}
    founding(**params).fit(*given[:2])
    founding(**params).fit(*given[:2], X_val=given[2], y_val=given[3])
    for a, b in zip(given, (*table, *table), strict=True):
        assert_array_equal(a, b)


def test_predictions_are_the_callers_to_change(table):
    X, y = table
    model = founding(**QUICK).fit(X, y)
    first = model.predict(X)
    expected = first.copy()
    first[:] = 0
    assert_array_equal(model.predict(X), expected)


# --------------------------------- 3. all gradients first, then all parameters move


def test_the_hidden_layer_is_moved_through_the_output_weights_of_before_the_update(model_of):
    """With the output layer's step already taken its gradient would be another one."""
    network = reference.random_network([2, 3, 1], ["logistic"])
    X, y = np.array([[1.0, -2.0]]), np.array([5.0])
    _, dW, db = reference.loss_gradient(network, "squared_error", X, y)
    moved = reference.Network(
        [network.coefs[0], network.coefs[1] - 0.5 * dW[1]],
        [network.intercepts[0], network.intercepts[1] - 0.5 * db[1]],
        network.activations,
    )
    _, dW_too_late, _ = reference.loss_gradient(moved, "squared_error", X, y)
    model = model_of(network, momentum=0, learning_rate_init=0.5).fit(X, y)
    step = (network.coefs[0] - model.coefs_[0]) / 0.5
    assert_allclose(step, dW[0], rtol=1e-12)
    assert np.abs(step - dW_too_late[0]).max() > 0.1


# ------------------------------------------------ 4. the factor 2, and the plain mean


def test_the_factor_2_is_part_of_the_gradient(model_of):
    network = reference.random_network([2, 3, 2], ["tanh"])
    X, Y = np.random.default_rng(0).normal(size=(2, 7, 2))
    L, dW, _ = model_of(network, loss="squared_error").loss_gradient(X, Y)
    half, half_dW, _ = model_of(network, loss="half_squared_error").loss_gradient(X, Y)
    assert_allclose(L, np.mean(np.sum((reference.predict(network, X) - Y) ** 2, axis=1)))
    assert_allclose(L, 2 * half, rtol=1e-15)
    assert_allclose(dW[0], 2 * half_dW[0], rtol=1e-14)


def test_half_the_loss_at_twice_the_rate_is_the_same_training(standard_table):
    half = {"loss": "half_squared_error", "learning_rate_init": 0.04}
    one = founding(**PLAIN | {"learning_rate_init": 0.02}).fit(*standard_table)
    other = founding(**PLAIN | half).fit(*standard_table)
    assert_allclose(weights_of(one), weights_of(other), rtol=1e-12)


# ------------------------------------------------------------------ sample weights


@pytest.mark.parametrize("params", [FULL_BATCH, FULL_BATCH | {"standardize": True}])
def test_a_weight_of_2_is_the_sample_twice(params, standard_table):
    X, y = standard_table
    weight = np.random.default_rng(0).integers(0, 4, 60)
    X_repeated, y_repeated = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    weighted = founding(**params).fit(X, y, weight)
    repeated = founding(**params).fit(X_repeated, y_repeated)
    assert_allclose(weights_of(weighted), weights_of(repeated), rtol=1e-10)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("standardize", [False, True])
def test_a_weight_of_0_is_a_sample_that_is_not_there(standardize, standard_table):
    X, y = standard_table
    nonsense = np.full((5, 3), 1e6), np.full(5, -1e6), np.zeros(5)
    params = FULL_BATCH | {"standardize": standardize}
    without = founding(**params).fit(X, y)
    with_them = founding(**params).fit(
        np.vstack([X, nonsense[0]]), np.append(y, nonsense[1]), np.append(np.ones(60), nonsense[2])
    )
    assert_allclose(weights_of(with_them), weights_of(without), rtol=1e-10)


def test_a_batch_without_weight_is_passed_over(standard_table):
    X, y = standard_table
    weight = np.repeat([1.0, 0.0, 1.0], 20)  # of three batches the second has none
    params = PLAIN | {"batch_size": 20, "shuffle": False, "solver": "adam"}
    with_it = founding(**params).fit(X, y, weight)
    without = founding(**params).fit(X[weight > 0], y[weight > 0])
    assert_array_equal(weights_of(with_it), weights_of(without))
    assert_allclose(with_it.loss_curve_, without.loss_curve_, rtol=1e-15)


def test_equal_weights_are_no_weights(standard_table):
    plain = founding(**PLAIN).fit(*standard_table)
    weighted = founding(**PLAIN).fit(*standard_table, np.full(60, 3.7))
    assert_allclose(weights_of(weighted), weights_of(plain), rtol=1e-10)


# ------------------------------------------------------------------------ invariants


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_the_same_seed_gives_the_same_bits(solver, dtype, table):
    params = QUICK | {"solver": solver, "dtype": dtype, "early_stopping": True}
    one, other = (founding(**params).fit(*table) for _ in range(2))
    assert_array_equal(weights_of(one), weights_of(other))
    assert one.loss_curve_ == other.loss_curve_
    another = founding(**params | {"random_state": 1}).fit(*table)
    assert not np.array_equal(weights_of(one), weights_of(another))


def test_a_process_that_compiles_and_one_that_loads_agree_to_the_last_bit(capsys):
    """Tests that begin with an empty cache compile; the process below finds it filled."""
    exec(SCRIPT)
    here = capsys.readouterr().out
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == here


def test_a_generator_draws_on_from_fit_to_fit(table):
    generator = np.random.RandomState(0)
    model = founding(**QUICK | {"random_state": generator})
    first, second = weights_of(model.fit(*table)), weights_of(model.fit(*table))
    assert not np.array_equal(first, second)


def test_the_order_of_samples_means_nothing_to_a_full_batch(standard_table):
    X, y = standard_table
    order = np.random.default_rng(0).permutation(60)
    one = founding(**FULL_BATCH).fit(X, y)
    other = founding(**FULL_BATCH).fit(X[order], y[order])
    assert_allclose(weights_of(one), weights_of(other), rtol=1e-10)


def test_shuffling_takes_the_samples_in_a_new_order_each_epoch(standard_table):
    params = PLAIN | {"batch_size": 1}
    still = founding(**params | {"shuffle": False}).fit(*standard_table)
    shuffled = founding(**params).fit(*standard_table)
    assert np.abs(weights_of(still) - weights_of(shuffled)).max() > 1e-3


def test_every_sample_of_a_shuffled_epoch_is_taken_once():
    """A linear model on one-hot rows, a step each: each weight moves by its own sample only."""
    model = founding(
        (), standardize=False, dtype="float64", batch_size=1, momentum=0, learning_rate_init=1e-9,
        max_iter=1, n_iter_no_change=np.inf, warm_start=True,
    )  # fmt: skip
    X, y = np.eye(50), np.arange(50.0) + 100
    model.fit(X, y)
    model.coefs_[0][:], model.intercepts_[0][:] = 0, 0
    model.fit(X, y)
    assert_allclose(model.coefs_[0][:, 0], 1e-9 * 2 * y, rtol=1e-6)


def test_more_rows_than_can_be_numbered_are_an_error():
    with pytest.raises(ValueError, match="4,294,967,297 rows are more than"):
        row_numbers(2**32 + 1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_every_order_of_a_shuffle_is_equally_likely(n):
    """Of 1,000 n! shuffles each of the n! orders comes 1,000 times, to five deviations."""
    shuffle = from_python(samples.shuffle)
    state, counts = np.zeros(1, STATE).view(np.recarray)[0], Counter()
    orders, repeats, order = math.factorial(n), 1000, row_numbers(n)
    for _ in range(orders * repeats):
        order[:] = range(n)
        shuffle(order, state)
        counts[tuple(order)] += 1
    assert len(counts) == orders
    assert_allclose(list(counts.values()), repeats, rtol=0, atol=5 * np.sqrt(repeats))


def test_without_momentum_sgd_is_plain_whatever_nesterov_says(standard_table):
    params = PLAIN | {"momentum": 0.0}
    one = founding(**params, nesterovs_momentum=True).fit(*standard_table)
    other = founding(**params, nesterovs_momentum=False).fit(*standard_table)
    assert_array_equal(weights_of(one), weights_of(other))


@pytest.mark.parametrize("batch_size", [7, 16, 32, 59])
def test_the_last_smaller_batch_of_an_epoch_is_trained_on(batch_size, model_of, standard_table):
    X, y = standard_table
    network = reference.random_network([3, 4, 1], ["tanh"])
    model = model_of(network, batch_size=batch_size, momentum=0).fit(X, y)
    shorter = model_of(network, batch_size=batch_size, momentum=0)
    whole = 60 // batch_size * batch_size
    shorter.fit(X[:whole], y[:whole])
    assert not np.allclose(weights_of(model), weights_of(shorter), rtol=1e-6)
    shorter.set_params(batch_size=60).fit(X[whole:], y[whole:])
    assert_allclose(weights_of(model), weights_of(shorter), rtol=1e-12)


# ------------------------------------------------------------------------- raw units


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 3)])
def test_the_textbook_forward_pass_on_raw_x_is_predict(hidden, n_outputs, table):
    X, y = table
    Y = y if n_outputs == 1 else np.column_stack([y, 1000 * X[:, 1]])
    params = QUICK | {"hidden_layer_sizes": hidden, "dtype": "float64"}
    model = founding(**params).fit(X, Y)
    network = reference.Network(model.coefs_, model.intercepts_, ["logistic"] * len(hidden))
    expected = reference.predict(network, X).reshape(Y.shape)
    assert_allclose(model.predict(X), expected, rtol=1e-12)


def test_constant_columns_are_harmless(table):
    X, y = table
    params = QUICK | {"max_iter": 50, "dtype": "float64"}
    with_constants = np.column_stack([X, np.full(60, 0.1), np.zeros(60), np.full(60, -1e9)])
    model = founding(**params).fit(with_constants, y)
    assert model.score(with_constants, y) > 0.9
    assert all(np.abs(W).max() < 1e4 for W in model.coefs_)
    flat = founding(**params).fit(X, np.full(60, 7.3))
    assert_allclose(flat.predict(X), 7.3, atol=0.5)


def test_columns_far_from_zero_are_learnt(table):
    """Seconds since 1970, say: ten digits before the ones that count."""
    X, y = table
    shifted = X + np.array([1.7e9, 0.0, -1e6])
    params = QUICK | {"max_iter": 100}
    near = founding(**params).fit(X, y).score(X, y)
    assert near > 0.95
    assert_allclose(founding(**params).fit(shifted, y).score(shifted, y), near, atol=0.01)


@pytest.mark.parametrize("n", [1000, 1_000_000])
@pytest.mark.parametrize("constant", [0.1, 1e6 / 3, -7.7e-5])
def test_a_constant_column_of_any_length_is_seen_to_be_constant(constant, n):
    y = np.arange(n).reshape(-1, 1) % 7
    weight = np.random.default_rng(0).random(n)
    for w in (None, weight):
        assert measure(np.full((n, 1), constant), y, w).X_scale == max(constant, 1)
        assert measure(y, np.full((n, 1), constant), w).y_scale == 1
