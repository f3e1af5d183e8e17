"""θ ↔ coefs_, intercepts_, and the first weights."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastbp.kernels.formulas.network import n_parameters, network
from fastbp.parameters import initialize, pack, unpack

WIDTHS = [[2, 1], [2, 2, 1], [8, 50, 1], [3, 1, 4, 2]]


def net_of(widths, activation="tanh"):
    return network(widths, [activation] * (len(widths) - 2))


@pytest.mark.parametrize("widths", WIDTHS)
def test_unpack_undoes_pack(widths):
    net = net_of(widths)
    theta = np.arange(n_parameters(net), dtype=float)
    coefs, intercepts = unpack(theta, net)
    assert [W.shape for W in coefs] == list(itertools.pairwise(widths))
    assert [b.size for b in intercepts] == widths[1:]
    assert_array_equal(pack(coefs, intercepts, np.float64), theta)


@pytest.mark.parametrize("widths", WIDTHS)
def test_every_parameter_has_one_place(widths):
    net = net_of(widths)
    expected = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(widths))
    assert n_parameters(net) == expected
    coefs, intercepts = unpack(np.arange(expected), net)
    places = np.concatenate([a.ravel() for a in (*coefs, *intercepts)])
    assert_array_equal(np.sort(places), np.arange(expected))


def test_what_unpack_gives_are_views():
    net = net_of([2, 3, 1])
    theta = np.zeros(n_parameters(net))
    coefs, intercepts = unpack(theta, net)
    coefs[0][:], intercepts[1][:] = 1, 2
    assert theta.sum() == 6 + 2


def test_pack_takes_any_layout():
    W, b = np.arange(6.0).reshape(2, 3), np.zeros(3)
    assert_array_equal(pack([np.asfortranarray(W)], [b], np.float32), [*range(6), 0, 0, 0])


@pytest.mark.parametrize(("activation", "factor"), [("logistic", 2), ("tanh", 6), ("relu", 6)])
def test_first_weights_are_glorots(activation, factor):
    net = net_of([40, 60, 20], activation)
    theta = initialize(net, [activation], np.random.RandomState(0))
    coefs, intercepts = unpack(theta, net)
    for W, b in zip(coefs, intercepts, strict=True):
        bound = np.sqrt(factor / sum(W.shape))
        assert 0.95 * bound < np.abs(W).max() <= bound
        assert np.abs(b).max() <= bound
        assert abs(W.mean()) < 0.1 * bound


def test_the_activation_before_a_layer_does_not_bound_the_others():
    net = network([40, 60, 20, 1], ["relu", "logistic"])
    coefs, _ = unpack(initialize(net, ["relu", "logistic"], np.random.RandomState(0)), net)
    assert np.abs(coefs[0]).max() > np.sqrt(2 / 100)
    assert np.abs(coefs[1]).max() <= np.sqrt(2 / 80)
