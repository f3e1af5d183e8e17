"""Dropout: in training, hidden units are left out at random (Srivastava et al., 2014).

Oˡ ← Oˡ ∘ Mˡ, and so σ′(Zˡ) ← σ′(Zˡ) ∘ Mˡ, where a mask's number is 0 for a unit that is left out,
else 1/(1 − p): means stay, and nothing is done where a network predicts. σ′ of such a layer is kept
from the way forward, as that of z is: on the way back nobody asks which it was.

A mask is a function of the training's seed, the epoch (and the window, of a large table), the unit
and the sample's place in the order there, whoever computes it: equal for all kernels and
precisions, and any number of threads. (By its place and not by its row: a row that comes twice in
an epoch, of a bootstrap, has two.)
"""

import numpy as np

from fastbp.kernels.formulas.activations import slopes_by_output
from fastbp.kernels.machine.compile import inline, njit
from fastbp.kernels.machine.counters import drawn, is_kept, share_of_kept
from fastbp.kernels.machine.views import least, vector

#: The key of masks where nothing is left out: of what predicts and is scored.
NO_MASKS = np.uint64(0)


@inline
def begin_masks(state):
    """The masks of a new epoch."""
    state.masks = drawn(state.masks, 0)


@inline
def is_thinned(net, l, masks):
    """Whether units of layer l are left out."""
    return masks != NO_MASKS and net[l].dropout > 0


@inline
def number_of(net, l, k):
    """Of unit k of layer l, among all hidden units."""
    return net[l].units_at - net[1].units_at + k


@inline
def drop(net, l, O, masks, place, room):
    """Leave units of layer l out of a tile, whose first sample has that place in the order."""
    if is_thinned(net, l, masks):
        drop_rows(net, l, O, masks, place, np.int64(0), net[l].width, room)


@inline
def keep_all(net, l, O, masks, place, room):
    """In the place of `drop`, where nothing is trained."""


@njit
def drop_rows(net, l, O, masks, place, first, stop, room):
    """As `drop`, for the units of the layer from `first` to `stop`; as many at a time as the room
    has masks for. (Drawn where they are multiplied with, masks take twice as long: LLVM then makes
    no vectors of their numbers.)"""
    n = O.shape[1]
    o = vector(O, (net[l].units_at + first) * n, (stop - first) * n)
    kept = vector(O, (net[l].slopes_at + first) * n, (stop - first) * n)
    slopes_by_output(net[l].activation, o, kept)
    at_a_time = room.size // n
    for begin in range(first, stop, at_a_time):
        end = least(begin + at_a_time, stop)
        at, size = (begin - first) * n, (end - begin) * n
        for k in range(begin, end):
            write_mask(net, l, k, masks, place, n, room, (k - begin) * n)
        thin(vector(o, at, size), room)
        thin(vector(kept, at, size), room)


@inline
def thin(o, mask):
    """o ← o ∘ mask, which may be longer."""
    for i in range(o.size):
        o[i] *= mask[i]


@njit
def write_mask(net, l, k, masks, place, n, M, at):
    """M[at:] ← the mask of unit k of layer l, for n samples: ones where the layer's
    units are all kept."""
    share, key = share_of_kept(1 - net[l].dropout), drawn(masks, number_of(net, l, k))
    zero, one = type(M[at])(0), type(M[at])(1 / (1 - net[l].dropout))
    for i in range(n):
        M[at + i] = one if is_kept(key, place + i, share) else zero


@inline
def thins(net, masks):
    """Whether units of any layer are left out."""
    any_layer = False
    for l in range(net.size):
        any_layer = any_layer or is_thinned(net, l, masks)
    return any_layer
