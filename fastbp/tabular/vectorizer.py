"""`TableVectorizer` makes numbers of tables, `tabular_pipeline` a model that takes them."""

from copy import copy
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp import persistence
from fastbp.contents import OF_TABLE
from fastbp.ensemble import BackpropEnsembleRegressor
from fastbp.estimator import BackpropRegressor
from fastbp.tabular import columns
from fastbp.tabular.frames import Frame


class TableVectorizer(TransformerMixin, BaseEstimator):
    """Makes numbers of a table with text, holes and dates.

    It looks at each column of the table it is fitted on, as ``python -m fastbp train`` does, which
    uses it: `columns_` says what it found.

    - Numbers and booleans stay; so does text where all of it is numbers: with percent signs, or
      separators of thousands.
    - Dates are days since 1970 (with the time of day as a fraction), durations days. In text a date
      is 2024-12-31, or 31/12/2024 or 12/31/2024, whichever all of the column can be.
    - Other text, and categories of pandas, polars or Arrow, become a column for each level that is
      in a hundredth of the rows, in three at least, or in fifty, for the most common hundred of
      these; and one for all others, where there were any.
    - A hole (NaN, None, NaT, an empty text, "NA", "N/A", "null", "none", "?") is filled by the
      median, or by no level. A column that had holes also gets one that tells where they are.
    - Columns without a value, and text none of which is there so often, are left out.

    Later tables are treated the same way: their columns are found by name, in any order, and text
    that is new is one of the others, if there were any, or else no level.

    Parameters
    ----------
    decimal : {".", ","}, default="."
        The decimal mark of numbers in text.
    thousands : bool, default=True
        Whether the other mark may separate thousands in text; else it does only where it can mean
        nothing else, as in 3.557,45. Spaces and apostrophes may in any case.

    Attributes
    ----------
    columns_ : list of Column
        What became of each column: ``column.told()`` is a line about it, ``column.names()`` what it
        is called now.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If the table had names for its columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from fastbp import TableVectorizer
    >>> table = pd.DataFrame({"colour": ["red", "blue"] * 3, "share": ["5%", None, "7.5 %"] * 2})
    >>> vectorizer = TableVectorizer().fit(table)
    >>> vectorizer.get_feature_names_out().tolist()
    ['colour=blue', 'colour=red', 'share', 'share is missing']
    >>> vectorizer.transform(pd.DataFrame({"share": [None, "1%"], "colour": ["red", "green"]}))
    array([[0.  , 1.  , 6.25, 1.  ],
           [0.  , 0.  , 1.  , 0.  ]])
    """

    _parameter_constraints: ClassVar[dict] = {
        "decimal": [StrOptions({".", ","})],
        "thousands": ["boolean"],
    }

    def __init__(self, *, decimal=".", thousands=True):
        self.decimal = decimal
        self.thousands = thousands

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn what the columns of a table are.

        Parameters
        ----------
        X : data frame of pandas or polars, or array-like of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        self
        """
        frame = Frame(X)
        frame.require_some()
        learnt = columns.learn(frame, self.decimal, self.thousands)
        if not columns.names(learnt):
            raise ValueError("There is no column of which a number can be made.")
        fitted = copy(self)
        validate_data(fitted, frame.X, skip_check_array=True)
        fitted.columns_ = learnt
        self.__dict__ = vars(fitted)  # at once: a fit that fails leaves what there was
        return self

    def transform(self, X):
        """The columns of numbers of a table.

        Parameters
        ----------
        X : data frame of pandas or polars, or array-like of shape (n_samples, n_features)
            With the columns that `fit` saw, in any order if they have names.

        Returns
        -------
        ndarray of shape (n_samples, n_columns), float64

        Raises
        ------
        ValueError
            If a column is missing, or a cell is not what its column holds.
        """
        check_is_fitted(self)
        frame = Frame(X)
        frame.require_some()
        if not (frame.is_named and hasattr(self, "feature_names_in_")):
            validate_data(self, frame.X, skip_check_array=True, reset=False)
            frame.rename([column.name for column in self.columns_])
        return columns.numbers(self.columns_, frame, self.decimal, self.thousands)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        return np.array(columns.names(self.columns_), dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "columns_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def tabular_pipeline(regressor=None, *, decimal=".", thousands=True):
    """A model for tables as people have them: a scikit-learn Pipeline of a `TableVectorizer` and a
    regressor, the same as ``python -m fastbp train`` builds.

    Parameters
    ----------
    regressor : regressor or None, default=None
        Any of scikit-learn's kind; None is ``BackpropRegressor()``.
    decimal, thousands : see `TableVectorizer`

    Returns
    -------
    sklearn.pipeline.Pipeline

    Examples
    --------
    >>> import pandas as pd
    >>> from fastbp import BackpropRegressor, tabular_pipeline
    >>> X = pd.DataFrame({"kind": ["a", "b"] * 20, "size": [*range(39), None]})
    >>> y = X["size"].fillna(19) + 10 * (X["kind"] == "a")
    >>> model = tabular_pipeline(BackpropRegressor(20, random_state=0)).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """
    regressor = BackpropRegressor() if regressor is None else regressor
    return make_pipeline(TableVectorizer(decimal=decimal, thousands=thousands), regressor)


# ------------------------------------------------------------------------------- on disk

#: Beside the vectorizer's parameters: whether the table that it was fitted on had names.
IS_NAMED = "is_named"


def save_pipeline(pipeline, path):
    """Write a fitted `tabular_pipeline` to a file, as arrays and JSON, as ``train`` does.

    Parameters
    ----------
    pipeline : Pipeline
        Of a `TableVectorizer` and a `BackpropRegressor` or `BackpropEnsembleRegressor`.
    path : str, path-like or binary file
        ``.npz`` is customary.
    """
    vectorizer, model = _parts(pipeline)
    check_is_fitted(vectorizer)
    check_is_fitted(model)
    vectorizer._validate_params()
    named = copy(model)
    named.feature_names_in_ = vectorizer.get_feature_names_out()
    named.columns_ = columns.to_json(vectorizer.columns_)
    params = {name: getattr(vectorizer, name) for name in TableVectorizer._parameter_constraints}
    named.vectorizer_ = params | {IS_NAMED: hasattr(vectorizer, "feature_names_in_")}
    named.save(path)


def _parts(pipeline):
    kinds = TableVectorizer, BackpropRegressor | BackpropEnsembleRegressor
    parts = [step for _, step in pipeline.steps] if isinstance(pipeline, Pipeline) else []
    if len(parts) != 2 or not all(map(isinstance, parts, kinds)):
        raise TypeError(
            "Only a Pipeline of a TableVectorizer and a BackpropRegressor or an ensemble of them "
            "can be saved; tabular_pipeline makes one. For others there is joblib."
        )
    return parts


def load_pipeline(path):
    """Read a model that ``python -m fastbp train`` or `save_pipeline` wrote, to predict for tables.

    Parameters
    ----------
    path : str, path-like or binary file
        What `BackpropRegressor.save` and `BackpropEnsembleRegressor.save` wrote will do, too.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Fitted.

    Raises
    ------
    ValueError
        If the file is not one of fastbp's, or of a version that is not known here.
    """
    model = load_model(path)
    known = [f"x{k}" for k in range(model.n_features_in_)]
    is_named = hasattr(model, "feature_names_in_")
    # It has done its duty: the model sees arrays, whose columns have no names.
    known = vars(model).pop("feature_names_in_").tolist() if is_named else known
    stored, of_vectorizer = (vars(model).pop(name, None) for name in OF_TABLE)
    vectorizer, is_named = _unfitted(of_vectorizer or {}, is_named)
    if stored is None:
        vectorizer.columns_ = [columns.Column(name, "numbers", np.nan) for name in known]
    else:
        vectorizer.columns_ = columns.from_json(stored, known)
    in_names = [column.name for column in vectorizer.columns_]
    vectorizer.n_features_in_ = len(in_names)
    if is_named:
        vectorizer.feature_names_in_ = np.array(in_names, dtype=object)
    return make_pipeline(vectorizer, model)


def _unfitted(stored, is_named):
    """A vectorizer with a file's parameters, and whether its table had names; `is_named` and the
    defaults where the file is from before it said so."""
    try:
        params = {IS_NAMED: is_named, **stored}
        is_named = params.pop(IS_NAMED)
        vectorizer = TableVectorizer(**params)
        vectorizer._validate_params()
    except (TypeError, ValueError) as error:
        raise ValueError(f"What the model knows of its table is damaged: {error}.") from None
    return vectorizer, is_named


def load_model(path):
    """A model or an ensemble, whichever a file holds."""
    try:
        return BackpropRegressor.load(path)
    except persistence.OtherFormat as error:
        if error.format != persistence.ENSEMBLE:
            raise
    if hasattr(path, "seek"):
        path.seek(0)
    return BackpropEnsembleRegressor.load(path)
