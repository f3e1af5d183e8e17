"""The loss and its gradient over all samples at once."""

import time

from fastbp.fitting.headcount import Headcount
from fastbp.fitting.interrupts import is_pressed_here
from fastbp.fitting.plan import CALL_FLOPS, aligned_zeros, for_kernels, layout, samples_of
from fastbp.fitting.state import OptimizerState
from fastbp.fitting.team import CalledOff, Team
from fastbp.kernels.formulas.network import is_by_entries, n_parameters, step_flops
from fastbp.kernels.training.large import LARGE
from fastbp.kernels.training.sparse import SPARSE, sparse_loss_gradient
from fastbp.kernels.training.tiled import TILED, loss_gradient


class FullBatch:
    """L and ∂L/∂θ over all samples at once, as a function of θ.

    Parameters
    ----------
    net : recarray, see `network.network`
    dtype : numpy.dtype
        Of θ.
    samples : Samples
    settings : see `settings_of`
    """

    def __init__(self, net, dtype, samples, settings):
        self.samples, self.theta = samples, aligned_zeros((n_parameters(net),), dtype)
        n, itemsize = samples.order.size, self.theta.itemsize
        # Of a large network the tiles that its weights are worth, but a gradient for each thread.
        kernel, self.kernel = TILED, loss_gradient
        if is_by_entries(net):
            kernel, self.kernel = SPARSE, sparse_loss_gradient
        elif LARGE.suits(net, n, itemsize):
            kernel = TILED._replace(cut=lambda *of: LARGE.cut(*of)._replace(parts=2))
        state = OptimizerState.start(settings, self.theta, seed=0)
        self.training, self.team = layout(
            kernel, net, settings, max(n, 1), self.theta, state, self.theta[:0]
        )
        if settings.n_threads is None and step_flops(net, n) < CALL_FLOPS:
            self.team = Team(1, listens=self.team.listens)
        self.headcount = Headcount(self.team)
        if self.team.n_threads > 1 or self.team.listens:  # compiled before they wait for it
            nobody = samples._replace(order=samples.order[:0])
            self.run(Team(1), nobody)

    def __call__(self, theta, stop=is_pressed_here):
        """L, and ∂L/∂θ, which the next call overwrites; `CalledOff` if ``stop()`` says so."""
        self.theta[:] = theta
        start = time.perf_counter()
        loss = self.run(self.headcount.team, self.samples, stop)
        self.headcount.note(1, time.perf_counter() - start)
        return loss, self.training.gradients[0]

    def run(self, team, samples, stop=None):
        """Run the kernel."""
        return team.run(self.kernel, self.training, for_kernels(samples), stop=stop)


def loss_and_gradient(net, theta, X, y, sample_weight, settings):
    """L and ∂L/∂θ over all samples, without the penalty on the weights."""
    function = FullBatch(net, theta.dtype, samples_of(X, y, sample_weight), settings)
    function.training.recipe["alpha"], function.training.recipe["loss_scale"] = 0.0, 1.0
    try:
        return function(theta)
    except CalledOff:
        raise KeyboardInterrupt from None
