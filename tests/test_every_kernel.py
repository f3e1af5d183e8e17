"""Every kernel that trains, whatever the network's size, against the plain NumPy of `descent.py`.

Which kernel a fit takes depends on its network: a test of one network sees one kernel. Here each is
pinned, and held to the same courses: all weights, losses and scores of a few epochs. Whoever adds a
kernel to `conftest.py`, or a row to a table of `reference.py` or `descent.py`, is tested unasked.
"""

from functools import cache
from typing import NamedTuple

import descent
import numpy as np
import pytest
import reference
from conftest import TRAINING
from descent import OPTIMIZERS, PRECISIONS, assert_same_weights
from founding import founding
from numpy.testing import assert_allclose, assert_array_equal
from reference import ACTIVATIONS, LOSSES
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropRegressor

#: Hidden layers of more than an octet of units and of fewer: online, they are two programs.
WIDE, SLIM = (18, 9), (3, 2)


class Case(NamedTuple):
    """A fit: by default one of everything that may go wrong.

    Of its four batches, one has no weight and the last is smaller; each is several tiles, the last
    of which is smaller, in parts of one tile and of two.
    """

    optimizer: str = "adam"
    loss: str = "half_squared_error"
    activation: str = "tanh"  # of the first hidden layer, and others after it
    hidden: tuple = WIDE
    n_outputs: int = 2
    n_samples: int = 295
    batch_size: int = 85
    empty: int | None = 1  # which batch has no weight; None: no sample has one
    eta: float = 0.01
    alpha: float = 0.3
    held_out: str | None = "weighted"  # or "equal", "constant"
    by_output: bool = False  # each output has weights of its own, in validation, too
    shuffle: bool = False
    params: tuple = ()  # pairs, of other parameters

    def of_kernel(self, kernel):
        """As that kernel can train it."""
        if kernel != "online":
            return self
        return self._replace(n_samples=29, batch_size=1, eta=0.2 * self.eta)

    def activations(self):
        names = list(ACTIVATIONS)
        first = names.index(self.activation)
        return [names[(first + l) % len(names)] for l in range(len(self.hidden))]

    def both(self):
        """The parameters that the estimator and the reference share."""
        given = {"batch_size": self.batch_size, "alpha": self.alpha, "max_iter": 4}
        return given | {"learning_rate": "constant"} | dict(self.params)

    def drops(self):
        return "dropout" in dict(self.params)

    def start(self):
        return reference.random_network([3, *self.hidden, self.n_outputs], self.activations())


#: For what is the same in all epochs, or in all steps between the gradient and θ: "sparse" has the
#: steps of "large" but for the first layer.
own_epochs = pytest.mark.parametrize(
    "kernel", [name for name in TRAINING if name != "sparse"], indirect=True
)

PLAIN = Case(empty=None, alpha=0.0, held_out=None)


@cache
def samples_of(case):
    """X, Y and weights to train on, and what is held out.

    That is what the network is after the second of four epochs, and noise: so the best is neither
    the first nor the last. One output varies much more than the others.
    """
    random, n = np.random.default_rng(3), case.n_samples
    X, weight = random.normal(size=(n, 3)), None
    Y = np.sin(X @ random.normal(size=(3, case.n_outputs))) + X[:, :1]
    Y[:, 0] *= 3
    Y = LOSSES[case.loss].target(Y)
    if case.empty is not None:
        weight = random.uniform(0.5, 2, n) * (random.uniform(size=n) < 0.7)
        weight[case.batch_size * case.empty :][: case.batch_size] = 0
    if case.by_output:  # that of an output is often missing, and others differ
        weight = (np.ones(n) if weight is None else weight)[:, None]
        weight = weight * random.uniform(0.5, 2, (n, case.n_outputs))
        weight *= random.uniform(size=(n, case.n_outputs)) < 0.6
    if case.held_out is None:
        return X, Y, weight, None
    X_val = random.normal(size=(37, 3))
    networks = course_of(case._replace(held_out=None, shuffle=False, params=())).networks
    Y_val = reference.predict(networks[1], X_val)
    Y_val += random.normal(0, 0.1 * Y_val.std(axis=0), Y_val.shape)
    Y_val = LOSSES[case.loss].mean(Y_val)
    if case.held_out == "constant":
        Y_val[:, -1] = 0.5
    shape = (37, case.n_outputs) if case.by_output else 37
    weight_val = random.uniform(0, 2, shape) if case.held_out == "weighted" else np.ones(shape)
    if case.held_out == "a part":  # one of the outputs is not there at all
        weight_val = weight_val * (np.arange(case.n_outputs) > 0)
    return X, Y, weight, descent.HeldOut(X_val, Y_val, weight_val)


@cache
def course_of(case, orders=None, seed=0):
    """The reference's training; in other `orders` than the table's, if they are given."""
    start, (X, Y, weight, held_out) = case.start(), samples_of(case)
    _, rule = OPTIMIZERS[case.optimizer]
    shared = case.both() | {"orders": orders, "seed": seed}
    return descent.fit(start, case.loss, rule(case.eta), X, Y, weight, held_out, **shared)


@pytest.fixture
def model_for(model_of):
    """Makes a model with a case's first weights."""

    def model_for(case, dtype="float64"):
        params, _ = OPTIMIZERS[case.optimizer]
        shared = {"loss": case.loss, "learning_rate_init": case.eta, "random_state": 0}
        shared |= LOSSES[case.loss].params
        return model_of(case.start(), dtype=dtype, **shared, **params)

    return model_for


def fit(model, case, **params):
    """The model, trained as the case says, but for `params`."""
    X, Y, weight, held_out = samples_of(case)
    model.set_params(**case.both() | {"shuffle": case.shuffle} | params)
    validation = {}
    if held_out is not None:
        validation = {"X_val": held_out.X, "y_val": as_target(held_out.Y)}
        if case.held_out in ("weighted", "a part"):
            validation["sample_weight_val"] = held_out.weight
    return model.fit(X, as_target(Y), weight, **validation)


def as_target(Y):
    """As the estimator takes it: one output is a vector."""
    return Y if Y.shape[1] > 1 else Y[:, 0]


@pytest.fixture
def assert_as_the_reference(kernel, model_for, orders, seed):
    """That a case is trained as the reference trains it, in any number of threads."""

    def check(case, dtype):
        case = case.of_kernel(kernel)
        order = orders(case.n_samples, 4) if case.shuffle else None
        course = course_of(case, order, seed if case.drops() else 0)
        tolerance = PRECISIONS[dtype]
        model = fit(model_for(case, dtype), case, n_threads=1)
        assert model.n_iter_ == len(course.losses)
        assert model.kernel_ == kernel
        assert_allclose(model.loss_curve_, course.losses, **tolerance)
        if case.held_out is not None:
            assert_allclose(model.validation_scores_, course.validation_scores, **tolerance)
            assert_allclose(model.validation_loss_curve_, course.validation_losses, **tolerance)
        assert_same_weights(model, course.best(), **tolerance)
        for n_threads in (
            (2, 3) if kernel in ("tiled", "large", "sparse") else (3,)
        ):  # others train in one
            other = fit(model_for(case, dtype), case, n_threads=n_threads)
            assert_array_equal(everything(other), everything(model))

    return check


def everything(model):
    """All that a fit has found out, in one vector."""
    curves = model.loss_curve_, model.validation_scores_ or [], model.validation_loss_curve_ or []
    return np.concatenate([np.ravel(a) for a in (*model.coefs_, *model.intercepts_, *curves)])


# ---------------------------------------------------------- whole courses, step by step


def test_the_reference_knows_every_row_of_every_table():
    known = BackpropRegressor._parameter_constraints
    assert known["loss"][0].options == LOSSES.keys()
    assert known["activation"][0].options == ACTIVATIONS.keys()
    makes_steps = known["solver"][0].options - {"lbfgs"}
    assert makes_steps == {params["solver"] for params, _ in OPTIMIZERS.values()}


def test_the_best_epoch_is_neither_the_first_nor_the_last():
    """Else weights that are not kept, or never given back, would not be missed."""
    for kernel in ("online", "others"):
        scores = course_of(Case().of_kernel(kernel)).validation_scores
        assert 0 < np.argmax(scores) < len(scores) - 1


def test_r2_and_another_loss_differ_in_which_epoch_is_the_best():
    """Else weights that are best by the wrong one would not be missed."""
    for kernel in ("online", "others"):
        course = course_of(VARIATIONS["the best by the loss"].of_kernel(kernel))
        assert np.argmax(course.validation_scores) != np.argmin(course.validation_losses)


def rows_together():
    """Every optimiser with every loss, and with every activation; the third goes round, and so does
    the precision."""
    losses, activations, dtypes = list(LOSSES), list(ACTIVATIONS), list(PRECISIONS)
    together = set()
    for i, optimizer in enumerate(OPTIMIZERS):
        for k, loss in enumerate(losses):
            activation, dtype = activations[(i + k) % len(activations)], dtypes[(i + k) % 2]
            together.add((loss, activation, optimizer, dtype))
        for k, activation in enumerate(activations):
            dtype = dtypes[(i + k) % 2]
            together.add((losses[(i + k) % len(losses)], activation, optimizer, dtype))
    return sorted(together)


@own_epochs
@pytest.mark.parametrize(("loss", "activation", "optimizer", "dtype"), rows_together())
def test_every_row_of_every_table(loss, activation, optimizer, dtype, assert_as_the_reference):
    case = Case(loss=loss, activation=activation, optimizer=optimizer)
    assert_as_the_reference(case, dtype)


@pytest.mark.parametrize("kernel", ["sparse"], indirect=True)
@pytest.mark.parametrize(
    ("loss", "activation", "optimizer", "dtype"), [row for row in rows_together() if "adam" in row]
)
def test_rows_of_every_table_above_the_entries_of_a_sparse_one(
    loss, activation, optimizer, dtype, assert_as_the_reference
):
    case = Case(loss=loss, activation=activation, optimizer=optimizer)
    assert_as_the_reference(case, dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("hidden", [WIDE, SLIM, ()], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@own_epochs
def test_every_optimizer_without_weights_and_penalty(
    optimizer, hidden, dtype, assert_as_the_reference
):
    assert_as_the_reference(PLAIN._replace(optimizer=optimizer, hidden=hidden), dtype)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_with_weights_of_each_output(loss, assert_as_the_reference):
    dtype = list(PRECISIONS)[list(LOSSES).index(loss) % 2]
    assert_as_the_reference(Case(loss=loss, by_output=True, shuffle=True), dtype)


RESTLESS = (("max_iter", 30), ("n_iter_no_change", 2), ("tol", 0.3))

SHORT = (("max_grad_norm", 0.7),)

VARIATIONS = {
    "few units": Case(hidden=SLIM),
    "few units, sgd": Case(hidden=SLIM, optimizer="sgd"),
    "no hidden layer": Case(hidden=()),
    "one hidden layer": Case(hidden=(7,)),
    "three hidden layers": Case(hidden=(5, 9, 4)),
    "more parameters than are updated at a time": Case(hidden=(40, 33)),
    "one output": Case(n_outputs=1),
    "nine outputs": Case(n_outputs=9),
    "equal weights": Case(empty=None),
    "weights of each output": Case(by_output=True, n_outputs=9, empty=None, alpha=0.0),
    "weights of each output, few units": Case(by_output=True, hidden=SLIM, optimizer="sgd"),
    "an output that is not held out": Case(by_output=True, held_out="a part", n_outputs=3),
    "shuffled": Case(shuffle=True),
    "shuffled, equal weights": Case(shuffle=True, empty=None),
    "no penalty": Case(alpha=0.0),
    "weights, sgd, no penalty": Case(alpha=0.0, optimizer="sgd"),
    "penalty, sgd, equal weights": Case(empty=None, optimizer="sgd"),
    "the first batch is empty": Case(empty=0),
    "the last batch is empty": Case(empty=3),
    "no validation": Case(held_out=None),
    "equal weights in validation": Case(held_out="equal"),
    "a constant output in validation": Case(held_out="constant"),
    "whole tiles": PLAIN._replace(batch_size=64, n_samples=128, alpha=0.1),
    "parts of three tiles": Case(batch_size=150, empty=None),
    "two parts": Case(batch_size=17, n_samples=60),
    "batches of less than a tile": Case(batch_size=5, n_samples=33),
    "batches of one sample": Case(batch_size=1, n_samples=29),
    "one batch": Case(batch_size=295, empty=None),
    "batches larger than the table": PLAIN._replace(batch_size=1000, n_samples=40),
    "weights decay": Case(params=(("weight_decay", 0.5),)),
    "weights decay, sgd": PLAIN._replace(optimizer="sgd", params=(("weight_decay", 0.5),)),
    "a shortened gradient": Case(params=(("max_grad_norm", 0.7),)),
    "a shortened gradient, sgd": PLAIN._replace(optimizer="sgd", params=SHORT),
    "a shortened gradient, few units": PLAIN._replace(
        optimizer="sgd", hidden=SLIM, params=(*SHORT, ("weight_decay", 0.5))
    ),
    "a shortened gradient of many parameters": Case(
        hidden=(40, 33), params=(*SHORT, ("weight_decay", 0.5))
    ),
    "units are dropped": Case(activation="logistic", params=(("dropout", (0.5, 0.25)),)),
    "units of one layer are dropped": Case(
        hidden=(5, 9, 4), activation="silu", shuffle=True, params=(("dropout", (0.0, 0.6, 0.0)),)
    ),
    "an average": Case(params=(("ema_decay", 0.8),)),
    "an average, units are dropped, few units, sgd": PLAIN._replace(
        optimizer="sgd",
        hidden=SLIM,
        activation="gelu",
        params=(("dropout", (0.3, 0.2)), ("ema_decay", 0.9)),
    ),
    "an average, units are dropped, many parameters": Case(
        hidden=(40, 33),
        shuffle=True,
        activation="relu",
        params=(("dropout", (0.2, 0.1)), ("ema_decay", 0.9), ("weight_decay", 0.5), *SHORT),
    ),
    "cosine": Case(params=(("learning_rate", "cosine"),)),
    "cosine, by the score": Case(
        params=(*RESTLESS, ("learning_rate", "cosine"), ("early_stopping", True))
    ),
    "invscaling": Case(
        optimizer="momentum", params=(("learning_rate", "invscaling"), ("power_t", 0.1))
    ),
    "the loss stalls": Case(params=RESTLESS),
    "the score stalls": Case(params=(*RESTLESS, ("early_stopping", True))),
    "adaptive": Case(optimizer="nesterov", params=(*RESTLESS, ("learning_rate", "adaptive"))),
    "the best by the loss": Case(loss="quantile", activation="gelu", eta=0.003),
    "the loss on held-out samples stalls": Case(
        loss="gamma", params=(*RESTLESS, ("early_stopping", True))
    ),
    "adaptive, by the score": Case(
        optimizer="nesterov",
        params=(*RESTLESS, ("learning_rate", "adaptive"), ("early_stopping", True)),
    ),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("variation", VARIATIONS)
def test_every_variation(variation, dtype, assert_as_the_reference):
    assert_as_the_reference(VARIATIONS[variation], dtype)


# ------------------------------------------------------------------ when training ends


def test_these_courses_stall_and_are_divided():
    for case in (VARIATIONS["the loss stalls"], VARIATIONS["the score stalls"]):
        for kernel in ("online", "others"):
            assert 3 < len(course_of(case.of_kernel(kernel)).losses) < 30


@pytest.mark.parametrize("n_iter_no_change", [1, 2, 5])
@pytest.mark.parametrize("tol", [1e-3, 1e-2, 0.1])
@own_epochs
def test_training_ends_when_too_many_epochs_in_a_row_were_not_better(
    tol, n_iter_no_change, kernel, calls, standard_table
):
    """Whoever asks: the kernel within a call, Python after it."""
    batch_size = 1 if kernel == "online" else 20
    params = {"tol": tol, "n_iter_no_change": n_iter_no_change, "learning_rate": "constant"}
    model = founding(
        4, batch_size=batch_size, learning_rate_init=0.05, max_iter=2000, random_state=0, **params
    ).fit(*standard_table)
    patience = descent.Patience(tol, n_iter_no_change)
    over = [patience.is_over(loss) for loss in model.loss_curve_]
    assert over.index(True) + 1 == model.n_iter_ == len(over)
    calls.of_steps(60)  # an epoch each
    assert_same_fit(clone(model).fit(*standard_table), model)


@pytest.fixture
def still(model_of):
    """Makes a model whose weight moves, and its predictions don't: all else is rounded away.

    Near a large intercept neither numbers of a few units nor the intercept's steps are seen.
    """

    def still(dtype, **params):
        intercept = 2.0 ** (27 if dtype == "float32" else 56)
        network = reference.Network([np.zeros((1, 1))], [np.array([intercept])], [])
        model = model_of(network, dtype=dtype, batch_size=1, momentum=0.0, learning_rate_init=1e-3)
        model.set_params(**{"max_iter": 6, "learning_rate": "constant"} | params)
        X = np.linspace(0.5, 1, 8)[:, None]
        return model, X, intercept + 32 + 16 * np.arange(8.0)

    return still


@pytest.mark.parametrize("dtype", PRECISIONS)
@own_epochs
def test_of_epochs_with_equal_scores_the_first_is_kept(dtype, kernel, still):
    model, X, y = still(dtype)
    model.fit(X, y, X_val=X, y_val=y)
    assert len(set(model.validation_scores_)) == 1
    first, X, y = still(dtype, max_iter=1)
    last, X, y = still(dtype)
    assert model.coefs_[0] == first.fit(X, y).coefs_[0] != last.fit(X, y).coefs_[0]


@pytest.mark.parametrize("tol", [0.0, 1.0])
@own_epochs
def test_a_loss_that_stays_the_same_stalls_unless_tol_is_0(tol, kernel, still):
    model, X, y = still("float64", tol=tol, n_iter_no_change=2)
    if tol == 0:
        with pytest.warns(ConvergenceWarning, match="max_iter=6"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    assert len(set(model.loss_curve_)) == 1
    assert model.n_iter_ == (6 if tol == 0 else 4)


# ------------------------------------------------------------ epochs, in calls of a kernel


def assert_same_fit(one, other):
    """The same to the last bit, and so is what would go on from there."""
    assert_array_equal(everything(one), everything(other))
    assert (one.n_iter_, one.t_) == (other.n_iter_, other.t_)
    for (name, mine), others in zip(
        vars(one._optimizer).items(), vars(other._optimizer).values(), strict=True
    ):
        if name != "ahead":  # theta, in other units
            assert_array_equal(mine, others)


def calls_of_an_epoch(calls, kernel):
    """Has each epoch of a case be four calls."""
    calls.of_steps(8 if kernel == "online" else 1)


@pytest.mark.parametrize("steps", [1, 3, None])
@pytest.mark.parametrize("held_out", [None, "weighted"])
def test_epochs_that_are_cut_into_calls_are_the_same_to_the_last_bit(
    held_out, steps, kernel, model_for, calls
):
    both = ("dropout", 0.3), ("ema_decay", 0.8)
    case = Case(held_out=held_out, shuffle=True, params=both).of_kernel(kernel)
    whole = fit(model_for(case), case)
    if steps:
        calls.of_steps(steps)
    else:
        calls.of_no_time()
    for n_threads in (1, 2):
        in_calls = fit(model_for(case), case, n_threads=n_threads)
        assert_same_fit(in_calls, whole)


# Of four calls an epoch, the sixth ends within the second epoch, which is better than the first
# and the third. Pressed twice, Ctrl-C doesn't wait until what was done is noted.
@pytest.mark.parametrize(
    ("call", "times", "epochs"),
    [(6, 1, 1), (6, 2, 1), (8, 1, 2), (8, 2, 1), (10, 1, 2), (10, 2, 2), (12, 2, 2)],
)
@pytest.mark.parametrize("held_out", [None, "weighted"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@own_epochs
def test_of_an_epoch_that_ctrl_c_cuts_off_nothing_is_left(
    optimizer, held_out, call, times, epochs, kernel, model_for, calls
):
    params = () if optimizer == "momentum" else (("dropout", 0.1), ("ema_decay", 0.3))
    case = Case(optimizer=optimizer, held_out=held_out, shuffle=True, params=params)
    case = case.of_kernel(kernel)
    expected = fit(model_for(case), case, max_iter=epochs)
    model = model_for(case)
    calls_of_an_epoch(calls, kernel)
    calls.press_ctrl_c(call, times)
    with pytest.warns(ConvergenceWarning, match=f"Interrupted after {epochs} epochs"):
        fit(model, case, max_iter=20)
    assert_same_fit(model, expected)


@pytest.mark.parametrize(("call", "times"), [(1, 1), (3, 1), (3, 2), (4, 2)])
@own_epochs
def test_of_a_first_epoch_that_ctrl_c_cuts_off_there_is_no_model(
    call, times, kernel, model_for, calls
):
    case = Case().of_kernel(kernel)
    model = model_for(case)
    calls_of_an_epoch(calls, kernel)
    calls.press_ctrl_c(call, times)
    with pytest.raises(KeyboardInterrupt):
        fit(model, case, max_iter=20)
    assert_same_weights(model, case.start(), rtol=0)
    assert model.loss_curve_ == []
