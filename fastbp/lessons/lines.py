"""A step in writing: each quantity as its formula, the formula with its numbers, and its value.

Of a network with one small hidden layer every quantity is a number; of others, and of batches,
there are matrices, layer by layer, of which the middle is left out.
"""

from typing import NamedTuple

import numpy as np

from fastbp.lessons.names import Names, down, factor, number, product, up

#: A hidden layer of so many units and inputs, at most, is written out.
FEW = 3

#: σ(z) and σ′(z) as formulas of z, of −z and of o = σ(z); None is told by its value alone. A · is
#: written between numbers only.
FORMULAS = {
    "identity": ("{z}", "1"),
    "logistic": ("1/(1 + e^{−z})", "{o}·(1 − {o})"),
    "tanh": ("tanh({z})", "1 − {o}²"),
    "relu": ("max({z}, 0)", "(1 if {z} > 0, else 0)"),
    "silu": ("{z}/(1 + e^{−z})", None),
    "softplus": ("log(1 + e^{z})", "1/(1 + e^{−z})"),
    "gelu": ("½·{z}·(1 + erf({z}/√2))", None),
    "elu": ("({z} if {z} > 0, else e^{z} − 1)", None),
}

#: L of one output, and its slope, as formulas of ŷ and y.
LOSSES = {
    "squared_error": ("({ŷ} − {y})²", "2·({ŷ} − {y})"),
    "half_squared_error": ("½·({ŷ} − {y})²", "({ŷ} − {y})"),
}


class Line(NamedTuple):
    """A quantity: ``name = formula = with numbers = value``."""

    name: str
    formulas: tuple  # any number of them
    value: object  # a float, or a matrix


class Section(NamedTuple):
    title: str
    lines: list


def is_small(step):
    """Whether every quantity is written out."""
    return (
        len(step.widths) == 3
        and step.n == 1
        and step.widths[2] == 1
        and max(step.widths) <= FEW
        and step.link == "identity"
    )


def sections_of(step):
    """The step, from the inputs to the new parameters."""
    return _numbers(step) if is_small(step) else _matrices(step)


def values_of(sections):
    """Every quantity by its name, as numbers and lists of numbers."""
    return {
        line.name: np.asarray(line.value, np.float64).tolist()
        for section in sections
        for line in section.lines
    }  # fmt: skip


# ---------------------------------------------------------------- all numbers, one by one


def _numbers(step):
    small = _Small(step)
    return [
        Section("Forward: from the inputs to the loss", list(small.forward())),
        Section("Backward: the output layer", list(small.output_layer())),
        Section("Backward: the hidden layer, through its outputs", list(small.hidden_layer())),
        Section("Update: every parameter against its gradient", list(small.update())),
        Section("The same sample after the step", list(small.afterwards())),
    ]


class _Small:
    """The lines of a step whose quantities are numbers."""

    def __init__(self, step):
        self.step, self.names = step, Names(step.widths)
        (self.W1, self.W2), (self.b1, self.b2) = step.before
        self.i, self.O = step.O[0][:, 0], step.O[1][:, 0]
        self.z, self.slope = step.Z[0][:, 0], step.slopes[0][:, 0]
        self.y_hat, self.y = step.O[2][0, 0], step.y[0, 0]
        self.d = step.D[1][0, 0]  # dL/dŷ
        loss, slope = LOSSES.get(step.loss_name, (None, None))
        values = {"ŷ": number(self.y_hat), "y": factor(self.y)}
        self.of_loss = _written(loss, {"ŷ": "ŷ", "y": "y"}, values)
        self.of_slope = _written(slope, {"ŷ": "ŷ", "y": "y"}, values)
        self.slope_of_loss = (self.of_slope or ("dL/dŷ",))[0]
        self.units, self.inputs = self.names.units(1), self.names.units(0)

    def forward(self):
        names, step = self.names, self.step
        for k in self.units:
            terms = [(names.weight(1, j, k), names.o(0, j)) for j in self.inputs]
            numbers = zip(self.W1[:, k - 1], self.i, strict=True)
            yield _sum(names.z(1, k), terms, names.bias(1, k), numbers, self.b1[k - 1],
                       self.z[k - 1])  # fmt: skip
        sigma = FORMULAS.get(step.activations[0], (None,))[0]
        for k in self.units:
            formulas = _written(sigma, *self._of_unit(k))
            yield Line(names.o(1, k), (f"σ({names.z(1, k)})", *formulas), self.O[k - 1])
        terms = [(names.weight(2, k, 1), names.o(1, k)) for k in self.units]
        numbers = zip(self.W2[:, 0], self.O, strict=True)
        yield _sum("ŷ", terms, names.bias(2, 1), numbers, self.b2[0], self.y_hat)
        yield Line("L", self.of_loss, step.loss)

    def _of_unit(self, k):
        """What formulas of a unit are written with: symbols, numbers."""
        z, o, value = self.names.z(1, k), self.names.o(1, k), self.z[k - 1]
        return {"z": z, "−z": f"−{z}", "o": o}, {
            "z": factor(value), "−z": number(-value), "o": factor(self.O[k - 1])
        }  # fmt: skip

    def output_layer(self):
        names, d = self.names, self.d
        yield Line("dL/dŷ", self.of_slope, d)
        gradient = self.step.gradient
        for k in self.units:
            yield Line(
                f"dL/d{names.weight(2, k, 1)}",
                (f"{self.slope_of_loss} {names.o(1, k)}", product(d, self.O[k - 1])),
                gradient[0][1][k - 1, 0],
            )
        yield Line(f"dL/d{names.bias(2, 1)}", (self.slope_of_loss,), gradient[1][1][0])

    def hidden_layer(self):
        names, d, slope = self.names, self.d, self.slope_of_loss
        gradient = self.step.gradient
        for k in self.units:
            w = names.weight(2, k, 1)
            yield Line(
                f"dL/d{names.o(1, k)}",
                (f"{slope} {w}", product(d, self.W2[k - 1, 0])),
                self.step.dO[0][k - 1, 0],
            )
        prime = FORMULAS.get(self.step.activations[0], (None, None))[1]
        for k in self.units:
            formulas = _written(prime, *self._of_unit(k))
            formulas = () if formulas == ("1",) else formulas
            yield Line(f"σ′({names.z(1, k)})", formulas, self.slope[k - 1])
        for k in self.units:
            w, z = names.weight(2, k, 1), names.z(1, k)
            there = d, self.W2[k - 1, 0], self.slope[k - 1]
            for j in self.inputs:
                yield Line(
                    f"dL/d{names.weight(1, j, k)}",
                    (f"{slope} {w} σ′({z}) {names.o(0, j)}", product(*there, self.i[j - 1])),
                    gradient[0][0][j - 1, k - 1],
                )
            yield Line(
                f"dL/d{names.bias(1, k)}",
                (f"{slope} {w} σ′({z})", product(*there)),
                gradient[1][0][k - 1],
            )

    def update(self):
        step = self.step
        for name, (before, gradient, after) in parameters_of(step).items():
            numbers = f"{number(before)} − {number(step.eta)}·{factor(gradient)}"
            yield Line(f"{name}(new)", (f"{name} − η dL/d{name}", numbers), after)

    def afterwards(self):
        yield Line("ŷ(new)", (), self.step.y_after[0, 0])
        yield Line("L(new)", (), self.step.loss_after)


def _written(formula, symbols, values):
    """A formula with symbols, and then with numbers; () if there is none."""
    if formula is None:
        return ()
    with_symbols = formula.replace("·", "").format(**symbols)
    return tuple(dict.fromkeys((with_symbols, formula.format(**values))))


def _sum(name, terms, bias, numbers, b, value):
    """The weighted sum of a unit."""
    formula = " + ".join(f"{w} {o}" for w, o in terms)
    written = " + ".join(product(w, o) if n == 0 else f"{factor(w)}·{factor(o)}"
                         for n, (w, o) in enumerate(numbers))  # fmt: skip
    return Line(name, (f"{formula} + {bias}", f"{written} + {factor(b)}"), value)


def parameters_of(step):
    """Name → before, gradient, after, of every parameter by itself."""
    found = {}
    for name, (l, j, k) in Names(step.widths).parameters().items():
        part, at = (1, k - 1) if j is None else (0, (j - 1, k - 1))
        found[name] = tuple(
            float(each[part][l - 1][at]) for each in (step.before, step.gradient, step.after)
        )
    return found


# ---------------------------------------------------------------------- matrices, by layer


def _matrices(step):
    m = len(step.widths) - 1
    forward = [Line("O⁰", (), step.O[0])]
    for l in range(1, m + 1):
        z = f"Z{up(l)}"
        value = step.Z[l - 1]
        forward.append(Line(z, (f"W{up(l)}ᵀ O{up(l - 1)} + b{up(l)}",), value))
        if l < m:
            forward.append(Line(f"O{up(l)}", (f"σ({z})",), step.O[l]))
    link = f"Z{up(m)}" if step.link == "identity" else f"{step.link}(Z{up(m)})"
    forward += [Line("ŷ", (link,), step.O[m]), Line("y", (), step.y)]
    share = "" if step.n == 1 else f"(1/{step.n}) Σ "
    about = {"squared_error": "‖ŷ − y‖²", "half_squared_error": "½‖ŷ − y‖²"}.get(step.loss_name)
    forward.append(Line("L", (f"{share}{about}",) if about else (), step.loss))

    twos = {"squared_error": f"({number(2 / step.n)})(ŷ − y)" if step.n > 1 else "2(ŷ − y)",
            "half_squared_error": f"(1/{step.n})(ŷ − y)"}  # fmt: skip
    first = (twos[step.loss_name],) if step.loss_name in twos else (f"dL/dZ{up(m)}",)
    backward = [Line(f"D{up(m)}", first, step.D[m - 1])]
    for l in range(m, 0, -1):
        if l < m:
            o, z = f"dL/dO{up(l)}", f"Z{up(l)}"
            backward += [
                Line(o, (f"W{up(l + 1)} D{up(l + 1)}",), step.dO[l - 1]),
                Line(f"σ′({z})", (), step.slopes[l - 1]),
                Line(f"D{up(l)}", (f"{o} ∘ σ′({z})",), step.D[l - 1]),
            ]
        W, b = (each[l - 1] for each in step.gradient)
        backward += [
            Line(f"dL/dW{up(l)}", (f"O{up(l - 1)} D{up(l)}ᵀ",), W),
            Line(f"dL/db{up(l)}", (f"Σ D{up(l)}",), b[:, None]),
        ]
    update = []
    for l in range(1, m + 1):
        for part, name in enumerate((f"W{up(l)}", f"b{up(l)}")):
            before, after = (_column(each[part][l - 1]) for each in (step.before, step.after))
            update += [
                Line(name, (), before),
                Line(f"{name}(new)", (f"{name} − η dL/d{name}",), after),
            ]
    after = [Line("ŷ(new)", (), step.y_after), Line("L(new)", (), step.loss_after)]
    samples = "one sample" if step.n == 1 else f"{step.n} samples, a column each"
    return [
        Section(f"Forward: {samples}", forward),
        Section("Backward: layer by layer, from the output", backward),
        Section("Update: every parameter against its gradient", update),
        Section(f"The same {'sample' if step.n == 1 else 'samples'} after the step", after),
    ]


def _column(a):
    return a[:, None] if a.ndim == 1 else a


def title_of(step):
    """What network, loss and step size it is."""
    kinds = ", ".join(dict.fromkeys(step.activations)) or "linear"
    shape = "-".join(map(str, step.widths))
    words = step.loss_name.replace("_", " ")
    return f"One step of backpropagation: {shape}, {kinds}; {words}; η = {number(step.eta)}"


def given_of(step):
    """The sample, and how it comes from the table where it is standardized."""
    lines = []
    if step.n == 1 and max(step.widths[0], step.widths[-1]) <= FEW:
        i, y = step.O[0][:, 0], step.y[:, 0]
        names = step.columns or [""] * len(i)
        of_x, of_y = [(0.0, 1.0)] * len(i), [(0.0, 1.0)] * len(y)
        if step.units is not None:
            of_x = list(zip(step.units.X_mean, step.units.X_scale, strict=True))
            of_y = list(zip(step.units.y_mean, step.units.y_scale, strict=True))
        known = Names(step.widths)
        ends = [known.y(k) for k in known.units(len(step.widths) - 1)]
        told = [_from_table(f"i{down(j)}", *each) for j, each in enumerate(
            zip(names, i, of_x, strict=True), start=1)]  # fmt: skip
        said = [0.0] * len(y) if step.line is None else step.line[:, 0]
        told += [_from_table(name, "", *each) for name, *each in zip(
            ends, y, of_y, said, strict=True)]  # fmt: skip
        lines += [", ".join(told)] if step.units is None else told
    if step.units is not None:
        lines.append("Standardized, as training sees them: less the mean, by the deviation.")
    is_one = step.n == 1 and step.widths[-1] == 1
    if step.line is not None:
        part = f"{number(step.line[0, 0])} of y" if is_one else "a part of y"
        lines.append(
            f"The model's linear part says {part}, in the table's units. The rest is the network's "
            "to say: y and ŷ are without that part here."
        )
    if is_one and (step.units is not None or step.line is not None):
        whole = "" if step.line is None else " with the linear part"
        lines.append(
            f"In the table's units{whole} ŷ is {number(step.prediction[0, 0])}, and after the step "
            f"{number(step.in_table(step.y_after)[0, 0])}."
        )
    return lines


def _from_table(name, column, value, units, line=0.0):
    """A value, from that of the table, of which a linear part says so much."""
    mean, scale = units
    column = f" ({column})" if column else ""
    before = number(value * scale + mean + line)
    less = "".join(f" − {factor(part)}" for part in (line, mean) if part)
    told = f"({before}{less})" if less and scale != 1 else f"{before}{less}"
    told = told if scale == 1 else f"{told}/{number(scale)}"
    return f"{name}{column} = {told}" + (f" = {number(value)}" if less or scale != 1 else "")
