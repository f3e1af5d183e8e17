"""`BackpropRegressor` among scikit-learn's tools: its checks, pipelines, searches, callbacks."""

import copy
import io
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest
from founding import founding
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_estimator import QUICK, weights_of

from fastbp import BackpropRegressor
from fastbp.fitting import observer, solvers, telling
from fastbp.fitting.history import History

# ---------------------------------------------------------------- scikit-learn's checks


def expected_failed_checks(model):
    """A weight of 2 and a sample twice are the same to rounding: 1e-7 in these checks' eyes."""
    if model.dtype == "float64" or model.solver == "lbfgs":
        return {}
    reason = "the number of rows says how long to train, and which are held out"
    return dict.fromkeys(
        (
            "check_sample_weight_equivalence_on_dense_data",
            "check_sample_weight_equivalence_on_sparse_data",
        ),
        reason,
    )


@parametrize_with_checks(
    [
        BackpropRegressor(max_iter=20),
        founding(dtype="float64"),
        founding((8,), solver="lbfgs", max_iter=50),
    ],
    expected_failed_checks=expected_failed_checks,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # noise is not learnt
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


# ----------------------------------------------------------------- among the tools


def test_a_pipeline_trains_and_predicts(table):
    pipeline = make_pipeline(StandardScaler(), founding(**QUICK | {"max_iter": 100}))
    assert pipeline.fit(*table).score(*table) > 0.95


def test_a_grid_search_with_two_jobs_finds_the_better_model(table):
    grid = {"max_iter": [1, 50], "solver": ["sgd", "adam"]}
    search = GridSearchCV(founding(**QUICK), grid, n_jobs=2, cv=2)
    assert search.fit(*table).best_params_["max_iter"] == 50
    alone = GridSearchCV(founding(**QUICK), grid, cv=2).fit(*table)
    assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_cross_validation_scores_the_model(table):
    scores = cross_val_score(founding(**QUICK | {"max_iter": 100}), *table, cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.8


def test_a_transformed_target_is_predicted_in_its_own_units(table):
    X, y = table
    model = TransformedTargetRegressor(
        founding(**QUICK | {"max_iter": 100}), func=np.log, inverse_func=np.exp
    )
    assert model.fit(X, y).score(X, y) > 0.9


def test_several_outputs_at_once_or_one_by_one(two_outputs):
    X, Y = two_outputs
    params = QUICK | {"max_iter": 100}
    at_once = founding(**params).fit(X, Y)
    one_by_one = MultiOutputRegressor(founding(**params)).fit(X, Y)
    assert at_once.predict(X).shape == one_by_one.predict(X).shape == Y.shape
    assert at_once.score(X, Y) > 0.9
    assert one_by_one.score(X, Y) > 0.9


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_a_copy_is_the_same_model_and_lives_its_own_life(copied, fitted, table):
    model = founding(**QUICK, solver="adam")
    if fitted:
        model.fit(*table)
    other = copied(model)
    assert repr(other) == repr(model)
    other.partial_fit(*table)
    if fitted:
        assert not np.array_equal(weights_of(other), weights_of(model))
    assert_array_equal(weights_of(other), weights_of(model.partial_fit(*table)))


def test_a_clone_has_the_parameters_and_nothing_learnt(table):
    model = founding(**QUICK, activation=["tanh"]).fit(*table)
    other = clone(model)
    assert other.get_params() == model.get_params()
    assert not [name for name in vars(other) if name.endswith("_")]
    assert_array_equal(weights_of(other.fit(*table)), weights_of(model))


def test_set_params_and_repr_speak_of_the_parameters():
    model = BackpropRegressor().set_params(solver="sgd", alpha=0.1)
    assert repr(model) == "BackpropRegressor(alpha=0.1, solver='sgd')"
    with pytest.raises(ValueError, match="Invalid parameter 'warp'"):
        model.set_params(warp=9)


def test_fit_changes_no_parameter(table):
    model = founding(**QUICK, activation=["tanh"], batch_size=10**6)
    before = copy.deepcopy(model.get_params())
    assert model.fit(*table) is model
    assert model.get_params() == before


# ------------------------------------------------------------- progress and callbacks


def test_verbose_prints_a_line_for_each_epoch(table, capsys):
    model = founding(**QUICK, verbose=True, early_stopping=True).fit(*table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    for epoch, (line, loss) in enumerate(zip(lines, model.loss_curve_, strict=True), start=1):
        assert line.startswith(f"epoch {epoch}/5  loss {loss:.4g}")
        assert f"validation R² {model.validation_scores_[epoch - 1]:.4f}" in line
        assert line.endswith(" s")


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_verbose_tells_of_validation_only_where_there_is_one(fraction, table, capsys):
    params = QUICK | {"verbose": True, "validation_fraction": fraction}
    founding(**params).fit(*table)
    assert "validation" not in capsys.readouterr().out
    founding(**params).fit(*table, X_val=table[0], y_val=table[1])
    assert capsys.readouterr().out.count("validation R²") == 5


def test_verbose_tells_of_each_trial_as_it_happens(table, capsys, monkeypatch):
    told, fit = [], solvers.fit

    def fit_and_look(*args, **watched):
        told.append(capsys.readouterr().out.splitlines())
        return fit(*args, **watched)

    monkeypatch.setattr(solvers, "fit", fit_and_look)
    refit = QUICK | {"hidden_layer_sizes": (9,), "early_stopping": "refit", "verbose": True}
    founding(**refit).fit(*table)
    begun, *parts, (end, pilot) = told
    assert begun == ["trial 1: 54 samples, 6 held out, 5 times with different parts; 5 epochs"]
    assert parts == [[]] * 4
    loss = float(pilot.split("validation loss, ")[1].split(";")[0])
    assert end.startswith("trial 1: validation loss ")
    assert f", the least {loss:.4g} in epoch 5  " in end
    assert end.endswith(" s")
    capsys.readouterr(), told.clear()
    founding(**refit | {"verbose": False}).fit(*table)
    assert told == [[]] * 6


def test_verbose_tells_of_each_of_the_first_weights_that_are_tried(table, capsys):
    model = founding(**QUICK, init="auto", verbose=True).fit(*table)
    first, *tried = capsys.readouterr().out.splitlines()[: -model.n_iter_]
    assert first == "5 first weights are tried: 60 samples, 5 epochs each"
    for number, line in enumerate(tried, start=1):
        assert line.startswith(f"first weights {number}/5: loss ")
        assert " after 5 epochs  " in line
    best = min(float(line.split()[4]) for line in tried)
    assert best == pytest.approx(model.loss_, rel=1e-3)


def test_a_trial_that_is_out_of_time_and_one_of_encoded_columns_are_told_of():
    history = History(validation_losses=[3.0, 2.0], ended_by="max_time")
    assert telling.words_of_end(history) == "out of time after 2 epochs"
    history = History(validation_losses=[3.0, 2.0, 4.0], ended_by="risen")
    assert telling.words_of_end(history) == (
        "ended after 3 epochs: validation loss 4, the least 2 in epoch 2"
    )
    assert (
        telling.words_of_beginning([(range(7), range(3))], 9) == "7 samples, 3 held out; 9 epochs"
    )


def test_a_pilots_best_epoch_is_counted_from_1():
    assert observer.words_of_pilot(History(validation_losses=[3.0, 0.5, 0.25, 1.0]), 70) == (
        "pilot: of 4 epochs, number 3 had the least validation loss, 0.25; "
        "all samples are trained on for 70"
    )


def test_a_silent_fit_prints_nothing(table, capfd):
    founding(**QUICK).fit(*table)
    assert capfd.readouterr() == ("", "")


def test_a_silent_fit_within_a_telling_one_prints_nothing(table, capsys):
    """A scorer may well fit."""

    def scorer(model, X, y):
        before = capsys.readouterr().out
        founding(**QUICK, init="auto").fit(*table)
        told.extend([before, capsys.readouterr().out])
        return 0.0

    told = []
    founding(**QUICK, init="auto", early_stopping=True, scoring=scorer, verbose=True).fit(*table)
    assert "first weights 5/5" in told[0]
    assert told[1::2] == [""] * 5


@pytest.mark.parametrize(("encoding", "score"), [("utf-8", "R²"), ("ascii", "R2"), ("cp932", "R2")])
def test_a_terminal_that_cannot_show_a_character_ends_no_fit(encoding, score, table, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    monkeypatch.setattr("sys.stdout", terminal)
    founding(**QUICK, early_stopping=True, verbose=True).fit(*table)
    told = terminal.buffer.getvalue().decode(encoding)
    assert told.count(f"  validation {score} ") == told.count("\n") == 5


def test_a_line_is_one_word_to_the_terminal(monkeypatch):
    """Threads' lines would be mixed."""
    written = []
    terminal = SimpleNamespace(write=written.append, flush=lambda: None)
    monkeypatch.setattr("sys.stdout", terminal)
    telling.say("member 1/8")
    assert [text for text in written if text] == ["member 1/8\n"]


def epochs_of(log):
    return [row for row in log.data if row["task_name"] == "epoch"]


def test_a_scoring_monitor_scores_each_epoch(table):
    X, y = table
    monitor = ScoringMonitor(scoring="r2")
    model = founding(**QUICK).set_callbacks(monitor).fit(X, y)
    scores = [row["r2"] for row in epochs_of(monitor.get_logs())]
    assert len(scores) == 5
    for epochs, score in enumerate(scores, start=1):
        stopped = founding(**QUICK | {"max_iter": epochs}).fit(X, y)
        assert score == stopped.score(X, y)
    assert scores[-1] == model.score(X, y)


def test_a_callback_may_keep_the_model_of_an_epoch(table):
    kept, (X, y) = [], table

    class Keeper:
        def setup(self, estimator, context): ...

        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context, *, y, fitted_estimator):
            assert y.shape == (60,)
            if context.task_name == "epoch":
                kept.append(fitted_estimator)

        def teardown(self, estimator, context): ...

    founding(**QUICK).set_callbacks(Keeper()).fit(X, y)
    assert len(kept) == 5
    of_two_epochs = founding(**QUICK | {"max_iter": 2}).fit(X, y)
    np.testing.assert_array_equal(kept[1].predict(X), of_two_epochs.predict(X))


def test_a_scoring_monitor_weighs_the_samples(table):
    X, y = table
    monitor, weight = ScoringMonitor(scoring="r2"), np.linspace(0, 1, 60)
    model = founding(**QUICK).set_callbacks(monitor).fit(X, y, weight)
    assert epochs_of(monitor.get_logs())[-1]["r2"] == model.score(X, y, weight)


@pytest.mark.parametrize("missing", [False, True])
def test_where_outputs_weigh_differently_the_model_scores_itself(missing, two_outputs):
    X, Y = two_outputs
    weight = np.random.default_rng(0).random(Y.shape)
    given = (X, np.where(weight < 0.3, np.nan, Y)) if missing else (X, Y, weight)
    params = QUICK | {"missing_targets": "omit" if missing else "raise"}
    with pytest.raises(ValueError, match=r"must be 1D.* Outputs weigh .*=lambda") as told:
        founding(**params).set_callbacks(ScoringMonitor(scoring="r2")).fit(*given)
    (scoring,) = re.findall(r"scoring=(lambda .*)\)\.$", str(told.value))
    monitor = ScoringMonitor(scoring=eval(scoring))
    model = founding(**params).set_callbacks(monitor).fit(*given)
    assert epochs_of(monitor.get_logs())[-1]["R²"] == model.score(*given)

    def wrong(model, X, y, sample_weight=None):
        raise ValueError("my own")

    with pytest.raises(ValueError, match=r"^my own$"):
        founding(**QUICK).set_callbacks(ScoringMonitor(scoring=wrong)).fit(X, Y)


def test_callbacks_reach_the_model_inside_a_pipeline_and_a_grid_search(table):
    monitor = ScoringMonitor(scoring="r2")
    model = founding(**QUICK).set_callbacks(monitor)
    search = GridSearchCV(model, {"solver": ["sgd", "adam"]}, cv=2, refit=False)
    search.fit(*table)
    runs = monitor.get_logs(select="all")
    assert sum(len(epochs_of(run)) for run in runs) == 2 * 2 * 5
    pipeline = make_pipeline(PolynomialFeatures(), founding(**QUICK).set_callbacks(monitor))
    pipeline.fit(*table)
    assert len(epochs_of(monitor.get_logs())) == 5


def test_a_progress_bar_shows_the_epochs(table, capsys):
    pytest.importorskip("rich")
    founding(**QUICK).set_callbacks(ProgressBar()).fit(*table)
    assert "BackpropRegressor" in capsys.readouterr().out


def test_a_progress_bar_ends_with_a_fit_that_fails(table):
    pytest.importorskip("rich")
    params = QUICK | {"standardize": False, "activation": "identity", "learning_rate_init": 100}
    model = founding(**params).set_callbacks(ProgressBar())
    with pytest.raises(ValueError, match="diverged"):
        model.fit(*table)
    model.set_params(standardize=True, learning_rate_init=1e-3).fit(*table)
    assert model.n_iter_ == 5
