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

#: Numbers with separators of thousands, by the decimal mark.
THOUSANDS = {
    ".": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})*(\.[0-9]*)?"),
    ",": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})*(,[0-9]*)?"),
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
        is one of any kind.
    decimal : {".", ","}
        The decimal mark.
    thousands : bool
        Whether the other mark separates thousands, whatever the kind.
    """
    if kind in DATES:
        days = _days(cell, DATES[kind])
        return _days(cell, DATES["dates"]) if days is None else days
    if kind == "percent":
        if not cell.endswith("%"):
            return None
        cell = cell[:-1].rstrip()
    if kind == "numbers" and cell.lower() in BOOLEANS:
        return BOOLEANS[cell.lower()]
    other = OTHER_MARK[decimal]
    if (thousands or kind == "thousands") and THOUSANDS[decimal].fullmatch(cell):
        cell = cell.replace(other, "")
    if not NUMBER.fullmatch(cell) or other in cell:
        return None
    return float(cell.replace(",", "."))


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
