"""Arrays of constants, as C has them."""

import re
import textwrap

import numpy as np

from fastbp.export.integers import KINDS
from fastbp.export.parts import PRECISIONS

#: What C calls integers.
WORDS = {"uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned", **KINDS}


class Constants:
    """The arrays of a file, and how many bytes they are.

    Parameters
    ----------
    many : bool
        Whether there are several members, each with a row of its own.
    """

    def __init__(self, many):
        self.many, self.constants, self.n_bytes = many, [], 0

    def number(self, value, kind):
        """A constant that is read as the very same number."""
        value = kind.type(value)
        text = f"{float(value):.9g}" if kind == PRECISIONS["float"] else repr(float(value))
        text = text if re.search(r"[.en]", text) else f"{text}.0"
        return text + ("f" if kind == PRECISIONS["float"] else "")

    def constant(self, name, of_members, kind=PRECISIONS["double"]):
        """An array, of one row for each member where there are several."""
        rows, kind = np.asarray(of_members), np.dtype(kind)
        self.n_bytes += rows.size * kind.itemsize
        many = rows.ndim > 1
        if kind.kind in "iu":
            word, written = WORDS[kind.name], str
        else:
            word = "float" if kind.itemsize == 4 else "double"

            def written(value):
                return self.number(value, kind)

        lists = [", ".join(map(written, row)) for row in np.atleast_2d(rows)]
        lists = [textwrap.fill(row, 96, initial_indent="    ", subsequent_indent="    ")
                 for row in lists]  # fmt: skip
        lengths = "".join(f"[{n}]" for n in rows.shape)
        body = "\n}, {\n".join(lists)
        body = f"{{{{\n{body}\n}}}}" if many else f"{{\n{body}\n}}"
        self.constants.append(f"static const {word} {name}{lengths} = {body};\n")

    def of_members(self, name, rows, kind=PRECISIONS["double"]):
        """A constant that each member has its own of."""
        rows = list(rows)
        self.constant(name, rows if self.many else rows[0], kind)
