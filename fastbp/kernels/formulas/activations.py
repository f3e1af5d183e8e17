"""Activations: each value σ(z), and directly below it its derivative σ′.

σ′ is expressed in the output o = σ(z) where that is possible, so that the backward pass needs no z;
else in z, and then the forward pass leaves it for the way back. A new activation is a value, a
derivative and a row in `TABLE`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.kernels.formulas.elementary import (
    bell,
    bounded,
    exp_parts,
    log_1_plus,
    plain_polynomial64,
    tail_by_bell,
    within_bell,
)
from fastbp.kernels.machine.calls import by_code
from fastbp.kernels.machine.compile import njit, njit_copied
from fastbp.kernels.machine.functions import (
    absolute,
    as_many,
    clamped,
    one_where_positive,
    with_sign_of,
)
from fastbp.kernels.machine.passes import elementwise, pass_by_code


@njit
def identity(z):
    """z."""
    return z


@njit
def identity_derivative(o):
    """1."""
    return as_many(type(o)(1), o)


@njit
def logistic(z):
    """σ(z) = 1 / (1 + e⁻ᶻ), to 2.5 units of the last place, and nowhere falling.

    Below z = −87 (in float64, −708), where σ is hardly a normal number, it stays the same.
    """
    one = type(z)(1)
    scale, rest = exp_parts(bounded(z), type(z)(-1))
    return one / (one + (scale * rest + scale))


@njit
def logistic_derivative(o):
    """σ′(z) = σ(z)(1 − σ(z))."""
    return o * (type(o)(1) - o)


@njit
def tanh(z):
    """tanh z = (e²ᶻ − 1) / (e²ᶻ + 1), to 2.7 units of the last place, and exactly odd.

    With e²ᶻ − 1 as one number, nothing cancels near zero. From a z to the next it may fall by
    two units of the last place.
    """
    two = type(z)(2)
    # From 43 on it is 1, in either precision.
    scale, rest = exp_parts(clamped(two * absolute(z), type(z)(-np.inf), type(z)(87)), type(z)(1))
    e = scale * rest + (scale - type(z)(1))
    return with_sign_of(z, e / (e + two))


@njit
def tanh_derivative(o):
    """tanh′ z = 1 − tanh² z."""
    return type(o)(1) - o * o


@njit
def relu(z):
    """max(z, 0); NaN stays NaN."""
    return clamped(z, type(z)(0), type(z)(np.inf))


@njit
def relu_derivative(o):
    """1 where the unit is on, else 0."""
    return one_where_positive(o)


@njit
def silu(z):
    """z σ(z), σ being logistic (Elfwing, Uchibe & Doya, 2018), to 3.5 units of the last place."""
    return not_below_bound(z) * logistic(z)


@njit
def silu_derivative(z):
    """σ(z) (1 + z (1 − σ(z)))."""
    s, one = logistic(z), type(z)(1)
    return s * (one + not_below_bound(z) * (one - s))


@njit
def softplus(z):
    """log(1 + eᶻ) = max(z, 0) + log(1 + e⁻ᴵᶻᴵ), to 3 units of the last place."""
    scale, rest = exp_parts(bounded(absolute(z)), type(z)(-1))
    return relu(z) + log_1_plus(scale * rest + scale)


@njit
def softplus_derivative(z):
    """σ(z), the logistic."""
    return logistic(z)


@njit
def elu(z):
    """z, and below zero eᶻ − 1 (Clevert, Unterthiner & Hochreiter, 2016), to 1.5 units of the last
    place."""
    scale, rest = exp_parts(bounded(clamped(z, type(z)(-np.inf), type(z)(0))), type(z)(1))
    return relu(z) + (scale * rest + (scale - type(z)(1)))


@njit
def elu_derivative(o):
    """1 where o is above 0, else eᶻ = o + 1."""
    return clamped(o, type(o)(-np.inf), type(o)(0)) + type(o)(1)


@njit
def gelu(z):
    """z Φ(z), Φ being the normal distribution's (Hendrycks & Gimpel, 2016): it and not what is
    often put in its place, with a tanh. To 6 units of the last place."""
    a = within_bell(absolute(z))
    return relu(z) - a * (bell(a) * tail_by_bell(a))


@njit
def gelu_derivative(z):
    """Φ(z) + z φ(z), φ being the density."""
    a, one = within_bell(absolute(z)), type(z)(1)
    right = one_where_positive(z)
    left = bell(a) * (tail_by_bell(a) - a * type(z)(0.3989422804014327))
    return right + (one - (right + right)) * left


@njit
def not_below_bound(z):
    """z, or the bound below which σ(z) stays the same: z σ(z) then stays next to 0."""
    return relu(z) + bounded(clamped(z, type(z)(-np.inf), type(z)(0)))


def plain_gelu(z):
    """In NumPy."""
    a = np.abs(z)
    tail = plain_polynomial64((a - 5) / (a + 5)) / (a + 5)
    return np.maximum(z, 0) - a * np.exp(-z * z / 2) * tail


# ------------------------------------------------------------------------- the table


class Activation(NamedTuple):
    """A row of the table."""

    value: Callable
    derivative: Callable  # of the output o = σ(z), unless it is `of_z`
    plain: Callable  # the value in NumPy, for first weights
    of_z: bool = False  # then σ′(z) is kept from the way forward
    ends_sums: bool = False  # so cheap that it is done where sums end, not in a pass of its own
    ulps: float = 0.0  # error of the value, at most, in units of the last place
    # Of first weights and steps:
    bound: float = 6.0  # scikit-learn's weights are drawn from ±√(bound / (fan in + fan out))
    steepness: float = 1.0  # how much larger z must be than for tanh, to bend as much
    gain: float = 1.0  # how much larger weights must be that read these outputs
    is_hinge: bool = False  # it bends at one place, and is straight on both sides
    #: As steepness, of units that look at one column; 0 where it has a corner, sharp at any z.
    sharpness: float = 1.0
    adam_step: float = 0.003


TABLE = {
    "identity": Activation(
        identity, identity_derivative, plain=lambda z: z, ends_sums=True, adam_step=0.01
    ),
    "logistic": Activation(
        logistic, logistic_derivative, plain=lambda z: (1 + np.tanh(z / 2)) / 2,
        ulps=2.5, bound=2.0, steepness=2.0, gain=2.0, sharpness=2.0, adam_step=0.01,
    ),
    "tanh": Activation(tanh, tanh_derivative, plain=np.tanh, ulps=2.7),
    "relu": Activation(
        relu, relu_derivative, plain=lambda z: np.maximum(z, 0), ends_sums=True,
        gain=2**0.5, is_hinge=True, sharpness=0.0, adam_step=0.005,
    ),
    "silu": Activation(
        silu, silu_derivative, plain=lambda z: z * (1 + np.tanh(z / 2)) / 2, of_z=True,
        ulps=3.5, gain=2.0, is_hinge=True, adam_step=0.005,
    ),
    "softplus": Activation(
        softplus, softplus_derivative, plain=lambda z: np.logaddexp(0, z), of_z=True,
        ulps=4.0, gain=2.0, is_hinge=True, adam_step=0.005,
    ),
    "gelu": Activation(
        gelu, gelu_derivative, plain=plain_gelu, of_z=True,
        ulps=6.0, gain=2.0, is_hinge=True, adam_step=0.005,
    ),
    "elu": Activation(
        elu, elu_derivative, plain=lambda z: np.maximum(z, 0) + np.expm1(np.minimum(z, 0)),
        ulps=1.5, is_hinge=True, adam_step=0.005,
    ),
}  # fmt: skip

#: The code that kernels know an activation by: its row.
ACTIVATIONS = {name: code for code, name in enumerate(TABLE)}

#: The code of a σ′ that was kept from the way forward.
KEPT = len(TABLE)

#: σ(z) of those that end sums, else z, by the code.
ended = by_code([row.value if row.ends_sums else identity for row in TABLE.values()])

#: σ(z), and σ′ of what the row says, by the code.
activation = by_code([row.value for row in TABLE.values()])
derivative = by_code([row.derivative for row in TABLE.values()])


def _of_z(derivative):
    return njit_copied(lambda z, o: derivative(z))


def _of_output(derivative):
    return njit_copied(lambda z, o: derivative(o))


@njit
def _are_there(o, slopes):
    """Nothing is done."""


#: (code, z, o): σ′ of whichever of the two the row says.
slope = by_code([(_of_z if row.of_z else _of_output)(row.derivative) for row in TABLE.values()])

#: (code, o, slopes): slopes ← σ′ of the outputs o; those of z are there from the way forward.
slopes_by_output = by_code(
    [_are_there if row.of_z else elementwise(row.derivative) for row in TABLE.values()]
)

#: (code, o, kept): o ← σ(o), for those that are worth a pass of their own, and kept ← σ′ of those
#: of z, unless it is the same place as o.
activate = pass_by_code(
    [
        None if row.ends_sums else (row.value, row.derivative if row.of_z else None)
        for row in TABLE.values()
    ]
)
