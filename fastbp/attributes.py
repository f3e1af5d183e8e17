"""What is known of a model once it has been fitted: its learned attributes."""

from numbers import Integral
from reprlib import repr as in_short

from sklearn.utils.validation import check_is_fitted

from fastbp import inputs, parameters
from fastbp.contents import OF_TABLE, is_number, or_none
from fastbp.fitting.divergence import RESTART_DIVISOR
from fastbp.fitting.history import best_of
from fastbp.fitting.state import OptimizerState

#: What is known of the columns of X.
OF_COLUMNS = ("n_features_in_", "feature_names_in_")


def _is_optimizer(value):
    return isinstance(value, OptimizerState)


def _is_list(value):
    return isinstance(value, list)  # of a stream so long that nobody looks at each number


def _is_count(value):
    return isinstance(value, Integral) and value >= 0


_CURVE = "a list of numbers or None", or_none(_is_list)
_FIGURE = "a number or None", or_none(is_number)

#: What else a fit goes on with than what has been learnt: what it is, in words and as a function.
GONE_ON_WITH = {
    "t_": ("a number of samples", _is_count),
    "_optimizer": ("that of a fit or None", or_none(_is_optimizer)),
    "best_loss_": _FIGURE, "best_validation_score_": _FIGURE,
    "loss_curve_": _CURVE, "validation_loss_curve_": _CURVE, "validation_scores_": _CURVE,
}  # fmt: skip


def _learnt_list(name):
    """A learned attribute that is a part of what has been learnt, and can be replaced."""

    def get(self):
        return self._learnt_for(f"{name}_").given_away(name)

    def replace(self, arrays):
        get(self)  # or an error
        arrays = parameters.as_floats(arrays, f"{name}_")
        self._learnt = self._learnt._replace(**{name: arrays}, packed=None)

    return property(get, replace)


def _longer(before, values):
    """A curve, gone on with in place: its length costs nothing."""
    if before is None:
        return values
    before.extend(values)
    return before


def _judge_of(optimizer):
    """What judged the rows held out when it last trained; () if that is not known."""
    watches = () if optimizer is None else tuple(optimizer.watches)
    return watches[:1] + watches[3:]  # the loss, and any `scoring`


class Learned:
    """What a fit leaves with `BackpropRegressor`, and how others get at it."""

    def _note(self, columns, fitted, go_on, validated):
        """The learned attributes: what happened, and what predicts.

        Another thread may be predicting: whoever reads `_learnt`, and finds it there afterwards,
        has read in between what goes with it.
        """
        history, before = fitted.history, dict(vars(self)) if go_on else {}
        settings, pilot = fitted.settings, fitted.pilot
        self.max_iter_ = settings.max_iter
        self.batch_size_ = min(settings.batch_size, fitted.n_samples)
        self.weight_decay_ = settings.weight_decay
        self.dropout_ = list(settings.dropout) or [0.0] * len(settings.hidden)
        self.learning_rate_init_ = settings.learning_rate_init / RESTART_DIVISOR**history.restarts
        self._optimizer = fitted.optimizer
        self._optimizer.given = self.learning_rate_init
        known = {name: value for name, value in vars(columns).items() if name in OF_COLUMNS}
        vars(self).update(  # at once
            known,
            _learnt=fitted.learnt,
            n_layers_=len(fitted.learnt.coefs) + 1,
            n_outputs_=fitted.learnt.n_outputs,
            out_activation_=fitted.learnt.link.out_activation,
        )
        if "feature_names_in_" not in known:
            vars(self).pop("feature_names_in_", None)
        for name in () if go_on else OF_TABLE:
            vars(self).pop(name, None)
        self.kernel_ = history.kernel
        self.n_iter_ = len(history.losses)
        self.t_ = before.get("t_", 0) + self.n_iter_ * fitted.n_samples
        self.loss_curve_ = _longer(before.get("loss_curve_"), history.losses)
        self.loss_ = history.losses[-1]
        self.best_loss_ = None
        if not settings.holds_out:
            least = before.get("best_loss_")
            self.best_loss_ = min(history.losses if least is None else [least, *history.losses])
        self.validation_scores_ = self.validation_loss_curve_ = self.best_validation_score_ = None
        if validated:
            scores, best = history.validation_scores, before.get("best_validation_score_")
            judges = (_judge_of(each) for each in (before.get("_optimizer"), fitted.optimizer))
            if best is None or len(set(judges) - {()}) > 1:
                before, best = {}, None  # what there was, if anything, is a pilot's or another's
            losses = before.get("validation_loss_curve_")
            self.validation_scores_ = _longer(before.get("validation_scores_"), scores)
            self.validation_loss_curve_ = _longer(losses, history.validation_losses)
            if settings.by_loss:
                scores, figures = self.validation_scores_, self.validation_loss_curve_
            else:
                scores = scores if best is None else [best, *scores]
                figures = [-score for score in scores]
            self.best_validation_score_ = scores[best_of(figures)]
        elif pilot is not None:
            self.validation_scores_ = pilot.validation_scores
            self.validation_loss_curve_ = pilot.validation_losses

    def _before(self):
        """What has been learnt, the optimiser and the number of samples, for a fit that goes on;
        or an error: anybody may have set them."""
        known = vars(self)
        for name, (words, is_right) in GONE_ON_WITH.items():
            if not is_right(value := known.get(name)):
                raise ValueError(
                    f"{name} is {in_short(value)}, and must be {words} for a fit that goes on. "
                    "Leave it as the last fit did, or fit anew with warm_start=False."
                )
        return self._learnt.checked(), known.get("_optimizer"), known["t_"]

    def __getstate__(self):
        """A copy has curves of its own: a fit that goes on makes them longer in place."""
        state = super().__getstate__()
        curves = (name for name, of in GONE_ON_WITH.items() if of is _CURVE)
        return state | {n: list(state[n]) for n in curves if isinstance(state.get(n), list)}

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_learnt")

    def _learnt_for(self, name):
        """What has been learnt, of which an attribute of this name is a part; there is none before
        a fit."""
        if "_learnt" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._learnt

    @property
    def _scaling(self):
        """That of `standardize`, or None."""
        return self._learnt.scaling

    coefs_ = _learnt_list("coefs")
    intercepts_ = _learnt_list("intercepts")

    @property
    def _parts(self):
        return [self._learnt], [1.0]

    @property
    def linear_part_(self):
        linear = self._learnt_for("linear_part_").linear
        if linear is None:
            return None
        shown = linear.view() if linear.shape[1] > 1 else linear.ravel()
        shown.flags.writeable = False  # as it can't be set: nobody looks at it again
        return shown

    @property
    def encoding_(self):
        learnt = self._learnt_for("encoding_")
        return learnt.encoding_names if learnt.n_columns > learnt.n_features else ()

    def _learnt_of(self, X):
        """What has been learnt, and X validated for it: of one and the same fit, whatever other
        threads do with the model meanwhile."""
        check_is_fitted(self)
        while True:
            learnt = self._learnt
            validated = inputs.rows(self, X)
            if self._learnt is learnt:
                return learnt, validated

    @property
    def _levels(self):
        """Of the quantiles that are predicted, if they are several."""
        return self._learnt.loss_parameter if self._learnt.rising else None
