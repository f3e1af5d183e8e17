"""What a command tells: lines for people, or facts for programs."""

import json
import math
import sys

import numpy as np
from sklearn.metrics import r2_score, root_mean_squared_error


class Report:
    """Prints lines as they come; or, with ``--json``, all facts at the end and nothing else.

    Parameters
    ----------
    as_json : bool
    to_stderr : bool, default=False
        Whether standard output is taken by something else.
    """

    def __init__(self, as_json, to_stderr=False):
        self.as_json, self.to_stderr, self.facts = as_json, to_stderr, {}

    def line(self, text=""):
        """A line for people."""
        if not self.as_json:
            print(text, file=sys.stderr if self.to_stderr else sys.stdout, flush=True)

    def fact(self, **facts):
        """Facts for programs."""
        self.facts |= facts

    def end(self):
        """There is no more."""
        if self.as_json:
            print(json.dumps(plain(self.facts), ensure_ascii=False, allow_nan=False))


def plain(value):
    """As JSON has it; what is no number is null."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def counted(n, what):
    """A number of things."""
    return f"{n} {what}{'s' * (n != 1)}"


def figures(results, y_test):
    """RMSE, R² and seconds of each result, by its name."""
    return {
        result.name: {
            "rmse": root_mean_squared_error(y_test, result.y_pred),
            "r2": r2_score(y_test, result.y_pred),
            "seconds": result.seconds,
        }
        for result in results
    }


def table_of(figures, unit=""):
    """Lines of a table: one for each model."""
    unit = f" ({unit})" if unit else ""
    width = max(map(len, figures))
    yield f"\n   {'model':{width}}  {f'test RMSE{unit}':>16}  {'test R²':>8}  {'training':>9}"
    for name, each in figures.items():
        seconds = f"{each['seconds']:.3f} s"
        yield f"   {name:{width}}  {each['rmse']:>16.4g}  {each['r2']:>8.3f}  {seconds:>9}"
    yield ""
