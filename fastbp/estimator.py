"""`BackpropRegressor`: validation, learned attributes, prediction."""

import warnings
from dataclasses import fields
from itertools import pairwise
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from fastbp import parameters, persistence, scaling
from fastbp.fitting import loop
from fastbp.fitting.observer import observe
from fastbp.fitting.plan import Settings, aligned
from fastbp.fitting.schedules import SCHEDULES
from fastbp.kernels.formulas.activations import ACTIVATIONS
from fastbp.kernels.formulas.losses import LOSSES
from fastbp.kernels.training.surrogate import function_of_row

#: Rows predicted in one call of a kernel, which Ctrl-C can't interrupt.
ROWS_AT_A_TIME = 2**20


class BackpropRegressor(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """Neural-network regression, trained by backpropagation in compiled kernels.

    Minimises ``L = (1/n) Σ |ŷ − y|²`` by stochastic gradient descent, for a network of any
    depth and width whose output is linear. Parameters, attributes and errors are those of
    `sklearn.neural_network.MLPRegressor` wherever the meaning is the same.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(50,)
        Units of each hidden layer; ``()`` is linear regression.
    activation : {"logistic", "tanh", "relu", "identity"} or list of these, \
default="logistic"
        Activation of the hidden layers, or one for each.
    loss : {"squared_error", "half_squared_error"}, default="squared_error"
        The mean over samples of the squared error, summed over the outputs; or half of it,
        which is what scikit-learn minimises under the name "squared_error": an equal step
        needs twice the step size there.
    solver : {"sgd", "adam"}, default="sgd"
    alpha : float, default=0.0
        Strength of the L2 penalty on the weights, not on the biases. As in scikit-learn it
        is divided by the batch's size (its weight, with sample weights). With
        `standardize`, it acts on the weights of the standardised columns.
    batch_size : int or "auto", default=32
        Samples in a step, at most all of them; "auto" is 200. The last, smaller batch of an
        epoch is trained on too.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="adaptive"
        The step size over the epochs: unchanged; ``learning_rate_init / (t + 1)**power_t``
        with t the samples seen so far; or divided by 5 whenever `n_iter_no_change` epochs
        brought no improvement.
    learning_rate_init : float, default=0.02
    power_t : float, default=0.5
    max_iter : int, default=1000
        Most epochs.
    shuffle : bool, default=True
        Take the samples in a new order each epoch.
    random_state : int, RandomState instance or None, default=None
        Draws the first weights, the validation split and the orders of the samples.
    tol : float, default=1e-5
        Training ends when more than `n_iter_no_change` epochs in a row did not better the
        loss (with `early_stopping` the validation score) by `tol`.
    verbose : bool, default=False
        Print a line for each epoch.
    warm_start : bool, default=False
        Let `fit` go on from the present weights.
    momentum : float, default=0.9
        Of "sgd", in [0, 1]. 0 is plain gradient descent: θ ← θ − η ∂L/∂θ.
    nesterovs_momentum : bool, default=True
    early_stopping : bool, default=False
        Set `validation_fraction` of the samples aside, end training when R² on them no
        longer improves, and keep the weights that were best on them.
    validation_fraction : float, default=0.1
    beta_1, beta_2 : float, default=0.9, 0.999
        Of "adam": decay of its running means of the gradient and its square.
    epsilon : float, default=1e-8
        Of "adam".
    n_iter_no_change : int, default=20
    standardize : bool, default=True
        Train on columns of X and y with mean 0 and variance 1, measured on the training
        samples. `coefs_` and `intercepts_` nevertheless describe the raw columns, and
        `predict` takes and gives raw units.
    dtype : {"float32", "float64"} or None, default="float32"
        Precision of training; None is that of X.
    n_threads : int or None, default=None
        Threads of a fit and of `predict`; None is as many as the work is worth, at most the
        processors that this process may use, which fits that run at once share. The result is
        the same for any number.
    max_time : float or None, default=None
        Seconds of training, after which it ends with the present epoch.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_units of layer l−1, n_units of layer l)
        Weights, in the units of the raw X and y: the textbook's forward pass with them is
        `predict`. Float64 with `standardize`, else of the precision of training.
    intercepts_ : list of ndarray of shape (n_units of layer l,)
        Biases, likewise.
    loss_ : float
        Loss of the last epoch.
    best_loss_ : float or None
        Least loss of an epoch; None with `early_stopping`.
    loss_curve_ : list of float
        Mean loss over the batches of each epoch, with the penalty. With `standardize` it is
        in units of y's variance: a loss of 0.1 leaves a tenth of the variance unexplained.
    validation_loss_curve_ : list of float or None
        The loss on the validation samples after each epoch.
    validation_scores_ : list of float or None
        R² on the validation samples after each epoch.
    best_validation_score_ : float or None
    n_iter_ : int
        Epochs of the last fit.
    t_ : int
        Samples trained on so far.
    n_layers_, n_outputs_ : int
    out_activation_ : str
        "identity".
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had names for its columns.

    References
    ----------
    Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986) 533-536.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import BackpropRegressor
    >>> X = np.linspace(-3, 3, 400).reshape(-1, 1)
    >>> model = BackpropRegressor(20, tol=1e-4, random_state=0).fit(X, np.sin(X).ravel())
    >>> bool(model.score(X, np.sin(X).ravel()) > 0.99)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), "array-like"],
        "loss": [StrOptions(set(LOSSES))],
        "solver": [StrOptions({"sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "standardize": ["boolean"],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(50,),
        activation="logistic",
        *,
        loss="squared_error",
        solver="sgd",
        alpha=0.0,
        batch_size=32,
        learning_rate="adaptive",
        learning_rate_init=0.02,
        power_t=0.5,
        max_iter=1000,
        shuffle=True,
        random_state=None,
        tol=1e-5,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=20,
        standardize=True,
        dtype="float32",
        n_threads=None,
        max_time=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.standardize = standardize
        self.dtype = dtype
        self.n_threads = n_threads
        self.max_time = max_time

    # ---------------------------------------------------------------- training

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            A sample of weight 0 is not there, one of weight 2 counts twice.
        X_val, y_val, sample_weight_val : as X, y, sample_weight, default=None
            Held-out samples, scored after each epoch; the weights that were best on them
            are kept. With `early_stopping` they take the place of the split.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data can't be trained on, or training diverged.
        """
        go_on = self.warm_start and hasattr(self, "coefs_")
        X, y, sample_weight = self._validate_samples(X, y, sample_weight, reset=not go_on)
        held_out = None
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together.")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        if X_val is not None:
            held_out = self._validate_samples(
                X_val, y_val, sample_weight_val, reset=False, n_outputs=y.shape[1]
            )
        return self._train(X, y, sample_weight, held_out, go_on=go_on)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on X and y, going on from the present weights.

        The first call measures the scaling of `standardize`, later ones keep it.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        self
        """
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        go_on = hasattr(self, "coefs_")
        X, y, sample_weight = self._validate_samples(X, y, sample_weight, reset=not go_on)
        return self._train(X, y, sample_weight, None, go_on=go_on, one_epoch=True)

    def _validate_samples(self, X, y, sample_weight, reset, n_outputs=None):
        """X, y (n_samples, n_outputs) and weights as arrays, or a clear error."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must be numeric, it has dtype {y.dtype}.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.reshape(len(y), -1)
        n_outputs = n_outputs or (y.shape[1] if reset else self.n_outputs_)
        if y.shape[1] != n_outputs:
            raise ValueError(f"y has {y.shape[1]} outputs, {n_outputs} are expected.")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        return X, y, sample_weight

    def _train(self, X, y, sample_weight, held_out, *, go_on, one_epoch=False):
        """Everything that `fit` and `partial_fit` share, on validated samples."""
        settings = self._settings(one_epoch)
        activations = self._hidden_activations()
        widths = X.shape[1], *self._hidden_widths(), y.shape[1]
        net = parameters.network(widths, activations)
        dtype = np.dtype(self.dtype or X.dtype)
        random_state = check_random_state(self.random_state)
        if go_on:
            self._check_goes_on(net)
        else:
            theta = parameters.initialize(net, activations, random_state, self._like_hidden())

        order = loop.row_numbers(len(y))
        if self.early_stopping and held_out is None:
            order, rows = self._split(order, random_state)
            held_out = X[rows], y[rows], None if sample_weight is None else sample_weight[rows]
        units = None
        if self.standardize:
            keep = go_on and one_epoch and self._scaling is not None
            units = self._scaling if keep else _scaling_of(X, y, sample_weight, order)
        samples = _samples(X, y, sample_weight, dtype, units)
        validation = None if held_out is None else _samples(*held_out, dtype, units)
        theta = aligned(self._theta(dtype, units) if go_on else theta, dtype)

        seen = self.t_ if go_on else 0
        optimizer = self.__dict__.pop("_optimizer", None)  # a failure ruins it
        if not (one_epoch and go_on and optimizer and optimizer.fits(settings, theta)):
            seed = random_state.randint(np.iinfo(np.int64).max, dtype=np.int64)
            began = 0 if one_epoch else seen
            optimizer = loop.OptimizerState.start(settings, theta, seed, began)
        learnt = {
            "_activations": activations,
            "_scaling": units,
            "_training_dtype": dtype,
            "n_outputs_": y.shape[1],
        }
        observer = None if one_epoch else observe(self, net, learnt, X, y, sample_weight)
        history = loop.fit(
            net, theta, samples, validation, order, settings, optimizer,
            observer=observer, seen=seen,
        )  # fmt: skip
        if not np.isfinite(theta).all():
            raise ValueError("Training diverged: weights are not finite. Lower learning_rate_init.")

        vars(self).update(learnt, _optimizer=optimizer)
        weights = parameters.unpack(theta, net)
        self.coefs_, self.intercepts_ = scaling.to_raw_units(*weights, units)
        self._note(history, go_on, len(order), held_out is not None)
        if not one_epoch:
            self._warn_unfinished(history)
        if observer is not None:
            observer.fit_ends()
        return self

    def _settings(self, one_epoch):
        names = [field.name for field in fields(Settings)]
        given = {name: getattr(self, name) for name in names}
        if self.batch_size == "auto":
            given["batch_size"] = 200
        if one_epoch:
            given.update(max_iter=1, max_time=None)
        return Settings(**given)

    def _hidden_activations(self):
        """Activation of each hidden layer, by name."""
        n_hidden = len(self._hidden_widths())
        if isinstance(self.activation, str):
            return [self.activation] * n_hidden
        names = np.asarray(self.activation, object).tolist()
        if len(names) != n_hidden:
            raise ValueError(
                f"activation names {len(names)} activations for {n_hidden} hidden layers."
            )
        if unknown := [name for name in names if name not in list(ACTIVATIONS)]:
            raise ValueError(f"Unknown activation {unknown[0]!r}; known: {sorted(ACTIVATIONS)}.")
        return names

    def _like_hidden(self):
        """The one activation of all hidden layers: scikit-learn's bound for the first weights
        of the output layer goes by it, even where no layer is hidden."""
        return self.activation if isinstance(self.activation, str) else None

    def _hidden_widths(self):
        sizes = self.hidden_layer_sizes
        sizes = [sizes] if isinstance(sizes, Integral) else list(sizes)
        if any(not isinstance(size, Integral) or size < 1 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be integers > 0, got {sizes}.")
        return [int(size) for size in sizes]

    def _check_goes_on(self, net):
        """The present weights must be those of the network that the parameters ask for."""
        have, want = (each["width"].tolist() for each in (self._fitted_network(), net))
        if have != want:
            raise ValueError(
                f"The present weights are of layers {have}, hidden_layer_sizes and the data ask "
                f"for {want}. Fit with warm_start=False."
            )

    def _fitted_network(self):
        """The network of the present weights, whatever the parameters have become."""
        widths = [len(self.coefs_[0]), *(len(b) for b in self.intercepts_)]
        shapes = [np.shape(W) for W in self.coefs_]
        fits = len(widths) == len(self._activations) + 2 and shapes == list(pairwise(widths))
        if not fits or (widths[0], widths[-1]) != (self.n_features_in_, self.n_outputs_):
            raise ValueError(
                f"coefs_ of shapes {shapes} and intercepts_ of lengths {widths[1:]} are no "
                f"network of {len(self._activations)} hidden layers with {self.n_features_in_} "
                f"inputs and {self.n_outputs_} outputs."
            )
        return parameters.network(widths, self._activations)

    def _split(self, rows, random_state):
        """Rows to train on, and rows held out."""
        train, held_out = train_test_split(
            rows, test_size=self.validation_fraction, random_state=random_state
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase validation_fraction or the number "
                "of samples."
            )
        return train, held_out

    def _theta(self, dtype, units):
        """θ in the units of training, from coefs_ and intercepts_: whoever changes those
        changes the model."""
        weights = scaling.to_standard_units(self.coefs_, self.intercepts_, units)
        return parameters.pack(*weights, dtype)

    def _note(self, history, go_on, n_samples, validated):
        """The learned attributes that tell what happened."""
        before = vars(self) if go_on else {}
        self.n_layers_ = len(self.coefs_) + 1
        self.out_activation_ = "identity"
        self.n_iter_ = len(history.losses)
        self.t_ = before.get("t_", 0) + self.n_iter_ * n_samples
        self.loss_curve_ = before.get("loss_curve_", []) + history.losses
        self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_)
        scores = (before.get("validation_scores_") or []) + history.validation_scores
        losses = (before.get("validation_loss_curve_") or []) + history.validation_losses
        self.validation_scores_ = scores if validated else None
        self.validation_loss_curve_ = losses if validated else None
        self.best_validation_score_ = max(scores) if validated else None

    def _warn_unfinished(self, history):
        message = {
            "max_iter": f"Stopped after max_iter={self.max_iter} epochs, "
            "before the loss stopped improving.",
            "interrupted": f"Interrupted after {self.n_iter_} epochs; the weights are those of "
            "the last whole epoch.",
        }.get(history.ended_by)
        if message and not (history.ended_by == "max_iter" and self.n_iter_no_change == np.inf):
            warnings.warn(message, ConvergenceWarning, stacklevel=4)

    # ------------------------------------------------------------- prediction

    def predict(self, X):
        """Predict y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of the y of `fit`. Float32 if X and training are, else float64.
        """
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)  # raises; to look at all attributes takes it 8 µs
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        net, dtype, units = self._fitted_network(), self._training_dtype, self._scaling
        theta = self._theta(dtype, units)
        units = units or scaling.no_scaling(self.n_features_in_, self.n_outputs_)
        y = np.empty((X.shape[0], self.n_outputs_), np.result_type(X.dtype, dtype))
        for rows in scaling.slices(X.shape[0], ROWS_AT_A_TIME):
            chunk = scaling.converted(X[rows], X.dtype)
            loop.predictions(net, theta, chunk, units, y[rows], self.n_threads)
        return y.ravel() if self.n_outputs_ == 1 else y

    def as_njit(self):
        """The network as a function of one row, for loops that Numba compiles.

        A simulation that calls a surrogate at every step leaves no time for `predict`, which
        checks what it is given.

        Returns
        -------
        f : callable, ``f(x) -> y``
            Takes an array of shape (n_features,) and returns a new one of shape (n_outputs,),
            float64, both in the units of `fit`'s X and y. Can be called in ``@njit`` code, in
            any number of threads, and in Python; raises ValueError for a row of another length.
            It is a copy: what happens to the model later doesn't change it.

        Examples
        --------
        >>> import numpy as np
        >>> from numba import njit
        >>> from fastbp import BackpropRegressor
        >>> X = np.linspace(-3, 3, 400).reshape(-1, 1)
        >>> f = BackpropRegressor(20, tol=1e-4, random_state=0).fit(X, np.sin(X).ravel()).as_njit()
        >>> @njit
        ... def pendulum(x, seconds):
        ...     state, v = np.array([x]), 0.0
        ...     for _ in range(int(seconds * 1000)):
        ...         v -= f(state)[0] * 0.001
        ...         state[0] += v * 0.001
        ...     return state[0]
        >>> bool(abs(pendulum(1.0, 6.7) - 1.0) < 0.1)  # 6.7 s is its period
        True
        """
        check_is_fitted(self)
        net, units = self._fitted_network(), self._scaling
        theta = self._theta(self._training_dtype, units)
        units = units or scaling.no_scaling(self.n_features_in_, self.n_outputs_)
        return function_of_row(net, theta, *units)

    def loss_gradient(self, X, y, sample_weight=None):
        """The loss and its gradient by every weight and bias, at the present weights.

        In raw units, and without the penalty `alpha`: L of the class's description.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        loss : float
        coef_gradients : list of ndarray, shaped as `coefs_`
        intercept_gradients : list of ndarray, shaped as `intercepts_`

        Examples
        --------
        One step of gradient descent by hand:

        >>> import numpy as np
        >>> from fastbp import BackpropRegressor
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0])
        >>> model = BackpropRegressor((), max_iter=1, n_iter_no_change=np.inf).fit(X, y)
        >>> loss, dW, db = model.loss_gradient(X, y)
        >>> model.coefs_[0] -= 0.01 * dW[0]
        >>> bool(model.loss_gradient(X, y)[0] < loss)
        True
        """
        check_is_fitted(self)
        X, y, sample_weight = self._validate_samples(X, y, sample_weight, reset=False)
        net = self._fitted_network()
        # Raw units may be far from 1, where float32 would round the answer away.
        theta = parameters.pack(self.coefs_, self.intercepts_, np.float64)
        samples = loop.Samples(
            scaling.converted(X, np.dtype(np.float64)),
            scaling.converted(y, np.dtype(np.float64)),
            sample_weight,
        )
        loss, gradient = loop.loss_and_gradient(net, theta, samples, self._settings(False))
        return loss, *parameters.unpack(gradient, net)

    # ------------------------------------------------------------------ files

    def save(self, path):
        """Write the fitted model to a file, as arrays and JSON.

        Parameters
        ----------
        path : str or path-like
            Written as it is named; ``.npz`` is customary.
        """
        check_is_fitted(self)
        self._fitted_network()
        persistence.save(self, path)

    @classmethod
    def load(cls, path):
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        BackpropRegressor

        Raises
        ------
        ValueError
            If the file is not one of fastbp's, or of a version that is not known here.
        """
        return persistence.load(cls, path)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags


def _samples(X, y, sample_weight, dtype, units):
    """Samples as the kernels take them."""
    u = units or scaling.Scaling(None, None, None, None)
    X = scaling.converted(X, dtype, u.X_mean, u.X_scale)
    return loop.Samples(X, scaling.converted(y, dtype, u.y_mean, u.y_scale), sample_weight)


def _scaling_of(X, y, sample_weight, rows):
    """Scaling measured on the rows that are trained on."""
    weight = sample_weight
    if len(rows) < len(y):
        trained_on = np.zeros(len(y))
        trained_on[rows] = 1.0
        weight = trained_on if weight is None else weight * trained_on
    return scaling.measure(X, y, weight)
