"""Who called: where warnings point to, and whether a fit is one of many."""

import sys

#: Packages whose frames lie between the user's line and a fit.
BETWEEN = {"fastbp", "sklearn", "joblib", "contextlib", "functools"}

#: Where a thread or a process of joblib's begins: nobody's line.
BELOW = {"threading", "multiprocessing", "concurrent", "runpy"}

#: What of scikit-learn fits one model once, and leaves to the user what comes of it.
OF_ONE_FIT = (
    "sklearn.base",
    "sklearn.callback",
    "sklearn.compose._target",
    "sklearn.pipeline",
    "sklearn.utils",
)


def _name_of(frame):
    return frame.f_globals.get("__name__") or ""


def stacklevel():
    """For `warnings.warn` where this is called: that of the first line outside of fastbp,
    scikit-learn and joblib. In a thread of joblib's, it is that of who called fastbp."""
    frame, level, calls_fastbp = sys._getframe(1), 1, None
    while frame is not None:
        package = _name_of(frame).partition(".")[0]
        if package in BELOW:
            break
        if package not in BETWEEN:
            return level
        if calls_fastbp is None and package != "fastbp":
            calls_fastbp = level
        frame, level = frame.f_back, level + 1
    return calls_fastbp or 1


def is_one_of_many():
    """Whether a search, a cross-validation, an ensemble, whatever fits often, waits for this."""
    frame = sys._getframe(1)
    while frame is not None:
        name = _name_of(frame)
        if name.startswith(("sklearn.", "joblib.")) and not name.startswith(OF_ONE_FIT):
            return True
        frame = frame.f_back
    return False
