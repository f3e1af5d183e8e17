"""Tables: CSV files as numbers, and the data that comes with the package."""

import codecs
import csv
import io
import re
import stat
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

#: What may stand between the fields of a table, if it isn't told: the likelier first.
DELIMITERS = ",;\t|"

#: A table has at most this many of its columns listed in a message.
LISTED = 20

#: Nothing that anyone writes as a table has more columns, or a longer header (in characters).
MOST_COLUMNS = 100_000
LONGEST_HEADER = 2**24

#: Lines by which delimiter and decimal mark are judged.
LINES_JUDGED = 50

#: Numbers, in the digits of ASCII: Python would take 1_000 and digits of other scripts, too.
NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)

#: 8,174 or 8.174: thousands to some, a fraction to others.
TWO_MEANINGS = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,])[0-9]{3}(\1[0-9]{3})*")

OTHER_MARK = {".": ",", ",": "."}

BOOLEANS = {"true": 1.0, "false": 0.0}


class TableError(ValueError):
    """What is wrong with a table: one line, for the one who wrote it."""


class Dialect(NamedTuple):
    """How a table writes its fields and its numbers."""

    delimiter: str
    decimal: str


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
        self.require(names)
        columns = np.empty((len(self), len(names)))
        for k, name in enumerate(names):
            columns[:, k] = self._column(name)
        return columns

    def require(self, names):
        """Raise a TableError unless each of `names` is the name of one column."""
        times = Counter(self.names)
        if missing := [name for name in names if name not in times]:
            raise TableError(
                f"{self.path} has no column {listed(missing, self._with_guess, most=5)}; "
                f"{self._columns_listed()}."
            )
        if twice := [name for name in names if times[name] > 1]:
            raise TableError(f"{self.path} has more than one column {shortened(twice[0])}.")
        if "" in names:
            number = self.names.index("") + 1
            raise TableError(f"{self.path}: column {number} has no name in the header.")

    def _with_guess(self, name):
        """The name, with the column that may have been meant."""
        by_lower_case = {known.lower(): known for known in self.names}
        close = get_close_matches(name.lower(), by_lower_case, n=1)
        guess = f" (did you mean {shortened(by_lower_case[close[0]])}?)" if close else ""
        return f"{shortened(name)}{guess}"

    def _columns_listed(self):
        if len(self.names) == 1:
            mark = shortened(self.dialect.delimiter)
            only = shortened(self.names[0])
            return f"its only column is {only} (fields taken to be separated by {mark})"
        return f"its columns are {listed(self.names, lambda name: shortened(name)[1:-1])}"

    def column(self, name):
        """A column as it was read: float64 if each cell is a number or empty, else objects."""
        return self.columns[self.place[name]]

    def texts(self, name):
        """The cells of a column as they are written, without space around."""
        cells = self.column(name)
        if cells.dtype == float or not all(isinstance(c, str) or c != c for c in cells):
            at = self.place[name]
            found = islice(records(self.path, self.dialect.delimiter), 1, len(self) + 1)
            return np.array([row[at].strip() for _, row in found], dtype=object)
        return np.array([cell.strip() if cell == cell else "" for cell in cells], dtype=object)

    def _column(self, name):
        values = self.column(name)
        if values.dtype != float:
            values = np.array([self._number(cell) for cell in values])
        finite = np.isfinite(values)
        if not finite.all():
            raise self.cell_error(int(np.argmin(finite)), name)
        return values

    def _number(self, cell):
        """A cell that pandas didn't take for a number, or whose neighbours weren't; else NaN."""
        if not isinstance(cell, str):
            return float("inf") if abs(cell) > sys.float_info.max else float(cell)
        text = cell.strip()
        if NUMBER.fullmatch(text) and OTHER_MARK[self.dialect.decimal] not in text:
            return float(text.replace(",", "."))
        return BOOLEANS.get(text.lower(), float("nan"))

    def cell_error(self, i, name, wanted="a number"):
        """What is wrong with a cell, and where: the file is read again for it."""
        at = self.place[name]
        line, row = next(islice(records(self.path, self.dialect.delimiter), i + 1, None))
        cell = row[at].strip() if at < len(row) else ""
        if not cell:
            problem = "the value is missing"
        elif NOT_FINITE.fullmatch(cell) or np.isinf(self._number(cell)):
            problem = f"{shortened(cell)} is not a finite number"
        else:
            problem = f"{shortened(cell)} is not {wanted}{self._hint(cell)}"
        return TableError(f"{self.path}, line {line}, column {shortened(name)}: {problem}.")

    def _hint(self, cell):
        """What may have been meant, and what to do about it."""
        if TWO_MEANINGS.fullmatch(cell):
            return " (write thousands without separators; tell a decimal mark by --decimal)"
        if NUMBER.fullmatch(cell):
            return f" (the decimal mark of this table is {self.dialect.decimal!r}; see --decimal)"
        return ""


def shortened(text):
    """As a message shows what a file holds: in quotes, without control characters, bounded."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def listed(names, shown, most=LISTED):
    """Names for a message, at most so many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(map(shown, names[:most]))}{more}"


def read_samples(path, target, features=None, **dialect):
    """Names of the features, X and y of a CSV file; by default all columns but the target."""
    table = read(path, **dialect)
    features = features_of(table, target, features)
    return features, table.numbers(features), table.numbers([target]).ravel()


def features_of(table, target, features=None):
    """The columns to predict the target from: those named, or all others."""
    table.require([target])
    features = list(features or [name for name in table.names if name != target])
    if target in features:
        raise ValueError(f"The target {target!r} is among the features.")
    if not features:
        raise ValueError(f"{table.path} has no column besides the target {target!r}.")
    return features


def names_as_array(names):
    """Names of columns, as estimators keep them."""
    return np.array(names, dtype=object)


# ----------------------------------------------------------------------------- reading


def read(path, delimiter=None, decimal=None):
    """Read a CSV file with a header, by pandas' reader.

    UTF-8, with or without a byte order mark; fields in quotes or not. Blank lines are skipped, and
    rows without any value at the end.

    Parameters
    ----------
    path : str or path-like, or what `shipped` returns
    delimiter : str, default=None
        What separates fields; None finds out by the first lines: comma, semicolon, tab or |.
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
        text = _Text(file, path)
        sample, whole = _first_lines(text, path)
        dialect = _dialect(sample, whole, delimiter, decimal)
        names, length = _header(sample, dialect.delimiter, path)
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


def opened(path):
    """A file to read bytes from: a file as such, since pipes and devices may never end."""
    file = Path(path) if isinstance(path, str) else path
    if isinstance(file, Path):
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise TableError(f"{path} is not a file but a pipe or a device; write it to a file.")
    return file.open("rb")


class _Text:
    """A file as text, for pandas: what is no UTF-8 ends it with a TableError."""

    def __init__(self, file, path):
        self.file, self.path, self.held = file, path, ""
        self.has_quotes = False
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def read(self, size=2**18):
        if self.held:
            text, self.held = self.held[:size], self.held[size:]
            return text
        text = ""
        while not text:
            content = self.file.read(size)
            try:
                text = self.decoder.decode(content, final=not content)
            except UnicodeDecodeError:
                text = "\0"
            if "\0" in text:
                raise TableError(f"{self.path} is not a CSV file in UTF-8.")
            if not content:
                break
        self.has_quotes = self.has_quotes or '"' in text
        return text

    def give_back(self, text):
        self.held = text

    def __iter__(self):  # pandas takes what has it for a file
        return iter(self.read, "")


def _first_lines(text, path):
    """What to judge a table by: some lines, at least one, and whether that is all of it."""
    sample, judged = "", 0
    while judged <= LINES_JUDGED:
        more = text.read()
        if not more:
            return sample, True
        sample += more
        judged = max(sample.count("\n"), sample.count("\r"))
        if len(sample) > LONGEST_HEADER:
            if not judged:
                raise TableError(
                    f"{path} is not a table: its first line is longer than {LONGEST_HEADER:,} "
                    "characters."
                )
            break
    return sample, False


def _dialect(sample, whole, delimiter, decimal):
    """How a table is written, by its first lines and what is known."""
    lines = list(islice(io.StringIO(sample, newline=""), LINES_JUDGED))
    if not whole and len(lines) > 1 and sample.endswith(lines[-1]):
        lines.pop()  # it may be cut
    if delimiter is None:
        able = [mark for mark in DELIMITERS if mark != decimal and mark in sample]
        delimiter = max(able, key=lambda mark: _likelihood(lines, mark), default=",")
    return Dialect(delimiter, decimal or _decimal(lines, delimiter))


def _rows(lines, delimiter):
    """Rows of fields, as far as they can be read, without those that are empty."""
    rows = []
    try:
        for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
            if any(map(str.strip, row)):
                rows.append(row)
    except csv.Error:
        pass
    return rows


def _likelihood(lines, delimiter):
    """By which one takes a delimiter for another: rows like the header, and cells like numbers."""
    rows = _rows(lines, delimiter)
    if not rows or len(rows[0]) < 2:
        return (0.0, 0.0)
    header, *rows = rows
    alike = sum(len(row) == len(header) for row in rows)
    cells = [cell.strip() for row in rows for cell in row]
    numbers = sum(bool(NUMBER.fullmatch(cell)) for cell in cells)
    return (max(alike, 0.5) / max(len(rows), 1), numbers / max(len(cells), 1))


def _decimal(lines, delimiter):
    """A comma if numbers have one that can be nothing else, and none has a point."""
    cells = [cell.strip() for row in _rows(lines, delimiter)[1:] for cell in row]
    sure = [cell for cell in cells if NUMBER.fullmatch(cell) and not TWO_MEANINGS.fullmatch(cell)]
    if any("," in cell for cell in sure) and not any("." in cell for cell in sure):
        return ","
    return "."


def _header(sample, delimiter, path):
    """The names of the columns, and the length of the text that holds them."""
    length = 0

    def lines():
        nonlocal length
        for line in io.StringIO(sample, newline=""):
            length += len(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        names = next((row for row in reader if not is_blank(row)), None)
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num} is not CSV: {error}.") from None
    if names is None:
        raise TableError(f"{path} is empty, or begins with too many blank lines.")
    if len(names) > MOST_COLUMNS:
        raise TableError(f"{path} has {len(names):,} columns; {MOST_COLUMNS:,} are read at most.")
    names = [name.strip() for name in names]
    if all(map(NUMBER.fullmatch, names)):
        raise TableError(f"{path} has no header: its first line holds numbers.")
    return names, length


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


def is_blank(row):
    """Whether the reader of csv has seen a blank line."""
    return len(row) < 2 and not "".join(row).strip()


def records(path, delimiter):
    """Each record of a table with the line it ends on, the header first; no blank lines."""
    with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            for row in reader:
                if not is_blank(row):
                    yield reader.line_num, row
        except csv.Error as error:
            raise TableError(f"{path}, line {reader.line_num} is not CSV: {error}.") from None


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


def check_writable(path, keep=None, what="the table"):
    """Raise unless a file can be written, before there is work to lose.

    Parameters
    ----------
    path : Path
    keep : path-like, default=None
        A file that must not be overwritten: what the work reads.
    what : str
        What that is.
    """
    if keep is not None and path.exists() and path.samefile(keep):
        raise ValueError(f"{path} is {what} itself: it will not be overwritten.")
    existed = path.exists()
    with open(path, "ab"):
        pass
    if not existed:
        path.unlink()
