"""`DaskBackpropRegressor`: a fit on tables that lie in the memory of many machines.

Whatever is computed is a pure task of Dask's, where the data lie: `fitting/parts.py` and
`fitting/rounds.py` say which.
"""

import inspect
import weakref
from copy import copy, deepcopy
from importlib import import_module
from typing import ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import _fit_context, clone
from sklearn.utils.validation import _check_feature_names, _check_n_features, check_is_fitted

from fastbp import endings, inputs, scaling
from fastbp.estimator import BackpropRegressor
from fastbp.fitting import rounds
from fastbp.fitting.observer import Lines
from fastbp.fitting.parts import as_is, known, reduced
from fastbp.fitting.table import Table

#: Parameters whose meaning is one machine's, and what they may be here.
NOT_HERE = {
    "dropout": (0.0,),
    "ema_decay": (None,),
    "scoring": (None, "loss", "r2"),
    "missing_targets": ("raise",),
}


class DaskBackpropRegressor(BackpropRegressor):
    """`BackpropRegressor` for Dask's arrays and dataframes.

    The partitions stay where they are. First, means, variances and extremes of all rows are
    measured by a map and a tree of sums, and are the same for any partitioning, but for rounding.
    Then training begins, by `solver`:

    - "lbfgs" asks all partitions for the loss and its gradient, and trains as on one machine, but
      for rounding.
    - "adam" and "sgd" train in rounds. In each, every partition trains for itself, from the weights
      and the optimiser's memory of all; their means, weighted by rows, begin the next round (local
      SGD: Stich, 2019). A round is an epoch; a part of one if it takes long (more than
      `rounds.ROUND_FLOPS`), or some if it takes next to no time and is not scored, but there are
      `rounds.LEAST_ROUNDS` at least. Fewer steps are made one after the other than on one machine:
      where partitions are small, the fit is worse at equal epochs (`bench/dask_rounds.py` measures
      it). So a `batch_size` and, of "adam", a `learning_rate_init` that are "auto" go by the number
      of partitions, too (`begun.LEAST_BATCH`, `begun.MOST_TIMES`). A partition whose working copy
      would be larger than `survey.WHOLE_BYTES` is not copied, but trained on in windows, as a table
      in one place.

    The result depends on the partitioning, not on workers (if their processors are alike), of which
    some may join or be lost. A table in one partition that is looked at as a whole (below) has that
    of `BackpropRegressor`, to the bit, but where ``early_stopping=True`` sets rows aside (each
    partition its own), or a training without a planned end spans several epochs a round.

    Parameters
    ----------
    client : distributed.Client or None, default=None
        None is the one in use.
    hidden_layer_sizes, activation, ... : as of `BackpropRegressor`
        What is "auto" goes by all rows. A table of at most `begun.SEARCHED` rows, and 2,000,000
        values, is looked at as a whole, by one worker, for what ``early_stopping="refit"`` and
        ``encoding="auto"`` find; of a larger one nothing is searched for: they are as False and
        None. First weights and quantiles go by a sample of it. `n_threads` of None is 1, for each
        task. After `max_time`, training ends with a round. Ctrl-C ends a fit without a model.
        Callbacks are not called.

    Attributes
    ----------
    As of `BackpropRegressor`. Of a validation set, `validation_scores_` are those after each epoch.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client, LocalCluster
    >>> from fastbp.dask import DaskBackpropRegressor
    >>> client = Client(LocalCluster(n_workers=2))
    >>> X = da.random.default_rng(0).normal(size=(2000, 2), chunks=(1000, 2))
    >>> y = da.sin(X[:, 0]) + X[:, 1]
    >>> model = DaskBackpropRegressor(max_iter=20, early_stopping=False, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.99)
    True
    >>> model.predict(X)  # computed when it is asked for
    dask.array<predicted, shape=(2000,), dtype=float64, chunksize=(1000,), chunktype=numpy.ndarray>
    >>> bool(abs(model.to_local().predict([[0.0, 1.0]])[0] - 1) < 0.1)
    True
    >>> client.cluster.close()
    """

    _parameter_constraints: ClassVar[dict] = {
        **BackpropRegressor._parameter_constraints,
        "client": "no_validation",
    }

    def __init__(self, *arguments, client=None, **parameters):
        super().__init__(*arguments, **parameters)
        self.client = client

    # What scikit-learn reads: all parameters, each by its name.
    __init__.__signature__ = inspect.signature(BackpropRegressor.__init__)
    __init__.__signature__ = __init__.__signature__.replace(
        parameters=[
            *__init__.__signature__.parameters.values(),
            inspect.Parameter("client", inspect.Parameter.KEYWORD_ONLY, default=None),
        ]
    )

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train on X and y.

        Parameters
        ----------
        X : dask array or dataframe of shape (n_samples, n_features)
        y : dask array, series or dataframe of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : dask array or series of shape (n_samples,), default=None
            All in equal partitions, which may be of unknown numbers of rows; arrays of known chunks
            are partitioned as X is.
        X_val, y_val, sample_weight_val : as X, y, sample_weight, default=None
            Held-out samples, as `BackpropRegressor.fit` has them.

        Returns
        -------
        self
        """
        if getattr(self, "_skl_callbacks", None):
            raise ValueError("DaskBackpropRegressor calls no callbacks; verbose=True says it all.")
        for name, plain in NOT_HERE.items():
            if not any(np.array_equal(getattr(self, name), each) for each in plain):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not for DaskBackpropRegressor, which has "
                    f"{' or '.join(map(repr, plain))}."
                )
        if any(np.ndim(weight) > 1 for weight in (sample_weight, sample_weight_val)):
            raise ValueError("DaskBackpropRegressor takes a weight for each sample, not output.")
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together.")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        go_on = self.warm_start and hasattr(self, "_learnt")
        columns = columns_of(self, X, reset=not go_on)
        blocks, held_out = blocks_of(X, y, sample_weight), None
        if X_val is not None:
            columns_of(columns, X_val, reset=False)
            held_out = blocks_of(X_val, y_val, sample_weight_val, "_val")
            if held_out[1] != blocks[1]:
                raise ValueError(f"y_val has {held_out[1]} outputs, y has {blocks[1]}.")
        with Cluster(client_of(self)) as places:
            tables = places.tables(columns, blocks)
            if held_out is not None:
                held_out = places.tables(columns, held_out)
            return self._train_in(places, columns, tables, held_out, go_on=go_on)

    def _train_in(self, places, columns, tables, held_out, *, go_on=False):
        """Train on handles of tables: see `rounds.train`."""
        with np.errstate(all="ignore"):
            fitted = rounds.train(
                self.to_local()._settings(),
                tables,
                held_out,
                places,
                before=self._learnt.checked() if go_on else None,
                seen=self.t_ if go_on else 0,
                watch=Lines if self.verbose else None,
            )
        self._note(columns, fitted, go_on, held_out is not None or fitted.settings.holds_out)
        endings.warn(self, fitted, None)
        return self

    @property
    def partial_fit(self):
        raise AttributeError("DaskBackpropRegressor has no partial_fit; to_local() has.")

    def predict(self, X):
        """Predict y.

        Parameters
        ----------
        X : dask array or dataframe of shape (n_samples, n_features), or what is in memory

        Returns
        -------
        y : dask array, of a dataframe a series or dataframe
            Computed where X lies, when it is asked for. Of what is in memory it is an array.
        """
        if not is_collection(X):
            return super().predict(X)
        check_is_fitted(self)
        columns_of(self, X, reset=False)
        model, frame = self._for_tasks(), getattr(X, "_meta", None)
        if hasattr(frame, "columns"):
            return X.map_partitions(predicted, model, meta=predicted(frame, model))
        X, dtype, n_outputs = in_rows(X), model._learnt.precision(X), self.n_outputs_
        if n_outputs == 1:
            meta = np.empty(0, dtype)
            return X.map_blocks(predicted, model=model, drop_axis=1, meta=meta, dtype=dtype)
        chunks, meta = (X.chunks[0], (n_outputs,)), np.empty((0, 0), dtype)
        return X.map_blocks(predicted, model=model, chunks=chunks, meta=meta, dtype=dtype)

    def score(self, X, y, sample_weight=None):
        """R² of the predictions for X, as that of `BackpropRegressor`; collections stay where they
        are."""
        if not is_collection(X):
            return super().score(X, y, sample_weight)
        check_is_fitted(self)
        if self._levels is not None:
            raise ValueError(
                "The score of several quantiles goes by quantiles of all y: to_local().score "
                "takes them in one place."
            )
        columns = columns_of(self, X, reset=False)
        blocks = blocks_of(X, y, sample_weight)
        with Cluster(client_of(self)) as places:
            facts, tables = known(places, places.tables(columns, blocks))
            model = places.submit(as_is, self._for_tasks())
            handles = [places.submit(errors_in, table, model) for table in tables]
            seen = reduced(places, scaling.Seen.merged, handles)
        unexplained = seen.X_mean**2 + seen.X_deviation**2
        spread = np.where(facts.y_least < facts.y_greatest, seen.y_deviation**2, 0.0)
        of_constant = np.where(unexplained > 0, 0.0, 1.0)
        with np.errstate(all="ignore"):
            return float(np.mean(np.where(spread > 0, 1 - unexplained / spread, of_constant)))

    def to_local(self):
        """The same model as a `BackpropRegressor`, which needs neither Dask nor a cluster."""
        params = self.get_params(deep=False)
        del params["client"]
        local = BackpropRegressor(**params)
        learnt = {name: value for name, value in vars(self).items() if name not in vars(local)}
        learnt.pop("client")
        vars(local).update(deepcopy(learnt))
        return local

    def save(self, path):
        """Write the fitted model to a file, as `BackpropRegressor.save`."""
        self.to_local().save(path)

    def _for_tasks(self):
        """A model that predicts in a task; names of columns have been checked."""
        model = self.to_local()
        model.n_threads = model.n_threads or 1
        vars(model).pop("feature_names_in_", None)
        return model

    def __getstate__(self):
        return {**super().__getstate__(), "client": None}

    def __sklearn_clone__(self):
        params = clone(self.to_local()).get_params(deep=False)
        return type(self)(**params, client=self.client)


# ------------------------------------------------------------------------------ collections


def imported(name):
    """A module of the extra `dask`."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            "fastbp.dask needs dask and distributed: pip install 'fastbp[dask]'"
        ) from error


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


def client_of(model):
    """The client that computes, or an error that says how to come by one."""
    distributed, client = imported("distributed"), model.client
    if client is None:
        try:
            client = distributed.default_client()
        except ValueError as error:
            raise ValueError(
                "There is no Dask client. Two workers on this machine are one line: "
                "client = distributed.Client(distributed.LocalCluster(n_workers=2))"
            ) from error
    if not isinstance(client, distributed.Client):
        raise TypeError(f"client must be a distributed.Client, got {type(client).__name__}.")
    if client.asynchronous:
        raise ValueError("The client is asynchronous: a fit waits for what it asks.")
    if client.status != "running":
        raise ValueError(f"The client is {client.status}: make a new one.")
    return client


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
    inputs.check_values(like, "X")
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


class Cluster:
    """The workers of a client, as `parts` has it: handles are futures.

    After an error all are released. The client keeps a failed one's exception, whose traceback has
    our frames, and these have all others: what lies behind them would stay on the workers.
    """

    def __init__(self, client):
        self.client, self.futures = client, []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        for future in list(self.futures) if kind is not None else ():
            if (future := future()) is not None:
                future.release()

    def submit(self, function, *arguments):
        return self.noted(self.client.submit(function, *arguments, pure=False))

    def noted(self, future):
        """The same, of which we know as long as somebody else does."""
        self.futures.append(weakref.ref(future, self.futures.remove))
        return future

    def result(self, future):
        return future.result()

    def tables(self, columns, blocks):
        """Handles of Table, validated where the blocks lie, and kept there."""
        (Xs, ys, weights), n_outputs = blocks
        futures, n = self.client.compute([*Xs, *ys, *weights]), len(Xs)
        for future in futures:
            if future is not None:
                self.noted(future)
        parts = zip(futures[:n], futures[n : 2 * n], futures[2 * n :], strict=True)
        return tables_in(self, columns, parts, n_outputs)


def tables_in(places, columns, parts, n_outputs):
    """Handles of Table, of those of X, y and weights of each part."""
    columns = copy(columns)
    columns.client = None
    columns = places.submit(as_is, columns)
    return [
        places.submit(table_of, columns, number, n_outputs, *part)
        for number, part in enumerate(parts)
    ]


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
    pandas = imported("pandas")
    return (pandas.Series if y.ndim == 1 else pandas.DataFrame)(y, index=X.index)


def errors_in(table, model):
    """Of what is to be explained, and of what is not."""
    y, shape = np.float64(table.y), table.y.shape
    errors = y - np.float64(model.predict(table.X)).reshape(shape)
    return scaling.seen_of(errors, y, table.sample_weight)
