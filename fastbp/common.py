"""What both estimators can do, beside fitting and predicting."""

from functools import lru_cache

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import validate_parameter_constraints

from fastbp.export.methods import Exported
from fastbp.importance import Important
from fastbp.persistence import Saved
from fastbp.scored import Scored
from fastbp.showing import Described


@lru_cache(maxsize=1000, typed=True)
def _validated(cls, name, value):
    """Nothing, or an error; what has been right is so again. (Of twenty values that are given, a
    fit would take 0.1 ms for it.)"""
    validate_parameter_constraints(
        cls._parameter_constraints, {name: value}, caller_name=cls.__name__
    )


def check_parameter(cls, name, value):
    """scikit-learn's error, if a class doesn't take this value of a parameter."""
    is_plain = type(value) in (bool, int, float, str)
    (_validated if is_plain else _validated.__wrapped__)(cls, name, value)


class Common(Saved, Exported, CallbackSupportMixin, Scored, Important, Described, BaseEstimator):
    """A base of `BackpropRegressor` and of the ensemble: each part says what it needs of them."""

    def _copied(self):
        """As `copy.copy` of it, which asks how it is pickled, for as long as X is looked at."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def _asked_threads(self):
        """`n_threads`, which may have been set since a fit looked at it."""
        if self.n_threads is not None:
            check_parameter(type(self), "n_threads", self.n_threads)
        return self.n_threads
