"""Tables: CSV files as numbers, and the data that comes with the package."""

import csv
import io
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

#: What may stand between the fields of a table: a comma, or what Excel writes elsewhere.
DELIMITERS = ",;\t"

#: A table has at most this many of its columns listed in a message.
LISTED = 20


class TableError(ValueError):
    """What is wrong with a table: one line, for the one who wrote it."""


@dataclass(frozen=True)
class Table:
    """A CSV file, still as text: only the columns that are used need be numbers."""

    path: str
    names: list
    rows: list
    #: Line of the file on which each row ends, to name it in a message.
    lines: list

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
        columns = np.empty((len(self.rows), len(names)))
        for k, name in enumerate(names):
            columns[:, k] = self._column(name)
        return columns

    def require(self, names):
        """Raise a TableError unless each of `names` is the name of one column."""
        if missing := [name for name in names if name not in self.names]:
            raise TableError(
                f"{self.path} has no column {', '.join(map(self._with_guess, missing))}; "
                f"{self._columns_listed()}."
            )
        if twice := [name for name in names if self.names.count(name) > 1]:
            raise TableError(f"{self.path} has more than one column {twice[0]!r}.")
        if "" in names:
            number = self.names.index("") + 1
            raise TableError(f"{self.path}: column {number} has no name in the header.")

    def _with_guess(self, name):
        """The name, with the column that may have been meant."""
        by_lower_case = {known.lower(): known for known in self.names}
        close = get_close_matches(name.lower(), by_lower_case, n=1)
        guess = f" (did you mean {by_lower_case[close[0]]!r}?)" if close else ""
        return f"{name!r}{guess}"

    def _columns_listed(self):
        if len(self.names) == 1:
            return f"its only column is {self.names[0]!r} (fields are separated by commas)"
        more = f" and {len(self.names) - LISTED} more" if len(self.names) > LISTED else ""
        return f"its columns are {', '.join(self.names[:LISTED])}{more}"

    def _column(self, name):
        at = self.names.index(name)
        values = np.empty(len(self.rows))
        for i, row in enumerate(self.rows):
            try:
                values[i] = float(row[at])
            except ValueError:
                raise self._cell_error(i, name, row[at], "not a number") from None
        finite = np.isfinite(values)
        if not finite.all():
            i = int(np.argmin(finite))
            raise self._cell_error(i, name, self.rows[i][at], "not a finite number")
        return values

    def _cell_error(self, i, name, cell, problem):
        cell = cell.strip()
        problem = f"{_shortened(cell)} is {problem}" if cell else "the value is missing"
        hint = " (write a decimal point)" if cell.replace(",", "", 1).isdigit() else ""
        return TableError(f"{self.path}, line {self.lines[i]}, column {name!r}: {problem}{hint}.")


def read_samples(path, target, features=None):
    """Names of the features, X and y of a CSV file; by default all columns but the target."""
    table = read(path)
    table.require([target])
    features = list(features or [name for name in table.names if name != target])
    if target in features:
        raise ValueError(f"The target {target!r} is among the features.")
    if not features:
        raise ValueError(f"{path} has no column besides the target {target!r}.")
    return features, table.numbers(features), table.numbers([target]).ravel()


def names_as_array(names):
    """Names of columns, as estimators keep them."""
    return np.array(names, dtype=object)


def read(path):
    """Read a CSV file with a header.

    UTF-8, with or without a byte order mark; fields separated by comma, semicolon or tab, in
    quotes or not. Blank lines are skipped.

    Parameters
    ----------
    path : str or path-like, or what `shipped` returns

    Returns
    -------
    Table
        Of one row at least.

    Raises
    ------
    TableError
        If the file is no such table.
    OSError
        If it can't be read.
    """
    file = Path(path) if isinstance(path, str) else path
    text = _decoded(file.read_bytes(), path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    names, rows, lines = None, [], []
    try:
        for row in reader:
            if not "".join(row).strip() and len(row) < 2:
                continue  # a blank line
            if names is None:
                names = _header(row, path)
            elif len(row) != len(names):
                raise TableError(
                    f"{path}, line {reader.line_num} has {len(row)} fields, the header "
                    f"{len(names)}."
                )
            else:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num} is not CSV: {error}.") from None
    if names is None:
        raise TableError(f"{path} is empty.")
    if not rows:
        raise TableError(f"{path} has a header and no rows.")
    return Table(str(path), names, rows, lines)


def _decoded(content, path):
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise TableError(f"{path} is not a CSV file in UTF-8.")
    return text


def _delimiter(text):
    """The delimiter of the header; a comma where it has one column only."""
    header = text.lstrip().partition("\n")[0]
    try:
        return csv.Sniffer().sniff(header, DELIMITERS).delimiter
    except csv.Error:
        return ","


def _header(row, path):
    names = [name.strip() for name in row]
    if all(map(_is_number, names)):
        raise TableError(f"{path} has no header: its first line holds numbers.")
    return names


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _shortened(cell):
    return repr(cell if len(cell) <= 40 else f"{cell[:37]}...")


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
