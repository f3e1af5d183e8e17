"""The first lines of a CSV file: how it is written, and the names of its columns."""

import io
from itertools import islice
from typing import NamedTuple

from fastbp.app.files import records_of, said_delimiter
from fastbp.tabular.cells import (
    NUMBER,
    OTHER_MARK,
    TWO_MEANINGS,
    TableError,
    is_written_number,
    sure_mark,
)

#: What may stand between the fields of a table, if it isn't told: the likelier first.
DELIMITERS = ",;\t|"

#: Lines by which delimiter and decimal mark are judged.
LINES_JUDGED = 50

#: Nothing that anyone writes as a table has more columns, or a longer header (in characters).
MOST_COLUMNS = 100_000
LONGEST_HEADER = 2**24


class Dialect(NamedTuple):
    """How a table writes its fields and its numbers."""

    delimiter: str
    decimal: str
    #: Whether the decimal mark was told, or numbers have it for sure.
    is_sure: bool = True


def first_lines(text, path):
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


def dialect_of(sample, whole, delimiter, decimal):
    """How a table is written, by its first lines and what is known."""
    lines = list(islice(io.StringIO(sample, newline=""), LINES_JUDGED))
    if not whole and len(lines) > 1 and sample.endswith(lines[-1]):
        lines.pop()  # it may be cut
    if delimiter is None:
        first = next(filter(str.strip, lines), "").rstrip("\r\n")
        able = [mark for mark in DELIMITERS if mark != decimal and mark in sample]
        likeliest = max(able, key=lambda mark: _likelihood(lines, mark), default=",")
        said = said_delimiter(first)
        delimiter = said if said and said != decimal else likeliest
    if decimal:
        return Dialect(delimiter, decimal)
    return Dialect(delimiter, *_decimal(lines, delimiter))


def _rows(lines, delimiter):
    """Rows of fields, as far as they can be read, without those that are empty."""
    rows = []
    try:
        for _, row in records_of(lines, delimiter, None):
            if any(map(str.strip, row)):
                rows.append(row)
    except TableError:
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
    """A comma if numbers have one that can be nothing else, and none has a point; and whether that
    is sure."""
    cells = [cell.strip().rstrip("% ") for row in _rows(lines, delimiter)[1:] for cell in row]
    marks = {sure_mark(cell) for cell in cells} - {None}
    return "," if marks == {","} else ".", len(marks) == 1


def hint(cell, dialect):
    """What may have been meant by a cell that is no number, and what to do about it."""
    mark, advice = dialect.decimal, "see --decimal"
    if TWO_MEANINGS.fullmatch(cell.rstrip("% ")):
        advice = "write thousands without separators, or see --decimal"
        if not dialect.is_sure:
            return " (write thousands without separators; tell a decimal mark by --decimal)"
    if is_written_number(cell) and OTHER_MARK[mark] in cell:
        return f" (the decimal mark of this table is {mark!r}; {advice})"
    return ""


def header_of(sample, delimiter, path):
    """The names of the columns, and the length of the text that holds them."""
    length = 0

    def lines():
        nonlocal length
        for line in io.StringIO(sample, newline=""):
            length += len(line)
            yield line

    _, names = next(records_of(lines(), delimiter, path), (0, None))
    if names is None:
        raise TableError(f"{path} is empty, or begins with too many blank lines.")
    if len(names) > MOST_COLUMNS:
        raise TableError(f"{path} has {len(names):,} columns; {MOST_COLUMNS:,} are read at most.")
    names = [name.strip() for name in names]
    if all(map(is_written_number, names)):
        raise TableError(f"{path} has no header: its first line holds numbers.")
    return names, length
