"""Columns with text and holes: what numbers become of them, then and with every later table."""

import json

import numpy as np
import pytest

from fastbp.app import tables
from fastbp.tabular import columns
from fastbp.tabular.frames import Frame


def table_of(folder, cells, name="table.csv", header="c"):
    """A table of one column and a second that is never empty."""
    lines = [f'"{header}",y', *(f'"{cell}",1' for cell in cells)]
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return tables.read(folder / name)


def learnt(table):
    with table.located():
        (column,) = columns.learn(Frame(table.frame(["c"])), **dialect(table))
    return column


def numbers(column, table):
    as_written = ["c"] if column.kind != "numbers" else []
    with table.located():
        X = columns.numbers([column], Frame(table.frame(["c"], as_written)), **dialect(table))
    return X.T.tolist()


def dialect(table):
    return tables.vectorizer_for(table).get_params()


COLUMNS = [
    ("numbers", ["1", "2.5", "-3e2"], [[1, 2.5, -300]], "numbers"),
    ("holes", ["1", "", "4", "NA", "9"], [[1, 4, 4, 4, 9], [0, 1, 0, 1, 0]], "median 4 and"),
    ("no value", ["1", "nan", "4", "?", "9"], [[1, 4, 4, 4, 9], [0, 1, 0, 1, 0]], "median 4 and"),
    ("booleans", ["True", "false", "TRUE"], [[1, 0, 1]], "numbers"),
    ("percent", ["5%", "12.5 %", "-1%"], [[5, 12.5, -1]], "percentages"),
    ("thousands", ["1,234", "12", "1,234,567.5"], [[1234, 12, 1234567.5]], "thousands"),
    ("days", ["1970-01-02", "1969-12-31"], [[1, -1]], "days since 1970"),
    ("times", ["1970-01-02 12:00", "1970-01-01T06:00:00"], [[1.5, 0.25]], "days since 1970"),
    ("a moment", ["1970-01-01T06:00:00.5Z"], [[0.25 + 0.5 / 86400]], "days since 1970"),
    ("German days", ["02.01.1970", "31.12.1969"], [[1, -1]], "the day first"),
    ("English days", ["2/1/1970", "13/1/1970"], [[1, 12]], "the day first"),
    ("American days", ["1/2/1970", "1/13/1970 18:00"], [[1, 12.75]], "the month first"),
    ("text", ["b", "a"] * 3, [[0, 1] * 3, [1, 0] * 3], "2 levels"),
    ("codes", ["1", "a"] * 3, [[1, 0] * 3, [0, 1] * 3], "2 levels"),
    ("few", ["a"] * 3 + ["b"], [[1, 1, 1, 0], [0, 0, 0, 1]], "1 level and one for all others"),
    ("hole", ["a"] * 3 + [""], [[1, 1, 1, 0], [0, 0, 0, 1]], "tells the holes"),
    ("names", ["ann", "bob", "eve"], [], "left out"),
    ("empty", ["", "NA", ""], [], "left out"),
    ("no dates", ["2024-02-31"] * 3, [[1, 1, 1]], "1 level"),
]


@pytest.mark.parametrize(
    ("cells", "wanted", "told"),
    [row[1:] for row in COLUMNS],
    ids=[*next(zip(*COLUMNS, strict=True))],
)
def test_a_column_becomes_numbers(tmp_path, cells, wanted, told):
    table = table_of(tmp_path, cells)
    column = learnt(table)
    assert numbers(column, table) == wanted
    assert len(column.names()) == len(wanted)
    assert told in column.told()


LATER = [
    (["a", "b"] * 3, ["b", "new", "", "a"], [[0, 0, 0, 1], [1, 0, 0, 0]]),
    (["a"] * 3 + ["b"], ["b", "new", "", "a"], [[0, 0, 0, 1], [1, 1, 0, 0]]),
    (["a"] * 3 + [""], ["new", "", "a"], [[0, 0, 1], [0, 1, 0]]),
    (["1", "a"] * 3, ["1", "2"], [[1, 0], [0, 0]]),
    (["1", "2", "6"], ["", "5"], [[2, 5]]),
    (["1", "", "6"], ["5", "7"], [[5, 7], [0, 0]]),
    (["1,000", "2"], ["3", "4"], [[3, 4]]),
    (["3", "4"], ["1,000", "2"], [[1000, 2]]),
    (["31.12.1969"], ["1.2.1970", "1970-01-02"], [[31, 1]]),
    (["007", "x7"] * 3, ["007", "7"], [[1, 0], [0, 0]]),
    (["ann", "bob"], ["1", "2"], []),
]


@pytest.mark.parametrize(("cells", "later", "wanted"), LATER)
def test_a_later_table_is_treated_as_the_first(tmp_path, cells, later, wanted):
    column = learnt(table_of(tmp_path, cells))
    stored = json.loads(json.dumps(columns.to_json([column])))
    assert columns.from_json(stored, column.names()) == [column]
    assert numbers(column, table_of(tmp_path, later, "later.csv")) == wanted


MISTAKES = [
    (["1", "2"], ["3", "x"], "later.csv, line 3, column 'c': 'x' is not a number"),
    (["1", "2"], ["3", "1e999"], "'1e999' is not a finite number"),
    (["1%", "2%"], ["3%", "4"], "'4' is not a percentage"),
    (["2024-01-02", "2024-01-03"], ["3"], "'3' is not a date such as 2024-12-31"),
]


@pytest.mark.parametrize(("cells", "later", "told"), MISTAKES)
def test_a_later_cell_that_does_not_fit_is_named(tmp_path, cells, later, told):
    column = learnt(table_of(tmp_path, cells))
    with pytest.raises(tables.TableError, match=told):
        numbers(column, table_of(tmp_path, later, "later.csv"))


@pytest.mark.parametrize("cells", [["1", "2", "x"], ["1", "8,17", "2.5"], ["3", "inf", "4"]])
def test_a_mistake_in_a_column_of_numbers_makes_no_text_of_it(tmp_path, cells):
    with pytest.raises(tables.TableError, match="column 'c'"):
        learnt(table_of(tmp_path, cells))


def test_a_comma_between_semicolons_stays_in_doubt(tmp_path):
    (tmp_path / "t.csv").write_text("c;y\n8,174;2\n9,200;3\n")
    with pytest.raises(tables.TableError, match="write thousands without separators"):
        learnt(tables.read(tmp_path / "t.csv"))


#: Between semicolons, of tables whose decimal mark is found out (by the second column) or not.
GROUPS = [
    (["6,37", "3.557,45", "8.174"], "1,5", [6.37, 3557.45, 8174]),
    (["6,37", "3.557,45", "1.234.567"], "1", [6.37, 3557.45, 1234567]),
    (["6.37", "3,557.45", "-8,174"], "1", [6.37, 3557.45, -8174]),
    (["3.557,45"], "1", [3557.45]),
    (["1 234", "12 345,5"], "1", [1234, 12345.5]),
    (["1 234", "12 345"], "1", [1234, 12345]),
    (["1.234.567", "8.174"], "1,5", [1234567, 8174]),
    (["1\u00a0234.567", "-12\u202f345", "7"], "1", [1234.567, -12345, 7]),
    (["1'234'567.5", "12’345"], "1", [1234567.5, 12345]),
    (["3.557,45 %", "2%"], "1", [3557.45, 2]),
]


@pytest.mark.parametrize(("cells", "beside", "wanted"), GROUPS)
def test_separators_that_can_be_nothing_else_separate_thousands(tmp_path, cells, beside, wanted):
    rows = "".join(f"{cell};{beside}\n" for cell in cells)
    (tmp_path / "t.csv").write_text(f"c;y\n{rows}", encoding="utf-8")
    table = tables.read(tmp_path / "t.csv")
    assert numbers(learnt(table), table) == [wanted]


def test_a_column_of_plain_numbers_may_have_such_separators_later(tmp_path):
    (tmp_path / "t.csv").write_text("c;y\n3.557,45;1\n")
    column = columns.Column("c", "numbers")
    assert numbers(column, tables.read(tmp_path / "t.csv")) == [[3557.45]]


@pytest.mark.parametrize(
    ("cells", "beside", "told"),
    [
        (["8,174", "9,200"], "1", "tell a decimal mark by --decimal"),
        (["1.234.567", "2.345.678"], "1", "tell a decimal mark by --decimal"),
        (["8.174", "9.200"], "1,5", "write thousands without separators"),
        (["3.557,45", "4.557,45"], "1.5", "the decimal mark of this table is '.'; see --decimal"),
        (["1 234,5", "2 345,5"], "1.5", "the decimal mark of this table is '.'; see --decimal"),
        (["12,5%", "13,5%"], "1.5", "the decimal mark of this table is '.'; see --decimal"),
        (["0 123", "0,123", "1"], "1.5", "'0 123' is not a number|'0,123' is not a number"),
    ],
)
def test_numbers_in_another_writing_are_never_text(tmp_path, cells, beside, told):
    rows = "".join(f"{cell};{beside}\n" for cell in cells)
    (tmp_path / "t.csv").write_text(f"c;y\n{rows}", encoding="utf-8")
    with pytest.raises(tables.TableError, match=told):
        learnt(tables.read(tmp_path / "t.csv"))


def test_of_many_rows_a_level_is_in_a_hundredth():
    cells = np.array(["a"] * 890 + ["b"] * 10 + ["c"] * 9 + ["a"] * 91, object)
    (column,) = columns.learn(Frame(cells[:, None]), ".", True)
    assert (column.levels, column.has_others) == (("a", "b"), True)


def test_of_very_many_rows_a_level_is_in_fifty_and_there_are_a_hundred():
    cells = np.array(["a"] * 6000 + ["b"] * 50 + ["c"] * 49, object)
    (column,) = columns.learn(Frame(cells[:, None]), ".", True)
    assert (column.levels, column.has_others) == (("a", "b"), True)
    towns = np.repeat([f"town {k}" for k in range(150)], 50).astype(object)
    (column,) = columns.learn(Frame(towns[:, None]), ".", True)
    assert (len(column.levels), column.has_others) == (100, True)


def test_codes_keep_their_zeros_whatever_rows_are_read_together(tmp_path):
    more = ",0" * 3000  # so wide that pandas reads 500 rows at a time
    rows = [f"007,1{more}"] * 500 + [f"x7,1{more}"] * 500
    (tmp_path / "t.csv").write_text("\n".join(["c,y" + ",c" * 3000, *rows]).replace(",c", ",d"))
    table = tables.read(tmp_path / "t.csv")
    assert table.frame(["c"])["c"].tolist() == ["007"] * 500 + ["x7"] * 500


DAMAGED = [
    {"kind": "pickle"},
    {"fill": "0"},
    {"levels": [1]},
    {"levels": None},
    {"name": "d"},
    {"more": 1},
    {"has_holes": True},
]


@pytest.mark.parametrize("change", DAMAGED, ids=str)
def test_what_a_file_says_of_columns_is_not_trusted(change):
    column = columns.Column("c", "numbers", 1.0)
    (stored,) = columns.to_json([column])
    assert stored == {"name": "c", "kind": "numbers", "fill": 1.0}
    with pytest.raises(ValueError, match="is damaged"):
        columns.from_json([stored | change], ["c"])
