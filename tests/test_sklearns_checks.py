"""scikit-learn's checks of estimators, on settings of all kinds; the defaults are in test_tools.py.

What is expected to fail is said by name, with the reason, and nothing else may; nor may what is
said so pass.
"""

import pytest
from founding import founding
from sklearn.utils.estimator_checks import check_estimator

from fastbp import BackpropEnsembleRegressor

#: A weight of 2 and a sample twice are the same where a step takes all samples, in float64 (or, by
#: luck, to these checks' 1e-7 in float32); and else other batches, draws and units of columns.
REPEATED = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}

#: As of MLPRegressor: these call `partial_fit`, which early_stopping=True rules out.
OF_STEPS = {
    "check_fit_score_takes_y",
    "check_n_features_in_after_fitting",
    "check_estimators_partial_fit_n_features",
}

#: These take it that a single y is predicted by a single column.
OF_ONE_COLUMN = {
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_regressors_train",
}

QUICK = {"solver": "adam", "learning_rate_init": 0.05, "max_iter": 10}


def network(**params):
    return founding(**{"hidden_layer_sizes": (8,), **QUICK, **params})


def ensemble(member=None, n_estimators=2, **params):
    params = {"random_state": 0} | params
    return BackpropEnsembleRegressor(network(**member or {}), n_estimators, **params)


#: The estimator, whether weights and repetition are the same, what else is expected to fail.
SETTINGS = {
    "all samples in a step, float64": (network(dtype="float64", batch_size=1000), True, set()),
    "raw columns, the precision of X": (
        network(standardize=False, dtype=None, activation="relu", max_iter=60), False, set(),
    ),
    "rows held out": (
        network(early_stopping=True, validation_fraction=0.5, scoring="neg_mean_absolute_error"),
        False, OF_STEPS,
    ),
    "rows held out, then all": (network(early_stopping="refit", init="auto"), False, set()),
    "encodings": (network(encoding=("piecewise_linear", "periodic")), False, set()),
    "outliers": (network(loss="huber", loss_parameter=2.0, learning_rate="cosine"), False, set()),
    "levels": (network(loss="quantile", loss_parameter=[0.1, 0.5, 0.9]), False, OF_ONE_COLUMN),
    "two layers, dropout, averages": (
        network(
            hidden_layer_sizes=(8, 8), activation=["tanh", "silu"], dropout=0.1, ema_decay=0.5,
            max_grad_norm=1.0, max_iter=40,
        ),
        False, set(),
    ),
    "missing targets, medians": (
        network(loss="absolute_error", missing_targets="omit", batch_size=4, max_iter=20),
        False, set(),
    ),
    "linear, sample by sample": (
        network(hidden_layer_sizes=(), solver="sgd", momentum=0.0, batch_size=1,
                learning_rate_init=0.01),
        False, set(),
    ),
    "lbfgs, raw columns": (
        network(solver="lbfgs", standardize=False, alpha=0.1, max_iter=30), True, set(),
    ),
    "one cycle, all found out": (
        network(learning_rate="one_cycle", batch_size="auto", learning_rate_init="auto",
                max_iter="auto", weight_decay="auto", max_time=5.0),
        False, set(),
    ),
    "an ensemble, by folds": (ensemble(), False, set()),
    "an ensemble by bootstrap, of two kinds": (
        ensemble({"early_stopping": "refit", "encoding": "auto"}, resample="bootstrap"),
        False, set(),
    ),
    "an ensemble of all rows, float64": (
        ensemble({"dtype": "float64", "batch_size": 1000}, resample=None), True, set(),
    ),
    "an ensemble of levels": (
        ensemble({"loss": "quantile", "loss_parameter": [0.1, 0.9]}), False, OF_ONE_COLUMN,
    ),
    "an ensemble of one": (ensemble({"solver": "lbfgs"}, 1), False, set()),
}  # fmt: skip


#: Those that others are much like, here or in test_ensemble.py: with ``--campaigns``.
LIKE_OTHERS = {
    "outliers",
    "one cycle, all found out",
    "an ensemble, by folds",
    "an ensemble of all rows, float64",
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # noise is not learnt
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")  # of array API
def test_scikit_learns_checks_pass_but_for_those_that_are_named(setting, request):
    if setting in LIKE_OTHERS and not request.config.getoption("--campaigns"):
        pytest.skip("takes a second: --campaigns")
    estimator, are_same, expected = SETTINGS[setting]
    results = check_estimator(estimator, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    if not are_same:
        failed = {name: error for name, error in failed.items() if name not in REPEATED}
    assert failed.keys() == expected, failed
