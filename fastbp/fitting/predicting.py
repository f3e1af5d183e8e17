"""Predictions of rows, and their derivatives."""

from functools import lru_cache

import numpy as np

from fastbp import converting, encodings, parameters
from fastbp.entries import Entries
from fastbp.fitting.interrupts import is_pressed_here
from fastbp.fitting.plan import CALL_FLOPS, aligned_zeros, row_numbers, team_for
from fastbp.fitting.team import CalledOff, Team
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.formulas.network import step_flops, without_inputs
from fastbp.kernels.training.jacobian import jacobian_of_rows
from fastbp.kernels.training.sparse import predict_sparse
from fastbp.kernels.training.tiled import TILED, predict


def predictions_of(learnt, model, X, columns, y, n_threads):
    """y ← ŷ for rows of X, by the network, which sees these columns of them, and the line."""
    inner = y if learnt.linear is None else np.empty(y.shape, learnt.inner_precision(X))
    predictions(model, columns, inner, n_threads)
    if learnt.linear is not None:
        learnt.add_linear(X, inner)
        y[:] = inner


def predictions(model, X, y, n_threads):
    """y ← ŷ for the rows of X, both in raw units.

    Parameters
    ----------
    model : Model
    X : ndarray of shape (n_rows, n_features), C-contiguous, read-only
        Or Entries, in the units of θ.
    y : ndarray of shape (n_rows, n_outputs)
    n_threads : int or None
    """
    _, n_bins, n_waves = model.sizes
    n_columns = X.shape[1] + n_bins + 2 * n_waves
    if (n_columns, y.shape[1]) != (model.net["width"][0], model.net["width"][-1]):
        # Kernels believe it.
        raise ValueError(f"The weights are not of {n_columns} columns and {y.shape[1]} outputs.")
    n_rows, kernel, is_sparse = max(len(X), 1), predict, isinstance(X, Entries)
    if is_sparse:
        model, kernel = for_entries(model, X), predict_sparse
    tile, flops, room_of_thread = tiles_of_rows(
        model.net.tobytes(), model.net.dtype, n_rows, model.theta.itemsize
    )
    pieces = -(-n_rows // tile)
    if n_threads is None:
        pieces = min(pieces, max(1, int(flops / CALL_FLOPS)))
    team = team_for(flops, pieces, n_threads, flops)
    room = aligned_zeros((team.n_threads, *room_of_thread), model.theta.dtype)
    if is_sparse:
        entries = X.rows._replace(data=converting.within(X.rows.data, model.limit))
        rows, nobody = (row_numbers(len(X)), entries), (row_numbers(0), entries)
    else:  # a column at a time of each tile is encoded, or the columns of a row
        size = max(tile, X.shape[1])
        encodes = n_columns > X.shape[1]
        encoding_room = np.empty((team.n_threads, size)) if encodes else None
        rows, nobody = (encoding_room, X), (encoding_room, X[:0])
    if team.n_threads > 1 or team.listens:  # compiled before they wait for it
        Team(1).run(kernel, model, tile, room, *nobody, y[:0])
    run_heard(team, kernel, model, tile, room, *rows, y)
    if model.rising:
        y.sort(axis=1)


@lru_cache(maxsize=256)
def tiles_of_rows(of_net, layer, n_rows, itemsize):
    """How rows are predicted by the network of these bytes: samples in a tile, floating-point
    operations, and the room that a thread works in. (Worked out anew, a third of the time that the
    prediction of a row takes.)"""
    net = np.frombuffer(of_net, layer)
    tile = TILED.cut(net, n_rows, itemsize).tile
    flops = step_flops(net, n_rows) / 3  # one of three products
    return tile, flops, TILED.room(net, tile, 1)[1:]


def for_entries(model, X):
    """The model that predicts the same from Entries without their centre."""
    net, theta = model.net, model.theta
    if X.rows.centre.size:
        theta = theta.copy()
        W, b = parameters.unpack(theta, net)
        b[0] -= np.einsum("j,jk->k", X.rows.centre, W[0])
    return model._replace(net=without_inputs(net), theta=theta)


def run_heard(team, kernel, *arguments):
    """Run a kernel whose threads don't meet, and that Ctrl-C ends, of the fit, too, in whose
    callback this may be."""
    try:
        return team.run(kernel, *arguments, stop=is_pressed_here, meets=False)
    except CalledOff:
        raise KeyboardInterrupt from None


def jacobian(learnt, X):
    """∂ŷ/∂x for rows of X, in raw units and float64.

    Parameters
    ----------
    learnt : Learnt
    X : {ndarray, sparse matrix} of shape (n_rows, n_features)

    Returns
    -------
    ndarray of shape (n_rows, n_outputs, n_features)
    """
    # Raw units may be far from 1, where float32 would round the answer away.
    net, theta = learnt.network(trained=True), learnt.theta(None, np.dtype(np.float64))
    (n_rows, n_features), encoding = X.shape, learnt.encoding
    if encoding is None:
        columns, column_of = converting.converted(X, np.float64), np.arange(n_features)
        slopes = np.empty((n_rows, 0))
    else:
        columns, column_of = encodings.converted(X, np.float64, encoding), encoding.column_of
        slopes = encodings.slopes(columns[:, :n_features], encoding)
    columns = converting.within(columns, parameters.limit_of(theta, net["width"].tolist()))
    room, y = np.empty((3, int(net["width"].sum()))), np.empty((n_rows, learnt.n_outputs))
    J = np.zeros((n_rows, learnt.n_outputs, n_features))
    jacobian_of_rows(net, theta, LOSSES[learnt.loss], columns, slopes, column_of, room, y, J)
    if learnt.rising:
        J = np.take_along_axis(J, np.argsort(y, axis=1)[:, :, None], axis=1)
    if learnt.linear is not None:
        J += learnt.linear.T
    return J
