"""A trained network as one function of one row, to be called in a user's own compiled loops."""

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np
from numba.core import cgutils
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AttributeTemplate, bound_function, infer_getattr, signature
from numba.extending import (
    NativeValue,
    lower_builtin,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import make_array

from fastbp.kernels.formulas.activations import ACTIVATIONS, activation
from fastbp.kernels.formulas.losses import mean_of
from fastbp.kernels.formulas.network import network
from fastbp.kernels.machine.compile import entry, uninterrupted
from fastbp.kernels.machine.runs import octets, singles
from fastbp.kernels.training.encoding import encode_row, laid_out
from fastbp.kernels.training.in_octets import is_wide, octets_of, units_of
from fastbp.kernels.training.online import forward


class RowFunction:
    """f(x) -> y, both in raw units.

    To Numba all of one shape are of one type, and weights are no part of the code: what is compiled
    for one, or of a function that is given one, serves all. (The shape is: with loops of unknown
    length a row of 8-50-1 takes a quarter more time.)

    Parameters
    ----------
    shape : Shape
    *parts : ndarray
        As `function_of_row` lays them out.
    """

    def __init__(self, shape, *parts):
        self.shape, self.parts = shape, parts
        for part in parts:
            part.flags.writeable = False
        self.of_row = row_function(shape)

    def __call__(self, x):
        if getattr(x, "shape", None) != (self.shape.n_features,):
            raise ValueError(f"x must be a row of {self.shape.n_features} features")
        return self.of_row(*self.parts, x)

    def __reduce__(self):
        return RowFunction, (self.shape, *self.parts)

    @property
    def _numba_type_(self):
        kept = vars(self).get("type")
        if kept is None:
            kept = self.type = RowFunctionType(self.of_row, numba.typeof(self.parts))
        return kept


class Shape(NamedTuple):
    """What is alike in networks of one code."""

    widths: tuple  # of the layers
    activations: tuple  # codes of those of hidden layers
    loss: int
    rising: bool
    n_models: int
    sizes: tuple  # features; bins and waves of the encoding, 0 without one
    is_linear: bool  # in part

    @property
    def n_features(self):
        """Numbers of a row."""
        return self.sizes[0]


def function_of_row(*models, encoding=None, linear=None):
    """f(x) -> y, both in raw units.

    Parameters
    ----------
    models : Model, see `records.py`
        Alike in all but weights and units; y is the mean of their predictions.
    encoding : Encoding or None
        Makes of the row the columns that they see.
    linear : ndarray of shape (n_features, n_outputs) or None
        What is added for each x of the row.

    Returns
    -------
    RowFunction of an array of shape (n_features,), returns an array of shape (n_outputs,), float64
    """
    net, loss, rising = models[0].net, models[0].loss, bool(models[0].rising)
    wide = np.stack([spread(net, model.theta) for model in models])
    units = [(m.X_mean, 1 / m.X_scale, m.y_mean, m.y_scale, [m.limit]) for m in models]
    numbers = [column for of_model in units for column in of_model]
    sizes, places = (models[0].X_mean.size, 0, 0), np.empty(0, np.int64)
    if encoding is not None:
        sizes, of_encoding, places = laid_out(encoding)
        numbers.append(of_encoding)
    if linear is not None:
        numbers.append(linear.ravel())
    layers = tuple(net["width"].tolist()), tuple(net["activation"][1:-1].tolist())
    shape = Shape(*layers, int(loss), rising, len(models), sizes, linear is not None)
    return RowFunction(shape, wide, np.concatenate(numbers), places)


@cache
def row_function(shape):
    """What a RowFunction of this shape returns for a row, of its parts and the row."""
    names = [list(ACTIVATIONS)[code] for code in shape.activations]
    net, loss, rising, n_models, sizes, is_linear = network(shape.widths, names), *shape[2:]
    n_octets = -(-net["width"] // 8)
    size, last = int(8 * n_octets.sum()), int(8 * n_octets[:-1].sum())
    n_columns, n_outputs = shape.widths[0], shape.widths[-1]
    of_model = 2 * (n_columns + n_outputs) + 1
    behind, is_encoded = n_models * of_model, any(sizes[1:])

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def of_row(wide, numbers, places, x):
        if x.ndim != 1 or x.size != sizes[0]:
            raise ValueError("x must be a row of as many features as the model has")
        y, room = np.zeros(n_outputs), np.empty(n_columns + size, wide.dtype)
        row, o, at = room[:n_columns], room[n_columns:], 0
        columns = encoded(sizes, numbers[behind:], places, x)
        for m in range(n_models):
            limit = numbers[at + of_model - 1]
            for j in range(n_columns):
                z = (columns[j] - numbers[at + j]) * numbers[at + n_columns + j]
                row[j] = limit if z > limit else -limit if z < -limit else z
            predict_row(net, wide[m], loss, row, o)
            if rising:
                put_in_order(o[last : last + n_outputs])
            at += 2 * n_columns
            for k in range(n_outputs):
                y[k] += numbers[at + n_outputs + k] * o[last + k] + numbers[at + k]
            at += 2 * n_outputs + 1
        if n_models > 1:
            for k in range(n_outputs):
                y[k] /= n_models
        if is_linear:
            at = numbers.size - sizes[0] * n_outputs
            for j in range(sizes[0]):
                for k in range(n_outputs):
                    y[k] += numbers[at + j * n_outputs + k] * x[j]
        return y

    encoded = with_encoded if is_encoded else unchanged
    return of_row if numba.config.DISABLE_JIT else uninterrupted(of_row)


@numba.njit(nogil=True)
def put_in_order(z):
    """z, rising: of a few numbers."""
    for i in range(1, z.size):
        this, k = z[i], i
        while k > 0 and z[k - 1] > this:
            z[k] = z[k - 1]
            k -= 1
        z[k] = this


@numba.njit(nogil=True)
def unchanged(sizes, numbers, places, x):
    """x: of a network that sees the table's columns alone."""
    return x


@numba.njit(nogil=True)
def with_encoded(sizes, numbers, places, x):
    """The columns that a network sees of a row."""
    n_features, n_bins, n_waves = sizes
    row, columns = np.empty(n_features), np.empty(n_features + n_bins + 2 * n_waves)
    row[:] = x
    columns[:n_features] = x
    encode_row(sizes, numbers, places, row, columns)
    return columns


def weighted_mean(functions, weights):
    """x -> the weighted mean of one or two such functions."""
    if len(functions) == 1:
        return functions[0]
    (f, g), (of_f, of_g) = functions, map(float, weights)

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def mean(x):
        return of_f * f(x) + of_g * g(x)

    return mean


# ------------------------------------------------------------------ in compiled code


class RowFunctionType(numba.types.Type):
    """That of a RowFunction: its code, and its arrays as a tuple."""

    def __init__(self, of_row, parts):
        self.of_row, self.parts = of_row, parts
        super().__init__(f"RowFunction({id(of_row)}, {parts})")  # which is kept for ever


@register_model(RowFunctionType)
class _RowFunctionModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("parts", kind.parts)])


@typeof_impl.register(RowFunction)
def _typeof(function, context):
    return function._numba_type_


@unbox(RowFunctionType)
def _unbox(kind, function, c):
    """Of an argument."""
    parts = c.pyapi.object_getattr_string(function, "parts")
    native = c.unbox(kind.parts, parts)
    c.pyapi.decref(parts)
    made = cgutils.create_struct_proxy(kind)(c.context, c.builder)
    made.parts = native.value
    return NativeValue(made._getvalue(), native.is_error, native.cleanup)


@lower_constant(RowFunctionType)
def _constant(context, builder, kind, function):
    """Of a function that is the caller's own: its arrays are a part of the code."""
    made = cgutils.create_struct_proxy(kind)(context, builder)
    made.parts = context.get_constant_generic(builder, kind.parts, function.parts)
    return made._getvalue()


@infer_getattr
class _Called(AttributeTemplate):
    key = RowFunctionType

    @bound_function("__call__")
    def resolve___call__(self, kind, arguments, keywords):
        """A new vector, of one array."""
        if not keywords and len(arguments) == 1 and isinstance(arguments[0], numba.types.Array):
            return signature(numba.float64[::1], *arguments)


@lower_builtin(RowFunctionType, RowFunctionType, numba.types.Array)
def _lower_call(context, builder, of_call, arguments):
    """A call of the machine code that there is: what it is made of is not compiled again into each
    caller."""
    kind, x = of_call.args
    parts = cgutils.create_struct_proxy(kind)(context, builder, arguments[0]).parts
    values, types = [], (*kind.parts.types, x)
    for part, of_part in zip(cgutils.unpack_tuple(builder, parts), kind.parts.types, strict=True):
        lent = make_array(of_part)(context, builder, part)
        lent.meminfo = cgutils.get_null_value(lent.meminfo.type)  # references are not counted
        values.append(lent._getvalue())
    values.append(arguments[1])
    kind.of_row.compile(types)
    compiled = kind.of_row.overloads[types]
    name = compiled.fndesc.llvm_func_name
    address = compiled.library.get_pointer_to_function(name)
    of_code = context.call_conv.get_function_type(of_call.return_type, types)
    code = context.add_dynamic_addr(builder, address, info="a row's prediction")
    code = builder.bitcast(code, of_code.as_pointer())
    status, result = context.call_conv.call_function(
        builder, code, of_call.return_type, types, values
    )
    with cgutils.if_unlikely(builder, status.is_error):
        context.call_conv.return_status_propagate(builder, status)
    return result


def spread(net, theta):
    """θ in octets, see `in_octets.py`."""
    rows, at = [], 0
    for n_in, n_out in pairwise(net["width"]):
        W = theta[at : at + (n_in + 1) * n_out].reshape(n_in + 1, n_out)
        wide = np.pad(W, ((0, 0), (0, -n_out % 8)))
        rows.append(wide.reshape(n_in + 1, -1, 8).swapaxes(0, 1).ravel())
        at += W.size
    return np.concatenate(rows)


@entry
def predict_row(net, theta, loss, x, o):
    """The units of every layer for the inputs x, at the output ŷ; θ and o are made of octets."""
    theta, o, wide = octets(theta, 0, theta.size // 8), octets(o, 0, o.size // 8), is_wide(net)
    forward(wide, net, theta, singles(x, 0, x.size), o, o, o, False)
    n_units = units_of(net, wide)
    for k in range(n_units - octets_of(net[net.size - 1].width, wide), n_units):
        o[k] = mean_of(loss, o[k])


if numba.config.DISABLE_JIT:

    def predict_row(net, theta, loss, x, o):
        """As above, in NumPy."""
        before, at, here = x, 0, -(-net["width"][0] // 8) * 8
        for l in range(1, net.size):
            n_in, n_out = net["width"][l - 1], -(-net["width"][l] // 8) * 8
            panels = theta[at : at + (n_in + 1) * n_out].reshape(-1, n_in + 1, 8)
            W = panels.swapaxes(0, 1).reshape(n_in + 1, n_out)
            z = before[:n_in] @ W[:-1] + W[-1]
            before = o[here : here + n_out] = [activation(net["activation"][l], each) for each in z]
            before, at, here = np.array(before), at + W.size, here + n_out
        o[here - n_out : here] = [mean_of(loss, z) for z in before]
