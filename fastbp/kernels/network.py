"""Forward and backward through the network, for one tile of samples.

====================  ==========================================================
formula               here
====================  ==========================================================
θ, ∂L/∂θ              ``theta``, ``gradient``: flat, layer after layer, W then b
Wˡ (n_in, n_out), bˡ  ``weights(theta, net, l)``, ``biases(theta, net, l)``
Oˡ (n_units, n)       ``units(O, net, l)``: a sample is a column
Dˡ = ∂L/∂Zˡ           ``units(D, net, l)``
====================  ==========================================================

The products of matrices, `outputs`, `outer`, `sums` and `errors`, are those of `simd.py` for one
thread, or of `large.py` for several; `room` is where they work.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
Nature 323 (1986) 533-536.
"""

import numba
import numpy as np

from fastbp.kernels.compile import inline
from fastbp.kernels.views import layer_rows, layer_view


@inline
def forward(outputs, theta, net, O, room):
    """O⁰ is given."""
    for l in range(1, net.size):
        # Oˡ = σ(Wˡᵀ Oˡ⁻¹ + bˡ)
        W, b = weights(theta, net, l), biases(theta, net, l)
        outputs(net[l].activation, W, b, units(O, net, l - 1), units(O, net, l), room)


@inline
def backward(outer, sums, errors, theta, net, O, D, room, gradient, begin):
    """Dᵐ is given; `begin` is ZERO, or RESUMED where other tiles have begun `gradient`."""
    for l in range(net.size - 1, 0, -1):
        # ∂L/∂Wˡ = Oˡ⁻¹ Dˡᵀ,  ∂L/∂bˡ = Σ Dˡ
        O_before, D_here = units(O, net, l - 1), units(D, net, l)
        outer(O_before, D_here, weights(gradient, net, l), room, begin)
        sums(D_here, biases(gradient, net, l), room, begin)
        if l > 1:
            # Dˡ⁻¹ = (Wˡ Dˡ) ∘ σ′(Zˡ⁻¹)
            W, D_before = weights(theta, net, l), units(D, net, l - 1)
            errors(net[l - 1].activation, W, D_here, O_before, D_before, room)


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
