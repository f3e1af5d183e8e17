"""Tables: CSV files as numbers, and the data that comes with the package."""

import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from fastbp.app.dialects import Dialect, dialect_of, first_lines, header_of, hint
from fastbp.app.files import Text, opened, records
from fastbp.tabular import columns as of_columns
from fastbp.tabular.cells import NOT_FINITE, TableError, number, shortened
from fastbp.tabular.columns import CellError, Column
from fastbp.tabular.frames import Frame, require
from fastbp.tabular.vectorizer import TableVectorizer


@dataclass(frozen=True)
class Table:
    """A CSV file: columns of numbers where all cells are numbers, else of objects."""

    path: object
    dialect: Dialect
    names: list
    columns: list

    def __len__(self):
        return len(self.columns[0])

    @cached_property
    def place(self):
        """Where the column of a name is."""
        return {name: at for at, name in enumerate(self.names)}

    def numbers(self, names):
        """The columns of these names.

        Parameters
        ----------
        names : sequence of str

        Returns
        -------
        ndarray of shape (n_rows, len(names)), float64

        Raises
        ------
        TableError
            If a column is missing or there twice, or a cell is not a finite number.
        """
        plain = [Column(name, "numbers", np.nan) for name in names]
        with self.located():
            frame = Frame(self.frame(names))
            return of_columns.numbers(plain, frame, self.dialect.decimal, False)

    def require(self, names):
        """Raise a TableError unless each of `names` is the name of one column."""
        mark = shortened(self.dialect.delimiter)
        only = f" (fields taken to be separated by {mark})"
        require(names, self.names, self.path, only)
        if "" in names:
            at = self.names.index("") + 1
            raise TableError(f"{self.path}: column {at} has no name in the header.")

    def frame(self, names, as_written=()):
        """A data frame of the columns of these names, whose index is the number of the row.

        Parameters
        ----------
        names : sequence of str
        as_written : container of str
            Columns whose cells are needed as text even if all are numbers: 007 stays that.

        Returns
        -------
        pandas.DataFrame
            float64 where all cells are numbers or empty, else text. It shares memory with the
            table.
        """
        self.require(names)
        arrays = [self.column(name) for name in names]
        as_texts = [k for k, a in enumerate(arrays) if a.dtype != float or names[k] in as_written]
        for k, texts in zip(as_texts, self._texts([names[k] for k in as_texts]), strict=True):
            arrays[k] = texts
        frame = pandas_or_error().DataFrame(dict(enumerate(arrays)), copy=False)
        frame.columns = list(names)
        return frame

    def without_columns(self):
        """The table without its numbers, which still knows where things are."""
        return replace(self, columns=[])

    @contextmanager
    def located(self):
        """Where something is wrong with a cell of a `frame`, say where it is in the file."""
        try:
            yield
        except CellError as error:
            raise self.cell_error(error.label, error.name, error.wanted) from None

    def column(self, name):
        """A column as it was read: float64 if each cell is a number or empty, else objects."""
        return self.columns[self.place[name]]

    def _texts(self, names):
        """The cells of columns as they are written, without space around."""
        texts = [self._texts_read(self.column(name)) for name in names]
        again = [k for k, cells in enumerate(texts) if cells is None]
        if again:  # pandas has made numbers of some
            places = [self.place[names[k]] for k in again]
            found = islice(records(self.path, self.dialect.delimiter), 1, len(self) + 1)
            cells = [[row[at].strip() for at in places] for _, row in found]
            for k, column in zip(again, zip(*cells, strict=True), strict=True):
                texts[k] = np.array(column, dtype=object)
        return texts

    @staticmethod
    def _texts_read(cells):
        if cells.dtype == float or not all(isinstance(c, str) or c != c for c in cells):
            return None
        return np.array([cell.strip() if cell == cell else "" for cell in cells], dtype=object)

    def cell_error(self, i, name, wanted="a number"):
        """What is wrong with a cell, and where: the file is read again for it."""
        at = self.place[name]
        line, row = next(islice(records(self.path, self.dialect.delimiter), i + 1, None))
        cell = row[at].strip() if at < len(row) else ""
        if not cell:
            problem = "the value is missing"
        elif NOT_FINITE.fullmatch(cell) or self._is_too_large(cell):
            problem = f"{shortened(cell)} is not a finite number"
        else:
            problem = f"{shortened(cell)} is not {wanted}{hint(cell, self.dialect)}"
        return TableError(f"{self.path}, line {line}, column {shortened(name)}: {problem}.")

    def _is_too_large(self, cell):
        value = number(cell, "numbers", self.dialect.decimal)
        return value is not None and np.isinf(value)


def features_of(table, target, features=None):
    """The columns to predict the target from: those named, or all others that have a name."""
    table.require([target])
    name, times = Counter(features).most_common(1)[0] if features else ("", 0)
    if times > 1:
        raise ValueError(f"{shortened(name)} is there twice among the features.")
    features = list(features or [name for name in table.names if name not in (target, "")])
    if target in features:
        raise ValueError(f"The target {target!r} is among the features.")
    if not features:
        raise ValueError(f"{table.path} has no column besides the target {target!r}.")
    return features


def vectorizer_for(table):
    """A `TableVectorizer` for a table's dialect.

    With ; between the fields a comma is likelier a decimal mark: 8,174 stays in doubt.
    """
    return TableVectorizer(decimal=table.dialect.decimal, thousands=table.dialect.delimiter == ",")


# ----------------------------------------------------------------------------- reading


def read(path, delimiter=None, decimal=None):
    """Read a CSV file with a header, by pandas' reader.

    UTF-8, with or without a byte order mark; fields in quotes or not. Blank lines are skipped, and
    rows without any value at the end.

    Parameters
    ----------
    path : str or path-like, or what `shipped` returns
    delimiter : str, default=None
        What separates fields. None is what a line ahead of the header says, as ``sep=;`` (which is
        no part of the table in any case), or is found out by the first lines: comma, semicolon, tab
        or |.
    decimal : {".", ","}, default=None
        Decimal mark; None finds out: a comma where that is what the numbers of the first lines
        have, and where it can't separate thousands.

    Returns
    -------
    Table
        Of one row at least.

    Raises
    ------
    TableError
        If the file is no such table.
    ImportError
        Without pandas.
    OSError
        If it can't be read.
    """
    pandas = pandas_or_error()
    with opened(path) as file:
        text = Text(file, path)
        sample, whole = first_lines(text, path)
        dialect = dialect_of(sample, whole, delimiter, decimal)
        names, length = header_of(sample, dialect.delimiter, path)
        text.give_back(sample[length:])
        try:
            pieces = _pieces(pandas, text, len(names), dialect)
        except (pandas.errors.ParserError, pandas.errors.ParserWarning) as error:
            _find_fault(path, dialect.delimiter, len(names))
            told = str(error).splitlines()[0].rpartition("C error: ")[2]
            raise TableError(f"{path} is not CSV: {told.rstrip('.')}.") from None
    columns = [_joined(pieces, k) for k in range(len(names) + 1)]
    if not len(columns[0]):
        raise TableError(f"{path} has a header and no rows.")
    columns = _without_empty_rows_at_the_end(columns)
    if not len(columns[0]):
        raise TableError(f"{path} has a header and no rows.")
    *columns, beyond = columns
    filled_up = _is_missing(columns[-1]).any() or not _is_missing(beyond).all()
    if filled_up or text.has_quotes:  # pandas fills short rows up, and takes "1"5 for 15
        _find_fault(path, dialect.delimiter, len(names))
    return Table(path, dialect, names, columns)


def pandas_or_error():
    """The module pandas."""
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "Tables are read by pandas; install it with: pip install 'fastbp[tables]'"
        ) from None
    return pandas


def _pieces(pandas, text, n, dialect):
    """The columns of one group of rows after another; one more than there are, for long rows."""
    options = {
        "sep": dialect.delimiter, "decimal": dialect.decimal, "skipinitialspace": True,
        "header": None, "names": range(n + 1), "index_col": False,
        "keep_default_na": False, "na_values": [""], "low_memory": False,
        # Few rows at a time hold little text, many cost less time.
        "chunksize": max(2**20 // n, 500),
    }  # fmt: skip
    if tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1):
        options["float_precision"] = "round_trip"  # since then the default
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            with pandas.read_csv(text, **options) as reader:
                return [[_values(piece[k]) for k in range(n + 1)] for piece in reader]
        except pandas.errors.EmptyDataError:
            return []


def _values(column):
    """Numbers as float64, anything else as objects."""
    return column.to_numpy(float if column.dtype.kind in "biuf" else object)


def _joined(pieces, k):
    """A column of all pieces, which are let go."""
    parts = []
    for piece in pieces:
        parts.append(piece[k])
        piece[k] = None
    return np.concatenate(parts) if parts else np.empty(0)


def _is_missing(column):
    return column != column  # NaN alone differs from itself


def _without_empty_rows_at_the_end(columns):
    """Spreadsheets write rows of nothing but separators."""
    n = len(columns[0])
    while n and all(column[n - 1] != column[n - 1] for column in columns):
        n -= 1
    return [column[:n] for column in columns]


def _find_fault(path, delimiter, n):
    """Raise for the first row that has not as many fields as the header, if there is one."""
    for line, row in records(path, delimiter):
        beyond = any(map(str.strip, row[n:]))
        if (len(row) < n or beyond) and any(map(str.strip, row)):
            raise TableError(f"{path}, line {line} has {len(row)} fields, the header {n}.")


def shipped(name):
    """Where a table of `data/` is.

    A wheel carries the folder inside the package; in a clone, and in an editable install,
    it stands beside the package.

    Parameters
    ----------
    name : str
        Such as "concrete".

    Returns
    -------
    importlib.resources.abc.Traversable
    """
    package = resources.files("fastbp")
    path = package / "data" / f"{name}.csv"
    if path.is_file():
        return path
    return Path(str(package)).parent / "data" / f"{name}.csv"


class Split(NamedTuple):
    """Rows to train on and rows to test on."""

    X: np.ndarray
    X_test: np.ndarray
    y: np.ndarray
    y_test: np.ndarray


def split_rows(X, y, test_fraction, seed):
    """Set a share of the rows aside, two at least; with a share of 0 none."""
    if not 0 <= test_fraction < 1:
        raise ValueError(f"--test-fraction {test_fraction:g} is not in [0, 1).")
    n_test = int(np.ceil(test_fraction * len(y)))
    if len(y) - n_test < 2:
        raise ValueError(
            f"Too few rows to train on: {len(y)}, with {n_test} set aside for the test."
        )
    if n_test == 0:
        return Split(X, X[:0], y, y[:0])
    if n_test < 2:
        raise ValueError(
            f"Too few rows for the test: {test_fraction:g} of {len(y)}; --test-fraction 0 leaves "
            "it out."
        )
    return Split(*train_test_split(X, y, test_size=n_test, random_state=seed))
