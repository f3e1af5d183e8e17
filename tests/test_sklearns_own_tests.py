"""scikit-learn's own tests of `MLPRegressor`, out of the installed package, run on ours.

Their module is imported a second time with `BackpropRegressor` in the place of `MLPRegressor`,
under the contract: the settings at which the two are to be equal.
"""

import importlib.util
import inspect

import pytest
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropRegressor

THEIRS = "sklearn.neural_network.tests.test_mlp"

#: What makes the two equal.
CONTRACT = {"init": "glorot", "weight_decay": 0.0, "standardize": False, "dtype": None}

#: scikit-learn's name of a loss -> ours.
LOSSES = {"squared_error": "half_squared_error"}

#: What stays different on purpose: the name of a test -> why.
DIFFERENT = {}


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
