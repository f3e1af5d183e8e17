"""Small neural networks for regression, trained in compiled kernels."""

from importlib import import_module

from fastbp import starting

if starting.as_command():
    starting.leave_on_ctrl_c()

from fastbp.ensemble import BackpropEnsembleRegressor
from fastbp.estimator import BackpropRegressor
from fastbp.tabular.vectorizer import (
    TableVectorizer,
    load_pipeline,
    save_pipeline,
    tabular_pipeline,
)
from fastbp.warmup import warm_up

__all__ = [
    "BackpropEnsembleRegressor",
    "BackpropRegressor",
    "TableVectorizer",
    "load_pipeline",
    "save_pipeline",
    "tabular_pipeline",
    "warm_up",
]
__version__ = "0.1.0"


def __getattr__(name):
    if name == "explain":  # imported when it is first asked for
        return import_module("fastbp.explain")
    raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
