"""eˣ, log(1 + x) and the normal distribution's tail, what activations and losses are made of; and
sine and cosine, of encodings.

Compiled, it is straight code for any number of lanes, where ``np.exp`` would be a call for each
element.
"""

import numpy as np
from numba import types

from fastbp.kernels.machine.compile import njit, njit_exact, overload
from fastbp.kernels.machine.functions import clamped, power_of_two, without_low_bits


@njit
def exp(x):
    """eˣ, to 1.1 units of the last place, and nowhere falling.

    It stays the same outside of −87…87 (in float64, −708…708), so that no infinity comes of a
    finite number.
    """
    scale, rest = exp_parts(bounded(x), type(x)(1))
    return scale * rest + scale


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


@njit
def sine_and_cosine(turns):
    """sin 2πt and cos 2πt of one number t in [−½, ½], to a rounding of 1: whole quarters of a turn,
    and the series of the rest. (In a loop LLVM makes lanes of it.)"""
    quarters = np.rint(turns * type(turns)(4))
    size, angle = abs(quarters), (turns - quarters * type(turns)(1 / 4)) * type(turns)(2 * np.pi)
    sine, cosine = series_of_angle(angle, angle * angle)
    turned = type(turns)(1) - size  # by none, or by half a turn
    if size == 1:
        return quarters * cosine, -quarters * sine
    return turned * sine, turned * cosine


def series_of_angle(a, q):
    """a − a³/6 + a⁵/120 − … and 1 − q/2 + q²/24 − …, of q = a² ≤ (π/4)², to half a rounding."""
    return np.sin(a), np.cos(a)


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


@overload(series_of_angle)
def _series_of_angle(a, q):
    if a == types.float32:
        return lambda a, q: _series_of_angle32(a, q)
    return lambda a, q: _series_of_angle64(a, q)


@overload(artanh_series)
def _artanh_series(q):
    if getattr(q, "dtype", q) == types.float32:
        return lambda q: _artanh_series32(q)
    return lambda q: _artanh_series64(q)


@njit
def _series_of_angle32(a, q):
    f = np.float32
    sine = f(1 / 6) - q * (f(1 / 120) - q * (f(1 / 5040) - q * f(1 / 362880)))
    cosine = f(1 / 2) - q * (f(1 / 24) - q * (f(1 / 720) - q * f(1 / 40320)))
    return a - a * (q * sine), f(1) - q * cosine


@njit
def _series_of_angle64(a, q):
    sine = 1 / 6 - q * (1 / 120 - q * (1 / 5040 - q * (1 / 362880 - q * (1 / 39916800 - q * (
        1 / 6227020800 - q * (1 / 1307674368000))))))  # fmt: skip
    cosine = 1 / 2 - q * (1 / 24 - q * (1 / 720 - q * (1 / 40320 - q * (1 / 3628800 - q * (
        1 / 479001600 - q * (1 / 87178291200 - q * (1 / 20922789888000)))))))  # fmt: skip
    return a - a * (q * sine), 1 - q * cosine


@njit
def _artanh_series32(q):
    f = np.float32
    return f(1 / 3) + q * (f(1 / 5) + q * (f(1 / 7) + q * (f(1 / 9) + q * (f(1 / 11) + q * (
        f(1 / 13) + q * (f(1 / 15) + q * (f(1 / 17))))))))  # fmt: skip


@njit
def _artanh_series64(q):
    return 1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q * (
        1 / 15 + q * (1 / 17 + q * (1 / 19 + q * (1 / 21 + q * (1 / 23 + q * (1 / 25 + q * (
            1 / 27 + q * (1 / 29 + q * (1 / 31 + q * (1 / 33)))))))))))))))  # fmt: skip


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
