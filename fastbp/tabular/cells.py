"""Cells of tables as people write them: numbers, dates or nothing; and how to show them."""

import re

import numpy as np

#: A message lists at most so many columns.
LISTED = 20

#: Numbers, in the digits of ASCII: Python would take 1_000 and digits of other scripts, too.
NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)

#: 8,174 or 8.174: thousands to some, a fraction to others.
TWO_MEANINGS = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,])[0-9]{3}(\1[0-9]{3})*")

OTHER_MARK = {".": ",", ",": "."}

BOOLEANS = {"true": 1.0, "false": 0.0}

#: What stands for no value, in lower case.
HOLES = {"", "na", "n/a", "nan", "nat", "null", "none", "?"}

#: Numbers with separators of thousands, by the decimal mark: the other mark, spaces (of which three
#: don't break lines, or are narrow) or apostrophes.
GROUPED = {
    mark: re.compile(
        rf"[+-]?[1-9][0-9]{{0,2}}(?P<by>[{other} \u00a0\u202f\u2009'\u2019])[0-9]{{3}}"
        rf"((?P=by)[0-9]{{3}})*(?P<part>[{mark}][0-9]*)?"
    )
    for mark, other in OTHER_MARK.items()
}

#: By the order of a date's parts: how it is written.
DATES = {
    "dates": r"(?P<y>[0-9]{4})(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P=s)(?P<d>[0-9]{1,2})",
    "dates, day first": r"(?P<d>[0-9]{1,2})(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P=s)(?P<y>[0-9]{4})",
    "dates, month first": r"(?P<m>[0-9]{1,2})(?P<s>[/])(?P<d>[0-9]{1,2})(?P=s)(?P<y>[0-9]{4})",
}
CLOCK = r"([ T](?P<clock>[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)Z?)?"
DATES = {kind: re.compile(day + CLOCK) for kind, day in DATES.items()}


class TableError(ValueError):
    """What is wrong with a table: one line, for the one who wrote it."""


def is_hole(cell):
    """Whether a text stands for no value."""
    return cell.lower() in HOLES


def number(cell, kind, decimal, thousands=False):
    """The number that a cell is, as cells of this kind are written; None if it is no such cell.

    Parameters
    ----------
    cell : str
        Without space around it.
    kind : str
        "numbers", "thousands", "percent", or one of `DATES`, which are days since 1970; 2024-12-31
        is one of any kind. Of others, such as "durations", no text is one.
    decimal : {".", ","}
        The decimal mark.
    thousands : bool
        Whether the other mark separates thousands, whatever the kind; else it does only where it
        can be nothing else.
    """
    if kind in DATES:
        days = _days(cell, DATES[kind])
        return _days(cell, DATES["dates"]) if days is None else days
    if kind not in ("numbers", "thousands", "percent"):
        return None
    if kind == "percent":
        if not cell.endswith("%"):
            return None
        cell = cell[:-1].rstrip()
    if kind == "numbers" and cell.lower() in BOOLEANS:
        return BOOLEANS[cell.lower()]
    if is_grouped(cell, decimal, thousands or kind == "thousands"):
        cell = cell.replace(GROUPED[decimal].fullmatch(cell)["by"], "")
    if not NUMBER.fullmatch(cell) or OTHER_MARK[decimal] in cell:
        return None
    return float(cell.replace(",", "."))


def is_grouped(cell, decimal, thousands):
    """Whether a cell has separators of thousands: for sure, or as `thousands` says of the other
    mark. 3.557,45 and 1.234.567 have them for sure, and 8.174 has not."""
    grouped = GROUPED[decimal].fullmatch(cell)
    if not grouped:
        return False
    by = grouped["by"]
    return thousands or by not in OTHER_MARK or bool(grouped["part"]) or cell.count(by) > 1


def sure_mark(cell):
    """The decimal mark of a number that can have no other, or None."""
    if NUMBER.fullmatch(cell):
        marks = "" if TWO_MEANINGS.fullmatch(cell) else set(cell) & set(OTHER_MARK)
    else:
        found = {mark: written.fullmatch(cell) for mark, written in GROUPED.items()}
        marks = [mark for mark, grouped in found.items() if grouped and grouped["part"]]
    return next(iter(marks), None)


def is_written_number(cell):
    """Whether a text is a number, or a percentage, in whatever writing."""
    cell = cell.rstrip("% ")
    return bool(NUMBER.fullmatch(cell)) or any(each.fullmatch(cell) for each in GROUPED.values())


def _days(cell, written):
    parts = written.fullmatch(cell)
    if not parts:
        return None
    day = f"{parts['y']}-{parts['m']:0>2}-{parts['d']:0>2}"
    clock = parts["clock"] or "00:00"
    hour, _, rest = clock.partition(":")
    try:
        moment = np.datetime64(f"{day}T{hour:0>2}:{rest[:12]}", "us")
    except ValueError:  # the 31st of February
        return None
    return (moment - np.datetime64(0, "us")) / np.timedelta64(1, "D")


def shortened(text):
    """As a message shows what a file holds: in quotes, without control characters, bounded."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def listed(names, shown=shortened, most=LISTED):
    """Names for a message, at most so many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(map(shown, names[:most]))}{more}"
