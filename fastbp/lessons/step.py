"""One step of backpropagation, in numbers: all of them come from the kernels that train.

What a kernel doesn't tell by itself is asked of a smaller network: zˡ is the prediction of a layer
alone, Oˡ that of a layer before one that changes nothing, σ′(zˡ) the gradient by the layer's biases
where the slope at the output is 1, and ∂L/∂Oˡ the gradient by the biases of a layer that changes
nothing, put before the layers that follow.
"""

from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbp import converting, encodings, inputs, parameters, scaling
from fastbp.estimator import BackpropRegressor
from fastbp.fitting.learnt import Learnt
from fastbp.fitting.settings import settings_of
from fastbp.fitting.table import Table
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.network import network
from fastbp.suspicious import check_values


class Step(NamedTuple):
    """Everything of one step. Lists are by layer; a sample is a column, as in the formulas."""

    widths: list
    activations: list  # of the hidden layers
    loss_name: str
    link: str  # of the output: "identity", or "exp"
    eta: float
    y: np.ndarray  # (n_outputs, n), in the network's units
    O: list  # O⁰ … Oᵐ: inputs … ŷ
    Z: list  # Z¹ … Zᵐ
    slopes: list  # σ′(Z¹) … σ′(Zᵐ⁻¹)
    dO: list  # ∂L/∂O¹ … ∂L/∂Oᵐ⁻¹
    D: list  # D¹ … Dᵐ
    loss: float
    loss_after: float
    y_after: np.ndarray  # ŷ after the step
    before: tuple  # of lists: W¹ … Wᵐ, b¹ … bᵐ
    gradient: tuple
    after: tuple
    units: scaling.Scaling | None  # of what is told here, or None: those of the table
    columns: list  # names of the network's inputs
    line: np.ndarray | None  # (n_outputs, n), what the linear part says of y, in the table's units

    @property
    def n(self):
        """How many samples."""
        return self.y.shape[1]

    @property
    def prediction(self):
        """ŷ in the units of the table, with what the linear part adds: what the model predicts."""
        return self.in_table(self.O[-1])

    def in_table(self, y):
        if self.units is not None:
            y = self.units.y_scale[:, None] * y + self.units.y_mean[:, None]
        return y if self.line is None else y + self.line


def step_of(model, X, y, eta, raw_units):
    """The step that a model would make.

    Parameters
    ----------
    model : BackpropRegressor
        Fitted; it stays as it is.
    X : array-like of shape (n_features,) or (n_samples, n_features)
    y : number, or array-like of shape (n_samples,) or (n_samples, n_outputs)
    eta : float
    raw_units : bool
        Whether the numbers are for the table's columns as they are.
    """
    check_network(model, "step")
    if not (np.isfinite(eta) and eta > 0):
        raise ValueError(f"learning_rate must be a number above 0, got {eta!r}.")
    learnt = model._learnt
    X, y = as_rows(check_values(X, "X")), check_values(y, "y")
    y = np.reshape(np.asarray(y), (X.shape[0], -1))
    y = y.ravel() if y.shape[1] == 1 else y
    table = inputs.table_of(model, X, y, None, reset=False, learnt=learnt)
    units = None if raw_units else learnt.units()
    seen, targets = seen_by_network(table.X, table.y, learnt, units)
    link = learnt.link.out_activation
    W, b = weights_of(learnt, units)

    def layers(W, b, kinds, **given):
        return bare(W, b, kinds, eta, len(seen), **given)

    of_loss = loss_of(learnt, units)
    whole = layers(W, b, learnt.activations, **of_loss)
    loss, *gradient = whole.loss_gradient(seen, targets)
    Z, O, slopes = [], [seen.T], []
    for l, kind in enumerate(learnt.activations):
        o_before = O[-1].T
        eye = np.eye(W[l].shape[1])
        unchanged, nothing = [W[l], eye], np.zeros(len(eye))
        Z.append(rows(layers([W[l]], [b[l]], ()).predict(o_before)).T)
        O.append(rows(layers(unchanged, [b[l], nothing], (kind,)).predict(o_before)).T)
        slopes.append(slopes_of(layers, unchanged, b[l], kind, o_before, O[-1].T))
    O.append(rows(whole.predict(seen)).T)
    Z.append(rows(layers([W[-1]], [b[-1]], ()).predict(O[-2].T)).T)

    n, line = len(seen), None
    if learnt.linear is not None:
        line = np.zeros((n, learnt.n_outputs))
        learnt.add_linear(table.X, line)
        line = line.T
    D, dO = [[] for _ in W], [[] for _ in slopes]
    for i in range(n):
        each = whole.loss_gradient(seen[i : i + 1], targets[i : i + 1])[2]
        for l, d in enumerate(each):
            D[l].append(d / n)
        for l in range(len(dO)):
            eye = np.eye(W[l].shape[1])
            rest = layers(
                [eye, *W[l + 1 :]], [np.zeros(len(eye)), *b[l + 1 :]],
                ("identity", *learnt.activations[l + 1 :]), **of_loss,
            )  # fmt: skip
            dO[l].append(rest.loss_gradient(O[l + 1].T[i : i + 1], targets[i : i + 1])[2][0] / n)

    diverges = f"A step with learning_rate={eta:g} diverges: choose a smaller one."
    try:
        whole.partial_fit(seen, targets)
    except ValueError as error:
        raise ValueError(diverges) from error
    loss_after = whole.loss_gradient(seen, targets)[0]
    if whole.learning_rate_init_ != eta or not np.isfinite(loss_after):
        raise ValueError(diverges)
    return Step(
        [seen.shape[1], *(len(each) for each in b)], list(learnt.activations), learnt.loss, link,
        float(eta), rows(targets).T, O, Z, slopes,
        [np.transpose(each) for each in dO], [np.transpose(each) for each in D],
        float(loss), float(loss_after), rows(whole.predict(seen)).T,
        (W, b), tuple(gradient), (whole.coefs_, whole.intercepts_), units,
        names_of_inputs(model, learnt), line,
    )  # fmt: skip


def check_network(model, what):
    """An error, unless it is one network, and fitted: what lessons are of."""
    if not isinstance(model, BackpropRegressor):
        raise TypeError(
            f"A {what} is of one network, a BackpropRegressor, got {type(model).__name__}; "
            "of an ensemble take one of estimators_."
        )
    check_is_fitted(model)


def as_rows(X):
    """One sample as a table of one row."""
    if hasattr(X, "to_frame"):  # a row of a data frame, which knows the names of its columns
        return X.to_frame().T.infer_objects()
    if hasattr(X, "ndim") and X.ndim == 2:
        return X
    X = np.asarray(X)
    return X.reshape(1, -1) if X.ndim < 2 else X


def seen_by_network(X, y, learnt, units):
    """Columns and targets as the network has them: in float64, scaled and encoded."""
    X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
    if learnt.encoding is None:
        seen = converting.converted(X, np.float64, X_mean, X_scale)
    else:
        seen = encodings.converted(X, np.float64, learnt.encoding, units)
    left = Table(X, y, None, linear=learnt.linear).y_left
    targets = converting.converted(left, np.float64, y_mean, y_scale)
    return seen, targets.ravel() if targets.shape[1] == 1 else targets


def weights_of(learnt, units):
    """W¹ … Wᵐ and b¹ … bᵐ in these units, float64."""
    theta = learnt.theta(units, np.float64)
    return parameters.unpack(theta, learnt.network())


def loss_of(learnt, units):
    """The parameters that say which loss a model was trained with, in these units."""
    if learnt.rising:
        raise ValueError("A model of several quantiles can't be explained: fit one of each level.")
    parameter = learnt.raw_loss_parameter() if units is None else learnt.loss_parameter
    if np.ptp(parameter) > 0:
        raise ValueError("The delta differs from output to output: explain standardized columns.")
    of_loss = LOSSES[learnt.loss].parameter
    return {"loss": learnt.loss, "loss_parameter": of_loss and float(np.ravel(parameter)[0])}


def bare(W, b, activations, eta, n, **given):
    """These weights as a model that neither scales nor encodes, and trains by plain descent."""
    model = BackpropRegressor(
        [len(each) for each in b[:-1]], list(activations), solver="sgd", momentum=0.0,
        nesterovs_momentum=False, weight_decay=0.0, learning_rate="constant",
        learning_rate_init=float(eta), batch_size=n, init="glorot", standardize=False,
        dtype="float64", shuffle=False, early_stopping=False, n_threads=1, **given,
    )  # fmt: skip
    ends = len(W[0]), len(b[-1])
    W, b = [each.copy() for each in W], [each.copy() for each in b]
    of_loss = model.loss, settings_of(model._params()).loss_parameter
    model._learnt = Learnt(W, b, tuple(activations), *of_loss, None, np.dtype(np.float64), *ends)
    (model.n_features_in_, model.n_outputs_), model.t_ = ends, 0
    return model


def slopes_of(layers, W, b, kind, X, O):
    """σ′ of each unit (n_units, n): the gradient by its bias, where ∂L/∂O is 1."""
    slopes = []
    for x, o in zip(X, O, strict=True):
        model = layers(W, [b, -o], (kind,), loss="half_squared_error")
        # It predicts 0, and is to predict −1: the slope of half the squared error is 1.
        targets = -np.ones((1, len(o)))
        slopes.append(model.loss_gradient(x[None], targets)[2][0])
    return np.transpose(slopes)


def untrained(X, y, hidden, activation, seed):
    """A model with scikit-learn's first weights, which has only measured its table.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    hidden, activation, seed : see `BackpropRegressor`
    """
    model = BackpropRegressor(hidden, activation, solver="sgd", init="glorot", random_state=seed)
    model._validate_params()
    settings = model._settings()
    widths = X.shape[1], *settings.hidden, 1
    net, kinds = network(widths, settings.activations), settings.activations
    theta = parameters.initialize(net, kinds, np.random.RandomState(seed))
    units = scaling.measure(X, y[:, None])
    model._learnt = Learnt.of(theta, net, settings, units)
    model.n_features_in_, model.n_outputs_ = X.shape[1], 1
    return model


def mean_loss(model, X, y):
    """L of all rows, in the units of a step."""
    learnt = model._learnt
    seen, targets = seen_by_network(X, np.reshape(y, (len(X), -1)), learnt, learnt.scaling)
    whole = bare(
        *weights_of(learnt, learnt.scaling),
        learnt.activations,
        1.0,
        1,
        **loss_of(learnt, learnt.scaling),
    )
    return whole.loss_gradient(seen, targets)[0]


def after_step(model, step):
    """Let a model be what it is after the step."""
    learnt = model._learnt
    link = "identity" if step.link == "identity" else "log"
    coefs, intercepts = scaling.to_raw_units(*step.after, step.units, link)
    model._learnt = learnt._replace(coefs=list(coefs), intercepts=list(intercepts))


def rows(a):
    """(n, n_outputs), whatever is predicted."""
    return np.reshape(a, (len(a), -1))


def names_of_inputs(model, learnt):
    """What the network's inputs are, in words."""
    names = getattr(model, "feature_names_in_", None)
    names = [] if names is None else [str(name) for name in names]
    if learnt.encoding is not None:
        return []
    return names
