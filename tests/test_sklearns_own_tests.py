"""scikit-learn's own tests of `MLPRegressor`, out of the installed package, run on ours.

Their module is imported a second time with `BackpropRegressor` in the place of `MLPRegressor`,
under the contract: the settings at which the two are to be equal.
"""

import importlib.util
import inspect
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neural_network import MLPRegressor
from test_readme import README

from fastbp import BackpropRegressor

THEIRS = "sklearn.neural_network.tests.test_mlp"

#: What makes the two equal.
CONTRACT = {"init": "glorot", "weight_decay": 0.0, "standardize": False, "dtype": None}

#: scikit-learn's name of a loss -> ours.
LOSSES = {"squared_error": "half_squared_error"}


def under_contract(**kw):
    """A BackpropRegressor that is to behave as ``MLPRegressor(**kw)``."""
    params = MLPRegressor(**kw).get_params()
    params["loss"] = LOSSES.get(params["loss"], params["loss"])
    return BackpropRegressor(**params, **CONTRACT)


def with_ours_substituted():
    """Their module, in which MLPRegressor is ours; parametrised tests know it by that name too."""
    spec = importlib.util.find_spec(THEIRS)
    if spec is None:  # some distributions leave tests out
        pytest.skip("scikit-learn's tests are not installed", allow_module_level=True)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.MLPRegressor = under_contract
    return module


module = with_ours_substituted()


def names_in(test):
    """MLPRegressor, if a test speaks of it."""
    return [MLPRegressor] if "MLPRegressor" in inspect.getsource(test) else []


def cases():
    """Each test that concerns the regressor, with its arguments."""
    for name, test in vars(module).items():
        if not name.startswith("test_"):
            continue
        marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
        choices = [{}]
        for mark in marks:
            names = [n.strip() for n in mark.args[0].split(",")]
            rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
            choices = [c | dict(zip(names, row, strict=True)) for c in choices for row in rows]
        for number, arguments in enumerate(choices):
            classes = [value for value in arguments.values() if inspect.isclass(value)]
            if MLPRegressor not in (classes or names_in(test)):
                continue
            arguments = {
                n: under_contract if v is MLPRegressor else v for n, v in arguments.items()
            }
            yield pytest.param(test, arguments, id=f"{name[5:]}-{number}")


@pytest.mark.parametrize(("test", "arguments"), list(cases()))
def test_scikit_learns_test_of_its_regressor_passes(test, arguments, request):
    fixtures = set(inspect.signature(test).parameters) - arguments.keys()
    given = {"global_random_seed": 42}
    more = {n: given[n] if n in given else request.getfixturevalue(n) for n in fixtures}
    test(**arguments, **more)


# ------------------------------------------------------- what stays different on purpose

X, Y = np.random.default_rng(0).normal(size=(2, 40, 3))
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "solver": "sgd"}


def fitted(*models, X=X, y=Y[:, 0]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [model.fit(X, y) for model in models]


def weights_differ():
    """Of batches that are shuffled; and none of them are, if they aren't."""
    params = QUICK | {"batch_size": 8}
    theirs, ours = fitted(MLPRegressor(**params), under_contract(**params))
    assert not np.allclose(theirs.coefs_[0], ours.coefs_[0])
    params["shuffle"] = False
    theirs, ours = fitted(MLPRegressor(**params), under_contract(**params))
    return np.allclose(theirs.coefs_[0], ours.coefs_[0])


def loss_is_double():
    half = under_contract(**QUICK)
    whole, half = fitted(clone(half).set_params(loss="squared_error", max_iter=1), half)
    return np.isclose(whole.loss_, 2 * half.loss_curve_[0])


def first_weights_of_raw_columns():
    params = QUICK | {"learning_rate_init": 1e-12}
    theirs, ours = fitted(MLPRegressor(**params), under_contract(**params))
    (scaled,) = fitted(clone(ours).set_params(standardize=True))
    assert np.allclose(theirs.coefs_[0], ours.coefs_[0])
    return np.allclose(scaled.coefs_[0], theirs.coefs_[0] / X.std(axis=0)[:, None])


def it_begins_again_and_theirs_is_an_error():
    params = QUICK | {"activation": "identity", "learning_rate_init": 50.0, "max_iter": 300}
    with pytest.raises(ValueError, match="non-finite"):
        fitted(MLPRegressor(**params))
    return fitted(under_contract(**params))[0].learning_rate_init_ < 50


def lbfgs_notes_more():
    params = QUICK | {"solver": "lbfgs"}
    theirs, ours = fitted(MLPRegressor(**params), under_contract(**params))
    assert not hasattr(theirs, "loss_curve_")
    return len(ours.loss_curve_) == 3 and ours.t_ == 120 and theirs.t_ == 0


#: In the words of the README's table -> what shows it.
DIFFERENT = {
    "defaults": lambda: under_contract().get_params() != BackpropRegressor().get_params(),
    "first argument": lambda: (
        (BackpropRegressor(7).hidden_layer_sizes, MLPRegressor(7).loss) == (7, 7)
    ),
    '"squared_error"': loss_is_double,
    "columns": first_weights_of_raw_columns,
    "precision": lambda: fitted(BackpropRegressor((), max_iter=1))[0]._learnt.dtype == np.float32,
    "`random_state`": weights_differ,
    "a training that diverges": it_begins_again_and_theirs_is_an_error,
    'after "lbfgs"': lbfgs_notes_more,
    '`partial_fit` with "lbfgs"': lambda: (
        hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")
        and not hasattr(BackpropRegressor(solver="lbfgs"), "partial_fit")
    ),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_it_is_different_on_purpose_and_the_readme_says_so(what):
    assert f"| {what} |" in README
    assert DIFFERENT[what]()
