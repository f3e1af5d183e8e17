"""Models on disk: what is saved comes back, and what is not ours is refused."""

import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from founding import founding
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from fastbp import BackpropRegressor

QUICK = {"hidden_layer_sizes": (4, 3), "max_iter": 5, "n_iter_no_change": np.inf}

#: Models of every kind.
KINDS = {
    "default": {},
    "raw units": {"standardize": False, "learning_rate_init": 1e-4},
    "float64": {"dtype": "float64"},
    "X's own precision": {"dtype": None},
    "linear": {"hidden_layer_sizes": ()},
    "mixed activations": {"activation": ["tanh", "relu"], "solver": "adam"},
    "early stopping": {"early_stopping": True},
    "NumPy's numbers": {
        "hidden_layer_sizes": np.array([4, 3]), "batch_size": np.int64(16),
        "alpha": np.float64(0.1), "tol": np.float32(1e-3), "shuffle": np.bool_(True),
    },
    "a generator": {"random_state": np.random.RandomState(0)},
}  # fmt: skip


@pytest.fixture
def saved(table, tmp_path):
    """A fitted model and the path where it is saved."""
    model = founding(**QUICK, random_state=0).fit(*table)
    path = tmp_path / "model.npz"
    model.save(path)
    return model, path


def rewritten(path, change):
    """The file with its header and arrays changed."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays.pop("header").tobytes())
    change(header, arrays)
    with open(path, "wb") as file:
        np.savez(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    return path


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_predicts_the_same_bits(kind, n_outputs, table, tmp_path):
    X, y = table
    Y = y if n_outputs == 1 else np.column_stack([y, -y])
    model = founding(**{"random_state": 0, **QUICK, **KINDS[kind]}).fit(X, Y)
    model.save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.predict(X).dtype == model.predict(X).dtype


def test_a_loaded_model_has_the_same_parameters_and_attributes(saved):
    model, path = saved
    loaded = BackpropRegressor.load(path)
    as_lists = [json.loads(json.dumps(m.get_params())) for m in (loaded, model)]
    assert as_lists[0] == as_lists[1]  # tuples come back as lists
    attributes = [name for name in vars(model) if name.endswith("_") and name[0] != "_"]
    assert len(attributes) >= 12
    for name in attributes:
        if name not in ("coefs_", "intercepts_"):
            assert getattr(loaded, name) == getattr(model, name), name
    for one, other in zip(loaded.coefs_, model.coefs_, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_partial_fit_goes_on_after_loading(dtype, table, tmp_path):
    params = QUICK | {"momentum": 0.0, "shuffle": False, "dtype": dtype, "random_state": 0}
    model = founding(**params).fit(*table)
    model.save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    for m in (model, loaded):
        m.partial_fit(*table)
    assert_array_equal(loaded.predict(table[0]), model.predict(table[0]))
    assert loaded.t_ == model.t_
    assert loaded.loss_curve_ == model.loss_curve_


def test_feature_names_are_kept(table, tmp_path):
    X = pd.DataFrame(table[0], columns=["a", "b", "ç"])
    founding(**QUICK).fit(X, table[1]).save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    assert_array_equal(loaded.feature_names_in_, ["a", "b", "ç"])
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(X[["b", "a", "ç"]])


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_path_is_text_or_an_object_and_kept_as_it_is_named(kind, table, tmp_path):
    path = tmp_path / "no suffix"
    model = founding(**QUICK).fit(*table)
    model.save(kind(path))
    assert [p.name for p in tmp_path.iterdir()] == ["no suffix"]
    assert_array_equal(BackpropRegressor.load(kind(path)).coefs_[0], model.coefs_[0])


def test_nothing_in_the_file_could_be_executed(saved):
    _, path = saved
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            assert name.endswith(".npy")
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fu" for name in file.files)


def test_a_model_without_training_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        founding().save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- what is refused


def a_text(path):
    path.write_text("speed,angle\n1,2\n")


def an_empty_file(path):
    path.write_bytes(b"")


def a_pickle(path):
    path.write_bytes(pickle.dumps({"coefs_": [1]}))


def one_array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


def an_array_of_objects(path):
    with open(path, "wb") as file:
        np.save(file, np.array([{}], object), allow_pickle=True)


def someone_elses_arrays(path):
    with open(path, "wb") as file:
        np.savez(file, coefs_0=np.zeros((2, 2)))


def a_zip_of_text(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("header", "hello")


def a_header_without_json(path):
    with open(path, "wb") as file:
        np.savez(file, header=np.frombuffer(b"{", np.uint8))


def a_header_of_another_kind(path):
    with open(path, "wb") as file:
        np.savez(file, header=np.frombuffer(b"[1, 2]", np.uint8))


@pytest.mark.parametrize(
    "written",
    [
        a_text, an_empty_file, a_pickle, one_array, an_array_of_objects, someone_elses_arrays,
        a_zip_of_text, a_header_without_json, a_header_of_another_kind,
    ],
)  # fmt: skip
def test_what_fastbp_did_not_save_is_refused(written, tmp_path):
    path = tmp_path / "model.npz"
    written(path)
    with pytest.raises(ValueError, match=r"model\.npz is not a model that fastbp saved"):
        BackpropRegressor.load(path)


def test_a_file_cut_short_is_refused(saved):
    _, path = saved
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match="is not a model that fastbp saved"):
            BackpropRegressor.load(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        BackpropRegressor.load(tmp_path / "nowhere.npz")


def test_a_later_format_is_refused_by_name(saved):
    _, path = saved
    rewritten(path, lambda header, _: header.update(format="fastbp-model-3"))
    with pytest.raises(ValueError, match=r"format 'fastbp-model-3'.*reads 'fastbp-model-2'"):
        BackpropRegressor.load(path)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("parameter", lambda header, _: header["params"].update(warp_factor=9)),
        ("attribute", lambda header, _: header.update(predict=9)),
        ("missing header", lambda header, _: header.pop("params")),
        ("missing weights", lambda _, arrays: arrays.pop("coefs_1")),
        ("missing biases", lambda _, arrays: arrays.pop("intercepts_0")),
        ("missing scaling", lambda _, arrays: arrays.pop("y_scale")),
        ("wrong shape", lambda _, arrays: arrays.update(coefs_0=np.zeros((3, 9)))),
    ],
)
def test_a_file_that_does_not_describe_a_model_is_refused(what, change, saved):
    _, path = saved
    rewritten(path, change)
    with pytest.raises(ValueError, match=r"model\.npz"):
        BackpropRegressor.load(path)
