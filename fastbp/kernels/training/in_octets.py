"""Layers in octets, eight numbers each, of which the last is filled up with zeros.

A network none of whose layers has more than eight units is all of single octets, which the kernels
then know when they are compiled. θ goes octet by octet of each layer: of each the rows of W, and
below them b.
"""

from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.views import least


@inline
def is_wide(net):
    """Whether any layer has more units than an octet has lanes."""
    wide = False
    for l in range(net.size):
        wide = wide or net[l].width > 8
    return wide


@inline
def octets_of(width, wide):
    """Octets of a layer of so many units."""
    return (width + 7) // 8 if wide else 1


@inline
def rows_of(net, wide):
    """Octets of θ."""
    n_rows = 0
    for l in range(1, net.size):
        n_rows += (net[l - 1].width + 1) * octets_of(net[l].width, wide)
    return n_rows


@inline
def units_of(net, wide):
    """Octets of o."""
    n_units = 0
    for l in range(net.size):
        n_units += octets_of(net[l].width, wide)
    return n_units


@njit
def put_in_octets(numbers, lanes):
    """lanes ← numbers, and zeros behind them."""
    for i in range(lanes.size):
        lanes[i] = numbers[i] if i < numbers.size else 0


@njit
def number_lanes(lanes):
    """1 in lane j of octet j, else 0."""
    for i in range(lanes.size):
        lanes[i] = 1 if i // 8 == i % 8 else 0


@njit
def spread(net, theta, wide):
    """wide ← θ, in octets."""
    at, to = 0, 0
    for l in range(1, net.size):
        n_rows, n_out = net[l - 1].width + 1, net[l].width
        for u in range(0, n_out, 8):
            for j in range(n_rows):
                for k in range(u, u + 8):
                    wide[to] = theta[at + j * n_out + k] if k < n_out else 0
                    to += 1
        at += n_rows * n_out


@njit
def collect(net, wide, theta):
    """θ ← wide."""
    at, to = 0, 0
    for l in range(1, net.size):
        n_rows, n_out = net[l - 1].width + 1, net[l].width
        for u in range(0, n_out, 8):
            for j in range(n_rows):
                for k in range(u, least(u + 8, n_out)):
                    theta[at + j * n_out + k] = wide[to + k - u]
                to += 8
        at += n_rows * n_out
