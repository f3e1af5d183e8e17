"""Forward and backward through the network, for one tile of samples.

====================  ==========================================================
formula               here
====================  ==========================================================
θ, ∂L/∂θ              ``theta``, ``gradient``: flat, layer after layer, W then b
Wˡ (n_in, n_out), bˡ  ``weights(theta, net, l)``, ``biases(theta, net, l)``
Oˡ (n_units, n)       ``units(O, net, l)``: a sample is a column
Dˡ = ∂L/∂Zˡ           ``units(D, net, l)``
====================  ==========================================================

The products of matrices, `outputs`, `outer`, `sums` and `back`, are those of `products.py` for one
thread, or of `large.py` for several; `room` is where they work. `back` is its three formulas at
once: what reads the same numbers can read them together.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
Nature 323 (1986) 533-536.
"""

import numba
import numpy as np

from fastbp.kernels.machine.compile import inline
from fastbp.kernels.machine.views import layer_rows, layer_view


@inline
def forward(outputs, theta, net, O, room):
    """O⁰ is given."""
    for l in range(1, net.size):
        # Oˡ = σ(Wˡᵀ Oˡ⁻¹ + bˡ)
        W, b = weights(theta, net, l), biases(theta, net, l)
        outputs(net[l].activation, W, b, units(O, net, l - 1), units(O, net, l), room)


@inline
def backward(outer, sums, back, theta, net, O, D, room, gradient, begin):
    """Dᵐ is given; `begin` is ZERO, or RESUMED where other tiles have begun `gradient`."""
    m = net.size - 1
    # ∂L/∂bᵐ = Σ Dᵐ
    sums(units(D, net, m), biases(gradient, net, m), room, begin)
    for l in range(m, 1, -1):
        # ∂L/∂Wˡ   = Oˡ⁻¹ Dˡᵀ
        # Dˡ⁻¹     = (Wˡ Dˡ) ∘ σ′(Zˡ⁻¹)
        # ∂L/∂bˡ⁻¹ = Σ Dˡ⁻¹
        W, G = weights(theta, net, l), weights(gradient, net, l)
        O_before, D_here, D_before = units(O, net, l - 1), units(D, net, l), units(D, net, l - 1)
        g_before = biases(gradient, net, l - 1)
        back(net[l - 1].activation, W, O_before, D_here, D_before, G, g_before, room, begin)
    # ∂L/∂W¹ = O⁰ D¹ᵀ
    outer(units(O, net, 0), units(D, net, 1), weights(gradient, net, 1), room, begin)


#: The shape of a network as data, so that one compilation serves every shape: an entry a
#: layer, 0 (the inputs) to m (the outputs).
LAYER = np.dtype(
    [
        ("width", np.int64),
        ("activation", np.int64),
        ("weights_at", np.int64),  # where Wˡ begins in θ
        ("biases_at", np.int64),  # where bˡ begins in θ
        ("units_at", np.int64),  # the layer's first row in O and D
    ]
)


def as_layers(array):
    """What kernels take for a network: interpreted, they need fields that are attributes."""
    return array.view(np.recarray) if numba.config.DISABLE_JIT else array


#: Wˡ, a view of shape (units of layer l−1, units of layer l).
weights = layer_view("weights_at", ("width", -1), ("width", 0))

#: bˡ, a view of shape (units of layer l,).
biases = layer_view("biases_at", ("width", 0))

#: The rows of layer l in a tile, a view of shape (units of layer l, n).
units = layer_rows("units_at", "width")
