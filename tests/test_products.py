"""The products of matrices: every size of edge, both precisions, other processors."""

import os

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from processes import passed, said_by, tests_of

from fastbp.kernels.formulas.activations import ACTIVATIONS, KEPT, TABLE
from fastbp.kernels.machine.compile import from_python
from fastbp.kernels.machine.vectors import INTERPRETED, LANES
from fastbp.kernels.products import gradients, products
from fastbp.kernels.products.blocks import LONG
from fastbp.kernels.products.products import errors, outputs
from fastbp.kernels.products.tiles import RESUMED, ZERO
from fastbp.kernels.training import samples

gather = from_python(samples.gather)
outer, sums, back = map(from_python, (gradients.outer, gradients.sums, products.back))
outputs_of_one = from_python(products.outputs_of_one)

PRECISIONS = {"float32": 2e-6, "float64": 4e-15}

#: Units of a layer and of the next: a tile, less and more than tiles, all remainders, more
#: terms than are summed at a time, rows too wide for the cache.
LAYERS = [
    (1, 1), (2, 2), (1, 7), (7, 1), (3, 5), (6, 6), (5, 13), (8, 50), (13, 6), (25, 16),
    (30, 31), (48, 17), (33, 100), (300, 19), (19, 300), (530, 23), (40, 561), (301, 520),
]  # fmt: skip
SAMPLES = [LANES, 2 * LANES, 3 * LANES, 5 * LANES]

#: Sums over so many samples are long: whole tiles of three vectors, and all that can be left.
MANY_SAMPLES = [LONG, LONG + LANES, LONG + 2 * LANES]
LONG_LAYERS = [(25, 8), (27, 30), (24, 61), (50, 50), (131, 300), (300, 131)]

EDGES = [
    (*layer, n)
    for layers, numbers in ((LAYERS, SAMPLES), (LONG_LAYERS, MANY_SAMPLES))
    for layer in layers
    for n in numbers
]


def matrices(dtype, n_in, n_out, n):
    random = np.random.default_rng(n_in + n_out + n)
    shapes = (n_in, n_out), (n_out,), (n_in, n), (n_out, n)
    W, b, O, D = (random.uniform(-1, 1, shape).astype(dtype) for shape in shapes)
    return W, b, O, D, np.full(64 * max(n_in, n_out) * n + 64 * 256, np.nan, dtype)


def assert_sums(got, terms, expected, dtype):
    """Equal but for the rounding of a sum of so many terms of size 1."""
    assert_allclose(got, expected, rtol=0, atol=PRECISIONS[dtype] * np.sqrt(terms))


def way_back(name, Z):
    """The code of σ′ on the way back, and what it is taken from."""
    value, derivative = reference.ACTIVATIONS[name]
    return (KEPT, derivative(Z)) if TABLE[name].of_z else (ACTIVATIONS[name], value(Z))


def assert_products(name, n_in, n_out, n, dtype):
    """Of a layer with this activation, forward, and of one behind it, backward."""
    value, derivative = reference.ACTIVATIONS[name]
    W, b, O_before, D, scratch = matrices(dtype, n_in, n_out, n)
    exact = [a.astype(np.float64) for a in (W, b, O_before, D)]
    O, D_before = np.full_like(D, np.nan), np.full_like(O_before, np.nan)
    kept = np.full_like(D, np.nan) if TABLE[name].of_z else O
    outputs(ACTIVATIONS[name], W, b, O_before, O, kept, scratch)
    Z = exact[0].T @ exact[2] + exact[1][:, None]
    assert_sums(O, n_in + 1, value(Z), dtype)
    if TABLE[name].of_z:
        assert_sums(kept, n_in + 1, derivative(Z), dtype)
    slope, kept = way_back(name, O_before)
    errors(slope, W, D, kept, D_before, scratch)
    assert_sums(D_before, n_out, exact[0] @ exact[3] * derivative(exact[2]), dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("n_in", "n_out", "n"), EDGES)
def test_products_are_numpys(n_in, n_out, n, dtype):
    assert_products("identity", n_in, n_out, n, dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("n", [LANES, 3 * LANES, 5 * LANES])
@pytest.mark.parametrize(("n_in", "n_out"), [(3, 2), (7, 1), (6, 7), (300, 19), (301, 520)])
def test_products_end_with_every_activation(n_in, n_out, n, name, dtype):
    assert_products(name, n_in, n_out, n, dtype)


#: Of each kind, where it is compiled for another processor, which takes long: by the output, with a
#: corner, by slopes that are kept.
OF_EACH_KIND = ("logistic", "relu", "silu")
IN_USE = OF_EACH_KIND if "NUMBA_CPU_NAME" in os.environ else ACTIVATIONS


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", IN_USE)
def test_products_of_one_sample_are_numpys_and_those_among_others_to_the_bit(name, dtype):
    value, code = reference.ACTIVATIONS[name][0], ACTIVATIONS[name]
    for n_in, n_out in [*LAYERS, (3, 15), (5, 63), (5, 64), (5, 65), (2, 127), (700, 128)]:
        W, b, O_before, O, scratch = matrices(dtype, n_in, n_out, LANES)
        outputs(code, W, b, O_before, O, O, scratch)
        for i in (0, LANES - 1):
            x, alone = O_before[:, i : i + 1].copy(), np.full((n_out, 1), np.nan, dtype)
            outputs_of_one(code, W, b, x, alone, alone, scratch)
            exact = [a.astype(np.float64) for a in (W, b, x)]
            expected = value(exact[0].T @ exact[2] + exact[1][:, None])
            assert_sums(alone, n_in + 1, expected, dtype)
            if not INTERPRETED:  # NumPy sums in another order
                assert_array_equal(alone[:, 0], O[:, i])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("n_in", "n_out", "n"), EDGES)
def test_gradients_begin_or_are_added_to_what_is_there(n_in, n_out, n, dtype):
    W, b, O, D, scratch = matrices(dtype, n_in, n_out, n)
    exact = [a.astype(np.float64) for a in (W, b, O, D)]
    outer(O, D, W, scratch, RESUMED)
    assert_sums(W, n + 1, exact[0] + exact[2] @ exact[3].T, dtype)
    sums(D, b, scratch, RESUMED)
    assert_sums(b, n + 1, exact[1] + exact[3].sum(axis=1), dtype)
    W[:], b[:] = np.nan, np.nan
    outer(O, D, W, scratch, ZERO)
    assert_sums(W, n, exact[2] @ exact[3].T, dtype)
    sums(D, b, scratch, ZERO)
    assert_sums(b, n, exact[3].sum(axis=1), dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", IN_USE)
@pytest.mark.parametrize(("begin", "n"), [(ZERO, LANES), (RESUMED, 3 * LANES)])
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (4, 1), (7, 1), (50, 1), (7, 2), (6, 7)])
def test_way_back_is_numpys_with_every_activation(n_in, n_out, n, begin, name, dtype):
    value, derivative = reference.ACTIVATIONS[name]
    W, _, Z_before, D, scratch = matrices(dtype, n_in, n_out, n)
    D_before, G, g = np.full_like(Z_before, np.nan), W + W, np.arange(n_in, dtype=dtype)
    if begin == ZERO:
        G[:], g[:] = np.nan, np.nan
    exact = [a.astype(np.float64) for a in (W, Z_before, D, G, g)]
    there = exact[3:] if begin == RESUMED else (0, 0)
    slope, kept = way_back(name, Z_before)
    back(slope, W, value(Z_before), kept, D, D_before, G, g, scratch, begin)
    errors = exact[0] @ exact[2] * derivative(exact[1])
    assert_sums(G, n + 1, there[0] + value(exact[1]) @ exact[2].T, dtype)
    assert_sums(D_before, n_out, errors, dtype)
    assert_sums(g, n + n_in**2, there[1] + errors.sum(axis=1), dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("width", [*range(1, 20), 33])
def test_gathered_rows_are_numpys_and_padding_is_zero(width, dtype):
    random = np.random.default_rng(width)
    A = random.normal(size=(100, width)).astype(dtype)
    order = random.permutation(100).astype(np.uint32)
    for start, stop in [(0, 1), (3, 3 + LANES), (7, 60), (99, 100), (90, 100)]:
        n = -(-(stop - start) // LANES) * LANES
        T = np.full((width, n), np.nan, dtype)
        gather(A, order, start, stop, T)
        assert_array_equal(T[:, : stop - start], A[order[start:stop]].T)
        assert_array_equal(T[:, stop - start :], 0)


PROCESSORS = {
    "haswell": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
    "generic": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}


THESE = tests_of({"test_products.py": "numpys or begin"})


@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="compiles for another already")
@pytest.mark.begins
@pytest.mark.parametrize("name", PROCESSORS)
def test_products_are_right_when_compiled_for_another_processor(name):
    n_gathered, n_back = 40, (24 + 2) * len(OF_EACH_KIND)
    assert passed(said_by(*THESE, **PROCESSORS[name])) == 4 * len(EDGES) + n_gathered + n_back
