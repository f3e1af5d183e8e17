"""What both estimators can do, beside fitting and predicting."""

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin

from fastbp.export.methods import Exported
from fastbp.importance import Important
from fastbp.persistence import Saved
from fastbp.scored import Scored
from fastbp.showing import Described


class Common(Saved, Exported, CallbackSupportMixin, Scored, Important, Described, BaseEstimator):
    """A base of `BackpropRegressor` and of the ensemble: each part says what it needs of them."""
