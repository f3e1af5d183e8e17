"""Activations: each value σ(z), and directly below it its derivative σ′.

σ′ is expressed in the output o = σ(z), so that the backward pass needs no z.
A new activation is a code, a row in `ACTIVATIONS`, a value and a derivative.
"""

import numpy as np
from numba import types
from numba.extending import overload

from fastbp.kernels.compile import njit
from fastbp.kernels.views import vector

IDENTITY, LOGISTIC, TANH, RELU = range(4)

ACTIVATIONS = {
    "identity": IDENTITY,
    "logistic": LOGISTIC,
    "tanh": TANH,
    "relu": RELU,
}


@njit
def activate(kind, Z, O):
    """O ← σ(Z). Z may be O itself, but LLVM would make a slow masked store of relu then."""
    z, o = vector(Z, 0, Z.size), vector(O, 0, O.size)
    if kind == LOGISTIC:
        for i in range(z.size):
            o[i] = logistic(z[i])
    elif kind == TANH:
        for i in range(z.size):
            o[i] = tanh(z[i])
    elif kind == RELU:
        for i in range(z.size):
            o[i] = relu(z[i])
    else:
        for i in range(z.size):
            o[i] = z[i]


@njit
def times_derivative(kind, O, D):
    """D ← D ∘ σ′, where O = σ(Z)."""
    o, d = vector(O, 0, O.size), vector(D, 0, D.size)
    if kind == LOGISTIC:
        for i in range(o.size):
            d[i] *= logistic_derivative(o[i])
    elif kind == TANH:
        for i in range(o.size):
            d[i] *= tanh_derivative(o[i])
    elif kind == RELU:
        for i in range(o.size):
            d[i] *= relu_derivative(o[i])


@njit
def logistic(z):
    """σ(z) = 1 / (1 + e⁻ᶻ)."""
    one = type(z)(1)
    return one / (one + exp(-z))


@njit
def logistic_derivative(o):
    """σ′(z) = σ(z)(1 − σ(z))."""
    return o * (type(o)(1) - o)


@njit
def tanh(z):
    """tanh z: a series where 1 − 2/(1 + e²ᶻ) would cancel, that form elsewhere."""
    one, two = type(z)(1), type(z)(2)
    far = one - two / (one + exp(two * abs(z)))
    far = -far if z < 0 else far
    return tanh_near_zero(z) if abs(z) < type(z)(0.625) else far


@njit
def tanh_derivative(o):
    """tanh′ z = 1 − tanh² z."""
    return type(o)(1) - o * o


@njit
def relu(z):
    """max(z, 0); NaN stays NaN."""
    return type(z)(0) if z < 0 else z


@njit
def relu_derivative(o):
    """1 where the unit is on, else 0."""
    return type(o)(1) if o > 0 else type(o)(0)


def exp(x):
    """eˣ for |x| as large as it may be: saturates, never overflows to infinity.

    Compiled, it is `_exp32` or `_exp64`: straight code that LLVM turns into vectors, where
    ``np.exp`` would be a call for each element.
    """
    return np.exp(x)


@overload(exp, inline="never")
def _exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: _exp64(x)


@njit
def _exp32(x):
    """eˣ = 2ⁿ eʳ with n = round(x / ln 2), |r| ≤ ln 2 / 2, in float32.

    ln 2 is split in two, so that n·ln 2 is subtracted exactly. The series of eʳ to r⁷ leaves
    a relative error of 6e-9, a tenth of a rounding.
    """
    f = np.float32
    x = f(-87.0) if x < f(-87.0) else x
    x = f(88.0) if x > f(88.0) else x
    n = np.rint(x * f(1.44269504))
    r = x - n * f(0.693359375)
    r = r - n * f(-2.12194440e-4)
    p = f(1 / 5040)
    p = p * r + f(1 / 720)
    p = p * r + f(1 / 120)
    p = p * r + f(1 / 24)
    p = p * r + f(1 / 6)
    p = p * r + f(1 / 2)
    p = p * r + f(1)
    p = p * r + f(1)
    # n + 1.5·2²³ holds n in its lowest bits; shifted to the exponent they are 2ⁿ.
    exponent = f(n + f(12582912.0)).view(np.int32)
    return p * np.int32((exponent << 23) + 0x3F800000).view(np.float32)


@njit
def _exp64(x):
    """As `_exp32`, in float64: the series to r¹³ leaves 4e-18."""
    x = -708.0 if x < -708.0 else x
    x = 709.0 if x > 709.0 else x
    n = np.rint(x * 1.4426950408889634)
    r = x - n * 6.93145751953125e-1
    r = r - n * 1.42860682030941723212e-6
    p = 1 / 6227020800
    p = p * r + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 1 / 2
    p = p * r + 1
    p = p * r + 1
    exponent = np.float64(n + 6755399441055744.0).view(np.int64)
    return p * np.int64((exponent << 52) + 0x3FF0000000000000).view(np.float64)


def tanh_near_zero(z):
    """tanh z for |z| < 0.625, where z itself is the greater part of the answer."""
    return np.tanh(z)


@overload(tanh_near_zero, inline="never")
def _tanh_near_zero(z):
    if z == types.float32:
        return lambda z: _tanh_near_zero32(z)
    return lambda z: _tanh_near_zero64(z)


@njit
def _tanh_near_zero32(z):
    """z + z³ P(z²), minimax (Cephes, S. L. Moshier)."""
    f = np.float32
    s = z * z
    p = f(-5.70498872745e-3)
    p = p * s + f(2.06390887954e-2)
    p = p * s + f(-5.37397155531e-2)
    p = p * s + f(1.33314422036e-1)
    p = p * s + f(-3.33332819422e-1)
    return p * s * z + z


@njit
def _tanh_near_zero64(z):
    """z + z³ P(z²)/Q(z²), minimax (Cephes, S. L. Moshier)."""
    s = z * z
    p = -9.64399179425052238628e-1
    p = p * s + -9.92877231001918586564e1
    p = p * s + -1.61468768441708447952e3
    q = s + 1.12811678491632931402e2
    q = q * s + 2.23548839060100448583e3
    q = q * s + 4.84406305325125486048e3
    return p / q * s * z + z
