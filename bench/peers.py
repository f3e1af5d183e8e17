"""The peers: one function each, all with the same interface and all doing the same work.

``prepare(problem, X, y, shuffle=True)`` returns ``train``; ``train(epochs)`` is one whole fit
from the same first weights and returns the loss of each epoch, as fastbp reports it: the mean
over samples of the squared error, summed over outputs. ``train`` returns only when the work is
done.

Equal work means, in float32 throughout:

- the same number of batches, in a new order each epoch (``shuffle=True``), the order drawn
  inside the clock;
- θ ← θ − η ∂L/∂θ or Adam, with ∂L/∂θ of the loss above;
- the loss of every batch is added up for the report, nothing is validated, nothing stops early.

scikit-learn minimises half of the squared error. Twice η (sgd), or half of ε (adam, whose step
does not depend on the gradient's scale otherwise) makes its steps equal to the others'.
"""

import importlib.util
import warnings

import numpy as np
from machine import cores
from problems import PLAIN, first_weights

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def fastbp(problem, X, y, shuffle=True, threads=None):
    """`BackpropRegressor.fit`, with its default number of threads unless told otherwise."""
    from fastbp import BackpropRegressor

    y = np.squeeze(y)

    def train(epochs):
        model = BackpropRegressor(
            problem.widths[1:-1],
            problem.activation,
            **PLAIN,
            solver=problem.solver,
            momentum=0.0,
            batch_size=problem.batch,
            learning_rate_init=problem.eta,
            max_iter=epochs,
            shuffle=shuffle,
            random_state=0,
            standardize=False,
            tol=0.0,
            n_iter_no_change=np.inf,
            n_threads=threads,
        )
        return np.array(model.fit(X, y).loss_curve_)

    return train


def sklearn(problem, X, y, shuffle=True):
    """`MLPRegressor.fit`; float32 because X is."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    sgd = problem.solver == "sgd"
    y, n_outputs = np.squeeze(y), y.shape[1]

    def train(epochs):
        model = MLPRegressor(
            hidden_layer_sizes=problem.widths[1:-1],
            activation=problem.activation,
            solver=problem.solver,
            momentum=0.0,
            nesterovs_momentum=False,
            alpha=0.0,
            batch_size=problem.batch,
            learning_rate_init=2 * problem.eta if sgd else problem.eta,
            epsilon=EPSILON / 2,
            max_iter=epochs,
            shuffle=shuffle,
            random_state=0,
            tol=0.0,
            n_iter_no_change=np.inf,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        # It reports half of the mean over samples and outputs.
        return 2 * n_outputs * np.array(model.loss_curve_)

    return train


def torch(problem, X, y, shuffle=True, threads=None):
    """`nn.Sequential`, autograd, `torch.optim`; on all threads unless told otherwise.

    The table is gathered once an epoch and batches are slices of it, which costs less than an
    index for each batch, and far less than a `DataLoader`.
    """
    import torch

    X, y = torch.from_numpy(X), torch.from_numpy(y)
    n_outputs = y.shape[1]

    def train(epochs):
        torch.set_num_threads(threads or cores())
        torch.manual_seed(0)
        model = _torch_network(problem)
        optimizer = _torch_optimizer(problem, model)
        losses = []
        for _ in range(epochs):
            Xs, ys = X, y
            if shuffle:
                order = torch.randperm(problem.rows)
                Xs, ys = X[order], y[order]
            parts = []
            for x, target in zip(Xs.split(problem.batch), ys.split(problem.batch), strict=True):
                optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.mse_loss(model(x), target)
                if n_outputs > 1:  # it is the mean over outputs too
                    loss = loss * n_outputs
                loss.backward()
                optimizer.step()
                parts.append(loss.detach())
            losses.append(torch.stack(parts).mean())
        return torch.stack(losses).numpy()

    return train


def torch_one_thread(problem, X, y, shuffle=True):
    """PyTorch on one thread: small networks gain nothing from more."""
    return torch(problem, X, y, shuffle, threads=1)


def _torch_network(problem):
    from torch import from_numpy, nn, no_grad

    activation = {"logistic": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}[problem.activation]
    layers = []
    for W, b in first_weights(problem):
        linear = nn.Linear(*W.shape)
        with no_grad():
            linear.weight.copy_(from_numpy(W.T))
            linear.bias.copy_(from_numpy(b))
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def _torch_optimizer(problem, model):
    """The fused kernels: the fastest of fused, foreach and plain loop on every problem here."""
    from torch import optim

    if problem.solver == "sgd":
        return optim.SGD(model.parameters(), problem.eta, fused=True)
    return optim.Adam(
        model.parameters(), problem.eta, betas=(BETA_1, BETA_2), eps=EPSILON, fused=True
    )


def jax(problem, X, y, shuffle=True):
    """The whole fit in one jit: `lax.scan` over epochs and steps, the orders from NumPy.

    Gathering a batch in its step is as fast as gathering the table once an epoch, and unrolling
    the scan gains a tenth at most, and loses a third elsewhere.
    It compiles again for every shape, number of epochs included; call it once before timing.
    """
    import jax

    X, y = jax.numpy.asarray(X), jax.numpy.asarray(y)
    fit = jax.jit(_jax_fit(problem), donate_argnums=0)

    def train(epochs):
        layers = [tuple(map(jax.numpy.array, layer)) for layer in first_weights(problem)]
        orders = _orders(problem, epochs, shuffle)
        return np.asarray(fit(layers, X, y, orders)[1])

    return train


def _orders(problem, epochs, shuffle):
    """Rows of each batch of each epoch, (epochs, steps, batch), int32."""
    orders = np.tile(np.arange(problem.rows, dtype=np.int32), (epochs, 1))
    if shuffle:
        rng = np.random.default_rng(0)
        for order in orders:
            rng.shuffle(order)
    return orders.reshape(epochs, problem.steps_per_epoch, problem.batch)


def _jax_fit(problem):
    """fit(layers, X, y, orders) -> (layers, losses): pure, for `jax.jit`."""
    from jax import lax, nn, value_and_grad
    from jax import numpy as jnp

    activation = {"logistic": nn.sigmoid, "tanh": jnp.tanh, "relu": nn.relu}[problem.activation]
    start, update = _jax_sgd(problem) if problem.solver == "sgd" else _jax_adam(problem)

    # A sample as a row or as a column: whichever XLA compiles to the faster program.
    columns = max(problem.widths) < 50

    def affine(W, b, o):
        return W.T @ o + b[:, None] if columns else o @ W + b

    def loss(layers, x, y):
        o, y = (x.T, y.T) if columns else (x, y)
        for W, b in layers[:-1]:
            o = activation(affine(W, b, o))
        return jnp.sum((affine(*layers[-1], o) - y) ** 2) / len(x)

    def fit(layers, X, y, orders):
        def step(carry, rows):
            layers, memory = carry
            value, gradient = value_and_grad(loss)(layers, X[rows], y[rows])
            return update(layers, gradient, memory), value

        def epoch(carry, order):
            carry, values = lax.scan(step, carry, order)
            return carry, values.mean()

        (layers, _), losses = lax.scan(epoch, (layers, start(layers)), orders)
        return layers, losses

    return fit


def _jax_sgd(problem):
    from jax.tree_util import tree_map

    def update(theta, g, memory):
        return tree_map(lambda p, g: p - problem.eta * g, theta, g), memory

    return lambda theta: (), update


def _jax_adam(problem):
    """Adam's moments, and the powers of β carried along."""
    from jax import numpy as jnp
    from jax.tree_util import tree_map

    def start(theta):
        zeros = tree_map(jnp.zeros_like, theta)
        return zeros, zeros, jnp.float32(1), jnp.float32(1)

    def update(theta, g, memory):
        m, v, power_1, power_2 = memory
        power_1, power_2 = power_1 * BETA_1, power_2 * BETA_2
        m = tree_map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, g)
        v = tree_map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, v, g)
        eta = problem.eta * jnp.sqrt(1 - power_2) / (1 - power_1)
        theta = tree_map(lambda p, m, v: p - eta * m / (jnp.sqrt(v) + EPSILON), theta, m, v)
        return theta, (m, v, power_1, power_2)

    return start, update


#: Columns of every table: name, (its `prepare`, the package it needs).
PEERS = {
    "fastbp": (fastbp, "fastbp"),
    "scikit-learn": (sklearn, "sklearn"),
    "PyTorch": (torch, "torch"),
    "PyTorch, 1 thread": (torch_one_thread, "torch"),
    "JAX": (jax, "jax"),
}


def installed(names=tuple(PEERS)):
    """`prepare` of each of these peers, by name, as far as it is installed."""
    return {name: PEERS[name][0] for name in names if importlib.util.find_spec(PEERS[name][1])}
