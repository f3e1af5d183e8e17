"""Pictures of a trained model; they need matplotlib, the extra ``fastbp[plot]``."""

import io
import logging
from importlib.util import find_spec

import numpy as np
from sklearn.metrics import PredictionErrorDisplay, root_mean_squared_error
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fastbp import paths
from fastbp.fitting.history import best_of


def check_matplotlib(caller):
    """Raise an ImportError that says what to install, where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib; install it with: pip install 'fastbp[plot]'"
        ) from error


def can_draw():
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


class LossCurveDisplay:
    """The loss after each epoch, and that on the validation samples where there are any.

    Create it with `from_estimator`.

    Parameters
    ----------
    loss : array-like of shape (n_epochs,)
    validation_loss : array-like of shape (n_epochs,) or None, default=None
    best_epoch : int or None, default=None
        The epoch whose weights were kept, counted from 1.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D

    Examples
    --------
    >>> from fastbp import BackpropRegressor  # doctest: +SKIP
    >>> from fastbp.plotting import LossCurveDisplay  # doctest: +SKIP
    >>> LossCurveDisplay.from_estimator(BackpropRegressor().fit(X, y))  # doctest: +SKIP
    """

    def __init__(self, loss, validation_loss=None, best_epoch=None):
        self.loss = loss
        self.validation_loss = validation_loss
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **line_kwargs):
        """Draw the loss curves of a fitted model.

        Parameters
        ----------
        estimator : BackpropRegressor, or a Pipeline that ends in one
            Any fitted model that has a `loss_curve_`, such as scikit-learn's MLPRegressor; of an
            ensemble, one of its `estimators_`.
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        **line_kwargs
            Passed on to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        NotFittedError
            If `estimator` has not been fitted.
        TypeError
            If it has no `loss_curve_`.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        check_is_fitted(model)
        if not hasattr(model, "loss_curve_"):
            members = hasattr(model, "estimators_")
            advice = "; draw its members one by one, as estimators_[0]" if members else ""
            raise TypeError(f"{type(model).__name__} has no loss_curve_{advice}.")
        scores, best_epoch = getattr(model, "validation_scores_", None), None
        if scores:
            best = getattr(model, "best_validation_score_", None)  # perhaps where a loss is least
            is_known = best in scores
            best_epoch = 1 + (scores.index(best) if is_known else best_of(np.negative(scores)))
        losses = model.loss_curve_, getattr(model, "validation_loss_curve_", None)
        return cls(*losses, best_epoch).plot(ax=ax, **line_kwargs)

    def plot(self, *, ax=None, **line_kwargs):
        """Draw the curves, the loss on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        **line_kwargs
            Passed on to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay
            This one.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots()[1]
        self.ax_, self.figure_ = ax, ax.figure
        curves = {"training": self.loss, "validation": self.validation_loss}
        self.lines_ = [
            ax.plot(np.arange(1, len(loss) + 1), loss, label=label, **line_kwargs)[0]
            for label, loss in curves.items()
            if loss is not None
        ]
        if self.best_epoch is not None:
            best = {"color": "0.4", "linewidth": 1, "linestyle": ":", "zorder": 0}
            ax.axvline(self.best_epoch, label=f"best, epoch {self.best_epoch}", **best)
        if self.validation_loss is not None:
            ax.legend(frameon=False)
        ax.set(xlabel="Epoch", ylabel="Loss", yscale="log")
        return self


def training_figure(model, y_true, y_pred, *, title, quantity):
    """A picture of a fit: its loss curves, and what it predicts beside what was measured.

    Parameters
    ----------
    model : BackpropRegressor
        Fitted.
    y_true, y_pred : ndarray of shape (n_samples,)
        Of samples that the model was not trained on.
    title : str
    quantity : str
        Name or unit of y.

    Returns
    -------
    matplotlib Figure
        It belongs to no window: `Figure.savefig` writes it.
    """
    check_matplotlib("training_figure")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(title)
    _draw_training(left, model)
    _draw_fit(right, y_true, y_pred, quantity)
    for ax in (left, right):
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_training(ax, model):
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    one, members = model, getattr(model, "estimators_", [])
    if members:
        one = members[0]
        for member in members:
            LossCurveDisplay(member.loss_curve_).plot(ax=ax, color="C0", alpha=0.5, linewidth=1)
        seen = f"{len(members)} networks, hidden layers {one.hidden_layer_sizes}"
    else:
        LossCurveDisplay.from_estimator(model, ax=ax)
        seen = f"{model.n_iter_} epochs, hidden layers {model.hidden_layer_sizes}"
    # A standardised y has variance 1.
    label = "Loss (1: the variance of the target)" if one.standardize else "Loss"
    ax.set(title=f"Training: {seen}", ylabel=label)
    # 0.05 rather than 5×10⁻², and ticks within a decade.
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _draw_fit(ax, y_true, y_pred, quantity):
    from matplotlib.ticker import MaxNLocator

    PredictionErrorDisplay.from_predictions(
        y_true,
        y_pred,
        kind="actual_vs_predicted",
        subsample=2000,
        random_state=0,
        ax=ax,
        scatter_kwargs={"s": 16, "alpha": 0.6, "linewidths": 0},
        line_kwargs={"linewidth": 1, "label": "perfect"},
    )
    # The display puts its ticks at fractions of the range; round numbers read better.
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.set_aspect("equal", adjustable="box")
    rmse = root_mean_squared_error(y_true, y_pred)
    ax.set(
        title=f"Test: RMSE {rmse:.3g} on {len(y_true)} rows",
        xlabel=f"Predicted ({quantity})",
        ylabel=f"Measured ({quantity})",
    )
    ax.legend(frameon=False)


def importance_figure(names, means, deviations, *, quantity, n_shuffles):
    """A picture of how much the columns of a table matter.

    Parameters
    ----------
    names : list of str
        Of the columns, the one that matters most first.
    means, deviations : ndarray of shape (n_columns,)
        By how much RMSE rises when a column is shuffled, over all shuffles.
    quantity : str
        Name or unit of y.
    n_shuffles : int

    Returns
    -------
    matplotlib Figure
        It belongs to no window: `Figure.savefig` writes it.
    """
    check_matplotlib("importance_figure")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.6 + 0.32 * len(names)), layout="constrained")
    ax, places = figure.subplots(), np.arange(len(names))
    whiskers = {"ecolor": "0.25", "capsize": 3, "elinewidth": 1}
    ax.barh(places, means, xerr=deviations, height=0.7, color="C0", error_kw=whiskers)
    ax.axvline(0, color="0.25", linewidth=1)
    ax.set_yticks(places, names, parse_math=False)
    ax.set(
        title="How much each column matters",
        xlabel=f"Rise of RMSE ({quantity}) when it is shuffled, mean ± deviation of {n_shuffles}",
        ylim=(len(names) - 0.4, -0.6),
    )
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", alpha=0.25)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return figure


def check_picture(path):
    """Raise unless a picture of this name can be written: matplotlib, and its kinds of file."""
    check_matplotlib("A picture")
    from matplotlib.figure import Figure

    known = Figure().canvas.get_supported_filetypes()
    if kind_of(path) not in known:
        raise ValueError(f"{path}: name the picture .png, .svg or .pdf.")


def save_picture(path, model, y_true, y_pred, title, quantity):
    """Draw `training_figure` into a file."""
    _save(path, training_figure, model, y_true, y_pred, title=title, quantity=quantity)


def save_importance(path, names, means, deviations, **given):
    """Draw `importance_figure` into a file."""
    _save(path, importance_figure, names, means, deviations, **given)


def _save(path, draw, *arguments, **given):
    # Without a home directory matplotlib logs where it keeps its fonts: no news for a report.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    write_figure(path, draw(*arguments, **given))


def write_figure(path, figure):
    """Write a figure to a file, as a whole or not at all; its suffix says of which kind."""
    content = io.BytesIO()
    figure.savefig(content, format=kind_of(path), dpi=120)
    paths.write(path, content.getbuffer())


def kind_of(path):
    """Of a picture, by its name."""
    return path.suffix.lower().lstrip(".")
