"""What workers do with a partition before it is trained on, and after."""

from copy import copy
from itertools import count, repeat

import numpy as np
from scipy import sparse

from fastbp import inputs, scaling
from fastbp.fitting.parts import as_is
from fastbp.fitting.table import Table


def tell(line):
    """Print a line where the client is. (`distributed.print` does it here as well, which may be the
    same terminal.)"""
    from distributed import get_worker

    get_worker().log_event("print", line)


def tables_in(places, columns, parts, n_outputs):
    """Handles of Table, of those of X, y and weights of each part."""
    columns = copy(columns)
    columns.client = None
    columns = places.submit(as_is, columns)
    return places.map(
        table_of, repeat(columns), count(), repeat(n_outputs), *zip(*parts, strict=True)
    )


def table_of(columns, number, n_outputs, X, y, sample_weight):
    """A partition, validated; without rows of weight 0, which are not there."""
    n_outputs = max(n_outputs, np.size(columns.loss_parameter))  # of levels, one for each
    try:
        is_weightless = sample_weight is not None and not np.any(sample_weight)
        if X.shape[0] == len(y) and (len(y) == 0 or is_weightless):
            weight = None if sample_weight is None else np.empty(0)
            shape = 0, columns.n_features_in_
            return Table(np.empty(shape, np.float32), np.empty((0, n_outputs)), weight)
        of_part = {"reset": False, "n_outputs": n_outputs}
        table = inputs.table_of(columns, X, y, sample_weight, **of_part)
    except ValueError as error:
        raise ValueError(f"Partition {number}: {error}") from error
    if sparse.issparse(table.X):
        raise ValueError("Sparse blocks are not for DaskBackpropRegressor: make them dense.")
    if table.sample_weight is not None and not table.sample_weight.all():
        return table.rows(table.sample_weight > 0)
    return table


def predicted(X, model):
    """For a block, or a part of a dataframe, whose index is kept."""
    values = X.to_numpy() if hasattr(X, "columns") else X
    if len(values):
        y = model.predict(values)
    else:
        shape = (0,) if model.n_outputs_ == 1 else (0, model.n_outputs_)
        y = np.empty(shape, model._learnt.precision(values))
    if values is X:
        return y
    import pandas

    return (pandas.Series if y.ndim == 1 else pandas.DataFrame)(y, index=X.index)


def errors_in(table, model):
    """Of what is to be explained, and of what is not."""
    y, shape = np.float64(table.y), table.y.shape
    errors = y - np.float64(model.predict(table.X)).reshape(shape)
    return scaling.seen_of(errors, y, table.sample_weight)
