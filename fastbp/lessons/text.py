"""A step for a terminal of 80 columns."""

import textwrap

import numpy as np

from fastbp.lessons.lines import given_of, title_of
from fastbp.lessons.names import abridged, number

WIDTH = 80


def text_of(step, sections):
    """The whole step."""
    written = [*textwrap.wrap(title_of(step), WIDTH)]
    for line in given_of(step):
        written += textwrap.wrap(line, WIDTH)
    for section in sections:
        written += ["", section.title]
        width = max(len(line.name) for line in section.lines)
        for line in section.lines:
            written += line_of(line, width)
    return "\n".join(written)


def line_of(line, width):
    """A quantity in lines of at most 80 columns."""
    head = f"  {line.name:{width}} = "
    indent = " " * (len(head) - 2) + "= "
    if np.ndim(line.value):
        return _matrix(head, line)
    lines, start = [], head
    for part in [*line.formulas, number(line.value)]:
        if lines and len(lines[-1]) + 3 + len(part) <= WIDTH:
            lines[-1] += f" = {part}"
        else:  # a sum that is longer than a line goes on in the next one
            ends = {"initial_indent": start, "subsequent_indent": " " * len(head)}
            lines += textwrap.wrap(part, WIDTH, **ends)
        start = indent
    return lines


def _matrix(head, line):
    cells = abridged(line.value)
    width = max(len(cell) for row in cells for cell in row)
    rows = ["  ".join(f"{cell:>{width}}" for cell in row) for row in cells]
    start = head + " = ".join(line.formulas) + (" = " if line.formulas else "")
    if line.formulas or len(start) + len(rows[0]) > WIDTH - 2:
        n, m = np.shape(line.value)
        return [f"{start.rstrip(' =')}   ({n}×{m})", *(f"      [{row}]" for row in rows)]
    return [start + f"[{rows[0]}]", *(" " * len(start) + f"[{row}]" for row in rows[1:])]
