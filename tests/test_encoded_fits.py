"""Fits with an `encoding`: what it is measured on, who keeps it, and what is learnt with it."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from test_encodings import BOTH, KINDS, quick, textbook
from test_persistence import rewritten

from fastbp import BackpropEnsembleRegressor, BackpropRegressor


def test_measured_are_the_rows_that_are_trained_on(mixed):
    X, y = mixed
    far, weight = np.vstack([X, X + 1000]), np.repeat([1.0, 0.0], 300)
    weighted = quick().fit(far, np.tile(y, 2), weight)
    alone = quick().fit(X, y, X_val=X + 1000, y_val=y)
    for model in (weighted, alone):
        assert_array_equal(model.encode(X), quick().fit(X, y).encode(X))
    held_out = quick(early_stopping=True).fit(X, y)
    assert held_out._learnt.encoding.mean[0] != X[:, 0].mean()


def test_outliers_do_not_rule_the_encoding(mixed):
    X, y = mixed
    X[3, 0] = 1e9
    encoding = quick().fit(X, y)._learnt.encoding
    assert encoding.scale[0] < 10
    assert encoding.high[0] < 100


def test_frequencies_are_drawn_from_random_state(mixed):
    frequencies = [
        quick("periodic", random_state=seed).fit(*mixed)._learnt.encoding.frequency
        for seed in (0, 0, 1)
    ]
    assert_array_equal(frequencies[0], frequencies[1])
    assert not np.array_equal(frequencies[0], frequencies[2])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_files_and_pickles_keep_it(kind, mixed, tmp_path):
    X, y = mixed
    model = quick(kind, shuffle=False).fit(X, y)
    model.save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    pickled = pickle.loads(pickle.dumps(model))
    for other in (loaded, pickled):
        assert_array_equal(other.predict(X), model.predict(X))
        assert_array_equal(other.encode(X), model.encode(X))
        assert other.partial_fit(X, y).coefs_[0].shape == model.coefs_[0].shape


@pytest.mark.parametrize(
    "change",
    [
        lambda header, _: header.pop("encoding"),
        lambda header, _: header.update(encoding=["spline"]),
        lambda _, arrays: arrays.pop("encoding_edge"),
        lambda _, arrays: arrays.update(encoding_mean=np.zeros(4)),
        lambda _, arrays: arrays.update(encoding_bin_of=arrays["encoding_bin_of"] + np.uint32(3)),
        lambda _, arrays: arrays.update(encoding_wave_of=-arrays["encoding_frequency"]),
        lambda _, arrays: arrays.update(encoding_bin_of=arrays["encoding_bin_of"][::-1]),
        lambda _, arrays: arrays.update(encoding_wave_of=arrays["encoding_wave_of"][::-1]),
    ],
)
def test_a_file_without_a_whole_encoding_is_refused(change, mixed, tmp_path):
    quick().fit(*mixed).save(tmp_path / "model.npz")
    rewritten(tmp_path / "model.npz", change)
    with pytest.raises(ValueError, match=r"model\.npz is not a whole model"):
        BackpropRegressor.load(tmp_path / "model.npz")


def test_who_goes_on_keeps_it(mixed):
    X, y = mixed
    model = quick(warm_start=True).partial_fit(X, y)
    columns = model.encode(X)
    model.partial_fit(2 * X, y)
    assert_array_equal(model.encode(X), columns)
    model.fit(2 * X, y)
    assert_array_equal(model.encode(X), columns)
    assert_allclose(model.predict(X), textbook(columns, model).ravel(), rtol=1e-4)


@pytest.mark.parametrize(("first", "then"), [(None, BOTH), (BOTH, None), (BOTH, "periodic")])
def test_who_goes_on_can_not_change_it(first, then, mixed):
    model = quick(first, warm_start=True).fit(*mixed).set_params(encoding=then)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="encoding asks for"):
            method(*mixed)


def test_the_order_of_the_names_does_not_matter(mixed):
    X, y = mixed
    models = [quick(names).fit(X, y) for names in (BOTH, list(BOTH[::-1]), np.array(BOTH))]
    for model in models[1:]:
        assert_array_equal(model.predict(X), models[0].predict(X))


def test_sparse_tables_and_frames_are_encoded_too(mixed):
    X, y = mixed
    dense = quick().fit(X, y)
    model = quick().fit(sparse.csr_array(X), y)
    assert_array_equal(model.encode(sparse.csr_array(X)), model.encode(X))
    assert_array_equal(model.predict(sparse.csr_array(X)), model.predict(X))
    assert_array_equal(model.encode(X), dense.encode(X))
    frame = pd.DataFrame(X, columns=list("abcde"))
    assert_array_equal(quick().fit(frame, y).predict(frame), dense.predict(X))


def test_the_gradient_is_that_of_the_weights_of_encoded_columns(mixed):
    X, y = mixed
    model = quick(dtype="float64").fit(X, y)
    loss, dW, db = model.loss_gradient(X, y)
    assert_allclose(loss, np.mean((model.predict(X) - y) ** 2))
    for l, at in [(0, (7, 1)), (0, (50, 2)), (0, (80, 3)), (1, (2, 2))]:
        W, e = model.coefs_[l], 1e-5
        W[at] += e
        more = model.loss_gradient(X, y)[0]
        W[at] -= 2 * e
        less = model.loss_gradient(X, y)[0]
        W[at] += e
        assert_allclose(dW[l][at], (more - less) / (2 * e), rtol=1e-4, atol=1e-9)
    assert [len(b) for b in db] == [9, 5, 1]


@pytest.mark.parametrize("init", ["auto", "glorot"])
@pytest.mark.parametrize("early_stopping", [False, True, "refit"])
def test_bits_are_the_same_for_any_number_of_threads(early_stopping, init, mixed):
    X, y = mixed
    one, two = (
        quick(early_stopping=early_stopping, init=init, n_threads=n, max_iter=12).fit(X, y)
        for n in (1, 2)
    )
    assert_array_equal(one.coefs_[0], two.coefs_[0])
    assert_array_equal(one.predict(X), two.predict(X))


def test_models_of_callbacks_are_encoded(mixed):
    X, y = mixed
    seen = []

    class Watcher:
        def setup(self, estimator, context): ...

        def teardown(self, estimator, context): ...

        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            seen.append(fitted_estimator.predict(X))

    model = quick(max_iter=2).set_callbacks(Watcher()).fit(X, y)
    assert len(seen) == 3  # of two epochs and the fit
    assert_array_equal(seen[1], model.predict(X))
    assert_array_equal(seen[2], model.predict(X))


def test_only_columns_of_the_table_are_looked_at_alone(mixed):
    X, y = mixed
    model = quick(hidden_layer_sizes=(16,), max_iter=1, learning_rate_init=1e-9).fit(X, y)
    alone = (np.abs(model.coefs_[0]) > 1e-6).sum(axis=0) == 1
    assert alone[:8].all()
    assert (np.abs(model.coefs_[0][5:, :8]) < 1e-6).all()


def test_useless_columns_are_made_smaller_with_all_that_is_encoded_from_them():
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 8))
    y = (X[:, 0] > 0) + random.normal(0, 0.5, 400)
    model = BackpropRegressor((16,), encoding=BOTH, max_iter=60, random_state=0).fit(X, y)
    encoding, units = model._learnt.encoding, model._learnt.scaling
    scale = np.ones(encoding.n_columns) / units.X_scale
    scale[:8] *= X.std(axis=0)
    for j in range(8):
        assert_allclose(scale[encoding.column_of == j], scale[j], rtol=0.01)
    assert scale[1:8].max() < 0.7 * scale[0]
    assert_allclose(model.predict(X), textbook(model.encode(X), model).ravel(), rtol=1e-3)


def test_members_of_an_ensemble_share_one_encoding(mixed, tmp_path):
    X, y = mixed
    model = BackpropEnsembleRegressor(quick(), n_estimators=3, random_state=0).fit(X, y)
    columns = [member.encode(X) for member in model.estimators_]
    assert_array_equal(columns[0], columns[2])
    each = [member.predict(X) for member in model.estimators_]
    assert_allclose(model.predict(X), np.mean(each, axis=0), rtol=1e-5)
    model.save(tmp_path / "ensemble.npz")
    loaded = BackpropEnsembleRegressor.load(tmp_path / "ensemble.npz")
    assert_array_equal(loaded.predict(X), model.predict(X))


def test_unknown_names_are_refused_with_the_known_ones():
    for given in ("spline", ["periodic", "spline"]):
        with pytest.raises(ValueError, match=r"encoding.*'(periodic|piecewise_linear)'"):
            quick(given).fit(np.eye(20), np.arange(20.0))


def test_nothing_but_constants_can_be_encoded():
    X, y = np.ones((50, 3)), np.arange(50.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = quick().fit(X, y)
    assert len(model.coefs_[0]) == 3
    assert_allclose(model.as_njit()(X[0]), model.predict(X[:1]), rtol=1e-5)


def test_steps_are_learnt_better_with_it():
    random = np.random.default_rng(3)
    X, errors = random.normal(size=(2600, 4)), {}
    y = (X[:, 0] > 0.2) + (X[:, 1] > -0.3) * np.float64(X[:, 2] > 0)
    for encoding in (None, BOTH):
        model = BackpropRegressor(
            (32, 32), encoding=encoding, max_iter=60, early_stopping=False, n_threads=1
        )
        errors[encoding] = [
            np.mean((model.set_params(random_state=s).fit(X[:600], y[:600]).predict(X) - y) ** 2)
            for s in range(3)
        ]
    assert max(errors[BOTH]) < 0.8 * min(errors[None]), errors
