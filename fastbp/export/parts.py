"""What a trained model consists of, as the exporters take it."""

from importlib import import_module
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastbp import scaling
from fastbp.encodings import Encoding
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: Precisions by the names that C and ONNX have for them.
PRECISIONS = {"float": np.dtype("float32"), "double": np.dtype("float64")}


class Member(NamedTuple):
    """A network, between standardised columns and a standardised output."""

    share: float  # of its prediction in that of the ensemble
    layers: list  # of (W (n_in, n_out), b), of the precision of training
    units: scaling.Scaling | None  # of the columns that it sees, and of y; None: they are as is


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
    members = getattr(model, "estimators_", None)
    learnt = [model._learnt] if members is None else [member._learnt for member in members]
    shares = getattr(model, "estimator_weights_", None)
    shares = np.ones(len(learnt)) if shares is None else np.asarray(shares, np.float64)
    first = learnt[0]
    if first.rising:
        raise NotImplementedError("Several quantiles can't be exported; fit one of each level.")
    net = first.network()
    if any((each.network()["width"] != net["width"]).any() for each in learnt):
        raise ValueError("Members of different layers can't be exported as one.")
    return Parts(
        [_member(each, share) for each, share in zip(learnt, shares / shares.sum(), strict=True)],
        net["width"].tolist(),
        list(first.activations),
        LOSSES[first.loss].link,
        first.encoding,
        int(model.n_features_in_),
        [str(name) for name in getattr(model, "feature_names_in_", ())],
        first.dtype,
    )


def _member(learnt, share):
    theta = learnt.theta(learnt.scaling, learnt.dtype)
    if not np.isfinite(theta).all():
        raise ValueError("The model has weights that are no finite numbers.")
    layers, at = [], 0
    for n_in, n_out in pairwise(learnt.network()["width"].tolist()):
        W, b = np.split(theta[at : at + (n_in + 1) * n_out].reshape(n_in + 1, n_out), [n_in])
        layers.append((W, b[0]))
        at += W.size + b.size
    return Member(float(share), layers, learnt.scaling)


def precision_of(parts, dtype, *others):
    """What is asked for, or None for that of training, as "float" or "double"; an error tells of
    others, too."""
    if dtype is None:
        return next(name for name, known in PRECISIONS.items() if known == parts.dtype)
    if dtype not in PRECISIONS:
        raise ValueError(f"dtype must be one of {[*PRECISIONS, *others]} or None, got {dtype!r}.")
    return dtype


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
