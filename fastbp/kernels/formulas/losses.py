"""Losses of one output: each value L(z, y), and directly below it its slope ∂L/∂z.

z is what the network puts out, which is linear; ŷ is its inverse link: z itself, or e.g. eᶻ. So a
loss with a link changes nothing on the way back. `a` is the loss's parameter, where it has one. A
new loss is a value, a slope and a row in `TABLE`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.kernels.formulas.activations import exp, identity
from fastbp.kernels.machine.compile import by_code, inline, njit, njit_sum
from fastbp.kernels.machine.functions import as_many, one_where_positive


@njit
def squared_error(z, y, a):
    """|ŷ − y|²."""
    error = z - y
    return error * error


@njit
def squared_error_slope(z, y, a):
    """2(ŷ − y)."""
    return type(y)(2) * (z - y)


@njit
def half_squared_error(z, y, a):
    """Half of |ŷ − y|², which is what scikit-learn calls the squared error."""
    error = z - y
    return type(y)(0.5) * error * error


@njit
def half_squared_error_slope(z, y, a):
    """ŷ − y."""
    return z - y


@njit
def poisson(z, y, a):
    """ŷ − y log ŷ, with ŷ = eᶻ: half of the deviance, but for what y alone adds to it."""
    return exp(z) - y * z


@njit
def poisson_slope(z, y, a):
    """ŷ − y."""
    return exp(z) - y


@njit
def quantile(z, y, a):
    """a (y − ŷ) where y is above ŷ, else (1 − a)(ŷ − y) (Koenker & Bassett, 1978)."""
    error = z - y
    return error * (one_where_positive(error) - a)


@njit
def quantile_slope(z, y, a):
    """−a where y is above ŷ, 1 − a where it is below."""
    error = z - y
    zero = as_many(type(y)(0), error)
    above, below = one_where_positive(zero - error), one_where_positive(error)
    return below - a * (above + below)


# --------------------------------------------------------- of the best constant prediction
#
# In NumPy, once for a fit: of y (n, n_outputs), each sample's share w (n,), and the parameter.


def variance(y, w, a):
    """Σ w |y − ȳ|²: its mean is ȳ."""
    return w @ ((y - w @ y) ** 2).sum(axis=1)


def half_variance(y, w, a):
    """Half of it."""
    return variance(y, w, a) / 2


def poisson_of_mean(y, w, a):
    """Its mean is ȳ, too: Σ ȳ − ȳ log ȳ."""
    mean = w @ y
    return np.sum(mean - mean * np.log(np.where(mean > 0, mean, 1.0)))


def quantile_of_quantile(y, w, a):
    """It is that quantile of y."""
    error = np.quantile(y, a, axis=0, weights=w, method="inverted_cdf") - y
    return w @ np.where(error > 0, (1 - a) * error, -a * error).sum(axis=1)


# ------------------------------------------------------------- of predictions, in NumPy
#
# Of ŷ, y (n, n_outputs) and the parameter: what each has more than ŷ = y would have.


def squares(prediction, y, a):
    """(ŷ − y)²."""
    return (prediction - y) ** 2


def half_squares(prediction, y, a):
    """Half of it."""
    return squares(prediction, y, a) / 2


def half_deviance(prediction, y, a):
    """y log(y / ŷ) − y + ŷ."""
    prediction = np.maximum(prediction, np.finfo(float).tiny)
    return y * np.log(np.where(y > 0, y / prediction, 1.0)) - y + prediction


def pinball(prediction, y, a):
    """As `quantile`."""
    error = prediction - y
    return np.where(error > 0, (1 - a) * error, -a * error)


# ------------------------------------------------------------------------- the table


class Link(NamedTuple):
    """How ŷ comes from the network's linear output z."""

    inverse: Callable  # ŷ of z
    out_activation: str  # its name, scikit-learn's
    lowest: float = -np.inf  # of y


class Parameter(NamedTuple):
    """The parameter of a loss: what it is called, and between which bounds it lies."""

    name: str
    default: float
    low: float
    high: float


class Loss(NamedTuple):
    """A row of the table."""

    value: Callable
    slope: Callable
    constant_loss: Callable
    excess: Callable
    link: str = "identity"
    degree: int = 1  # it is as this power of y's unit
    curvature: float = 2.0  # its second derivative by z, at the minimum of a standardised y
    parameter: Parameter | None = None
    #: scikit-learn reports its mean over the outputs, although the gradient is the sum's.
    reported_by_output: bool = False


LINKS = {
    "identity": Link(identity, "identity"),
    "log": Link(exp, "exp", lowest=0.0),
}

TABLE = {
    "squared_error": Loss(squared_error, squared_error_slope, variance, squares, degree=2),
    "half_squared_error": Loss(
        half_squared_error,
        half_squared_error_slope,
        half_variance,
        half_squares,
        degree=2,
        curvature=1.0,
        reported_by_output=True,
    ),
    "poisson": Loss(
        poisson, poisson_slope, poisson_of_mean, half_deviance, link="log", curvature=1.0
    ),
    "quantile": Loss(
        quantile,
        quantile_slope,
        quantile_of_quantile,
        pinball,
        parameter=Parameter("level", 0.5, 0.0, 1.0),
    ),
}

#: The code that kernels know a loss by: its row.
LOSSES = {name: code for code, name in enumerate(TABLE)}


def _of_number(row):
    """(z, y, a): L and ∂L/∂z, of a number or of Numbers."""
    value, slope = row.value, row.slope

    @njit
    def of_number(z, y, a):
        return value(z, y, a), slope(z, y, a)

    return of_number


def _of_tile(row):
    """(a, Z, Y, s, D): D ← s ∂L/∂z at the output; returns Σ s L. Of one loss, so that it is one
    loop of straight code, which vectorises."""
    value, slope = row.value, row.slope

    @njit_sum
    def of_tile(a, Z, Y, s, D):
        total, a = 0.0, Y.dtype.type(a)
        for k in range(Y.shape[0]):
            for i in range(Y.shape[1]):
                D[k, i] = s[i] * slope(Z[k, i], Y[k, i], a)
                total += s[i] * value(Z[k, i], Y[k, i], a)
        return total

    return of_tile


#: (code, z, y, a): L; and L with ∂L/∂z.
loss = by_code([row.value for row in TABLE.values()])
loss_and_slope = by_code([_of_number(row) for row in TABLE.values()])

#: (code, a, Z, Y, s, D): D ← s ∂L/∂z at the output, for arrays of shape (n_outputs, n), and s each
#: sample's share of the batch: 1/n, or its weight over the batch's weight. Returns Σ s L, the part
#: of this tile in the batch's loss.
loss_and_slope_of_tile = by_code([_of_tile(row) for row in TABLE.values()])

#: (code, z): ŷ, by the code of the loss.
mean_of = by_code([LINKS[row.link].inverse for row in TABLE.values()])


@inline
def loss_and_square(kind, a, share, z, y):
    """What an output adds to the loss, and to Σ share (ŷ − y)², of which R² is made.

    Of a number, or of Numbers: all kernels score with this.
    """
    error = mean_of(kind, z) - y
    return share * loss(kind, z, y, a), share * error * error
