"""The table of training problems, as data: every bench and every peer reads it from here."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A network, the way it is trained, and the size of its table.

    The number of rows is a multiple of the batch: a peer that compiles for one batch size
    needs no second program for a smaller last batch.
    """

    widths: tuple[int, ...]
    batch: int
    solver: str  # "sgd" is plain gradient descent, without momentum
    activation: str
    rows: int
    eta: float
    #: Networks whose time is arithmetic, judged by their share of the processor's ceiling.
    large: bool = False

    @property
    def name(self):
        widths = "-".join(map(str, self.widths))
        return f"{widths} b{self.batch} {self.solver} {self.activation}"

    @property
    def steps_per_epoch(self):
        return self.rows // self.batch


#: `BackpropRegressor` trains as its peers do: nothing adapts to the table.
PLAIN = {
    "learning_rate": "constant", "init": "glorot", "early_stopping": False, "weight_decay": 0.0,
    "beta_2": 0.999,
}  # fmt: skip

PROBLEMS = (
    Problem((2, 2, 1), 1, "sgd", "logistic", rows=4_000, eta=0.05),
    Problem((2, 2, 1), 32, "sgd", "logistic", rows=10_240, eta=0.05),
    Problem((8, 50, 1), 32, "sgd", "logistic", rows=10_240, eta=0.05),
    Problem((8, 50, 1), 32, "adam", "logistic", rows=10_240, eta=1e-3),
    Problem((8, 100, 1), 200, "adam", "relu", rows=10_000, eta=1e-3),
    Problem((8, 128, 128, 1), 64, "adam", "logistic", rows=10_240, eta=1e-3, large=True),
    Problem((16, 256, 256, 1), 256, "adam", "logistic", rows=10_240, eta=1e-3, large=True),
    Problem((128, 1024, 1024, 1), 1024, "adam", "relu", rows=4_096, eta=1e-4, large=True),
    # SimpleChains.jl's published problem: a step is an epoch.
    Problem((4, 32, 16, 4), 10_000, "adam", "tanh", rows=10_000, eta=1e-3, large=True),
)


def select(substring):
    """The problems whose name contains `substring`."""
    return [problem for problem in PROBLEMS if substring in problem.name]


def table(problem, seed=0):
    """X (rows, n_inputs) and y (rows, n_outputs), float32: a smooth function and noise.

    Inputs and outputs are of order one, so that no peer needs a scaler.
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((problem.rows, problem.widths[0]))
    directions = rng.standard_normal((problem.widths[0], problem.widths[-1]))
    y = np.sin(X @ directions / np.sqrt(problem.widths[0]))
    y += 0.1 * rng.standard_normal(y.shape)
    return X.astype(np.float32), y.astype(np.float32)


def first_weights(problem, seed=0):
    """Weights and biases of each layer, float32, as scikit-learn and fastbp draw them from `seed`.

    Both are given only the seed; the other peers are given these. `agreement.py` would notice
    if they were not the same.
    """
    rng = np.random.RandomState(seed)  # the generator that both of them use
    factor = 2.0 if problem.activation == "logistic" else 6.0
    layers = []
    for n_in, n_out in zip(problem.widths[:-1], problem.widths[1:], strict=True):
        bound = np.sqrt(factor / (n_in + n_out))
        W, b = (rng.uniform(-bound, bound, shape) for shape in ((n_in, n_out), n_out))
        layers.append((W.astype(np.float32), b.astype(np.float32)))
    return layers


def flops_per_step(problem):
    """Multiplications and additions of the matrix products of one training step.

    Forward Wᵀ O, gradient O Dᵀ and, except into the inputs, backward W D. Element-wise work
    is not counted, so that a share of the ceiling is never flattered by it.
    """
    weights = [
        n_in * n_out for n_in, n_out in zip(problem.widths[:-1], problem.widths[1:], strict=True)
    ]
    return 2 * problem.batch * (3 * sum(weights) - weights[0])
