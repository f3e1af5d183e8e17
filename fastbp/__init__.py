"""Small neural networks for regression, trained in compiled kernels."""

from fastbp.ensemble import BackpropEnsembleRegressor
from fastbp.estimator import BackpropRegressor
from fastbp.warmup import warm_up

__all__ = ["BackpropEnsembleRegressor", "BackpropRegressor", "warm_up"]
__version__ = "0.1.0"
