"""What a fit has learnt, as one object."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastbp import encodings, parameters, scaling
from fastbp.encodings import Encoding
from fastbp.kernels.formulas.losses import LINKS, LOSSES
from fastbp.kernels.formulas.losses import TABLE as LOSS_TABLE
from fastbp.kernels.formulas.network import network
from fastbp.kernels.training.records import Model


class Packed:
    """What kernels predict with, made of the weights: good for as long as nobody else has these.

    A copy of what is learnt has weights of its own, and makes its own.
    """

    __slots__ = ("is_given_away", "model")

    def __init__(self):
        self.model, self.is_given_away = None, False

    def __reduce__(self):
        return Packed, ()


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
    scaling: scaling.Scaling | None  # None without standardize
    dtype: np.dtype  # of training
    n_columns: int  # that the network sees
    n_outputs: int
    encoding: Encoding | None = None
    packed: Packed | None = None  # None: the weights are somebody else's from the beginning

    @classmethod
    def of(cls, theta, net, activations, loss, units, encoding=None):
        """What a training ends with: θ in the units of training, `units` being their scaling."""
        link = LOSS_TABLE[loss].link
        weights = scaling.to_raw_units(*parameters.unpack(theta, net), units, link)
        ends = (int(net["width"][end]) for end in (0, -1))
        of_table = tuple(activations), loss, units, theta.dtype
        return cls(*weights, *of_table, *ends, encoding, Packed())

    def given_away(self, name):
        """One of the lists of arrays, for somebody who may change them at any time."""
        if self.packed is not None:
            self.packed.is_given_away = True
        return getattr(self, name)

    @property
    def link(self):
        """How ŷ comes from the linear output: a row of `losses.LINKS`."""
        return LINKS[LOSS_TABLE[self.loss].link]

    def network(self, *, trained=False):
        """The network of the weights, or an error if they are none of these inputs and outputs."""
        widths = [len(self.coefs[0]), *(len(b) for b in self.intercepts)]
        shapes = [np.shape(W) for W in self.coefs]
        fits = len(widths) == len(self.activations) + 2 and shapes == list(pairwise(widths))
        if not fits or (widths[0], widths[-1]) != (self.n_columns, self.n_outputs):
            raise ValueError(
                f"coefs_ of shapes {shapes} and intercepts_ of lengths {widths[1:]} are no "
                f"network of {len(self.activations)} hidden layers with {self.n_columns} "
                f"inputs and {self.n_outputs} outputs."
            )
        return network(widths, self.activations, trained=trained)

    def theta(self, units, dtype):
        """θ in these units, which are a Scaling, or those of the table."""
        link = LOSS_TABLE[self.loss].link
        weights = scaling.to_standard_units(self.coefs, self.intercepts, units, link)
        return parameters.pack(*weights, dtype)

    def columns(self, X):
        """Rows of X as kernels predict with them: with all that the network sees."""
        if self.encoding is None:
            return scaling.converted(X, X.dtype)
        dtype = np.result_type(X.dtype, self.dtype)
        return encodings.converted(X, dtype, self.encoding, precision=self.dtype)

    def rows_at_a_time(self, most):
        """How many rows to predict at a time, at most: encoded ones are made for it."""
        if self.encoding is None:
            return most
        return min(most, max(1, encodings.VALUES_IN_A_CALL // self.n_columns))

    def model(self):
        """What the kernels predict with."""
        packed = self.packed
        if packed is not None and packed.model is not None and not packed.is_given_away:
            return packed.model
        net = self.network()
        units = self.scaling or scaling.no_scaling(self.n_columns, self.n_outputs)
        model = Model(net, self.theta(self.scaling, self.dtype), LOSSES[self.loss], *units)
        if packed is not None:
            packed.model = model
        return model
