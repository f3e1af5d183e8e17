"""Wrong and odd inputs, side by side with `MLPRegressor`: each ends in the same way."""

import decimal
import fractions
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from test_sklearns_own_tests import under_contract

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(24, 3))
Y = RANDOM.normal(size=24)
Y2 = RANDOM.normal(size=(24, 2))
WEIGHT = RANDOM.uniform(1, 2, 24)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])

PARAMS = {"hidden_layer_sizes": (4,), "max_iter": 2, "batch_size": 8, "random_state": 0}


def changed(A, value, at=(3, 1)):
    """A copy, of objects if need be, one of whose values is another."""
    A = np.array(A, dtype=None if isinstance(value, float) else object)
    A[at] = value
    return A


def read_only(A):
    A = A.copy()
    A.flags.writeable = False
    return A


class ArrayLike:
    """Has nothing but what NumPy asks for."""

    def __array__(self, dtype=None, copy=None):
        return np.array(X, dtype)


#: What stands in the place of X.
X_KINDS = {
    "float64": X,
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "longdouble": X.astype(np.longdouble),
    "big-endian": X.astype(">f8"),
    "big-endian float32": X.astype(">f4"),
    "int64": (9 * X).astype(np.int64),
    "int8": (9 * X).astype(np.int8),
    "uint8": np.abs(9 * X).astype(np.uint8),
    "big-endian integers": (9 * X).astype(">i4"),
    "booleans": X > 0,
    "complex": X + 1j,
    "complex without an imaginary part": X + 0j,
    "objects that are numbers": X.astype(object),
    "objects, one a string": changed(X, "tall"),
    "objects, one a numeral": changed(X, "1.5"),
    "objects, one None": changed(X, None),
    "objects, one a list": changed(X, [1.0]),
    "objects, one a dictionary": changed(X, {}),
    "objects, one complex": changed(X, 1j),
    "objects, one pandas.NA": changed(X, pd.NA),
    "decimals": changed(X, decimal.Decimal("1.5")),
    "fractions": changed(X, fractions.Fraction(1, 3)),
    "integers beyond 64 bits": changed(X, 10**30),
    "strings": X.astype(str),
    "words": np.full(X.shape, "tall"),
    "bytes": X.astype("S8"),
    "bytes objects": changed(X, b"1.5"),
    "Fortran order": np.asfortranarray(X),
    "negative strides": X[::-1, ::-1],
    "every other column": np.repeat(X, 2, axis=1)[:, ::2],
    "a broadcast row": np.broadcast_to(X[:1], X.shape),
    "read-only": read_only(X),
    "unaligned": np.frombuffer(b"_" + X.tobytes(), offset=1).reshape(X.shape),
    "a matrix": lambda: X.view(np.matrix),
    "a memory view": memoryview(np.ascontiguousarray(X)),
    "a record array": X.view(np.recarray),
    "what has __array__": ArrayLike(),
    "lists": X.tolist(),
    "tuples": tuple(map(tuple, X)),
    "a list of arrays": list(X),
    "lists of integers": (9 * X).astype(int).tolist(),
    "lists with None": [[None, 1.0, 2.0], *X[1:].tolist()],
    "lists of strings": X.astype(str).tolist(),
    "ragged lists": [[1.0], *X[1:].tolist()],
    "a list of numbers": X[:, 0].tolist(),
    "an iterator": lambda: iter(X.tolist()),
    "a set": {1.0, 2.0},
    "a dictionary": {"a": 1},
    "a string": "table.csv",
    "None": None,
    "a number": 3.0,
    "a NumPy number": np.float64(3),
    "no dimension": np.array(3.0),
    "one dimension": X[:, 0],
    "three dimensions": X[..., None],
    "a row of one dimension": X[0],
    "one row": X[:1],
    "two rows": X[:2],
    "one column": X[:, :1],
    "another column": np.hstack([X, X[:, :1]]),
    "no row": X[:0],
    "no column": X[:, :0],
    "nothing": np.empty((0, 0)),
    "an empty list": [],
    "a list of an empty list": [[]],
    "one NaN": changed(X, np.nan),
    "one infinity": changed(X, np.inf),
    "both infinities": changed(changed(X, np.inf), -np.inf, (4, 1)),
    "one NaN in float32": changed(X, np.nan).astype(np.float32),
    "all NaN": np.full(X.shape, np.nan),
    "lists with NaN": changed(X, np.nan).tolist(),
    "NaN in booleans' objects": changed(X > 0, np.nan),
    "huge": np.full(X.shape, 1e308),
    "tiny": np.full(X.shape, 5e-324),
    "all zero": np.zeros(X.shape),
    "a masked array": np.ma.masked_array(X, X > 1.5),
    "a masked array without a mask": np.ma.masked_array(X),
    "dates": np.full(X.shape, np.datetime64("2020-01-01")),
    "durations": np.full(X.shape, np.timedelta64(1, "s")),
    "a structured array": np.zeros(24, [("a", float), ("b", float), ("c", float)]),
    "a frame": FRAME,
    "a frame of float32": FRAME.astype(np.float32),
    "a frame of integers and booleans": FRAME.assign(a=range(24), b=X[:, 1] > 0),
    "a frame, columns in another order": FRAME[["c", "a", "b"]],
    "a frame of other names": FRAME.set_axis(["x", "y", "z"], axis=1),
    "a frame, a column more": FRAME.assign(d=1.0),
    "a frame, a column less": FRAME[["a", "b"]],
    "a frame, columns numbered": FRAME.set_axis([0, 1, 2], axis=1),
    "a frame, names of two kinds": FRAME.set_axis(["a", 1, 2], axis=1),
    "a frame, a name twice": FRAME.set_axis(["a", "a", "b"], axis=1),
    "a frame of strings": FRAME.astype(str),
    "a frame, one column of words": FRAME.assign(b="tall"),
    "a frame of categories": FRAME.assign(b=pd.Categorical(range(24))),
    "a frame of categories of words": FRAME.assign(b=pd.Categorical(["s", "t"] * 12)),
    "a frame with NaN": FRAME.where(FRAME < 1),
    "a frame of nullable floats": FRAME.convert_dtypes(),
    "a frame with pandas.NA": FRAME.where(FRAME < 1).convert_dtypes(),
    "a frame of nullable booleans": FRAME.assign(b=pd.array([True, False] * 12, "boolean")),
    "a frame of sparse columns": FRAME.astype(pd.SparseDtype(float, 0.0)),
    "a frame with dates": FRAME.assign(b=pd.Timestamp("2020-01-01")),
    "an empty frame": FRAME[:0],
    "a series": FRAME["a"],
    "csr": sparse.csr_array(X),
    "csr_matrix": sparse.csr_matrix(X),
    "csc": sparse.csc_array(X),
    "coo": sparse.coo_array(X),
    "dok": sparse.dok_array(X),
    "lil": sparse.lil_array(X),
    "dia": sparse.dia_array(X),
    "bsr": sparse.bsr_array(X),
    "csr of float32": sparse.csr_array(X.astype(np.float32)),
    "csr of integers": sparse.csr_array((9 * X).astype(int)),
    "csr of booleans": sparse.csr_array(X > 0),
    "csr of complex numbers": sparse.csr_array(X + 1j),
    "csr with NaN": sparse.csr_array(changed(X, np.nan)),
    "csr, indices of 64 bits": sparse.csr_array(
        (X.ravel(), np.tile(np.arange(3), 24), np.arange(0, 73, 3, dtype=np.int64))
    ),
    "csr without an entry": sparse.csr_array(X.shape),
    "csr, no row": sparse.csr_array((0, 3)),
    "csr, a column more": sparse.csr_array(np.hstack([X, X[:, :1]])),
}

#: What stands in the place of y.
Y_KINDS = {
    "one output": Y,
    "two outputs": Y2,
    "a column": Y[:, None],
    "a row": Y[None],
    "one too few": Y[:-1],
    "one too many": np.append(Y, 0.0),
    "two outputs, one row too few": Y2[:-1],
    "three dimensions": Y2[..., None],
    "no value": Y[:0],
    "no output": Y2[:, :0],
    "a number": 1.0,
    "None": None,
    "a string": "y",
    "float32": Y.astype(np.float32),
    "float16": Y.astype(np.float16),
    "longdouble": Y.astype(np.longdouble),
    "big-endian": Y.astype(">f8"),
    "integers": (9 * Y).astype(int),
    "unsigned integers": np.arange(24, dtype=np.uint8),
    "booleans": Y > 0,
    "a list": Y.tolist(),
    "lists of two": Y2.tolist(),
    "a tuple": tuple(Y),
    "a list of booleans": (Y > 0).tolist(),
    "ragged lists": [[1.0, 2.0], *[[1.0]] * 23],
    "numerals": Y.astype(str),
    "words": np.where(Y > 0, "yes", "no"),
    "a list of words": np.where(Y > 0, "yes", "no").tolist(),
    "bytes": Y.astype("S8"),
    "objects that are numbers": Y.astype(object),
    "objects, one a string": changed(Y, "tall", 3),
    "objects, one None": changed(Y, None, 3),
    "integers beyond 64 bits": changed(Y, 10**30, 3),
    "complex": Y + 1j,
    "complex without an imaginary part": Y + 0j,
    "one NaN": changed(Y, np.nan, 3),
    "one infinity": changed(Y, -np.inf, 3),
    "one NaN of two outputs": changed(Y2, np.nan),
    "constant": np.ones(24),
    "zero": np.zeros(24),
    "one constant output of two": np.column_stack([Y, np.ones(24)]),
    "huge": np.full(24, 1e308),
    "dates": np.full(24, np.datetime64("2020-01-01")),
    "a masked array": np.ma.masked_array(Y, Y > 1.5),
    "negative strides": Y[::-1],
    "read-only": read_only(Y),
    "a matrix": lambda: Y[:, None].view(np.matrix),
    "a series": pd.Series(Y, name="y"),
    "a series, another index": pd.Series(Y, index=range(100, 124)),
    "a series of nullable floats": pd.Series(Y).convert_dtypes(),
    "a series of categories": pd.Series(["s", "t"] * 12, dtype="category"),
    "a series with NaN": pd.Series(changed(Y, np.nan, 3)),
    "a frame of one column": pd.DataFrame({"y": Y}),
    "a frame of two columns": pd.DataFrame(Y2, columns=["y", "z"]),
    "csr": sparse.csr_array(Y2),
}

#: What stands in the place of sample_weight.
WEIGHT_KINDS = {
    "None": None,
    "weights": WEIGHT,
    "float32": WEIGHT.astype(np.float32),
    "integers": np.arange(1, 25),
    "booleans": Y > 0,
    "a list": WEIGHT.tolist(),
    "a series": pd.Series(WEIGHT),
    "a number": 2.0,
    "an integer": 2,
    "zero": np.zeros(24),
    "some zero": np.where(Y > 0, WEIGHT, 0.0),
    "one negative": changed(WEIGHT, -1.0, 3),
    "all negative": -WEIGHT,
    "one NaN": changed(WEIGHT, np.nan, 3),
    "one infinity": changed(WEIGHT, np.inf, 3),
    "one too few": WEIGHT[:-1],
    "one too many": np.append(WEIGHT, 1.0),
    "a column": WEIGHT[:, None],
    "a row": WEIGHT[None],
    "two columns": np.column_stack([WEIGHT, WEIGHT]),
    "three dimensions": WEIGHT[:, None, None],
    "no value": WEIGHT[:0],
    "numerals": WEIGHT.astype(str),
    "words": np.full(24, "heavy"),
    "a word": "balanced",
    "objects": WEIGHT.astype(object),
    "complex": WEIGHT + 1j,
    "a dictionary": {0: 1.0},
    "read-only": read_only(WEIGHT),
    "negative strides": WEIGHT[::-1],
    "huge": np.full(24, 1e300),
}

#: Parameters, and what they are given.
PARAMETER_KINDS = {
    "hidden_layer_sizes": [0, -1, (3, 0), 3.0, (3.5,), "3", None, (), [3], np.array([3, 2]), True],
    "activation": ["gelus", None, 1, "softmax", "tanh"],
    "loss": ["hinge", None, "poisson"],
    "solver": ["newton", None, "lbfgs", "LBFGS"],
    "alpha": [-1.0, None, "small", np.nan, np.inf, 0, 1],
    "batch_size": [0, -1, 2.5, "all", None, 1000, np.int64(5)],
    "learning_rate": ["fast", None, "invscaling", "adaptive"],
    "learning_rate_init": [0.0, -0.1, "high", None, np.inf, 1],
    "power_t": [-0.5, None, "half", 0],
    "max_iter": [0, -1, 2.5, None, "many", True, np.int64(2)],
    "shuffle": ["yes", None, 1, np.True_],
    "random_state": ["seed", -1, 2.5, None, np.random.RandomState(0), 2**40],
    "tol": [-1.0, None, "small", 0],
    "verbose": ["very", None, -1, 0],
    "warm_start": ["yes", None, 1],
    "momentum": [-0.1, 1.1, None, "much", 1, 0],
    "nesterovs_momentum": ["yes", None, 1],
    "early_stopping": ["sometimes", None, 2],
    "validation_fraction": [-0.1, 1.0, None, "some", 0.0],
    "beta_1": [-0.1, 1.0, None, "slow", 0],
    "beta_2": [-0.1, 1.0, None, "slow", 0],
    "epsilon": [0.0, -1.0, None, "small", 1],
    "n_iter_no_change": [0, -1, 2.5, None, "few", np.inf],
    "max_fun": [0, -1, 2.5, None, "many"],
}


#: Where they differ, and why: what ours does -> which input, and in which methods.
DIFFERENT = {
    "ValueError: dates would be the integers behind them": {
        "X, dates": "fit predict score partial_fit",
        "X, durations": "fit predict score partial_fit",
        "X, a frame with dates": "fit predict score partial_fit predict-otherwise go-on",
        "y, dates": "fit score partial_fit go-on",
    },
    "ValueError: numbers below a mask mean nothing": {
        "X, a masked array": "fit predict score partial_fit",
        "y, a masked array": "fit score partial_fit go-on",
    },
    "ValueError: theirs is NumPy's TypeError, from within": {
        "X, a structured array": "fit partial_fit",
        "y, numerals": "fit partial_fit go-on",
        "y, words": "fit partial_fit go-on",
        "y, a list of words": "fit partial_fit go-on",
        "y, bytes": "fit partial_fit go-on",
        "hidden_layer_sizes=(3.5,)": "fit partial_fit",
    },
    "ValueError: before any training, where theirs is after it": {
        "X, huge": "fit partial_fit",
        "y, huge": "fit partial_fit go-on",
        "y, objects, one None": "fit",
    },
    "ValueError: the same, without NumPy's RuntimeWarning": {
        "X, both infinities": "fit predict score partial_fit",
    },
    "ValueError: weights are at least 0": {
        "sample_weight, one negative": "fit partial_fit",
        "sample_weight, all negative": "fit partial_fit",
    },
    "ValueError: a loss has its range of y": {"loss='poisson'": "fit partial_fit"},
    "ValueError: as of fit, where theirs is NumPy's TypeError": {
        "X, lists with None": "predict score",
        "X, a frame of categories of words": "predict score predict-otherwise",
    },
    "TypeError: as of fit, which is theirs too": {
        "X, an iterator": "predict score",
        "X, a set": "predict score",
        "X, a dictionary": "predict score",
    },
    "float64 of shape (24,): numerals are numbers, as in fit": {
        "X, strings": "predict",
        "X, bytes": "predict",
        "X, lists of strings": "predict",
    },
    "float: numerals are numbers, as in fit": {
        "X, strings": "score",
        "X, bytes": "score",
        "X, lists of strings": "score",
    },
    "float64 of shape (24,): there is no greater precision": {"X, longdouble": "predict"},
    "float: theirs overflows": {"X, huge": "score", "y, huge": "score"},
    "float: it is a column": {"y, a matrix": "score"},
    "fitted: outputs may have weights, of which there is one": {
        "sample_weight, a column": "fit partial_fit",
    },
    "float: outputs may have weights, of which there is one": {"sample_weight, a column": "score"},
    "fitted: True is 1 in Python": {"hidden_layer_sizes=True": "fit partial_fit"},
    "fitted: the precision is that of this call's X": {"X, a frame of float32": "go-on"},
    "AttributeError: lbfgs makes no steps": {"solver='lbfgs'": "partial_fit"},
}


def x_cases():
    """Name, method, what takes arguments' places, and on what X a fit was before, if any."""
    for name, odd in X_KINDS.items():
        before = FRAME if "frame" in name else X
        for method in ("fit", "partial_fit"):
            yield f"X, {name}", method, {"X": odd}, None
        for method in ("predict", "score"):
            yield f"X, {name}", method, {"X": odd}, {"X": before}
        if "frame" in name or name in ("float64", "lists", "csr"):  # names, or none, before
            other = X if "frame" in name else FRAME
            yield f"X, {name}", "predict-otherwise", {"X": odd}, {"X": other}
            yield f"X, {name}", "go-on", {"X": odd}, {"X": FRAME}


def y_cases():
    for name, odd in Y_KINDS.items():
        yield f"y, {name}", "fit", {"y": odd}, None
        yield f"y, {name}", "partial_fit", {"y": odd}, None
        yield f"y, {name}", "score", {"y": odd}, {"y": Y2 if "two" in name else Y}
        yield f"y, {name}", "go-on", {"y": odd}, {}


def sample_weight_cases():
    for name, odd in WEIGHT_KINDS.items():
        for method, before in (("fit", None), ("partial_fit", None), ("score", {})):
            yield f"sample_weight, {name}", method, {"sample_weight": odd}, before


def parameter_cases():
    for name, values in PARAMETER_KINDS.items():
        for value, method in product(values, ("fit", "partial_fit")):
            yield f"{name}={value!r}", method, {"parameters": {name: value}}, None


def outcome(make, method, given, before):
    """What comes of a call, in a word or some: its error's type, or what is there; and what kinds
    of warnings."""
    model = make(**PARAMS | given.get("parameters", {}))
    if before is not None:
        with warnings.catch_warnings(action="ignore"):
            model.fit(before.get("X", X), before.get("y", Y))
    method = {"predict-otherwise": "predict", "go-on": "partial_fit"}.get(method, method)
    odd = {name: value() if callable(value) else value for name, value in given.items()}
    arguments = {"X": odd.get("X", X), "y": odd.get("y", Y)}
    if isinstance(arguments["X"], np.ndarray) and arguments["X"].shape[:1] in ((1,), (2,)):
        arguments["y"] = Y[: len(arguments["X"])]
    if method == "predict":
        del arguments["y"]
    if "sample_weight" in odd:
        arguments["sample_weight"] = odd["sample_weight"]
    with warnings.catch_warnings(record=True, action="always") as caught:
        try:
            result = described(getattr(model, method)(**arguments))
        except Exception as error:
            result = type(error).__name__
    return result, {warning.category for warning in caught}


def described(result):
    """Shapes, precisions, names: all that is to be the same where numbers need not be."""
    if isinstance(result, np.ndarray):
        assert np.isfinite(result).all()
        return f"{result.dtype} of shape {result.shape}"
    if isinstance(result, float):
        return "float" if np.isfinite(result) else str(result)
    names = list(getattr(result, "feature_names_in_", ()))
    shapes = [(W.shape, str(W.dtype)) for W in result.coefs_]
    return f"fitted, {result.n_features_in_} columns {names}, {result.n_outputs_} outputs, {shapes}"


@pytest.mark.parametrize("cases", [x_cases, y_cases, sample_weight_cases, parameter_cases])
def test_odd_inputs_end_as_with_mlpregressor_but_for_those_that_are_named(cases):
    expected = {
        (name, method): reason.partition(": ")[0]
        for reason, inputs in DIFFERENT.items()
        for name, methods in inputs.items()
        for method in methods.split()
    }
    found = {}
    for name, method, given, before in cases():
        theirs, ours = (
            outcome(make, method, given, before) for make in (MLPRegressor, under_contract)
        )
        if ours != theirs:
            found[name, method] = ours[0].partition(",")[0] if "fitted" in ours[0] else ours[0]
    of_these = {name for name, *_ in cases()}
    assert found == {case: how for case, how in expected.items() if case[0] in of_these}


def test_there_are_at_least_126_odd_inputs():
    names = {name for cases in (x_cases, y_cases, sample_weight_cases) for name, *_ in cases()}
    assert len(names) > 126
    assert {name for inputs in DIFFERENT.values() for name in inputs} <= names | {
        name for name, *_ in parameter_cases()
    }


def test_a_negative_weight_is_scored_as_scikit_learn_has_it():
    model, weight = under_contract(**PARAMS | {"n_iter_no_change": np.inf}), WEIGHT.copy()
    weight[3] = -1.0
    with warnings.catch_warnings(action="ignore"):
        model.fit(X, Y)
    expected = r2_score(Y, model.predict(X), sample_weight=weight)
    assert model.score(X, Y, weight) == pytest.approx(expected)


def test_a_sparse_y_is_trained_on_as_a_dense_one():
    with warnings.catch_warnings(action="ignore"):
        dense, of_entries = (
            under_contract(**PARAMS).fit(X, y, sample_weight=WEIGHT)
            for y in (Y2, sparse.coo_array(Y2))
        )
    np.testing.assert_array_equal(of_entries.predict(X), dense.predict(X))
