"""Activations: each value σ(z), and directly below it its derivative σ′.

σ′ is expressed in the output o = σ(z), so that the backward pass needs no z.
A new activation is a code, a row in `ACTIVATIONS`, a value and a derivative.
"""

import numpy as np
from numba import types
from numba.extending import overload

from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.vectors import (
    absolute,
    as_many,
    clamped,
    elementwise,
    one_where_positive,
    power_of_two,
    with_sign_of,
)

IDENTITY, LOGISTIC, TANH, RELU = range(4)

ACTIVATIONS = {
    "identity": IDENTITY,
    "logistic": LOGISTIC,
    "tanh": TANH,
    "relu": RELU,
}


@inline
def activation(kind, z):
    """σ(z)."""
    o = z
    if kind == LOGISTIC:
        o = logistic(z)
    elif kind == TANH:
        o = tanh(z)
    elif kind == RELU:
        o = relu(z)
    return o


@inline
def derivative(kind, o):
    """σ′(z), where o = σ(z)."""
    slope = as_many(type(o)(1), o)
    if kind == LOGISTIC:
        slope = logistic_derivative(o)
    elif kind == TANH:
        slope = tanh_derivative(o)
    elif kind == RELU:
        slope = relu_derivative(o)
    return slope


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
def exp(x):
    """eˣ, to 1.1 units of the last place, and nowhere falling.

    It stays the same outside of −87…87 (in float64, −708…708), so that no infinity comes of a
    finite number.
    """
    scale, rest = exp_parts(bounded(x), type(x)(1))
    return scale * rest + scale


def bounded(x):
    """x, where eˣ and e⁻ˣ are normal numbers, else the bound of it."""
    bound = 87.0 if np.result_type(x) == np.float32 else 708.0
    return clamped(x, -bound, bound)


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


@overload(exp_parts)
def _exp_parts(x, sign):
    if getattr(x, "dtype", x) == types.float32:
        return lambda x, sign: _exp_parts32(x, sign)
    return lambda x, sign: _exp_parts64(x, sign)


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


_logistic, _tanh = elementwise(logistic), elementwise(tanh)


@njit
def activate(kind, o):
    """o ← σ(o), for those that are worth a pass of their own; relu is done where sums end."""
    if kind == LOGISTIC:
        _logistic(o, o)
    elif kind == TANH:
        _tanh(o, o)
