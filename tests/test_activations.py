"""σ and σ′ of every activation, over all of their range, in both precisions."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

from fastbp.fitting.team import processors
from fastbp.kernels.formulas import activations
from fastbp.kernels.formulas.activations import (
    ACTIVATIONS,
    TABLE,
    activation,
    derivative,
    logistic,
    tanh,
)
from fastbp.kernels.formulas.elementary import exp
from fastbp.kernels.machine.compile import from_python, njit

PRECISIONS = ["float32", "float64"]


def compiled(function):
    """Compiled as kernels are, for use by tests."""
    return from_python(njit(function))


activate = from_python(activations.activate)


@compiled
def activations_of(kind, z, o):
    for i in range(z.size):
        o[i] = activation(kind, z[i])


@compiled
def derivatives_of(kind, o, d):
    for i in range(o.size):
        d[i] = derivative(kind, o[i])


def activated(name, z):
    """σ(z), of one number at a time."""
    o = np.full_like(z, np.nan)
    activations_of(ACTIVATIONS[name], z, o)
    return o


def slopes(name, o):
    """σ′(z), of one number at a time."""
    d = np.full_like(o, np.nan)
    derivatives_of(ACTIVATIONS[name], o, d)
    return d


def grid(dtype):
    """Values of every magnitude and sign, more where activations bend."""
    magnitudes = np.concatenate([np.geomspace(1e-30, 1e3, 2000), np.linspace(0, 20, 4001)])
    return np.concatenate([-magnitudes, magnitudes]).astype(dtype)


def ulps(got, exact):
    """Distance from the exact value in units of the last place."""
    return np.abs(got.astype(np.longdouble) - exact) / np.spacing(np.abs(exact).astype(got.dtype))


def exactly(name, z):
    z = z.astype(np.longdouble)
    if name == "logistic":  # without overflow on either side
        return np.where(z < 0, np.exp(-np.abs(z)), 1) / (1 + np.exp(-np.abs(z)))
    return reference.ACTIVATIONS[name][0](z)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_values_are_right_to_a_few_units_of_the_last_place(name, dtype):
    z = grid(dtype)
    z = z[np.abs(z) < 80]  # beyond it eᶻ saturates: see below
    got, exact = activated(name, z), exactly(name, z)
    is_normal = np.abs(exact) > 1e3 * np.finfo(dtype).tiny
    assert ulps(got, exact)[is_normal].max() <= TABLE[name].ulps
    assert np.abs(got[~is_normal]).max(initial=0) < 1e-30


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_is_that_of_the_value(name, dtype):
    z = grid(dtype)
    z = z[(np.abs(z) < 20) & (z != 0)]
    _, exact = reference.ACTIVATIONS[name]
    tolerance = max(10, TABLE[name].ulps) * np.finfo(dtype).eps
    got = slopes(name, z if TABLE[name].of_z else activated(name, z))
    assert_allclose(got, exact(z.astype(float)), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ["logistic", "tanh"])
def test_far_out_the_sigmoids_saturate(name, dtype):
    least, most = {"logistic": (0, 1), "tanh": (-1, 1)}[name]
    most_negative = np.finfo(dtype).min
    got = activated(
        name, np.array([-np.inf, most_negative, -1e4, 1e4, -most_negative, np.inf], dtype)
    )
    assert_allclose(got, [least] * 3 + [most] * 3, atol=1e-37)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ["logistic", "tanh"])
def test_the_sigmoids_stay_within_their_range(name, dtype):
    got = activated(name, grid(dtype))
    assert got.min() >= {"logistic": 0, "tanh": -1}[name]
    assert got.max() <= 1


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_stays_nan(name, dtype):
    got = activated(name, np.array([1.0, np.nan, -1.0] * 11, dtype))
    assert_array_equal(np.isnan(got), [False, True, False] * 11)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_tanh_of_zero_is_zero_and_tanh_is_odd(dtype):
    z = grid(dtype)
    zeros = activated("tanh", np.array([0.0, -0.0], dtype))
    assert_array_equal(zeros, [0, 0])
    assert_array_equal(np.signbit(zeros), [False, True])
    assert_array_equal(activated("tanh", -z), -activated("tanh", z))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_relu_and_its_derivative_are_zero_at_zero(dtype):
    o = activated("relu", np.array([-1, 0, 1], dtype))
    assert_array_equal(o, [0, 0, 1])
    assert_array_equal(slopes("relu", o), [0, 0, 1])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("size", [1, 16, 48, 165])
def test_layers_of_every_size_are_activated_whole(size, name, dtype):
    z = np.random.default_rng(0).normal(size=size + 1).astype(dtype)
    o = z.copy()
    kept = np.full_like(o, np.nan)
    activate(ACTIVATIONS[name], o[:size], kept[:size])
    expected = z[:size] if TABLE[name].ends_sums else activated(name, z[:size])
    assert_array_equal(o[:size], expected)
    if TABLE[name].of_z:
        assert_array_equal(kept[:size], slopes(name, z[:size]))
        alone = z.copy()  # nothing is kept where the place is the same
        activate(ACTIVATIONS[name], alone[:size], alone[:size])
        assert_array_equal(alone, o)
    assert o[size] == z[size]
    assert np.isnan(kept[size])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_plain_value_is_the_kernels(name):
    z = grid("float64")
    assert_allclose(TABLE[name].plain(z), activated(name, z), rtol=1e-12, atol=1e-12)


def test_the_reference_knows_every_activation():
    assert reference.ACTIVATIONS.keys() == ACTIVATIONS.keys()
    assert len(set(ACTIVATIONS.values())) == len(ACTIVATIONS)


# ------------------------------------------------------------------- every value of float32


@compiled
def values(f, z, o):
    for i in range(z.size):
        o[i] = f(z[i])


def called(f, z):
    """f(z) by a kernel that has no entry from Python."""
    o = np.full_like(z, 7)
    values(f, z, o)
    return o


@compiled
def from_bits(bits):
    """The float32 of these bits; of positive ones, greater bits are a greater number."""
    return np.int32(bits).view(np.float32)


@compiled
def rank(x):
    """Number of a float32 in the order of all: two neighbours differ by 1."""
    bits = np.float32(x).view(np.int32)
    return bits if bits >= 0 else np.int32(-(2**31)) - bits


@compiled
def at_consecutive_bits(f, first, sign, o):
    """o ← f(sign·z) for the values z from the one of these bits on, each the next float32."""
    for i in range(o.size):
        o[i] = f(sign * from_bits(first + i))


@compiled
def largest_fall(f, octave, sign, o):
    """How far f falls at most from one z to the next, in units of the last place.

    Over the values sign·z of an octave: the 2²³ that share an exponent, and the first of the
    next one. `o` is room to work in, for one value more than a power of two.
    """
    most, least = np.int32(-(2**31)), np.int32(2**31 - 1)
    for first in range(octave << 23, (octave + 1) << 23, o.size - 1):
        at_consecutive_bits(f, first, sign, o)
        for i in range(o.size - 1):
            fall = np.int32(rank(o[i]) - rank(o[i + 1]))
            most, least = max(most, fall), min(least, fall)
    return most if sign > 0 else -least


@compiled
def largest_error(f, exact, octave, sign, o):
    """In units of the last place of the exact result's float32; NaN if that is a result."""
    largest = np.int32(0)
    for first in range(octave << 23, (octave + 1) << 23, o.size - 1):
        at_consecutive_bits(f, first, sign, o)
        for i in range(o.size - 1):
            e = exact(sign * np.float64(from_bits(first + i)))
            exponent = np.float32(e).view(np.int32) & np.int32(0x7F800000)
            exponent = max(exponent, np.int32(0x00800000))  # subnormal numbers have that unit
            inverse = np.int32(np.int32(0x7F000000) - exponent).view(np.float32)
            error = np.float32(abs(o[i] - e) * inverse * 2.0**23)
            # By its bits: so that vectors are compared, and NaN is greatest.
            largest = max(largest, np.float32(error).view(np.int32))
    return from_bits(largest)


@compiled
def largest_asymmetry(f, total, octave):
    """max |f(z) + f(−z) − total|."""
    largest = np.int32(0)
    for bits in range(octave << 23, (octave + 1) << 23):
        z = from_bits(bits)
        error = np.float32(abs(np.float64(f(z)) + np.float64(f(-z)) - total))
        largest = max(largest, np.float32(error).view(np.int32))
    return from_bits(largest)


#: Octaves are numbered by the bits of their exponent: z = 1 begins the 127th, infinity the last.
ONE, LAST = 127, 255

#: From which octave to which the functions bend: nearer to zero σ and exp are flat, and tanh z
#: is z but for z³/3, a hundredth of a unit; farther out all are flat.
NEAR, FAR = {logistic: ONE - 26, tanh: ONE - 14, exp: ONE - 26}, ONE + 7

#: Signs of z that must be looked at: that tanh is odd is tested for itself.
SIGNS = {logistic: (1, -1), tanh: (1,), exp: (1, -1)}

#: What each function of float32 should be, given a float64: itself in float64, which is tested
#: below, as far as it does not saturate.
EXACT = {
    logistic: compiled(lambda z: logistic(max(z, -87.0))),
    tanh: compiled(lambda z: tanh(z)),
    exp: compiled(lambda z: exp(min(max(z, -87.0), 87.0))),
}

#: What the docstrings say: units of the last place of an error, and of a fall.
ERROR = {logistic: 2.5, tanh: 2.7, exp: 1.1}
FALL = {logistic: 0, tanh: 2, exp: 0}

needs_compiler = pytest.mark.skipif(
    not hasattr(values, "signatures"), reason="takes hours without a compiler"
)
for_each = pytest.mark.parametrize("f", EXACT, ids=lambda f: f.__name__)


#: Whether campaigns go through all that there is.
WHOLE, SAMPLE = "--campaigns" in sys.argv, np.random.default_rng(0)


def over(octaves, find, signs):
    """The most that ``find(octave, sign, room)`` returns for any octave, in all processors.

    Of a seeded thirtieth of the octaves, and those at the ends; of all with ``--campaigns``.
    """
    if not WHOLE:
        octaves = sorted({*octaves[:2], *octaves[-2:], *SAMPLE.choice(octaves, len(octaves) // 30)})

    def of_octave(octave):
        room = np.empty(2**12 + 1, np.float32)  # stays in the cache
        return np.max([find(octave, np.float32(sign), room) for sign in signs])

    with ThreadPoolExecutor(processors()) as pool:
        return np.max(list(pool.map(of_octave, octaves)))


@needs_compiler
@for_each
def test_from_each_float32_to_the_next_nothing_falls_farther_than_documented(f):
    assert over(range(FAR), partial(largest_fall, f), SIGNS[f]) <= FALL[f]


@needs_compiler
@for_each
def test_each_float32_is_as_accurate_as_documented_where_the_functions_bend(f):
    error = over(range(NEAR[f], FAR), partial(largest_error, f, EXACT[f]), SIGNS[f])
    assert error <= ERROR[f]


@needs_compiler
@pytest.mark.parametrize("f", [logistic, exp], ids=lambda f: f.__name__)
def test_near_zero_every_float32_gives_what_zero_gives(f):
    """The ends do; and nowhere between does f fall, as the test above has found."""
    z = np.array([-(2**-26), -0.0, 0.0, 2**-26], np.float32)
    assert_array_equal(called(f, z), np.float32(EXACT[f](0.0)))


@needs_compiler
def test_near_zero_the_tanh_of_each_float32_is_itself():
    """To one unit of the last place; subnormal numbers are among them."""
    itself = compiled(lambda z: z)
    assert over(range(NEAR[tanh]), partial(largest_error, tanh, itself), SIGNS[tanh]) <= 1


@needs_compiler
@for_each
def test_far_out_each_float32_gives_what_infinity_gives(f):
    """The ends do, and nowhere between does f fall."""
    ends = np.array([-np.inf, -(2**7), 2**7, np.inf], np.float32)
    got = called(f, ends)
    assert_array_equal(got[[0, 3]], got[[1, 2]])
    assert_allclose(got, [EXACT[f](z) for z in ends], rtol=ERROR[f] * 2.0**-23)
    assert over(range(FAR, LAST), partial(largest_fall, f), SIGNS[f]) == 0


@needs_compiler
@pytest.mark.parametrize(
    ("f", "total", "most", "last"), [(logistic, 1, 0.75, FAR), (tanh, 0, 0, LAST)]
)
def test_the_sigmoids_are_symmetric_for_each_float32(f, total, most, last):
    """f(z) + f(−z) is the total to so many ε; far out σ(−z) is lost beside σ(z) = 1."""

    def asymmetry(octave, *_):
        return largest_asymmetry(f, total, octave)

    assert over(range(last), asymmetry, signs=[1]) <= most * np.finfo(np.float32).eps


@needs_compiler
@for_each
def test_no_nan_of_float32_becomes_a_number(f):
    bits = np.arange(LAST << 23, (LAST + 1) << 23, dtype=np.int64)[1:].astype(np.int32)
    nan = bits.view(np.float32)
    for z in (nan, -nan):
        assert np.isnan(called(f, z)).all()


@needs_compiler
@pytest.mark.parametrize("f", [logistic, tanh], ids=lambda f: f.__name__)
def test_what_is_scanned_is_what_activates_a_layer(f):
    z = from_random_bits("float32", 100_000)
    o = z.copy()
    activate(ACTIVATIONS[f.__name__], o, o)
    assert_array_equal(o, called(f, z))


# ------------------------------------------------------------------------ samples of float64


def from_random_bits(dtype, n):
    """Finite values of all magnitudes, subnormal ones among them."""
    z = np.frombuffer(np.random.default_rng(0).bytes(n * np.dtype(dtype).itemsize), dtype)
    return z[np.isfinite(z)]


def in_longdouble(f, z):
    """f in the longest precision there is, saturated where float64's exponential is."""
    z = z.astype(np.longdouble)
    if f is tanh:
        return np.tanh(z)
    e = np.exp(np.clip(z if f is exp else -z, -708, 708))
    return e if f is exp else 1 / (1 + e)


@needs_compiler
@for_each
@pytest.mark.skipif(np.finfo(np.longdouble).nmant == 52, reason="needs more digits than float64")
def test_float64_is_as_accurate_as_documented(f):
    random = np.random.default_rng(0)
    z = np.concatenate([
        *(random.uniform(-bound, bound, 200_000) for bound in (1, 45, 720)),
        from_random_bits("float64", 100_000), grid("float64"), [5e-324, -5e-324, np.inf, -np.inf],
    ])  # fmt: skip
    assert ulps(called(f, z), in_longdouble(f, z)).max() <= ERROR[f]


@needs_compiler
@for_each
def test_float64_falls_no_farther_than_documented(f):
    first = grid("float64")[:, None]
    z = first + np.spacing(np.abs(first)) * np.arange(16)
    o = called(f, z.ravel()).reshape(z.shape)
    assert ((o[:, :-1] - o[:, 1:]) / np.spacing(abs(o[:, 1:]))).max() <= FALL[f]
