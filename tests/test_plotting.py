"""The pictures: what they show, and what is said without matplotlib."""

import sys

import numpy as np
import pytest
from founding import founding
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropEnsembleRegressor, plotting
from fastbp.plotting import LossCurveDisplay, training_figure

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

X = np.random.default_rng(0).random((60, 2))
Y = X.sum(axis=1)
SETTINGS = {"max_iter": 5, "n_iter_no_change": np.inf, "random_state": 0}


@pytest.fixture
def ax():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_the_loss_curve_is_drawn_over_the_epochs(ax):
    model = founding((3,), **SETTINGS).fit(X, Y)
    display = LossCurveDisplay.from_estimator(model, ax=ax, color="red")
    assert display.ax_ is ax and display.figure_ is ax.figure
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(line.get_ydata(), model.loss_curve_)
    assert line.get_color() == "red"
    assert ax.get_yscale() == "log"


def test_the_validation_loss_and_the_best_epoch_are_drawn_too(ax):
    model = founding((3,), **SETTINGS).fit(X, Y, X_val=X, y_val=Y)
    display = LossCurveDisplay.from_estimator(model, ax=ax)
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), model.validation_loss_curve_)
    assert display.best_epoch == np.argmax(model.validation_scores_) + 1
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["training", "validation", f"best, epoch {display.best_epoch}"]


def test_a_pipeline_and_an_mlpregressor_are_drawn_as_well(ax):
    mlp = MLPRegressor(hidden_layer_sizes=(3,), **SETTINGS)
    pipeline = make_pipeline(StandardScaler(), mlp)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        pipeline.fit(X, Y)
    (line,) = LossCurveDisplay.from_estimator(pipeline, ax=ax).lines_
    assert len(line.get_ydata()) == 5


def test_of_epochs_that_are_as_good_the_first_is_drawn_as_the_best(ax):
    mlp = MLPRegressor()
    mlp.loss_curve_, mlp.best_validation_score_ = [3.0, 2.0, 1.0], 0.5
    mlp.validation_scores_ = [0.1, 0.5, 0.5]
    assert LossCurveDisplay.from_estimator(mlp, ax=ax).best_epoch == 2


def test_an_epoch_that_diverged_is_never_the_best(ax):
    mlp = MLPRegressor()
    mlp.loss_curve_, mlp.best_validation_score_ = [3.0, 2.0, 1.0], None
    mlp.validation_scores_ = [np.nan, 0.1, np.nan]
    assert LossCurveDisplay.from_estimator(mlp, ax=ax).best_epoch == 2


def test_the_column_that_matters_most_is_drawn_at_the_top():
    means = np.array([3.0, 1.0])
    figure = plotting.importance_figure(["a", "b"], means, means / 10, quantity="m", n_shuffles=3)
    (ax,) = figure.axes
    heights = ax.transData.transform([(0, place) for place in ax.get_yticks()])[:, 1]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert [bar.get_width() for bar in ax.patches] == [3.0, 1.0]
    assert heights[0] > heights[1]


def test_a_display_makes_its_own_figure():
    from matplotlib import pyplot

    display = LossCurveDisplay([1.0, 0.5]).plot()
    assert display.figure_ is display.ax_.figure
    pyplot.close(display.figure_)


def test_a_model_that_was_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(founding())


def test_a_model_without_a_curve_is_no_unfitted_one():
    ensemble = BackpropEnsembleRegressor(founding((3,), **SETTINGS), 2).fit(X, Y)
    with pytest.raises(TypeError, match=r"has no loss_curve_; draw .* estimators_\[0\]"):
        LossCurveDisplay.from_estimator(make_pipeline(StandardScaler(), ensemble))
    with pytest.raises(TypeError, match=r"LinearRegression has no loss_curve_\.$"):
        LossCurveDisplay.from_estimator(LinearRegression().fit(X, Y))


def test_the_figure_shows_training_and_test():
    model = founding((3,), **SETTINGS).fit(X, Y)
    figure = training_figure(model, Y, model.predict(X), title="A fit", quantity="MPa")
    left, right = figure.axes
    assert "5 epochs" in left.get_title()
    assert "60 rows" in right.get_title()
    assert right.get_xlabel() == "Predicted (MPa)"
    assert len(right.collections[0].get_offsets()) == 60


def test_a_picture_is_written(tmp_path):
    model = founding((3,), **SETTINGS).fit(X, Y)
    path = tmp_path / "fit.png"
    plotting.check_picture(path)
    plotting.save_picture(path, model, Y, model.predict(X), "A fit", "MPa")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plotting.can_draw()
    with pytest.raises(ImportError, match=r"LossCurveDisplay.*fastbp\[plot\]"):
        LossCurveDisplay([1.0]).plot()
    with pytest.raises(ImportError, match=r"fastbp\[plot\]"):
        training_figure(None, Y, Y, title="", quantity="")
