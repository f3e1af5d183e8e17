"""The explanation of a step: its numbers are the worked step's and central differences, and text,
page, picture and dictionary show the same ones."""

import datetime
import doctest
import json
import re
from html.parser import HTMLParser
from math import exp, prod
from xml.etree import ElementTree

import numpy as np
import pytest
import test_worked_step as worked
from founding import founding
from numpy.testing import assert_allclose
from sklearn.base import clone

import fastbp
from fastbp import BackpropEnsembleRegressor, BackpropRegressor, hidden
from fastbp.explain import diagnose, explain_step
from fastbp.kernels.formulas import activations, losses
from fastbp.lessons import diagnosis, lines, mathml, names
from fastbp.lessons.names import number
from fastbp.lessons.step import after_step, bare, untrained

RANDOM = np.random.default_rng(0)
X = RANDOM.normal([3.0, -1.0, 0.5], [2.0, 0.3, 1.0], (20, 3))
Y = np.abs(X @ [1.0, 2.0, -1.0])
BOTH = np.column_stack([Y, X[:, 0] ** 2])


@pytest.fixture(scope="module")
def founders():
    """The founding network of the worked step."""
    arrays = [
        [np.array(a) for a in each] for each in (worked.BEFORE.coefs, worked.BEFORE.intercepts)
    ]
    return bare(*arrays, ["logistic"], worked.eta, 1)


@pytest.fixture(scope="module")
def step(founders):
    return explain_step(founders, worked.X[0], worked.y, learning_rate=worked.eta)


def trained(hidden=(4, 3), activation="tanh", y=Y, **params):
    return founding(hidden, activation, random_state=0, **params).partial_fit(X, y)


# ----------------------------------------------------------------------------- numbers


def test_every_quantity_of_the_worked_step_is_there_under_its_name(step):
    values = step.to_dict()["values"]
    expected = {
        "z₁": worked.z1, "z₂": worked.z2, "O₁": worked.O1, "O₂": worked.O2, "ŷ": worked.y_hat,
        "L": worked.L, "dL/dŷ": worked.dL_db21,
        "dL/dO₁": 2 * (worked.y_hat - worked.y) * worked.w211,
        "dL/dO₂": 2 * (worked.y_hat - worked.y) * worked.w221,
        "σ′(z₁)": worked.sigma_prime(worked.z1), "σ′(z₂)": worked.sigma_prime(worked.z2),
    }  # fmt: skip
    for name in ("w¹₁₁", "w¹₂₁", "b₁₁", "w¹₁₂", "w¹₂₂", "b₁₂", "w²₁₁", "w²₂₁", "b₂₁"):
        gradient = getattr(worked, f"dL_d{names.plain(name)}")
        expected[f"dL/d{name}"] = gradient
        before = getattr(worked, names.plain(name))
        expected[f"{name}(new)"] = before - worked.eta * gradient
        assert step.parameters[name] == pytest.approx(
            (before, gradient, before - worked.eta * gradient), rel=1e-13
        )
    assert len(step.parameters) == 9
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-13), name
    assert set(values) == {*expected, "ŷ(new)", "L(new)"}


def test_the_step_that_is_shown_is_the_step_that_is_made(founders, step):
    before = [W.copy() for W in founders.coefs_]
    again = explain_step(founders, worked.X, worked.Y, learning_rate=worked.eta)
    assert again.to_dict() == step.to_dict()
    for W, old in zip(founders.coefs_, before, strict=True):
        np.testing.assert_array_equal(W, old)  # the model stays as it is
    moved = bare(*step.step.after, ["logistic"], worked.eta, 1)
    assert_allclose(moved.loss_gradient(worked.X, worked.Y)[0], step.loss_after, rtol=1e-14)
    assert_allclose(moved.predict(worked.X), step.to_dict()["values"]["ŷ(new)"], rtol=1e-14)


def test_a_step_of_several_rows_is_told_row_by_row():
    model = trained((2,), y=BOTH)
    told = explain_step(model, X[:4], BOTH[:4], raw_units=True).to_dict()
    np.testing.assert_array_equal(told["inputs"], X[:4])
    np.testing.assert_array_equal(told["y"], BOTH[:4])


@pytest.mark.parametrize(
    ("widths", "weight", "output"),
    [
        ((9, 2, 1), "w¹₁₂", "O₂"),
        ((10, 2, 1), "w¹₁,₂", "O₂"),
        ((2, 2, 2, 1), "w¹₁₂", "O¹₂"),
    ],
)
def test_units_of_wide_and_deep_networks_are_told_apart(widths, weight, output):
    named = names.Names(widths)
    assert (named.weight(1, 1, 2), named.o(1, 2)) == (weight, output)


def test_of_a_large_matrix_the_first_rows_and_the_last_are_shown():
    shown = names.abridged(np.arange(36).reshape(6, 6))
    assert [row[0] for row in shown] == ["0", "6", "12", "…", "30"]
    assert shown[-1] == ["30", "31", "32", "…", "35"]


NETWORKS = {
    **{name: {"activation": name} for name in activations.TABLE},
    "two outputs": {"y": BOTH, "hidden": (3,)},
    "linear": {"hidden": ()},
    "encoded": {"encoding": "piecewise_linear", "hidden": (2,)},
    **{loss: {"loss": loss, "hidden": (3,)} for loss in losses.TABLE},
}


@pytest.mark.parametrize("params", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("n", [1, 4])
def test_gradients_are_central_differences_and_their_ways_multiply(params, n):
    model = trained(**params)
    y = params.get("y", Y)
    step = explain_step(model, X[:n], y[:n], learning_rate=1e-3).step
    (W, b), h = step.before, 1e-6
    kinds = step.activations
    given = {"loss": step.loss_name, "loss_parameter": model.loss_parameter}

    def loss_at(W, b):
        whole = bare(W, b, kinds, 1.0, n, **given)
        targets = step.y.T if len(step.y) > 1 else step.y[0]
        return whole.loss_gradient(step.O[0].T, targets)[0]

    for part in (0, 1):
        for l in range(len(W)):
            at = tuple(0 for _ in np.shape(step.before[part][l]))
            sides = []
            for sign in (1, -1):
                arrays = [a.copy() for a in W], [a.copy() for a in b]
                arrays[part][l][at] += sign * h
                sides.append(loss_at(*arrays))
            slope = (sides[0] - sides[1]) / (2 * h)
            assert_allclose(step.gradient[part][l][at], slope, rtol=1e-4, atol=1e-7)
            assert_allclose(
                step.after[part][l], step.before[part][l] - 1e-3 * step.gradient[part][l],
                rtol=1e-12, atol=1e-15,
            )  # fmt: skip
    for l, W_l in enumerate(W):
        assert_allclose(step.Z[l], W_l.T @ step.O[l] + b[l][:, None], rtol=1e-10, atol=1e-12)
        assert_allclose(step.gradient[0][l], step.O[l] @ step.D[l].T, rtol=1e-9, atol=1e-13)
        assert_allclose(step.gradient[1][l], step.D[l].sum(axis=1), rtol=1e-9, atol=1e-13)
        if l < len(kinds):
            plain = activations.TABLE[kinds[l]].plain
            assert_allclose(step.O[l + 1], plain(step.Z[l]), rtol=1e-12, atol=1e-14)
            assert_allclose(step.dO[l], W[l + 1] @ step.D[l + 1], rtol=1e-9, atol=1e-13)
            assert_allclose(step.D[l], step.dO[l] * step.slopes[l], rtol=1e-9, atol=1e-13)
    assert_allclose(step.prediction.T.squeeze(), model.predict(X[:n]).squeeze(), rtol=2e-5)


@pytest.mark.parametrize("given", [{}, {"loss": "huber", "loss_parameter": 0.1}], ids=str)
def test_raw_units_are_those_of_loss_gradient(given):
    model = trained(**given)
    step = explain_step(model, X, Y, learning_rate=1e-9, raw_units=True).step
    loss, *gradient = model.loss_gradient(X, Y)
    assert_allclose(step.loss, loss, rtol=1e-12)
    for ours, theirs in zip(step.gradient[0], gradient[0], strict=True):
        assert_allclose(ours, theirs, rtol=1e-9)
    assert_allclose(step.before[0][0], model.coefs_[0])


@pytest.fixture(scope="module")
def beside_a_line():
    """A model most of which is linear, with its table."""
    random = np.random.default_rng(0)
    X = random.normal([3.0, -1.0], [2.0, 0.3], (100, 2))
    y = 2 * X[:, 0] - X[:, 1] + random.normal(0, 0.5, 100)
    model = BackpropRegressor((9,), random_state=0, max_iter=20).fit(X, y)
    assert model.linear_part_ is not None
    return model, X, y


@pytest.mark.parametrize("raw_units", [False, True])
def test_with_a_linear_part_the_model_predicts_what_is_told(raw_units, beside_a_line):
    model, X, y = beside_a_line
    line = X @ model.linear_part_
    step = explain_step(model, X[:7], y[:7], raw_units=raw_units)
    assert_allclose(step.prediction, model.predict(X[:7]), rtol=1e-5)
    assert_allclose(np.ravel(step.to_dict()["linear_part"]), line[:7], rtol=1e-12)
    assert "linear part says a part of y" in str(step).replace("\n", " ")
    one = explain_step(model, X[3], y[3], raw_units=raw_units)
    text = str(one).replace("\n", " ")
    assert f"linear part says {number(line[3])} of y" in text
    assert f"with the linear part ŷ is {number(one.prediction[0])}, and" in text
    told = re.search(r" y = (\S.*?) = (\S+)", text)
    assert number(y[3]) in told[1] and number(line[3]) in told[1]
    assert calculated(told[1]) == pytest.approx(one.step.y[0, 0], abs=2e-4)
    left = one.step.O[-1][0, 0] - one.step.y[0, 0]
    scale = 1.0 if raw_units else one.step.units.y_scale[0]
    assert_allclose(scale * left, model.predict(X[3:4])[0] - y[3], rtol=1e-4)


def test_without_a_linear_part_none_is_told():
    step = explain_step(trained(), X[0], Y[0])
    assert "linear" not in str(step) and step.to_dict()["linear_part"] is None
    several = explain_step(trained(y=BOTH), X[:2], BOTH[:2])
    assert_allclose(several.prediction, trained(y=BOTH).predict(X[:2]), rtol=1e-5)
    assert_allclose(several.to_dict()["prediction"], several.prediction)


def test_only_a_network_makes_a_step():
    with pytest.raises(TypeError, match="estimators_"):
        explain_step(BackpropEnsembleRegressor(), X, Y)
    with pytest.raises(TypeError, match=r"A diagnosis is of .* estimators_"):
        diagnose(BackpropEnsembleRegressor(), X, Y)


def test_weights_beyond_float64_are_told_by_its_name():
    model = trained()
    model.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"too large for float64\."):
        explain_step(model, X[0], Y[0])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ma.masked_array(X[0], np.arange(X.shape[1]) == 1), Y[0], "X has 1 masked"),
        ([np.ma.masked, *X[0, 1:]], Y[0], "X has 1 masked"),
        (X[:2], np.ma.masked_array(Y[:2], [True, False]), "y has 1 masked"),
        (X[0], np.ma.masked, "y has 1 masked"),
        (X[0].astype("M8[s]"), Y[0], "X holds dates"),
        (X[0], np.datetime64("2024-01-01"), "y holds dates"),
        (X[0], datetime.date(2024, 1, 1), "y holds dates"),
    ],
)
def test_a_step_is_of_numbers(x, y, message):
    with pytest.raises(ValueError, match=message):
        explain_step(trained(), x, y)


def test_gradients_of_any_magnitude_are_looked_at():
    large, larger = (diagnose(trained(), X, np.ldexp(Y, of)).gradients for of in (400, 900))
    assert_allclose(np.ldexp(larger, -500), large, rtol=1e-9)
    for of in (-900, 900):
        sizes = np.ldexp([[3.0, 4.0], [0.0, 5.0]], of)
        assert_allclose(np.ldexp(diagnosis.root_of_mean_square(sizes), -of), np.sqrt(12.5))
    assert diagnosis.root_of_mean_square(np.zeros((2, 2))) == 0


def test_a_step_that_diverges_is_no_explanation(founders):
    with pytest.raises(ValueError, match=r"1e\+200 diverges"):
        explain_step(founders, worked.X, worked.Y, learning_rate=1e200)
    with pytest.raises(ValueError, match="above 0"):
        explain_step(founders, worked.X, worked.Y, learning_rate=0)


def test_a_model_goes_on_from_a_step():
    model = untrained(X, Y, (2,), "logistic", 0)
    first = explain_step(model, X[0], Y[0], learning_rate=0.1)
    after_step(model, first.step)
    second = explain_step(model, X[0], Y[0], learning_rate=0.1)
    assert_allclose(second.loss, first.loss_after, rtol=1e-9)


# ------------------------------------------------------------------------- what it says


def calculated(formula):
    """What a pocket calculator makes of a formula with numbers."""
    text = formula.replace("−", "-").replace("·", "*").replace("½", "0.5")
    text = re.sub(r"\)²", ")**2", text)
    text = re.sub(
        r"10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)",
        lambda m: "10**(" + m[1].translate(mathml._DIGITS).replace("−", "-") + ")",
        text,
    )
    text = re.sub(r"e\^(-?[\d.]+)", r"exp(\1)", text)
    return eval(text, {"exp": exp})


def test_every_line_can_be_checked_with_a_pocket_calculator(step):
    checked = 0
    for section in lines.sections_of(step.step):
        for line in section.lines:
            for formula in line.formulas:
                if not re.search(r"[wbOizyŷLθση]", formula.replace("e^", "")):
                    assert calculated(formula) == pytest.approx(line.value, rel=2e-5), line
                    checked += 1
    assert checked == 2 + 2 + 1 + 1 + 1 + 2 + 2 + 2 + 6 + 9


@pytest.mark.parametrize("params", NETWORKS.values(), ids=NETWORKS)
def test_text_fits_a_terminal_and_pages_are_well_formed(params):
    model = trained(**params)
    y = params.get("y", Y)
    for rows in (0, slice(0, 7)):
        explanation = explain_step(model, X[rows], y[rows], learning_rate=0.01)
        text = str(explanation)
        assert max(map(len, text.splitlines())) <= 80
        assert number(explanation.loss) in text and "nan" not in text
        ElementTree.fromstring(f"<p>{explanation._repr_html_()}</p>")
        json.dumps(explanation.to_dict(), allow_nan=False)


def test_text_page_and_dictionary_show_the_same_numbers(step, tmp_path):
    values, text, html = step.to_dict()["values"], str(step), step._repr_html_()
    shown = re.sub(r"<[^>]*>", "", html)
    for name, value in values.items():
        assert re.search(rf"{re.escape(name)} .*?= {re.escape(number(value))}\b", text, re.DOTALL)
        assert number(value) in shown
    step.to_page(tmp_path / "step.html")
    page = (tmp_path / "step.html").read_text(encoding="utf-8")
    assert html[html.index("<h3>") :] in page
    HTMLParser().feed(page)
    links = re.findall(r"(?:src|href)=[\"'](?!#)[^\"']*", page)  # nothing is loaded
    assert not links and "<script" not in page


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("w²₁₁", "<msubsup><mi>w</mi><mn>11</mn><mrow><mn>2</mn></mrow></msubsup>"),
        ("σ′(z₁)", "<msup><mi>σ</mi><mrow><mo>′</mo></mrow></msup>"),
        ("dL/dO₁", "<mfrac><mrow><mi>d</mi><mi>L</mi></mrow><mrow><mi>d</mi><msub><mi>O</mi>"),
        ("e^−0.5", "<msup><mi>e</mi><mrow><mo>−</mo><mn>0.5</mn></mrow></msup>"),
        ("3·10⁻⁵", "<mn>3</mn><mo>·</mo><msup><mn>10</mn><mn>−5</mn></msup>"),
    ],
)
def test_formulas_become_mathml(formula, expected):
    assert mathml.mathml(formula).startswith(expected)


@pytest.mark.parametrize(
    ("value", "text"), [(-0.5, "−0.5"), (1e-9, "1·10⁻⁹"), (2.5e12, "2.5·10¹²"), (3, "3")]
)
def test_numbers_are_written_as_in_print(value, text):
    assert number(value) == text


# ------------------------------------------------------------------------------ chains


def test_the_factors_of_a_chain_multiply_to_the_gradient(step):
    for name, (_, gradient, _) in step.parameters.items():
        link = step.depends_on(names.plain(name))  # as a keyboard has it
        assert (link.parameter, link.gradient) == (name, gradient)
        assert prod(each.value for each in link.factors) == pytest.approx(gradient, rel=1e-12)
    way = step.depends_on("w¹₂₁")
    assert [each.slope for each in way.factors] == ["dL/dŷ", "dŷ/dO₁", "dO₁/dz₁", "dz₁/dw¹₂₁"]
    assert [each.formula for each in way.factors] == ["", "w²₁₁", "σ′(z₁)", "i₂"]
    assert str(way).splitlines()[0] == "dL/dw¹₂₁ = dL/dŷ · dŷ/dO₁ · dO₁/dz₁ · dz₁/dw¹₂₁"


def test_in_deep_networks_the_ways_are_summed():
    explanation = explain_step(trained(), X[0], Y[0])
    for name in ("w¹₂₃", "b₁₄", "w²₄₁", "b₂₃", "w³₂₁", "b₃₁"):
        way = explanation.depends_on(name)
        assert prod(each.value for each in way.factors) == pytest.approx(way.gradient, rel=1e-12)
        assert way.gradient == explanation.parameters[name][1]
    assert explanation.depends_on("w¹₂₃").factors[0].formula == "sum over 3 paths"


def test_the_prediction_depends_on_the_hidden_layer_only_through_its_units(step):
    told = step.depends_on("ŷ")
    assert told.directly == ("w²₁₁", "w²₂₁", "b₂₁")
    assert told.through == {"O₁": ("w¹₁₁", "w¹₂₁", "b₁₁"), "O₂": ("w¹₁₂", "w¹₂₂", "b₁₂")}
    assert step.depends_on("O₂").through == {}
    assert list(step.depends_on("L").through) == ["ŷ", "O₁", "O₂"]


def test_what_has_no_chain_is_told(step):
    with pytest.raises(ValueError, match="no 'w¹₃₁'; it has w¹₁₁"):
        step.depends_on("w¹₃₁")
    with pytest.raises(ValueError, match="single sample"):
        explain_step(trained(), X, Y).depends_on("b₁₁")


# ----------------------------------------------------------------------------- pictures


def test_the_picture_shows_the_numbers_of_the_step(step):
    pytest.importorskip("matplotlib")
    figure = step.plot()
    forward, backward, update = (
        [text.get_text() for text in ax.texts] for ax in figure.axes
    )  # fmt: skip
    for name, (before, gradient, after) in step.parameters.items():
        assert f"{name}  {number(before, 3)}" in forward
        assert any(text.startswith(f"d{name}  {number(gradient, 3)}") for text in backward)
        assert f"{number(before, 3)} → {number(after, 3)}" in update
    assert f"O₁\n{number(worked.O1, 3)}" in forward
    assert f"dO₂\n{number(2 * (worked.y_hat - worked.y) * worked.w221, 3)}" in backward
    assert f"L\n{number(step.loss, 3)}\n→ {number(step.loss_after, 3)}" in update


def test_nothing_in_the_picture_overlaps(step):
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    three = explain_step(trained((3,)), X[0], Y[0])
    for explanation in (step, three):
        figure = explanation.plot()
        renderer = FigureCanvasAgg(figure).get_renderer()
        for ax in figure.axes:
            texts = [text for text in [*ax.texts, ax.title, ax._left_title] if text.get_text()]
            boxes = [text.get_window_extent(renderer) for text in texts]
            for a, box in enumerate(boxes):
                for other in boxes[:a]:
                    assert not box.overlaps(other), texts[a].get_text()


def test_a_large_network_is_drawn_abridged():
    pytest.importorskip("matplotlib")
    figure = explain_step(trained((40, 9)), X, Y).plot()
    assert "means over 20 samples" in figure.texts[0].get_text()
    assert sum(text.get_text() == "⋮" for text in figure.axes[0].texts) == 2


# ---------------------------------------------------------------------------- diagnosis


def spoilt(activation, change, hidden=(6,)):
    model = trained(hidden, activation)
    change(model.coefs_, model.intercepts_)
    return diagnose(model, X, Y)


def kill_two(coefs, intercepts):
    intercepts[0][[1, 4]] = -1e6


def double_one(coefs, intercepts):
    coefs[0][:, 5], intercepts[0][5] = -coefs[0][:, 2], -intercepts[0][2]


@pytest.mark.parametrize(
    ("activation", "change", "kind", "units"),
    [
        ("relu", kill_two, "dead", (2, 5)),
        ("tanh", double_one, "duplicate", (6,)),
        ("logistic", double_one, "duplicate", (6,)),
    ],
)
def test_spoilt_units_are_found(activation, change, kind, units):
    (finding,) = spoilt(activation, change).findings
    assert (finding.kind, finding.layer, finding.units) == (kind, 1, units)
    assert finding.figure == pytest.approx(len(units) / 6)
    assert str(finding).startswith("hidden layer 1: ") and finding.advice in str(finding)


def test_units_with_tiny_outputs_are_compared():
    """Of e⁻⁵⁰⁰, the square is 0."""

    def change(coefs, intercepts):
        coefs[0][:] *= 0.1
        coefs[0][:, 5], intercepts[0][:] = coefs[0][:, 2], -500

    found = {finding.kind: finding.units for finding in spoilt("softplus", change).findings}
    assert found["duplicate"] == (6,)


def test_units_are_told_once_and_steps_are_dead():
    """A unit that is a step of the rows has another output there, and nowhere a slope."""
    rows = np.linspace(-1, 1, 50)
    outputs = np.column_stack([rows, rows > 0, rows**3, rows**3]).astype(float)
    slopes = np.tile([0.25, 0.0, 0.001, 0.001], (50, 1))
    found = {finding.kind: finding.units for finding in hidden.findings_of(1, slopes, outputs)}
    assert found == {"dead": (2,), "saturated": (3, 4)}


def test_duplicates_are_looked_for_where_they_are_asked_for():
    rows = np.linspace(-1, 1, 50)
    outputs = np.column_stack([rows, rows, np.zeros(50)])
    slopes = np.tile([1.0, 1.0, 0.0], (50, 1))
    for asked, kinds in (True, ["dead", "duplicate"]), (False, ["dead"]):
        found = hidden.findings_of(1, slopes, outputs, duplicates=asked)
        assert [finding.kind for finding in found] == kinds


def test_saturated_units_are_found():
    def saturate(coefs, intercepts):
        coefs[0][:, 3] *= 1000
        intercepts[0][3] *= 1000

    (finding,) = spoilt("tanh", saturate).findings
    assert (finding.kind, finding.units) == ("saturated", (4,))


def test_a_gradient_that_vanishes_is_found():
    model = untrained(X, Y, (4,) * 9, "logistic", 0)
    diagnosis = diagnose(model, X[:4], Y[:4])
    vanishing = [each.layer for each in diagnosis.findings if each.kind == "vanishing"]
    assert vanishing and vanishing == list(range(1, len(vanishing) + 1))
    sizes = np.array(diagnosis.gradients)
    assert_allclose(vanishing, 1 + np.flatnonzero(sizes[:-1] < 1e-4 * sizes[-1]))
    step = explain_step(model, X[:4], Y[:4]).step  # D of a mean, n times as small
    expected = [np.sqrt(np.mean((4 * D) ** 2)) for D in step.D]
    assert_allclose(sizes, expected, rtol=1e-9)


def test_a_network_that_is_left_out_gets_no_advice_for_its_gradients(beside_a_line):
    model, X, y = beside_a_line
    assert not model.coefs_[-1].any()
    (finding,) = diagnose(model, X, y).findings
    assert finding.kind == "unused" and "linear_part=None" in finding.advice
    assert str(finding).startswith("The linear part predicts alone")
    plain = clone(model).set_params(linear_part=None).fit(X, y)
    assert "unused" not in {each.kind for each in diagnose(plain, X, y).findings}


def test_of_a_good_network_nothing_is_said():
    diagnosis = diagnose(trained(), X, Y)
    assert not diagnosis.findings
    assert str(diagnosis) == "Nothing conspicuous on 20 rows."


@pytest.mark.parametrize("module", [fastbp.explain, diagnosis], ids=["explain", "diagnose"])
def test_the_examples_in_the_documentation_run(module):
    results = doctest.testmod(module)
    assert results.attempted > 5 and results.failed == 0


def test_it_is_imported_when_it_is_asked_for():
    assert fastbp.explain.explain_step is explain_step
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = fastbp.nothing_like_it


def test_lines_of_a_picture_show_their_weights_and_which_way_they_lead(step):
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_hex

    before, gradient, after = (
        np.concatenate([W.ravel() for W in weights])
        for weights, _ in (step.step.before, step.step.gradient, step.step.after)
    )
    panels = step.plot().axes
    for ax, values, forward in zip(
        panels, (before, gradient, after - before), (True, False, True), strict=True
    ):
        arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None)]
        assert len(arrows) == len(values) + 1  # that to L
        drawn = [arrow.arrow_patch for arrow in arrows[: len(values)]]
        widths = [patch.get_linewidth() - 0.6 for patch in drawn]
        assert_allclose(widths, 3.9 * np.abs(values) / np.abs(values).max(), atol=1e-12)
        colours = [to_hex(patch.get_edgecolor()) for patch in drawn]
        assert colours == ["#0072b2" if value >= 0 else "#d55e00" for value in values]
        assert all((arrow.xy[0] > arrow.xyann[0]) == forward for arrow in arrows)
        assert 0 <= ax.get_position().y0 < ax.get_position().y1 <= 1


def test_the_title_of_a_page_is_text():
    assert "<title>a &lt; b</title>" in mathml.page_of("a < b", "")
