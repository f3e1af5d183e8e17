"""Numbers too small to be normal are zeros while kernels train, and nowhere else."""

import numpy as np
import pytest
from founding import founding

from fastbp.kernels.machine.compile import from_python, njit
from fastbp.kernels.machine.subnormals import IS_X86, flush_subnormals, restore
from fastbp.kernels.machine.vectors import INTERPRETED

SMALL = np.array([1e-30, 1e-40], np.float32)


@njit
def products(small, factor, out):
    before = flush_subnormals()
    for i in range(small.size):
        out[i] = small[i] * factor
    restore(before)


@pytest.mark.skipif(INTERPRETED or not IS_X86, reason="elsewhere nothing is changed")
@pytest.mark.parametrize(("factor", "first"), [(1e-9, 0), (1.0, 1e-30), (1e5, 1e-25)])
def test_results_and_operands_are_zero_in_between(factor, first):
    out = np.ones(2, np.float32)
    from_python(products)(SMALL, np.float32(factor), out)
    np.testing.assert_allclose(out, [first, 0], rtol=1e-6, atol=0)


def test_a_fit_leaves_numpy_as_it_was(table):
    founding((9, 5), max_iter=2, n_iter_no_change=np.inf, n_threads=2).fit(*table)
    assert (SMALL * np.float32(0.5) > 0).all()
