"""What depends on what: the chain from a parameter to the loss, as factors."""

from typing import NamedTuple

import numpy as np

from fastbp.lessons.names import Names, number, product


class Factor(NamedTuple):
    """A link of the chain."""

    slope: str  # dŷ/dO₁
    formula: str  # what that is: w²₁₁
    value: float


class Chain(NamedTuple):
    """How L depends on a parameter: the product of the factors is its gradient."""

    parameter: str
    factors: tuple
    gradient: float

    def __str__(self):
        slopes = " · ".join(each.slope for each in self.factors)
        lines = [f"dL/d{self.parameter} = {slopes}"]
        width = max(len(each.slope) for each in self.factors)
        for slope, formula, value in self.factors:
            told = f"{formula} = " if formula else ""
            lines.append(f"  {slope:{width}} = {told}{number(value)}")
        numbers = product(*(each.value for each in self.factors))
        return "\n".join([*lines, f"  product: {numbers} = {number(self.gradient)}"])


class Dependence(NamedTuple):
    """What a quantity depends on: parameters directly, and others through units."""

    quantity: str
    directly: tuple  # names of parameters
    through: dict  # unit → the parameters that it depends on directly

    def __str__(self):
        directly = f" directly on {_listed(self.directly)}" if self.directly else ""
        lines = [f"{self.quantity} depends{directly}"]
        lines += [f"  and through {unit} on {_listed(names)}" for unit, names in
                  self.through.items()]  # fmt: skip
        return "\n".join(lines)


def _listed(names, most=12):
    names = list(names)
    return ", ".join(names if len(names) <= most else [*names[:3], "…", names[-1]])


def depends_on(step, name):
    """The chain of a parameter, or what a unit, ŷ or L depends on."""
    names = Names(step.widths)
    parameters = names.parameters()
    m = len(step.widths) - 1
    outputs = {names.o(m, k): (m, k) for k in names.units(m)}
    hidden = {names.o(l, k): (l, k) for l in range(1, m) for k in names.units(l)}
    name = names.find(name, [*parameters, *outputs, *hidden, "L"])
    if name not in parameters:
        return _dependence(names, name, {**outputs, **hidden}, m)
    if step.n != 1:
        raise ValueError(
            f"The chain of a parameter is one sample's, these are {step.n}: their gradient is the "
            "sum of as many chains. Explain the step of a single sample."
        )
    l, j, k = parameters[name]
    part, at = (1, k - 1) if j is None else (0, (j - 1, k - 1))
    factors = [*_to_unit(step, names, l, k), _of_parameter(step, names, name, l, j, k)]
    return Chain(name, tuple(factors), float(step.gradient[part][l - 1][at]))


def _to_unit(step, names, l, k):
    """From L to what a unit sums up."""
    m = len(step.widths) - 1
    d = step.D[m - 1][:, 0]
    if l == m:
        of_output = names.y_hat(k) if step.link == "identity" else f"Z{k}"
        return [Factor(f"dL/d{of_output}", "", float(d[k - 1]))]
    o, z = names.o(l, k), names.z(l, k)
    own = Factor(f"d{o}/d{z}", f"σ′({z})", float(step.slopes[l - 1][k - 1, 0]))
    if l == m - 1 and len(d) == 1 and step.link == "identity":
        w = float(step.before[0][m - 1][k - 1, 0])
        direct = Factor(f"dŷ/d{o}", names.weight(m, k, 1), w)
        return [Factor("dL/dŷ", "", float(d[0])), direct, own]
    paths = int(np.prod(step.widths[l + 1 :]))
    summed = f"sum over {paths} paths" if paths > 1 else ""
    return [Factor(f"dL/d{o}", summed, float(step.dO[l - 1][k - 1, 0])), own]


def _of_parameter(step, names, name, l, j, k):
    """From what a unit sums up to the parameter."""
    z = names.z(l, k)
    if j is None:
        return Factor(f"d{z}/d{name}", "", 1.0)
    return Factor(f"d{z}/d{name}", names.o(l - 1, j), float(step.O[l - 1][j - 1, 0]))


def _dependence(names, name, units, m):
    """What a unit depends on; L depends on all that ŷ does."""
    if name == "L":
        inner = [(m, k) for k in names.units(m)]
        return Dependence("L", (), {names.o(*each): _own(names, *each) for each in inner}
                          | _before(names, m))  # fmt: skip
    l, k = units[name]
    return Dependence(name, _own(names, l, k), _before(names, l))


def _own(names, l, k):
    """The parameters of a unit."""
    return (*(names.weight(l, j, k) for j in names.units(l - 1)), names.bias(l, k))


def _before(names, l):
    """The units of all hidden layers before, the nearest first."""
    return {
        names.o(each, k): _own(names, each, k)
        for each in range(l - 1, 0, -1)
        for k in names.units(each)
    }
