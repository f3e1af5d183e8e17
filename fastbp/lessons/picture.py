"""A step as a picture: the network three times, forward, backward, update; needs matplotlib."""

import io
import logging

import numpy as np

from fastbp.lessons.lines import FEW, title_of
from fastbp.lessons.names import Names, down, number
from fastbp.plotting import can_draw, check_matplotlib

__all__ = ["as_svg", "can_draw", "draw", "save"]

#: Of numbers above 0 and below: told apart by the colour-blind, and dashed in print.
ABOVE, BELOW, FRAME = "#0072B2", "#D55E00", "0.35"

#: Units of a layer that are drawn, at most, and its inputs where all numbers are written.
MOST = 6

#: Widths of the thinnest and the widest line, in points.
THIN, WIDE = 0.6, 4.5

#: The radius of a unit, where neighbours are at a distance of 1.
RADIUS = 0.19


def draw(step, figure=None):
    """The three panels.

    Parameters
    ----------
    step : Step
    figure : matplotlib Figure or None
    """
    check_matplotlib("Explanation.plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 6.2)) if figure is None else figure
    figure.suptitle(title_of(step), y=0.98)
    axes = figure.subplots(1, 3, gridspec_kw={
        "left": 0.01, "right": 0.99, "bottom": 0.1, "top": 0.86, "wspace": 0.03,
    })  # fmt: skip
    for ax, panel in zip(axes, (_Forward(step), _Backward(step), _Update(step)), strict=True):
        panel.draw(ax)
    figure.text(
        0.5, 0.02, "Lines: the wider, the larger.  Solid and blue: above 0.  "
        "Dashed and orange: below 0.", ha="center", fontsize=10, color=FRAME,
    )  # fmt: skip
    return figure


def save(step, path):
    """Draw into a file; matplotlib tells by its suffix of which kind."""
    # Without a home directory matplotlib logs where it keeps its fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    draw(step).savefig(path, dpi=120)


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
        self.written = max(step.widths) <= FEW and self.m == 2  # every number
        self.shown = [_shown(width) for width in step.widths]

    def place(self, l, at):
        """Of the unit that is drawn as number `at` of layer l."""
        n = len(self.shown[l])
        gap = min(1.0, 2.6 / max(n - 1, 1))
        return 1.35 * l, gap * ((n - 1) / 2 - at)

    def draw(self, ax):
        ax.set(title=self.title, xlim=(-0.45, 1.35 * (self.m + 0.85) + 0.4), ylim=(-1.75, 1.6))
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
                value = values[j - 1, k - 1]
                ends = self.place(l - 1, from_at), self.place(l, to_at)
                self.arrow(ax, *ends, value, largest)
                if self.written:
                    n_to = len(self.shown[l])
                    self.label(ax, *ends, self.on_line(l, j, k), 0.36 if n_to > 1 else 0.5)

    def arrow(self, ax, start, end, value, largest):
        (x0, y0), (x1, y1) = start, end
        part = RADIUS / np.hypot(x1 - x0, y1 - y0)
        cut = [x0 + part * (x1 - x0), x1 - part * (x1 - x0)]
        cut_y = [y0 + part * (y1 - y0), y1 - part * (y1 - y0)]
        ends = [(cut[0], cut_y[0]), (cut[1], cut_y[1])]
        start, end = ends if self.forward else ends[::-1]
        ax.annotate(
            "", end, start,
            arrowprops={
                "arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9,
                "linewidth": THIN + (WIDE - THIN) * abs(value) / largest,
                "color": ABOVE if value >= 0 else BELOW,
                "linestyle": "-" if value >= 0 else (0, (4, 1.5)),
            },
        )  # fmt: skip

    def label(self, ax, start, end, text, part):
        x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
        box = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5, bbox=box, zorder=4)

    def draw_unit(self, ax, l, at, k):
        from matplotlib.patches import Circle

        x, y = self.place(l, at)
        if k is None:
            ax.text(x, y, "⋮", ha="center", va="center", fontsize=14)
            return
        crowded = len(self.shown[l]) > 4
        radius = RADIUS if not crowded else 0.75 * RADIUS
        ax.add_patch(Circle((x, y), radius, facecolor="white", edgecolor=FRAME, zorder=5))
        name, value = self.on_unit(l, k)
        size = 9 if not crowded else 7
        ax.text(x, y + 0.4 * radius, name, ha="center", va="center", fontsize=size, zorder=6)
        ax.text(x, y - 0.35 * radius, value, ha="center", va="center", fontsize=size, zorder=6)
        below = self.below_unit(l, k) if self.written else ""
        if below:
            ax.text(x, y - radius - 0.05, below, ha="center", va="top", fontsize=8.5, zorder=6,
                    bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"})  # fmt: skip

    def draw_loss(self, ax):
        """L, where ŷ goes to."""
        x, y = 1.35 * self.m, 0.0
        there = 1.35 * (self.m + 0.78)
        style = "-|>" if self.forward else "<|-"
        for at, k in enumerate(self.shown[self.m]):
            if k is not None:
                x, y = self.place(self.m, at)
                ax.annotate("", (there - 0.2, 0.0), (x + RADIUS, y),
                            arrowprops={"arrowstyle": style, "color": FRAME, "linewidth": 0.8,
                                        "shrinkA": 0, "shrinkB": 0})  # fmt: skip
        box = {"boxstyle": "square,pad=0.35", "facecolor": "white", "edgecolor": FRAME}
        ax.text(there, 0.0, self.on_loss(), ha="center", va="center", fontsize=9, bbox=box)

    # ------------------------------------------------------- what subclasses write

    def lines(self, l):
        """What lines show by width and colour: shaped as Wˡ."""
        raise NotImplementedError

    def on_unit(self, l, k):
        return self.names.o(l, k), number(self.step.O[l][k - 1].mean(), 3)


class _Forward(_Panel):
    title = "Forward: values on units, weights on lines, biases below"

    def lines(self, l):
        return self.step.before[0][l - 1]

    def on_line(self, l, j, k):
        return f"{self.names.weight(l, j, k)}  {number(self.lines(l)[j - 1, k - 1], 3)}"

    def below_unit(self, l, k):
        if l == 0:
            return ""
        return f"{self.names.bias(l, k)}  {number(self.step.before[1][l - 1][k - 1], 3)}"

    def on_loss(self):
        return f"L\n{number(self.step.loss, 3)}"


class _Backward(_Panel):
    title = "Backward: dL/d… of units, of weights on lines, of biases below"
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

    def below_unit(self, l, k):
        if l == 0:
            return ""
        gradient = f"d{self.names.bias(l, k)}  {number(self.step.gradient[1][l - 1][k - 1], 3)}"
        if l == self.m:
            return gradient
        return f"{gradient}\nσ′  {number(self.step.slopes[l - 1][k - 1].mean(), 3)}"

    def on_loss(self):
        return "L"


class _Update(_Panel):
    title = "Update: before → after; lines: the step −η dL/dw"

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

    def below_unit(self, l, k):
        if l == 0:
            return ""
        before, after = (each[1][l - 1][k - 1] for each in (self.step.before, self.step.after))
        return f"{number(before, 3)} → {number(after, 3)}"

    def on_loss(self):
        return f"L\n{number(self.step.loss, 3)}\n→ {number(self.step.loss_after, 3)}"


def _shown(n):
    """The units of a layer that are drawn; None for those left out."""
    return list(range(1, n + 1)) if n <= MOST else [*range(1, MOST - 1), None, n]
