"""`BackpropRegressor`: what it takes, what it refuses, and what comes of going on with it."""

import copy
import doctest
import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import InvalidParameterError

import fastbp
from fastbp import BackpropEnsembleRegressor, BackpropRegressor, estimator
from fastbp.fitting import solvers

QUICK = {
    "hidden_layer_sizes": (4,), "max_iter": 5, "n_iter_no_change": np.inf, "random_state": 0,
}  # fmt: skip


def weights_of(model):
    return np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])


def named(X):
    return pd.DataFrame(X, columns=["speed", "angle", "chord"])


class Named(BackpropRegressor):
    """As users have them: with parameters of their own."""

    def __init__(self, title="", hidden_layer_sizes=(4,)):
        super().__init__(hidden_layer_sizes, max_iter=3, early_stopping=False, random_state=0)
        self.title = title


# ----------------------------------------------------------------------------- bad input

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X @ [1.0, 2.0, 3.0]
HOLED, ENDLESS = X.copy(), X.copy()
HOLED[3, 1], ENDLESS[3, 1] = np.nan, np.inf

BAD_PARAMETERS = {
    "linear_part": ["ridge", "", True, False, 1],
    "hidden_layer_sizes": [0, -1, (5, 0), 2.5, (2.5,), "50", None, [[5]], (5, "5"), {5}],
    "activation": ["sigmoid", "", None, 3, ["tanh", "tanh"], [], ["sigmoid"], [None], [["tanh"]]],
    "loss": ["mse", None, 1],
    "solver": ["SGD", "", None, 0],
    "init": ["uniform", None, 1],
    "encoding": ["spline", 1, [], ["periodic", "spline"], ["auto"], [["periodic"]]],
    "loss_parameter": ["0.5", np.nan, 0.5],
    "alpha": [-1e-9, "0", None, np.nan],
    "warmup_fraction": [-0.1, 1.0, "0.1", np.nan],
    "weight_decay": [-1e-9, "0", None, np.nan],
    "max_grad_norm": [0, -1, "1", np.nan],
    "dropout": [-0.1, 1.0, "0.5", None, np.nan, [0.1, 0.1], [], [1.0], ["0.1"], [[0.1]], [np.nan]],
    "ema_decay": [-0.1, 1.0, "0.9", np.nan],
    "batch_size": [0, -1, 1.5, "all", None],
    "learning_rate": ["slow", None, 0.1],
    "learning_rate_init": [0, -0.1, "0.1", None, np.nan],
    "power_t": [-1, "0.5", None],
    "max_iter": [0, -1, 1.5, None, np.inf],
    "shuffle": ["yes", 2, None],
    "random_state": [-1, "0", 0.5],
    "tol": [-1e-4, "0", None],
    "verbose": ["yes", -1, None],
    "warm_start": ["yes", 2, None],
    "momentum": [-0.1, 1.1, None, np.nan],
    "nesterovs_momentum": ["yes", 2, None],
    "early_stopping": ["yes", 2, None],
    "validation_fraction": [-0.1, 1.0, 1.5, None],
    "scoring": ["", "R2", 1, ["r2"], np.nan],
    "beta_1": [-0.1, 1.0, None],
    "beta_2": [-0.1, 1.0, None],
    "epsilon": [0, -1e-8, None],
    "n_iter_no_change": [0, -1, 1.5, None],
    "max_fun": [0, -1, 1.5, None],
    "missing_targets": ["skip", True, None, np.nan],
    "standardize": ["yes", 2, None],
    "dtype": ["float16", "double", np.int64, 32],
    "n_threads": [0, -1, 1.5, "all"],
    "max_time": [0, -1, "1 s", np.nan],
}

BAD_SAMPLES = {
    "NaN in X": ((HOLED, Y), "NaN"),
    "infinity in X": ((ENDLESS, Y), "infinity"),
    "NaN in y": ((X, HOLED[:, 1]), "NaN"),
    "infinity in y": ((X, ENDLESS[:, 1]), "infinity"),
    "NaN in a sparse X": ((sparse.csr_array(HOLED), Y), "NaN"),
    "NaN in weights": ((X, Y, HOLED[:, 1]), "NaN"),
    "infinite weights": ((X, Y, ENDLESS[:, 1]), "infinity"),
    "X of one dimension": ((Y, Y), "2D array"),
    "X of three dimensions": ((X[None], Y[:1]), "dim 3"),
    "no rows": ((X[:0], Y[:0]), "0 sample"),
    "no columns": ((X[:, :0], Y), "0 feature"),
    "fewer targets than rows": ((X, Y[:-1]), "inconsistent numbers of samples"),
    "y of three dimensions": ((X, Y[:, None, None]), "dim 3"),
    "no y": ((X, None), "requires y"),
    "one number as y": ((X[:1], 3.0), "at least 1 dimension"),
    "complex X": ((X + 1j, Y), "[Cc]omplex"),
    "complex y": ((X, Y + 1j), "[Cc]omplex"),
    "text in X": (([*X.astype(object).tolist()[:-1], ["a", "b", "c"]], Y), "could not convert"),
    "text as target": ((X, np.array(["fast", "slow"] * 10)), "y must be numeric"),
    "digits as target": ((X, Y.astype(str)), "y must be numeric"),
    "objects as target": ((X, np.array(["fast", "slow"] * 10, object)), "could not convert"),
    "dates as target": ((X, np.arange(20).astype("M8[s]")), "y holds dates"),
    "negative weights": ((X, Y, -np.ones(20)), "[Nn]egative"),
    "weights all zero": ((X, Y, np.zeros(20)), "at least one non-zero"),
    "too few weights": ((X, Y, np.ones(19)), "sample_weight"),
    "weights of two dimensions": ((X, Y, np.ones((20, 2))), "[Ss]ample.weight"),
    "values beyond float32": ((np.copysign(1.7e308, X), Y), "too large"),
}


@pytest.fixture
def no_training(monkeypatch):
    """Training is work, and work on bad input is an error."""

    def refuse(*args, **kwargs):
        pytest.fail("training began")

    monkeypatch.setattr(solvers, "fit", refuse)


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name, values in BAD_PARAMETERS.items() for v in values]
)
def test_a_bad_parameter_is_refused_by_name(name, value, no_training):
    model = founding(**{name: value})
    for method in (model.fit, model.partial_fit):
        with pytest.raises((ValueError, TypeError), match=name):
            method(X, Y)


@pytest.fixture(scope="module")
def fitted():
    return founding(**QUICK).fit(X, Y)


@pytest.mark.parametrize(
    ("name", "value"), [(name, v) for name, values in BAD_PARAMETERS.items() for v in values]
)
def test_a_bad_parameter_is_refused_after_a_fit_as_well(name, value, fitted):
    model = copy.deepcopy(fitted).set_params(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name):
        model.partial_fit(X, Y)
    assert_array_equal(weights_of(model), weights_of(fitted))


@pytest.mark.parametrize(
    ("name", "value"),
    [("alpha", np.nan), ("max_time", "x"), ("ema_decay", 2), ("momentum", 5), ("batch_size", 0),
     ("dtype", "float16"), ("activation", "foo"), ("n_threads", 0)],
)  # fmt: skip
def test_what_takes_all_parameters_of_a_fitted_model_looks_at_them(name, value, fitted):
    model = copy.deepcopy(fitted).set_params(**{name: value})
    for method in (model.partial_fit, model.loss_gradient, lambda *_: model.to_sklearn()):
        with pytest.raises(InvalidParameterError, match=name):
            method(X, Y)


@pytest.mark.parametrize("value", [0, -1, 2.5, "2", [2]])
def test_no_threads_predict_nothing(value, fitted):
    """None at all would wait for one another for ever."""
    model = copy.deepcopy(fitted).set_params(n_threads=value)
    for method in (lambda *_: model.predict(X), model.score):
        with pytest.raises(InvalidParameterError, match="n_threads"):
            method(X, Y)


def test_from_sklearn_looks_at_parameters():
    mlp = founding(**QUICK).fit(X, Y).to_sklearn().set_params(activation="foo")
    with pytest.raises(InvalidParameterError, match="activation"):
        BackpropRegressor.from_sklearn(mlp)


def test_an_array_without_dimensions_is_its_one_value():
    given = {"hidden_layer_sizes": 4, "activation": "tanh", "encoding": "periodic", "dropout": 0.5}
    plain = vars(founding(**given)._settings())
    settings = vars(founding(**{name: np.array(v) for name, v in given.items()})._settings())
    for name in ("hidden", "activations", "encoding", "dropout"):
        assert settings[name] == plain[name]


@pytest.mark.parametrize(
    ("name", "right", "wrong"), [("warm_start", True, 1), ("hidden_layer_sizes", 3, 3.0)]
)
def test_what_is_right_of_one_type_is_not_so_of_another(name, right, wrong):
    assert right == wrong
    founding(max_iter=1, n_iter_no_change=np.inf, **{name: right}).fit(X, Y)
    with pytest.raises(ValueError, match=name):
        founding(**{name: wrong}).fit(X, Y)


def test_every_parameter_has_its_bad_values_tested():
    assert BAD_PARAMETERS.keys() == BackpropRegressor().get_params().keys()


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("what", BAD_SAMPLES)
def test_bad_samples_are_refused_with_a_reason(what, standardize, no_training):
    samples, message = BAD_SAMPLES[what]
    model = founding(standardize=standardize)
    for method in (model.fit, model.partial_fit):
        with pytest.raises((ValueError, TypeError), match=message):
            method(*samples)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize("what", [what for what in BAD_SAMPLES if "beyond" not in what])
def test_bad_validation_samples_are_refused_with_a_reason(what, no_training):
    (X_val, y_val, *weight), message = BAD_SAMPLES[what]
    if y_val is None:
        message = "X_val and y_val must be given together"
    with pytest.raises((ValueError, TypeError), match=message):
        founding().fit(X, Y, X_val=X_val, y_val=y_val, sample_weight_val=next(iter(weight), None))


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ({"X_val": X}, "together"),
        ({"y_val": Y}, "together"),
        ({"sample_weight_val": np.ones(20)}, "X_val"),
        ({"X_val": X[:, :2], "y_val": Y}, "2 features.*3 features"),
        ({"X_val": X, "y_val": np.column_stack([Y, Y])}, "2 outputs"),
    ],
)
def test_validation_samples_must_match_those_of_training(held_out, message, no_training):
    with pytest.raises(ValueError, match=message):
        founding().fit(X, Y, **held_out)


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        (0.1, "Increase validation_fraction"),
        (0.0, "Increase validation_fraction"),
        (0.99, "validation_fraction=0.99 leaves none of 9 rows to train on"),
    ],
)
def test_a_validation_set_leaves_two_parts(fraction, message, no_training):
    with pytest.raises(ValueError, match=message):
        founding(early_stopping=True, validation_fraction=fraction).fit(X[:9], Y[:9])
    if fraction != 0.1:
        message = message.replace("9 rows", "60 rows")
        A, b = np.resize(X, (60, X.shape[1])), np.resize(Y, 60)
        with pytest.raises(ValueError, match=message):
            founding(early_stopping="refit", validation_fraction=fraction).fit(A, b)


def test_early_stopping_makes_no_sense_in_partial_fit(no_training):
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        founding(early_stopping=True).partial_fit(X, Y)


@pytest.mark.parametrize("method", ["predict", "loss_gradient", "score", "to save"])
def test_what_needs_a_fitted_model_says_so(method, tmp_path):
    model = founding()
    calls = {"predict": lambda: model.predict(X), "to save": lambda: model.save(tmp_path / "m")}
    calls |= {
        name: lambda name=name: getattr(model, name)(X, Y) for name in ("loss_gradient", "score")
    }
    with pytest.raises(NotFittedError, match="not fitted yet"):
        calls[method]()


@pytest.mark.parametrize("bad", ["NaN in X", "infinity in X", "X of one dimension", "complex X"])
def test_predict_refuses_what_fit_refuses(bad):
    (X_bad, *_), message = BAD_SAMPLES[bad]
    with pytest.raises(ValueError, match=message):
        founding(**QUICK).fit(X, Y).predict(X_bad)


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_more_or_fewer_features_than_at_fit_are_refused(columns):
    model = founding(**QUICK).fit(X, Y)
    wrong = np.zeros((4, columns))
    message = f"X has {columns} features.*expecting 3"
    for method in (
        model.predict,
        lambda A: model.partial_fit(A, Y[:4]),
        lambda A: model.loss_gradient(A, Y[:4]),
    ):
        with pytest.raises(ValueError, match=message):
            method(wrong)


def test_partial_fit_refuses_another_number_of_outputs():
    model = founding(**QUICK).fit(X, Y)
    with pytest.raises(ValueError, match="y has 2 outputs, 1 are expected"):
        model.partial_fit(X, np.column_stack([Y, Y]))


# ------------------------------------------------- parameters that change after the fit


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_layer_sizes": (50, 50)}, {"hidden_layer_sizes": (2,)}, {"hidden_layer_sizes": ()},
        {"activation": "relu"}, {"activation": ["tanh", "relu"]}, {"standardize": False},
        {"dtype": "float64"},
    ],
    ids=str,
)  # fmt: skip
def test_predictions_are_those_of_the_fitted_network_whatever_the_parameters_become(changed):
    model = founding(**QUICK).fit(X, Y)
    expected = model.predict(X)
    assert_array_equal(model.set_params(**changed).predict(X), expected)


@pytest.mark.parametrize("hidden", [(50, 50), (2,), ()])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_with_another_network_is_refused(method, hidden):
    model = founding(**QUICK, warm_start=True).fit(X, Y)
    model.set_params(hidden_layer_sizes=hidden)
    with pytest.raises(ValueError, match=r"\[3, 4, 1\].*hidden_layer_sizes.*warm_start=False"):
        getattr(model, method)(X, Y)


@pytest.mark.parametrize(
    "change",
    [
        {"solver": "adam"}, {"momentum": 0.9}, {"dtype": "float64"}, {"standardize": False},
        {"batch_size": 7}, {"loss": "half_squared_error"}, {"learning_rate": "adaptive"},
    ],
    ids=str,
)  # fmt: skip
def test_partial_fit_may_go_on_with_other_parameters(change):
    """With another optimiser, that one starts anew: its memory has another size."""
    model = founding(**QUICK, momentum=0.0, shuffle=False).fit(X, Y)
    fresh = copy.deepcopy(model).set_params(**change)
    del fresh._optimizer
    model.set_params(**change).partial_fit(X, Y)
    assert_allclose(weights_of(model), weights_of(fresh.partial_fit(X, Y)), rtol=1e-6)


def test_nesterovs_momentum_does_not_go_on_with_plain_momentums_memory():
    """Which is of the same size."""
    model = founding(**QUICK, nesterovs_momentum=False, momentum=0.9, shuffle=False).fit(X, Y)
    fresh = copy.deepcopy(model).set_params(nesterovs_momentum=True)
    del fresh._optimizer
    model.set_params(nesterovs_momentum=True).partial_fit(X, Y)
    assert_allclose(weights_of(model), weights_of(fresh.partial_fit(X, Y)), rtol=1e-6)


@pytest.mark.parametrize("part", ["coefs_", "intercepts_"])
def test_weights_of_a_wrong_shape_are_refused(part):
    model = founding(**QUICK).fit(X, Y)
    getattr(model, part)[0] = np.zeros((7,) * getattr(model, part)[0].ndim)
    with pytest.raises(ValueError, match=r"shape|layers"):
        model.predict(X)


def test_whoever_changes_the_weights_changes_the_model():
    model = founding(**QUICK).fit(X, Y)
    before = model.predict(X)
    model.intercepts_[-1] += 10
    assert_allclose(model.predict(X), before + 10, rtol=1e-5)


# --------------------------------------------------------------------- forms of input


def test_column_names_are_remembered_and_checked(table):
    frame = named(table[0])
    model = founding(**QUICK).fit(frame, table[1])
    assert_array_equal(model.feature_names_in_, ["speed", "angle", "chord"])
    assert_array_equal(model.predict(frame), model.fit(frame, table[1]).predict(frame))
    with pytest.raises(ValueError, match="same order"):
        model.predict(frame[["angle", "speed", "chord"]])
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- span"):
        model.predict(frame.rename(columns={"chord": "span"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(table[0])
    assert not hasattr(model.fit(*table), "feature_names_in_")
    model.predict(table[0])  # without a warning


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_array, sparse.csr_matrix])
@pytest.mark.parametrize("params", [{}, {"standardize": False}, {"early_stopping": True}], ids=str)
def test_a_sparse_table_is_trained_on_as_a_dense_one(params, form, standard_table):
    X, y = np.where(standard_table[0] > 0, standard_table[0], 0), standard_table[1]
    dense = founding(**QUICK | params).fit(X, y)
    model = founding(**QUICK | params).fit(form(X), y)
    assert_allclose(weights_of(model), weights_of(dense), rtol=1e-6)
    assert_allclose(model.predict(form(X)), dense.predict(X), rtol=1e-5)
    assert_allclose(model.loss_gradient(form(X), y)[0], dense.loss_gradient(X, y)[0], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", None])
@pytest.mark.parametrize("of_x", ["float32", "float64"])
def test_precision_follows_dtype_and_x(of_x, dtype, standard_table):
    X, y = (a.astype(of_x) for a in standard_table)
    model = founding(**QUICK, dtype=dtype, standardize=False).fit(X, y)
    assert model.coefs_[0].dtype == (dtype or of_x)
    assert model.predict(X).dtype == np.result_type(of_x, dtype or of_x)


def test_a_column_as_y_warns_and_is_taken_as_one_output(table):
    X, y = table
    with pytest.warns(DataConversionWarning, match="column-vector y") as said:
        model = founding(**QUICK).fit(X, y[:, None])
    assert {warning.filename for warning in said} == {__file__}
    assert_array_equal(model.predict(X), founding(**QUICK).fit(X, y).predict(X))
    assert model.predict(X).shape == (60,)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("columns", [1, 3])
def test_the_smallest_tables_are_trained_on(columns, rows, method):
    model = founding(**QUICK)
    getattr(model, method)(X[:rows, :columns], Y[:rows])
    assert model.predict(X[:rows, :columns]).shape == (rows,)
    assert np.isfinite(weights_of(model)).all()


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 4096, 4097, 10_000])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_any_number_of_rows_is_predicted_alike(n_outputs, n, two_outputs):
    X, Y = two_outputs
    model = founding(**QUICK).fit(X, Y[:, :n_outputs].squeeze())
    rows = np.arange(n) % 60
    assert_allclose(model.predict(X[rows]), model.predict(X)[rows], rtol=1e-5, atol=1e-6)


def test_score_is_the_weighted_r2(table):
    X, y = table
    model, weight = founding(**QUICK).fit(X, y), np.linspace(0, 1, 60)
    assert model.score(X, y, weight) == r2_score(y, model.predict(X), sample_weight=weight)


# -------------------------------------------------------------- warm start, partial fit


def test_a_warm_start_goes_on_from_the_present_weights(standard_table):
    params = QUICK | {"standardize": False, "dtype": "float64", "momentum": 0.0, "shuffle": False}
    whole = founding(**params | {"max_iter": 10}).fit(*standard_table)
    model = founding(**params, warm_start=True)
    model.fit(*standard_table).fit(*standard_table)
    assert_array_equal(weights_of(model), weights_of(whole))
    assert model.loss_curve_ == whole.loss_curve_
    assert (model.n_iter_, model.t_) == (5, 10 * 60)


@pytest.mark.parametrize("copied", [copy.copy, lambda model: copy.copy(copy.copy(model))])
def test_a_copy_that_goes_on_leaves_the_original_its_curves(copied, table):
    model = founding(**QUICK, warm_start=True, early_stopping=True).fit(*table)
    names = "loss_curve_", "validation_loss_curve_", "validation_scores_"
    before = [getattr(model, name).copy() for name in names]
    other = copied(model).fit(*table)
    assert [getattr(model, name) for name in names] == before
    assert [len(getattr(other, name)) for name in names] == [10, 10, 10]
    model = founding(**QUICK).fit(*table)
    copied(model).partial_fit(*table)
    assert len(model.loss_curve_) == 5


@pytest.mark.parametrize("name", ["coefs_", "intercepts_", "encoding_", "linear_part_"])
def test_before_a_fit_nothing_is_known_and_the_error_names_it(name):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'$"):
        getattr(BackpropRegressor(), name)


def test_a_warm_start_knows_the_best_of_all_epochs(table):
    """What comes later is worse: another table."""
    X, y = table
    model = founding(**QUICK, warm_start=True).fit(X, y).fit(X, -y)
    assert model.best_loss_ == min(model.loss_curve_[:5]) < min(model.loss_curve_[5:])
    assert model.partial_fit(X, -y).best_loss_ == min(model.loss_curve_[:5])
    model = founding(**QUICK, warm_start=True, early_stopping=True).fit(X, y).fit(X, -y)
    scores = model.validation_scores_
    assert len(scores) == len(model.validation_loss_curve_) == len(model.loss_curve_) == 10
    assert model.best_validation_score_ == max(scores[:5]) > max(scores[5:])
    model = founding(**QUICK, warm_start=True).fit(X, y)
    model.validation_scores_, model.validation_loss_curve_ = [0.5], [0.5]  # as a pilot leaves them
    model.fit(X, y, X_val=X, y_val=y)
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_


@pytest.mark.parametrize("learning_rate", ["adaptive", "invscaling"])
def test_without_a_warm_start_fit_begins_anew(learning_rate, table):
    model = founding(**QUICK | {"learning_rate": learning_rate}).fit(*table)
    before = weights_of(model)
    model.partial_fit(*table).fit(*table)
    assert_array_equal(weights_of(model), before)
    assert len(model.loss_curve_) == model.n_iter_ == 5


def test_partial_fits_are_the_epochs_of_a_fit(standard_table):
    params = QUICK | {"solver": "adam", "shuffle": False, "standardize": False}
    model = founding(**params)
    for _ in range(5):
        assert model.partial_fit(*standard_table) is model
    whole = founding(**params).fit(*standard_table)
    assert_array_equal(weights_of(model), weights_of(whole))
    assert model.loss_curve_ == whole.loss_curve_
    assert (model.n_iter_, model.t_) == (1, whole.t_)


def test_a_fit_of_one_epoch_is_an_epoch(table):
    model = founding(**QUICK | {"max_iter": 1}).fit(*table)
    assert model.n_iter_ == len(model.loss_curve_) == 1
    assert model.loss_ == model.best_loss_ == model.loss_curve_[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_split_is_what_it_would_be_by_hand(weighted, table):
    """Rows that are held out have no part in the training, nor in the scaling; weights go along."""
    X, y = table
    s = np.random.default_rng(1).uniform(0, 2, 60) if weighted else None
    params = QUICK | {"shuffle": False, "dtype": "float64", "warm_start": True}
    params |= {"early_stopping": True, "validation_fraction": 0.3, "learning_rate_init": 0.1}
    # Going on draws no first weights: the split is the first that is drawn.
    start = founding(**params | {"max_iter": 1}).fit(X, y).set_params(max_iter=5)
    model, other = copy.deepcopy(start).fit(X, y, s), copy.deepcopy(start)
    random = np.random.RandomState(0)
    train, held_out = train_test_split(np.arange(60), test_size=0.3, random_state=random)
    s_train, s_val = (None, None) if s is None else (s[train], s[held_out])
    validation = {"X_val": X[held_out], "y_val": y[held_out], "sample_weight_val": s_val}
    other.fit(X[train], y[train], s_train, **validation)
    assert_allclose(weights_of(model), weights_of(other), rtol=1e-8)
    assert_allclose(model.loss_curve_, other.loss_curve_, rtol=1e-8)
    assert_allclose(model.validation_scores_, other.validation_scores_, rtol=1e-8)
    assert model.best_validation_score_ == max(model.validation_scores_)


# ------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_defaults_learn_a_raw_table(scale, table):
    X, y = table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = founding(random_state=0).fit(X * scale, y * scale)
    assert model.score(X * scale, y * scale) > 0.94


# --------------------------------------------------------------------------------- words


def test_the_examples_of_the_docstrings_run():
    results = doctest.testmod(estimator)
    assert results.failed == 0
    assert results.attempted >= 10


def test_every_parameter_is_described_and_has_a_range():
    parameters = BackpropRegressor().get_params().keys()
    assert BackpropRegressor._parameter_constraints.keys() == parameters
    described = inspect.getdoc(BackpropRegressor)
    for name in parameters:
        assert f"\n{name} : " in described or f"{name}, " in described or f", {name} :" in described


def test_everything_public_is_documented():
    for name in fastbp.__all__:
        assert inspect.getdoc(getattr(fastbp, name))
    for name, method in inspect.getmembers(BackpropRegressor, inspect.isfunction):
        if not name.startswith("_") and method.__module__.startswith("fastbp"):
            assert inspect.getdoc(method), name


def test_a_fit_that_fails_leaves_the_model_with_its_columns(table):
    X, y = table
    model = founding(**QUICK).fit(named(X), y)
    before = model.predict(named(X))
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(learning_rate_init=1e30).fit(X[:, :2], y)
    assert_array_equal(model.predict(named(X)), before)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(named(X)[["speed", "angle"]])


def test_rows_without_weight_are_not_held_out(table):
    X, y = table
    weight = np.zeros(60)
    weight[:25] = 1
    params = QUICK | {"early_stopping": True, "validation_fraction": 0.2}
    model = founding(**params).fit(X, y, weight)
    assert np.isfinite(model.validation_scores_).all()
    alone = founding(**params).fit(X[:25], y[:25])
    assert_allclose(weights_of(model), weights_of(alone), rtol=1e-4, atol=1e-4)


def test_what_is_not_fitted_has_no_weights_to_read_or_replace():
    model = founding()
    assert not hasattr(model, "coefs_")
    with pytest.raises(AttributeError, match="no attribute 'coefs_'"):
        model.coefs_  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'intercepts_'"):
        model.intercepts_ = []


def test_a_subclass_may_have_other_parameters(table, tmp_path):
    X, y = table
    plain = BackpropRegressor((4,), max_iter=3, early_stopping=False, random_state=0).fit(X, y)
    model = clone(Named("mine")).fit(X, y)
    assert_array_equal(model.predict(X), plain.predict(X))
    assert model.loss_gradient(X, y)[0] == plain.loss_gradient(X, y)[0]
    assert_allclose(model.to_sklearn().predict(X), plain.predict(X), rtol=1e-4)
    model.save(tmp_path / "one")
    loaded = Named.load(tmp_path / "one")
    assert (loaded.title, loaded.max_iter) == ("mine", 3)
    members = BackpropEnsembleRegressor(model, 2, random_state=0).fit(X, y)
    expected = BackpropEnsembleRegressor(plain, 2, random_state=0).fit(X, y).predict(X)
    assert type(members.estimators_[0]) is Named
    members.save(tmp_path / "two")
    for each in (members, BackpropEnsembleRegressor.load(tmp_path / "two")):
        assert_array_equal(each.predict(X), expected)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        Named(hidden_layer_sizes=-1).fit(X, y)
    model.alpha = -1
    with pytest.raises(ValueError, match="alpha"):
        model.fit(X, y)


def test_without_descriptions_a_class_is_as_it_is():
    """Python leaves them out with -OO."""
    Bare = type("Bare", (), {})
    assert estimator.documented(Bare) is Bare


@pytest.mark.parametrize("given", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [(), (2,), (50,), (130, 15)], ids=str)
@pytest.mark.parametrize("params", [{}, {"loss": "poisson", "activation": "relu"}], ids=str)
def test_few_rows_are_predicted_as_among_others_to_the_bit(params, hidden, dtype, given, table):
    X, y = table
    Y = np.column_stack([y, y**2, 500 - y])
    kept = {"dtype": dtype, "encoding": None, "linear_part": None, "early_stopping": False}
    model = BackpropRegressor(hidden, max_iter=2, random_state=0, **kept, **params).fit(X, Y)
    X = X.astype(given)
    together = model.predict(X)
    for n in (1, 2, 3, 4, 5):
        assert_array_equal(model.predict(X[-n:]), together[-n:])
