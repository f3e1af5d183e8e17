"""CSV files as people have them, and what is said about those that can't be read."""

import os
import sys

import numpy as np
import pytest

from fastbp import paths
from fastbp.app import dialects, files, tables

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
        TABLE.replace(",", "|"),
        TABLE.replace(",", " , "),
        "\n" + TABLE + "\n  \n\n",
        TABLE.rstrip(),
        '"a","b","y"\n"1","2.5","3"\n"-4","0.5","6"\n',
        TABLE.replace(",", ";").replace(".", ",").replace("5e-1", "0,5"),
        '"a","b","y"\n1,"2,5",3\n-4,"0,5",6\n',
        TABLE + ",,\n,,\n",
        TABLE.replace("\n", ",\n").replace("y,", "y"),
        "sep=;\r" + TABLE.replace(",", ";").replace("\n", "\r"),
        '\n"SEP=\t"\r\n' + TABLE.replace(",", "\t").replace("\n", "\r\n"),
    ],
    ids=[
        *("plain", "bom", "crlf", "cr", "semicolon", "tab", "bar", "spaces", "blank", "no end"),
        *("quoted", "comma", "quoted comma", "separators at the end", "a separator at each end"),
        *("the separator said", "a tab said"),
    ],
)
def test_a_table_is_read_however_it_was_saved(tmp_path, content):
    table = tables.read(written(tmp_path, content))
    assert table.names == ["a", "b", "y"]
    np.testing.assert_array_equal(table.numbers(["b", "a"]), [[2.5, 1], [0.5, -4]])


def test_behind_a_line_that_says_the_separator_lines_are_counted_on(tmp_path):
    table = tables.read(written(tmp_path, "sep=|\na,b|y\n1,5|2\nx|3\n"))
    assert table.names == ["a,b", "y"]
    with pytest.raises(tables.TableError, match="line 4, column 'a,b': 'x' is not a number"):
        table.numbers(["a,b"])


@pytest.mark.parametrize(
    ("content", "told", "names"),
    [
        ("sep=|\na,y\n1,2\n", {"delimiter": ","}, ["a", "y"]),
        ("sep=,\na;y\n1,5;2\n", {"decimal": ","}, ["a", "y"]),
        ("\ufeffsep=;\na,b;y\n1;2\n", {}, ["a,b", "y"]),
        ("sep=;\nsep=;\n1;2\n", {}, ["sep=", ""]),
        ('"sep=|"\na,b|y\n1,x|2\n', {}, ["a,b", "y"]),
        ("a,sep=;\n1,2\n", {}, ["a", "sep=;"]),
        ("sep=.\n1\n", {}, ["sep=."]),
    ],
)
def test_what_is_said_holds_where_it_can_be_and_nothing_else_is_told(
    content, told, names, tmp_path
):
    assert tables.read(written(tmp_path, content), **told).names == names


def test_a_line_that_says_the_separator_is_no_table(tmp_path):
    with pytest.raises(tables.TableError, match="is empty"):
        tables.read(written(tmp_path, "sep=;\n"))


def test_a_quoted_name_may_hold_a_delimiter(tmp_path):
    table = tables.read(written(tmp_path, '"weight, kg";"height, m"\n1;2\n'))
    assert table.names == ["weight, kg", "height, m"]


@pytest.mark.parametrize("name", ["a, in m", "a (m, SI)", "a; in m", "a\tm"])
def test_commas_in_the_names_are_no_delimiters(tmp_path, name):
    separator = "," if ";" in name else ";"
    names = [name, name.replace("a", "b"), "y"]
    table = tables.read(
        written(tmp_path, separator.join(names) + "\n1.5;2;3".replace(";", separator))
    )
    assert table.names == names
    assert table.numbers(names).tolist() == [[1.5, 2, 3]]


@pytest.mark.parametrize(
    ("content", "told", "values"),
    [
        ("a;b\n8,174;1\n", {"decimal": ","}, [8.174, 1]),
        ("a;b\n8,174;1,5\n", {}, [8.174, 1.5]),
        ("a;b\n1;2\n", {"delimiter": ";"}, [1, 2]),
        ("a b\n1 2\n", {"delimiter": " "}, [1, 2]),
        ("a,b;c\n1,2;3\n", {"delimiter": ";"}, None),
        ("a,b\nTrue,1\n", {}, [1, 1]),
        ("a,b\n123456789012345678901234567890,.1\n", {}, [123456789012345678901234567890.0, 0.1]),
    ],
)
def test_a_dialect_may_be_told(tmp_path, content, told, values):
    table = tables.read(written(tmp_path, content), **told)
    if values is None:
        assert table.names == ["a,b", "c"]
    else:
        assert table.numbers(["a", "b"]).tolist() == [values]


def test_numbers_are_read_as_python_reads_them(tmp_path):
    values = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250)
    table = tables.read(written(tmp_path, "a\n" + "\n".join(map(repr, values.tolist()))))
    np.testing.assert_array_equal(table.numbers(["a"]).ravel(), values)


def test_a_table_of_many_groups_of_rows_is_one(tmp_path):
    more = ",0" * 3000  # so wide that pandas reads 500 rows at a time
    rows = [f"{i},{i}{more}" for i in range(600)]
    content = "\n".join(["a,b" + ",c" * 3000, *rows, f"7,x{more}"])
    table = tables.read(written(tmp_path, content))
    assert table.numbers(["a"]).ravel().tolist() == [*range(600), 7]
    with pytest.raises(tables.TableError, match="line 602, column 'b': 'x' is not a number"):
        table.numbers(["b"])


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
    (b"a,b\n" + b"1,2\n" * 100_000 + b"\xe4,2\n", "UTF-8"),
    (b"a,b\n" + b"1,2\n" * 100_000 + b"\0,2\n", "UTF-8"),
    ("a,b\n" + "1,2\n" * 50 + "3,4,5,6\n", "line 52 has 4 fields, the header 2"),
    ("a,b\n1,2,3\n4,5\n", "line 2 has 3 fields, the header 2"),
    ("a,b\n1,2,3,4\n4,5\n", "line 2 has 4 fields, the header 2"),
    ('a,b\n"1"5,2\n', "line 2 is not CSV"),
    ("a,b\n,\n", "no rows"),
    ('"' + "a," * 10**5, "not CSV"),
    ("a" * (dialects.LONGEST_HEADER + 2), "longer than"),
    ("a," * 100_001 + "\n", "100,002 columns"),
    ("\n" * 2 * dialects.LONGEST_HEADER + "a\n1\n", "is empty"),
    ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
]


@pytest.mark.parametrize(("content", "told"), MISTAKES, ids=lambda value: str(value)[:30])
def test_what_is_no_table_is_refused(tmp_path, content, told):
    with pytest.raises(tables.TableError, match=told):
        tables.read(written(tmp_path, content))


@pytest.mark.skipif(os.name != "posix", reason="files of POSIX")
def test_what_may_never_end_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/zero", tmp_path / "fifo"):
        with pytest.raises(tables.TableError, match="is not a file but a pipe or a device"):
            tables.read(path)
    with open(tmp_path / "zeros", "wb") as file:
        file.truncate(2**36)
    with pytest.raises(tables.TableError, match="UTF-8"):
        tables.read(tmp_path / "zeros")


def test_without_pandas_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"fastbp\[tables\]"):
        tables.read(written(tmp_path, TABLE))


CELLS = [
    ("chevrolet", "line 3, column 'b': 'chevrolet' is not a number"),
    ("", "line 3, column 'b': the value is missing"),
    ("nan", "'nan' is not a finite number"),
    ("1e999", "'1e999' is not a finite number"),
    ('"8,174"', "write thousands without separators; tell a decimal mark by --decimal"),
    ("1_000", "'1_000' is not a number"),
    ("٣", "'٣' is not a number"),
    ("-" + "1" * 400, "1\\.\\.\\.' is not a finite number"),
    ("1" * 5000, "1\\.\\.\\.' is not a finite number"),
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


@pytest.mark.parametrize(
    ("content", "told", "advice"),
    [
        ("a;b\n7.804;1\n", {"decimal": ","}, "is ','; write thousands without separators, or see"),
        ("a;b\n7.804;1,5\n", {}, "is ','; write thousands without separators, or see --decimal"),
        ("a;b\n7,804;1\n", {"decimal": "."}, "is '.'; write thousands without separators, or see"),
        ("a;b\n7.8;1\n", {"decimal": ","}, "the decimal mark of this table is ','; see --decimal"),
        ("a;b\n7,804;1\n", {}, "separators; tell a decimal mark by --decimal"),
        ("a;b\n7,804x;1\n", {}, "is not a number."),
    ],
)
def test_the_advice_fits_what_is_known_of_the_decimal_mark(content, told, advice, tmp_path):
    with pytest.raises(tables.TableError) as error:
        tables.read(written(tmp_path, content), **told).numbers(["a"])
    assert advice in str(error.value)


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
    with pytest.raises(tables.TableError, match="'x4' and 995 more"):
        table.require([f"x{k}" for k in range(1000)])
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
    files.check_writable(tmp_path / "new.npz")
    assert list(tmp_path.iterdir()) == []
    kept = written(tmp_path, TABLE)
    files.check_writable(kept)
    assert kept.read_text() == TABLE


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_links_stay_and_pipes_are_not_closed_where_a_file_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to("new")
    files.check_writable(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "new").exists()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(paths, "open", None, raising=False)  # it would wait for a reader
    files.check_writable(tmp_path / "pipe")


def test_what_is_read_is_never_to_be_overwritten(tmp_path):
    path = written(tmp_path, TABLE)
    (tmp_path / "link.npz").symlink_to(path)
    with pytest.raises(ValueError, match="the table itself"):
        files.check_writable(tmp_path / "link.npz", keep=path)
