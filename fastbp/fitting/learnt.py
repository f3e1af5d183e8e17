"""What a fit has learnt, as one object."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import converting, encodings, measuring, parameters, scaling
from fastbp.encodings import Encoding
from fastbp.entries import FEW_COLUMNS
from fastbp.kernels.formulas.losses import LINKS, LOSSES
from fastbp.kernels.formulas.losses import TABLE as LOSS_TABLE
from fastbp.kernels.formulas.network import network, without_inputs
from fastbp.kernels.training.encoding import NOT_ENCODED, laid_out
from fastbp.kernels.training.records import Model

#: Values of a table that are copied for one call of a kernel that predicts.
VALUES_COPIED = 2**22


class Packed:
    """What kernels predict with, made of the weights: good for as long as nobody else has these.

    A copy of what is learnt has weights of its own, and makes its own.
    """

    __slots__ = ("in_raw_units", "is_given_away", "model")

    def __init__(self):
        self.model, self.in_raw_units, self.is_given_away = None, None, False

    def __reduce__(self):
        return Packed, ()


class Found(NamedTuple):
    """What trials have found of what was "auto", by rows that were held out: who goes on by
    `warm_start` keeps to it. None stands for what was given."""

    solver: str
    max_iter: int | None
    weight_decay: float | None
    dropout: float | None


class Learnt(NamedTuple):
    """All that predicting takes.

    An estimator holds one, and replaces it by a single assignment: who reads it once has weights,
    scaling and activations that belong together. The weights are the user's: whoever changes them
    changes the model. So from when on they have been given away, θ is made from them each time.
    """

    coefs: list  # in raw units, as the other
    intercepts: list
    activations: tuple  # of each hidden layer, by name
    loss: str
    loss_parameter: float | tuple  # or one for each output
    scaling: scaling.Scaling | None  # of what the network says; None without standardize
    dtype: np.dtype  # of training
    n_columns: int  # that the network sees
    n_outputs: int
    encoding: Encoding | None = None
    y_dtype: np.dtype = np.dtype(np.float64)  # the least precision that predictions have
    seen: scaling.Seen | None = None  # of the table, that a stream's scaling goes on from
    packed: Packed | None = None  # None: the weights are somebody else's from the beginning
    linear: np.ndarray | None = None  # (n_features, n_outputs): what is added for each x, or None
    found: Found | None = None  # how the network was trained, if trials have said it

    @classmethod
    def of(cls, theta, net, settings, units, encoding=None):
        """What a training ends with: θ in the units of training, `units` being their scaling."""
        link, given = LOSS_TABLE[settings.loss].link, (settings.loss, settings.loss_parameter)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below
            weights = scaling.to_raw_units(*parameters.unpack(theta, net), units, link)
        if not np.isfinite(parameters.pack(*weights, np.float64)).all():
            raise ValueError(
                "The weights for these units of X and y are beyond float64. Rescale the columns."
            )
        ends = (int(net["width"][end]) for end in (0, -1))
        rest = units, theta.dtype, *ends, encoding, settings.y_dtype, settings.seen, Packed()
        return cls(*weights, tuple(settings.activations), *given, *rest, found=settings.found)

    def given_away(self, name):
        """One of the lists of arrays, for somebody who may change them at any time."""
        if self.packed is not None:
            self.packed.is_given_away = True
        return getattr(self, name)

    @property
    def n_features(self):
        """Columns of the table."""
        return self.n_columns if self.encoding is None else self.encoding.low.size

    @property
    def is_line(self):
        """Whether the network has no part in what is predicted."""
        return self.linear is not None and not np.any(self.coefs[-1])

    @property
    def link(self):
        """How ŷ comes from the linear output: a row of `losses.LINKS`."""
        return LINKS[LOSS_TABLE[self.loss].link]

    @property
    def rising(self):
        """Whether the outputs are quantiles of one y, which don't cross."""
        return np.ndim(self.loss_parameter) > 0

    @property
    def encoding_names(self):
        """Those of the encodings that were asked for, or found to be better."""
        return self.encoding.names if self.encoding else ()

    def raw_loss_parameter(self):
        """The loss's parameter for a loss in the table's units, one or that of each output."""
        parameter = LOSS_TABLE[self.loss].parameter
        if parameter is None or parameter.degree == 0 or self.scaling is None:
            return self.loss_parameter
        return self.loss_parameter * self.scaling.y_scale**parameter.degree

    def network(self, *, trained=False):
        """The network of the weights, or an error if they are none of these inputs and outputs."""
        return network(self.widths(), self.activations, trained=trained)

    def widths(self):
        """Of the network's layers, or an error as of `network`."""
        shapes, biases = ([np.shape(a) for a in each] for each in self.weights())
        widths = [self.n_columns, *(shape[0] if shape else 0 for shape in biases)]
        fits = shapes == list(pairwise(widths)) and biases == [(n,) for n in widths[1:]]
        depth = len(self.activations)
        if not fits or len(shapes) != depth + 1 or widths[-1] != self.n_outputs or 0 in widths:
            raise ValueError(
                f"coefs_ of shapes {shapes} and intercepts_ of shapes {biases} are no network of "
                f"{depth} hidden layers with {self.n_columns} inputs and {self.n_outputs} outputs."
            )
        return widths

    def weights(self):
        """coefs and intercepts as floats, or an error: anybody may have set them."""
        coefs = parameters.as_floats(self.coefs, "coefs_")
        return coefs, parameters.as_floats(self.intercepts, "intercepts_")

    def theta(self, units, dtype):
        """θ in these units, which are a Scaling, or those of the table."""
        self.widths()  # of other shapes, θ might be made by accident
        link = LOSS_TABLE[self.loss].link
        with np.errstate(over="ignore", invalid="ignore"):  # reported below
            weights = scaling.to_standard_units(*self.weights(), units, link)
            theta = parameters.pack(*weights, dtype)
        if not np.isfinite(theta).all():
            raise ValueError(
                "Some of coefs_ and intercepts_ are NaN, infinite or too large for "
                f"{np.dtype(dtype)}."
            )
        return theta

    def precision(self, X):
        """That of predictions for X: of all that they go by, y at `fit` included."""
        return np.result_type(X.dtype, self.dtype, self.y_dtype)

    def inner_precision(self, X):
        """That in which they are made: beside a line, which may say much where the network takes
        it off again, float64."""
        return self.precision(X) if self.linear is None else np.dtype(np.float64)

    def columns(self, X):
        """Rows of X as kernels predict with them."""
        if X.shape[1] != self.n_features:
            raise ValueError(f"X has {X.shape[1]} features, the weights are for {self.n_features}.")
        if self.goes_by_entries(X):
            return converting.entries_of(X, np.dtype(np.float64))
        return converting.converted(X, self.inner_precision(X))

    def add_linear(self, X, y):
        """y ← y + Aᵀx for rows of X, row by row alike: BLAS would add up in other orders, and in
        others again rows that lie otherwise in memory."""
        if sparse.issparse(X):
            line = X @ self.linear
        else:
            X = np.ascontiguousarray(X, np.float64)
            line = np.einsum("ij,jk->ik", X, self.linear)
        far = np.flatnonzero(~np.isfinite(line).all(axis=1))
        if far.size:  # terms are beyond all numbers, of which the sum may be one
            rows = X[far].toarray() if sparse.issparse(X) else X[far]
            unit = measuring.power_of_two(np.abs(rows).max(axis=1, keepdims=True))
            line[far] = unit * np.einsum("ij,jk->ik", rows / unit, self.linear)
        y += line

    def rows_at_a_time(self, most, X):
        """How many rows of X to predict at a time, at most: what `columns` makes is made for it."""
        values = self.n_features
        if self.goes_by_entries(X):
            values = -(-X.nnz // X.shape[0])  # of a row that is like the others
        elif converting.is_as_taken(X, self.inner_precision(X)):
            return most
        return min(most, max(1, VALUES_COPIED // max(values, 1)))

    def goes_by_entries(self, X):
        """Whether X is predicted from by its entries: by columns alone, so that what is predicted
        for a row doesn't depend on others."""
        return sparse.issparse(X) and self.encoding is None and self.n_columns > FEW_COLUMNS

    def model_for(self, X):
        """What the kernels predict with from `columns` of X."""
        if not self.goes_by_entries(X):
            return self.model()
        packed = self.packed
        if packed is not None and packed.in_raw_units is not None and not packed.is_given_away:
            return packed.in_raw_units
        # Nothing is taken off raw entries: far from 0, float32 would round the answer away.
        net, theta = without_inputs(self.network()), self.theta(None, np.dtype(np.float64))
        units = scaling.no_scaling(self.n_columns, self.n_outputs)
        model = self._model(net, theta, units)
        if packed is not None:
            packed.in_raw_units = model
        return model

    def model(self):
        """What the kernels predict with."""
        packed = self.packed
        if packed is not None and packed.model is not None and not packed.is_given_away:
            return packed.model
        net, units = self.network(), self.units()
        theta = self.theta(units, self.dtype)
        units = units or scaling.no_scaling(self.n_columns, self.n_outputs)
        encoded = NOT_ENCODED if self.encoding is None else laid_out(self.encoding)
        model = self._model(net, theta, units, encoded)
        if packed is not None:
            packed.model = model
        return model

    def _model(self, net, theta, units, encoded=NOT_ENCODED):
        limit = parameters.limit_of(theta, net["width"].tolist())
        return Model(net, theta, LOSSES[self.loss], self.rising, *units, limit, *encoded)

    def units(self):
        """The scaling, if it is one of these columns, or None."""
        return self.scaling and scaling.checked(self.scaling, self.n_columns, self.n_outputs)

    def checked(self):
        """The same as kernels take it, or an error, if it is no whole model: for what comes from a
        file, or from anybody's hands."""
        if not {self.dtype, self.y_dtype} <= {np.dtype("float32"), np.dtype("float64")}:
            raise ValueError(f"The precisions are {self.dtype} and {self.y_dtype}.")
        encoding = self.encoding and encodings.checked(self.encoding, self.n_columns)
        coefs, intercepts = self.weights()
        seen = self.seen and scaling.checked_seen(self.seen, self.n_features, self.n_outputs)
        if seen is not None and self.scaling is None:
            raise ValueError("There is no scaling of what was seen.")
        linear = self.linear
        if linear is not None:
            (linear,) = parameters.as_floats([linear], "the linear part")
            if linear.shape != (self.n_features, self.n_outputs) or not np.isfinite(linear).all():
                raise ValueError(
                    "The linear part is not of these columns and outputs, or infinite."
                )
        own = {"scaling": self.units(), "encoding": encoding, "seen": seen, "linear": linear}
        checked = self._replace(coefs=coefs, intercepts=intercepts, **own)
        checked.network(), checked.theta(checked.scaling, checked.dtype)  # or an error
        return checked
