"""Forward and backward through the network, for one tile of samples.

====================  ==========================================================
formula               here
====================  ==========================================================
θ, ∂L/∂θ              ``theta``, ``gradient``: flat, layer after layer, W then b
Wˡ (n_in, n_out), bˡ  ``weights(theta, net, l)``, ``biases(theta, net, l)``
Oˡ (n_units, n)       ``units(O, net, l)``: a sample is a column
Zˡ                    ``units(Z, net, l)``, in the place where Dˡ will be
Dˡ = ∂L/∂Zˡ           ``units(D, net, l)``
====================  ==========================================================

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
Nature 323 (1986) 533-536.
"""

import numba
import numpy as np

from fastbp.kernels.activations import activate, times_derivative
from fastbp.kernels.compile import inline
from fastbp.kernels.simd import affine, outer, product, sums
from fastbp.kernels.views import layer_rows, layer_view


@inline
def forward(theta, net, O, Z, scratch):
    """O⁰ is given; Zˡ = Wˡᵀ Oˡ⁻¹ + bˡ, Oˡ = σ(Zˡ) for every layer."""
    for l in range(1, net.size):
        W, b = weights(theta, net, l), biases(theta, net, l)
        affine(W, b, units(O, net, l - 1), units(Z, net, l), scratch)
        activate(net[l].activation, units(Z, net, l), units(O, net, l))


@inline
def backward(theta, net, O, D, scratch, gradient, begin):
    """Dᵐ is given; `begin` is ZERO, or RESUMED where other tiles have begun `gradient`."""
    for l in range(net.size - 1, 0, -1):
        # ∂L/∂Wˡ = Oˡ⁻¹ Dˡᵀ,  ∂L/∂bˡ = Σ Dˡ
        outer(units(O, net, l - 1), units(D, net, l), weights(gradient, net, l), scratch, begin)
        sums(units(D, net, l), biases(gradient, net, l), begin)
        if l > 1:
            # Dˡ⁻¹ = (Wˡ Dˡ) ∘ σ′(Zˡ⁻¹)
            product(weights(theta, net, l), units(D, net, l), units(D, net, l - 1), scratch)
            times_derivative(net[l - 1].activation, units(O, net, l - 1), units(D, net, l - 1))


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
