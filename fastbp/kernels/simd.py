"""Products of the network's matrices, laid out for the lanes of a vector.

O, D, E, Z are (units, n), C-contiguous. The samples lie in the lanes: whatever the width of
a layer, no lane is wasted. A single sample (n = 1, online training) has none to share, and
the units of the longer side take their place.
"""

from fastbp.kernels.compile import njit, njit_sum
from fastbp.kernels.views import vector

#: Tiles are padded with samples of weight 0 to a multiple of this, so that no loop over
#: samples has a remainder: one vector of float32, two of float64 with AVX-512.
LANES = 16


@njit
def affine(W, b, O, Z):
    """Z ← Wᵀ O + b."""
    if Z.shape[1] == 1:
        o, z = vector(O, 0, O.size), vector(Z, 0, Z.size)
        for k in range(z.size):
            z[k] = b[k]
        for j in range(o.size):
            for k in range(z.size):
                z[k] += W[j, k] * o[j]
        return
    for k in range(Z.shape[0]):
        for i in range(Z.shape[1]):
            Z[k, i] = b[k]
        for j in range(O.shape[0]):
            w = W[j, k]
            for i in range(Z.shape[1]):
                Z[k, i] += w * O[j, i]


@njit_sum
def product(W, D, E):
    """E ← W D."""
    if D.shape[1] == 1:
        d, e = vector(D, 0, D.size), vector(E, 0, E.size)
        for j in range(e.size):
            total = type(d[0])(0)
            for k in range(d.size):
                total += W[j, k] * d[k]
            e[j] = total
        return
    for j in range(E.shape[0]):
        for i in range(E.shape[1]):
            E[j, i] = 0
        for k in range(D.shape[0]):
            w = W[j, k]
            for i in range(E.shape[1]):
                E[j, i] += w * D[k, i]


@njit_sum
def add_outer(O, D, G):
    """G ← G + O Dᵀ."""
    if D.shape[1] == 1:
        o, d = vector(O, 0, O.size), vector(D, 0, D.size)
        for j in range(o.size):
            for k in range(d.size):
                G[j, k] += o[j] * d[k]
        return
    for j in range(O.shape[0]):
        for k in range(D.shape[0]):
            total = G[j, k]
            for i in range(O.shape[1]):
                total += O[j, i] * D[k, i]
            G[j, k] = total


@njit_sum
def add_sums(D, g):
    """g ← g + Σ over the samples of D."""
    for k in range(D.shape[0]):
        total = g[k]
        for i in range(D.shape[1]):
            total += D[k, i]
        g[k] = total
