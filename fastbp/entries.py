"""Sparse tables, of which only what is stored is ever looked at."""

from itertools import pairwise

import numpy as np
from scipy import sparse

from fastbp.kernels.training.records import Rows

#: A table of so few values, or of which more than this part is stored, is trained on as a dense
#: one: that is faster, and takes little memory, or little more than it has.
FEW_VALUES, DENSE = 2**22, 0.25

#: So few columns are predicted from as dense ones.
FEW_COLUMNS = 64

#: Entries looked at in one go.
ENTRIES_AT_A_TIME = 2**18

#: Columns that are 0 less often are centred entry by entry, and so is what a column is that has a
#: mean of more than so many standard deviations: of numbers that are much larger than their
#: differences, rounding would leave nothing. (Less than a half of such a column is 0, so that no
#: table grows to more than three times its entries.)
OFTEN, FAR = 0.5, 1.0


def are_worth_it(A):
    """Whether a table is trained on by its entries."""
    if not sparse.issparse(A):
        return False
    values = A.shape[0] * A.shape[1]
    return values > FEW_VALUES and A.nnz < DENSE * values


def without_duplicates(A):
    """A CSR matrix whose entries are each another place's; the same one, if they are already."""
    view = sparse.csr_array((A.data, A.indices, A.indptr), A.shape)
    if view.has_canonical_format:
        return A
    A = A.copy()
    A.sum_duplicates()
    return A


class Entries:
    """A sparse table as it is trained on: what is stored of its rows, and the centre, which is
    taken off each row.

    Parameters
    ----------
    rows : Rows
        As kernels take them.
    n_columns : int
    """

    __array_ufunc__ = None

    def __init__(self, rows, n_columns):
        for array in rows:
            array.flags.writeable = False
        self.rows, self.shape = rows, (rows.indptr.size - 1, n_columns)

    @property
    def dtype(self):
        return self.rows.data.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, chosen):
        """Some of the rows."""
        data, indices, indptr, centre = self.rows
        first = np.arange(len(self))[chosen]
        first, lengths = indptr[first], np.diff(indptr)[first]
        begin = np.concatenate([[0], np.cumsum(lengths)])
        at = np.arange(begin[-1]) + np.repeat(first - begin[:-1], lengths)
        return Entries(Rows(data[at], indices[at], begin, centre), self.shape[1])

    def astype(self, dtype):
        """In another precision."""
        data, indices, indptr, centre = self.rows
        rows = Rows(data.astype(dtype), indices, indptr, centre.astype(dtype))
        return Entries(rows, self.shape[1])

    def times(self, scale):
        """With its columns multiplied by numbers."""
        data, indices, indptr, centre = self.rows
        scale = scale.astype(self.dtype)
        centre = centre * scale if centre.size else centre
        return Entries(Rows(data * scale[indices], indices, indptr, centre), self.shape[1])

    def stored(self):
        """What is stored, the centre not taken off, for SciPy to multiply."""
        data, indices, indptr, _ = self.rows
        return sparse.csr_array((data, indices, indptr), self.shape)

    def centre(self):
        """What is taken off, if only zeros."""
        return self.rows.centre if self.rows.centre.size else np.zeros(self.shape[1], self.dtype)

    def toarray(self):
        """The dense table."""
        return self.stored().toarray() - self.centre()

    def columns(self, chosen):
        """Some of the columns, dense."""
        return self.stored()[:, chosen].toarray() - self.centre()[chosen]

    def __matmul__(self, W):
        return self.stored() @ W - self.centre() @ W

    def products_of_rows(self):
        """Those of all rows with one another."""
        A, c = self.stored(), self.centre()
        away = A @ c
        return (A @ A.T).toarray() - away - away[:, None] + c @ c

    def mean(self, axis):
        """Of each column: `axis` is 0."""
        sums = np.bincount(self.rows.indices, self.rows.data, self.shape[1])
        return sums / len(self) - self.centre()

    def that_vary(self):
        """Of each column whether not all rows have the same in it."""
        data, indices, _, _ = self.rows
        low, high = np.zeros((2, self.shape[1]), self.dtype)
        full = np.bincount(indices, minlength=self.shape[1]) == len(self)
        low[full], high[full] = np.inf, -np.inf
        np.minimum.at(low, indices, data)
        np.maximum.at(high, indices, data)
        return low < high


def entries_of(A, dtype, mean=None, scale=None):
    """The entries of a CSR matrix without duplicates, standardised if asked; those that dtype
    doesn't hold are infinite.

    Standardised, x becomes x/s, and x̄/s is the centre. Of columns that are to be centred entry by
    entry, see `OFTEN`, each row has one, (x − x̄)/s, and the centre is 0.
    """
    A = sparse.csr_array(A)
    n, n_columns = A.shape
    indices, indptr = _plain(A.indices, np.int32), _plain(A.indptr, np.int64)
    if mean is None:
        return Entries(Rows(_plain(A.data, dtype), indices, indptr, np.empty(0, dtype)), n_columns)
    centre = mean / scale
    stored = np.bincount(indices, minlength=n_columns)
    whole = (np.abs(centre) > FAR) | ((stored > OFTEN * n) & (mean != 0))
    data = np.empty(A.nnz, dtype)
    for some in _slices(A.nnz):
        data[some] = A.data[some] / scale[indices[some]]
    if whole.any():
        columns = np.flatnonzero(whole)
        data, indices, indptr = _with_whole(A, (mean, scale), columns, data, indices, indptr)
        centre[columns] = 0
    return Entries(Rows(data, indices, indptr, centre.astype(dtype)), n_columns)


def _plain(A, dtype):
    """A vector as kernels take it: a view, if it is one already."""
    A = np.ascontiguousarray(A, dtype)
    return A.view() if A.flags.aligned else A.copy()


def _with_whole(A, units, columns, data, indices, indptr):
    """Data, indices and where rows begin, with these columns whole and centred, before the others
    of a row."""
    (n, n_columns), (mean, scale) = A.shape, units
    is_whole = np.zeros(n_columns, bool)
    is_whole[columns] = True
    rest = ~is_whole[indices]
    # How many of the rest come before a place.
    before = np.concatenate([[0], np.cumsum(rest)])[indptr]
    begin = before + len(columns) * np.arange(n + 1)
    places = begin[:-1, None] + np.arange(len(columns))
    own = np.ones(begin[-1], bool)
    own[places] = False
    out, of = np.empty(begin[-1], data.dtype), np.empty(begin[-1], indices.dtype)
    out[own], of[own], of[places] = data[rest], indices[rest], columns
    at_a_time = max(1, ENTRIES_AT_A_TIME // len(columns))
    for start in range(0, n, at_a_time):
        some = slice(start, start + at_a_time)
        out[places[some]] = (A[some][:, columns].toarray() - mean[columns]) / scale[columns]
    return out, of, begin


def mean_and_squares(A, weight, smallest):
    """Of the columns of a CSR matrix without duplicates, for `measuring.mean_and_deviation`: means,
    what they differ from these in the mean square, and the unit of what they differ.

    Parameters
    ----------
    weight : ndarray of shape (n_rows,)
        Their sum is 1.
    smallest : float
        A smaller square may have lost digits.
    """
    used = np.flatnonzero(weight)  # others may be larger than all numbers, times 0
    if used.size < weight.size:
        A, weight = A[used], weight[used]
    n, n_columns = A.shape
    # As dense columns are, from the first row on: of a constant all differences are 0.
    origin = A[:1].toarray()[0].astype(np.float64)
    there, of_there, away, most = np.zeros((4, n_columns))
    for w, j, x in _parts(A, weight):
        there += np.bincount(j, minlength=n_columns)
        of_there += np.bincount(j, w, n_columns)
        away += np.bincount(j, w * (x - origin[j]), n_columns)
        np.maximum.at(most, j, np.abs(x - origin[j]))
    # The weight of the rows in which it is 0.
    of_zeros = np.where(there == n, 0.0, np.maximum(1 - of_there, 0.0))
    most = np.where(there == n, most, np.maximum(most, np.abs(origin)))
    away -= np.where(of_zeros > 0, of_zeros * origin, 0.0)
    square, unit = _mean_square(A, weight, origin, away, of_zeros, np.ones(n_columns)), 1.0
    if not (np.isfinite(square) & (square > smallest)).all():
        # A power of two away, squares are numbers, and no digit is lost.
        unit = np.ldexp(1.0, np.frexp(most)[1] - 1)
        square = _mean_square(A, weight, origin, away, of_zeros, unit)
    return origin + away, square, unit


def _mean_square(A, weight, origin, away, of_zeros, unit):
    total = np.where(of_zeros > 0, of_zeros * ((origin + away) / unit) ** 2, 0.0)
    for w, j, x in _parts(A, weight):
        total += np.bincount(j, w * ((x - origin[j] - away[j]) / unit[j]) ** 2, len(total))
    return total


def _parts(A, weight):
    """Of some entries after others: the weights of their rows, their columns, and what they are."""
    row = np.searchsorted(A.indptr, np.arange(0, A.nnz, ENTRIES_AT_A_TIME), "right") - 1
    ends = np.unique(np.append(row, A.shape[0]))
    for start, stop in pairwise(ends):
        some = slice(A.indptr[start], A.indptr[stop])
        w = np.repeat(weight[start:stop], np.diff(A.indptr[start : stop + 1]))
        yield w, A.indices[some], A.data[some].astype(np.float64)


def _slices(n):
    return (slice(start, start + ENTRIES_AT_A_TIME) for start in range(0, n, ENTRIES_AT_A_TIME))
