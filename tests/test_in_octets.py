"""Layers in octets: what is spread comes back, and the kernel and NumPy lay it out alike."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastbp.kernels.formulas.network import n_parameters, network
from fastbp.kernels.machine.compile import from_python
from fastbp.kernels.training import in_octets, surrogate

SHAPES = [(2, 2, 1), (1, 8, 8), (3, 9, 1), (17, 8, 16, 2), (5, 1, 23, 7)]


@pytest.mark.parametrize("widths", SHAPES, ids=str)
def test_what_is_spread_in_octets_is_laid_out_alike_everywhere_and_collected_again(widths):
    net = network(widths, ["tanh"] * (len(widths) - 2))
    theta = 1.0 + np.arange(n_parameters(net))
    n_rows = from_python(in_octets.rows_of)(net, max(widths) > 8)
    wide, again = np.full(8 * n_rows, np.nan), np.full(theta.size, np.nan)
    from_python(in_octets.spread)(net, theta, wide)
    assert_array_equal(wide, surrogate.spread(net, theta))
    assert np.count_nonzero(wide) == theta.size
    from_python(in_octets.collect)(net, wide, again)
    assert_array_equal(again, theta)
