"""CSV files as people have them, and what is said about those that can't be read."""

import numpy as np
import pytest

from fastbp.app import tables

TABLE = "a,b,y\n1,2.5,3\n-4,5e-1,6\n"


def written(folder, content):
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        "\ufeff" + TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", " , "),
        "\n" + TABLE + "\n  \n\n",
        TABLE.rstrip(),
        '"a","b","y"\n"1","2.5","3"\n"-4","0.5","6"\n',
    ],
    ids=["plain", "bom", "crlf", "cr", "semicolon", "tab", "spaces", "blank", "no end", "quoted"],
)
def test_a_table_is_read_however_it_was_saved(tmp_path, content):
    table = tables.read(written(tmp_path, content))
    assert table.names == ["a", "b", "y"]
    np.testing.assert_array_equal(table.numbers(["b", "a"]), [[2.5, 1], [0.5, -4]])


def test_a_quoted_name_may_hold_a_delimiter(tmp_path):
    table = tables.read(written(tmp_path, '"weight, kg";"height, m"\n1;2\n'))
    assert table.names == ["weight, kg", "height, m"]


def test_a_table_may_have_one_column(tmp_path):
    np.testing.assert_array_equal(
        tables.read(written(tmp_path, "a\n1\n2\n")).numbers(["a"]), [[1], [2]]
    )


MISTAKES = [
    ("", "is empty"),
    ("\n \n", "is empty"),
    ("a,b\n", "no rows"),
    ("1,2\n3,4\n", "no header"),
    ("a,b\n1,2\n3\n", "line 3 has 1 fields, the header 2"),
    ('a,b\n"1,2\n', "not CSV"),
    (b"\x00\x01\xff\xfe", "UTF-8"),
    ("ä,b\n1,2\n".encode("latin1"), "UTF-8"),
    ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
]


@pytest.mark.parametrize(("content", "told"), MISTAKES)
def test_what_is_no_table_is_refused(tmp_path, content, told):
    with pytest.raises(tables.TableError, match=told):
        tables.read(written(tmp_path, content))


CELLS = [
    ("chevrolet", "line 3, column 'b': 'chevrolet' is not a number"),
    ("", "line 3, column 'b': the value is missing"),
    ("nan", "'nan' is not a finite number"),
    ("1e999", "'1e999' is not a finite number"),
    ('"8,174"', "write thousands without separators; tell a decimal mark by --decimal"),
    ("1_000", "'1_000' is not a number"),
    ("٣", "'٣' is not a number"),
    ("0x10", "'0x10' is not a number"),
    ("1d5", "'1d5' is not a number"),
    ("True1", "not a number"),
    ("x\x1b[31m", r"'x\\x1b\[31m' is not"),
    ("x" * 1000, r"x{37}\.\.\."),
]


@pytest.mark.parametrize(("cell", "told"), CELLS)
def test_a_bad_cell_is_named(tmp_path, cell, told):
    table = tables.read(written(tmp_path, f"a,b\n1,2\n3,{cell}\n"))
    with pytest.raises(tables.TableError, match=told):
        table.numbers(["a", "b"])


def test_a_bad_cell_of_another_column_does_not_matter(tmp_path):
    table = tables.read(written(tmp_path, "name,a\nchevrolet,1\n"))
    assert table.numbers(["a"]) == 1


COLUMNS = [
    ("strenght", r"no column 'strenght' \(did you mean 'strength'\?\); its columns are strength"),
    ("STRENGTH", "did you mean 'strength'"),
    ("twice", "more than one column 'twice'"),
    ("", "column 4 has no name"),
]


@pytest.mark.parametrize(("name", "told"), COLUMNS)
def test_a_column_that_cannot_be_had_is_named(tmp_path, name, told):
    table = tables.read(written(tmp_path, "strength,twice,twice,\n1,2,3,4\n"))
    with pytest.raises(tables.TableError, match=told):
        table.numbers([name])


def test_a_message_lists_a_bounded_number_of_columns(tmp_path):
    names = ",".join(f"c{k}" for k in range(500))
    table = tables.read(written(tmp_path, f"{names}\n{','.join('1' * 500)}\n"))
    with pytest.raises(tables.TableError, match="c19 and 480 more"):
        table.require(["target"])


@pytest.mark.parametrize(
    ("name", "shape"),
    [("auto_mpg", (392, 8)), ("concrete", (1030, 9)), ("airfoil_self_noise", (1503, 6))],
)
def test_the_shipped_tables_are_found(name, shape):
    table = tables.read(tables.shipped(name))
    assert table.numbers(table.names).shape == shape


def test_a_split_sets_the_asked_share_aside():
    X = np.arange(20.0).reshape(-1, 1)
    split = tables.split_rows(X, X.ravel(), 0.25, seed=0)
    assert (len(split.X), len(split.X_test)) == (15, 5)
    assert sorted([*split.y, *split.y_test]) == X.ravel().tolist()
    assert len(tables.split_rows(X, X.ravel(), 0, seed=0).y_test) == 0


@pytest.mark.parametrize(("rows", "share"), [(1, 0.2), (3, 0.2), (20, 0.99), (20, 1.0), (20, -0.1)])
def test_a_split_that_leaves_too_few_rows_is_refused(rows, share):
    with pytest.raises(ValueError, match=r"Too few|test-fraction"):
        tables.split_rows(np.ones((rows, 1)), np.ones(rows), share, seed=0)


def test_what_can_be_written_is_told_without_leaving_a_trace(tmp_path):
    tables.check_writable(tmp_path / "new.npz")
    assert list(tmp_path.iterdir()) == []
    kept = written(tmp_path, TABLE)
    tables.check_writable(kept)
    assert kept.read_text() == TABLE


def test_what_is_read_is_never_to_be_overwritten(tmp_path):
    path = written(tmp_path, TABLE)
    (tmp_path / "link.npz").symlink_to(path)
    with pytest.raises(ValueError, match="the table itself"):
        tables.check_writable(tmp_path / "link.npz", keep=path)
