"""Small neural networks for regression, trained in compiled kernels."""

from fastbp.estimator import BackpropRegressor

__all__ = ["BackpropRegressor"]
__version__ = "0.1.0"
