"""A trained network as one function of one row, to be called in a user's own compiled loops.

The formulas of `network.py` for a single sample, whose units take the lanes.
"""

import numba
import numpy as np

from fastbp.kernels.activations import activate
from fastbp.kernels.compile import entry
from fastbp.kernels.network import biases, weights
from fastbp.kernels.simd import affine_one
from fastbp.kernels.views import vector


def function_of_row(net, theta, X_mean, X_scale, y_mean, y_scale):
    """f(x) -> y, both in raw units; compiled when it is first called, the weights within it.

    Parameters
    ----------
    net, theta
        See `network.py`.
    X_mean, X_scale : arrays of shape (n_features,)
    y_mean, y_scale : arrays of shape (n_outputs,)

    Returns
    -------
    function of an array of shape (n_features,), returns an array of shape (n_outputs,), float64
    """
    n_features, n_outputs, widest = X_mean.size, y_mean.size, net["width"].max()
    real, wrong = theta.dtype, f"x must be a row of {X_mean.size} features"

    @numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
    def f(x):
        if x.ndim != 1 or x.size != n_features:
            raise ValueError(wrong)
        y, room = np.empty(n_outputs), np.empty(2 * widest, real)
        o, z = room[:widest], room[widest:]
        for j in range(n_features):
            o[j] = (x[j] - X_mean[j]) / X_scale[j]
        predict_row(net, theta, o, z)
        for k in range(n_outputs):
            y[k] = y_scale[k] * o[k] + y_mean[k]
        return y

    return f


@entry
def predict_row(net, theta, o, z):
    """o ← ŷ, where o was x; both o and z have room for the widest layer."""
    for l in range(1, net.size):
        z_l, o_l = vector(z, 0, net[l].width), vector(o, 0, net[l].width)
        affine_one(
            weights(theta, net, l), biases(theta, net, l), vector(o, 0, net[l - 1].width), z_l
        )
        activate(net[l].activation, z_l)
        for k in range(z_l.size):
            o_l[k] = z_l[k]
