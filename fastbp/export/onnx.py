"""A trained network as an ONNX model; it needs the package onnx, the extra ``fastbp[onnx]``.

A new activation or link is a row in `ACTIVATIONS` or `LINKS`. As in `c.py`, scaling is calculated
in double, and so are the places within bins and the turns of waves.
"""

from itertools import count

import numpy as np

from fastbp import paths
from fastbp.export.parts import PRECISIONS, known, parts_of, precision_of, version
from fastbp.kernels.formulas.elementary import plain_polynomial64

#: (graph, z): the name of σ(z), from operators that runtimes have in both precisions. None: z.
ACTIVATIONS = {
    "identity": None,
    "logistic": lambda g, z: g("Sigmoid", z),
    "tanh": lambda g, z: g("Tanh", z),
    "relu": lambda g, z: g("Relu", z),
    "silu": lambda g, z: _silu(g, z),
    "softplus": lambda g, z: _softplus(g, z),
    "gelu": lambda g, z: _gelu(g, z),
    "elu": lambda g, z: g("Where", g("Greater", z, g.real(0)), z, _exp_minus_1(g, z)),
}

#: (graph, z): the name of ŷ.
LINKS = {"identity": None, "log": lambda g, z: g("Exp", _clipped(g, z, -g.most, g.most))}

#: The oldest version of the operators that has all of these, and of the file format with it.
OPSET, IR_VERSION = 13, 7


def _clipped(g, z, low, high):
    return g("Min", g("Max", z, g.real(low)), g.real(high))


def _silu(g, z):
    """z/(1 + e⁻ᶻ): of z·σ(z) onnxruntime 1.30 makes one operator, which it has in float32 only."""
    return g("Div", z, g("Add", g.real(1), g("Exp", g("Neg", z))))


def _softplus(g, z):
    """max(z, 0) + log(1 + e⁻ᴵᶻᴵ); far from 0, where 1 + e⁻ᴵᶻᴵ loses it, as small as that."""
    away = g("Exp", g("Neg", g("Abs", z)))
    return g("Add", g("Relu", z), g("Log", g("Add", g.real(1), away)))


def _gelu(g, z):
    """z (1 + erf(z / √2)) / 2. Runtimes have erf in float alone; in double it is as in the kernels,
    max(z, 0) − a e^(−a²/2) p(q) / (a + 5), with a = |z| and q = (a − 5) / (a + 5)."""
    if g.precision == "float":
        erf = g("Erf", g("Mul", z, g.real(0.5**0.5)))
        return g("Mul", g("Mul", g.real(0.5), z), g("Add", g.real(1), erf))
    a = Term(g, g("Min", g("Abs", z), g.real(37.62)))
    t = Term(g, g("Div", g.real(1), (a + 5.0).name))
    bell = Term(g, g("Exp", (a * a * -0.5).name))
    left = a * bell * t * plain_polynomial64((a + -5.0) * t)
    return g("Sub", g("Relu", z), left.name)


def _exp_minus_1(g, z):
    """eᶻ − 1 for z ≤ 0, as 2 tanh(z/2) / (1 − tanh(z/2)): next to 0 nothing is lost."""
    t = g("Tanh", g("Mul", g("Min", z, g.real(0)), g.real(0.5)))
    return g("Div", g("Mul", g.real(2), t), g("Sub", g.real(1), t))


def check_onnx():
    """Raise an ImportError that says what to install, where onnx is missing."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "to_onnx needs the package onnx; install it with: pip install 'fastbp[onnx]'"
        ) from error


def write(model, path, *, dtype=None):
    """Write a fitted model as ONNX; see `BackpropRegressor.to_onnx`."""
    paths.write(path, proto(model, dtype).SerializeToString())


def proto(model, dtype=None):
    """The model as a protobuf message: a function of X (n, n_features) to y (n, n_outputs).

    Parameters
    ----------
    model : BackpropRegressor or BackpropEnsembleRegressor
        Fitted.
    dtype : {"float", "double"} or None
    """
    check_onnx()
    from onnx import checker, helper

    parts = parts_of(model)
    g = Graph(precision_of(parts, dtype))
    columns = encoded(g, parts.encoding, "X")
    total = None
    for member in parts.members:
        y = predicted(g, parts, member, columns)
        if len(parts.members) > 1:
            y = g("Mul", g.cast(y, "double"), g.double(member.share))
            total = y if total is None else g("Add", total, y)
    y = y if total is None else total
    if parts.linear is not None:
        y = g(
            "Add", g.cast(y, "double"), g("MatMul", g.cast("X", "double"), g.double(parts.linear))
        )
    g.add("Identity", [g.cast(y, g.precision)], ["y"])

    ends = [("X", parts.n_features), ("y", parts.n_outputs)]
    X, y = (helper.make_tensor_value_info(name, g.kind, ["n", width]) for name, width in ends)
    graph = helper.make_graph(g.nodes, "network", [X], [y], g.constants, doc_string=parts.shape)
    made = helper.make_model(
        graph,
        producer_name="fastbp",
        producer_version=version(),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    if parts.names:
        helper.set_model_props(made, {"columns": "\n".join(parts.names)})
    checker.check_model(made, full_check=True)
    return made


def encoded(g, encoding, X):
    """The columns that the network sees: see `encodings.converted`."""
    if encoding is None:
        return X
    x = g.cast(X, "double")
    x = g("Min", g("Max", x, g.double(encoding.low)), g.double(encoding.high))
    columns = [X]
    if encoding.bin_of.size:
        part = g("Gather", x, g.constant(encoding.bin_of.astype(np.int64)), axis=1)
        part = g("Div", g("Sub", part, g.double(encoding.edge)), g.double(encoding.width))
        part = g("Min", g("Max", part, g.double(0)), g.double(1))
        columns.append(g.cast(g("Sub", part, g.double(encoding.centre)), g.precision))
    if encoding.wave_of.size:
        z = g("Div", g("Sub", x, g.double(encoding.mean)), g.double(encoding.scale))
        z = g("Gather", z, g.constant(encoding.wave_of.astype(np.int64)), axis=1)
        turns = g("Mul", z, g.double(encoding.frequency))
        turns = g("Sub", turns, g("Floor", g("Add", turns, g.double(0.5))))
        angle = g.cast(g("Mul", turns, g.double(2 * np.pi)), g.precision)
        columns += [g("Sin", angle), g("Cos", angle)]
    size = g.real(encoding.size)
    return g("Concat", X, *(g("Mul", each, size) for each in columns[1:]), axis=1)


def predicted(g, parts, member, columns):
    """ŷ of one network, in the units of the table."""
    o = columns
    if member.units is not None:
        units = member.units
        o = g("Sub", g.cast(o, "double"), g.double(units.X_mean))
        o = g("Mul", o, g.double(1 / units.X_scale))
    limit = member.limit(PRECISIONS[g.precision])
    number = g.real if member.units is None else g.double
    o = g.cast(g("Min", g("Max", o, number(-limit)), number(limit)), g.precision)
    names = [*parts.activations, None]
    for (W, b), name in zip(member.layers, names, strict=True):
        o = g("Add", g("MatMul", o, g.real(W)), g.real(b))
        table, name, what = (LINKS, parts.link, "link") if name is None else (
            ACTIVATIONS, name, "activation"
        )  # fmt: skip
        value = known(table, name, what, "ONNX")
        o = o if value is None else value(g, o)
    if member.units is not None:
        o = g("Mul", g.cast(o, "double"), g.double(member.units.y_scale))
        o = g("Add", o, g.double(member.units.y_mean))
    return o


class Term:
    """A node in formulas that are written as of numbers."""

    def __init__(self, graph, name):
        self.graph, self.name = graph, name

    def _with(self, operator, other):
        other = other.name if isinstance(other, Term) else self.graph.real(other)
        return Term(self.graph, self.graph(operator, self.name, other))

    def __add__(self, other):
        return self._with("Add", other)

    def __mul__(self, other):
        return self._with("Mul", other)

    __radd__, __rmul__ = __add__, __mul__


class Graph:
    """Nodes and constants, as they come: ``g("Add", a, b)`` is the name of a sum."""

    def __init__(self, precision):
        from onnx import TensorProto

        self.precision, self.kinds = precision, {"float": TensorProto.FLOAT}
        self.kinds["double"] = TensorProto.DOUBLE
        self.kind, self.most = self.kinds[precision], {"float": 87.0, "double": 708.0}[precision]
        self.nodes, self.constants, self.is_of = [], [], {"X": precision}
        self.numbers, self.same = count(), {}

    def __call__(self, operator, *inputs, **attributes):
        """One more node; the name of what it gives."""
        name = f"{operator.lower()}_{next(self.numbers)}"
        self.add(operator, inputs, [name], **attributes)
        self.is_of[name] = self.is_of[inputs[-1] if operator == "Where" else inputs[0]]
        return name

    def add(self, operator, inputs, outputs, **attributes):
        from onnx import helper

        node = helper.make_node(operator, list(inputs), outputs, name=outputs[0], **attributes)
        self.nodes.append(node)

    def cast(self, name, precision):
        """It in a precision; itself, if it is of that."""
        if self.is_of[name] == precision:
            return name
        cast = self("Cast", name, to=self.kinds[precision])
        self.is_of[cast] = precision
        return cast

    def constant(self, array):
        """The name of a constant; equal ones are there once."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(array)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self.same:
            name = self.same[key] = f"constant_{next(self.numbers)}"
            self.constants.append(numpy_helper.from_array(array, name))
            self.is_of[name] = next(
                (n for n, kind in PRECISIONS.items() if kind == array.dtype), ""
            )
        return self.same[key]

    def real(self, value):
        return self.constant(np.asarray(value, PRECISIONS[self.precision]))

    def double(self, value):
        return self.constant(np.asarray(value, np.float64))
