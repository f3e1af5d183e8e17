"""Activations: each value σ(z), and directly below it its derivative σ′.

σ′ is expressed in the output o = σ(z) where that is possible, so that the backward pass needs no z;
else in z, and then the forward pass leaves it for the way back. A new activation is a value, a
derivative and a row in `TABLE`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from fastbp.kernels.machine.compile import by_code, njit, njit_copied, njit_exact
from fastbp.kernels.machine.functions import (
    absolute,
    as_many,
    clamped,
    one_where_positive,
    power_of_two,
    with_sign_of,
    without_low_bits,
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
def exp(x):
    """eˣ, to 1.1 units of the last place, and nowhere falling.

    It stays the same outside of −87…87 (in float64, −708…708), so that no infinity comes of a
    finite number.
    """
    scale, rest = exp_parts(bounded(x), type(x)(1))
    return scale * rest + scale


@njit
def not_below_bound(z):
    """z, or the bound below which σ(z) stays the same: z σ(z) then stays next to 0."""
    return relu(z) + bounded(clamped(z, type(z)(-np.inf), type(z)(0)))


@njit
def bell(a):
    """e^(−a²/2), to 2 units of the last place: of a few bits of a the square is exact, and the rest
    of it so small that its exponential is a short series."""
    b, one = without_low_bits(a), type(a)(1)
    scale, rest = exp_parts(b * b * type(a)(0.5), type(a)(-1))
    r = (a - b) * (a + b) * type(a)(-0.5)
    rest_of_series = one + r * type(a)(1 / 4) * (one + r * type(a)(1 / 5))
    series = one + r * type(a)(1 / 2) * (one + r * type(a)(1 / 3) * rest_of_series)
    e = scale * rest + scale
    return e + e * (r * series)


@njit_exact
def rounded_product(a, b):
    """a·b, rounded: fused with a sum only where nobody else reads it, σ would not have the same
    bits by itself and together with σ′."""
    return a * b


@njit
def log_1_plus(x):
    """log(1 + x) for x in [0, 1]: 2 artanh s = 2 (s + s³/3 + s⁵/5 + …), s = x / (2 + x) ≤ 1/3."""
    s = x / (x + type(x)(2))
    square = s * s
    return type(x)(2) * (s + s * square * artanh_series(square))


def artanh_series(q):
    """1/3 + q/5 + q²/7 + …, of q = s² ≤ 1/9, to a tenth of a rounding."""
    terms = 8 if np.result_type(q) == np.float32 else 16
    return sum(q**k / (2 * k + 3) for k in range(terms))


def bounded(x):
    """x, where eˣ and e⁻ˣ are normal numbers, else the bound of it."""
    bound = 87.0 if np.result_type(x) == np.float32 else 708.0
    return clamped(x, -bound, bound)


def within_bell(a):
    """a ≥ 0, or where e^(−a²/2) would no longer be a normal number, the bound of it."""
    bound = 13.19 if np.result_type(a) == np.float32 else 37.62
    return clamped(a, -np.inf, bound)


def tail_by_bell(a):
    """Φ(−a) e^(a²/2) for a ≥ 0, 1 / (a + K) times a polynomial in q = (a − K) / (a + K), by
    interpolation (in the manner of Shepherd & Laframboise, 1981)."""
    if np.result_type(a) == np.float32:
        return _tail_by_bell32(a)
    return _tail_by_bell64(a)


def exp_parts(x, sign):
    """2ⁿ and eʳ − 1, of which eˣ = 2ⁿ eʳ and eˣ − 1 are sums; |r| ≤ ln 2 / 2, x = n ln 2 + r.
    With the sign −1, those of e⁻ˣ: LLVM turns −clamp(x) into a comparison and a blend, while a
    sign goes into the multiplications.

    Compiled, it is straight code for any number of lanes, where ``np.exp`` would be a call for
    each element.
    """
    x = sign * x
    n = np.rint(x / np.log(2.0))
    return np.exp2(n), np.expm1(x - n * np.log(2.0))


@overload(bounded)
def _bounded(x):
    real = getattr(x, "dtype", x)
    bound = np.float32(87) if real == types.float32 else 708.0
    return lambda x: clamped(x, -bound, bound)


@overload(within_bell)
def _within_bell(a):
    real = getattr(a, "dtype", a)
    bound = np.float32(13.19) if real == types.float32 else 37.62
    return lambda a: clamped(a, -bound, bound)


@overload(tail_by_bell)
def _tail_by_bell(a):
    if getattr(a, "dtype", a) == types.float32:
        return lambda a: _tail_by_bell32(a)
    return lambda a: _tail_by_bell64(a)


@overload(exp_parts)
def _exp_parts(x, sign):
    if getattr(x, "dtype", x) == types.float32:
        return lambda x, sign: _exp_parts32(x, sign)
    return lambda x, sign: _exp_parts64(x, sign)


@overload(artanh_series)
def _artanh_series(q):
    if getattr(q, "dtype", q) == types.float32:
        return lambda q: _artanh_series32(q)
    return lambda q: _artanh_series64(q)


@njit
def _artanh_series32(q):
    f = np.float32
    return f(1 / 3) + q * (
        f(1 / 5)
        + q
        * (
            f(1 / 7)
            + q * (f(1 / 9) + q * (f(1 / 11) + q * (f(1 / 13) + q * (f(1 / 15) + q * (f(1 / 17))))))
        )
    )


@njit
def _artanh_series64(q):
    return 1 / 3 + q * (
        1 / 5
        + q
        * (
            1 / 7
            + q
            * (
                1 / 9
                + q
                * (
                    1 / 11
                    + q
                    * (
                        1 / 13
                        + q
                        * (
                            1 / 15
                            + q
                            * (
                                1 / 17
                                + q
                                * (
                                    1 / 19
                                    + q
                                    * (
                                        1 / 21
                                        + q
                                        * (
                                            1 / 23
                                            + q
                                            * (
                                                1 / 25
                                                + q
                                                * (
                                                    1 / 27
                                                    + q * (1 / 29 + q * (1 / 31 + q * (1 / 33)))
                                                )
                                            )
                                        )
                                    )
                                )
                            )
                        )
                    )
                )
            )
        )
    )


@njit
def _exp_parts32(x, sign):
    """In float32. ln 2 is split in two, so that n·ln 2 is subtracted exactly; eʳ − 1 is r and a
    polynomial of degree 6, whose error is nowhere over 5e-9 (minimax), a tenth of a
    rounding."""
    f = np.float32
    # Added to 1.5·2²³ + 127, x / ln 2 is rounded to n, and the lowest bits hold n + 127: the bits
    # of 2ⁿ, when they are shifted to the exponent.
    shifted = x * (sign * f(1.44269504)) + f(12583039.0)
    n = shifted - f(12583039.0)
    r = sign * x - n * f(0.693359375)
    r = r - n * f(-2.12194440e-4)
    # In pairs of terms, which don't wait for each other (Estrin).
    r2 = r * r
    low = f(0.5) + f(0.16666488) * r
    high = f(0.041665554) + f(0.008372266) * r + r2 * f(0.0014033869)
    return power_of_two(shifted), r + r2 * (low + r2 * high)


@njit
def _exp_parts64(x, sign):
    """As `_exp_parts32`, in float64: degree 11, and an error of 2e-17 at most."""
    shifted = x * (sign * 1.4426950408889634) + 6755399441056767.0
    n = shifted - 6755399441056767.0
    r = sign * x - n * 6.93145751953125e-1
    r = r - n * 1.42860682030941723212e-6
    r2 = r * r
    r4 = r2 * r2
    a = (0.5000000000000001 + 0.16666666666666669 * r) + r2 * (
        0.041666666666623824 + 0.008333333333330039 * r
    )
    b = (0.0013888888917367081 + 0.00019841269863171557 * r) + r2 * (
        2.4801521057868204e-05 + 2.7557268276905696e-06 * r
    )
    c = 2.7620201591031547e-07 + 2.5100472505694996e-08 * r
    return power_of_two(shifted), r + r2 * (a + r4 * (b + r4 * c))


@njit
def _tail_by_bell32(a):
    """In float32, K = 4: the polynomial's error is 3e-8 at most, half of a rounding."""
    f = np.float32
    t = f(1) / (a + f(4))
    q = (a - f(4)) * t
    q2 = q * q
    low = (f(0.75528514) - f(0.6078966) * q) + q2 * (f(0.3871367) - f(0.1865222) * q)
    middle = (f(0.06040685) - f(0.007532521) * q) + q2 * (f(0.0015777092) * q - f(0.0035297603))
    high = f(0.00021157929) - f(0.000115843635) * q
    return rounded_product(t, low + (q2 * q2) * (middle + (q2 * q2) * high))


@njit
def _tail_by_bell64(a):
    """As `_tail_by_bell32`, in float64, K = 5: an error of 9e-17 at most."""
    t = 1.0 / (a + 5.0)
    return rounded_product(t, polynomial64((a - 5.0) * t))


def plain_polynomial64(q):
    """That of `_tail_by_bell64`."""
    q2 = q * q
    q4 = q2 * q2
    p0 = (0.769193049750063 + -0.6653825028900568 * q) + q2 * (
        0.4953056159699757 + -0.3135331566712846 * q
    )
    p1 = (0.1650203661704248 + -0.06911863870697367 * q) + q2 * (
        0.02079506679889907 + -0.0029933767603756095 * q
    )
    p2 = (-0.000797869385022079 + 0.0005448989798814156 * q) + q2 * (
        -5.937583897447399e-05 + -4.9762390139684904e-05 * q
    )
    p3 = (1.6681791476232808e-05 + 3.979599095092148e-06 * q) + q2 * (
        -2.77120075233419e-06 + -3.341963204452665e-07 * q
    )
    p4 = (4.3728330232178027e-07 + 3.983111827831121e-08 * q) + q2 * (
        -7.142248457633441e-08 + -8.532213392480217e-09 * q
    )
    p5 = (1.1736806023667446e-08 + 2.440572231620625e-09 * q) + q2 * (
        -1.4592112716627394e-09 + -5.088003963285161e-10 * q
    )
    return p0 + q4 * (p1 + q4 * (p2 + q4 * (p3 + q4 * (p4 + q4 * p5))))


polynomial64 = njit(plain_polynomial64)


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
