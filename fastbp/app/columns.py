"""Columns as people have them, with text and holes, as the numbers that a network takes.

What is learnt of a table's columns is a list of plain values: it goes into the model's file, and
every later table is treated as that one was.
"""

import re
from collections import Counter
from dataclasses import asdict, dataclass, fields

import numpy as np

from fastbp.app.tables import NUMBER

#: What stands for no value, in lower case.
HOLES = {"", "na", "n/a", "nan", "null", "none", "?"}

#: A level gets a column of its own if it is in a hundredth of the rows, and not of few.
LEAST_SHARE, LEAST_ROWS, MOST_LEVELS = 0.01, 3, 50

THOUSANDS = {
    ".": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})*(\.[0-9]*)?"),
    ",": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})*(,[0-9]*)?"),
}
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")

#: How the cells of a column are written, and what is said of it.
KINDS = {
    "numbers": "numbers",
    "percent": "percentages, as numbers",
    "thousands": "numbers with separators of thousands",
    "dates": "dates, as days since 1970",
    "text": "text",
    "names": "text, hardly any of it twice: left out",
    "empty": "no values: left out",
}

#: Those of which no numbers are made, and what the cells of others have to be.
LEFT_OUT = ("names", "empty")
WANTED = {"percent": "a percentage", "dates": "a date such as 2024-12-31"}


@dataclass(frozen=True)
class Column:
    """What was learnt of one column."""

    name: str
    kind: str
    #: In place of a hole: the median.
    fill: float = 0.0
    #: Whether there were holes: a column tells where they are.
    has_holes: bool = False
    #: Text with columns of their own.
    levels: tuple = ()
    #: Whether there was other text: it shares a column, with all that is new later.
    has_others: bool = False

    def names(self):
        """Those of the columns of numbers that it becomes."""
        own = [self.name] if self.kind not in ("text", *LEFT_OUT) else []
        own += [f"{self.name}={level}" for level in self.levels]
        own += [f"{self.name} is another"] * self.has_others
        return own + [f"{self.name} is missing"] * self.has_holes

    def told(self):
        """What was made of it, in a line."""
        line = KINDS[self.kind]
        if self.kind == "text":
            line += f", a column for each of {len(self.levels)} levels"
            line += " and one for all others" * self.has_others
        elif self.has_holes:
            line += f", holes filled by the median {self.fill:g}"
        return line + " and a column that tells the holes" * self.has_holes

    def is_plain(self):
        return self.kind == "numbers" and not self.has_holes

    def numbers(self, table):
        """Its columns of numbers, of a table."""
        if self.kind in LEFT_OUT:
            return np.empty((len(table), 0))
        if self.kind == "text":
            cells = table.texts(self.name)
            hole = np.array([is_hole(cell) for cell in cells])
            blocks = [cells == level for level in self.levels]
            if self.has_others:
                blocks.append(~np.isin(cells, self.levels) & ~hole)
        else:
            values = self._values(table)
            hole = np.isnan(values)
            blocks = [np.where(hole, self.fill, values)]
        if self.has_holes:
            blocks.append(hole)
        return np.column_stack([*blocks, np.empty((len(table), 0))])

    def _values(self, table):
        """Numbers, and NaN for holes; a cell that is none of them is an error."""
        raw = table.column(self.name)
        if raw.dtype == float and self.kind == "numbers":
            values, hole = raw, np.isnan(raw)
        else:
            distinct, at = np.unique(table.texts(self.name), return_inverse=True)
            read = [number(cell, self.kind, table.dialect.decimal) for cell in distinct]
            values = np.array([np.nan if x is None else x for x in read])[at]
            hole = np.array([is_hole(cell) for cell in distinct])[at]
        wrong = ~np.isfinite(values) & ~hole
        if wrong.any():
            wanted = WANTED.get(self.kind, "a number")
            raise table.cell_error(int(np.argmax(wrong)), self.name, wanted)
        return values


def is_hole(cell):
    return cell.lower() in HOLES


def number(cell, kind, decimal):
    """The number that a cell is, as cells of this kind are written; None if it is no such cell."""
    if kind == "dates":
        return _days(cell)
    if kind == "percent":
        if not cell.endswith("%"):
            return None
        cell = cell[:-1].rstrip()
    other = "," if decimal == "." else "."
    if kind == "thousands" and THOUSANDS[decimal].fullmatch(cell):
        cell = cell.replace(other, "")
    if cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    if not NUMBER.fullmatch(cell) or other in cell:
        return None
    return float(cell.replace(",", "."))


def _days(cell):
    if not DAY.fullmatch(cell):
        return None
    try:
        return np.datetime64(cell.replace(" ", "T"), "s").astype(float) / 86400
    except ValueError:  # the 31st of February
        return None


def learn(table, names, rows):
    """What the columns of these names are, by these rows of a table.

    Parameters
    ----------
    table : fastbp.app.tables.Table
    names : list of str
    rows : ndarray of int
        Those to train on.

    Returns
    -------
    list of Column
    """
    table.require(names)
    return [_learnt(table, name, rows) for name in names]


def _learnt(table, name, rows):
    if table.column(name).dtype == float:
        return _filled(table, Column(name, "numbers"), rows)
    cells = table.texts(name)
    filled = {cell for cell in cells if not is_hole(cell)}
    # With ; between the fields a comma is likelier a decimal mark: 8,174 stays in doubt.
    kinds = ("numbers", "percent", "dates", *["thousands"] * (table.dialect.delimiter == ","))
    for kind in kinds:
        if all(number(cell, kind, table.dialect.decimal) is not None for cell in filled):
            return _filled(table, Column(name, kind), rows)
    numbers = [cell for cell in filled if NUMBER.fullmatch(cell)]
    if 2 * len(numbers) > len(filled):  # a column of numbers with a mistake in it
        Column(name, "numbers")._values(table)
    counts = Counter(cell for cell in cells[rows] if not is_hole(cell))
    least = max(LEAST_ROWS, LEAST_SHARE * len(rows))
    levels = tuple(cell for cell, n in counts.most_common(MOST_LEVELS) if n >= least)
    if not levels:
        return Column(name, "names")
    has_holes = any(map(is_hole, cells[rows]))
    return Column(name, "text", 0.0, has_holes, tuple(sorted(levels)), len(levels) < len(counts))


def _filled(table, column, rows):
    """A column of numbers with the median of those that it has."""
    values = column._values(table)[rows]
    hole = np.isnan(values)
    if hole.all():
        return Column(column.name, "empty")
    if not hole.any():
        return Column(column.name, column.kind, float(np.median(values)))
    return Column(column.name, column.kind, float(np.median(values[~hole])), True)


def numbers(columns, table, *parts):
    """A table's columns of numbers, of all that was learnt: an array for each part of the rows."""
    table.require([column.name for column in columns if column.kind not in LEFT_OUT])
    width, at = len(names(columns)), 0
    rows = np.arange(len(table))
    arrays = [np.empty((len(rows[part]), width)) for part in parts]
    for column in columns:
        block = column.numbers(table)
        for X, part in zip(arrays, parts, strict=True):
            X[:, at : at + block.shape[1]] = block[part]
        at += block.shape[1]
    return arrays


def names(columns):
    """Those of the columns of `numbers`."""
    return [name for column in columns for name in column.names()]


def to_json(columns):
    """As a model's file keeps them."""
    return [asdict(column) for column in columns]


def from_json(stored, names_of_model):
    """What `to_json` made, if it is that, and the model's."""
    try:
        columns = [Column(**{**given, "levels": tuple(given["levels"])}) for given in stored]
        for column in columns:
            for field in fields(Column):
                if type(getattr(column, field.name)) is not field.type:
                    raise TypeError(field.name)
            if column.kind not in KINDS or not all(type(level) is str for level in column.levels):
                raise ValueError(column.kind)
        if names(columns) != list(names_of_model):
            raise ValueError("other names")
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"What the model knows of its table is damaged: {error}.") from None
    return columns
