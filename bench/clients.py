"""Packages that know scikit-learn's regressors, on both: what they can do with MLPRegressor they
must be able to do with BackpropRegressor.

    python bench/clients.py [--only NAME ...]

Each line is a job as their own pages show it, with a question whose answer is known; it either ends
or says why not. A package that isn't installed is left out. (To install all of them:
``pip install shap mapie optuna skops skl2onnx onnxruntime nyoka emlearn sktime skforecast
mlforecast doubleml econml interpret mlxtend "dask[distributed]"``.)
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor


def table(n=300):
    """y goes by the first column most, by the second half as much, by the third not at all."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n, 3))
    return X, 2 * X[:, 0] + np.sin(2 * X[:, 1]) / 2 + 0.05 * rng.standard_normal(n)


def networks(kind):
    """An estimator as people write it; of either kind with the same parameters."""

    def make(**parameters):
        parameters = {"hidden_layer_sizes": (20,), "max_iter": 300} | parameters
        return kind(random_state=0, **parameters)

    return make


def is_right(predicted, y):
    """A model that has learnt."""
    assert np.shape(predicted) == np.shape(y)
    assert np.corrcoef(predicted, y)[0, 1] > 0.95


# ------------------------------------------------------------------------------ explainers


def shap(make):
    import shap

    X, y = table()
    model = make().fit(X, y)
    explained = shap.Explainer(model.predict, X[:50])(X[:20])
    worth = np.abs(explained.values).mean(axis=0)
    assert worth.argmax() == 0 and worth.argmin() == 2
    total = explained.values.sum(axis=1) + explained.base_values
    np.testing.assert_allclose(total, model.predict(X[:20]), atol=1e-4)


def interpret(make):
    from interpret.blackbox import MorrisSensitivity, PartialDependence

    X, y = table()
    model = make().fit(X, y)
    assert MorrisSensitivity(model, X).explain_global().data()["scores"][0] > 0
    assert PartialDependence(model, X).explain_global().data(0)


def mlxtend(make):
    from mlxtend.evaluate import bias_variance_decomp
    from mlxtend.feature_selection import SequentialFeatureSelector
    from mlxtend.regressor import StackingCVRegressor

    X, y = table(150)
    chosen = SequentialFeatureSelector(make(max_iter=100), k_features=1, cv=2).fit(X, y)
    assert chosen.k_feature_idx_ == (0,)
    stack = StackingCVRegressor([make(), make(hidden_layer_sizes=(5,))], make(), cv=2)
    is_right(stack.fit(X, y).predict(X), y)
    bias_variance_decomp(make(max_iter=20), X, y, X, y, loss="mse", num_rounds=3)


# ------------------------------------------------------------------------------ intervals, effects


def mapie(make):
    from mapie.regression import CrossConformalRegressor, SplitConformalRegressor

    X, y = table(400)
    split = SplitConformalRegressor(make(), confidence_level=0.9, prefit=False)
    split.fit(X[:200], y[:200]).conformalize(X[200:300], y[200:300])
    cross = CrossConformalRegressor(make(), confidence_level=0.9, cv=3)
    cross.fit_conformalize(X[:300], y[:300])
    for method in (split, cross):
        predicted, intervals = method.predict_interval(X[300:])
        is_right(predicted, y[300:])
        low, high = intervals[:, 0, 0], intervals[:, 1, 0]
        assert np.mean((low <= y[300:]) & (y[300:] <= high)) > 0.75


def doubleml(make):
    import doubleml

    rng = np.random.default_rng(1)
    X, y = table(500)
    d = X[:, 0] + rng.standard_normal(500)
    data = doubleml.DoubleMLData.from_arrays(X, y + 0.5 * d, d)
    found = doubleml.DoubleMLPLR(data, ml_l=make(), ml_m=make(), n_folds=2).fit()
    assert abs(found.coef[0] - 0.5) < 0.15


def econml(make):
    from econml.dml import LinearDML
    from econml.metalearners import XLearner

    rng = np.random.default_rng(1)
    X, y = table(500)
    treated = rng.integers(2, size=500)
    y = y + 0.5 * treated
    found = LinearDML(model_y=make(), model_t=make(), cv=2, random_state=0).fit(
        y, X[:, 0] + rng.standard_normal(500), X=X[:, 1:2], W=X
    )
    assert found.effect(X[:5, 1:2]).shape == (5,)
    effects = XLearner(models=make(), cate_models=make()).fit(y, treated, X=X).effect(X)
    assert abs(effects.mean() - 0.5) < 0.15


# ------------------------------------------------------------------------------ searches, backends


def optuna(make):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    X, y = table()

    def objective(trial):
        units = trial.suggest_int("units", 10, 40)
        return cross_val_score(make(hidden_layer_sizes=(units,)), X, y, cv=2).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    study.optimize(objective, n_trials=4, n_jobs=2)
    assert study.best_value > 0.5


def joblib_threads(make):
    _search(make, "threading")


def joblib_processes(make):
    _search(make, "loky")


def dask(make):
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster):
        _search(make, "dask")


def _search(make, backend):
    from joblib import parallel_config

    X, y = table()
    grid = {"mlp__alpha": [1e-4, 1e-2], "mlp__hidden_layer_sizes": [(5,), (20,)]}
    pipeline = make_pipeline(StandardScaler())
    pipeline.steps.append(("mlp", make()))
    with parallel_config(backend=backend, n_jobs=2):
        search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    is_right(search.predict(X), y)


# ------------------------------------------------------------------------------ converters


def sklearn_model(model):
    """What converters know: itself, or the MLPRegressor that predicts the same."""
    return model.to_sklearn() if hasattr(model, "to_sklearn") else model


def plain(make):
    """Parameters of a network that may be an MLPRegressor: where nothing is said, there may be a
    line beside it, or it may see encoded columns."""
    return dict.fromkeys({"linear_part", "encoding"} & make().get_params().keys())


def skops(make):
    import skops.io

    X, y = table()
    model = make().fit(X, y)
    file = skops.io.dumps(model)
    again = skops.io.loads(file, trusted=skops.io.get_untrusted_types(data=file))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def skl2onnx(make):
    import onnxruntime
    import skl2onnx

    X, y = table()
    X = np.float32(X)
    model = make(activation="tanh", **plain(make)).fit(X, y)
    file = skl2onnx.to_onnx(sklearn_model(model), X[:1])
    session = onnxruntime.InferenceSession(
        file.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (said,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(said.ravel(), model.predict(X), rtol=1e-3, atol=1e-4)


def nyoka(make):
    from nyoka import skl_to_pmml

    X, y = table()
    pipeline = make_pipeline(StandardScaler()).fit(X)
    pipeline.steps.append(("mlp", sklearn_model(make(**plain(make)).fit(pipeline.transform(X), y))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pmml")
        skl_to_pmml(pipeline, ["a", "b", "c"], "y", str(path))
        assert "NeuralNetwork" in path.read_text(encoding="utf-8")


def emlearn(make):
    import emlearn

    X, y = table()
    model = make(activation="relu", **plain(make)).fit(X, y)
    converted = emlearn.convert(sklearn_model(model), method="loadable", return_type="regressor")
    said = np.array(converted.predict(X)).ravel()
    np.testing.assert_allclose(said, model.predict(X), rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------ forecasters


def wave(n=240):
    t = np.arange(n)
    return np.sin(t / 6) + 0.01 * t


def sktime(make):
    import pandas as pd
    from sktime.forecasting.compose import make_reduction

    y = pd.Series(wave())
    forecaster = make_reduction(make(), window_length=24, strategy="recursive")
    said = forecaster.fit(y[:220]).predict(fh=range(1, 21))
    is_right(said.to_numpy(), y[220:].to_numpy())


def skforecast(make):
    import pandas as pd
    from skforecast.recursive import ForecasterRecursive

    y = pd.Series(wave())
    forecaster = ForecasterRecursive(make(), lags=24)
    forecaster.fit(y=y[:220], store_in_sample_residuals=True)
    is_right(forecaster.predict(steps=20).to_numpy(), y[220:].to_numpy())
    forecaster.predict_interval(steps=20, interval=[0.1, 0.9], n_boot=20)


def mlforecast(make):
    import pandas as pd
    from mlforecast import MLForecast

    y = wave()
    frame = pd.DataFrame({"unique_id": "a", "ds": np.arange(220), "y": y[:220]})
    forecaster = MLForecast({"network": make()}, freq=1, lags=list(range(1, 25)))
    said = forecaster.fit(frame).predict(20)
    is_right(said["network"].to_numpy(), y[220:])


def plain_scikit_learn(make):
    X, y = table()
    is_right(clone(make()).fit(X, y).predict(X), y)


#: What is asked, and the packages that it takes.
JOBS = {
    plain_scikit_learn: ("sklearn",),
    shap: ("shap",),
    mapie: ("mapie",),
    optuna: ("optuna",),
    skops: ("skops",),
    skl2onnx: ("skl2onnx", "onnxruntime"),
    nyoka: ("nyoka",),
    emlearn: ("emlearn",),
    sktime: ("sktime",),
    skforecast: ("skforecast",),
    mlforecast: ("mlforecast",),
    doubleml: ("doubleml",),
    econml: ("econml",),
    interpret: ("interpret",),
    mlxtend: ("mlxtend",),
    joblib_threads: ("joblib",),
    joblib_processes: ("joblib",),
    dask: ("distributed",),
}


def outcome(job, kind):
    """ "yes", or what went wrong, in a line."""
    folder = tempfile.TemporaryDirectory()  # some leave files where they are
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, folder, chdir(folder.name):
        warnings.simplefilter("ignore")
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                job(networks(kind))
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0][:100]
    return "yes"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of packages")
    only = parser.parse_args().only
    worse = 0
    print("| package | MLPRegressor | BackpropRegressor |\n| --- | --- | --- |")
    for job, packages in JOBS.items():
        if only and not set(only) & {job.__name__, *packages}:
            continue
        if not all(map(importlib.util.find_spec, packages)):
            continue
        name = {"sklearn": "scikit-learn"}.get(packages[0], packages[0])
        label = f"{name} {version(name)}"
        if packages == ("joblib",):
            label += f", {job.__name__.removeprefix('joblib_')}"
        theirs, ours = outcome(job, MLPRegressor), outcome(job, BackpropRegressor)
        worse += theirs == "yes" != ours
        print(f"| {label} | {theirs} | {ours} |", flush=True)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
