"""What a trained model consists of, as the exporters take it."""

from importlib import import_module
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastbp import encodings, parameters, scaling
from fastbp.encodings import Encoding
from fastbp.fitting.committee import linear_of
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: Precisions by the names that C and ONNX have for them.
PRECISIONS = {"float": np.dtype("float32"), "double": np.dtype("float64")}


class Member(NamedTuple):
    """A network, between standardised columns and a standardised output."""

    share: float  # of its prediction in that of the ensemble
    layers: list  # of (W (n_in, n_out), b), of the precision of training
    units: scaling.Scaling | None  # of the columns that it sees, and of y; None: they are as is

    def limit(self, kind):
        """Of what its first layer sees, in this precision: see `parameters.limit_of`."""
        theta = np.concatenate(self.numbers()).astype(kind)
        widths = [len(self.layers[0][0]), *(len(b) for _, b in self.layers)]
        return parameters.limit_of(theta, widths)

    def numbers(self):
        """Of its layers, in rows."""
        return [part.ravel() for layer in self.layers for part in layer]


class Parts(NamedTuple):
    """A model: members that differ in weights, shares and units."""

    members: list
    widths: list  # from the columns that the network sees to its outputs
    activations: list  # of the hidden layers, by name
    link: str  # a name of `losses.LINKS`
    encoding: Encoding | None
    n_features: int  # of the table
    names: list  # of its columns; empty if they have none
    dtype: np.dtype  # of training
    linear: np.ndarray | None = None  # what all members together add for each x of the table

    @property
    def n_outputs(self):
        return self.widths[-1]

    @property
    def shape(self):
        """In words: "8-50-1, logistic"."""
        kinds = list(dict.fromkeys(self.activations)) or ["linear"]
        several = f"{len(self.members)} networks " if len(self.members) > 1 else ""
        kinds = self.activations if len(kinds) > 1 else kinds
        return f"{several}{'-'.join(map(str, self.widths))}, {', '.join(kinds)}"


def parts_of(model):
    """The parts of a fitted BackpropRegressor or BackpropEnsembleRegressor."""
    learnt, shares = model._parts
    first = learnt[0]
    if any(each.rising for each in learnt):
        raise NotImplementedError("Several quantiles can't be exported; fit one of each level.")
    # A network that sees no encoded columns is one that gives them no weight.
    widest = max(learnt, key=lambda each: each.n_columns)
    encoding, widths = widest.encoding, widest.network()["width"].tolist()
    if any(
        each.network()["width"][1:].tolist() != widths[1:]
        or tuple(each.activations) != tuple(first.activations)
        or LOSSES[each.loss].link != LOSSES[first.loss].link
        or not (each.encoding is None or encodings.are_the_same(each.encoding, encoding))
        for each in learnt
    ):
        raise ValueError(
            "Members of different layers, activations, links or encodings can't be exported as one."
        )
    return Parts(
        [_member(each, share, encoding) for each, share in zip(learnt, shares, strict=True)],
        widths,
        list(first.activations),
        LOSSES[first.loss].link,
        encoding,
        int(model.n_features_in_),
        [str(name) for name in getattr(model, "feature_names_in_", ())],
        first.dtype,
        linear_of(learnt, shares),
    )


def _member(learnt, share, encoding):
    theta = learnt.theta(learnt.scaling, learnt.dtype)
    if not np.isfinite(theta).all():
        raise ValueError("The model has weights that are no finite numbers.")
    layers, at = [], 0
    for n_in, n_out in pairwise(learnt.network()["width"].tolist()):
        W, b = np.split(theta[at : at + (n_in + 1) * n_out].reshape(n_in + 1, n_out), [n_in])
        layers.append((W, b[0]))
        at += W.size + b.size
    units = learnt.scaling
    if learnt.encoding is None and encoding is not None:
        W, b = layers[0]
        layers[0] = np.pad(W, ((0, encoding.n_columns - len(W)), (0, 0))), b
        units = encodings.widened(units, encoding)
    return Member(float(share), layers, units)


def precision_of(parts, dtype, integers=()):
    """Of the numbers of a file, "float" or "double": what is asked for, that of training where
    that is None, or "float" beside integers."""
    if dtype is None:
        return next(name for name, known in PRECISIONS.items() if known == parts.dtype)
    if dtype not in (*PRECISIONS, *integers):
        raise ValueError(f"dtype must be one of {[*PRECISIONS, *integers]} or None, got {dtype!r}.")
    name = "float" if dtype in integers else dtype
    largest = max(np.abs(part).max() for member in parts.members for part in member.numbers())
    if largest > np.finfo(PRECISIONS[name]).max:
        raise ValueError(
            f"The model has weights up to {largest:.3g}, too large for dtype={dtype!r}. "
            "dtype='double' takes them; standardize=True keeps them small."
        )
    return name


def version():
    """Of fastbp, which is above here."""
    return import_module("fastbp").__version__


def known(table, name, what, language):
    """A row of an exporter's table, or an error that says what is missing."""
    if name not in table:
        raise NotImplementedError(
            f"The {what} {name!r} is not known in {language}; known: {', '.join(table)}."
        )
    return table[name]
