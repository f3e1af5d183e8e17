"""`DaskBackpropRegressor`: a fit on tables that lie in the memory of many machines.

Whatever is computed is a pure task of Dask's, where the data lie: `fitting/parts.py`,
`fitting/rounds.py` and `workers/tasks.py` say which.
"""

import inspect
from copy import deepcopy
from itertools import repeat
from typing import ClassVar

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils.validation import check_is_fitted

from fastbp import endings, scaling
from fastbp.estimator import BackpropRegressor
from fastbp.fitting import rounds
from fastbp.fitting.observer import Lines
from fastbp.fitting.parts import as_is, known, reduced
from fastbp.workers.cluster import Cluster, client_of
from fastbp.workers.collections import blocks_of, columns_of, in_rows, is_collection
from fastbp.workers.tasks import errors_in, predicted

#: Parameters whose meaning is one machine's, and what they may be here.
NOT_HERE = {
    "dropout": ("auto", 0.0),
    "ema_decay": ("auto", None),
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
        before, _, seen = self._before() if go_on else (None, None, 0)
        with np.errstate(all="ignore"):
            fitted = rounds.train(
                self.to_local()._settings(go_on=go_on),
                tables,
                held_out,
                places,
                before=before,
                seen=seen,
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
            handles = places.map(errors_in, tables, repeat(model))
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
        model.n_threads = self._asked_threads() or 1
        vars(model).pop("feature_names_in_", None)
        return model

    def __getstate__(self):
        return {**super().__getstate__(), "client": None}

    def __sklearn_clone__(self):
        params = clone(self.to_local()).get_params(deep=False)
        return type(self)(**params, client=self.client)
