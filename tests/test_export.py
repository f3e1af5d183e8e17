"""Models in C and ONNX predict as `predict` does: every activation, link, encoding, precision."""

import ctypes
import re
import shutil
import subprocess
import sys
from copy import copy

import numpy as np
import pytest
from founding import founding
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.export import c, integers, onnx
from fastbp.export.constants import Constants
from fastbp.kernels.formulas import activations, losses

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
REALS = {"float": (ctypes.c_float, np.float32), "double": (ctypes.c_double, np.float64)}
INTEGERS = {"int8": REALS["float"], "int16": REALS["float"]}

RANDOM = np.random.default_rng(0)
X = RANDOM.normal([100.0, -2.0, 0.0], [30.0, 0.5, 1.0], (60, 3))
ROWS = RANDOM.normal([100.0, -2.0, 0.0], [60.0, 1.0, 2.0], (10_000, 3)).astype(np.float32)
Y = {1: 20 + X @ [0.1, 1, 3], 2: 30 + X @ [[0.1, 0], [1, 2], [0, 3]]}


def trained(hidden=(7, 5), activation="tanh", n_outputs=1, **params):
    """A model after one epoch, its weights made larger: units bend, and saturate."""
    model = founding(hidden, activation, random_state=0, **params).partial_fit(X, Y[n_outputs])
    first, *others = model.coefs_
    model.coefs_ = [first, *(2 * W for W in others)]
    return model


MIXED = ["piecewise_linear", "periodic"]

#: Every activation, link, encoding; one output and two; no scaling; no hidden layer.
MODELS = {
    **{name: {"activation": name} for name in activations.TABLE},
    "one of each": {"activation": ["relu", "logistic"], "n_outputs": 2},
    "linear": {"hidden": ()},
    "raw": {"standardize": False, "learning_rate_init": 1e-9},
    **{row.link: {"loss": loss, "n_outputs": 2} for loss, row in losses.TABLE.items()},
    "bins": {"encoding": "piecewise_linear"},
    "both": {"encoding": MIXED, "n_outputs": 2},
}
models = pytest.mark.parametrize("params", MODELS.values(), ids=MODELS)
reals = pytest.mark.parametrize("real", REALS)


def precision_of(real):
    return {"dtype": REALS[real][1].__name__}


#: Predicts many rows.
LOOP = """
#include "{name}.c"
void rows(const {real} *x, {real} *y, int n)
{{
    for (int i = 0; i < n; i++)
        {name}_predict(x + i * {inputs}, y + i * {outputs});
}}
"""


def compiled(model, folder, *flags, real=None, name="model"):
    """f(X) -> y, by the C compiler."""
    model.to_c(folder / f"{name}.c", dtype=real)
    source, library = folder / f"{name}_rows.c", folder / f"{name}.so"
    ends = {"inputs": model.n_features_in_, "outputs": model.n_outputs_}
    kind, dtype = (REALS | INTEGERS)[real or "float"]
    source.write_text(LOOP.format(name=name, real=kind.__name__.removeprefix("c_"), **ends))
    command = [COMPILER, *STRICT, "-O1", "-shared", "-fPIC", *flags, str(source), "-lm", "-o"]
    subprocess.run([*command, str(library)], check=True)
    predict = ctypes.CDLL(str(library)).rows
    predict.argtypes, predict.restype = [*[np.ctypeslib.ndpointer(dtype)] * 2, ctypes.c_int], None

    def of_rows(rows):
        rows = np.ascontiguousarray(rows, dtype)
        y = np.full((len(rows), model.n_outputs_), np.nan, dtype)
        predict(rows, y, len(rows))
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


@pytest.mark.parametrize("table", [c.LINKS, onnx.LINKS, integers.LINKS])
def test_every_link_has_an_exporter(table):
    assert set(losses.LINKS) <= set(table)


@pytest.mark.parametrize("exporter", [c, onnx])
def test_what_is_not_known_is_told(exporter, monkeypatch, tmp_path):
    if exporter is onnx:
        pytest.importorskip("onnx")
    monkeypatch.delitem(exporter.ACTIVATIONS, "tanh")
    with pytest.raises(NotImplementedError, match=r"'tanh' is not known in .*relu"):
        exporter.write(trained(), tmp_path / "model.c")


def test_several_quantiles_are_not_exported(tmp_path):
    """They would not be sorted."""
    model = trained(loss="quantile", loss_parameter=(0.1, 0.9))
    with pytest.raises(NotImplementedError, match="quantiles"):
        model.to_c(tmp_path / "model.c")


def test_members_of_other_encodings_are_not_exported_as_one(tmp_path):
    params = {"encoding": "periodic", "init": "auto", "max_iter": 1}
    params["n_iter_no_change"] = np.inf
    members = founding(4, random_state=0, **params), founding(4, random_state=1, **params)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        model = BackpropEnsembleRegressor(members[0], 2, random_state=0).fit(X, Y[1])
        model.estimators_[1] = members[1].fit(X, Y[1])
    with pytest.raises(ValueError, match="encodings can't be exported as one"):
        model.to_c(tmp_path / "model.c")


@pytest.mark.parametrize("other", [{"activation": "tanh"}, {"loss": "poisson"}], ids=str)
def test_members_of_other_activations_or_links_are_not_exported_as_one(other, tmp_path):
    one, params = founding((4,), max_iter=2, n_iter_no_change=np.inf), {"random_state": 0}
    model = BackpropEnsembleRegressor(one, 2, resample=None, **params).fit(X, Y[1] ** 2)
    model.estimators_[1] = founding((4,), max_iter=2, n_iter_no_change=np.inf, **other)
    model.estimators_[1].fit(X, Y[1] ** 2)
    with pytest.raises(ValueError, match="activations, links or encodings can't be exported"):
        model.to_c(tmp_path / "model.c")
    with pytest.raises(ValueError, match="not networks of one kind"):
        model.as_njit()


# ---------------------------------------------------------------------------------- C


@needs_compiler
@models
@reals
def test_c_predicts_as_predict(params, real, tmp_path):
    model = trained(**params, **precision_of(real))
    assert_same(compiled(model, tmp_path, real=real)(ROWS), model, ROWS, real)


#: Beyond all rows of float32, once they are standardised, or next to it.
FAR = np.array([[3e38, -3e38, 3e38], [3e38, 3e38, 0], [-3e38, 1e36, -1e37]], np.float32)


@needs_compiler
@pytest.mark.parametrize("name", ["logistic", "relu", "raw", "log"])
def test_c_predicts_rows_far_away_as_predict(name, tmp_path):
    model = trained(**MODELS[name])
    assert_same(compiled(model, tmp_path)(FAR), model, FAR, "float", ulps=64)


def of_other_activation(name, monkeypatch, exporter):
    """A model whose tanh is exported as another activation, and what it should predict then."""
    monkeypatch.setitem(exporter.ACTIVATIONS, "tanh", exporter.ACTIVATIONS[name])
    model = trained((7,), "tanh", dtype="float64")
    (W1, W2), (b1, b2) = model.coefs_, model.intercepts_
    plain = activations.TABLE[name].plain
    return model, (plain(ROWS.astype(float) @ W1 + b1) @ W2 + b2).ravel()


@needs_compiler
@pytest.mark.parametrize("name", c.ACTIVATIONS)
def test_every_activation_is_its_formula_in_c(name, monkeypatch, tmp_path):
    model, expected = of_other_activation(name, monkeypatch, c)
    got = compiled(model, tmp_path, real="double")(ROWS)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


@needs_compiler
@pytest.mark.parametrize(("kind", "within"), [("int8", 0.1), ("int16", 5e-4)])
@pytest.mark.parametrize("name", ["one of each", "both", "log"])
def test_rounded_weights_change_predictions_as_little_as_is_told(name, kind, within, tmp_path):
    model = trained(**MODELS[name])
    units, encoding = model._learnt.scaling, model._learnt.encoding
    rows = units.X_mean[:3] + units.X_scale[:3] * RANDOM.normal(size=(1000, 3))
    if encoding is not None:
        rows = RANDOM.uniform(encoding.low, encoding.high, (1000, 3))
    got = compiled(model, tmp_path, real=kind)(rows)
    error = (got - model.predict(rows)) / units.y_scale
    text = (tmp_path / "model.c").read_text(encoding="utf-8").replace("\n *", "")
    told, most = map(float, re.search(r"change by (\S+) of .*?, (\S+) at most", text).groups())
    assert np.sqrt(np.mean(error**2)) == pytest.approx(told, rel=0.5)
    assert 0 < told < within and np.abs(error).max() < 2 * most


@pytest.mark.parametrize(("exporter", "dtype"), [(c, "float"), (c, "int8"), (onnx, "float")])
def test_weights_that_are_too_large_for_a_file_are_told_before_it_is_written(
    exporter, dtype, tmp_path
):
    if exporter is onnx:
        pytest.importorskip("onnx")
    model, path = trained((3,), dtype="float64"), tmp_path / "model.c"
    model.coefs_ = [1e40 * model.coefs_[0], model.coefs_[1]]
    with pytest.raises(ValueError, match=f"too large for dtype='{dtype}'. dtype='double' takes"):
        exporter.write(model, path, dtype=dtype)
    assert not path.exists()
    exporter.write(model, path, dtype="double")


def test_what_rounding_changes_is_measured_however_far_apart_the_rows_lie(tmp_path):
    far = np.r_[np.linspace(-1, 1, 98), 1e308, -1e308][:, None]
    settings = {"encoding": "piecewise_linear", "standardize": False, "dtype": "float64"}
    model = founding((3,), max_iter=2, n_iter_no_change=np.inf, **settings)
    model.fit(far, np.sign(far.ravel())).to_c(tmp_path / "model.c", dtype="int8")
    text = (tmp_path / "model.c").read_text(encoding="utf-8").replace("\n *", "")
    told = map(float, re.search(r"change by (\S+) of .*?, (\S+) at most", text).groups())
    assert all(map(np.isfinite, told))


def test_rounded_weights_are_within_half_a_step():
    W = RANDOM.normal(size=(20, 5)) * [1e-3, 1, 10, 0, 1e5]
    for kind in ("int8", "int16"):
        whole, steps = integers.rounded(W, kind)
        assert whole.dtype == kind
        assert (np.abs(W - whole * steps.astype(float)) <= 0.51 * steps).all()
        assert (np.abs(whole[:, [0, 1, 2, 4]]).max(axis=0) == np.iinfo(kind).max).all()


@pytest.fixture(scope="module")
def ensemble():
    """Three members of different shares."""
    one = founding((4,), max_iter=2, n_iter_no_change=np.inf, **precision_of("float"))
    model = BackpropEnsembleRegressor(one, 3, resample=None, random_state=0).fit(X, Y[1])
    model.estimator_weights_ = np.array([1.0, 2.0, 5.0]) / 8
    return model


def weighted_mean(model, rows):
    each = [member.predict(rows) for member in model.estimators_]
    return np.average(each, axis=0, weights=model.estimator_weights_)


@needs_compiler
def test_an_ensemble_in_c_is_the_weighted_mean_of_its_members(ensemble, tmp_path):
    got, expected = compiled(ensemble, tmp_path)(ROWS), weighted_mean(ensemble, ROWS)
    np.testing.assert_allclose(got, expected, rtol=2e-6)
    ensemble.estimator_weights_ = np.full(3, 1 / 3)
    equal = compiled(ensemble, tmp_path, name="equal")(ROWS)
    np.testing.assert_allclose(equal, ensemble.predict(ROWS), rtol=2e-6)
    ensemble.estimator_weights_ = np.array([1.0, 2.0, 5.0]) / 8


@needs_compiler
def test_plain_and_encoded_members_are_exported_as_one(ensemble, tmp_path):
    mixed, params = copy(ensemble), ensemble.estimators_[0].get_params() | {"encoding": MIXED}
    mixed.estimators_ = [*ensemble.estimators_[:2], BackpropRegressor(**params).fit(X, Y[1])]
    expected = weighted_mean(mixed, ROWS)
    assert np.abs(expected - weighted_mean(ensemble, ROWS)).max() > 0.1
    np.testing.assert_allclose(compiled(mixed, tmp_path)(ROWS), expected, rtol=2e-6)
    mixed.estimators_ = [*ensemble.estimators_[:2], founding((5,)).partial_fit(X, Y[1])]
    with pytest.raises(ValueError, match="can't be exported as one"):
        mixed.to_c(tmp_path / "model.c")


#: Reads rows from a file, and writes predictions.
PROGRAM = """
#include "model.h"
#include <stdio.h>

int main(void)
{
    float x[INPUTS], y[OUTPUTS];
    while (fread(x, sizeof(float), INPUTS, stdin) == INPUTS) {
        model_predict(x, y);
        fwrite(y, sizeof(float), OUTPUTS, stdout);
    }
    return 0;
}
"""


def run_program(model, folder, compiler, *flags):
    """What a program predicts that includes the model."""
    model.to_c(folder / "model.h")
    (folder / "main.c").write_text(PROGRAM)
    ends = [f"-DINPUTS={model.n_features_in_}", f"-DOUTPUTS={model.n_outputs_}"]
    command = [compiler, *flags, *ends, str(folder / "main.c"), "-lm", "-o", str(folder / "main")]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode and "sanitize" in " ".join(flags) and "san" in made.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert made.returncode == 0, made.stderr
    run = subprocess.run([folder / "main"], input=ROWS.tobytes(), capture_output=True, check=True)
    assert run.stderr == b""
    return np.frombuffer(run.stdout, np.float32).reshape(len(ROWS), -1).squeeze()


@needs_compiler
@pytest.mark.parametrize("name", ["both", "one of each", "log"])
def test_sanitizers_find_nothing(name, tmp_path):
    model = trained(**MODELS[name])
    sanitize = "-fsanitize=address,undefined,float-cast-overflow,float-divide-by-zero"
    got = run_program(model, tmp_path, COMPILER, *STRICT, sanitize, "-fno-sanitize-recover=all")
    assert_same(got, model, ROWS, "float")


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_it_is_c_plus_plus_too(ensemble, tmp_path):
    strict = ["-x", "c++", "-std=c++11", *STRICT[1:]]
    got = run_program(ensemble, tmp_path, "c++", *strict)
    np.testing.assert_allclose(got, weighted_mean(ensemble, ROWS), rtol=2e-6)


@needs_compiler
def test_a_network_of_50_units_takes_3_kilobytes(tmp_path):
    model = founding((50,), random_state=0).partial_fit(ROWS[:9, [0] * 8], np.arange(9))
    source, program = tmp_path / "model.c", tmp_path / "model.o"
    model.to_c(source)
    subprocess.run([COMPILER, *STRICT, "-Os", "-c", str(source), "-o", str(program)], check=True)
    sections = subprocess.run(["size", str(program)], capture_output=True, text=True, check=True)
    text, data, bss = map(int, sections.stdout.splitlines()[1].split()[:3])
    assert text < 3072 and data == bss == 0
    told = int(re.search(r"Constants: ([\d,]+) bytes", source.read_text())[1].replace(",", ""))
    assert 501 * 4 < told < text


def test_the_file_tells_what_to_call_and_with_what(tmp_path):
    model = trained(hidden=(2,))
    model.feature_names_in_ = np.array(["power */ evil", "weight", "x\\"], object)
    model.to_c(tmp_path / "9 lives.c")
    text = (tmp_path / "9 lives.c").read_text(encoding="utf-8")
    head = text[: text.index("#include")]
    assert "void network_9_lives_predict(const float x[3], float y[1]);" in head
    assert "3-2-1, tanh" in head and "x: power __ evil, weight, x_." in head
    assert head.count("*/") == 1


@pytest.mark.parametrize("encoding", [None, "piecewise_linear"])
def test_the_file_tells_how_large_a_stack_it_takes(encoding, tmp_path):
    model = trained(encoding=encoding, dtype="float32")
    model.to_c(tmp_path / "model.c")
    head, *body = (tmp_path / "model.c").read_text(encoding="utf-8").partition("#include")
    told = int(re.search(r"Stack: ([\d,]+) bytes", head)[1].replace(",", ""))
    declared = re.findall(r"^ +float ((?:\w+\[\d+\](?:, )?)+);$", "".join(body), re.MULTILINE)
    assert declared
    assert told == 4 * sum(int(n) for names in declared for n in re.findall(r"\[(\d+)\]", names))


@pytest.mark.parametrize("wrong", [{"name": "two words"}, {"name": "float"}, {"dtype": "half"}])
def test_wrong_names_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        trained().to_c(tmp_path / "model.c", **wrong)
    assert not (tmp_path / "model.c").exists()


def test_numbers_are_read_as_the_same_numbers():
    source = Constants(False)
    for kind in (np.dtype("float32"), np.dtype("float64")):
        bits = np.random.default_rng(1).integers(0, 2**62, 500, np.int64)
        values = bits.view(kind)
        for value in [*values[np.isfinite(values)], kind.type(1), kind.type(-1e-30)]:
            text = source.number(value, kind)
            assert re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?f?", text) and text[-1] != "."
            assert "." in text or "e" in text
            assert kind.type(text.rstrip("f")) == value


# ------------------------------------------------------------------------------- ONNX


def in_onnxruntime(model, folder, real):
    """f(X) -> y, by onnxruntime."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model.to_onnx(folder / "model.onnx", dtype=real)
    session = runtime.InferenceSession(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    return lambda rows: session.run(["y"], {"X": rows.astype(REALS[real][1])})[0].squeeze()


@models
@reals
def test_onnx_predicts_as_predict(params, real, tmp_path):
    model = trained(**params, **precision_of(real))
    assert_same(in_onnxruntime(model, tmp_path, real)(ROWS), model, ROWS, real, ulps=32)


@pytest.mark.parametrize("name", ["logistic", "relu", "raw", "log"])
def test_onnx_predicts_rows_far_away_as_predict(name, tmp_path):
    model = trained(**MODELS[name])
    assert_same(in_onnxruntime(model, tmp_path, "float")(FAR), model, FAR, "float", ulps=64)


@pytest.mark.parametrize("name", onnx.ACTIVATIONS)
def test_every_activation_is_its_formula_in_onnx(name, monkeypatch, tmp_path):
    model, expected = of_other_activation(name, monkeypatch, onnx)
    got = in_onnxruntime(model, tmp_path, "double")(ROWS)
    within = 1e-6 if name == "gelu" else 1e-13  # erf is there in float alone
    np.testing.assert_allclose(got, expected, rtol=0, atol=within * np.abs(expected).max())


def test_an_ensemble_in_onnx_is_the_weighted_mean_of_its_members(ensemble, tmp_path):
    got = in_onnxruntime(ensemble, tmp_path, "float")(ROWS)
    np.testing.assert_allclose(got, weighted_mean(ensemble, ROWS), rtol=2e-6)


def test_without_onnx_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"fastbp\[onnx\]"):
        trained().to_onnx(tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
