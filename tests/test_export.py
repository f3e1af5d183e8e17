"""Models in C and ONNX predict as `predict` does: every activation, link, encoding, precision."""

import ctypes
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from founding import founding

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.export import c, onnx, parts
from fastbp.kernels.formulas import activations, losses

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
REALS = {"float": (ctypes.c_float, np.float32), "double": (ctypes.c_double, np.float64)}

RANDOM = np.random.default_rng(0)
X = RANDOM.normal([100.0, -2.0, 0.0], [30.0, 0.5, 1.0], (60, 3))
ROWS = RANDOM.normal([100.0, -2.0, 0.0], [60.0, 1.0, 2.0], (10_000, 3)).astype(np.float32)
Y = {1: 20 + X @ [0.1, 1, 3], 2: 30 + X @ [[0.1, 0], [1, 2], [0, 3]]}


def trained(hidden=(7, 5), activation="tanh", n_outputs=1, **params):
    """A model after one epoch, its weights made larger: units bend, and saturate."""
    model = founding(hidden, activation, random_state=0, **params).partial_fit(X, Y[n_outputs])
    model._learnt = model._learnt._replace(scaling=model._learnt.scaling)
    first, *others = model.coefs_
    model.coefs_ = [first, *(2 * W for W in others)]
    return model


def with_activation(name):
    """All of its rows in one model, if it is a row of the exporters only."""
    if name in activations.TABLE:
        return trained(activation=name)
    pytest.skip(f"{name} is not in the table of activations yet")


#: Every activation, link, encoding; one output and two; no scaling; no hidden layer.
MODELS = {
    **{name: {"activation": name} for name in activations.TABLE},
    "one of each": {"activation": ["relu", "logistic"], "n_outputs": 2},
    "linear": {"hidden": ()},
    "raw": {"standardize": False, "learning_rate_init": 1e-9},
    **{row.link: {"loss": loss, "n_outputs": 2} for loss, row in losses.TABLE.items()},
    "bins": {"encoding": "piecewise_linear"},
    "both": {"encoding": ["piecewise_linear", "periodic"], "n_outputs": 2},
}
models = pytest.mark.parametrize("params", MODELS.values(), ids=MODELS)
reals = pytest.mark.parametrize("real", REALS)


def precision_of(real):
    return {"dtype": REALS[real][1].__name__}


def compiled(model, folder, *flags, real=None, name="model"):
    """f(X) -> y, by the C compiler."""
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    model.to_c(source, dtype=real)
    command = [COMPILER, *STRICT, "-O2", "-shared", "-fPIC", *flags, str(source), "-lm", "-o"]
    subprocess.run([*command, str(library)], check=True)
    predict = getattr(ctypes.CDLL(str(library)), f"{name}_predict")
    kind, dtype = REALS[real or "float"]
    predict.argtypes, predict.restype = [ctypes.POINTER(kind)] * 2, None

    def of_rows(rows):
        rows = np.ascontiguousarray(rows, dtype)
        y = np.full((len(rows), model.n_outputs_), np.nan, dtype)
        x_at, y_at = (a.ctypes.data_as(ctypes.POINTER(kind)) for a in (rows, y))
        for i in range(len(rows)):
            predict(
                ctypes.cast(ctypes.addressof(x_at.contents) + i * rows.strides[0], type(x_at)),
                ctypes.cast(ctypes.addressof(y_at.contents) + i * y.strides[0], type(y_at)),
            )
        return y.ravel() if model.n_outputs_ == 1 else y

    return of_rows


def assert_same(got, model, rows, real, ulps=8):
    """Equal to some units of the last place of the largest prediction."""
    expected = model.predict(rows.astype(REALS[real][1]))
    assert np.ptp(expected) > 1e-3
    atol = ulps * np.finfo(REALS[real][1]).eps * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


# ----------------------------------------------------------------------------- tables


@pytest.mark.parametrize("table", [c.ACTIVATIONS, onnx.ACTIVATIONS], ids=["C", "ONNX"])
def test_every_activation_has_an_exporter(table):
    assert set(activations.TABLE) <= set(table)


@pytest.mark.parametrize("table", [c.LINKS, onnx.LINKS], ids=["C", "ONNX"])
def test_every_link_has_an_exporter(table):
    assert set(losses.LINKS) <= set(table)


@pytest.mark.parametrize("exporter", [c, onnx])
def test_what_is_not_known_is_told(exporter, monkeypatch, tmp_path):
    if exporter is onnx:
        pytest.importorskip("onnx")
    monkeypatch.delitem(exporter.ACTIVATIONS, "tanh")
    with pytest.raises(NotImplementedError, match="'tanh' is not known in .*relu"):
        exporter.write(trained(), tmp_path / "model.c")


# ---------------------------------------------------------------------------------- C


@needs_compiler
@models
@reals
def test_c_predicts_as_predict(params, real, tmp_path):
    model = trained(**params, **precision_of(real))
    assert_same(compiled(model, tmp_path, real=real)(ROWS), model, ROWS, real)
