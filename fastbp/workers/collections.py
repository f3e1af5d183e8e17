"""Dask's arrays and dataframes: what is known of them before they are computed, and whether they go
together."""

from copy import copy

import numpy as np
from sklearn.utils.validation import _check_feature_names, _check_n_features

from fastbp import suspicious


def is_collection(A):
    return hasattr(A, "__dask_graph__")


def is_table(A):
    """Whether it is an array, a dataframe or a series. (What is delayed has every attribute.)"""
    return is_collection(A) and hasattr(type(A), "shape")


def n_rows(A):
    """How many there are, or None: nobody knows before it is computed."""
    n = A.shape[0] if hasattr(A, "rechunk") else np.nan
    return None if np.isnan(n) else n


def is_text(dtype):
    """Whether a column of pandas' holds text, or levels that are: as far as is known."""
    levels = getattr(dtype, "categories", None)
    if levels is None:
        return str(dtype) in ("string", "str")
    is_known = "__UNKNOWN_CATEGORIES__" not in levels
    return is_known and (levels.dtype == object or is_text(levels.dtype))


def dtypes_of(frame):
    """Of the columns of a dataframe, by name; of an array none."""
    return frame.dtypes.items() if hasattr(frame, "columns") else ()


def columns_of(model, X, reset):
    """A copy of the model that knows the columns of X; an error, if they aren't those it knows."""
    if not is_table(X):
        what = "BackpropRegressor is for what is in memory"
        what = "make one of it" if is_collection(X) else what
        raise TypeError(
            f"DaskBackpropRegressor trains on dask arrays and dataframes, got {type(X).__name__}: "
            f"{what}."
        )
    if len(X.shape) != 2:
        raise ValueError(f"Expected 2D array, got {len(X.shape)}D instead: X.reshape(-1, 1)?")
    if not isinstance(X.shape[1], int):
        raise ValueError("X has columns of unknown number: X.compute_chunk_sizes() counts them.")
    columns, like = copy(model), X._meta
    if not hasattr(like, "columns"):
        like = np.empty((0, X.shape[1]), X.dtype)
    suspicious.check_values(like, "X")
    _check_feature_names(columns, like, reset=reset)
    _check_n_features(columns, like, reset=reset)
    if text := [name for name, dtype in dtypes_of(like) if is_text(dtype)]:
        raise ValueError(
            f"X has columns of text or categories: {', '.join(map(repr, text))}. Make numbers of "
            "them, a column for each level, say (dask.dataframe.get_dummies), or leave them out."
        )
    return columns


def in_rows(A):
    """An array in chunks of whole rows."""
    return A.rechunk({1: -1}) if A.ndim == 2 and A.numblocks[1] > 1 else A


def blocks_of(X, y, sample_weight, suffix=""):
    """The partitions of each, as delayed objects or None: lists of equal length; and how many
    outputs y has. Of what is known before it is computed, an error says what doesn't go together.
    """
    blocks = []
    for A, name in ((X, "X"), (y, "y"), (sample_weight, "sample_weight")):
        if A is None and name == "sample_weight":
            blocks.append([None] * len(blocks[0]))
            continue
        name += suffix
        if not is_table(A):
            raise TypeError(f"{name} must be a dask collection as X is, got {type(A).__name__}.")
        if len(A.shape) not in (1, 2):
            raise ValueError(f"{name} has {len(A.shape)} dimensions, one or two are expected.")
        if len(A.shape) == 2 and not isinstance(A.shape[1], int):
            raise ValueError(f"{name} has columns of unknown number.")
        n, known = n_rows(X), n_rows(A)
        if None not in (n, known) and n != known:
            raise ValueError(f"X{suffix} has {n} rows, {name} has {known}.")
        if hasattr(A, "rechunk"):
            A = in_rows(A)
            if None not in (n, known) and A.chunks[0] != X.chunks[0]:
                A = A.rechunk({0: X.chunks[0]})
        blocks.append(np.ravel(A.to_delayed()).tolist())
        if len(blocks[-1]) != len(blocks[0]):
            raise ValueError(
                f"X{suffix} has {len(blocks[0])} partitions, {name} has {len(blocks[-1])}: they "
                "must have the same rows in each. Repartition one of them."
            )
    n_outputs = y.shape[1] if len(y.shape) == 2 else 1
    return blocks, n_outputs
