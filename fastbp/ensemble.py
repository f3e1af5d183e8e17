"""`BackpropEnsembleRegressor`: several networks as one model."""

import warnings
from copy import copy
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.callback import with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from fastbp import callers, endings, inputs, persistence, scored
from fastbp.attributes import OF_COLUMNS
from fastbp.common import Common
from fastbp.contents import OF_TABLE
from fastbp.estimator import BackpropRegressor
from fastbp.fitting import committee, members, unseen
from fastbp.fitting.fit import prepare
from fastbp.fitting.observer import OfMembers, told_of_compiling, told_of_trials, words_of_pilot
from fastbp.fitting.telling import say
from fastbp.kernels.training.surrogate import function_of_row, weighted_mean

#: What is known of some tables only: their columns' names, and what a pipeline made of these.
OPTIONAL = {"feature_names_in_", *OF_TABLE}


class BackpropEnsembleRegressor(Common):
    """Several neural networks, whose mean predicts better than one.

    They differ in their first weights, the orders of the samples and, with `resample`, the rows
    that they see. One search finds for all how long to train, and what of the columns; one
    standardised copy of the table serves all, and they are trained side by side in threads.

    Where `estimator` has ``encoding="auto"``, its default, and a table for it (see
    `BackpropRegressor`), a network that sees encoded columns is tried too, with the same rows set
    aside. If a weighted mean of both kinds has at most 0.985 of the error of plain ones there, half
    of the members are of either kind, or all of one whose best weight is over 0.85; else all are
    plain. One member is of the better kind. A fit takes half as long again if half of the members
    see encoded columns.

    Parameters
    ----------
    estimator : BackpropRegressor or None, default=None
        Whose parameters the members have; None is ``BackpropRegressor()``. Its `random_state`,
        `n_threads`, `verbose`, `warm_start` and callbacks are not used, and its `max_time` holds
        for each member.
    n_estimators : int, default=8
        How many members.
    resample : {"folds", "bootstrap"} or None, default="folds"
        The rows of each member. "folds": all but its part of the rows held out, a sixteenth of the
        table with eight members and less of a large one; errors on these rows, that the members
        have not seen, tell `oob_score_` and `predict_interval`. "bootstrap": as many as there are,
        drawn with replacement; the rows not drawn, a third, serve instead. None: all rows, and
        nothing is told.
    random_state : int, RandomState instance or None, default=None
        Draws the members' own random states and the rows of each.
    n_threads : int or None, default=None
        Members that are trained at a time; if more than there are members, each has more of them.
        None is the processors that this process may use. The result is the same for any number.
    verbose : bool, default=False
        Print a line for each trial that begins or ends, for the pilot and for each member.

    Attributes
    ----------
    estimators_ : list of BackpropRegressor
        The members. Their parameters are those that they were trained with, "auto" no more: fitted
        on all rows, a clone of one is that member again, if it had all rows, nothing was found out
        about the columns, and none are encoded.
    estimator_weights_ : ndarray of shape (n_members,)
        The weight of each in the mean of their predictions, and in all that is made of it; they sum
        to 1. Members of one kind have the same: that of their kind, as the rows set aside had it,
        over their number. All are equal where there is one kind.
    oob_prediction_ : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
        For each sample of `fit` the weighted mean prediction of the members that have not seen it;
        NaN where there are none.
    oob_score_ : float or None
        R² of it.
    residuals_ : ndarray of shape (n_rows_held_out, n_outputs) or None
        How far from y it is, for each of these rows, times how much less it would be for the mean
        of all members; see `predict_interval`.
    residual_weights_ : ndarray of shape (n_rows_held_out,) or None
        Their sample weights.
    max_iter_ : int
        How many epochs each member was to be trained; of two kinds, the first, which is plain.
    feature_importances_ : ndarray of shape (n_features_in_,)
        As of `BackpropRegressor`, of the mean of their predictions.
    n_outputs_, n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had names for its columns.

    References
    ----------
    Hansen & Salamon, "Neural network ensembles", IEEE Transactions on Pattern Analysis and Machine
    Intelligence 12 (1990) 993-1001.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import BackpropEnsembleRegressor
    >>> random = np.random.default_rng(0)
    >>> X = random.uniform(-3, 3, (400, 1))
    >>> y = np.sin(X).ravel() + random.normal(0, 0.1, 400)
    >>> model = BackpropEnsembleRegressor(n_estimators=4, random_state=0).fit(X, y)
    >>> y_mean, y_std = model.predict([[0.5], [30.0]], return_std=True)
    >>> bool(abs(y_mean[0] - np.sin(0.5)) < 0.1 and y_std[1] > y_std[0])
    True
    >>> lower, upper = model.predict_interval([[0.5]], coverage=0.9)
    >>> bool(lower[0] < np.sin(0.5) < upper[0])
    True
    """

    _format, _of_members = persistence.ENSEMBLE, BackpropRegressor

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [BackpropRegressor, None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "resample": [StrOptions({name for name in unseen.RESAMPLES if name}), None],
        "random_state": ["random_state"],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        n_estimators=8,
        *,
        resample="folds",
        random_state=None,
        n_threads=None,
        verbose=False,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.resample = resample
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    # --------------------------------------------------------------- training

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the members on X and y.

        Callbacks hear of each member that is done; scores are of those that are done by then.

        After Ctrl-C the members that are done are the ensemble; if there are none, those that have
        trained for at least an epoch.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            A sample of weight 0 is not there, one of weight 2 counts twice.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data can't be trained on, or training diverged.
        KeyboardInterrupt
            After Ctrl-C, if no member has a whole epoch yet; or if this fit is one of many, of a
            search, say, which ends, too.
        """
        one = BackpropRegressor() if self.estimator is None else clone(self.estimator)
        one._validate_params()
        table = inputs.table_of(one, X, y, sample_weight, reset=True)
        if table.output_weight is not None:
            raise ValueError(
                "An ensemble takes one weight for each sample: outputs can't weigh differently, "
                "nor be missing one by one."
            )
        random_state = check_random_state(self.random_state)
        of_search, of_rows, *seeds = random_state.randint(2**31 - 1, size=2 + self.n_estimators)

        kinds = self._prepare(one, table, int(of_search))
        weights = np.array([weight for weight, _ in kinds])
        kind_of = committee.shared_out(weights, self.n_estimators)
        rows = kinds[0][1].task.rows
        deal, random_state = unseen.RESAMPLES[self.resample], np.random.RandomState(of_rows)
        orders = deal(rows, self.n_estimators, random_state, len(kinds))
        prepared = [kinds[kind][1] for kind in kind_of]
        done, observer = self._say_done if self.verbose else None, None
        if getattr(self, "_skl_callbacks", None):

            def model_of(done):
                numbers = sorted(done)
                return {
                    "estimators_": [member_of(one, done[n], int(seeds[n])) for n in numbers],
                    "estimator_weights_": committee.weights_of(kind_of[numbers], weights),
                    "n_features_in_": one.n_features_in_,
                    "n_outputs_": table.y.shape[1],
                }

            observer = OfMembers(self, table, model_of)

            def done(number, fitted):
                if self.verbose:
                    self._say_done(number, fitted)
                if members.is_whole(fitted):
                    observer.member_ends(number, fitted)

        with np.errstate(all="ignore"), told_of_compiling(self):
            fitted = members.train(prepared, orders, seeds, self.n_threads, done)

        kept = members.whole_members(fitted)
        if not all(map(members.is_whole, fitted)) and callers.is_one_of_many():
            raise KeyboardInterrupt
        of_members = [(fitted[number], int(seeds[number])) for number in kept]
        made = copy(self)  # another thread may be predicting: it sees all of a fit or nothing
        made._note(one, of_members, committee.weights_of(kind_of[kept], weights))
        made._judge(table, [np.setdiff1d(rows, orders[number]) for number in kept])
        learned = vars(made).keys() - self.get_params(deep=False)
        vars(self).update({name: vars(made)[name] for name in learned})
        for name in OPTIONAL - learned:
            vars(self).pop(name, None)
        self._warn(one, [fitted[number] for number in kept], table)
        if observer is not None:
            observer.fit_ends()
        return self

    def _prepare(self, one, table, random_state):
        """What all members of a kind share, and what was found out for all of them: each kind with
        its weight."""
        settings = one._settings()
        settings.random_state, settings.n_threads = random_state, self.n_threads
        with np.errstate(all="ignore"), told_of_compiling(self), told_of_trials(self):
            kinds = prepare(settings, table, None, mixes=self.n_estimators > 1)
        if any(prepared.interrupted is not None for _, prepared in kinds):
            raise KeyboardInterrupt  # there is no member yet
        for weight, prepared in kinds:
            if self.verbose and prepared.pilot is not None:
                encoded = "encoded " if prepared.task.encoding else ""
                part = f", weight {weight:.2f}" if len(kinds) > 1 else ""
                words = words_of_pilot(prepared.pilot, prepared.task.settings.max_iter)
                say(f"{encoded}{words}{part}")
        return kinds

    def _say_done(self, number, fitted):
        history, width = fitted.history, len(str(self.n_estimators))
        say(
            f"member {number + 1:{width}d}/{self.n_estimators}  {len(history.losses)} epochs  "
            f"loss {history.losses[-1]:<10.4g}  {history.seconds:.1f} s"
        )

    def _note(self, one, fitted, weights):
        """The learned attributes, of the Fitted, the seed and the weight of each member."""
        estimators = [member_of(one, *each) for each in fitted]
        known = {name: value for name, value in vars(one).items() if name in OF_COLUMNS}
        # At once: another thread may be predicting, see `Learned._note`.
        vars(self).update(
            known,
            estimators_=estimators,
            estimator_weights_=weights,
            n_outputs_=estimators[0].n_outputs_,
            max_iter_=estimators[0].max_iter_,
            oob_prediction_=None,
            oob_score_=None,
            residuals_=None,
            residual_weights_=None,
        )
        for name in OPTIONAL - known.keys():
            vars(self).pop(name, None)

    def _judge(self, table, left_out):
        """Note what rows say that members have not seen."""
        if not any(rows.size for rows in left_out):
            return
        kinds, weights, n_members = self._kinds
        count, mean, variance, unit = unseen.predict_unseen(
            self._learnt, kinds, weights, table, left_out, self.n_threads
        )
        self.oob_prediction_ = self._shaped(mean)
        rows = np.flatnonzero(count.any(axis=0))
        weight = np.ones(len(rows)) if table.sample_weight is None else table.sample_weight[rows]
        if len(rows) >= 2:
            levels = self._levels  # of one y, which the table has for each
            y = table.y[rows] if levels is None else table.y[rows, 0]
            self.oob_score_ = scored.score_of(y, mean[rows], weight, levels)
        residuals = np.abs(table.y[rows] - mean[rows])
        residuals *= unseen.shrinkage(
            residuals / unit, count[:, rows], variance[:, rows], weight, weights, n_members
        )
        self.residuals_, self.residual_weights_ = residuals, weight

    def _warn(self, one, fitted, table):
        """Say what the user should know of how training ended."""
        n_whole = sum(map(members.is_whole, fitted))
        if n_whole < self.n_estimators:
            unfinished = "" if n_whole else ", none of which is done"
            warnings.warn(
                f"Interrupted: the ensemble is {len(fitted)} of {self.n_estimators} members"
                f"{unfinished}.",
                ConvergenceWarning,
                stacklevel=callers.stacklevel(),
            )
            return
        # What is to be said of one is mostly to be said of all: it is said once.
        worst = max(fitted, key=lambda each: each.history.losses[-1])
        one._note(one, worst, False, False)
        endings.warn_of_restarts(one, worst)
        endings.warn_of_end(one, worst, table, self._parts)

    # ------------------------------------------------------------- prediction

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimators_")

    @property
    def _learnt(self):
        """What each member has learnt."""
        return [member._learnt for member in self.estimators_]

    @property
    def _parts(self):
        """What each member has learnt, and its weight; or an error, if these don't belong
        together."""
        of_now = copy(self)  # another thread may be fitting
        ends = of_now.n_features_in_, of_now.n_outputs_
        return committee.checked(of_now.estimators_, of_now.estimator_weights_, ends)

    @property
    def _kinds(self):
        """Of each member the number of its kind; of each kind a member's weight, and how many."""
        return committee.kinds_of(*self._parts)

    def _shaped(self, y):
        """(n_samples, n_outputs), as scikit-learn has it."""
        return y.ravel() if self.n_outputs_ == 1 else y

    def predict(self, X, return_std=False):
        """Predict y: the weighted mean of what the members predict.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return how far the members differ: the standard deviation of their predictions,
            weighted as the mean; noise of y not included.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of the y of `fit`. Float32 if X, training and that y are (or it is of
            integers that float32 holds), else float64.
        y_std : ndarray of the same shape
            Only with `return_std`; 0 if there is one member.
        """
        learnt, weights, X = self._learnt_of(X)
        n_threads = self._asked_threads()
        mean, std = committee.mean_and_std(learnt, weights, X, n_threads, with_std=return_std)
        if learnt[0].n_outputs == 1:
            mean, std = mean.ravel(), std.ravel()
        return (mean, std) if return_std else mean

    def _learnt_of(self, X):
        """What each member has learnt, the members' weights, and X validated for them, of one and
        the same fit."""
        check_is_fitted(self)
        while True:
            estimators, weights = self.estimators_, self.estimator_weights_
            ends = self.n_features_in_, self.n_outputs_
            validated = inputs.rows(self, X)
            if self.estimators_ is estimators and self.estimator_weights_ is weights:
                return *committee.checked(estimators, weights, ends), validated

    @property
    def _levels(self):
        """As of `BackpropRegressor`."""
        return self.estimators_[0]._levels

    def predict_interval(self, X, coverage=0.9):
        """Intervals around the predictions, in which so large a part of new y will lie.

        Half an interval is as long as a part `coverage` of the errors is at most that members make
        on rows of `fit` which they have not seen (conformal prediction, across folds [1] or out of
        the bootstrap's bag [2]); these errors are those of means over fewer members, and so are
        first made smaller by the part of their squares that the members' measured variance makes
        up. Coverage is for new rows like those of `fit`, all together: where y is noisier than
        elsewhere, fewer lie within. (Units and how long to train have been found on all rows.)

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        coverage : float in (0, 1), default=0.9
            Of each output by itself.

        Returns
        -------
        lower, upper : ndarrays of shape (n_samples,) or (n_samples, n_outputs)

        References
        ----------
        [1] Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74
        (2015) 9-28; Barber, Candès, Ramdas & Tibshirani, "Predictive inference with the
        jackknife+", Annals of Statistics 49 (2021) 486-507.

        [2] Kim, Xu & Barber, "Predictive inference is free with the jackknife+-after-bootstrap",
        NeurIPS 2020.
        """
        check_is_fitted(self)
        check_scalar(coverage, "coverage", Real, min_val=0, max_val=1, include_boundaries="neither")
        if np.isnan(coverage):
            raise ValueError("coverage is NaN.")
        of_now = copy(self)  # another thread may be fitting
        if of_now.residuals_ is None:
            raise ValueError(
                "No row was held out that would tell how far off predictions are. Fit with "
                f"resample='folds' on {round(1 / unseen.MOST_OF_MEMBER)} rows or more that have a "
                "weight."
            )
        residuals, weight = of_now._residuals()
        half = unseen.quantile(residuals, weight, coverage)
        if half is None:
            raise ValueError(
                f"{len(residuals)} rows held out are too few for intervals with "
                f"coverage={coverage:g}. Fit on more rows, or ask for less."
            )
        y = of_now.predict(X)
        half = half[0] if of_now.n_outputs_ == 1 else half
        lowest = of_now.estimators_[0]._learnt.link.lowest
        return np.maximum(y - half, lowest), y + half

    def _residuals(self):
        """`residuals_` and their weights, or an error, if they are none of its outputs."""
        return unseen.checked(self.residuals_, self.residual_weights_, self.n_outputs_)

    def as_njit(self):
        """The ensemble as a function of one row, for loops that Numba compiles.

        Returns
        -------
        f : callable, ``f(x) -> y``
            As that of `BackpropRegressor.as_njit`, which takes as much less time as there are
            members.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BackpropEnsembleRegressor, BackpropRegressor
        >>> X = np.linspace(-3, 3, 400).reshape(-1, 1)
        >>> model = BackpropEnsembleRegressor(BackpropRegressor(20), 2, random_state=0)
        >>> f = model.fit(X, np.sin(X).ravel()).as_njit()
        >>> bool(abs(f(np.array([1.0]))[0] - np.sin(1.0)) < 0.1)
        True
        """
        check_is_fitted(self)
        functions, weights = [], []
        for models, encoding, linear, weight in self._kinds_of_models():
            functions.append(function_of_row(*models, encoding=encoding, linear=linear))
            weights.append(weight)
        return weighted_mean(functions, weights)

    def _kinds_of_models(self):
        """Of each kind the members as kernels predict with them, if they are alike in all but
        numbers; the encoding that they see, and what all of them together weigh."""
        return committee.kinds_of_models(*self._parts)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        of_members = (self.estimator or BackpropRegressor()).__sklearn_tags__()
        tags.input_tags, tags.target_tags = of_members.input_tags, of_members.target_tags
        return tags


def member_of(one, fitted, seed):
    """A member as an estimator: as `one`, but that nothing needs to be found out any more."""
    settings, member = fitted.settings, clone(one)
    found = ("max_iter", "batch_size", "learning_rate_init", "weight_decay")
    vars(member).update({name: getattr(settings, name) for name in found}, random_state=seed)
    if isinstance(member.dropout, str):  # "auto"
        member.dropout = max(settings.dropout, default=0.0)
    member.encoding = fitted.learnt.encoding_names or None
    if settings.refits:
        member.early_stopping = False
    member._note(one, fitted, False, settings.holds_out)
    return member
