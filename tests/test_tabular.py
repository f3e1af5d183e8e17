"""Data frames with text, holes and dates: the numbers that become of them, and their models."""

import datetime
import doctest
import io
import pickle
import warnings
from decimal import Decimal
from itertools import permutations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from fastbp import (
    BackpropEnsembleRegressor,
    BackpropRegressor,
    TableVectorizer,
    load_pipeline,
    save_pipeline,
    tabular_pipeline,
)
from fastbp.tabular import vectorizer

pd = pytest.importorskip("pandas")

QUICK = BackpropRegressor((4,), max_iter=3, early_stopping=False, random_state=0)

NAN, NAT = float("nan"), pd.NaT
DAYS = pd.DatetimeIndex([pd.Timestamp("1970-01-03"), NAT, pd.Timestamp("1970-01-01 12:00")])
FAR = ["1500-01-01", "9999-12-31"]  # nanoseconds are those of 1678 to 2262
FAR_DAYS = pd.Series(np.array(FAR, dtype="datetime64[s]"))

COLUMNS = [
    ("integers", [1, 2, 4], [[1, 2, 4]]),
    ("holes", [1.0, NAN, 4.0], [[1, 2.5, 4], [0, 1, 0]]),
    ("nullable", pd.array([1, None, 4], dtype="Int64"), [[1, 2.5, 4], [0, 1, 0]]),
    ("booleans", [True, False, True], [[1, 0, 1]]),
    ("nullable booleans", pd.array([True, None, True], dtype="boolean"), [[1, 1, 1], [0, 1, 0]]),
    ("objects", np.array([1, None, 4], dtype=object), [[1, 2.5, 4], [0, 1, 0]]),
    ("decimals", [Decimal("1.5"), Decimal("2"), None], [[1.5, 2, 1.75], [0, 0, 1]]),
    ("text", ["a", "b", None] * 3, [[1, 0, 0] * 3, [0, 1, 0] * 3, [0, 0, 1] * 3]),
    ("names", pd.array(["a", pd.NA, "a"], dtype="string"), None),
    ("NA", pd.array(["a", pd.NA] * 3, dtype="string"), [[1, 0] * 3, [0, 1] * 3]),
    ("category", pd.Categorical([1, 2, 1] * 3), [[1, 0, 1] * 3, [0, 1, 0] * 3]),
    ("percent", ["5%", "7.5 %", ""], [[5, 7.5, 6.25], [0, 0, 1]]),
    ("moments", DAYS, [[2, 1.25, 0.5], [0, 1, 0]]),
    ("with a zone", DAYS.tz_localize("Etc/GMT-6"), [[1.75, 1, 0.25], [0, 1, 0]]),
    ("days", [datetime.date(1970, 1, 2), datetime.date(1969, 12, 31)], [[1, -1]]),
    ("periods", pd.period_range("1970-01-01", periods=2, freq="D"), [[0, 1]]),
    ("durations", pd.to_timedelta(["36h", "-24h"]), [[1.5, -1]]),
    ("far moments", FAR_DAYS, [[-171664, 2932896]]),
    ("far and with a zone", FAR_DAYS.dt.tz_localize("Etc/GMT-6"), [[-171664.25, 2932895.75]]),
    ("far as text", FAR, [[-171664, 2932896]]),
    (
        "far periods",
        pd.PeriodIndex([*FAR, None], freq="D"),
        [[-171664, 2932896, 1380616], [0, 0, 1]],
    ),
    ("hours", pd.period_range("1970-01-01 06:00", periods=2, freq="h"), [[0.25, 7 / 24]]),
    ("long", pd.Series(np.array([146000, -146000], "m8[D]").astype("m8[s]")), [[146000, -146000]]),
    ("short", pd.to_timedelta([864, -864], unit="ns"), [[1e-11, -1e-11]]),
    ("one level", ["a"] * 3 + ["b"], [[1, 1, 1, 0], [0, 0, 0, 1]]),
]


@pytest.mark.parametrize(
    ("values", "wanted"), [c[1:] for c in COLUMNS], ids=[c[0] for c in COLUMNS]
)
def test_a_column_of_a_frame_becomes_numbers(values, wanted):
    frame = pd.DataFrame({"c": values, "one": 1})
    vectorizer = TableVectorizer()
    if wanted is None:
        vectorizer.fit(frame)
        assert vectorizer.columns_[0].told() == "text, all of it rare: left out"
        return
    X = vectorizer.fit_transform(frame)
    assert X.T.tolist() == [*wanted, [1] * len(frame)]
    names = vectorizer.get_feature_names_out()
    assert len(names) == X.shape[1] and names[-1] == "one"
    np.testing.assert_array_equal(vectorizer.transform(frame[["one", "c"]]), X)


def test_what_a_column_was_fitted_on_says_what_its_later_cells_are():
    frame = pd.DataFrame({"kind": ["a", "b", "c"] * 3, "n": range(9), "day": ["1970-01-02"] * 9})
    vectorizer = TableVectorizer().fit(frame)
    later = {"n": ["1,000", None], "day": [pd.Timestamp("1970-01-03"), NAT], "kind": ["c", "new"]}
    later = pd.DataFrame(later, index=["first", "second"]).assign(more="x")
    assert vectorizer.transform(later).tolist() == [[0, 0, 1, 1000, 2], [0, 0, 0, 4, 1]]
    assert [column.kind for column in vectorizer.columns_] == ["text", "numbers", "dates"]


KINDS = {
    "number": [1.5, 2.0],
    "date": DAYS[[0, 2]],
    "duration": pd.to_timedelta(["36h", "-24h"]),
}


@pytest.mark.parametrize(("fitted", "given"), [*permutations(KINDS, 2)])
def test_a_column_of_one_kind_is_none_of_another(fitted, given):
    vectorizer = TableVectorizer().fit(pd.DataFrame({"c": KINDS[fitted]}))
    as_objects = np.array(KINDS[given].tolist() if given != "number" else ["1.5", "2"], object)
    for values in (KINDS[given], as_objects):
        with pytest.raises(ValueError, match=f"Row 0, column 'c': .* is not a {fitted}"):
            vectorizer.transform(pd.DataFrame({"c": values}))
    with pytest.raises(ValueError) as told:
        vectorizer.transform(pd.DataFrame({"c": KINDS[given]}))
    assert "make it a category" not in str(told.value)
    nothing = pd.DataFrame({"c": pd.Series(KINDS[given]).shift(2)})
    assert vectorizer.transform(nothing).ravel().tolist() == 2 * [vectorizer.columns_[0].fill]


@pytest.mark.parametrize(
    "levels",
    [
        [True, False],
        [1, 0],
        [2**53, 2**53 + 1],
        [0.5, 0.25],
        ["1", "x"],
        [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01 12:00")],
        [pd.Timedelta("1D"), pd.Timedelta("36h")],
        [pd.Period("2020-01"), pd.Period("2020-02")],
    ],
    ids=str,
)
def test_levels_are_known_again_whatever_the_dtype_of_the_column(levels):
    column = pd.Series(levels * 4)
    vectorizer = TableVectorizer().fit(pd.DataFrame({"c": column.astype("category")}))
    assert vectorizer.get_feature_names_out().tolist() == sorted(f"c={x}" for x in levels)
    wanted = [[str(x) == name[2:] for name in vectorizer.get_feature_names_out()] for x in column]
    for later in (column, column.astype("category"), column.astype(object), column.map(str)):
        assert vectorizer.transform(pd.DataFrame({"c": later})).tolist() == wanted


def test_a_fit_that_fails_leaves_what_there_was():
    vectorizer = TableVectorizer().fit(FRAME)
    before = dict(vars(vectorizer))
    names = np.array([["a"], ["b"]], dtype=object)
    for other in (names, pd.DataFrame({"c": names.ravel()}), FRAME.set_axis(["a", 1], axis=1)):
        with pytest.raises((ValueError, TypeError), match=r"no column of which|string names"):
            vectorizer.fit(other)
        assert vars(vectorizer) == before
    assert vectorizer.fit(np.ones((2, 3))).transform(np.ones((1, 3))).shape == (1, 3)
    assert not hasattr(vectorizer, "feature_names_in_")


def test_decimal_mark_and_thousands_may_be_told():
    frame = pd.DataFrame({"c": ["1.000,5", "2"], "d": ["1,5", "2%"][:1] * 2})
    vectorizer = TableVectorizer(decimal=",")
    assert vectorizer.fit_transform(frame).tolist() == [[1000.5, 1.5], [2, 1.5]]
    with pytest.raises(ValueError, match="no column of which a number"):
        TableVectorizer(decimal=",", thousands=False).fit(frame[["c"]].replace("2", "x"))


def test_arrays_and_lists_are_tables_without_names():
    X = np.array([["a", 1.0], ["b", None], ["a", 3], ["b", 3], ["a", 3], ["b", 3]], dtype=object)
    vectorizer = TableVectorizer()
    wanted = [[1, 0, 1, 0], [0, 1, 3, 1]]
    assert vectorizer.fit_transform(X)[:2].tolist() == wanted
    assert vectorizer.get_feature_names_out().tolist() == ["x0=a", "x0=b", "x1", "x1 is missing"]
    assert vectorizer.transform(X[:2].tolist()).tolist() == wanted
    with pytest.raises(ValueError, match="3 features, but TableVectorizer is expecting 2"):
        vectorizer.transform(np.ones((1, 3)))
    masked = np.ma.masked_array([[1.0], [5.0], [3.0]], [[0], [1], [0]])
    assert vectorizer.fit_transform(masked).tolist() == [[1, 0], [2, 1], [3, 0]]


FRAME = pd.DataFrame({"size": [1.0, 2.0], "kind": ["a", "b"]})
MISTAKES = [
    (FRAME.rename(columns={"size": "Size"}), r"X has no column 'size' \(did you mean 'Size'\?\)"),
    (FRAME.drop(columns="size"), "its only column is 'kind'"),
    (FRAME[["size", "size"]], "more than one column 'size'"),
    (FRAME.assign(size=["x", 1]), "Row 0, column 'size': 'x' is not a number; if the column is"),
    (FRAME.assign(size=["1", "1e999"]), "Row 1, column 'size': '1e999' is not a finite number"),
    (FRAME.assign(size=[1, np.inf]).set_index("kind"), "Row b, column 'size': 'inf' is not a fin"),
    (FRAME.iloc[:0], "0 sample"),
    (FRAME["size"], "Expected 2D array, got 1D"),
]


@pytest.mark.parametrize(("later", "told"), MISTAKES, ids=[told[:40] for _, told in MISTAKES])
def test_a_frame_that_does_not_fit_is_refused(later, told):
    with pytest.raises(ValueError, match=told):
        TableVectorizer().fit(FRAME).transform(later)


def test_what_is_no_table_is_refused():
    with pytest.raises(TypeError, match="pass it to the regressor"):
        TableVectorizer().fit(csr_matrix(np.eye(3)))
    with pytest.raises(ValueError, match="0 sample"):
        TableVectorizer().fit(FRAME.iloc[:0])
    with pytest.raises(ValueError, match="more than one column 'kind'"):
        TableVectorizer().fit(FRAME[["kind", "kind"]])
    with pytest.raises(ValueError, match="'8,17' is not a number"):
        TableVectorizer().fit(pd.DataFrame({"c": ["1", "2", "8,17"]}))
    with pytest.raises(ValueError, match="'decimal' parameter"):
        TableVectorizer(decimal=";").fit(FRAME)
    with pytest.raises(ValueError, match="Complex"):
        TableVectorizer().fit(np.array([[1j]], dtype=object))


@pytest.fixture(scope="module")
def people():
    """A frame as people have them, with an index, and y."""
    random = np.random.default_rng(0)
    n = 60
    frame = pd.DataFrame(
        {
            "city": random.choice(["Oslo", "Rome", "Lima"], n),
            "age": np.where(random.random(n) < 0.2, NAN, random.integers(20, 60, n)),
            "share": [f"{x:.1f}%" for x in random.uniform(0, 9, n)],
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 999, n), "D"),
            "name": [f"n{i}" for i in range(n)],
        },
        index=[f"row {i}" for i in range(n)],
    )
    y = frame["age"].fillna(40) + 10.0 * (frame["city"] == "Rome")
    return frame, y


def test_scikit_learn_takes_the_pipeline_for_one_of_its_own(people):
    frame, y = people
    model = tabular_pipeline(QUICK)
    assert isinstance(tabular_pipeline()[-1], BackpropRegressor)
    scores = cross_val_score(tabular_pipeline(Ridge()), frame, y, cv=3)
    assert scores.min() > 0.9
    grid = {"backpropregressor__hidden_layer_sizes": [(2,), (4,)], "tablevectorizer__decimal": "."}
    search = GridSearchCV(model, grid | {"tablevectorizer__decimal": ["."]}, cv=2).fit(frame, y)
    wanted = search.best_estimator_.predict(frame)
    again = clone(search.best_estimator_).fit(frame, y)
    np.testing.assert_array_equal(again.predict(frame), wanted)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).predict(frame), wanted)
    names = again[:-1].get_feature_names_out().tolist()
    assert names[:3] == ["city=Lima", "city=Oslo", "city=Rome"]
    assert names[3:] == ["age", "age is missing", "share", "since"]
    framed = clone(again[0]).set_output(transform="pandas").fit_transform(frame)
    assert framed.columns.tolist() == names and framed.index[0] == "row 0"


@pytest.mark.parametrize(
    "model",
    [QUICK, BackpropEnsembleRegressor(QUICK, 2, random_state=0)],
    ids=["one", "ensemble"],
)
def test_a_saved_pipeline_predicts_the_same_of_tables(model, people, tmp_path):
    frame, y = people
    pipeline = tabular_pipeline(clone(model)).fit(frame, y)
    later = frame.iloc[:9, ::-1].assign(city="Bergen", age=NAN)
    content = io.BytesIO()
    for path in (tmp_path / "m.npz", content):
        save_pipeline(pipeline, path)
        restored = load_pipeline(path)
        assert restored[0].columns_ == pipeline[0].columns_
        np.testing.assert_array_equal(restored.predict(later), pipeline.predict(later))
    with pytest.raises(ValueError, match="no column 'city'"):
        restored.predict(later.drop(columns="city"))
    assert not hasattr(pipeline[-1], "feature_names_in_")
    kept = type(model).load(tmp_path / "m.npz")
    assert kept.feature_names_in_.tolist() == pipeline[0].get_feature_names_out().tolist()
    assert not vars(kept.fit(np.eye(20), np.arange(20.0))).keys() & {"columns_", "vectorizer_"}


@pytest.mark.parametrize("told", [{"decimal": ","}, {"thousands": False}, {}], ids=str)
@pytest.mark.parametrize("ensemble", [False, True], ids=["one", "ensemble"])
def test_a_file_has_all_parameters_of_the_vectorizer(told, ensemble):
    model = BackpropEnsembleRegressor(QUICK, 2, random_state=0) if ensemble else QUICK
    frame = pd.DataFrame({"price": ["1.500", "2.50"] * 20})
    pipeline = tabular_pipeline(clone(model), **told).fit(frame.replace("2.50", "2"), range(40))
    content, again, old = io.BytesIO(), io.BytesIO(), io.BytesIO()
    save_pipeline(pipeline, content)
    content.seek(0)
    kept = type(model).load(content)
    kept.save(again)
    for file in (content, again):
        file.seek(0)
        restored = load_pipeline(file)[0]
        assert vars(restored).keys() == vars(pipeline[0]).keys()
        assert restored.get_params() == pipeline[0].get_params()
    del kept.vectorizer_  # as of files from before they had it
    kept.save(old)
    old.seek(0)
    assert load_pipeline(old)[0].get_params() == TableVectorizer().get_params()


@pytest.mark.parametrize("stored", [[1], "ab", {"decimal": ";"}, {"other": 1}, {"thousands": 2}])
def test_damaged_parameters_of_a_vectorizer_are_refused(stored, people, tmp_path):
    pipeline = tabular_pipeline(QUICK).fit(*people)
    save_pipeline(pipeline, tmp_path / "m.npz")
    model = BackpropRegressor.load(tmp_path / "m.npz")
    model.vectorizer_ = stored
    model.save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match="knows of its table is damaged"):
        load_pipeline(tmp_path / "m.npz")
    pipeline[0].decimal = ";"
    with pytest.raises(ValueError, match="'decimal' parameter"):
        save_pipeline(pipeline, tmp_path / "other.npz")
    assert not (tmp_path / "other.npz").exists()


def test_a_pipeline_of_arrays_is_one_of_arrays_when_it_is_loaded(tmp_path):
    X, y = np.random.default_rng(0).random((20, 2)), np.arange(20.0)
    pipeline = tabular_pipeline(QUICK).fit(X, y)
    save_pipeline(pipeline, tmp_path / "m.npz")
    restored = load_pipeline(tmp_path / "m.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(restored.predict(X), pipeline.predict(X))
    with pytest.warns(UserWarning, match="fitted without feature names"):
        found = restored.predict(pd.DataFrame(X, columns=["a", "b"]))
    np.testing.assert_array_equal(found, pipeline.predict(X))


def test_what_a_model_saved_itself_is_a_pipeline_too(tmp_path):
    X, y = np.random.default_rng(0).random((20, 2)), np.arange(20.0)
    model = clone(QUICK).fit(X, y)
    model.save(tmp_path / "plain.npz")
    pipeline = load_pipeline(tmp_path / "plain.npz")
    np.testing.assert_array_equal(pipeline.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="Row 1, column 'x0': the value is missing"):
        pipeline.predict([[1.0, 2.0], [NAN, 2.0]])


def test_only_what_a_file_can_hold_is_saved(tmp_path):
    for other in (tabular_pipeline(LinearRegression()), make_pipeline(QUICK), QUICK):
        with pytest.raises(TypeError, match="Only a Pipeline of a TableVectorizer"):
            save_pipeline(other, tmp_path / "m.npz")
    with pytest.raises(ValueError, match="not fitted"):
        save_pipeline(tabular_pipeline(QUICK), tmp_path / "m.npz")
    assert not (tmp_path / "m.npz").exists()


def test_frames_of_polars_are_read_as_those_of_pandas(people):
    pl = pytest.importorskip("polars")
    frame, y = people
    other = pl.DataFrame({name: frame[name].to_list() for name in frame}).with_columns(
        pl.col("city").cast(pl.Categorical), pl.col("age").cast(pl.Int32, strict=False)
    )
    model = tabular_pipeline(QUICK).fit(frame, y)
    X = tabular_pipeline(QUICK).fit(other, y)[0].transform(other)
    np.testing.assert_array_equal(X, model[0].transform(frame))
    np.testing.assert_array_equal(model.predict(other), model.predict(frame))


def test_times_of_polars_keep_their_unit():
    pl = pytest.importorskip("polars")
    far = [datetime.datetime(1500, 1, 1), datetime.datetime(9999, 12, 31), None]
    frame = pl.DataFrame({"ms": far, "zone": far, "short": [864, -864, None]}).with_columns(
        pl.col("ms").cast(pl.Datetime("ms")),
        pl.col("zone").dt.replace_time_zone("Etc/GMT-6"),
        pl.col("short").cast(pl.Duration("ns")),
    )
    wanted = [[-171664, -171664.25, 1e-11], [2932896, 2932895.75, -1e-11]]
    assert TableVectorizer().fit_transform(frame)[:2, ::2].tolist() == wanted


def test_columns_of_arrow_s_types_are_read_as_pandas_own():
    pa = pytest.importorskip("pyarrow")

    def numbers(values, *type_and_zone):
        column = pd.arrays.ArrowExtensionArray(pa.array(values, *type_and_zone))
        return TableVectorizer().fit_transform(pd.DataFrame({"c": column})).T.tolist()

    far = [datetime.datetime(1500, 1, 1), None, datetime.datetime(9999, 12, 31)]
    of_far = [[-171664, 1380616, 2932896], [0, 1, 0]]
    zone = pa.timestamp("us", "Etc/GMT-6")
    for dtype in (pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("us"), zone):
        assert numbers(far, dtype) == of_far
    long = [datetime.timedelta(146000), datetime.timedelta(-146000)]
    assert numbers(long, pa.duration("s")) == [[146000, -146000]]
    assert numbers([True, None, False], pa.bool_()) == [[1, 0.5, 0], [0, 1, 0]]
    assert numbers([Decimal("1.5"), None, Decimal("2")]) == [[1.5, 1.75, 2], [0, 1, 0]]
    levels = numbers(pa.array([1, None, 2] * 3).dictionary_encode())
    assert levels == [[1, 0, 0] * 3, [0, 0, 1] * 3, [0, 1, 0] * 3]


def test_tables_of_arrow_are_read_as_those_of_pandas(people):
    class Table:  # as pyarrow has them, whose columns have no names
        def __init__(self, frame):
            self.column_names, self.columns = list(frame.columns), [frame[c] for c in frame]
            self.to_pandas = lambda: frame

    frame, _ = people
    expected, found = TableVectorizer().fit(frame), TableVectorizer().fit(Table(frame))
    np.testing.assert_array_equal(found.transform(Table(frame)), expected.transform(frame))
    assert list(found.feature_names_in_) == list(frame.columns)


def test_a_frame_that_is_not_computed_yet_is_refused(people):
    class Lazy:
        def collect(self):
            return people[0]

    for call in (TableVectorizer().fit, TableVectorizer().fit(people[0]).transform):
        with pytest.raises(TypeError, match=r"X is not computed yet: collect\(\) it"):
            call(Lazy())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_s_checks_of_a_transformer_pass():
    check_estimator(TableVectorizer())


def test_the_examples_in_the_documentation_run():
    results = doctest.testmod(vectorizer)
    assert results.attempted > 5 and results.failed == 0
