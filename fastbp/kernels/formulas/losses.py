"""Losses of one output: each value L(z, y), and directly below it its slope ∂L/∂z.

z is what the network puts out, which is linear; ŷ is its inverse link: z itself, or e.g. eᶻ. So a
loss with a link changes nothing on the way back. `a` is the loss's parameter for this output, where
it has one. A new loss is a value, a slope and a row in `TABLE`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.kernels.formulas.activations import identity, identity_derivative
from fastbp.kernels.formulas.elementary import exp
from fastbp.kernels.machine.calls import by_code
from fastbp.kernels.machine.compile import inline, njit, njit_sum
from fastbp.kernels.machine.functions import absolute, as_many, clamped, one_where_positive


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
def absolute_error(z, y, a):
    """|ŷ − y|."""
    return absolute(z - y)


@njit
def absolute_error_slope(z, y, a):
    """1 where ŷ is above y, −1 where it is below, 0 where it is y."""
    return one_where_positive(z - y) - one_where_positive(y - z)


@njit
def huber(z, y, a):
    """½ (ŷ − y)² as far as a, and farther out the straight line that goes on from there (Huber,
    1964)."""
    error = z - y
    inner = clamped(error, -a, a)
    return inner * (error - type(y)(0.5) * inner)


@njit
def huber_slope(z, y, a):
    """ŷ − y, but no farther than ±a."""
    return clamped(z - y, -a, a)


@njit
def poisson(z, y, a):
    """ŷ − y log ŷ, with ŷ = eᶻ: half of the deviance, but for what y alone adds to it."""
    return exp(z) - y * z


@njit
def poisson_slope(z, y, a):
    """ŷ − y."""
    return exp(z) - y


@njit
def gamma(z, y, a):
    """log ŷ + y / ŷ, with ŷ = eᶻ: half of the deviance, but for what y alone adds to it."""
    return z + y * exp(-z)


@njit
def gamma_slope(z, y, a):
    """1 − y / ŷ."""
    return as_many(type(y)(1), z) - y * exp(-z)


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
# In NumPy, once for a fit: of y (n, n_outputs), each sample's share w (n,), and the parameter, one
# or that of each output.


def of_outputs(function, y, w, *a):
    """Such a function for shares (n,), or for those of each output: (n, n_outputs), of sum
    n_outputs."""
    if w.ndim == 1:
        return function(y, w, *a)
    parts = w.sum(axis=0)
    there = np.flatnonzero(parts)
    return sum(parts[k] * function(y[:, [k]], w[:, k] / parts[k], *a) for k in there)


def variance(y, w, a):
    """Σ w |y − ȳ|²: its mean is ȳ."""
    return w @ ((y - w @ y) ** 2).sum(axis=1)


def half_variance(y, w, a):
    """Half of it."""
    return variance(y, w, a) / 2


def about_the_median(y, w, a):
    """Σ w |y − median|, which is twice that of the quantile of one half."""
    return 2 * quantile_of_quantile(y, w, 0.5)


def huber_of_location(y, w, a):
    """Its m has Σ w clip(y − m, ±a) = 0, which falls with m: found by halving."""
    low, high = y.min(axis=0), y.max(axis=0)
    for _ in range(60):
        middle = (low + high) / 2
        is_below = w @ np.clip(y - middle, -a, a) > 0
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return w @ clamped_squares(low, y, a).sum(axis=1)


def poisson_of_mean(y, w, a):
    """Its mean is ȳ, too: Σ ȳ − ȳ log ȳ."""
    mean = w @ y
    return np.sum(mean - mean * np.log(np.where(mean > 0, mean, 1.0)))


def poisson_of_itself(y, w):
    """Σ w (y − y log y): no prediction costs less."""
    return w @ np.sum(y - y * np.log(np.where(y > 0, y, 1.0)), axis=1)


def gamma_of_mean(y, w, a):
    """Its mean is ȳ, too: Σ log ȳ + 1."""
    return np.sum(np.log(w @ y) + 1)


def gamma_of_itself(y, w):
    """Σ w (log y + 1): no prediction costs less."""
    return w @ np.sum(np.log(np.maximum(y, np.finfo(float).tiny)) + 1, axis=1)


def quantile_of_quantile(y, w, a):
    """It is that quantile of y."""
    a = np.broadcast_to(a, y.shape[1])
    pairs = zip(y.T, a, strict=True)
    best = [np.quantile(y_k, a_k, weights=w, method="inverted_cdf") for y_k, a_k in pairs]
    return w @ pinball(np.array(best), y, a).sum(axis=1)


def nothing(y, w):
    """A prediction of y itself costs nothing."""
    return 0.0


# ------------------------------------------------------------- of predictions, in NumPy
#
# Of ŷ, y (n, n_outputs) and the parameter, as above: what each has more than ŷ = y would have.


def squares(prediction, y, a):
    """(ŷ − y)²."""
    return (prediction - y) ** 2


def half_squares(prediction, y, a):
    """Half of it."""
    return squares(prediction, y, a) / 2


def distances(prediction, y, a):
    """|ŷ − y|."""
    return np.abs(prediction - y)


def clamped_squares(prediction, y, a):
    """As `huber`."""
    error = prediction - y
    inner = np.clip(error, -a, a)
    return inner * (error - inner / 2)


def half_deviance(prediction, y, a):
    """y log(y / ŷ) − y + ŷ."""
    prediction = np.maximum(prediction, np.finfo(float).tiny)
    return y * np.log(np.where(y > 0, y / prediction, 1.0)) - y + prediction


def half_gamma_deviance(prediction, y, a):
    """y / ŷ − 1 − log(y / ŷ)."""
    ratio = y / np.maximum(prediction, np.finfo(float).tiny)
    return ratio - 1 - np.log(ratio)


def pinball(prediction, y, a):
    """As `quantile`."""
    error, a = prediction - y, np.asarray(a)
    return np.where(error > 0, (1 - a) * error, -a * error)


# ------------------------------------------------------------------------- the table


class Link(NamedTuple):
    """How ŷ comes from the network's linear output z."""

    inverse: Callable  # ŷ of z
    out_activation: str  # its name, scikit-learn's
    slope: Callable  # ∂ŷ/∂z, of ŷ
    lowest: float = -np.inf  # of ŷ and y


class Parameter(NamedTuple):
    """The parameter of a loss: what it is called, and between which bounds it lies."""

    name: str
    default: float
    low: float
    high: float
    degree: int = 0  # it is as this power of y's unit
    by_output: bool = False  # there may be several, each of which makes an output of the same y


class Loss(NamedTuple):
    """A row of the table."""

    value: Callable
    slope: Callable
    constant_loss: Callable
    excess: Callable
    perfect_loss: Callable = nothing  # of y itself
    link: str = "identity"
    above: float = -np.inf  # y must be
    degree: int = 1  # it is as this power of y's unit
    curvature: float = 2.0  # its second derivative by z, at the minimum of a standardised y
    parameter: Parameter | None = None
    #: scikit-learn reports its mean over the outputs, although the gradient is the sum's.
    reported_by_output: bool = False
    is_r2s: bool = False  # R² judges it: held-out rows are scored by that, as scikit-learn does


LINKS = {
    "identity": Link(identity, "identity", identity_derivative),
    "log": Link(exp, "exp", identity, lowest=0.0),
}

TABLE = {
    "squared_error": Loss(
        squared_error, squared_error_slope, variance, squares, degree=2, is_r2s=True
    ),
    "half_squared_error": Loss(
        half_squared_error, half_squared_error_slope, half_variance, half_squares,
        degree=2, curvature=1.0, reported_by_output=True, is_r2s=True,
    ),
    "absolute_error": Loss(absolute_error, absolute_error_slope, about_the_median, distances),
    "huber": Loss(
        huber, huber_slope, huber_of_location, clamped_squares, degree=2, curvature=1.0,
        parameter=Parameter("delta", 1.0, 0.0, np.inf, degree=1),
    ),
    "poisson": Loss(
        poisson, poisson_slope, poisson_of_mean, half_deviance,
        perfect_loss=poisson_of_itself, link="log", curvature=1.0,
    ),
    "gamma": Loss(
        gamma, gamma_slope, gamma_of_mean, half_gamma_deviance,
        perfect_loss=gamma_of_itself, link="log", above=0.0, degree=0, curvature=1.0,
    ),
    "quantile": Loss(
        quantile, quantile_slope, quantile_of_quantile, pinball,
        parameter=Parameter("level", 0.5, 0.0, 1.0, by_output=True),
    ),
}  # fmt: skip

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
    loop of straight code, which vectorises. a has a number for each output."""
    value, slope = row.value, row.slope

    @njit_sum
    def of_tile(a, Z, Y, s, D):
        total = 0.0
        for k in range(Y.shape[0]):
            a_k = a[k]
            for i in range(Y.shape[1]):
                D[k, i] = s[i] * slope(Z[k, i], Y[k, i], a_k)
                total += s[i] * value(Z[k, i], Y[k, i], a_k)
        return total

    return of_tile


#: (code, z, y, a): L; and L with ∂L/∂z.
loss = by_code([row.value for row in TABLE.values()])
loss_and_slope = by_code([_of_number(row) for row in TABLE.values()])

#: (code, a, Z, Y, s, D): D ← s ∂L/∂z at the output, for arrays of shape (n_outputs, n), and s each
#: sample's share of the batch: 1/n, or its weight over the batch's weight. Returns Σ s L, the part
#: of this tile in the batch's loss.
loss_and_slope_of_tile = by_code([_of_tile(row) for row in TABLE.values()])


@njit
def loss_and_slope_by_output(kind, a, Z, Y, D):
    """As above, for weights of each output: D holds the shares s of all, and then s ∂L/∂z."""
    total = 0.0
    for k in range(Y.shape[0]):
        for i in range(Y.shape[1]):
            cost, slope = loss_and_slope(kind, Z[k, i], Y[k, i], a[k])
            total += D[k, i] * cost
            D[k, i] *= slope
    return total


#: (code, z): ŷ, by the code of the loss.
mean_of = by_code([LINKS[row.link].inverse for row in TABLE.values()])

#: (code, ŷ): ∂ŷ/∂z, by the code of the loss.
slope_of_mean = by_code([LINKS[row.link].slope for row in TABLE.values()])


@inline
def loss_and_square(kind, a, share, z, y):
    """What an output adds to the loss, and to Σ share (ŷ − y)², of which R² is made.

    Of a number, or of Numbers: all kernels score with this.
    """
    error = mean_of(kind, z) - y
    return share * loss(kind, z, y, a), share * error * error
