"""A step as a picture: the network three times, forward, backward, update; needs matplotlib."""

import io
import logging

import numpy as np

from fastbp.lessons.lines import FEW, title_of
from fastbp.lessons.names import Names, down, number
from fastbp.plotting import can_draw, check_matplotlib, write_figure

__all__ = ["as_svg", "can_draw", "draw", "save"]

#: Of numbers above 0 and below: told apart by the colour-blind, and dashed in print.
ABOVE, BELOW, FRAME = "#0072B2", "#D55E00", "0.35"
PAPER = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}

#: Units of a layer that are drawn, at most, and its inputs where all numbers are written.
MOST = 6

#: Widths of the thinnest and the widest line, in points; the latter where there are many, too.
THIN, WIDE, WIDE_OF_MANY = 0.6, 4.5, 2.2

#: In inches: the radius of a unit, the distances between units of a layer and between layers.
RADIUS, GAP, APART = 0.34, 1.45, 3.4
#: The same where layers are wide or many.
SMALL_RADIUS, SMALL_GAP, LEAST_APART = 0.25, 0.75, 1.3
#: In inches: at the sides of a panel, above and below its units, from ŷ to L, and for a title.
MARGIN, ABOVE_UNITS, TO_LOSS, TITLE = 0.65, 0.85, 1.9, 0.45


def draw(step, figure=None):
    """The three panels, one below the other.

    Parameters
    ----------
    step : Step
    figure : matplotlib Figure or None
        It gets the size that the network needs.
    """
    check_matplotlib("Explanation.plot")
    from matplotlib.figure import Figure

    figure = Figure() if figure is None else figure
    panels = _Forward(step), _Backward(step), _Update(step)
    width, height = panels[0].size
    whole = 3 * (height + TITLE) + 2 * TITLE
    title = title_of(step) + ("" if step.n == 1 else f"; means over {step.n} samples")
    figure.set_size_inches(width, whole)
    figure.text(0.5, 1 - 0.25 / whole, title, ha="center", va="center", fontsize=13)
    for place, panel in enumerate(panels, start=1):
        bottom = whole - TITLE - place * (height + TITLE)
        panel.draw(figure.add_axes((0, bottom / whole, 1, height / whole)))
    told = "Lines: the wider, the larger. Solid and blue: above 0. Dashed and orange: below 0."
    figure.text(0.5, 0.2 / whole, told, ha="center", va="center", fontsize=9, color=FRAME)
    return figure


def save(step, path):
    """Draw into a file; matplotlib tells by its suffix of which kind."""
    # Without a home directory matplotlib logs where it keeps its fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    write_figure(path, draw(step))


def as_svg(step):
    """The picture as a piece of HTML."""
    import matplotlib

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "fastbp"}):
        draw(step).savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


class _Panel:
    """The network as a graph: what is written on units and lines is the subclass's."""

    title = ""
    forward = True  # which way the arrows point

    def __init__(self, step):
        self.step, self.names = step, Names(step.widths)
        self.m = len(step.widths) - 1
        self.written = max(step.widths) <= FEW and self.m <= 2  # every number
        self.shown = [_shown(width) for width in step.widths]
        self.many = max(map(len, self.shown)) > FEW
        self.radius, self.gap = (SMALL_RADIUS, SMALL_GAP) if self.many else (RADIUS, GAP)
        self.apart = max(LEAST_APART, min(APART, 2 * APART / self.m))
        self.size = (
            2 * MARGIN + self.m * self.apart + TO_LOSS,
            2 * ABOVE_UNITS + self.gap * (max(map(len, self.shown)) - 1),
        )

    def place(self, l, at):
        """Of the unit that is drawn as number `at` of layer l, in inches."""
        below = (len(self.shown[l]) - 1) / 2 - at
        return MARGIN + self.apart * l, self.size[1] / 2 + self.gap * below

    def draw(self, ax):
        ax.set(xlim=(0, self.size[0]), ylim=(0, self.size[1]))
        ax.set_title(self.title, fontsize=11, loc="left", x=MARGIN / 2 / self.size[0])
        ax.axis("off")
        sizes = [np.abs(self.lines(l)).max(initial=0) for l in range(1, self.m + 1)]
        largest = max(sizes) or 1.0
        for l in range(1, self.m + 1):
            self.draw_lines(ax, l, largest)
        self.draw_loss(ax)
        for l, shown in enumerate(self.shown):
            for at, k in enumerate(shown):
                self.draw_unit(ax, l, at, k)

    def draw_lines(self, ax, l, largest):
        values = self.lines(l)
        for from_at, j in enumerate(self.shown[l - 1]):
            for to_at, k in enumerate(self.shown[l]):
                if j is None or k is None:
                    continue
                ends = self.place(l - 1, from_at), self.place(l, to_at)
                self.arrow(ax, *ends, values[j - 1, k - 1], largest)
                if self.written:
                    # Where lines cross, those from a unit and from the next are told apart.
                    crossing = min(len(self.shown[l]), len(self.shown[l - 1])) > 1
                    part = (0.27, 0.6)[from_at % 2] if crossing else 0.5
                    self.label(ax, *ends, self.on_line(l, j, k), part)

    def arrow(self, ax, start, end, value, largest):
        start, end = np.array(start), np.array(end)
        off = self.radius * (end - start) / np.hypot(*(end - start))
        ends = [start + off, end - off]
        start, end = ends if self.forward else ends[::-1]
        wide = WIDE_OF_MANY if self.many else WIDE
        ax.annotate(
            "", end, start,
            arrowprops={
                "arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9,
                "linewidth": THIN + (wide - THIN) * abs(value) / largest,
                "color": ABOVE if value >= 0 else BELOW,
                "linestyle": "-" if value >= 0 else (0, (4, 1.5)),
            },
        )  # fmt: skip

    def label(self, ax, start, end, text, part):
        x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
        ax.text(x, y, text, ha="center", va="center", fontsize=9, bbox=PAPER, zorder=4)

    def draw_unit(self, ax, l, at, k):
        from matplotlib.patches import Circle

        x, y = self.place(l, at)
        if k is None:
            ax.text(x, y, "⋮", ha="center", va="center", fontsize=14)
            return
        ax.add_patch(Circle((x, y), self.radius, facecolor="white", edgecolor=FRAME, zorder=5))
        text = "\n".join(self.on_unit(l, k)).strip()
        size = 7 if self.many else 9
        ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=6, linespacing=1.3)
        beside = self.beside_unit(l, k) if self.written else ""
        if beside:
            # Where no lines are: above the first unit, else below; right of the middle at the end.
            above = at == 0 and len(self.shown[l]) > 1
            y += (self.radius + 0.06) * (1 if above else -1)
            ends = {"ha": "left" if l == self.m else "center", "va": "bottom" if above else "top"}
            ax.text(x, y, beside, **ends, fontsize=9, zorder=6, bbox=PAPER)

    def draw_loss(self, ax):
        """L, where ŷ goes to."""
        there = MARGIN + self.m * self.apart + TO_LOSS
        middle = self.size[1] / 2
        half = 0.12 + 0.038 * max(map(len, self.on_loss().split("\n")))
        for at, k in enumerate(self.shown[self.m]):
            if k is not None:
                x, y = self.place(self.m, at)
                ends = [(x + self.radius, y), (there - half, middle)]
                start, end = ends if self.forward else ends[::-1]
                arrow = {"arrowstyle": "-|>", "color": FRAME, "shrinkA": 0, "shrinkB": 0}
                ax.annotate("", end, start, arrowprops=arrow)
        box = {"boxstyle": "square,pad=0.35", "facecolor": "white", "edgecolor": FRAME}
        ax.text(there, middle, self.on_loss(), ha="center", va="center", fontsize=9, bbox=box)

    # ------------------------------------------------------- what subclasses write

    def lines(self, l):
        """What lines show by width and colour: shaped as Wˡ."""
        raise NotImplementedError

    def on_unit(self, l, k):
        return self.names.o(l, k), number(self.step.O[l][k - 1].mean(), 3)


class _Forward(_Panel):
    title = "Forward: values in units, weights on lines"

    def lines(self, l):
        return self.step.before[0][l - 1]

    def on_line(self, l, j, k):
        return f"{self.names.weight(l, j, k)}  {number(self.lines(l)[j - 1, k - 1], 3)}"

    def beside_unit(self, l, k):
        if l == 0:
            return ""
        return f"{self.names.bias(l, k)}  {number(self.step.before[1][l - 1][k - 1], 3)}"

    def on_loss(self):
        return f"L\n{number(self.step.loss, 3)}"


class _Backward(_Panel):
    title = "Backward: the way of the gradient (dO is dL/dO, dw is dL/dw)"
    forward = False

    def lines(self, l):
        return self.step.gradient[0][l - 1]

    def on_line(self, l, j, k):
        return f"d{self.names.weight(l, j, k)}  {number(self.lines(l)[j - 1, k - 1], 3)}"

    def on_unit(self, l, k):
        if l == 0:
            return super().on_unit(l, k)
        d = self.step.D[-1] if l == self.m else self.step.dO[l - 1]
        name = self.names.o(l, k) if self.step.link == "identity" or l < self.m else f"Z{down(k)}"
        return f"d{name}", number(d[k - 1].sum(), 3)

    def beside_unit(self, l, k):
        if l == 0:
            return ""
        gradient = f"d{self.names.bias(l, k)}  {number(self.step.gradient[1][l - 1][k - 1], 3)}"
        if l == self.m:
            return gradient
        return f"{gradient}\nσ′  {number(self.step.slopes[l - 1][k - 1].mean(), 3)}"

    def on_loss(self):
        return "L"


class _Update(_Panel):
    title = "Update: before → after; lines show the step −η dL/dw"

    def lines(self, l):
        return self.step.after[0][l - 1] - self.step.before[0][l - 1]

    def on_line(self, l, j, k):
        before, after = (
            each[0][l - 1][j - 1, k - 1] for each in (self.step.before, self.step.after)
        )
        return f"{number(before, 3)} → {number(after, 3)}"

    def on_unit(self, l, k):
        name = self.names.o(l, k)
        if l < self.m:
            return (name, number(self.step.O[0][k - 1].mean(), 3)) if l == 0 else (name, "")
        return name, number(self.step.y_after[k - 1].mean(), 3)

    def beside_unit(self, l, k):
        if l == 0:
            return ""
        before, after = (each[1][l - 1][k - 1] for each in (self.step.before, self.step.after))
        return f"{number(before, 3)} → {number(after, 3)}"

    def on_loss(self):
        return f"L\n{number(self.step.loss, 3)}\n→ {number(self.step.loss_after, 3)}"


def _shown(n):
    """The units of a layer that are drawn; None for those left out."""
    return list(range(1, n + 1)) if n <= MOST else [*range(1, MOST - 1), None, n]
