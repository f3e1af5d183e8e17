"""What the mathematics calls each quantity of a network, and numbers as it writes them."""

import re

import numpy as np

_UP = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_DOWN = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "01234567890123456789", " _^")


def up(number):
    """As a superscript."""
    return str(number).translate(_UP)


def down(*numbers, comma=False):
    """As subscripts."""
    return ("," if comma else "").join(str(number).translate(_DOWN) for number in numbers)


def plain(name):
    """A name as a keyboard has it: w¹₁₂ is w112."""
    return name.translate(_PLAIN)


class Names:
    """Names of all quantities of a network of these widths; layers and units count from 1.

    A weight is w¹ⱼₖ: superscript the layer, subscripts the unit that it comes from and that it
    goes to. A bias is bₗₖ: layer and unit.
    """

    def __init__(self, widths):
        self.widths, self.is_deep = list(widths), len(widths) > 3
        self.comma = max(widths) > 9

    def weight(self, l, j, k):
        return f"w{up(l)}{down(j, k, comma=self.comma)}"

    def bias(self, l, k):
        return f"b{down(l, k, comma=self.comma)}"

    def z(self, l, k):
        if l == len(self.widths) - 1:
            return self.y_hat(k)
        return f"z{up(l) if self.is_deep else ''}{down(k)}"

    def o(self, l, k):
        """The output of a unit: an input in layer 0, ŷ in the last one."""
        if l == 0:
            return f"i{down(k)}"
        if l == len(self.widths) - 1:
            return self.y_hat(k)
        return f"O{up(l) if self.is_deep else ''}{down(k)}"

    def y_hat(self, k):
        return "ŷ" if self.widths[-1] == 1 else f"ŷ{down(k)}"

    def y(self, k):
        return "y" if self.widths[-1] == 1 else f"y{down(k)}"

    def units(self, l):
        """The numbers of a layer's units."""
        return range(1, self.widths[l] + 1)

    def parameters(self):
        """Name → (layer, from, to) of every parameter; a bias comes from None."""
        found = {}
        for l in range(1, len(self.widths)):
            for k in self.units(l):
                found |= {self.weight(l, j, k): (l, j, k) for j in self.units(l - 1)}
                found[self.bias(l, k)] = l, None, k
        return found

    def find(self, given, among):
        """The one of `among` that is meant: w¹₁₂ may be typed as w112.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        by_plain = {plain(name): name for name in among}
        name = by_plain.get(plain(given))
        if name is None:
            some = list(among)
            listed = ", ".join(some if len(some) < 20 else [*some[:8], "…", some[-1]])
            raise ValueError(f"The network has no {given!r}; it has {listed}.")
        return name


def number(value, digits=6):
    """To so many digits, with a true minus."""
    text = f"{float(value):.{digits}g}".replace("-", "−")
    return re.sub(r"e([+−])0*(\d+)", lambda m: f"·10{'⁻' * (m[1] == '−')}{up(m[2])}", text)


def factor(value):
    """As a factor, or a term behind a sign: in brackets, if it is negative or has a power."""
    text = number(value)
    return f"({text})" if re.search(r"[−·]", text) else text


def product(*values):
    """Numbers multiplied; the first may have a sign."""
    first, *others = values
    return "·".join([number(first), *map(factor, others)])


#: Rows and columns of a matrix that are shown, at most.
SHOWN = 4


def abridged(matrix):
    """Rows of cells, "…" where some are left out."""
    matrix = np.atleast_2d(matrix)
    n, m = matrix.shape
    rows, columns = _shown(n), _shown(m)
    return [
        ["…" if i is None or j is None else number(matrix[i, j], 5) for j in columns] for i in rows
    ]


def _shown(n):
    """Numbers of what is shown of n, None for what is left out."""
    return list(range(n)) if n <= SHOWN + 1 else [*range(SHOWN - 1), None, n - 1]
