"""Standardisation, and its inverse folded into the weights.

Training sees every column with mean 0 and variance 1; users see weights for the units of
their table: with x' = (x − x̄)/sₓ and y' = (y − ȳ)/s_y, both describe the same network.
"""

from typing import NamedTuple

import numpy as np

from fastbp.measuring import MOST_WEIGHT, are_constant, mean_and_deviation, merged, total_weight


class Scaling(NamedTuple):
    """Mean and standard deviation of each column of X and y, float64."""

    X_mean: np.ndarray  # (n_features,)
    X_scale: np.ndarray
    y_mean: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray

    def beside(self, line):
        """That of a network beside a line of so many slopes (n_features, n_outputs), or None.

        Far from 0 the line says much of the mean x. The network, in float32, has to make no good
        for it: it is taken off the mean of y.
        """
        if line is None:
            return self
        return self._replace(y_mean=self.y_mean - self.X_mean[: len(line)] @ line)


class Seen(NamedTuple):
    """What has been seen of each column of X and y, float64: other rows can be added to it."""

    weight: np.ndarray  # (1,): of all rows, each of weight 1 if there are none
    X_mean: np.ndarray  # (n_features,)
    X_deviation: np.ndarray  # standard, and as it is: of a constant, 0 or nearly
    y_mean: np.ndarray  # (n_outputs,)
    y_deviation: np.ndarray
    y_weight: np.ndarray | None = None  # (n_outputs,), of each output, if they differ

    def units(self, link="identity"):
        """The scaling that standardises them.

        Behind a link y is divided by its mean: from 0 on, that is where it is 0.
        """
        # What is subtracted of a constant column, times its weight, is in the first biases of raw
        # units: of a large one, it would be all that is left of them.
        X_scale = _scale(self.X_mean, self.X_deviation, np.maximum(np.abs(self.X_mean), 1.0))
        if link == "identity":
            of_y = self.y_mean, _scale(self.y_mean, self.y_deviation)
        else:
            mean = np.where(self.y_mean > 0, self.y_mean, 1.0)
            of_y = np.zeros_like(mean), mean
        return Scaling(self.X_mean, X_scale, *of_y)

    def distance_to(self, more):
        """How far more rows lie from these, in the larger deviation of either: of each column of X
        and of y. Of a column in which they are all equal, 0."""
        distances = []
        for mean, deviation, of_more, deviation_of_more in (
            (self.X_mean, self.X_deviation, more.X_mean, more.X_deviation),
            (self.y_mean, self.y_deviation, more.y_mean, more.y_deviation),
        ):
            varies = ~are_constant(of_more, deviation_of_more)
            unit = np.where(varies, np.maximum(deviation, deviation_of_more), 1.0)
            with np.errstate(over="ignore", under="ignore"):
                distances.append(np.where(varies, np.abs(of_more - mean) / unit, 0.0))
        return tuple(distances)

    def merged(self, more):
        """With more rows: as if all had been measured at once (Chan, Golub & LeVeque, 1979)."""
        weight = np.minimum(self.weight + more.weight, MOST_WEIGHT)
        part = part_of_y = more.weight / (self.weight + more.weight)
        y_weight = None
        if self.y_weight is not None or more.y_weight is not None:
            before, then = (
                each.weight if each.y_weight is None else each.y_weight for each in (self, more)
            )
            part_of_y = then / (before + then)
            y_weight = np.minimum(before + then, MOST_WEIGHT)
        return Seen(
            weight,
            *merged(self.X_mean, self.X_deviation, more.X_mean, more.X_deviation, part),
            *merged(self.y_mean, self.y_deviation, more.y_mean, more.y_deviation, part_of_y),
            y_weight,
        )


def measure(X, y, weight=None, bounds=None):
    """Scaling that standardises X and y: see `seen_of`."""
    return seen_of(X, y, weight, bounds).units()


def seen_of(X, y, weight=None, bounds=None, y_weight=None):
    """Weight, means and deviations of X and y.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs)
    weight : ndarray of shape (n_samples,), default=None
        A row of weight 2 counts twice, one of weight 0 is not there.
    bounds : Bounds or None
        Between which X counts.
    y_weight : ndarray of shape (n_samples, n_outputs), default=None
        Of each output, where they differ.
    """
    total, of_X = total_weight(X, weight), mean_and_deviation(X, weight, bounds)
    if y_weight is None:
        return Seen(total, *of_X, *mean_and_deviation(y, weight))
    of_y = np.zeros((2, y.shape[1]))
    for k in np.flatnonzero(y_weight.any(axis=0)):
        of_y[:, [k]] = mean_and_deviation(y[:, [k]], y_weight[:, k])
    totals = [total_weight(y, y_weight[:, k])[0] for k in range(y.shape[1])]
    return Seen(total, *of_X, *of_y, np.array(totals))


def checked_seen(seen, n_features, n_outputs):
    """What has been seen in memory of its own; an error, if it is none of so many columns."""
    lengths = [1] + 2 * [n_features] + (2 if seen.y_weight is None else 3) * [n_outputs]
    seen = seen[: len(lengths)]
    shapes = [np.shape(each) for each in seen]
    if shapes != [(n,) for n in lengths]:
        raise ValueError(
            f"Arrays of shapes {shapes} are not what was seen of {n_features} columns and "
            f"{n_outputs} outputs."
        )
    flat = np.concatenate(seen, dtype=np.float64, casting="same_kind")
    own = Seen(*np.split(flat, np.cumsum(lengths)[:-1]))
    deviations = np.concatenate([own.X_deviation, own.y_deviation])
    weights = own.weight if own.y_weight is None else np.append(own.weight, own.y_weight)
    if not (np.isfinite(flat).all() and (weights > 0).all() and (deviations >= 0).all()):
        raise ValueError("What was seen must be finite, its weight above 0, no deviation below.")
    return own


def checked(scaling, n_columns, n_outputs):
    """The scaling as kernels take it, in memory of its own; an error, if it is none of so many."""
    shapes, lengths = [np.shape(each) for each in scaling], 2 * [n_columns] + 2 * [n_outputs]
    if shapes != [(n,) for n in lengths]:
        raise ValueError(
            f"A scaling of shapes {shapes} is none of {n_columns} columns and {n_outputs} outputs."
        )
    flat = np.concatenate(scaling, dtype=np.float64, casting="same_kind")
    of_x, of_y = flat[: 2 * n_columns], flat[2 * n_columns :]
    units = Scaling(of_x[:n_columns], of_x[n_columns:], of_y[:n_outputs], of_y[n_outputs:])
    if not (np.isfinite(flat).all() and (units.X_scale > 0).all() and (units.y_scale > 0).all()):
        raise ValueError("A scaling must be finite, and its scales above 0.")
    return units


def no_scaling(n_features, n_outputs):
    """The scaling that leaves everything as it is."""
    shape = np.ones(n_features), np.ones(n_outputs)
    return Scaling(0 * shape[0], shape[0], 0 * shape[1], shape[1])


def mean_and_scale(A, weight=None, bounds=None):
    """Mean of each column and what it is divided by."""
    mean, deviation = mean_and_deviation(A, weight, bounds)
    return mean, _scale(mean, deviation)


def _scale(mean, deviation, of_constant=1.0):
    """What a column is divided by: a constant one is centred, not scaled."""
    return np.where(are_constant(mean, deviation), of_constant, deviation)


def to_raw_units(coefs, intercepts, scaling, link="identity"):
    """Weights for standardised X and y → weights for raw X and y, in float64.

    Without a scaling these are the same. Behind a logarithm y is only divided by a number, whose
    logarithm the output's bias then has to add.
    """
    if scaling is None:
        return coefs, intercepts
    coefs = [W.astype(np.float64) for W in coefs]
    intercepts = [b.astype(np.float64) for b in intercepts]
    coefs[0] /= scaling.X_scale[:, None]
    intercepts[0] -= scaling.X_mean @ coefs[0]
    if link == "log":
        intercepts[-1] = intercepts[-1] + np.log(scaling.y_scale)
    else:
        coefs[-1] *= scaling.y_scale
        intercepts[-1] = intercepts[-1] * scaling.y_scale + scaling.y_mean
    return coefs, intercepts


def to_standard_units(coefs, intercepts, scaling, link="identity"):
    """The inverse of `to_raw_units`."""
    if scaling is None:
        return coefs, intercepts
    # Only the outermost layers change, and nobody's own arrays.
    coefs, intercepts = list(coefs), list(intercepts)
    if link == "log":
        intercepts[-1] = intercepts[-1] - np.log(scaling.y_scale)
    else:
        coefs[-1] = coefs[-1] / scaling.y_scale
        intercepts[-1] = (intercepts[-1] - scaling.y_mean) / scaling.y_scale
    intercepts[0] = intercepts[0] + scaling.X_mean @ coefs[0]
    coefs[0] = coefs[0] * scaling.X_scale[:, None]
    return coefs, intercepts
