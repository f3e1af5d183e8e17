"""`encoding`: a network that also sees its columns piecewise linearly and periodically."""

import pickle
import warnings

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from fastbp import (
    converting,
    encodings,
    scaling,
)
from fastbp.fitting import learnt
from fastbp.kernels.formulas.elementary import sine_and_cosine
from fastbp.kernels.machine.compile import from_python, njit

BOTH = ("piecewise_linear", "periodic")

KINDS = ["piecewise_linear", "periodic", BOTH]


def quick(encoding=BOTH, **given):
    params = {"hidden_layer_sizes": (9, 5), "max_iter": 3, "init": "auto", "random_state": 0,
              "n_iter_no_change": np.inf}  # fmt: skip
    return founding(**{"encoding": encoding} | params | given)


def sigma(Z):
    return 1 / (1 + np.exp(-Z))


def textbook(columns, model):
    """The forward pass of a network of logistic units."""
    O = columns
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        O = sigma(O @ W + b)
    return O @ model.coefs_[-1] + model.intercepts_[-1]


def by_hand(X_train, X, frequencies):
    """Encoded columns, value by value."""
    bins, sines, cosines, frequencies = [], [], [], list(frequencies)
    for j in range(X.shape[1]):
        known = sorted(X_train[:, j])
        if len(set(known)) <= 2:
            continue
        edges = []
        for t in range(17):
            edge = known[int(np.floor(t / 16 * (len(known) - 1)))]
            if edge not in edges:
                edges.append(edge)
        mean, scale = np.mean(known), np.std(known)
        for t in range(1, len(edges)):

            def part(x, t=t, edges=edges):
                if x <= edges[t - 1]:
                    return 0.0
                return 1.0 if x >= edges[t] else (x - edges[t - 1]) / (edges[t] - edges[t - 1])

            centre = np.mean([part(x) for x in known])
            bins.append([0.1 * (part(x) - centre) for x in X[:, j]])
        for f in (frequencies.pop(0) for _ in range(8)):
            z = [(min(max(x, known[0]), known[-1]) - mean) / scale for x in X[:, j]]
            sines.append([0.1 * np.sin(2 * np.pi * f * each) for each in z])
            cosines.append([0.1 * np.cos(2 * np.pi * f * each) for each in z])
    return np.column_stack([X, *bins, *sines, *cosines])


def test_the_columns_are_those_of_the_formulas(mixed):
    X, _ = mixed
    encoding = encodings.measure(BOTH, X, np.random.RandomState(0))
    assert_array_equal(encoding.frequency, np.random.RandomState(0).normal(0, 2, 24))
    beyond = np.vstack([X, X - 1000, X + 1000, X + 1e-3])
    expected = by_hand(X, beyond, encoding.frequency)
    got = encodings.converted(beyond, np.float64, encoding)
    assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    assert encoding.n_columns == expected.shape[1] == 5 + 16 + 16 + 5 + 2 * 24
    got = encodings.converted(beyond, np.float32, encoding)
    assert got.dtype == np.float32
    assert_allclose(got, expected, rtol=1e-6, atol=3e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sines_and_cosines_are_right_to_a_rounding(dtype):
    """Of all of a turn, its quarters and eighths and what lies beside them."""
    of_turns = from_python(njit(lambda t: sine_and_cosine(t)))
    eighths = np.linspace(-0.5, 0.5, 9, dtype=dtype)
    turns = np.concatenate([
        np.linspace(-0.5, 0.5, 10_001, dtype=dtype), np.nextafter(eighths[1:], dtype(-1)),
        np.nextafter(eighths[:-1], dtype(1)), eighths, dtype(10) ** -np.arange(2, 30),
    ])  # fmt: skip
    got = np.array([of_turns(t) for t in turns])
    angles = 2 * np.pi * np.longdouble(turns)
    if dtype == np.float64:  # π has more digits than that
        angles += 2 * np.longdouble(1.2246467991473532e-16) * turns
    expected = np.column_stack([np.sin(angles), np.cos(angles)])
    assert np.abs(got - expected).max() <= 1.1 * np.finfo(dtype).eps
    small = np.abs(turns) < 0.1
    assert_allclose(got[small, 0], np.float64(expected[small, 0]), rtol=2 * np.finfo(dtype).eps)


def test_each_column_is_divided_by_its_own_scale(mixed):
    """Trials may have made some smaller, encoded ones, too."""
    X, y = mixed
    encoding = encodings.measure(BOTH, X, np.random.RandomState(0))
    units = encodings.widened(scaling.measure(X, y[:, None]), encoding)
    larger = 1.0 + encoding.column_of
    scaled = units._replace(X_scale=units.X_scale * larger)
    expected = encodings.converted(X, np.float64, encoding, units) / larger
    assert_allclose(encodings.converted(X, np.float64, encoding, scaled), expected, rtol=1e-12)


def test_columns_of_two_values_or_one_have_no_others(mixed):
    encoding = encodings.measure(BOTH, mixed[0], np.random.RandomState(0))
    assert_array_equal(np.bincount(encoding.column_of), [1 + 16 + 16, 33, 1 + 5 + 16, 1, 1])


@pytest.mark.parametrize(
    ("n_rows", "n_features", "expected"),
    [(4095, 4, 16), (4096, 4, 64), (50_000, 1, 64), (50_001, 1, 16), (4096, 5, 16)],
)
def test_few_columns_of_many_rows_have_finer_bins(n_rows, n_features, expected):
    X = np.random.default_rng(0).normal(size=(n_rows, n_features))
    encoding = encodings.measure(BOTH, X, np.random.RandomState(0))
    assert np.bincount(encoding.bin_of).tolist() == [expected] * n_features


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_differ_by_rounding_are_one(dtype):
    """As tenths that were counted up and ones that were divided, and thirds that were summed."""
    random = np.random.default_rng(0)
    k = random.integers(0, 11, 3000).astype(dtype)
    tenths = np.where(random.random(3000) > 0.5, k * dtype(0.1), k / dtype(10))
    thirds = 1 / 3 * (1 + random.integers(-3, 4, 3000) * np.finfo(float).eps)
    offset = 1e12 + np.float64(k) + random.integers(-3, 4, 3000) * np.spacing(1e12)
    assert len(np.unique(tenths)) > 11
    assert len(np.unique(thirds)) > 2
    X = np.float64(np.column_stack([tenths, thirds, offset]))
    encoding = encodings.measure(BOTH, X, np.random.RandomState(0))
    assert set(encoding.bin_of) | set(encoding.wave_of) == {0, 2}
    assert encoding.width.min() > 0.09
    both = [np.column_stack([k * dtype(0.1), thirds, 1e12 + np.float64(k)]), X]
    columns = [encodings.converted(np.float64(each), np.float64, encoding) for each in both]
    assert_allclose(columns[0], columns[1], atol=1e-3)


def test_of_a_table_in_float32_values_a_rounding_apart_are_one(mixed):
    """Far from 0, where that is much of a deviation."""
    X, y = mixed
    X = np.float32(np.round(X[:, :1] % 1, 1) + 1000)
    X = np.where(np.arange(300)[:, None] % 2, X, np.nextafter(X, np.float32(np.inf)))
    assert quick().fit(X, y)._learnt.encoding.width.min() > 0.09


def test_neither_an_outlier_nor_the_largest_numbers_take_bins_away(mixed):
    X = np.random.default_rng(0).uniform(size=(2000, 2))
    X[7, 0] = 1e9
    X[:, 1] = 1e308 * (1 + 1e-3 * X[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoding = encodings.measure(BOTH[:1], X, np.random.RandomState(0))
    assert np.bincount(encoding.bin_of).tolist() == [16, 16]


def test_rows_are_encoded_however_they_lie_in_memory(mixed):
    X, _ = mixed
    encoding = encodings.measure(BOTH, X, np.random.RandomState(0))
    expected = encodings.converted(X, np.float64, encoding)
    read_only = [np.frombuffer(a.tobytes(), a.dtype) for a in encoding[1:]]
    for other in (encoding, encodings.Encoding(encoding.names, *read_only)):
        for rows in (np.asfortranarray(X), X.astype(">f8"), np.repeat(X, 2, axis=0)[::2], X):
            assert_array_equal(encodings.converted(rows, np.float64, other), expected)
    assert encodings.converted(X[:0], np.float32, encoding).shape == (0, encoding.n_columns)
    assert_allclose(encodings.converted(np.float32(X), np.float64, encoding), expected, atol=1e-3)


def test_jacobians_are_made_for_a_few_rows_at_a_time(mixed, monkeypatch):
    X, y = mixed
    model = quick().fit(X, y)
    at_once, sizes = model.predict_jacobian(X), []
    slopes = encodings.slopes
    monkeypatch.setattr(converting, "VALUES_AT_A_TIME", 1000)
    monkeypatch.setattr(
        encodings, "slopes", lambda X, encoding: sizes.append(len(X)) or slopes(X, encoding)
    )
    assert_array_equal(model.predict_jacobian(X), at_once)
    assert max(sizes) == 1000 // len(model.coefs_[0])


def test_far_beyond_what_was_measured_an_encoded_network_is_flat(mixed):
    X, y = mixed
    model = quick().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        J = model.predict_jacobian(np.full((1, 5), 1e308))
        assert np.isfinite(J).all()
        assert_array_equal(encodings.slopes(np.full((1, 5), -1e308), model._learnt.encoding), 0)


def test_what_is_encoded_is_the_callers(mixed):
    for encoding in (None, BOTH):
        columns = quick(encoding).fit(*mixed).encode(mixed[0])
        columns[0, 0] = 1


def test_where_no_column_can_be_encoded_none_is_said_to_be(mixed):
    X, y = mixed
    assert quick().fit(np.sign(X - X.mean(axis=0)), y).encoding_ == ()
    with pytest.warns(UserWarning, match="No column is encoded.*first call, 1 here"):
        model = quick().partial_fit(X[:1], y[:1])
    assert model.encoding_ == ()
    assert model.partial_fit(X, y).encoding_ == ()
    binary = np.sign(X - X.mean(axis=0))
    model = quick(warm_start=True).fit(binary, y).fit(binary, y)
    assert pickle.loads(pickle.dumps(model)).partial_fit(binary, y).encoding_ == ()
    assert quick().partial_fit(X, y).encoding_ == BOTH


def test_encoded_columns_are_centred_and_small(mixed):
    X, _ = mixed
    columns = encodings.converted(X, np.float64, encodings.measure(BOTH, X, np.random))[:, 5:]
    n_bins = 16 + 16 + 5
    assert_allclose(columns[:, :n_bins].mean(axis=0), 0, atol=1e-14)
    assert np.abs(columns).max() <= 0.1


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_prediction_is_the_textbooks_pass_on_the_columns(kind, dtype, standardize, mixed):
    X, y = mixed
    X[:, 1] = np.log(X[:, 1])
    model = quick(kind, dtype=dtype, standardize=standardize).fit(X, y)
    columns = model.encode(X)
    assert columns.shape == (300, len(model.coefs_[0]))
    assert_array_equal(columns[:, :5], X)
    assert model.n_features_in_ == 5
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    expected = textbook(columns, model).ravel()
    assert_allclose(model.predict(X), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("has_line", [False, True])
def test_in_a_compiled_loop_rows_are_encoded_too(has_line, mixed):
    X, y = mixed
    model = quick(BOTH, dtype="float64").fit(X, y)
    if has_line:
        model._learnt = model._learnt._replace(linear=np.arange(5.0)[:, None])
    f = model.as_njit()
    far = np.vstack([X[:20], X[:20] - 99])
    assert_allclose([f(x)[0] for x in far], model.predict(far), rtol=1e-10, atol=1e-10)


def test_a_model_without_encoding_sees_the_columns_of_x(table):
    model = quick(None).fit(*table)
    assert_array_equal(model.encode(table[0]), table[0])
    assert model.encode(table[0]).flags.writeable


def test_rows_are_predicted_a_few_at_a_time(mixed, monkeypatch):
    X, y = mixed
    model = quick().fit(X, y)
    for given in (np.float32(X), np.asfortranarray(X), sparse.csr_array(X)):  # which are copied
        monkeypatch.undo()
        at_once = model.set_params(dtype="float64").predict(given)
        monkeypatch.setattr(learnt, "VALUES_COPIED", 100)
        assert model._learnt.rows_at_a_time(10**6, given) == 20
        assert_allclose(model.predict(given), at_once, rtol=1e-5)
