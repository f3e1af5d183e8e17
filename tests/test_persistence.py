"""Models on disk: what is saved comes back, and what is not ours is refused."""

import copy
import gzip
import io
import json
import os
import pickle
import stat
import struct
import sys
import threading
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from founding import founding
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropEnsembleRegressor, BackpropRegressor, archive, load_pipeline

QUICK = {"hidden_layer_sizes": (4, 3), "max_iter": 5, "n_iter_no_change": np.inf}

#: Models of every kind.
KINDS = {
    "default": {},
    "raw units": {"standardize": False, "learning_rate_init": 1e-4},
    "float64": {"dtype": "float64"},
    "X's own precision": {"dtype": None},
    "linear": {"hidden_layer_sizes": ()},
    "a range of widths": {"hidden_layer_sizes": range(3, 5)},
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


@pytest.mark.parametrize("size", [10**20, sys.maxsize])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_however_large_a_number_was_given_the_model_is_saved(size, table):
    one = {"hidden_layer_sizes": (4,), "max_iter": 2, "early_stopping": False}
    for given in (
        {"batch_size": size},
        {"max_iter": size, "n_iter_no_change": 1, "tol": 10.0, "learning_rate": "constant"},
        {"n_iter_no_change": size},
        {"solver": "lbfgs", "max_fun": size, "max_iter": size, "tol": 10.0},
    ):
        model = BackpropRegressor(**one | given).fit(*table)
        assert_array_equal(filed(model).predict(table[0]), model.predict(table[0]))
        assert 0 < model.batch_size_ <= len(table[0]) == 60
        ensemble = BackpropEnsembleRegressor(BackpropRegressor(**one | given), 2).fit(*table)
        ensemble.save(io.BytesIO())


def test_batches_are_at_most_all_of_the_rows(table):
    X, y = table
    assert founding(**QUICK, batch_size=1000).fit(X, y).batch_size_ == 60
    assert founding(**QUICK, batch_size=50).partial_fit(X[:7], y[:7]).batch_size_ == 7
    mlp = MLPRegressor(hidden_layer_sizes=(3,), batch_size=sys.maxsize)
    with pytest.warns(UserWarning, match="Got `batch_size`"):
        model = BackpropRegressor.from_sklearn(mlp.partial_fit(X, y))
    assert filed(model).batch_size_ == 60


@pytest.mark.parametrize(("dropout", "expected"), [(0.2, [0.2, 0.2]), ([0.0, 0.5], [0.0, 0.5])])
def test_a_file_of_before_dropout_was_found_says_what_was_asked_for(
    dropout, expected, table, tmp_path
):
    model = founding(**QUICK | {"hidden_layer_sizes": (4, 3)}, dropout=dropout).fit(*table)
    path = tmp_path / "model.npz"
    model.save(path)
    loaded = BackpropRegressor.load(rewritten(path, lambda header, _: header.pop("dropout_")))
    assert loaded.dropout_ == model.dropout_ == expected


@pytest.mark.filterwarnings("ignore:A file can't hold random_state:UserWarning")
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


def test_a_loaded_model_predicts_in_single_precision_still(table):
    X, y = (array.astype(np.float32) for array in table)
    model = founding(**QUICK, random_state=0).fit(X, y)
    assert filed(model).predict(X).dtype == model.predict(X).dtype == np.float32


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


#: Trainings that are stopped and gone on with: what each has to remember.
STOPPED = {
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "momentum, invscaling": {"learning_rate": "invscaling", "nesterovs_momentum": False},
    "nesterov, adaptive": {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 10.0},
    "adam": {"solver": "adam"},
    "adam, float64, raw units": {"solver": "adam", "dtype": "float64", "standardize": False},
    "an average": {"solver": "adam", "ema_decay": 0.9, "dropout": 0.2},
    "a generator": {"solver": "adam", "random_state": np.random.RandomState(0)},
}


def filed(model):
    """Saved and loaded."""
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    return BackpropRegressor.load(file)


def assert_same_model(one, other, X):
    assert_array_equal(one.predict(X), other.predict(X))
    assert (one.loss_curve_, one.n_iter_, one.t_) == (other.loss_curve_, other.n_iter_, other.t_)
    assert one.learning_rate_init_ == other.learning_rate_init_
    states = (leaves(vars(each._optimizer).values()) for each in (one, other))
    for mine, others in zip(*states, strict=True):
        assert_array_equal(mine, others)


def leaves(values):
    """What tuples and lists of tuples and lists hold."""
    for value in values:
        yield from leaves(value) if isinstance(value, tuple | list) else [value]


@pytest.mark.filterwarnings("ignore:A file can't hold random_state:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("stopped", [filed, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", STOPPED)
def test_a_training_that_was_stopped_goes_on_as_if_it_never_had(kind, method, stopped, table):
    X, y = table
    params = QUICK | {"random_state": 0, "batch_size": 7, "momentum": 0.9} | STOPPED[kind]
    model = founding(**params, warm_start=True).fit(X[:40], y[:40]).partial_fit(X, y)
    again = stopped(model)
    for each in (model, again):
        if method == "partial_fit":  # the order, the step size, and since when it stalls
            for _ in range(3):
                each.partial_fit(X[20:], y[20:])
        else:  # a file has no generator
            each.set_params(random_state=1).fit(X, y)
    assert_same_model(again, model, X)


#: What becomes of a model between two calls.
BETWEEN = {
    "nothing": lambda model: model, "a file": filed, "a copy": copy.copy,
    "a pickle": lambda model: pickle.loads(pickle.dumps(model)),
}  # fmt: skip


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_step_size_that_is_set_between_two_calls_is_obeyed(solver, between, table):
    X, y = table
    model = founding(**QUICK, solver=solver, learning_rate_init=0.01, random_state=0)
    model = BETWEEN[between](model.partial_fit(X, y))
    by_hand = copy.deepcopy(model)
    by_hand._optimizer.eta = 0.05  # all else that it carries on is as it was
    model.set_params(learning_rate_init=0.05).partial_fit(X, y)
    assert model.learning_rate_init_ == 0.05
    assert_array_equal(model.predict(X), by_hand.partial_fit(X, y).predict(X))
    model.set_params(learning_rate_init="auto").partial_fit(X, y)
    assert model.learning_rate_init_ != 0.05


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("between", BETWEEN)
def test_a_step_size_that_has_become_smaller_stays_so_until_another_is_set(between, table):
    X, y = table
    adaptive = {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 10.0, "max_iter": 3}
    adaptive = founding(**QUICK | adaptive, learning_rate_init=0.01).fit(X, y)
    diverged = {"activation": "identity", "init": "glorot", "random_state": 0}
    diverged = founding(**QUICK | diverged, learning_rate_init=3.0).fit(X, y)
    for model in adaptive, diverged:
        eta, given = model._optimizer.eta, model.learning_rate_init
        assert eta < given
        model = BETWEEN[between](model)
        model.partial_fit(X, y)
        assert model.learning_rate_init_ == eta
        model.set_params(learning_rate_init=given / 2)
        model.set_params(learning_rate_init=given).partial_fit(X, y)  # as it was
        assert model.learning_rate_init_ <= eta
    adaptive.set_params(learning_rate_init=0.02).partial_fit(X, y)
    assert adaptive.learning_rate_init_ == 0.02


def test_of_a_file_that_does_not_say_which_step_was_given_the_step_is_kept(saved):
    model, path = saved
    rewritten(path, lambda header, _: header["optimizer"].pop("given"))
    loaded = BackpropRegressor.load(path).set_params(learning_rate_init=0.3)
    X = np.ones((9, model.n_features_in_))
    assert loaded.partial_fit(X, X[:, 0]).learning_rate_init_ == model.learning_rate_init_
    loaded.set_params(learning_rate_init=0.2).partial_fit(X, X[:, 0])
    assert loaded.learning_rate_init_ == 0.2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_early_stopping_goes_on_from_the_best_that_was_saved(loss, table):
    X, y = table
    model = founding(
        **QUICK | {"n_iter_no_change": 2, "max_iter": 2, "learning_rate": "constant"}, tol=10.0,
        loss=loss, random_state=0, warm_start=True, early_stopping=True, validation_fraction=0.5,
    ).fit(X, y)  # fmt: skip
    again, forgetful = filed(model), filed(model)
    del forgetful._optimizer
    for each in (model, again, forgetful):
        each.set_params(max_iter=100).fit(X, y)
    assert_same_model(again, model, X)
    assert (again.n_iter_, forgetful.n_iter_) == (2, 4)  # it stalled before


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_without_the_optimiser_a_file_is_smaller_and_a_new_one_begins(solver, table, tmp_path):
    X, y = table
    model = founding(**QUICK, solver=solver, random_state=0).fit(X, y)
    whole, part = tmp_path / "whole.npz", tmp_path / "part.npz"
    model.save(whole)
    model.save(part, include_optimizer=False)
    assert part.stat().st_size < whole.stat().st_size
    loaded = BackpropRegressor.load(part)
    assert not hasattr(loaded, "_optimizer")
    del model._optimizer
    assert_array_equal(loaded.partial_fit(X, y).predict(X), model.partial_fit(X, y).predict(X))


def test_an_optimiser_of_another_network_is_not_saved(saved):
    model, path = saved
    model._optimizer.memory = np.zeros((1, 7), np.float32)
    model.save(path)
    assert not hasattr(BackpropRegressor.load(path), "_optimizer")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_members_of_a_loaded_ensemble_go_on_as_well(solver, table):
    X, y = table
    member = BackpropRegressor((4,), max_iter=5, solver=solver)
    model, file = BackpropEnsembleRegressor(member, 2, random_state=0).fit(X, y), io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = BackpropEnsembleRegressor.load(file)
    if solver == "adam":
        for ensemble in (model, loaded):
            ensemble.estimators_[1].partial_fit(X, y)
    assert_same_model(loaded.estimators_[1], model.estimators_[1], X)


def test_feature_names_are_kept(table, tmp_path):
    X = pd.DataFrame(table[0], columns=["a", "b", "ç"])
    founding(**QUICK).fit(X, table[1]).save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    assert_array_equal(loaded.feature_names_in_, ["a", "b", "ç"])
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(X[["b", "a", "ç"]])


@pytest.mark.parametrize("kind", [str, lambda path: path, os.fsencode])
def test_a_path_is_text_or_an_object_and_kept_as_it_is_named(kind, table, tmp_path):
    path = tmp_path / "no suffix"
    model = founding(**QUICK).fit(*table)
    model.save(kind(path))
    assert [p.name for p in tmp_path.iterdir()] == ["no suffix"]
    assert_array_equal(BackpropRegressor.load(kind(path)).coefs_[0], model.coefs_[0])


def test_the_number_of_an_open_file_is_no_path(saved):
    model, path = saved
    with open(path, "rb") as file:
        with pytest.raises(ValueError, match="not a model"):
            BackpropRegressor.load(file.fileno())
        with pytest.raises(TypeError, match="int"):
            model.save(file.fileno())
        assert BackpropRegressor.load(file).n_features_in_ == model.n_features_in_


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


def arrays_of_a_model():
    """As `save` hands them to `write`."""
    written = io.BytesIO()
    founding(**QUICK, random_state=0).fit(np.eye(3), np.arange(3.0)).save(written)
    written.seek(0)
    return dict(np.load(written))


def compressed(path):
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays_of_a_model())


def encrypted(path):
    with open(path, "wb") as file:
        np.savez(file, **arrays_of_a_model())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


def twice_the_same(path):
    with open(path, "wb") as file:
        np.savez(file, **arrays_of_a_model())
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("coefs_0.npy", file.read("coefs_0.npy"))


def longer_than_it_says(path):
    with open(path, "wb") as file:
        np.savez(file, **arrays_of_a_model())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("coefs_9.npy", file.read("coefs_0.npy") + b"more")


def of_many_dimensions(path):
    with open(path, "wb") as file:
        np.savez(file, **arrays_of_a_model(), coefs_9=np.zeros((1, 1, 1)))


def a_comment(path):
    with open(path, "wb") as file:
        np.savez(file, **arrays_of_a_model())
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"hello"


@pytest.mark.parametrize(
    "written",
    [
        compressed, encrypted, twice_the_same, longer_than_it_says, of_many_dimensions, a_comment,
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


#: What an optimiser can't be, nor its state.
OPTIMIZERS_FIELDS = (
    ("name", "rmsprop"), ("name", "adam"), ("name", ["sgd"]), ("eta", 0.0), ("eta", np.inf),
    ("eta", "1"), ("began", -1), ("began", 1.5), ("watches", "loss"), ("watches", [[]]),
    ("more", 1), ("state", {}), ("state", 3), ("given", "fast"), ("given", -0.1), ("given", [0.1]),
    ("given", np.nan), ("given", True),
)  # fmt: skip
OF_STATES = (
    ("position", 1), ("position", -1), ("random", -1), ("random", 2**64), ("random", 0.5),
    ("beta_1_to_t", 1.1), ("beta_2_to_t", np.nan), ("best", np.nan), ("best_held_out", np.nan),
    ("stalled", 2**70), ("stalled", True), ("ended", 1), ("loss", "0"), ("more", 1.0),
)  # fmt: skip


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
        ("another array", lambda _, arrays: arrays.update(coefs_9=np.zeros((3, 9)))),
        ("biases of no columns", lambda _, arrays: arrays.update(intercepts_0=np.zeros((600, 0)))),
        ("a matrix of biases", lambda _, arrays: arrays.update(intercepts_0=np.zeros((4, 4)))),
        ("a short scaling", lambda _, arrays: arrays.update(X_scale=np.ones(1))),
        ("a scale of 0", lambda _, arrays: arrays.update(X_scale=np.zeros(3))),
        ("a scale of NaN", lambda _, arrays: arrays.update(y_scale=np.full(1, np.nan))),
        ("NaN", lambda _, arrays: arrays["coefs_1"].fill(np.nan)),
        ("infinity", lambda _, arrays: arrays["intercepts_1"].fill(np.inf)),
        ("other features", lambda header, _: header.update(n_features_in_=2)),
        ("other outputs", lambda header, _: header.update(n_outputs_=2)),
        ("no features", lambda header, _: header.update(n_features_in_=0)),
        ("endless layers", lambda header, _: header.update(n_layers_=10**18)),
        ("half a layer", lambda header, _: header.update(n_layers_=3.5)),
        ("an activation more", lambda header, _: header["activations"].append("relu")),
        ("an unknown activation", lambda header, _: header["activations"].__setitem__(0, "x")),
        ("an unknown loss", lambda header, _: header.update(loss=["x"])),
        ("an encoding without arrays", lambda header, _: header.update(encoding="periodic")),
        ("too few names", lambda header, _: header.update(feature_names_in_=["a", "b"])),
        ("names that are none", lambda header, _: header.update(feature_names_in_=[1, 2, 3])),
        ("a strange precision", lambda header, _: header.update(training_dtype="float16")),
        ("a stranger one", lambda header, _: header.update(y_dtype="int64")),
        ("a number of samples", lambda header, _: header.update(t_=-1)),
        ("a huge one", lambda header, _: header.update(t_=10**400)),
        ("a curve", lambda header, _: header.update(loss_curve_=["a"])),
        ("a curve that is none", lambda header, _: header.update(loss_curve_=3)),
        ("a name", lambda header, _: header.update(kernel_=3)),
        ("what is dropped", lambda header, _: header.update(dropout_=0.5)),
        ("a bad parameter", lambda header, _: header["params"].update(alpha=-1)),
        ("a weight of y", lambda _, arrays: arrays.update(seen_y_weight=np.ones(2))),
        ("a weight of y of 0", lambda _, arrays: arrays.update(seen_y_weight=np.zeros(1))),
        ("no optimiser", lambda header, _: header.pop("optimizer")),
        ("no memory of it", lambda _, arrays: arrays.pop("optimizer_memory")),
        ("too little memory", lambda _, arrays: arrays.update(optimizer_memory=np.zeros((1, 30)))),
        ("memory of NaN", lambda _, arrays: arrays["optimizer_memory"].fill(np.nan)),
        (
            "memory of infinity",
            lambda _, arrays: arrays["optimizer_memory"].__setitem__((0, 0), np.inf),
        ),
        (
            "memory of another precision",
            lambda _, arrays: arrays.update(
                optimizer_memory=arrays["optimizer_memory"].astype(np.float64)
            ),
        ),
        *(
            (
                f"an optimiser's {name}",
                lambda header, _, changed={name: value}: header["optimizer"].update(changed),
            )
            for name, value in OPTIMIZERS_FIELDS
        ),
        *(
            (
                f"a state's {name}",
                lambda header, _, changed={name: value}: header["optimizer"]["state"].update(
                    changed
                ),
            )
            for name, value in OF_STATES
        ),
    ],
)
def test_a_file_that_does_not_describe_a_model_is_refused(what, change, saved):
    _, path = saved
    rewritten(path, change)
    with pytest.raises(ValueError, match=r"model\.npz"):
        BackpropRegressor.load(path)


def test_numbers_in_other_forms_are_converted(saved):
    model, path = saved
    model.coefs_ = [np.float32(np.float16(W)) for W in model.coefs_]
    X = np.random.default_rng(0).normal(size=(9, 3))
    for dtype in (np.float16, ">f4", ">f8", np.longdouble):
        model.save(path)
        rewritten(path, lambda _, arrays, to=dtype: arrays.update(
            {name: arrays[name].astype(to) for name in ("coefs_0", "coefs_1")}
        ))  # fmt: skip
        assert_array_equal(BackpropRegressor.load(path).predict(X), model.predict(X))


# -------------------------------------------------------- what is hostile costs nothing


def with_header(shape, size, dtype="<f8"):
    """An array's member that says it has this shape, and has so many bytes."""
    member = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    return member.getvalue() + b"\0" * size


HUGE = [
    (10**12,), (10**6, 10**6), (-1,), (-1, -8), (2**62, 4), (2**64,), (0, 10**12),
]  # fmt: skip


@pytest.mark.parametrize("shape", HUGE, ids=str)
def test_an_array_that_says_more_than_it_holds_is_refused_before_it_is_made(shape, saved):
    _, path = saved
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["coefs_0.npy"] = with_header(shape, 8)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    assert refused_at_the_cost_of(path) < 2**20


def refused_at_the_cost_of(path):
    """Bytes."""
    tracemalloc.start()
    with pytest.raises(ValueError, match="not a"):
        BackpropRegressor.load(path)
    cost = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return cost


def test_compressed_zeros_are_refused_before_they_are_read(saved):
    _, path = saved
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("coefs_9.npy", with_header((2**21,), 2**24))
    assert refused_at_the_cost_of(path) < 2**20


def test_a_small_compressed_array_is_refused_too(saved):
    """One that is no larger than the file has room for."""
    _, path = saved
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            is_first = name == "coefs_0.npy"
            file.writestr(name, content, zipfile.ZIP_DEFLATED if is_first else zipfile.ZIP_STORED)
    with pytest.raises(ValueError, match="compressed"):
        BackpropRegressor.load(path)


@pytest.mark.parametrize("n", [2**15, 70_000])
def test_many_members_are_refused_before_they_are_listed(n, tmp_path):
    entry = b"PK\1\2" + bytes(42)
    if n < 2**16:
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n + 1, n + 1, len(entry) * n, 0, 0)
    else:
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, n, n, len(entry) * n, 0)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(entry) * n, 1)
        end = record + locator + b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2)
    (tmp_path / "model.npz").write_bytes(entry * n + end)
    assert refused_at_the_cost_of(tmp_path / "model.npz") < 2**20


def test_a_list_of_members_that_is_longer_than_it_says_is_refused(tmp_path):
    entry = b"PK\1\2" + bytes(42)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, len(entry) * 50_000, 0, 0)
    (tmp_path / "model.npz").write_bytes(entry * 50_000 + end)
    assert refused_at_the_cost_of(tmp_path / "model.npz") < 2**20


def test_an_ensemble_of_more_arrays_than_are_read_is_not_written(table, tmp_path, monkeypatch):
    member = BackpropRegressor((4,), max_iter=5)
    model = BackpropEnsembleRegressor(member, 2, random_state=0).fit(*table)
    monkeypatch.setattr(archive, "MOST_ARRAYS", 32)  # two of 14, four of its own
    with pytest.raises(ValueError, match="32 arrays are more than a file may hold"):
        model.save(tmp_path / "model.npz")
    monkeypatch.setattr(archive, "MOST_ARRAYS", 33)
    model.save(tmp_path / "model.npz")
    assert BackpropEnsembleRegressor.load(tmp_path / "model.npz").oob_score_ == model.oob_score_


#: Of the members of an ensemble.
WEIGHTS = "estimator_weights_"


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a member less", lambda header, _: header["members"].pop()),
        ("a member more", lambda header, _: header["members"].append(header["members"][0])),
        ("other members", lambda header, _: header["members"][1].update(activations=["relu"])),
        ("no members", lambda header, _: header["members"].clear()),
        ("a negative weight", lambda _, arrays: arrays["residual_weights_"].fill(-1)),
        ("NaN", lambda _, arrays: arrays["residuals_"].fill(np.nan)),
        ("few weights", lambda _, arrays: arrays.update(residual_weights_=np.ones(2))),
        ("no weights of members", lambda header, arrays: header["arrays"].remove(WEIGHTS)),
        (
            "weights in a column",
            lambda _, arrays: arrays.update({WEIGHTS: arrays[WEIGHTS][:, None]}),
        ),
        ("a weight more", lambda _, arrays: arrays.update({WEIGHTS: np.ones(3) / 3})),
        ("weights that sum to 2", lambda _, arrays: arrays[WEIGHTS].fill(1)),
        ("weights below 0", lambda _, arrays: arrays.update({WEIGHTS: np.array([1.5, -0.5])})),
        ("a weight that is NaN", lambda _, arrays: arrays[WEIGHTS].fill(np.nan)),
        ("weights of one kind", lambda _, arrays: arrays.update({WEIGHTS: np.array([0.6, 0.4])})),
        ("other outputs", lambda header, _: header.update(n_outputs_=2)),
    ],
)
def test_a_file_that_describes_no_ensemble_is_refused(what, change, table, tmp_path):
    path, member = tmp_path / "model.npz", BackpropRegressor((4,), max_iter=5)
    BackpropEnsembleRegressor(member, 2, random_state=0).fit(*table).save(path)
    with pytest.raises(ValueError, match=r"model\.npz is not a whole model"):
        BackpropEnsembleRegressor.load(rewritten(path, change))


def test_a_wrong_number_of_names_is_not_saved(saved):
    model, path = saved
    before = path.read_bytes()
    for names in (["a", "b"], ["a", "b", 3]):
        model.feature_names_in_ = names
        with pytest.raises(ValueError, match="feature_names_in_ must name 3 columns"):
            model.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "changed",
    [
        {"n_threads": 0}, {"warm_start": 1}, {"alpha": np.nan}, {"max_time": np.inf},
        {"loss_curve_": None}, {"n_features_in_": 4}, {"n_outputs_": 2}, {"t_": -1}, {"t_": "x"},
        {"n_layers_": 7}, {"max_iter_": None}, {"kernel_": 3},
    ],
    ids=str,
)  # fmt: skip
def test_what_load_would_refuse_is_not_written_over_a_good_file(changed, saved):
    model, path = saved
    before = path.read_bytes()
    vars(model).update(changed)
    with pytest.raises(
        ValueError, match=f"{next(iter(changed))}|arrays|outputs|network|not a whole"
    ):
        model.save(path)
    assert path.read_bytes() == before


def test_an_array_of_objects_is_not_written(table, tmp_path):
    """NumPy would pickle it."""
    model = BackpropEnsembleRegressor(BackpropRegressor((4,), max_iter=5), 2, random_state=0)
    model.fit(*table).oob_prediction_ = ["x"]
    with pytest.raises(ValueError, match="oob_prediction_ holds no numbers"):
        model.save(tmp_path / "model.npz")
    assert not (tmp_path / "model.npz").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"alpha": np.longdouble(0.1)}, {"tol": np.float16(0.1)}, {"verbose": np.bool_(False)},
        {"n_threads": np.int8(2)}, {"dropout": np.array(0.5, np.longdouble)},
        {"dropout": np.array([0.5, 0.25], np.longdouble)}, {"hidden_layer_sizes": np.array(4)},
    ],
    ids=str,
)  # fmt: skip
def test_numpys_numbers_are_saved_as_pythons(given, table, tmp_path):
    params = QUICK | {"random_state": 0} | given
    model = founding(**params).fit(*table)
    model.save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    ((name, value),) = given.items()
    assert_array_equal(getattr(loaded, name), np.asarray(value, float))


# ---------------------------------------------------------------- a file is replaced whole


@pytest.fixture(params=["unnamed", "named"])
def beside(request, monkeypatch):
    """Both ways of making the file that takes the place."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("needs files without a name")


@pytest.mark.parametrize("to_stream", [True, False])
def test_ctrl_c_where_an_array_ends_is_no_error_of_zipfile(to_stream, tmp_path, monkeypatch, table):
    path, model = tmp_path / "model.npz", founding(2).partial_fit(*table)
    model.save(path)
    before = path.read_bytes()

    def interrupted(file, **arrays):
        try:
            raise KeyboardInterrupt
        finally:
            raise ValueError(
                "Can't close the ZIP file while there is an open writing handle on it."
            )

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.save(io.BytesIO() if to_stream else path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]

    def refused(file, **arrays):
        raise ValueError("these arrays can't be written")

    monkeypatch.setattr(np, "savez", refused)
    try:
        raise KeyError("what else went wrong")
    except KeyError:
        with pytest.raises(ValueError, match="can't be written"):
            model.save(path)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
def test_a_save_that_fails_leaves_what_there_was(error, saved, monkeypatch, beside):
    model, path = saved
    before, savez = path.read_bytes(), np.savez

    def failing(file, **arrays):
        savez(file, **arrays)
        raise error

    monkeypatch.setattr(np, "savez", failing)
    with pytest.raises(type(error)):
        model.save(path)
    with pytest.raises(type(error)):
        model.save(path.with_name("new"))
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_links_and_modes_stay_and_new_files_obey_the_umask(saved, beside):
    model, path = saved
    path.chmod(0o604)
    link, dangling = path.with_name("link"), path.with_name("dangling")
    link.symlink_to(path.name)
    dangling.symlink_to("new")
    path.write_bytes(b"old")
    umask = os.umask(0o027)
    try:
        for name in (link, dangling):
            model.save(name)
            assert name.is_symlink()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert stat.S_IMODE(path.with_name("new").stat().st_mode) == 0o640
    assert len(list(path.parent.iterdir())) == 4
    assert BackpropRegressor.load(path).t_ == BackpropRegressor.load(dangling).t_ == model.t_


def test_an_error_names_the_path_that_was_given(saved, tmp_path):
    model, _ = saved
    with pytest.raises(FileNotFoundError, match="nowhere/model"):
        model.save(tmp_path / "nowhere" / "model")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        model.save(tmp_path)


def test_what_is_no_file_is_written_to_and_not_replaced(saved):
    model, path = saved
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    content = []
    reader = threading.Thread(target=lambda: content.append(pipe.read_bytes()))
    reader.start()
    model.save(pipe)
    reader.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert BackpropRegressor.load(io.BytesIO(content[0])).t_ == model.t_


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_what_is_no_file_is_not_waited_for(saved, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", tmp_path / "pipe", str(tmp_path / "pipe")):
        for load in (BackpropRegressor.load, BackpropEnsembleRegressor.load, load_pipeline):
            with pytest.raises(ValueError, match="is not a file but a pipe or a device"):
                load(path)
    numbers = os.pipe()
    with open(numbers[0], "rb") as stream, pytest.raises(ValueError, match="can't be gone back in"):
        BackpropRegressor.load(stream)
    os.close(numbers[1])


def test_many_may_save_to_one_path_and_all_may_load_it(saved, beside):
    model, path = saved
    errors = []

    def save():
        try:
            for _ in range(10):
                model.save(path)
        except BaseException as error:
            errors.append(error)

    savers = [threading.Thread(target=save) for _ in range(3)]
    for saver in savers:
        saver.start()
    while any(saver.is_alive() for saver in savers):
        assert BackpropRegressor.load(path).t_ == model.t_
    assert not errors
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_stream_of_compressed_bytes_takes_a_model(table, tmp_path):
    """It says that it can go back, and can't; the archive is a whole one in it."""
    model = founding(**QUICK).partial_fit(*table)
    with gzip.open(tmp_path / "model.gz", "wb") as file:
        file.write(b"before it")
        model.save(file)
    with gzip.open(tmp_path / "model.gz") as file:
        assert_array_equal(BackpropRegressor.load(file).predict(table[0]), model.predict(table[0]))
