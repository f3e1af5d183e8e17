"""Data frames of pandas and polars, and arrays, column by column; no such library is imported."""

from collections import Counter
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse

from fastbp.tabular.cells import TableError, is_hole, listed, shortened

DAY = np.timedelta64(1, "D")

#: Names of dtypes whose values are levels, even if they are numbers: of pandas, polars and Arrow.
LEVELS = ("category", "Categorical", "Enum", "dictionary")


class Cells(NamedTuple):
    """A column: its values, and what they are.

    kind : {"numbers", "dates", "durations", "texts", "levels"}
        The first three are float64, NaN for holes; dates are days since 1970, durations days. The
        last two are objects, all of them str; text that is levels stays text, whatever it says.
    given : array-like
        The column that they were made of, which says how a cell is written: True is not 1.0 there.
    """

    values: np.ndarray
    kind: str
    given: object

    def texts(self):
        """What is written in each cell: "" for none."""
        if self.values.dtype == object:
            return self.values
        return texts_of(self.given)

    def holes(self):
        """Where there is no value."""
        if self.values.dtype == object:
            return np.array([is_hole(cell) for cell in self.values], dtype=bool)
        return np.isnan(self.values)


class Frame:
    """The columns of a table, by name.

    Parameters
    ----------
    X : data frame of pandas or polars, table of Arrow, or array-like of shape (n_rows, n_columns)
    """

    def __init__(self, X):
        if issparse(X):
            raise TypeError("Sparse X has numbers already: pass it to the regressor itself.")
        if hasattr(X, "collect") and not hasattr(X, "__array__"):
            raise TypeError("X is not computed yet: collect() it.")
        if hasattr(X, "column_names") and hasattr(X, "to_pandas"):  # of Arrow
            X = X.to_pandas()
        self.is_named = hasattr(X, "columns")
        if not self.is_named:
            if isinstance(X, np.ma.MaskedArray):
                X = X.astype(object).filled(None)
            X = X if hasattr(X, "dtype") else np.array(X, dtype=object)
            X = np.asarray(X)
            if X.ndim != 2:
                raise ValueError(
                    f"Expected 2D array, got {X.ndim}D array instead. Reshape your data: a table "
                    "has rows and columns."
                )
        self.X = X
        self.labels = list(X.columns) if self.is_named else [f"x{k}" for k in range(X.shape[1])]
        self.rename([str(label) for label in self.labels])

    def __len__(self):
        return self.X.shape[0]

    def rename(self, names):
        """Have the columns go by these names."""
        self.names = names
        self.place = {name: at for at, name in enumerate(names)}

    def require(self, names):
        """Raise unless each of `names` is the name of one column."""
        require(names, self.names, "X")

    def require_some(self):
        """Raise unless there are rows and columns, in scikit-learn's words."""
        shape = len(self), len(self.names)
        for n, what in zip(shape, ("sample", "feature"), strict=True):
            if n == 0:
                found = f"Found array with 0 {what}(s) (shape={shape})"
                raise ValueError(f"{found} while a minimum of 1 is required.")

    def label(self, i):
        """What a row is called."""
        return self.X.index[i] if hasattr(self.X, "index") else i

    def cells(self, name):
        """The column of a name."""
        at = self.place[name]
        if not self.is_named:
            return _of_array(self.X[:, at])
        column = self.X[self.labels[at]]
        return _of_pandas(column) if hasattr(column, "array") else _of_polars(column)


def _of_pandas(column):
    dtype = column.dtype
    name, kind = str(dtype), getattr(dtype, "kind", "O")
    if name.startswith(LEVELS):
        return _of_levels(column)
    if kind in "biuf":
        return Cells(column.to_numpy(np.float64, na_value=np.nan), "numbers", column)
    if name.startswith("period"):
        ordinals = column.dt.asfreq("us", how="start").astype("int64").to_numpy()
        return _of_times(ordinals.view("datetime64[us]"), column)
    if kind in "mM":
        return _of_times(_times_of_pandas(column), column)
    return _of_objects(column)


def _times_of_pandas(column):
    """Dates and durations as NumPy's, in the column's own unit: nanoseconds end in 2262."""
    if hasattr(column.dtype, "pyarrow_dtype"):  # of whose dates pandas makes objects
        return column.array.__arrow_array__().to_numpy()
    if hasattr(column.dtype, "tz"):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy()


def _of_polars(column):
    dtype = column.dtype
    name = str(dtype)
    if name.startswith(LEVELS):
        return _of_levels(column)
    if dtype.is_numeric() or name == "Boolean":
        values = [np.nan if x is None else float(x) for x in column.to_list()]
        return Cells(np.array(values, dtype=np.float64), "numbers", column)
    if name.startswith(("Date", "Duration")):
        return _of_times(column.to_numpy(), column)
    return _of_objects(column)


def _of_array(column):
    kind = column.dtype.kind
    if kind in "biuf":
        return Cells(column.astype(np.float64), "numbers", column)
    if kind in "mM":
        return _of_times(column, column)
    return _of_objects(column)


def _of_levels(column):
    return Cells(texts_of(column), "levels", column)


def _of_times(times, column):
    """Of dates or durations as NumPy has them, in whatever unit."""
    if times.dtype.kind == "M":
        return Cells((times - np.datetime64(0, "D")) / DAY, "dates", column)
    return Cells(times / DAY, "durations", column)


def _of_objects(column):
    """Of Python's objects: numbers if all are, or nothing."""
    cells = np.empty(len(column), dtype=object)
    cells[:] = list(column)
    if all(isinstance(cell, int | float | complex | np.number) or cell is None for cell in cells):
        values = [np.nan if cell is None else _float(cell) for cell in cells]
        return Cells(np.array(values, dtype=np.float64), "numbers", cells)
    return Cells(texts_of(cells), "texts", cells)


def _float(cell):
    if np.iscomplexobj(cell):
        raise ValueError("Complex data not supported: X holds complex numbers.")
    try:
        return float(cell)
    except OverflowError:
        return np.inf if cell > 0 else -np.inf


def texts_of(cells):
    """Cells as an array of str: whole numbers without a fraction, and nothing as ""."""
    texts = np.empty(len(cells), dtype=object)
    texts[:] = [_text(cell) for cell in cells]
    return texts


def _text(cell):
    if isinstance(cell, str):
        return cell.strip()
    if cell is None:
        return ""
    try:
        if cell != cell:
            return ""
    except TypeError:  # pandas.NA is neither
        return ""
    if isinstance(cell, float | np.floating) and cell == np.rint(cell) and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell)


def require(names, known, what, only=""):
    """Raise a TableError unless each of `names` is one of the `known`, once.

    Parameters
    ----------
    names, known : list of str
    what : str
        What the message calls the table.
    only : str
        What may be the reason, if there is only one.
    """
    times = Counter(known)
    if missing := [name for name in names if name not in times]:
        guess = listed(missing, lambda name: _with_guess(name, known), most=5)
        shown = f"its columns are {listed(known, lambda name: shortened(name)[1:-1])}"
        if len(known) == 1:
            shown = f"its only column is {shortened(known[0])}{only}"
        raise TableError(f"{what} has no column {guess}; {shown}.")
    if twice := [name for name in names if times[name] > 1]:
        raise TableError(f"{what} has more than one column {shortened(twice[0])}.")


def _with_guess(name, known):
    """The name, with the column that may have been meant."""
    by_lower_case = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), by_lower_case, n=1)
    guess = f" (did you mean {shortened(by_lower_case[close[0]])}?)" if close else ""
    return f"{shortened(name)}{guess}"
