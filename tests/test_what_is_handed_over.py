"""Arrays, tables and models as users hand them over: what is right is taken, in whatever form; what
isn't is refused in plain words; and nothing of it is written to."""

import datetime
import warnings
from collections import deque
from decimal import Decimal

import joblib
import numpy as np
import pandas as pd
import pytest
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.metrics import r2_score

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.explain import diagnose, explain_step
from fastbp.fitting import committee, solvers
from fastbp.measuring import relative
from fastbp.scaling import measure
from fastbp.scored import score_of

QUICK = {
    "hidden_layer_sizes": (4,), "max_iter": 5, "n_iter_no_change": np.inf, "random_state": 0,
}  # fmt: skip

X = np.random.default_rng(0).normal([10, -2, 0], [3, 0.5, 1], (60, 3))
Y = 100 + 20 * np.tanh(X[:, 2]) + X[:, 0] * X[:, 1]


@pytest.fixture
def model():
    return founding(**QUICK).fit(X, Y)


def ensemble():
    return BackpropEnsembleRegressor(BackpropRegressor((4,), max_iter=5), 2, random_state=0)


# ------------------------------------------------------------------- arrays of a model


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_a_memory_mapped_model_goes_on_and_its_file_stays(method, solver, tmp_path):
    model = founding(**QUICK | {"solver": solver, "warm_start": True}).fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not mapped._optimizer.memory.flags.writeable
    assert_array_equal(mapped.predict(X), model.predict(X))
    getattr(mapped, method)(X, Y)
    assert_array_equal(mapped.predict(X), getattr(model, method)(X, Y).predict(X))
    assert (tmp_path / "model").read_bytes() == before


def test_a_shallow_copy_that_goes_on_leaves_the_model_what_it_goes_on_with(model):
    other = founding(**QUICK)
    vars(other).update(vars(model))
    memory, state = model._optimizer.memory.copy(), model._optimizer.state.copy()
    other.partial_fit(X, Y)
    assert_array_equal(model._optimizer.memory, memory)
    assert model._optimizer.state == state


def test_a_partial_fit_that_fails_can_be_tried_again():
    once, twice = (founding(**QUICK, momentum=0.9).fit(X, Y) for _ in range(2))
    with pytest.raises(ValueError, match="diverged"):
        twice.set_params(alpha=1e30).partial_fit(X, Y)
    twice.set_params(alpha=0.0).partial_fit(X, Y)
    assert_array_equal(twice.predict(X), once.partial_fit(X, Y).predict(X))


@pytest.mark.parametrize(
    "ruined",
    [
        {"memory": np.zeros((1, 7), np.float32)},
        {"memory": np.full((1, 21), np.nan, np.float32)},
        {"memory": np.zeros((1, 21), ">f4")},
        {"memory": np.zeros((0, 21), np.float32)},
        {"state": np.zeros(3)},
        {"position": 10**9},
    ],
    ids=str,
)
def test_an_optimiser_that_is_no_whole_one_begins_anew(ruined, model):
    assert model._optimizer.memory.shape == (1, 21)
    fresh = founding(**QUICK).fit(X, Y)
    del fresh._optimizer
    if "position" in ruined:
        model._optimizer.state["position"] = ruined["position"]
    else:
        vars(model._optimizer).update(ruined)
    if getattr(ruined.get("memory"), "dtype", None) == ">f4":  # that one is whole
        fresh = founding(**QUICK).fit(X, Y)
        fresh._optimizer.memory[:] = 0
    assert_array_equal(model.partial_fit(X, Y).predict(X), fresh.partial_fit(X, Y).predict(X))


def test_skops_can_load_what_it_dumps(model):
    io = pytest.importorskip("skops.io")
    data = io.dumps(model)
    loaded = io.loads(data, trusted=io.get_untrusted_types(data=data))
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.partial_fit(X, Y).predict(X), model.partial_fit(X, Y).predict(X))


def test_no_attribute_holds_record_arrays(model):
    for part in (model._optimizer.memory, model._optimizer.state, *model._learnt.scaling):
        assert type(part) is np.ndarray


# ---------------------------------------------------------------- weights set by hand

#: Other forms of the same numbers, which float16 holds.
FORMS = {
    "float16": lambda a: a.astype(np.float16),
    "float64": lambda a: a.astype(np.float64),
    "longdouble": lambda a: a.astype(np.longdouble),
    "big-endian float32": lambda a: a.astype(">f4"),
    "big-endian float64": lambda a: a.astype(">f8"),
    "lists": lambda a: a.tolist(),
    "Fortran order": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "unaligned": lambda a: (
        np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    ),
    "nothing masked": np.ma.masked_array,
}


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_weights_in_any_form_are_the_same_weights(form, standardize):
    model = founding(**QUICK, standardize=standardize, learning_rate_init=1e-4).fit(X, Y)
    model.coefs_ = [np.float32(np.float16(W)) for W in model.coefs_]
    model.intercepts_ = [np.float32(np.float16(b)) for b in model.intercepts_]
    expected, coefs = model.predict(X), model.coefs_
    model.coefs_ = [FORMS[form](W) for W in coefs]
    assert_array_equal(model.predict(X), expected)
    model.coefs_[0] = FORMS[form](coefs[0])  # unseen by the model
    model.intercepts_[0] = FORMS[form](model.intercepts_[0])
    assert_array_equal(model.predict(X), expected)


def test_integers_are_weights(model):
    model.coefs_ = [np.ones((3, 4), int), np.zeros((4, 1), np.uint8)]
    model.intercepts_ = [np.zeros(4, np.int8), np.array([7])]
    assert_allclose(model.predict(X), 7, rtol=1e-6)


def change(part, l, array):
    def of(model):
        getattr(model, part)[l] = array

    return of


WRONG_WEIGHTS = {
    "no columns": change("intercepts_", 0, np.zeros((600, 0))),
    "a matrix of biases": change("intercepts_", 0, np.zeros((4, 4))),
    "a column of biases": change("intercepts_", 0, np.zeros((4, 1))),
    "a number": change("intercepts_", 1, 3.0),
    "too many biases": change("intercepts_", 1, np.zeros(2)),
    "a vector of weights": change("coefs_", 1, np.zeros(4)),
    "weights turned over": change("coefs_", 0, np.zeros((4, 3))),
    "three dimensions": change("coefs_", 0, np.zeros((3, 4, 1))),
    "other inputs": change("coefs_", 0, np.zeros((5, 4))),
    "none": change("coefs_", 0, None),
    "NaN": change("coefs_", 1, np.full((4, 1), np.nan)),
    "infinity": change("intercepts_", 0, np.full(4, -np.inf)),
    "beyond float32": change("coefs_", 1, np.full((4, 1), 1e300)),
    "complex": change("coefs_", 1, np.zeros((4, 1), complex)),
    "text": change("coefs_", 1, np.zeros((4, 1), "U3")),
    "objects": change("coefs_", 1, np.zeros((4, 1), object)),
    "dates": change("coefs_", 1, np.zeros((4, 1), "M8[s]")),
    "masked": change("coefs_", 1, np.ma.masked_array(np.zeros((4, 1)), np.ones((4, 1)))),
    "a layer more": lambda model: model.coefs_.append(np.zeros((1, 1))),
    "a layer less": lambda model: model.coefs_.pop(),
    "no layer": lambda model: (model.coefs_.clear(), model.intercepts_.clear()),
}


@pytest.mark.parametrize("what", WRONG_WEIGHTS)
def test_wrong_weights_are_refused_before_any_kernel_sees_them(what, model, tmp_path):
    WRONG_WEIGHTS[what](model)
    calls = {
        "predict": lambda: model.predict(X),
        "partial_fit": lambda: model.partial_fit(X, Y),
        "fit": lambda: model.set_params(warm_start=True).fit(X, Y),
        "as_njit": model.as_njit,
        "save": lambda: model.save(tmp_path / "model"),
    }
    if what != "beyond float32":  # lessons are in float64
        calls["diagnose"] = lambda: diagnose(model, X, Y)
        calls["explain_step"] = lambda: explain_step(model, X[0], Y[0])
    for call in calls.values():
        with pytest.raises(ValueError, match=r"coefs_|intercepts_"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_list_of_no_numbers_is_refused_where_it_is_set(model):
    with pytest.raises(ValueError, match=r"coefs_\[0\] must be an array of numbers"):
        model.coefs_ = ["a", "b"]
    with pytest.raises(ValueError, match=r"intercepts_\[1\] is a masked array"):
        model.intercepts_ = [np.zeros(4), np.ma.masked_array([0.0], [True])]
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"X_scale": np.ones(1)}, {"X_mean": np.zeros((3, 1))}, {"y_scale": np.ones(0)},
        {"X_scale": np.zeros(3)}, {"y_mean": np.array([np.nan])}, {"y_scale": -np.ones(1)},
    ],
    ids=str,
)  # fmt: skip
def test_a_scaling_that_is_none_is_refused(wrong, model):
    model._learnt = model._learnt._replace(scaling=model._learnt.scaling._replace(**wrong))
    lessons = (lambda X: diagnose(model, X, Y)), (lambda X: explain_step(model, X, Y))
    for call in (model.predict, model.as_njit, lambda X: model.partial_fit(X, Y), *lessons):
        with pytest.raises(ValueError, match="scaling"):
            call(*[X][: call != model.as_njit])


def test_columns_that_the_weights_are_not_of_are_refused(model):
    model.n_features_in_ = 2
    with pytest.raises(ValueError, match="X has 2 features, the weights are for 3"):
        model.predict(X[:, :2])
    members = ensemble().fit(X, Y)
    members.estimators_[1] = founding(**QUICK).fit(X, np.column_stack([Y, Y]))
    for use in (lambda: members.predict(X), members.as_njit):
        with pytest.raises(ValueError, match="is for 3 features and 2 outputs"):
            use()
    with pytest.raises(ValueError, match="not of 3 columns and 1 outputs"):
        committee.predict(members._learnt, X, None)


# ---------------------------------------------------------- tables that are no numbers

DATES = pd.date_range("2024-01-01", periods=60, freq="h")
HOLED = np.ma.masked_array(X, np.zeros(X.shape)).copy()
HOLED[3, 1] = np.ma.masked
FIELDS = np.zeros((60, 1), [("a", float), ("b", float)])


def beyond(name, place, value, form="csr"):
    """A sparse table with one wrong number among those that say where its entries are."""
    A = sparse.csr_array(X).asformat(form)
    getattr(A, name)[place] = value
    return A


NO_NUMBERS = {
    "entries beyond": (beyond("indices", 7, 3), "indices must be < 3"),
    "entries far beyond": (beyond("indices", 7, 10**6), "indices must be < 3"),
    "entries before": (beyond("indices", 7, -1), "indices must be >= 0"),
    "rows beyond": (beyond("indptr", 10, 10**6), "indptr must be"),
    "rows before": (beyond("indptr", 10, -5), "indptr must be"),
    "a last row beyond": (beyond("indptr", -1, 10**6), "no sparse matrix as SciPy has them"),
    "columns beyond": (beyond("indices", 7, 10**6, "csc"), "indices must be < 60"),
    "places beyond": (beyond("col", 7, 10**6, "coo"), "no sparse matrix as SciPy has them"),
    "no columns": (pd.DataFrame(index=range(60)), "no columns"),
    "dates in a frame": (pd.DataFrame({"a": X[:, 0], "t": DATES}), "dates.* in column 't'"),
    "only dates in a frame": (pd.DataFrame({"t": DATES}), "datetime64.*such as"),
    "a gap": (pd.DataFrame({"t": [pd.NaT, *DATES[1:]]}), "dates"),
    "a time zone": (pd.DataFrame({"t": DATES.tz_localize("UTC")}), "dates"),
    "durations": (pd.DataFrame({"t": DATES - DATES[0]}), "durations"),
    "periods": (pd.DataFrame({"t": DATES.to_period("D")}), "dates"),
    "NumPy's dates": (DATES.to_numpy()[:, None], "dates"),
    "NumPy's durations": (np.zeros((60, 2), "m8[s]"), "durations"),
    "a list of dates": ([[t] for t in DATES.to_numpy()], "dates"),
    "Python's dates": ([[1.0, datetime.date(2024, 1, 1)]] * 60, "dates.*among its objects"),
    "objects that are dates": (np.array([[t] for t in DATES.to_numpy()], object), "dates"),
    "masked": (HOLED, "1 masked value.*Leave"),
    "rows, one masked": (list(HOLED), "1 masked value"),
    "objects in a frame": (pd.DataFrame({"a": 1.0, "t": DATES.date}), "dates.*its objects"),
    "categories": (pd.DataFrame({"t": pd.Categorical(DATES)}), "dates.* in column 't'"),
    "intervals": (pd.DataFrame({"t": pd.interval_range(DATES[0], periods=60)}), "dates.* 't'"),
    "a queue of dates": (deque([t] for t in DATES.to_numpy()), "dates"),
    "fields": (FIELDS, "structured_to_unstructured"),
    "pandas' NA": (pd.DataFrame({"a": pd.array([1, None] * 30, "Int64")}), "NaN"),
    "endless integers": ([[10**400]] * 60, "too large"),
    "complex objects": (np.array([[1j]] * 60, object), "complex"),
}


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(solvers, "fit", lambda *_, **__: pytest.fail("training began"))


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("what", NO_NUMBERS)
def test_a_table_of_no_numbers_is_refused_with_what_to_do(what, no_training):
    table, message = NO_NUMBERS[what]
    for call in (
        founding().fit,
        founding().partial_fit,
        ensemble().fit,
        lambda A, y: founding().fit(X, y, X_val=A, y_val=y),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call(table, Y)


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("what", [w for w in NO_NUMBERS if "fields" not in w and "obj" not in w])
def test_nor_is_it_predicted(what, model):
    table, message = NO_NUMBERS[what]
    model.n_features_in_ = np.shape(table)[1]
    for call in (model.predict, model.encode, lambda A: model.score(A, Y)):
        with pytest.raises((ValueError, TypeError), match=message):
            call(table)


@pytest.mark.parametrize(
    "what", ["NumPy's dates", "durations", "masked", "a list of dates", "endless integers"]
)
def test_nor_is_it_a_target_or_a_weight(what, model):
    table, message = NO_NUMBERS[what]
    y = table.iloc[:, 0] if hasattr(table, "iloc") else [row[-1] for row in table]
    if what == "masked":
        y = table[:, 1]
    for call in (model.fit, model.partial_fit, model.loss_gradient, model.score):
        for given in ((X, y), (X, Y, y)):
            with pytest.raises((ValueError, TypeError), match=message):
                call(*given)


def timed(kind):
    """Sixty dates, times or durations, as Arrow has them."""
    pa = pytest.importorskip("pyarrow")
    given = {"date": DATES.date, "duration": DATES - DATES[0], "time": DATES.time}.get(kind, DATES)
    if kind == "nested":
        return pa.array([{"at": t} for t in DATES])
    array = pa.array(given)
    forms = {"encoded": array.dictionary_encode, "chunks": lambda: pa.chunked_array([array])}
    return forms.get(kind, lambda: array)()


ARROWS = "timestamp", "date", "duration", "time", "encoded", "nested", "chunks"


@pytest.mark.parametrize("kind", ARROWS)
def test_dates_of_arrow_are_no_table(kind, model, no_training):
    array, members = timed(kind), ensemble()
    pa = pytest.importorskip("pyarrow")
    numbers = pa.array(X[:, 0])
    of_pandas = pd.Series(array, dtype=pd.ArrowDtype(array.type))
    tables = [pa.table({"a": numbers, "t": array}), pd.DataFrame({"t": of_pandas})]
    if kind != "chunks":
        tables.append(pa.record_batch({"t": array}))
    for table in tables:
        model.n_features_in_ = table.shape[1]
        for call in (
            model.predict, model.predict_jacobian, model.encode, lambda A: model.fit(A, Y),
            lambda A: model.score(A, Y), lambda A: members.fit(A, Y),
            lambda A: diagnose(model, A, Y), lambda A: explain_step(model, A, Y),
            lambda A: founding().fit(X, Y, X_val=A, y_val=Y),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=r"X holds dates.* in column 't'"):
                call(table)


@pytest.mark.parametrize("kind", ARROWS)
def test_dates_of_arrow_are_neither_targets_nor_weights(kind, model, no_training):
    array, held_out = timed(kind), {"X_val": X, "y_val": Y}
    for given in (array, pd.Series(array, dtype=pd.ArrowDtype(array.type))):
        for call in (model.fit, model.score, model.loss_gradient):
            with pytest.raises(ValueError, match=r"y holds dates.* its d?type is"):
                call(X, given)
            with pytest.raises(ValueError, match=r"sample_weight holds dates.* its d?type is"):
                call(X, Y, given)
        with pytest.raises(ValueError, match="holds dates"):
            founding().fit(X, Y, **held_out, sample_weight_val=given)


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_numbers_of_arrow_are_taken(model):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"abc"[k]: X[:, k] for k in range(3)})
    for form in (table, *table.to_batches()):
        assert_array_equal(model.predict(form), model.predict(X))
    weight = pa.array(np.arange(60.0)).dictionary_encode()
    assert model.score(table, pa.array(Y), weight) == model.score(X, Y, np.arange(60.0))


@pytest.mark.parametrize("of_rows", [list, tuple])
def test_what_is_masked_among_numbers_is_none(of_rows, model, no_training):
    rows, y = (np.ma.masked_array(A, np.arange(A.size) == 7) for A in (X, Y))
    listed = of_rows(of_rows(row) for row in rows)
    for A in (listed, np.array(listed, object)):
        for call in (model.predict, model.encode, lambda A: model.fit(A, Y)):
            with pytest.raises(ValueError, match="X has 1 masked values"):
                call(A)
    for given in (of_rows(y), np.array(of_rows(y), object), pd.Series(of_rows(y))):
        for call in (model.fit, model.score, model.loss_gradient):
            with pytest.raises(ValueError, match="y has 1 masked values"):
                call(X, given)


# --------------------------------------------------------- scores of several outputs

TWO = np.column_stack([Y, np.sin(X[:, 1])])
HOLED_TWO = np.ma.masked_array(TWO, np.arange(120).reshape(60, 2) == 7)
SEVERAL = {
    "masked weights": (TWO, abs(HOLED_TWO), "sample_weight has 1 masked"),
    "masked y": (HOLED_TWO, abs(TWO), "y has 1 masked"),
    "weights that are dates": (TWO, abs(TWO).astype("M8[s]"), "sample_weight holds dates"),
    "y of dates": (TWO.astype("M8[s]"), abs(TWO), "y holds dates"),
    "an output less": (Y, abs(TWO[:, :1]), r"y has shape \(60,\), 2 outputs are expected"),
    "a column less": (TWO[:, :1], abs(TWO[:, :1]), r"y has shape \(60, 1\), 2 outputs"),
    "an output more": (np.c_[TWO, Y], abs(np.c_[TWO, Y]), r"y has shape \(60, 3\), 2 outputs"),
    "a dimension more": (TWO[:, :, None], abs(TWO), r"y has shape \(60, 2, 1\), 2 outputs"),
    "one number": (3.0, abs(TWO), r"y has shape \(\), 2 outputs"),
    "a sparse y": (sparse.csr_array(TWO), abs(TWO), "[Ss]parse"),
}


@pytest.mark.parametrize("kind", ["one", "omits", "ensemble"])
def test_what_is_scored_output_by_output_is_looked_at_first(kind):
    model = founding(**QUICK, missing_targets="omit" if kind == "omits" else "raise")
    model = (ensemble() if kind == "ensemble" else model).fit(X, TWO)
    for y, weight, message in SEVERAL.values():
        with pytest.raises((ValueError, TypeError), match=message):
            model.score(X, y, weight)


def test_a_quantile_model_is_not_scored_by_weights_of_two_outputs():
    model = founding(**QUICK, loss="quantile", loss_parameter=[0.2, 0.8]).fit(X, Y)
    with pytest.raises(ValueError, match=r"y has shape \(60, 2\), 1 outputs are expected"):
        model.score(X, TWO, np.arange(1, 121.0).reshape(60, 2))
    model.score(X, Y, np.ones((60, 1)))


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_what_float64_cant_hold_is_not_scored(n_outputs):
    y = TWO[:, :n_outputs]
    model, large = founding(**QUICK).fit(X, y.squeeze()), y.astype(np.longdouble)
    large = large * np.longdouble("1e4000") if large.itemsize > 8 else large + np.inf
    for given in ((large,), (large, abs(y)), (y, abs(large)), (y, abs(large)[:, 0])):
        with pytest.raises(ValueError, match="infinity or a value too large"):
            model.score(X, *given)


@pytest.mark.parametrize("hole", [None, np.nan, np.inf, -np.inf, pd.NA])
def test_a_target_of_objects_has_no_holes(hole, model, no_training):
    y = Y.astype(object)
    y[7] = hole
    for call in (founding().fit, model.partial_fit, ensemble().fit, model.loss_gradient):
        for given in (y, list(y), pd.Series(y)):
            with pytest.raises(ValueError, match=r"Input y contains (NaN|infinity)"):
                call(X, given)
        with pytest.raises(ValueError, match=r"Input sample_weight contains (NaN|infinity)"):
            call(X, Y, y)
    with pytest.raises(ValueError, match=r"Input contains (NaN|infinity)"):
        model.score(X, y)


@pytest.mark.parametrize("hole", [None, np.nan, pd.NA])
def test_a_hole_among_objects_is_a_missing_target(hole):
    y, holed = Y.astype(object), np.where(np.arange(60) == 7, np.nan, Y)
    y[7] = hole
    model = founding(**QUICK, missing_targets="omit")
    expected = model.fit(X, holed).predict(X)
    assert_array_equal(model.fit(X, y).predict(X), expected)
    assert model.score(X, y) == model.score(X, holed)


def test_a_frame_that_is_not_computed_yet_is_refused_with_what_to_do(model):
    class Lazy:
        def collect(self):
            return X

        @property
        def columns(self):
            warnings.warn("a scan of all files", stacklevel=2)

    for call in (model.predict, lambda A: model.fit(A, Y), lambda A: model.fit(X, A)):
        with pytest.raises(TypeError, match=r"[Xy] is not computed yet: collect\(\)"):
            call(Lazy())


@pytest.mark.parametrize("holes", [0, 30])
def test_how_y_and_weights_lie_in_memory_makes_no_difference(holes):
    random, found = np.random.default_rng(0), []
    y, weight = random.normal(100, 1, (60, 5)), random.integers(0, 3, (60, 5)) + 0.25
    y.ravel()[random.choice(y.size, holes, replace=False)] = np.nan
    for form in (np.array, np.asfortranarray, pd.DataFrame, lambda A: np.repeat(A, 2, 1)[:, ::2]):
        held_out = {"y_val": form(y), "sample_weight_val": form(weight), "X_val": X}
        model = founding(**QUICK, missing_targets="omit")
        model.fit(X, form(y), form(weight), **held_out)
        found.append([*model.validation_scores_, *model.loss_curve_, *model.intercepts_[1]])
        model.fit(X, form(y), **held_out | {"sample_weight_val": None})
        found[-1] += [*model.validation_scores_, *model.loss_curve_]
    for other in found[1:]:
        assert_array_equal(other, found[0])


def test_numbers_in_other_forms_are_what_they_are():
    expected = founding(**QUICK).fit(X.round(3), Y).predict(X.round(3))
    unsigned = sparse.csr_array(X.round(3))
    unsigned.indices = unsigned.indices.astype(np.uint64)
    for form in (
        unsigned,
        np.ma.masked_array(X.round(3)),
        [[Decimal(str(x)) for x in row] for row in X.round(3)],
        pd.DataFrame(X.round(3)).astype("Float64"),
        X.round(3).astype(">f8"),
        sparse.csr_array(X.round(3)),
    ):
        assert_allclose(founding(**QUICK).fit(form, Y).predict(form), expected, rtol=1e-5)


# --------------------------------------------------------------------------- magnitudes


@pytest.mark.parametrize(("of_x", "of_y"), [(900, 0), (-900, 0), (0, 900), (0, -900), (150, -153)])
def test_another_unit_gives_the_same_model_in_it(of_x, of_y):
    """Powers of two change no bit."""
    expected = founding(**QUICK, early_stopping=True).fit(X, Y)
    A, b = np.ldexp(X, of_x), np.ldexp(Y, of_y)
    model = founding(**QUICK, early_stopping=True).fit(A, b)
    assert_array_equal(model.predict(A), np.ldexp(expected.predict(X), of_y))
    assert model.score(A, b) == expected.score(X, Y) == r2_score(Y, expected.predict(X))
    assert model.validation_scores_ == expected.validation_scores_
    for each in (model, expected):
        each.set_params(early_stopping=False)
    model.partial_fit(A, b)
    assert_array_equal(model.predict(A), np.ldexp(expected.partial_fit(X, Y).predict(X), of_y))


def test_an_encoding_is_one_of_the_columns_in_any_unit():
    params = QUICK | {"encoding": ["periodic", "piecewise_linear"]}
    expected = founding(**params).fit(X, Y).predict(X)
    for unit in (-900, 900):
        A = np.ldexp(X, unit)
        assert_array_equal(founding(**params).fit(A, Y).predict(A), expected)


def test_an_alpha_beyond_all_measure_is_said_to_be(no_training):
    with pytest.raises(ValueError, match="alpha=1 is beyond all measure"):
        founding(alpha=1.0).fit(X, Y * 1e-100)
    with pytest.raises(ValueError, match="alpha=1 is beyond all measure"):
        founding(alpha=1.0).fit(X, Y, np.full(60, 1e-300))


def test_weights_beyond_float64_are_said_to_be():
    with pytest.raises(ValueError, match=r"weights for these units .* beyond float64"):
        founding((), max_iter=1).fit(X * 1e-300, Y * 1e300)


def test_a_clock_since_1970_is_no_constant():
    t = np.arange(200_000)[:, None] * 500.0
    assert_allclose(measure(t + 1.76e18, t).X_scale, t.std(), rtol=1e-6)


def test_a_large_constant_column_changes_nothing():
    zero, large = (np.column_stack([X, np.full(60, value)]) for value in (0.0, 1e18))
    expected = founding(**QUICK).fit(zero, Y).predict(zero)
    assert_allclose(founding(**QUICK).fit(large, Y).predict(large), expected, rtol=1e-6)


@pytest.mark.parametrize("unit", [2.0**-990, 2.0**990, 1e-300, 1e300])
def test_only_the_ratios_of_weights_matter(unit):
    weight = np.random.default_rng(1).integers(0, 5, 60) / 4.0
    rows = {"X_val": X[:20], "y_val": Y[:20]}
    models = [
        founding(**QUICK).fit(X, Y, s, **rows, sample_weight_val=s[:20] + s[20:40])
        for s in (weight, weight * unit)
    ]
    close = {"rtol": 1e-5, "atol": 1e-5 if unit in (1e-300, 1e300) else 0}
    assert_allclose(models[1].predict(X), models[0].predict(X), **close)
    assert_allclose(models[1].validation_scores_, models[0].validation_scores_, **close)
    assert_allclose(models[0].score(X, Y, weight * unit), models[0].score(X, Y, weight), rtol=1e-9)
    losses = [models[0].loss_gradient(X, Y, s)[0] for s in (weight, weight * unit)]
    assert_allclose(*losses, rtol=1e-6)


def test_an_ensemble_knows_only_ratios_of_weights_too():
    weight = np.random.default_rng(1).uniform(1, 2, 60)
    models = [ensemble().fit(X, Y, s) for s in (weight, weight * 2.0**1000)]
    assert models[0].oob_score_ == models[1].oob_score_
    for one, other in zip(*(m.predict_interval(X, 0.5) for m in models), strict=True):
        assert_array_equal(one, other)


def test_weights_next_to_nothing_are_nothing():
    assert_array_equal(relative(np.array([1e-40, 0.0, 1e-5, 3.0])), [0, 0, 0.25e-5, 0.75])


# ---------------------------------------------------------------------------- precision

INTEGERS = np.arange(60) % 7


@pytest.mark.parametrize(
    ("of_x", "y", "dtype", "of_predictions"),
    [
        ("float32", Y, "float32", "float64"),
        ("float32", np.float32(Y), "float32", "float32"),
        ("float64", np.float32(Y), "float32", "float64"),
        ("float32", np.float32(Y), "float64", "float64"),
        ("float32", INTEGERS, "float32", "float32"),
        ("float32", INTEGERS + 1_700_000_000, "float32", "float64"),
        ("float32", INTEGERS > 3, None, "float32"),
        ("float16", Y, None, "float64"),
    ],
)
def test_predictions_are_as_precise_as_the_y_of_fit(of_x, y, dtype, of_predictions, tmp_path):
    A = X.astype(of_x)
    model = founding(**QUICK, dtype=dtype).fit(A, y)
    members = BackpropEnsembleRegressor(founding(**QUICK, dtype=dtype), 2)
    for each in (model, members.fit(A, y)):
        predicted = each.predict(A)
        assert predicted.dtype == of_predictions
        assert_allclose(predicted, each.predict(np.float64(A)), rtol=1e-6)
    model.save(tmp_path / "model")
    assert_array_equal(BackpropRegressor.load(tmp_path / "model").predict(A), model.predict(A))
    assert BackpropRegressor.load(tmp_path / "model").predict(A).dtype == of_predictions
    model.partial_fit(A, np.float64(y))
    assert model.predict(A).dtype == np.float64
    assert model.partial_fit(A, np.float32(y)).predict(A).dtype == np.float64


def test_a_large_offset_of_y_is_kept_for_rows_in_float32():
    A = X.astype(np.float32)
    model = founding(**QUICK).fit(A, Y + 1.7e9)
    assert_array_equal(model.predict(A), model.predict(np.float64(A)))
    assert len(np.unique(model.predict(A))) > 50


# ------------------------------------------------------------------------ rows held out


def test_the_score_of_a_constant_target_is_moderate(model):
    y = np.full(20, 0.1 + 0.2)
    assert model.score(X[:20], y) == 0.0
    val = {"X_val": X[:20], "y_val": np.full(20, 100.1)}
    scores = founding(**QUICK).fit(X, Y, **val).validation_scores_
    weighted = founding(**QUICK).fit(X, Y, **val, sample_weight_val=np.linspace(0, 1, 20))
    assert min(scores + weighted.validation_scores_) > -10


def test_the_score_of_infinite_predictions_is_infinite_unless_they_have_no_weight():
    y, weight = np.arange(5.0), np.array([1.0, 1.0, 0.0, 1.0, 2.0])
    predicted = np.array([0.5, 1.0, np.inf, 2.5, 4.0])
    assert score_of(y, predicted) == -np.inf
    assert score_of(y, -predicted, np.ones(5)) == -np.inf
    rest = weight > 0
    expected = r2_score(y[rest], predicted[rest], sample_weight=weight[rest])
    assert score_of(y, predicted, weight) == pytest.approx(expected)


def test_a_score_that_is_not_finite_is_an_error():
    far = np.where(np.arange(3) == 1, 1e30, X[:20])
    with pytest.raises(
        ValueError, match=r"score on the rows held out is -inf in epoch 1: .*too far"
    ):
        founding(**QUICK | {"hidden_layer_sizes": ()}).fit(X, Y, X_val=far, y_val=Y[:20])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_fit_that_fails_leaves_nothing_of_its_columns(method):
    model = founding()
    with pytest.raises(ValueError, match="NaN"):
        getattr(model, method)(pd.DataFrame(X, columns=["a", "b", "c"]), np.full(60, np.nan))
    assert not hasattr(model, "n_features_in_")
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("way", ["partial_fit", "fit"])
@pytest.mark.parametrize(
    "name, wrong",
    [
        ("t_", None), ("t_", "x"), ("t_", -1), ("t_", np.nan), ("loss_curve_", (1.0,)),
        ("best_loss_", [1.0]), ("_optimizer", "x"), ("validation_scores_", 3.0),
        ("validation_loss_curve_", np.ones(2)), ("best_validation_score_", "x"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_gone_on_with_is_looked_at_before_anything_is_trained(model, name, wrong, way):
    model.set_params(warm_start=True)
    setattr(model, name, wrong)
    before, curve = dict(vars(model)), list(model.loss_curve_)
    with pytest.raises(ValueError, match=rf"^{name} is .* must be (a|that of)"):
        getattr(model, way)(X, Y)
    assert dict(vars(model)) == before and list(model.loss_curve_) == curve
    model.set_params(warm_start=False).fit(X, Y)
