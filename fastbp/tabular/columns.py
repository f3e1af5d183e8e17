"""Columns as people have them, with text and holes, as the numbers that a network takes.

What is learnt of a table's columns is a list of plain values: it goes into the model's file, and
every later table is treated as that one was.
"""

from collections import Counter
from dataclasses import asdict, dataclass, fields

import numpy as np

from fastbp.tabular.cells import (
    DATES,
    NOT_FINITE,
    TableError,
    is_grouped,
    is_hole,
    is_written_number,
    number,
    shortened,
)

#: A level gets a column of its own if it is in a hundredth of the rows, and not of few, or in so
#: many. (Of 150 towns in 20,000 rows none is in a hundredth. A table of towns and one other column
#: has an R² of 0.74 with the most common hundred, of 0.49 with fifty, of 0.31 with none.)
LEAST_SHARE, LEAST_ROWS, ENOUGH_ROWS, MOST_LEVELS = 0.01, 3, 50, 100

#: How the cells of a column are written, and what is said of it.
KINDS = {
    "numbers": "numbers",
    "percent": "percentages, as numbers",
    "thousands": "numbers with separators of thousands",
    "dates": "dates, as days since 1970",
    "dates, day first": "dates with the day first, as days since 1970",
    "dates, month first": "dates with the month first, as days since 1970",
    "durations": "durations, as days",
    "text": "text",
    "names": "text, all of it rare: left out",
    "empty": "no values: left out",
}

#: Those that text may turn out to be, in this order.
WRITTEN = ("thousands", "numbers", "percent", *DATES)

#: Those of which no numbers are made, and what the cells of others have to be.
LEFT_OUT = ("names", "empty")
WANTED = {
    "percent": "a percentage",
    "dates": "a date such as 2024-12-31",
    "dates, day first": "a date such as 31/12/2024",
    "dates, month first": "a date such as 12/31/2024",
    "durations": "a duration",
}


class CellError(TableError):
    """A cell that does not fit its column.

    Attributes
    ----------
    name : str
        Of the column.
    label : int or label of an index
        Of the row.
    wanted : str
        What should be there.
    """

    def __init__(self, message, name, label, wanted):
        super().__init__(message)
        self.name, self.label, self.wanted = name, label, wanted


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
            n = len(self.levels)
            line += f", a column for each of {n} levels" if n > 1 else ", a column for 1 level"
            line += " and one for all others" * self.has_others
        elif self.has_holes:
            line += f", holes filled by the median {self.fill:g}"
        return line + " and a column that tells the holes" * self.has_holes

    def is_plain(self):
        return self.kind == "numbers" and not self.has_holes

    def numbers(self, frame, decimal, thousands):
        """Its columns of numbers, of a table."""
        if self.kind in LEFT_OUT:
            return np.empty((len(frame), 0))
        cells = frame.cells(self.name)
        hole = cells.holes()
        if self.kind == "text":
            texts = cells.texts()
            blocks = [texts == level for level in self.levels]
            if self.has_others:
                blocks.append(~np.isin(texts, self.levels) & ~hole)
        else:
            values = self.values(frame, cells, hole, decimal, thousands)
            if np.isnan(self.fill) and hole.any():  # nothing is known to fill it with
                self._refuse(frame, cells, int(np.argmax(hole)))
            blocks = [np.where(hole, self.fill, values)]
        if self.has_holes:
            blocks.append(hole)
        return np.stack(blocks, axis=1) if blocks else np.empty((len(frame), 0))

    def values(self, frame, cells, hole, decimal, thousands):
        """Numbers, and NaN for holes; a cell that is none of them is an error."""
        kind = "numbers" if self.kind == "thousands" else self.kind
        if cells.kind in (kind, kind.partition(",")[0]):
            values = cells.values
        else:
            distinct, at = np.unique(cells.texts().astype(str), return_inverse=True)
            read = [number(cell, self.kind, decimal, thousands) for cell in distinct.tolist()]
            values = np.array([np.nan if x is None else x for x in read], dtype=float)[at]
        wrong = ~np.isfinite(values) & ~hole
        if wrong.any():
            self._refuse(frame, cells, int(np.argmax(wrong)))
        return values

    def _refuse(self, frame, cells, i):
        """Raise for a cell."""
        label, wanted, cell = frame.label(i), WANTED.get(self.kind, "a number"), cells.texts()[i]
        told = f"{shortened(cell)} is not {wanted}"
        if cells.kind == "texts":
            told += "; if the column is text, make it a category"
        if is_hole(cell):
            told = "the value is missing"
        elif NOT_FINITE.fullmatch(cell) or number(cell, self.kind, ".") in (np.inf, -np.inf):
            told = f"{shortened(cell)} is not a finite number"
        message = f"Row {label}, column {shortened(self.name)}: {told}."
        raise CellError(message, self.name, label, wanted)


def learn(frame, decimal, thousands):
    """What the columns of a table are.

    Parameters
    ----------
    frame : fastbp.tabular.frames.Frame
    decimal : {".", ","}
    thousands : bool
        Whether the other mark separates thousands.

    Returns
    -------
    list of Column
    """
    frame.require(frame.names)
    return [_learnt(frame, name, decimal, thousands) for name in frame.names]


def _learnt(frame, name, decimal, thousands):
    cells = frame.cells(name)
    hole = cells.holes()
    if hole.all():
        return Column(name, "empty")

    def filled(kind):
        """A column of numbers with the median of those that it has."""
        values = Column(name, kind).values(frame, cells, hole, decimal, thousands)
        return Column(name, kind, float(np.median(values[~hole])), bool(hole.any()))

    if cells.kind not in ("texts", "levels"):
        return filled(cells.kind)
    counts = Counter(cells.values[~hole])
    if cells.kind == "texts":
        has_groups = any(is_grouped(cell, decimal, thousands) for cell in counts)
        for kind in WRITTEN if has_groups else WRITTEN[1:]:
            if all(number(cell, kind, decimal, thousands) is not None for cell in counts):
                return filled(kind)
        # With a mistake in it, which is told.
        if 2 * sum(cell.endswith("%") for cell in counts if is_written_number(cell)) > len(counts):
            return filled("percent")
        if 2 * sum(map(is_written_number, counts)) > len(counts):
            return filled("numbers")
    least = max(LEAST_ROWS, min(LEAST_SHARE * len(hole), ENOUGH_ROWS))
    levels = tuple(cell for cell, n in counts.most_common(MOST_LEVELS) if n >= least)
    if not levels:
        return Column(name, "names")
    has_others = len(levels) < len(counts)
    return Column(name, "text", 0.0, bool(hole.any()), tuple(sorted(levels)), has_others)


def numbers(columns, frame, decimal, thousands):
    """A table's columns of numbers, of all that was learnt: (n_rows, n_columns), float64."""
    frame.require([column.name for column in columns if column.kind not in LEFT_OUT])
    X, at = np.empty((len(frame), len(names(columns)))), 0
    for column in columns:
        block = column.numbers(frame, decimal, thousands)
        X[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    return X


def names(columns):
    """Those of the columns of `numbers`."""
    return [name for column in columns for name in column.names()]


def to_json(columns):
    """As a model's file keeps them: what is as in most columns is left out."""
    default = asdict(Column("", "", np.nan))
    return [
        {name: value for name, value in asdict(column).items() if value != default[name]}
        for column in columns
    ]


def from_json(stored, names_of_model):
    """What `to_json` made, if it is that, and the model's."""
    try:
        columns = [
            Column(**{**given, "levels": tuple(given.get("levels", ()))}) for given in stored
        ]
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
