"""A trained network as C: one file, which needs ``math.h`` alone and allocates nothing.

A new activation or link is a row in `ACTIVATIONS` or `LINKS`. Scaling is calculated in double, as
`predict` does it, whatever the precision of the network; so are the places within bins and the
turns of waves, of which float would leave too little.
"""

import re
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np

from fastbp import paths
from fastbp.export.constants import WORDS, Constants
from fastbp.export.integers import KINDS, measured_loss, rounded
from fastbp.export.parts import PRECISIONS, known, parts_of, precision_of, version

#: σ(z) as an expression, or "" for none. A name with @ after it is a function of math.h, and a
#: number with @ after it a constant, both of the network's precision.
ACTIVATIONS = {
    "identity": "",
    "logistic": "1@ / (1@ + exp@(-z))",
    "tanh": "tanh@(z)",
    "relu": "z < 0@ ? 0@ : z",
    "silu": "z / (1@ + exp@(-z))",
    "softplus": "(z > 0@ ? z : 0@) + log1p@(exp@(-fabs@(z)))",
    "gelu": "0.5@ * z * erfc@(-0.70710678118654752@ * z)",
    "elu": "z > 0@ ? z : expm1@(z)",
}

#: ŷ of z, likewise. As in the kernels, no infinity comes of a finite number.
LINKS = {
    "identity": "",
    "log": "exp@(z > {most}@ ? {most}@ : z < -{most}@ ? -{most}@ : z)",
}
MOST = {"float": "87", "double": "708"}

#: Words that are no names of functions, in C or C++, as far as one could think of them.
NOT_NAMES = frozenset(["auto", "class", "const", "double", "float", "int", "main", "new", "static"])


def write(model, path, *, name=None, dtype=None):
    """Write a fitted model as C; see `BackpropRegressor.to_c`."""
    path = Path(path)
    name = name_of(path) if name is None else name
    text = source(model, name, dtype, is_header=path.suffix.lower() in (".h", ".hpp"))
    paths.write(path, text)


def name_of(path):
    """A name for C, of a file's."""
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII).strip("_") or "network"
    return f"network_{name}" if name[0].isdigit() or name in NOT_NAMES else name


def source(model, name, dtype=None, *, is_header=False):
    """The text of the file.

    Parameters
    ----------
    model : BackpropRegressor or BackpropEnsembleRegressor
        Fitted.
    name : str
        The function is called so, with ``_predict``.
    dtype : {"float", "double", "int8", "int16"} or None
    is_header : bool
        Its function is ``static``, to be included where it is called.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or name in NOT_NAMES:
        raise ValueError(f"{name!r} can't be the name of a function in C.")
    parts = parts_of(model)
    real, integers = precision_of(parts, dtype, KINDS), dtype if dtype in KINDS else None
    return _Source(parts, name, real, is_header, integers).text()


class _Source(Constants):
    """The pieces of the file, for one model."""

    def __init__(self, parts, name, real, is_header, integers):
        self.parts, self.name, self.real, self.is_header = parts, name, real, is_header
        self.integers = integers  # the kind of weights, or None
        super().__init__(len(parts.members) > 1)
        self.kind = PRECISIONS[real]
        self.of_member = "[m]" if self.many else ""
        self.scaled = parts.members[0].units is not None

    def text(self):
        """All of it."""
        main = self.function()
        functions = [self.within(), self.layer(), *self.activations()]
        if self.parts.encoding is not None:
            functions.append(self.encoder())
        if self.parts.linear is not None:
            functions.append(self.along())
        declared = "" if self.is_header else self.prototype()
        pieces = [*self.constants, *functions, main]
        return "\n".join([self.head(), "#include <math.h>\n", declared, *pieces]).replace(
            "\n\n\n", "\n\n"
        )

    def spelt(self, expression):
        """An expression of a table, in the network's precision."""
        f = "f" if self.real == "float" else ""
        expression = expression.replace("{most}", MOST[self.real])
        expression = re.sub(r"(?<![\w.])(\d+)@", rf"\1.0{f}", expression)
        return re.sub(r"@", f, expression)

    # ---------------------------------------------------------------- functions

    def head(self):
        """What a reader must know."""
        parts, real = self.parts, self.real
        names = ", ".join(re.sub(r"[^\w .%()-]", "_", name) for name in parts.names)
        link = {"identity": ""}.get(parts.link, f"; link: {parts.link}")
        told = [
            f"{parts.shape}{link}. Written by fastbp {version()}.",
            f"    void {self.name}_predict(const {real} x[{parts.n_features}], "
            f"{real} y[{parts.n_outputs}]);",
            "x and y are in the units of the table that the network was trained on; it scales them "
            "itself. C99 or C++; it needs math.h alone, allocates nothing, and may be called from "
            "several threads at a time. "
            f"Constants: {self.n_bytes:,} bytes. Stack: {self.stack():,} bytes of arrays.",
        ]
        if names:
            told.insert(2, f"x: {names}.")
        if self.integers:
            error, most = measured_loss(parts, self.integers)
            told.append(
                f"Weights are rounded to {self.integers}: predictions change by {error:.2g} of y's "
                f"standard deviation (root of the mean square), {most:.2g} at most, on 1,000 rows "
                "drawn at random."
            )
        lines = []
        for paragraph in told:
            keep = paragraph.startswith("    ")
            lines += [paragraph] if keep else textwrap.wrap(paragraph, 92)
            lines.append("")
        body = "\n".join(f" * {line}".rstrip() for line in lines[:-1])
        return f"/*\n{body}\n */"

    def prototype(self):
        signature = self.signature()
        return (
            '#ifdef __cplusplus\nextern "C" {\n#endif\n'
            f"{signature};\n"
            "#ifdef __cplusplus\n}\n#endif\n"
        )

    def signature(self):
        static = "static " if self.is_header else ""
        return f"{static}void {self.name}_predict(const {self.real} *x, {self.real} *y)"

    def within(self):
        """No sum in the network overflows."""
        limit = min(member.limit(self.kind) for member in self.parts.members)
        real = "double" if self.scaled else self.real
        limit = self.number(limit, PRECISIONS[real])
        return f"""\
/* Larger numbers count as this. */
static {real} {self.name}_within({real} x)
{{
    return x > {limit} ? {limit} : x < -{limit} ? -{limit} : x;
}}
"""

    def layer(self):
        """One product of a matrix with a vector."""
        real, name = self.real, self.name
        if self.integers:
            start = f"static void {name}_layer("
            return f"""\
/* out = b + W in. weights: integers, unit by unit; units: of each unit its bias, and its step. */
{start}const {WORDS[self.integers]} *weights, const float *units, int n_in, int n_out,
{" " * len(start)}const float *in, float *out)
{{
    for (int k = 0; k < n_out; k++) {{
        float sum = 0.0f;
        for (int j = 0; j < n_in; j++)
            sum += (float)*weights++ * in[j];
        out[k] = units[2 * k] + units[2 * k + 1] * sum;
    }}
}}
"""
        start = f"static const {real} *{name}_layer("
        return f"""\
/* out = b + W in. theta: of each unit its bias, then its weights. Returns what comes after. */
{start}const {real} *theta, int n_in, int n_out,
{" " * len(start)}const {real} *in, {real} *out)
{{
    for (int k = 0; k < n_out; k++) {{
        {real} sum = *theta++;
        for (int j = 0; j < n_in; j++)
            sum += *theta++ * in[j];
        out[k] = sum;
    }}
    return theta;
}}
"""

    def activations(self):
        """A loop for each that is used, the link among them."""
        used = {
            name: known(ACTIVATIONS, name, "activation", "C") for name in self.parts.activations
        }
        used["link"] = known(LINKS, self.parts.link, "link", "C")
        for name, expression in used.items():
            if expression:
                yield f"""\
static void {self.name}_{name}({self.real} *o, int n)
{{
    for (int k = 0; k < n; k++) {{
        const {self.real} z = o[k];
        o[k] = {self.spelt(expression)};
    }}
}}
"""

    def encoder(self):
        """What makes of a row the columns that the network sees."""
        encoding, real, name = self.parts.encoding, self.real, self.name
        n, n_bins, n_waves = encoding.low.size, encoding.bin_of.size, encoding.wave_of.size
        columns = np.min_scalar_type(max(n - 1, 0))
        for part in ("low", "high"):
            self.constant(f"{name}_{part}", getattr(encoding, part))
        size = self.number(encoding.size, self.kind)
        blocks = [f"    for (int j = 0; j < {n}; j++)\n        c[j] = x[j];"]
        if n_bins:
            self.constant(f"{name}_bin_of", encoding.bin_of, columns)
            for part in ("edge", "width", "centre"):
                self.constant(f"{name}_{part}", getattr(encoding, part))
            blocks.append(f"""\
    for (int t = 0; t < {n_bins}; t++) {{
        const int j = {name}_bin_of[t];
        double part = ({name}_inside(x[j], j) - {name}_edge[t]) / {name}_width[t];
        part = part < 0.0 ? 0.0 : part > 1.0 ? 1.0 : part;
        c[{n} + t] = {size} * ({real})(part - {name}_centre[t]);
    }}""")
        if n_waves:
            f = "f" if real == "float" else ""
            self.constant(f"{name}_wave_of", encoding.wave_of, columns)
            of_wave = encoding.wave_of
            self.constant(f"{name}_wave_mean", encoding.mean[of_wave])
            self.constant(f"{name}_wave_scale", encoding.scale[of_wave])
            self.constant(f"{name}_frequency", encoding.frequency)
            blocks.append(f"""\
    for (int t = 0; t < {n_waves}; t++) {{
        const int j = {name}_wave_of[t];
        const double z = ({name}_inside(x[j], j) - {name}_wave_mean[t]) / {name}_wave_scale[t];
        const double turns = {name}_frequency[t] * z;
        const {real} angle = ({real})(6.283185307179586 * (turns - rint(turns)));
        c[{n + n_bins} + t] = {size} * sin{f}(angle);
        c[{n + n_bins + n_waves} + t] = {size} * cos{f}(angle);
    }}""")
        inside = f"""\
static double {name}_inside(double x, int j)
{{
    return x < {name}_low[j] ? {name}_low[j] : x > {name}_high[j] ? {name}_high[j] : x;
}}

""" if n_bins or n_waves else ""  # fmt: skip
        return f"""\
{inside}/* The columns of the table, then encoded ones. */
static void {name}_encode(const {real} *x, {real} *c)
{{
{chr(10).join(blocks)}
}}
"""

    def along(self):
        """What is added for the row itself."""
        n, name, n_outputs = self.parts.n_features, self.name, self.parts.n_outputs
        self.constant(f"{name}_linear", self.parts.linear.ravel())
        exact = "(double)" if self.real == "float" else ""
        return f"""\
/* The linear part of output k. */
static double {name}_along(const {self.real} *x, int k)
{{
    double sum = 0.0;
    for (int j = 0; j < {n}; j++)
        sum += {name}_linear[j * {n_outputs} + k] * {exact}x[j];
    return sum;
}}
"""

    def weights(self):
        """The constants that layers read."""
        members, name = self.parts.members, self.name
        if self.integers is None:
            thetas = [[np.vstack([b, W]).T.ravel() for W, b in each.layers] for each in members]
            self.of_members(f"{name}_theta", map(np.concatenate, thetas), self.kind)
            return
        integers, units = [], []
        for member in members:
            both = [(b, *rounded(W, self.integers)) for W, b in member.layers]
            integers.append(np.concatenate([whole.T.ravel() for _, whole, _ in both]))
            units.append(np.concatenate([np.column_stack([b, s]).ravel() for b, _, s in both]))
        self.of_members(f"{name}_weights", integers, np.dtype(self.integers))
        self.of_members(f"{name}_units", units, self.kind)

    def room(self):
        """The lengths of the two arrays between which layers go to and fro."""
        even, odd = self.parts.widths[::2], self.parts.widths[1::2]
        return max(even), max(odd)

    def stack(self):
        """Bytes of arrays on the stack."""
        n = sum(self.room()) + (self.parts.encoding is not None) * self.parts.widths[0]
        return n * self.kind.itemsize + self.parts.n_outputs * 8 * self.many

    def function(self):
        """``NAME_predict``, and the constants that it reads."""
        parts, name, real, m = self.parts, self.name, self.real, self.of_member
        n_columns, n_outputs, members = parts.widths[0], parts.n_outputs, parts.members
        if self.scaled:
            units = [member.units for member in members]
            self.of_members(f"{name}_x_mean", [each.X_mean for each in units])
            self.of_members(f"{name}_x_factor", [1 / each.X_scale for each in units])
            self.of_members(f"{name}_y_mean", [each.y_mean for each in units])
            self.of_members(f"{name}_y_scale", [each.y_scale for each in units])
        if self.many:
            self.constant(f"{name}_share", [member.share for member in members])
        self.weights()

        columns = "x" if parts.encoding is None else "c"
        exact = "(double)" if real == "float" else ""
        first = f"({exact}{columns}[j] - {name}_x_mean{m}[j]) * {name}_x_factor{m}[j]"
        body = [] if self.integers else [f"    const {real} *theta = {name}_theta{m};"]
        body += [f"    for (int j = 0; j < {n_columns}; j++)"]
        first = first if self.scaled else f"{columns}[j]"
        body += [f"        o0[j] = ({real}){name}_within({first});"]
        kinds, at = [*parts.activations, "link"], (0, 0)
        plain = ACTIVATIONS | {"link": LINKS.get(parts.link)}
        for l, ((n_in, n_out), kind) in enumerate(zip(pairwise(parts.widths), kinds, strict=True)):
            before, here = f"o{l % 2}", f"o{(l + 1) % 2}"
            after = "theta = " if l < len(kinds) - 1 else ""
            begin = f"{after}{name}_layer(theta"
            if self.integers:
                begin = f"{name}_layer({name}_weights{m} + {at[0]}, {name}_units{m} + {at[1]}"
                at = at[0] + n_in * n_out, at[1] + 2 * n_out
            body += [f"    {begin}, {n_in}, {n_out}, {before}, {here});"]
            if plain.get(kind):
                body += [f"    {name}_{kind}({here}, {n_out});"]
        o = f"o{len(kinds) % 2}"
        value = (
            f"{name}_y_scale{m}[k] * {exact}{o}[k] + {name}_y_mean{m}[k]"
            if self.scaled
            else f"{o}[k]"
        )
        body += [f"    for (int k = 0; k < {n_outputs}; k++)"]
        along = "" if parts.linear is None else f" + {name}_along(x, k)"
        if self.many:
            body += [f"        sum[k] += {name}_share[m] * ({value});"]
            body = [f"    for (int m = 0; m < {len(members)}; m++) {{",
                    *(f"    {line}" for line in body), "    }"]  # fmt: skip
            body += [
                f"    for (int k = 0; k < {n_outputs}; k++)",
                f"        y[k] = ({real})(sum[k]{along});",
            ]
        else:
            body += [f"        y[k] = ({real})({value}{along});"]
        room = self.room()
        rooms = [f"    {real} o0[{room[0]}], o1[{room[1]}];"]
        if self.many:
            rooms += [f"    double sum[{n_outputs}] = {{0.0}};"]
        if parts.encoding is not None:
            rooms += [f"    {real} c[{n_columns}];", f"    {name}_encode(x, c);"]
        return "\n".join([self.signature(), "{", *rooms, *body, "}", ""])
