"""Do the peers do the same work? A benchmark that compares unlike things is worthless."""

from functools import cache

import numpy as np
from peers import fastbp
from problems import table

#: Relative difference of losses that float32 may leave after a few epochs: sums are taken in
#: different orders, and PyTorch adds Adam's ε after the bias of its second moment is divided
#: out, the others before. Without Adam the difference is below 1e-6, and 4e-5 without PyTorch.
TOLERANCE = 3e-4

#: Steps after which losses are compared: enough that a wrong rule, rate or order shows, few
#: enough that rounding errors have not grown.
STEPS = 100


def check(problem, prepare):
    """Raise AssertionError unless a peer's losses are fastbp's, from equal weights and order."""
    expected = reference(problem)
    X, y = table(problem)
    losses = prepare(problem, X, y, shuffle=False)(len(expected))
    np.testing.assert_allclose(losses, expected, rtol=TOLERANCE)


@cache
def reference(problem):
    """Losses of fastbp's first epochs, unshuffled."""
    X, y = table(problem)
    epochs = int(np.clip(STEPS // problem.steps_per_epoch, 2, 4))
    losses = fastbp(problem, X, y, shuffle=False)(epochs)
    assert len(losses) == epochs
    assert losses[-1] < losses[0], "nothing was learned: the comparison would prove nothing"
    return losses
