"""`from_sklearn` and `to_sklearn`: the same model there and here, and the same when it goes on."""

import copy
import importlib
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropEnsembleRegressor, BackpropRegressor

#: So that both take the samples in the same order.
SHARED = {
    "hidden_layer_sizes": (6, 4), "activation": "tanh", "max_iter": 4, "random_state": 0,
    "shuffle": False, "batch_size": 16,
}  # fmt: skip

SOLVERS = {
    "adam": {"solver": "adam", "learning_rate_init": 0.01, "alpha": 0.1, "epsilon": 1e-3},
    "sgd": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.01},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.01, "alpha": 0.1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05},
    "adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.1,
        "max_iter": 9, "learning_rate_init": 0.01,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def unfinished_and_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def assert_the_same(ours, peer, rtol=1e-9):
    for name in ("coefs_", "intercepts_"):
        for mine, theirs in zip(getattr(ours, name), getattr(peer, name), strict=True):
            assert_allclose(mine, theirs, rtol=rtol, atol=rtol)
    assert ours.n_iter_ == peer.n_iter_
    assert ours.t_ == peer.t_


def go_on(model, X, y):
    """Some rows, and all of them, as a stream brings them."""
    for rows in (slice(0, 40), slice(0, 60)):
        model.partial_fit(X[rows], y[rows])
    return model


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_mlpregressor_moves_here_and_goes_on_as_it_would(solver, standard_table):
    peer = MLPRegressor(**SHARED | SOLVERS[solver]).fit(*standard_table)
    ours = BackpropRegressor.from_sklearn(peer)
    assert_the_same(ours, peer, rtol=0)
    assert_allclose(ours.predict(standard_table[0]), peer.predict(standard_table[0]), rtol=1e-10)
    assert ours.loss_curve_ == peer.loss_curve_
    assert_the_same(go_on(ours, *standard_table), go_on(peer, *standard_table))
    assert_allclose(ours.loss_curve_, peer.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "half_squared_error"])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("solver", SOLVERS)
def test_ours_moves_to_scikit_learn_and_goes_on_as_it_would(solver, n_outputs, loss, two_outputs):
    X, Y = two_outputs[0], two_outputs[1][:, :n_outputs].squeeze()
    params = {"loss": loss, "standardize": False, "dtype": "float64"}
    ours = founding(**SHARED | {"learning_rate": "constant"} | SOLVERS[solver] | params).fit(X, Y)
    peer = ours.to_sklearn()
    assert type(peer) is MLPRegressor
    assert_the_same(ours, peer, rtol=0)
    assert_allclose(peer.predict(X), ours.predict(X), rtol=1e-10)
    part = 1 / (2 * n_outputs) if loss == "squared_error" else 1
    assert_the_same(go_on(ours, X, Y), go_on(peer, X, Y))
    if n_outputs == 1 or peer.alpha == 0:  # else the penalty is another part of it
        assert_allclose(peer.loss_curve_, part * np.array(ours.loss_curve_), rtol=1e-9)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_step_size_that_was_set_moves_too(solver, standard_table):
    params = {"solver": solver, "standardize": False, "dtype": "float64", "shuffle": False}
    ours = founding((3,), **params, learning_rate="constant", random_state=0)
    ours.partial_fit(*standard_table).set_params(learning_rate_init=0.003)
    peer = ours.to_sklearn()
    assert_the_same(ours.partial_fit(*standard_table), peer.partial_fit(*standard_table))
    ours = BackpropRegressor.from_sklearn(peer).set_params(learning_rate_init=0.02)
    assert ours.partial_fit(*standard_table).learning_rate_init_ == 0.02


def test_a_model_that_moves_twice_is_what_it_was(standard_table):
    X, y = standard_table
    peer = MLPRegressor(**SHARED | SOLVERS["adam"]).fit(X, y)
    again = BackpropRegressor.from_sklearn(peer).to_sklearn()
    assert again.get_params() == peer.get_params()
    assert (again._optimizer.t, again.best_loss_) == (peer._optimizer.t, peer.best_loss_)
    assert again._no_improvement_count == peer._no_improvement_count
    for name in ("ms", "vs"):
        for a, b in zip(
            getattr(again._optimizer, name), getattr(peer._optimizer, name), strict=True
        ):
            assert_array_equal(a, b)
    assert_the_same(go_on(again, X, y), go_on(peer, X, y), rtol=0)


def test_a_moved_model_lives_its_own_life(standard_table):
    peer = MLPRegressor(**SHARED | SOLVERS["nesterov"]).fit(*standard_table)
    before = copy.deepcopy(peer)
    ours = go_on(BackpropRegressor.from_sklearn(peer), *standard_table)
    assert_the_same(peer, before, rtol=0)
    after = copy.deepcopy(ours)
    go_on(ours.to_sklearn(), *standard_table)
    assert_the_same(ours, after, rtol=0)
    assert ours.loss_curve_ == after.loss_curve_
    moved = BackpropRegressor.from_sklearn(peer)
    for array in (*moved.coefs_, *moved.intercepts_):  # a user may write to the weights
        array[:] = 0.0
    assert_the_same(peer, before, rtol=0)


def test_a_moved_model_can_be_saved(standard_table, tmp_path):
    peer = MLPRegressor(**SHARED | SOLVERS["adam"]).fit(*standard_table)
    BackpropRegressor.from_sklearn(peer).save(tmp_path / "model.npz")
    loaded = BackpropRegressor.load(tmp_path / "model.npz")
    assert_allclose(loaded.predict(standard_table[0]), peer.predict(standard_table[0]), rtol=1e-10)


def test_single_precision_stays_single(standard_table):
    X, y = (a.astype(np.float32) for a in standard_table)
    peer = MLPRegressor(**SHARED | SOLVERS["adam"]).fit(X, y)
    assert peer.predict(X).dtype == BackpropRegressor.from_sklearn(peer).predict(X).dtype == "f4"


def test_standardised_columns_are_folded_into_the_weights(table):
    X, y = table
    peer = founding(**SHARED | {"hidden_layer_sizes": (5,)}).fit(X, y).to_sklearn()
    ours = founding(**SHARED | {"hidden_layer_sizes": (5,)}).fit(X, y)
    assert_allclose(peer.predict(X), ours.predict(X), rtol=1e-5)
    peer.partial_fit(X, y)  # from a new optimiser: the old one's units are not those of the table


def test_what_auto_became_is_said_there_as_numbers(table):
    ours = BackpropRegressor((4, 4), max_iter=3, random_state=0).fit(*table)
    params = ours.to_sklearn().get_params()
    assert (params["batch_size"], params["learning_rate_init"]) == (60, 0.01)
    assert (params["learning_rate"], params["early_stopping"]) == ("constant", False)


def test_an_unfitted_mlpregressor_is_taken_at_its_word(standard_table):
    X, y = standard_table
    peer = MLPRegressor(**SHARED | SOLVERS["adam"], loss="poisson")
    ours = BackpropRegressor.from_sklearn(peer)
    assert_the_same(ours.fit(X, np.exp(y)), peer.fit(X, np.exp(y)))
    assert_allclose(ours.to_sklearn().predict(X), peer.predict(X), rtol=1e-9)


def test_lbfgs_and_names_of_columns_move(table):
    pandas = pytest.importorskip("pandas")
    X, y = pandas.DataFrame(table[0], columns=["a", "b", "c"]), table[1]
    peer = MLPRegressor(**SHARED | {"solver": "lbfgs"}).fit(X, y)
    ours = BackpropRegressor.from_sklearn(peer)
    assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        ours.predict(X.rename(columns={"a": "z"}))
    assert_allclose(ours.to_sklearn().predict(X), peer.predict(X), rtol=1e-12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"activation": "silu"}, "no activation 'silu'"),
        ({"activation": ["tanh", "relu"]}, r"one activation.*\['relu', 'tanh'\]"),
        ({"encoding": "periodic"}, "no encodings"),
        ({"loss": "quantile", "loss_parameter": [0.1, 0.9]}, "no several quantiles"),
    ],
)
def test_what_scikit_learn_cannot_express_is_refused(params, message, standard_table):
    model = founding(**SHARED | {"max_iter": 1} | params).fit(*standard_table)
    with pytest.raises(ValueError, match=message):
        model.to_sklearn()


def test_a_loss_that_they_lack_predicts_the_same_there_with_a_warning(standard_table):
    X, y = standard_table
    ours = founding(**SHARED | {"loss": "quantile", "dtype": "float64"}).fit(X, y)
    with pytest.warns(UserWarning, match="no loss 'quantile'"):
        peer = ours.to_sklearn()
    assert_allclose(peer.predict(X), ours.predict(X), rtol=1e-9)


def test_only_fitted_models_move_there_and_only_regressors_here():
    with pytest.raises(NotFittedError):
        BackpropRegressor().to_sklearn()
    with pytest.raises(TypeError, match="MLPClassifier"):
        BackpropRegressor.from_sklearn(MLPClassifier())


def test_an_onnx_file_of_a_moved_model_predicts_the_same(table):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    X, y = table[0].astype(np.float32), table[1]
    model = founding(**SHARED).fit(X, y)
    file = skl2onnx.to_onnx(model.to_sklearn(), X[:1]).SerializeToString()
    session = onnxruntime.InferenceSession(file)
    got = session.run(None, {session.get_inputs()[0].name: X})[0]
    assert_allclose(got.ravel(), model.predict(X), rtol=1e-4)


def in_pmml(path, X):
    """What the neural network of a PMML file says of rows of standardised columns."""
    tree = ElementTree.parse(path).getroot()
    network = next(each for each in tree if each.tag.endswith("}NeuralNetwork"))
    ids = [each.attrib["id"] for each in network.iter() if each.tag.endswith("}NeuralInput")]
    values = dict(zip(ids, X.T, strict=True))
    for layer in (each for each in network if each.tag.endswith("}NeuralLayer")):
        name = layer.attrib.get("activationFunction", network.attrib["activationFunction"])
        sigma = {"tanh": np.tanh, "identity": lambda z: z}[name]
        for neuron in layer:
            z = float(neuron.attrib["bias"])
            z += sum(float(con.attrib["weight"]) * values[con.attrib["from"]] for con in neuron)
            values[neuron.attrib["id"]] = sigma(z)
    return values[neuron.attrib["id"]]


@pytest.mark.filterwarnings("ignore")  # nyoka's own
def test_a_pmml_file_of_a_moved_model_predicts_the_same(table, tmp_path):
    nyoka = pytest.importorskip("nyoka")
    X, y = table
    pipeline = make_pipeline(StandardScaler()).fit(X)
    Z = pipeline.transform(X)
    model = founding(**SHARED | {"hidden_layer_sizes": (3, 2), "activation": "tanh"}).fit(Z, y)
    pipeline.steps.append(("network", model.to_sklearn()))
    nyoka.skl_to_pmml(pipeline, ["a", "b", "c"], "y", str(tmp_path / "model.pmml"))
    assert_allclose(in_pmml(tmp_path / "model.pmml", Z), model.predict(Z), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")  # emlearn's own
def test_a_program_that_emlearn_makes_of_a_moved_model_predicts_the_same(
    table, tmp_path, monkeypatch
):
    emlearn = pytest.importorskip("emlearn")
    monkeypatch.chdir(tmp_path)  # it leaves files where it is
    X, y = table
    model = founding(**SHARED | {"hidden_layer_sizes": (3, 2), "activation": "relu"}).fit(X, y)
    theirs = emlearn.convert(model.to_sklearn(), method="loadable", return_type="regressor")
    said = np.ravel(theirs.predict(X))
    assert_allclose(said, model.predict(X), rtol=1e-5, atol=1e-5)  # in float32


def test_skl2onnx_converts_a_pipeline_that_ends_in_a_network(table):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    importlib.import_module("fastbp.skl2onnx")
    X, y = table[0].astype(np.float32), np.column_stack([table[1], -table[1]])
    one = founding(**SHARED)
    for network in (one, BackpropEnsembleRegressor(one, n_estimators=2)):
        model = make_pipeline(StandardScaler(), network).fit(X, y)
        file = skl2onnx.to_onnx(model, X[:1]).SerializeToString()
        session = onnxruntime.InferenceSession(file)
        (got,) = session.run(None, {session.get_inputs()[0].name: X})
        assert_allclose(got, model.predict(X), rtol=1e-4, atol=1e-5)
