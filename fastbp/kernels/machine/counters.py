"""Random numbers that need no sequence: each is a function of what it is drawn for.

A mask over the units of a tile, say, is the same for any number of threads, whoever draws which
part of it, in any order, and once more on the way back. The numbers are mixed as splitmix64 mixes
its own (Steele, Lea & Flood, 2014), once for each of seed, step, unit and sample; all but the last
are the same for a row of a tile:

    key = key_of(seed, step, unit)
    for i in range(n):
        mask[i] = one if is_kept(key, order[i], share) else zero

That is straight code for LLVM, which takes as many samples at a time as fit a vector: half a
nanosecond each with AVX-512 (float32), 1.2 with AVX2, which has no product of 64-bit numbers.
"""

import numba
import numpy as np

from fastbp.kernels.machine.compile import inline

#: 2⁶⁴ over the golden ratio: its multiples differ in all of their bits.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@inline
def mixed(z):
    """All 64 bits of z in each bit of the result; different ones for different z, 0 for 0."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inline
def drawn(key, number):
    """64 bits for a number ≥ 0, which say nothing of those for other numbers or other keys."""
    return mixed(key ^ (np.uint64(number) * GOLDEN + GOLDEN))


@inline
def key_of(seed, step, unit):
    """What `drawn` takes for the samples of a unit."""
    return drawn(drawn(drawn(np.uint64(0), seed), step), unit)


@inline
def bits_of(seed, step, sample, unit):
    """64 bits, as random as they come, and always the same for the same four numbers ≥ 0."""
    return drawn(key_of(seed, step, unit), sample)


@inline
def share_of_kept(p):
    """The probability p, 0 to 1, as `is_kept` reads it."""
    return np.uint64(p * 4294967296.0)


@inline
def is_kept(key, sample, share):
    """Whether the unit with this key is kept for a sample: in 2³² cases, `share` times."""
    return (drawn(key, sample) >> np.uint64(32)) < share


if numba.config.DISABLE_JIT:
    # NumPy warns of what is wanted here: products modulo 2⁶⁴.
    mixed, drawn = (np.errstate(over="ignore")(function) for function in (mixed, drawn))
