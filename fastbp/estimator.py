"""`BackpropRegressor`: its parameters, and what can be done with it."""

from contextlib import contextmanager
from functools import cache
from inspect import signature
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastbp import (
    callers,
    converting,
    encodings,
    endings,
    inputs,
    measuring,
    moving,
    parameters,
    persistence,
)
from fastbp.attributes import Learned
from fastbp.common import Common, check_parameter
from fastbp.fitting import survey
from fastbp.fitting.fit import fit
from fastbp.fitting.fullbatch import loss_and_gradient
from fastbp.fitting.observer import told_of_compiling, told_of_trials
from fastbp.fitting.predicting import jacobian, predictions_of
from fastbp.fitting.schedules import SCHEDULES
from fastbp.fitting.settings import settings_of
from fastbp.fitting.solvers import SOLVERS
from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.network import without_inputs
from fastbp.kernels.machine.compile import ctrl_c_waits
from fastbp.kernels.training.surrogate import function_of_row

#: Rows predicted in one call of a kernel.
ROWS_AT_A_TIME = 2**20


def documented(cls):
    """Fill the names of the tables' rows into the description of a class."""
    if cls.__doc__ is None:  # Python was asked to leave descriptions out: -OO
        return cls
    rows = {
        "activations": ACTIVATIONS, "losses": LOSSES, "solvers": SOLVERS, "schedules": SCHEDULES,
        "encodings": encodings.NAMES,
    }  # fmt: skip
    for table, names in rows.items():
        choices = "{" + ", ".join(f'"{name}"' for name in names) + "}"
        cls.__doc__ = cls.__doc__.replace(f"{{{table}}}", choices)
    parameters = "; ".join(
        f'{row.parameter.name} of "{name}", in ({row.parameter.low:g}, {row.parameter.high:g}), '
        f"by default {row.parameter.default:g}"
        for name, row in LOSSES.items()
        if row.parameter
    )
    cls.__doc__ = cls.__doc__.replace("{loss parameters}", parameters)
    return cls


def _makes_steps(model):
    """Whether there is a `partial_fit`; the error says why there is none."""
    if model.solver == "lbfgs":
        raise AttributeError("partial_fit needs a solver that makes steps: 'adam' or 'sgd'.")
    return True


@documented
class BackpropRegressor(Learned, Common):
    """Neural-network regression, trained by backpropagation in compiled kernels.

    Minimises ``L = (1/n) Σ |ŷ − y|²``, or another loss, by stochastic gradient descent, for a
    network of any depth and width. Parameters, attributes and errors are those of
    `sklearn.neural_network.MLPRegressor` wherever the meaning is the same. Its defaults need no
    tuning: what is "auto" adapts to the table and to what else is given, and a part of the rows
    first says how long to train.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(128, 128)
        Units of each hidden layer; ``()`` is linear regression.
    activation : {activations} or list of these, default="logistic"
        Activation of the hidden layers, or one for each.
    loss : {losses}, default="squared_error"
        The mean over samples of the loss, summed over the outputs. "half_squared_error" is what
        scikit-learn minimises under the name "squared_error": an equal step needs twice the step
        size there. "absolute_error" predicts medians; "huber" is half the squared error of errors
        up to its delta, and grows straight on from there, so that outliers pull no more. "poisson"
        is for counts and rates, "gamma" for positive amounts that vary in proportion to their size:
        the network's output is the logarithm of the prediction; y is at least 0, or above it, and
        is only divided by its mean. "quantile" predicts that level's, or several levels' at once,
        which never cross: a column for each.
    loss_parameter : float, array-like of float or None, default=None
        The loss's parameter, if it has one: {loss parameters}. None is that default. The delta is
        in standard deviations of y, with ``standardize=False`` in units of y. Of several levels,
        rising, all are predicted for a single y, and `score` is the mean of their
        `sklearn.metrics.d2_pinball_score`.
    solver : {solvers}, default="adam"
        "lbfgs", SciPy's, takes all samples in each step, a line search instead of a step size, and
        float64 whatever `dtype` is; of `early_stopping` it knows "refit" only, and no
        `partial_fit`. For tables of up to some thousand rows.
    alpha : float, default=0.0
        Strength of the L2 penalty on the weights, not on the biases. As in scikit-learn it
        is divided by the batch's size (its weight, with sample weights; by 200 where `batch_size`
        is "auto", as there), and is added to a loss in units of y. With `standardize`, it acts on
        the weights of the standardised columns.
    weight_decay : float or "auto", default="auto"
        Decoupled decay (AdamW's, of "adam" and "sgd"): each step first takes
        ``step size * weight_decay`` of each weight away, but not of the biases (Loshchilov &
        Hutter, 2019). Like `alpha`, it sees standardised columns. "auto" is 0.003 with "adam", and
        none with "sgd", unless trials of ``early_stopping="refit"`` find a stronger one better.
    max_grad_norm : float or None, default=None
        The longest gradient that "adam" and "sgd" step along: a longer one, all parameters
        together, is shortened to it (Pascanu, Mikolov & Bengio, 2013).
    dropout : float, array-like of float or "auto", default="auto"
        The part of the units of all hidden layers, or of each, in [0, 1), that "adam" and "sgd"
        leave out at random, for each sample in each epoch anew, while the others count for more
        (Srivastava et al., 2014). All units predict, and are scored on held-out rows; `loss_curve_`
        is of those left. It helps where rows are few, columns many, and y noisy: on 20 tables of
        200 rows and 60 columns, half of y being noise, 0.5 leaves 0.91 of the variance of new y
        unexplained, 0 leaves 1.02. Elsewhere it costs: of a smooth function of 3,000 rows 0.11
        instead of 0.02, after 60 epochs. "auto" is 0.03 of "adam" where `encoding` "auto"
        has encoded more than 2,000 rows of which a plain network leaves more than 0.06 of y's
        variance, with `init` "auto" and `standardize`; else nothing is left out.
    ema_decay : float, "auto" or None, default="auto"
        The decay d, in [0, 1), of an exponential moving average of the weights after each step of
        "adam" and "sgd": each network counts d times what the next one does, from the first step
        on. The average is scored on held-out rows, kept where it is best, shown to callbacks, and
        predicts: `coefs_` are it. Training takes no notice of it; `partial_fit` and `warm_start` go
        on from the weights themselves and with the average, unless held-out rows chose `coefs_`, or
        somebody has changed them. With "cosine", whose last steps are short, it changes little
        (0.99 on those 20 tables: 0.95). "auto" is none in `fit`, and 0.97 in a `partial_fit` whose
        step size is "auto", too: that never falls, and the last chunk of a stream would speak for
        all.
    batch_size : int or "auto", default="auto"
        Samples in a step, at most all of them; "auto" is 64, over 50,000 rows 128, and of "adam"
        32 in the last training on 2,000 to 50,000 rows without noise, where `max_iter` and
        `learning_rate_init` are "auto", too; with ``init="glorot"`` it is 200, as in scikit-learn.
        The last, smaller batch of an epoch is trained on too.
    learning_rate : {schedules}, default="cosine"
        The step size over the epochs. "constant": unchanged. "cosine": falls to 0 over `max_iter`
        epochs, all of which are trained. "one_cycle": rises from a 25th first. `partial_fit`, which
        has no planned end, keeps it unchanged. Of "sgd" alone, as in scikit-learn, are
        "invscaling": ``learning_rate_init / (t + 1)**power_t`` with t the samples seen so far, and
        "adaptive": divided by 5 whenever `n_iter_no_change` epochs brought no improvement.
    warmup_fraction : float or None, default=None
        The part of the planned epochs in which the step size of "cosine" or "one_cycle" rises; None
        is 0 for the one, 0.3 for the other.
    learning_rate_init : float or "auto", default="auto"
        "auto" is, for "adam", by the activation (0.01 for logistic units and none at all, 0.003 for
        tanh, else 0.005), whatever the width and depth; for "sgd" it is found from the curvature
        of the loss at the first weights.
    power_t : float, default=0.5
    max_iter : int or "auto", default="auto"
        Most epochs. "auto" is 100 to 400, the fewer the more rows there are, but at least as many
        as make 1,000 steps (with "sgd" 8,000); from 4,096 rows on, in batches of at most 64, half
        of it, unless no noise is found, and over 50,000 fewer than 100. Up to 2,000 rows that are
        learnt late, of a wave say, are trained on for up to 16 times as many; more rows without
        noise, if their batches don't get smaller, for a sixth more.
    init : {"auto", "glorot"}, default="auto"
        First weights. "auto": they know the data; half of the first layer's units look at one
        column each and bend at its quantiles, the others bend at rows of the table, and layers
        begin with outputs of mean 0; networks of at most 8 units to a layer are started five times.
        "glorot": drawn as scikit-learn does.
    encoding : {encodings}, list of these, "auto" or None, default="auto"
        What the first layer sees of each column of X besides the column itself, for targets with
        sharp edges (Gorishniy, Rubachev & Babenko, 2022). "piecewise_linear": its place within each
        of up to 16 bins between quantiles (64 of up to four columns with 4,096 to 50,000 rows).
        "periodic": sine and cosine of 8 random multiples of the standardised column. Columns of two
        values need none (those that differ by rounding are one). Measured at the first fit, on the
        rows trained on, and kept from there on. With both there are some 33 columns for each (81):
        a fit takes about twice as long, and as much more memory than X, all of it even if that is
        sparse, as there are columns. "auto" is both where trials on the rows set aside by
        ``early_stopping="refit"`` say so, else none, which a short one mostly finds out;
        `encoding_` says which. It tries none on fewer than 500 rows, sparse ones, more than some 45
        columns, tables that are trained on in windows (see `shuffle`), and networks of at most 8
        units to a layer.
    linear_part : "auto" or None, default="auto"
        What goes straight on is predicted by ridge regression beside the network, as far as the
        rows set aside by ``early_stopping="refit"`` say that both together are better: a prediction
        is the network's plus `linear_part_` times x. It needs a squared error, `standardize` and
        ``init="auto"``, a dense X, and no weights of outputs. None: the network does all.
    shuffle : bool, default=True
        Take the samples in a new order each epoch. A table whose working copy would take more than
        32 MiB is not copied, but trained on in windows that fit a cache: a block of rows, of some
        kilobytes, from each of many equal stretches of the table, which one drawn anew each epoch.
        They are standardised and converted on the way, and shuffled there. So each window is a
        sample of the whole table, however that is sorted; `numpy.memmap`s may be larger than
        memory. Then "refit" makes its trials with at most 32 MiB of rows from all over the table.
        (A sparse X, an `encoding`, weights of outputs, "lbfgs" and ensembles still take a working
        copy.)
    random_state : int, RandomState instance or None, default=None
        Draws the first weights, the validation split and the orders of the samples.
    tol : float, default=1e-5
        Training ends when more than `n_iter_no_change` epochs in a row did not better the
        loss (with `early_stopping` the validation score) by `tol`; with "lbfgs", where no component
        of the gradient is greater.
    verbose : bool, default=False
        Print a line for each epoch. Before them one says that kernels are compiled, if they are,
        and others where a trial, which finds how to train, begins and how it ends.
    warm_start : bool, default=False
        Let `fit` go on from the present weights. What trials have found of "auto" then holds on:
        for how long, with which decay, dropout and scale of columns. Where they have not found all
        of it, or for another solver, trials of other networks do first.
    momentum : float, default=0.9
        Of "sgd", in [0, 1]. 0 is plain gradient descent: θ ← θ − η ∂L/∂θ.
    nesterovs_momentum : bool, default=True
    early_stopping : bool or "refit", default="refit"
        True: set `validation_fraction` of the samples aside, and keep the weights that were best on
        them, by `scoring`; training ends when that no longer improves, but with "cosine" as
        planned.
        "refit": train with a part set aside only to find how long to train, then anew on all
        samples for so long (from 12 rows on; on fewer than 200, five times, with different parts).
        Callbacks follow the training on all samples. `partial_fit` needs no such search, nor does a
        `warm_start` after one.
    validation_fraction : float, default=0.2
        Of a table that is trained on in windows, at most 16 MiB of rows.
    scoring : str, callable or None, default=None
        What judges the rows that are set aside, or given as `X_val`, after each epoch: the greater,
        the better. None is R², or the loss if it is no squared error; "loss" is that; a name of
        scikit-learn's, or a function ``scorer(estimator, X, y)``, is given an estimator that
        predicts with the epoch's weights, and `sample_weight`, if there are any and it takes them.
        "loss" and "r2" are compiled, others cost a prediction and what they compute in each epoch.
        (The trials of "refit" compare losses.)
    beta_1 : float, default=0.9
        Of "adam": decay of its running mean of the gradient.
    beta_2 : float, default=0.95
        Of "adam": decay of its running mean of the gradient's square.
    epsilon : float, default=1e-8
        Of "adam".
    n_iter_no_change : int, default=20
    max_fun : int, default=15000
        Of "lbfgs": it ends when it has taken more gradients than this. An iteration, which is an
        epoch, takes one or a few.
    missing_targets : {"raise", "omit"}, default="raise"
        What a y is that is NaN: an error, or, with "omit", not there: that output of that sample
        weighs nothing, in training, scores and units of y. A sample all of whose y are NaN is not
        there at all.
    standardize : bool, default=True
        Train on columns of X and y with mean 0 and variance 1, measured on the training
        samples. Outliers of X are drawn in for that: from 40 rows on, to as far beyond the 0.5 %
        and 99.5 % quantiles as these are apart; likewise y, with a warning, if one row holds more
        than half of its variance. `coefs_` and `intercepts_` nevertheless describe
        the raw columns, and `predict` takes and gives raw units.
    dtype : {"float32", "float64"} or None, default="float32"
        Precision of training; None is that of X.
    n_threads : int or None, default=None
        Threads of a fit and of `predict`; None is as many as the work is worth, at most the
        processors that this process may use, which fits that run at once share. Trials run side by
        side, unless `max_time` is to be shared. The result is the same for any number.
    max_time : float or None, default=None
        Seconds of training, after which it ends with its last whole epoch; of a first one that
        takes longer, with what has been trained of it. With "refit", of all trainings together. A
        `learning_rate` with a planned end, as "cosine", comes to it by then: the step size goes by
        as many epochs as there is time for.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_units of layer l−1, n_units of layer l)
        Weights, in the units of the raw X and y: the textbook's forward pass with them is
        `predict`. With an `encoding` the first has a row for each column that `encode` returns,
        which are its inputs. Float64 with `standardize`, else of the precision of training.
    intercepts_ : list of ndarray of shape (n_units of layer l,)
        Biases, likewise.
    encoding_ : tuple of str
        The encodings that it sees, by name; () where no column could be encoded, too.
    loss_ : float
        Loss of the last epoch.
    best_loss_ : float or None
        Least loss of an epoch; None with ``early_stopping=True``.
    loss_curve_ : list of float
        Mean loss over the batches of each epoch, with the penalty. With `standardize` a squared
        error is in units of y's variance: a loss of 0.1 leaves a tenth of it unexplained.
    validation_loss_curve_ : list of float or None
        The loss on the validation samples after each epoch; with "refit" those of the training
        that found how long to train.
    validation_scores_ : list of float or None
        What `scoring` says of the validation samples, likewise; R² if that is None or "loss".
    best_validation_score_ : float or None
        The greatest of these; where the loss judges them, that where it is least.
    n_iter_ : int
        Epochs of the last fit; iterations of "lbfgs".
    max_iter_, batch_size_, learning_rate_init_, weight_decay_ : int, int, float, float
        What "auto" became, or what was given; with "refit", `max_iter_` is what it chose, and after
        a training that diverged, `learning_rate_init_` is that with which it was begun again.
    dropout_ : list of float
        The part of the units of each hidden layer that was left out in training.
    t_ : int
        Samples trained on so far.
    n_layers_, n_outputs_ : int
    out_activation_ : str
        What makes a prediction of the linear output: "identity", or "exp" with "poisson" and
        "gamma".
    linear_part_ : ndarray of shape (n_features_in_,) or (n_features_in_, n_outputs_), or None
        What a unit of each column adds to predictions besides the network; None if nothing does.
    kernel_ : str
        The kernel that trained, a name of `fastbp.kernels.training.kernels.KERNELS`.
    feature_importances_ : ndarray of shape (n_features_in_,)
        How much predictions depend on each column, for what selects columns: the mean of |∂ŷ/∂x|
        times the deviation of x, over rows drawn from normal distributions of the columns' means
        and deviations (with ``standardize=False``, of 0 and 1), as shares that sum to 1. It is of
        the network, not of the data: columns that tell the same share what they tell.
        `sklearn.inspection.permutation_importance` looks at rows, and at errors.
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
    >>> model = BackpropRegressor(random_state=0).fit(X, np.sin(X).ravel())
    >>> bool(model.score(X, np.sin(X).ravel()) > 0.999)
    True
    """

    _format: ClassVar[str] = persistence.FORMAT

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), "array-like"],
        "loss": [StrOptions(set(LOSSES))],
        "loss_parameter": [Interval(Real, None, None, closed="neither"), "array-like", None],
        "solver": [StrOptions(set(SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left"), "array-like"],
        "ema_decay": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"}), None],
        "encoding": [StrOptions({*encodings.NAMES, "auto"}), "array-like", None],
        "linear_part": [StrOptions({"auto"}), None],
        "init": [StrOptions({"auto", "glorot"})],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left"), None],
        "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"refit"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "missing_targets": [StrOptions({"raise", "omit"})],
        "standardize": ["boolean"],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(128, 128),
        activation="logistic",
        *,
        loss="squared_error",
        loss_parameter=None,
        solver="adam",
        alpha=0.0,
        weight_decay="auto",
        max_grad_norm=None,
        dropout="auto",
        ema_decay="auto",
        batch_size="auto",
        learning_rate="cosine",
        warmup_fraction=None,
        learning_rate_init="auto",
        power_t=0.5,
        max_iter="auto",
        init="auto",
        encoding="auto",
        linear_part="auto",
        shuffle=True,
        random_state=None,
        tol=1e-5,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping="refit",
        validation_fraction=0.2,
        scoring=None,
        beta_1=0.9,
        beta_2=0.95,
        epsilon=1e-8,
        n_iter_no_change=20,
        max_fun=15000,
        missing_targets="raise",
        standardize=True,
        dtype="float32",
        n_threads=None,
        max_time=None,
    ):
        given = dict(locals())
        del given["self"]
        vars(self).update(given)

    @classmethod
    @cache
    def _get_param_names(cls):
        # A fit asks twice, and reading them off `__init__` is a fifth of what a small one takes.
        return super()._get_param_names()

    def _params(self):
        """The parameters, of a subclass too whose own `__init__` takes others."""
        return {name: getattr(self, name) for name in DEFAULTS}

    def _validate_params(self):
        # What is as it was by default is right; there are many of these.
        for name, default in _defaults_of(type(self)).items():
            value = getattr(self, name)
            if value is not default:
                check_parameter(type(self), name, value)

    # ---------------------------------------------------------------- training

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            A sample of weight 0 is not there, one of weight 2 counts twice; likewise each output of
            a sample, if each has a weight. The loss is Σ sᵢₖ L(ŷᵢₖ, yᵢₖ) / Σ sᵢ over a batch, sᵢ
            being the mean of a sample's weights; units of y and R² are each output's by itself.
        X_val, y_val, sample_weight_val : as X, y, sample_weight, default=None
            Held-out samples, scored after each epoch; the weights that were best on them, by
            `scoring`, are kept. With `early_stopping` they take the place of the split.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data can't be trained on, or training diverged.
        KeyboardInterrupt
            After Ctrl-C, if there is no whole epoch yet; or if this fit is one of many, of a
            search, a cross-validation or another ensemble of scikit-learn's, say, which ends, too.
            Else the model is that of the last whole epoch, and a warning says so.
        """
        go_on = self.warm_start and hasattr(self, "_learnt")
        columns = self._copied()  # what is said of them is the model's own when it is fitted
        samples = X, y, sample_weight, not go_on
        table = inputs.table_of(columns, *samples, may_be_later=True)
        held_out = None
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together.")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        if X_val is not None:
            held_out = inputs.table_of(
                columns, X_val, y_val, sample_weight_val, reset=False, n_outputs=table.y.shape[1]
            )
        with columns._said_by_sklearn(samples):
            return self._train(columns, table, held_out, go_on=go_on)

    @available_if(_makes_steps)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on X and y, going on from the present weights.

        The scaling of `standardize` follows the stream, as that of scikit-learn's
        `StandardScaler.partial_fit`: it is that of all rows so far, those of a `fit` before and
        weights of samples included, and the weights are re-expressed for it, so that what has been
        learnt stays. (Outliers of each call's X are drawn in, as `fit` does it; an `encoding` stays
        as it was measured at the first call.) A column of X that was constant so far begins at the
        size of the others when it no longer is.

        What has been set since the last call is obeyed. A step size that has become smaller, by
        "adaptive" or after a training that diverged, stays so until another `learning_rate_init` is
        set. (`MLPRegressor` keeps to the first.)

        For what is no array at all, such as a Parquet file, batch by batch:

        >>> import pyarrow.parquet as pq  # doctest: +SKIP
        >>> for batch in pq.ParquetFile("table.parquet").iter_batches(100_000):  # doctest: +SKIP
        ...     frame = batch.to_pandas()
        ...     model.partial_fit(frame[["a", "b"]], frame["y"])

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data can't be trained on, or training diverged: the model is what it was.
        KeyboardInterrupt
            After Ctrl-C. The model has been trained on the whole of X and y, or is what it was.
        """
        go_on = hasattr(self, "_learnt")
        if go_on:  # scikit-learn looks at the first call's alone, and they may have been set since
            self._validate_params()
        if self.early_stopping not in (False, "refit"):
            raise ValueError("partial_fit does not support early_stopping=True")
        columns = self._copied()
        samples = X, y, sample_weight, not go_on
        table = inputs.table_of(columns, *samples, may_be_later=True)
        with columns._said_by_sklearn(samples):
            return self._train(columns, table, None, go_on=go_on, is_partial=True)

    @contextmanager
    def _said_by_sklearn(self, samples):
        """What is found later not to be a number is so in scikit-learn's words."""
        try:
            yield
        except survey.NotFinite:
            inputs.table_of(self._copied(), *samples)
            raise

    def _train(self, columns, table, held_out, *, go_on, is_partial=False):
        """Everything that `fit` and `partial_fit` share, on samples that `columns` validated."""
        settings = self._settings(is_partial, go_on=go_on)
        before, optimizer, seen = self._before() if go_on else (None, None, 0)
        # What overflows is looked for where it matters, and said in words.
        with np.errstate(all="ignore"), told_of_compiling(self), told_of_trials(self):
            fitted = fit(
                self,
                settings,
                table,
                held_out,
                before=before,
                optimizer=optimizer,
                seen=seen,
            )
        is_interrupted = fitted.history.ended_by == "interrupted"
        if is_interrupted and callers.is_one_of_many():
            raise KeyboardInterrupt
        with ctrl_c_waits():  # else attributes may be of two models
            self._note(columns, fitted, go_on, held_out is not None or fitted.settings.holds_out)
        endings.warn(self, fitted, table)
        if fitted.observer is not None:
            fitted.observer.fit_ends()
        if is_interrupted and is_partial:  # a call of many
            raise KeyboardInterrupt
        return self

    def _settings(self, is_partial=False, *, go_on=False):
        """The parameters, as fitting takes them."""
        found = self._learnt.found if go_on else None
        settings = settings_of(self._params(), is_partial=is_partial, found=found)
        settings.model = self  # for scorers
        return settings

    # ------------------------------------------------------------- prediction

    def predict(self, X):
        """Predict y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of the y of `fit`. Float32 if X, training and that y are (or it is of
            integers that float32 holds), else float64.
        """
        learnt, X = self._learnt_of(X)
        n_outputs, n_threads = learnt.n_outputs, self._asked_threads()
        y = np.empty((X.shape[0], n_outputs), learnt.precision(X))
        with np.errstate(all="ignore"):
            model = learnt.model_for(X)
            for rows in measuring.slices(X.shape[0], learnt.rows_at_a_time(ROWS_AT_A_TIME, X)):
                columns = learnt.columns(X[rows])
                predictions_of(learnt, model, X[rows], columns, y[rows], n_threads)
        return y.ravel() if n_outputs == 1 else y

    def predict_jacobian(self, X):
        """The derivative of each prediction by each column of X: how far y goes with x, row by row.

        Through everything that `predict` goes through. Where that has a corner, as with "relu" or
        at the edges of an `encoding`'s bins, it is the derivative to one of the sides.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features) or (n_samples, n_outputs, n_features)
            In units of y by units of the column; float64.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BackpropRegressor
        >>> X = np.linspace(-3, 3, 400).reshape(-1, 1)
        >>> model = BackpropRegressor(random_state=0).fit(X, np.sin(X).ravel())
        >>> model.predict_jacobian([[0.0], [2.0]]).round(1)  # the cosine
        array([[ 1. ],
               [-0.4]])
        """
        learnt, X = self._learnt_of(X)
        J = np.empty((X.shape[0], learnt.n_outputs, X.shape[1]))
        at_a_time = max(1, min(measuring.CHUNK, converting.VALUES_AT_A_TIME // learnt.n_columns))
        for rows in measuring.slices(X.shape[0], at_a_time):
            J[rows] = jacobian(learnt, X[rows])
        return J[:, 0] if learnt.n_outputs == 1 else J

    def encode(self, X):
        """The columns that the first layer sees: those of X, then encoded ones.

        First come the columns of X, as they are; then, column after column, their bins
        ("piecewise_linear"); then the sines, then the cosines of all ("periodic").

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_columns)
            With ``encoding=None`` a copy of X; float64.
        """
        learnt, X = self._learnt_of(X)
        encoding = learnt.encoding
        if encoding is None:
            return converting.converted(X, np.float64).copy()
        columns = encodings.converted(X, np.float64, encoding)
        columns.flags.writeable = True  # the caller's, and nobody else's
        return columns

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
            It is a copy: what happens to the model later doesn't change it. Weights are no part
            of the code: what is compiled for the first model of a shape (layers, activations, link
            and precision), and for functions that it is an argument of, serves all others in the
            process. (Numba keeps no caller of it on disk.)

        Examples
        --------
        >>> import numpy as np
        >>> from numba import njit
        >>> from fastbp import BackpropRegressor
        >>> X = np.linspace(-3, 3, 400).reshape(-1, 1)
        >>> f = BackpropRegressor(20, random_state=0).fit(X, np.sin(X).ravel()).as_njit()
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
        learnt = self._learnt.checked()
        return function_of_row(learnt.model(), encoding=learnt.encoding, linear=learnt.linear)

    def loss_gradient(self, X, y, sample_weight=None):
        """The loss and its gradient by every weight and bias, at the present weights.

        In raw units, and without the penalty `alpha`: L of the class's description. (The delta
        of "huber" is in standard deviations of y there, too.)

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
        >>> model = BackpropRegressor((), max_iter=20, random_state=0).fit(X, y)
        >>> loss, dW, db = model.loss_gradient(X, y)
        >>> model.coefs_[0] -= 0.01 * dW[0]
        >>> bool(model.loss_gradient(X, y)[0] < loss)
        True
        """
        check_is_fitted(self)
        of_now = self._copied()  # another thread may be fitting
        of_now._validate_params()
        learnt = of_now._learnt
        table = inputs.table_of(of_now, X, y, sample_weight, reset=False, learnt=learnt)
        table = table._replace(linear=learnt.linear)
        by_entries = learnt.encoding is None and table.is_by_entries
        net, real = learnt.network(trained=True), np.dtype(np.float64)
        net = without_inputs(net) if by_entries else net
        of_loss = {"loss": learnt.loss, "loss_parameter": None}
        settings = settings_of(of_now._params() | of_loss)
        settings.loss_parameter = learnt.raw_loss_parameter()
        with np.errstate(all="ignore"):
            # Raw units may be far from 1, where float32 would round the answer away.
            theta = learnt.theta(None, real)
            samples = table.converted(real, None, encoding=learnt.encoding, by_entries=by_entries)
            loss, gradient = loss_and_gradient(net, theta, *samples, settings)
        return loss, *parameters.unpack(gradient, net)

    # ------------------------------------------------- from scikit-learn, and back to it

    @classmethod
    def from_sklearn(cls, mlp):
        """The same model as an `MLPRegressor`, with its parameters, weights and optimiser.

        Parameters
        ----------
        mlp : MLPRegressor
            Fitted or not.

        Returns
        -------
        BackpropRegressor
            With ``standardize=False``, and what else makes the two equal: it predicts and goes on
            (`partial_fit`, `warm_start`) as `mlp` would, but that it shuffles otherwise.
        """
        return moving.from_sklearn(cls, mlp)

    def to_sklearn(self):
        """The same model as an `MLPRegressor`: for what knows only that, converters for example.

        Returns
        -------
        MLPRegressor
            Predicts the same. It also goes on as this model would, optimiser included, if that is
            trained with ``standardize=False``, and without `weight_decay`, `max_grad_norm`,
            `dropout` and `ema_decay`; its
            `alpha`, `tol` and step size are such that its loss, half of "squared_error", makes no
            difference.

        Raises
        ------
        ValueError
            If there is no such MLPRegressor: with an encoding, a linear part, or other or several
            activations.
        """
        return moving.to_sklearn(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = not np.ndim(self.loss_parameter)  # else levels of one
        return tags


@cache
def _defaults_of(cls):
    """By name, of the parameters of a subclass, too; it may have others."""
    return {name: DEFAULTS.get(name) for name in (*cls._get_param_names(), *DEFAULTS)}


DEFAULTS = {
    name: parameter.default for name, parameter in signature(BackpropRegressor).parameters.items()
}
