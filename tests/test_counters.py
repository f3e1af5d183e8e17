"""Random numbers that need no sequence: against plain integers, and against chance."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import chi2

from fastbp.kernels.machine import counters
from fastbp.kernels.machine.compile import from_python, njit
from fastbp.kernels.machine.counters import is_kept, key_of, share_of_kept
from fastbp.kernels.training import samples
from fastbp.kernels.training.records import STATE

WHOLE, GOLDEN = 2**64 - 1, 0x9E3779B97F4A7C15

#: What a number is drawn for, in this order.
ARGUMENTS = ["seed", "step", "sample", "unit"]

N = 2**16


def mixed(z):
    """splitmix64's mixing, in Python's integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WHOLE
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WHOLE
    return z ^ (z >> 31)


def expected_bits(seed, step, sample, unit):
    key = 0
    for number in (seed, step, unit, sample):
        key = mixed(key ^ ((number + 1) * GOLDEN & WHOLE))
    return key


@pytest.fixture(scope="module")
def bits_of():
    return from_python(counters.bits_of)


@pytest.fixture(scope="module")
def along():
    """``along(argument, *others, n)``: bits for 0…n − 1 in the place of one argument."""

    @njit
    def fill(place, a, b, c, out):
        for i in range(out.size):
            if place == 0:
                out[i] = counters.bits_of(i, a, b, c)
            elif place == 1:
                out[i] = counters.bits_of(a, i, b, c)
            elif place == 2:
                out[i] = counters.bits_of(a, b, i, c)
            else:
                out[i] = counters.bits_of(a, b, c, i)

    fill = from_python(fill)

    def along(argument, *others, n=N):
        bits = np.empty(n, np.uint64)
        fill(ARGUMENTS.index(argument), *others, bits)
        return bits

    return along


def uniform(bits):
    return (bits >> np.uint64(11)) * 2.0**-53


def test_bits_are_those_of_plain_integers(bits_of):
    numbers = [0, 1, 2, 2**31, 2**32 - 1, 2**63 - 1]
    for place in itertools.product(numbers, repeat=4):
        assert bits_of(*place) == expected_bits(*place)


def test_a_row_number_may_be_of_any_type_of_integers(bits_of):
    for dtype in (np.uint32, np.int64, np.uint64):
        assert bits_of(1, 2, dtype(3), 4) == expected_bits(1, 2, 3, 4)


@pytest.mark.parametrize("others", [(0, 0, 0), (1, 2, 3), (10**6, 10**9, 77)], ids=str)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_numbers_are_spread_evenly(argument, others, along):
    bits = along(argument, *others)
    for part in (bits, bits << np.uint64(32)):  # the upper half, and the lower
        u = uniform(part)
        assert abs(u.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / N)
        assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / N)
        counts = np.bincount((u * 256).astype(int), minlength=256)
        assert 1e-4 < chi2.cdf(np.sum((counts - N / 256) ** 2) / (N / 256), 255) < 1 - 1e-4


@pytest.mark.parametrize("others", [(0, 0, 0), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_bit_is_as_often_0_as_1_and_changes_as_often_as_not(argument, others, along):
    bits = along(argument, *others)
    ones = (bits[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    most = 5 * np.sqrt(1 / 4 / N)
    assert np.all(np.abs(ones.mean(axis=0) - 1 / 2) < most)
    assert np.all(np.abs((ones[1:] != ones[:-1]).mean(axis=0) - 1 / 2) < most)


@pytest.mark.parametrize("lag", [1, 2, 8, 1024])
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_neighbours_are_not_correlated(argument, lag, along):
    u = uniform(along(argument, 5, 6, 7))
    assert abs(np.corrcoef(u[lag:], u[:-lag])[0, 1]) < 4 / np.sqrt(N)


@pytest.mark.parametrize(("run", "other"), list(itertools.permutations(range(4), 2)))
def test_what_differs_in_another_argument_by_one_is_not_correlated(run, other, along):
    """E.g. the samples of one unit, and of the next."""
    others = [5, 6, 7]
    this = uniform(along(ARGUMENTS[run], *others))
    others[[i for i in range(4) if i != run].index(other)] += 1
    next_one = uniform(along(ARGUMENTS[run], *others))
    assert abs(np.corrcoef(this, next_one)[0, 1]) < 4 / np.sqrt(N)
    assert abs(np.corrcoef(this[1:], next_one[:-1])[0, 1]) < 4 / np.sqrt(N)


def test_all_arguments_matter_and_so_does_their_order(along):
    drawn = [along("unit", *others, n=16) for others in itertools.product(range(16), repeat=3)]
    assert len(np.unique(drawn)) == 16**4


@pytest.mark.parametrize("p", [0.0, 2.0**-32, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_unit_is_kept_with_its_probability_whoever_asks(p, dtype, bits_of):
    """Also where LLVM takes many samples at a time, in whatever order they are."""

    @njit
    def fill(seed, step, unit, order, p, mask):
        key, share, one = key_of(seed, step, unit), share_of_kept(p), mask.dtype.type(1)
        for i in range(mask.size):
            mask[i] = one if is_kept(key, order[i], share) else mask.dtype.type(0)

    order = np.random.default_rng(0).permutation(N).astype(np.uint32)
    mask, mask_in_order = np.zeros((2, N), dtype)
    fill = from_python(fill)
    fill(3, 4, 5, order, p, mask)
    assert abs(mask.mean() - p) <= 4 * np.sqrt(p * (1 - p) / N)
    fill(3, 4, 5, np.sort(order), p, mask_in_order)
    assert_array_equal(mask, mask_in_order[order])
    kept = [(bits_of(3, 4, int(sample), 5) >> 32) < p * 2**32 for sample in order[:1000]]
    assert_array_equal(mask[:1000], kept)


def test_a_shuffle_is_made_of_the_same_numbers():
    n, state, order = 101, np.zeros(1, STATE).view(np.recarray)[0], np.arange(101, dtype=np.uint32)
    state.random = random = 12345
    from_python(samples.shuffle)(order, state)
    expected = list(range(n))
    for last in range(n - 1, 0, -2):
        random = random + GOLDEN & WHOLE
        halves = divmod(mixed(random), 2**32)
        for i, half in zip((last, last - 1), halves, strict=True):
            j = half * (i + 1) >> 32
            expected[i], expected[j] = expected[j], expected[i]
    assert_array_equal(order, expected)
    assert state.random == random
