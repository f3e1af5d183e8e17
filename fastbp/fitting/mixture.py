"""Whether networks with encoded columns are worth having beside plain ones, or instead of them, by
rows that neither have been trained on. Pure functions.

They take turns in being better: sharp edges are learnt better with encoded columns, smooth
functions without. What they predict differs more than what two networks of one kind do, so that
both together are often better than either. So it is tried on clean tables, too: energy efficiency
and airfoil noise are, and have 0.83 of the error with both.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from fastbp.fitting import recipe
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: A smaller share is not worth half of the members, which would do more as plain ones: what it
#: gains goes by its square. (Kin40k would have 0.16.) And from which on the plain ones are not.
LEAST, MOST = 0.25, 0.85

#: The part of the plain networks' error that must not be left: for less, a training half as long
#: again is not worth it. And so many times its standard error the gain must be. (With 0.97 and 2,
#: power-plant and airfoil noise had 0.97 and 0.94 of the error of eight plain networks, with these
#: 0.96 and 0.90; five other tables the same.)
BETTER, SURE = 0.985, 1

#: A short trial of the encoded network says first whether it is worth more, by what it leaves of
#: the loss that the plain one's search has found. A network that is to do without the plain one
#: leaves 0.5 to 1.15 times as much where that pays, and hardly more of y's variance; of smooth
#: functions, and noisy ones, it leaves 1.4 to 8 times as much. It may be more of few rows (airfoil
#: noise has 1.1 to 1.5 times as much, and 0.75 of the error), where a pilot is cheap, and more in a
#: mixture.
EXCESS, EXCESS_OF_FEW, EXCESS_IN_MIXTURE = (0.21, 0.005), (0.5, 0.02), 1.0

#: A short trial of encoded columns scaled by what they are worth leaves down to two thirds of what
#: it leaves without. (On 33 tables with sharp edges 0.92 of the test error is left for it, in 1.2
#: times the time; 0.95 to 0.97 of california's.)
LESS_BY_SCALING = 1.5

#: If it leaves less than this part, its pilot need not be compared with the other's, and if more,
#: it gets none. (Of bike sharing 1.2, of power-plant 1.07, of california 0.97 to 1.13, whose pilots
#: leave 1.01, 1.07 and 0.9.)
SURELY_LESS, SURELY_MORE = 0.97, 1.15

#: Then a pilot is to leave at most so many times what the plain one leaves, which is the least of
#: several trials, and so looks better than it is. (Of concrete 0.7 to 1.02, and 0.87 of the test
#: error.)
AS_GOOD = 1.05

#: The part of its hidden units that a network leaves out that sees encoded columns, some 45 of each
#: of the table: it learns noise by heart. The plain one is to leave more than this part of y's
#: variance: it costs networks that learn nearly all. (On validation rows bike sharing has 0.977 of
#: the error, california 0.991, power-plant 0.997, sums of trees 0.99 to 1.01. Few rows it may cost:
#: airfoil noise has 1.05, concrete 1.01, but sums of sines 0.97. Plain networks lose as often as
#: they gain by it.)
DROPOUT, DROPS_FROM = {"adam": 0.03}, 0.06

#: Of fewer rows those held out don't say which network is better: on yacht hydrodynamics 0.5 of the
#: loss there, and 1.3 times the test error, in a mixture 1.1 times.
FEWEST_ROWS = 500

#: Rows from which on one part held out says enough, and how many parts it takes below. (Of one part
#: of a thousand rows the gain on concrete is not sure: 0.96 of the error is left, else 0.90.)
MANY_ROWS, PARTS_OF_FEW = 1000, 3

#: Most columns with all encoded ones, some 45 of a table: there an epoch takes ten times as long as
#: without (of eight columns twice). And most values of all rows: 128 MiB in float32.
MOST_COLUMNS, MOST_VALUES = 1500, 2**25


def is_promising(first, plain, to_learn, n_rows, mixes):
    """Whether encoded columns are worth more than a short trial, by the losses of that and of the
    plain network, and by what there is to learn, of so many rows."""
    if mixes:
        return first <= plain + EXCESS_IN_MIXTURE * plain
    of_plain, of_all = EXCESS_OF_FEW if n_rows <= recipe.FEW_ROWS else EXCESS
    return first <= plain + min(of_plain * plain, of_all * to_learn)


def may_be_scaled(first, plain, to_learn):
    """Whether scaled columns may leave less than the plain network, by what a short trial without
    has left; tables without noise lose by them."""
    return min(first, plain) > recipe.CLEAN * to_learn and first < LESS_BY_SCALING * plain


def worth_a_pilot(first, scaled):
    """Which short trials are: the one with columns as they are, and the one with scaled ones."""
    return scaled > SURELY_LESS * first, scaled < SURELY_MORE * first


def dropout(plain, to_learn, n_rows, solver):
    """The part of its units that an encoded network leaves out, by the loss of the plain one."""
    gains = n_rows > recipe.FEW_ROWS and plain > DROPS_FROM * to_learn
    return DROPOUT.get(solver, 0.0) if gains else 0.0


def n_parts(n_rows):
    """How many parts of the rows are held out in turn, to compare networks on."""
    return 1 if n_rows >= MANY_ROWS else PARTS_OF_FEW


def may_be_tried(n_rows, n_features, n_columns):
    """Whether so many columns, the encoded ones among them, are for a network that nobody asked
    for; where nothing can be encoded, there is nothing to try."""
    return n_features < n_columns <= MOST_COLUMNS and n_rows * n_columns <= MOST_VALUES


def share_of_second(first, second, y, weight, loss, parameter=0.0, *, better=BETTER, sure=SURE):
    """The weight of the second in the mean of two predictions that is best for rows held out.

    That is w in (1 − w) first + w second for which the mean loss is least; for a squared error
    Σ (second − first)(y − first) / Σ (second − first)², between 0 and 1. It becomes 0 where it is
    small, or gains little or perhaps nothing, and 1 where it is large.

    Parameters
    ----------
    first, second, y : ndarrays of shape (n_rows, n_outputs)
        Behind the link, if the loss has one.
    weight : ndarray of shape (n_rows,) or None
        No row is without.
    loss : str
    parameter : float or tuple
        Of the loss, or of the loss for each output.
    better, sure : float
        The part of the first's error that must not be left, and how many of its standard errors the
        gain must be.
    """
    row, first, y = LOSSES[loss], np.float64(first), np.float64(y)
    step = second - first

    weight = np.ones(len(y)) if weight is None else np.float64(weight)
    weight = weight / weight.sum()

    def excess(w):
        """Of each row."""
        return row.excess(first + w * step, y, parameter).sum(axis=1)

    def error(w):
        """In units of y, or in the loss's own."""
        return (weight @ excess(w)) ** (1 / max(row.degree, 1))

    w = minimize_scalar(error, bounds=(0, 1), method="bounded", options={"xatol": 1e-3}).x
    gains = excess(0.0) - excess(w)
    gain = weight @ gains
    deviation = np.sqrt(weight**2 @ (gains - gain) ** 2)
    if w < LEAST or not (error(w) < better * error(0.0) and gain > sure * deviation):
        return 0.0
    return 1.0 if w > MOST else float(w)
