"""Losses of one output: each value L(ŷ, y), and directly below it its slope dL/dŷ.

A new loss is a code, a row in `LOSSES`, a value and a slope.
"""

from fastbp.kernels.machine.compile import njit, njit_sum

SQUARED_ERROR, HALF_SQUARED_ERROR = range(2)

LOSSES = {
    "squared_error": SQUARED_ERROR,
    "half_squared_error": HALF_SQUARED_ERROR,
}


@njit_sum
def loss_and_slope(kind, prediction, Y, s, D):
    """D ← s ∂L/∂ŷ at the output; returns Σ s L, the part of this tile in the batch's loss.

    Parameters
    ----------
    prediction, Y, D : arrays of shape (n_outputs, n)
    s : array of shape (n,)
        Each sample's share of the batch: 1/n, or its weight over the batch's weight.
    """
    total = 0.0
    for k in range(Y.shape[0]):
        for i in range(Y.shape[1]):
            D[k, i] = s[i] * slope(kind, prediction[k, i], Y[k, i])
            total += s[i] * loss(kind, prediction[k, i], Y[k, i])
    return total


@njit
def loss(kind, prediction, y):
    """|ŷ − y|², or half of it."""
    error = prediction - y
    return error * error if kind == SQUARED_ERROR else type(y)(0.5) * error * error


@njit
def slope(kind, prediction, y):
    """2(ŷ − y), or half of it."""
    error = prediction - y
    return type(y)(2) * error if kind == SQUARED_ERROR else error
