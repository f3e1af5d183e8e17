"""Forward and backward through the network, for one tile of samples.

====================  ==========================================================
formula               here
====================  ==========================================================
θ, ∂L/∂θ              ``theta``, ``gradient``: flat, layer after layer, W then b
Wˡ (n_in, n_out), bˡ  ``weights(theta, net, l)``, ``biases(theta, net, l)``
Oˡ (n_units, n)       ``units(O, net, l)``: a sample is a column
Dˡ = ∂L/∂Zˡ           ``units(D, net, l)``
σ′(Zˡ)                by Oˡ, or where it was kept on the way forward:
                      ``slopes(O, net, l)``, which is Oˡ itself where it is by Oˡ
====================  ==========================================================

The products of matrices, `outputs`, `outer`, `sums` and `back`, are those of `products.py` for one
thread, or of `large.py` for several, as is `drop`; `room` is where they work. `back` is its three
formulas at once: what reads the same numbers can read them together.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
Nature 323 (1986) 533-536.
"""

from functools import lru_cache

import numba
import numpy as np

from fastbp.kernels.formulas.activations import ACTIVATIONS, KEPT
from fastbp.kernels.formulas.activations import TABLE as ACTIVATION_TABLE
from fastbp.kernels.machine.compile import inline
from fastbp.kernels.machine.views import layer_rows, layer_view


@inline
def forward(outputs, drop, theta, net, O, masks, place, room):
    """O⁰ is given; `masks` and `place` are for `drop`, see `dropout.py`."""
    forward_from(1, outputs, drop, theta, net, O, masks, place, room)


@inline
def forward_from(first, outputs, drop, theta, net, O, masks, place, room):
    """From the first of these layers on; O of the one before is given."""
    for l in range(first, net.size):
        # Oˡ = σ(Wˡᵀ Oˡ⁻¹ + bˡ)
        W, b = weights(theta, net, l), biases(theta, net, l)
        O_before, O_here, kept = units(O, net, l - 1), units(O, net, l), slopes(O, net, l)
        outputs(net[l].activation, W, b, O_before, O_here, kept, room)
        # Oˡ ← Oˡ ∘ Mˡ, while it is trained
        drop(net, l, O, masks, place, room)


@inline
def backward(outer, sums, back, theta, net, O, D, room, gradient, begin):
    """Dᵐ is given; `begin` is ZERO, or RESUMED where other tiles have begun `gradient`."""
    backward_to_first(sums, back, theta, net, O, D, room, gradient, begin)
    # ∂L/∂W¹ = O⁰ D¹ᵀ
    outer(units(O, net, 0), units(D, net, 1), weights(gradient, net, 1), room, begin)


@inline
def backward_to_first(sums, back, theta, net, O, D, room, gradient, begin):
    """As `backward`, all but ∂L/∂W¹."""
    m = net.size - 1
    # ∂L/∂bᵐ = Σ Dᵐ
    sums(units(D, net, m), biases(gradient, net, m), room, begin)
    for l in range(m, 1, -1):
        # ∂L/∂Wˡ   = Oˡ⁻¹ Dˡᵀ
        # Dˡ⁻¹     = (Wˡ Dˡ) ∘ σ′(Zˡ⁻¹)
        # ∂L/∂bˡ⁻¹ = Σ Dˡ⁻¹
        W, G = weights(theta, net, l), weights(gradient, net, l)
        O_before, D_here, D_before = units(O, net, l - 1), units(D, net, l), units(D, net, l - 1)
        kept, g_before = slopes(O, net, l - 1), biases(gradient, net, l - 1)
        back(net[l - 1].slope, W, O_before, kept, D_here, D_before, G, g_before, room, begin)


#: The shape of a network as data, so that one compilation serves every shape: an entry a
#: layer, 0 (the inputs) to m (the outputs).
LAYER = np.dtype(
    [
        ("width", np.int64),
        ("activation", np.int64),
        ("slope", np.int64),  # of which σ′ it is on the way back: the activation's code, or KEPT
        ("weights_at", np.int64),  # where Wˡ begins in θ
        ("biases_at", np.int64),  # where bˡ begins in θ
        ("units_at", np.int64),  # the layer's first row in O and D
        ("slopes_at", np.int64),  # the first row of what σ′ is taken from, in O
        ("dropout", np.float64),  # the part of its units that is left out while it is trained
    ]
)


def network(widths, activations, *, trained=False, dropout=(), by_entries=False):
    """The shape of a network, as the kernels read it.

    A tile of O has a row for each unit, one for each target, one for the samples' shares of the
    batch, and one for each σ′ that is kept.

    Parameters
    ----------
    widths : sequence of int
        Units of each layer, from the inputs to the outputs.
    activations : sequence of str
        Activation of each hidden layer; the output layer is linear.
    trained : bool, default=False
        Keep σ′(z) on the way forward where it is no function of σ(z).
    dropout : sequence of float, default=()
        The part of each hidden layer's units that is left out, where any is; needs `trained`. σ′ of
        these layers is kept, too: it is no function of what is left of σ(z).
    by_entries : bool, default=False
        The inputs are those of a sparse table, and have no rows in a tile.

    Returns
    -------
    net : recarray of shape (n_layers,), dtype LAYER
        Shared: not to be written to.
    """
    return _network(tuple(widths), tuple(activations), trained, tuple(dropout), by_entries)


@lru_cache(maxsize=64)
def _network(widths, activations, trained, dropout, by_entries):
    net = np.zeros(len(widths), LAYER)
    width = np.array(widths)
    n_weights = width[:-1] * width[1:]
    layer_sizes = n_weights + width[1:]
    net["width"] = width
    net["activation"][1:-1] = net["slope"][1:-1] = [ACTIVATIONS[name] for name in activations]
    net["units_at"][1:] = np.cumsum(width)[:-1]
    net["weights_at"][1:] = np.cumsum(layer_sizes) - layer_sizes
    net["biases_at"][1:] = net["weights_at"][1:] + n_weights
    net["slopes_at"] = net["units_at"]
    free = sum(widths) + widths[-1] + 1
    if dropout:
        net["dropout"][1:-1] = dropout
    for l, name in enumerate(activations, start=1):
        if trained and (ACTIVATION_TABLE[name].of_z or net["dropout"][l] > 0):
            net["slope"][l], net["slopes_at"][l] = KEPT, free
            free += widths[l]
    net = without_inputs(net) if by_entries else net
    net.flags.writeable = False
    # Kernels that are interpreted need fields that are attributes.
    return net.view(np.recarray) if numba.config.DISABLE_JIT else net


def n_parameters(net):
    """Number of weights and biases, the length of θ."""
    return int(net["biases_at"][-1] + net["width"][-1])


def without_inputs(net):
    """The network whose inputs are those of a sparse table."""
    if is_by_entries(net):
        return net
    net = net.copy()
    for at in ("units_at", "slopes_at"):
        net[at][1:] -= net["width"][0]
    net.flags.writeable = False
    return net


def is_by_entries(net):
    """Whether the inputs are those of a sparse table."""
    return int(net["units_at"][1]) == 0


def tile_rows(net):
    """Rows of a tile of O."""
    widths = net["width"].tolist()  # of so few numbers, Python's sum is the faster one
    kept = sum(w for w, slope in zip(widths, net["slope"].tolist(), strict=True) if slope == KEPT)
    return int(net["units_at"][-1]) + 2 * widths[-1] + 1 + kept


def step_flops(net, batch_size):
    """Floating-point operations of a step, nearly: three products, forward and back; of the first
    weights of a sparse table, the update alone, which is by far the most of it."""
    n = n_parameters(net)
    if is_by_entries(net):
        first = int(net["width"][0] * net["width"][1])
        return 6 * (n - first) * batch_size + 12 * first
    return 6 * n * batch_size


#: Wˡ, a view of shape (units of layer l−1, units of layer l).
weights = layer_view("weights_at", ("width", -1), ("width", 0))

#: bˡ, a view of shape (units of layer l,).
biases = layer_view("biases_at", ("width", 0))

#: The rows of layer l in a tile, a view of shape (units of layer l, n).
units = layer_rows("units_at", "width")

#: The rows that σ′ of layer l is taken from.
slopes = layer_rows("slopes_at", "width")
