"""A table that is trained on or scored, before anything is made of it."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import converting, encodings, entries
from fastbp.measuring import slices


class Table(NamedTuple):
    """Validated samples, in raw units."""

    X: np.ndarray  # or a sparse matrix
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    output_weight: np.ndarray | None = None  # as y, whose mean that is, or None
    is_checked: bool = True  # else who is to train sees to it that all are numbers
    linear: np.ndarray | None = None  # what is taken off y, for each x, before it is trained on

    def rows(self, chosen):
        """Some of them."""
        weights = (None if weight is None else weight[chosen] for weight in self[2:4])
        return Table(self.X[chosen], self.y[chosen], *weights, linear=self.linear)

    @property
    def weights(self):
        """Those that are trained with."""
        return self.sample_weight if self.output_weight is None else self.output_weight

    def within_use(self, *, with_X=True):
        """With values that have no weight drawn in to the range of those that have some.

        Fill values, of 10³⁷ for example, have infinite losses, and 0 times infinity is no number.
        """
        X, y, weight, by_output = self[:4]
        if weight is None:
            return self
        if with_X:
            X = (stored_drawn_in if sparse.issparse(X) else drawn_in)(X, weight > 0)
        if by_output is None:
            return self._replace(X=X, y=drawn_in(y, weight > 0))
        columns = [y[:, k : k + 1] for k in range(y.shape[1])]
        within = [drawn_in(*each) for each in zip(columns, by_output.T > 0, strict=True)]
        if any(one is not other for one, other in zip(columns, within, strict=True)):
            y = np.hstack(within)
        return self._replace(X=X, y=y)

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
        return X, converting.converted(self.y_left, dtype, y_mean, y_scale), self.weights

    def left(self):
        """The same with what the linear part leaves of y, once and for all."""
        return self._replace(y=self.y_left, linear=None)

    def whole_y(self, dtype, units):
        """y in the units of training, with what the linear part says of it; None if it has none.

        In those of all of y: where a line says much of the mean x, the network's are far from it.
        """
        if self.linear is None:
            return None
        y_mean, y_scale = units.beside(-self.linear)[2:] if units else (None, None)
        return converting.converted(self.y, dtype, y_mean, y_scale)

    @property
    def y_left(self):
        """y without what the linear part says of it."""
        if self.linear is None:
            return self.y
        y = np.empty(self.y.shape)
        for some in slices(len(y)):
            y[some] = self.y[some] - self.X[some] @ self.linear
        return y


def precision_of(y):
    """What predictions need to say of such a y: integers that float32 holds need no more."""
    if y.dtype.kind == "f":
        return np.dtype(np.float32 if y.itemsize <= 4 else np.float64)
    largest = max(abs(int(y.min())), abs(int(y.max())))
    return np.dtype(np.float32 if largest <= 2**24 else np.float64)


def drawn_in(A, used):
    """Rows, those that are not in use drawn in to the range of the others: a copy, if need be."""
    if used.all() or not used.any():
        return A
    there, rest = A[used], A[~used]
    low, high = there.min(axis=0), there.max(axis=0)
    if ((low <= rest) & (rest <= high)).all():
        return A
    A = A.copy()
    A[~used] = np.clip(rest, low, high)
    return A


def stored_drawn_in(A, used):
    """As `drawn_in`, of what is stored of a CSR matrix."""
    if used.all() or not used.any():
        return A
    of_rest, there = np.repeat(~used, np.diff(A.indptr)), A[np.flatnonzero(used)]
    low, high = (end(axis=0).toarray().ravel() for end in (there.min, there.max))
    rest, columns = A.data[of_rest], A.indices[of_rest]
    within = np.clip(rest, low[columns], high[columns])
    if (within == rest).all():
        return A
    A = A.copy()
    A.data[of_rest] = within
    return A
