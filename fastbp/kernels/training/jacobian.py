"""The derivative of every output by every column of X, row after row.

The way back of `network.py`, begun at one output with 1 and ended at the inputs.
"""

from fastbp.kernels.formulas.activations import KEPT, activation, derivative
from fastbp.kernels.formulas.losses import mean_of, slope_of_mean
from fastbp.kernels.formulas.network import biases, weights
from fastbp.kernels.machine.compile import entry, njit, njit_sum
from fastbp.kernels.machine.views import vector


@entry
def jacobian_of_rows(net, theta, loss, X, slopes, column_of, room, y, J):
    """J[i, k, j] ← ∂ŷₖ/∂xⱼ and y[i, k] ← ŷₖ for every row i of X.

    Parameters
    ----------
    net : array of LAYER
        That of training, which says where σ′ is of z.
    theta : array of shape (n_parameters,)
    loss : int
        Its code, which knows the link.
    X : array of shape (n_rows, n_columns)
        What the network sees.
    slopes : array of shape (n_rows, n_columns - n_features)
        Of the columns behind the first n_features, each by the column that it is made of.
    column_of : array of shape (n_columns,)
        Which that is.
    room : array of shape (3, n_units)
        Where it works.
    y : array of shape (n_rows, n_outputs)
    J : array of shape (n_rows, n_outputs, n_features)
        Zeros.
    """
    m, n_units, n_features = net.size - 1, room.shape[1], J.shape[2]
    o, s, d = (
        vector(room, 0, n_units),
        vector(room, n_units, n_units),
        vector(room, 2 * n_units, n_units),
    )
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            o[j], s[j] = X[i, j], 1
        forward(net, theta, o, s)
        for k in range(net[m].width):
            y[i, k] = mean_of(loss, o[net[m].units_at + k])
            backward(net, theta, k, slope_of_mean(loss, y[i, k]), s, d)
            for j in range(X.shape[1]):
                slope = 1.0 if j < n_features else slopes[i, j - n_features]
                J[i, k, column_of[j]] += slope * d[j]


@njit
def forward(net, theta, o, s):
    """o and σ′ of every layer; o of the inputs is given."""
    for l in range(1, net.size):
        W, b, n_out = weights(theta, net, l), biases(theta, net, l), net[l].width
        before, here = net[l - 1].units_at, net[l].units_at
        for k in range(n_out):
            o[here + k] = b[k]
        for j in range(net[l - 1].width):
            add_product(o[before + j], vector(W, j * n_out, n_out), vector(o, here, n_out))
        for k in range(here, here + n_out):
            z = o[k]
            o[k] = activation(net[l].activation, z)
            if net[l].slope == KEPT:
                s[k] = derivative(net[l].activation, z)
            else:
                s[k] = derivative(net[l].slope, o[k])


@njit
def add_product(x, w, z):
    """z ← z + x w."""
    for k in range(z.size):
        z[k] += x * w[k]


@njit
def backward(net, theta, output, slope, s, d):
    """∂ŷ/∂z of every layer, and ∂ŷ/∂x of the inputs, for one of the outputs, with the `slope` of
    its link."""
    for l in range(net.size - 1, 0, -1):
        W, n_out = weights(theta, net, l), net[l].width
        before, here = net[l - 1].units_at, net[l].units_at
        for j in range(net[l - 1].width):
            if l == net.size - 1:
                d[before + j] = slope * W[j, output] * s[before + j]
            else:
                w = vector(W, j * n_out, n_out)
                d[before + j] = dot(w, vector(d, here, n_out)) * s[before + j]


@njit_sum
def dot(w, d):
    """Σ wₖ dₖ."""
    total = 0.0
    for k in range(w.size):
        total += w[k] * d[k]
    return total
