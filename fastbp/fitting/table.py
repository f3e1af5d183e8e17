"""A table that is trained on or scored, before anything is made of it."""

from typing import NamedTuple

import numpy as np

from fastbp import converting, encodings, entries


class Table(NamedTuple):
    """Validated samples, in raw units."""

    X: np.ndarray  # or a sparse matrix
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    output_weight: np.ndarray | None = None  # as y, whose mean that is, or None
    is_checked: bool = True  # else who is to train sees to it that all are numbers

    def rows(self, chosen):
        """Some of them."""
        weights = (None if weight is None else weight[chosen] for weight in self[2:4])
        return Table(self.X[chosen], self.y[chosen], *weights)

    @property
    def weights(self):
        """Those that are trained with."""
        return self.sample_weight if self.output_weight is None else self.output_weight

    @property
    def is_by_entries(self):
        """Whether nothing else of X is looked at, unless it is encoded."""
        return entries.are_worth_it(self.X)

    def converted(self, dtype, units, bounds=None, encoding=None, *, by_entries=False):
        """X, encoded or by its entries if asked, y and weights as the kernels take them."""
        X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
        if by_entries:
            X = converting.entries_of(self.X, dtype, X_mean, X_scale)
        elif encoding is None:
            X = converting.converted(self.X, dtype, X_mean, X_scale, bounds)
        else:
            X = encodings.converted(self.X, dtype, encoding, units, bounds)
        return X, converting.converted(self.y, dtype, y_mean, y_scale), self.weights


def precision_of(y):
    """What predictions need to say of such a y: integers that float32 holds need no more."""
    if y.dtype.kind == "f":
        return np.dtype(np.float32 if y.itemsize <= 4 else np.float64)
    largest = max(abs(int(y.min())), abs(int(y.max())))
    return np.dtype(np.float32 if largest <= 2**24 else np.float64)
