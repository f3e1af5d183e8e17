"""A step as MathML and HTML: shown by browsers and notebooks as they are, without a network."""

import re
from html import escape

import numpy as np

from fastbp.lessons.lines import given_of, title_of
from fastbp.lessons.names import abridged, number

_NAME = r"[A-Za-zŷσθη]′?[⁰¹²³⁴⁵⁶⁷⁸⁹]*(?:[₀-₉]+(?:,[₀-₉]+)?)?ᵀ?"
_NUMBER = r"\d+(?:\.\d+)?"

#: What a formula is made of, the longest first.
_TOKEN = re.compile(
    rf"(?P<slope>d[A-Zŷ][⁰-⁹¹²³]*[₀-₉]*/d{_NAME})|(?P<power>e\^(?:\([^)]*\)|−?(?:{_NUMBER}|{_NAME})))"
    rf"|(?P<square>\)²)|(?P<ten>10⁻?[⁰¹²³⁴-⁹]+)|(?P<word>[a-z]{{2,}})"
    rf"|(?P<new>\(new\))|(?P<name>{_NAME})|(?P<number>{_NUMBER})|(?P<space>\s+)|(?P<sign>.)"
)
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉⁻", "01234567890123456789−")


def mathml(formula):
    """A formula, as `lines.py` writes it, as the inside of a ``<math>``."""
    return "".join(_element(match) for match in _TOKEN.finditer(formula))


def _element(match):
    kind, text = match.lastgroup, match.group()
    if kind == "slope":
        above, below = text.split("/d")
        return (
            f"<mfrac><mrow><mi>d</mi>{mathml(above[1:])}</mrow>"
            f"<mrow><mi>d</mi>{_name(below)}</mrow></mfrac>"
        )
    if kind == "power":
        return f"<msup><mi>e</mi><mrow>{mathml(text[2:].strip('()'))}</mrow></msup>"
    if kind == "square":
        return "<msup><mo stretchy='false'>)</mo><mn>2</mn></msup>"
    if kind == "ten":
        return f"<msup><mn>10</mn><mn>{text[2:].translate(_DIGITS)}</mn></msup>"
    if kind == "word":
        return f"<mtext> {text} </mtext>" if text in ("if", "else") else f"<mi>{text}</mi>"
    if kind == "new":
        return "<mtext>(new)</mtext>"
    if kind == "name":
        return _name(text)
    if kind == "number":
        return f"<mn>{text}</mn>"
    if kind == "space":
        return ""
    stretchy = " stretchy='false'" if text in "()" else ""
    return f"<mo{stretchy}>{escape(text)}</mo>"


def _name(text):
    """A letter with what is above and below it."""
    letter, prime, above, below, turned = re.fullmatch(
        r"([A-Za-zŷσθη])(′?)([⁰¹²³⁴⁵⁶⁷⁸⁹]*)([₀-₉,]*)(ᵀ?)", text
    ).groups()
    base = f"<mi>{letter}</mi>"
    above = above.translate(_DIGITS)
    above = prime + (f"<mn>{above}</mn>" if above else "") + turned
    above = re.sub(r"[′ᵀ]", lambda m: {"′": "<mo>′</mo>", "ᵀ": "<mi>T</mi>"}[m[0]], above)
    below = below.translate(_DIGITS)
    if above and below:
        return f"<msubsup>{base}<mn>{below}</mn><mrow>{above}</mrow></msubsup>"
    if below:
        return f"<msub>{base}<mn>{below}</mn></msub>"
    return f"<msup>{base}<mrow>{above}</mrow></msup>" if above else base


def matrix(value):
    """A matrix in brackets, abridged."""
    cells = ("".join(f"<mtd>{mathml(cell)}</mtd>" for cell in row) for row in abridged(value))
    table = "".join(f"<mtr>{row}</mtr>" for row in cells)
    return f"<mrow><mo>[</mo><mtable>{table}</mtable><mo>]</mo></mrow>"


STYLE = """
.fastbp-step { font-family: system-ui, sans-serif; max-width: 60em; line-height: 1.5; }
.fastbp-step table { border-collapse: collapse; margin: 0 0 1em; }
.fastbp-step td { text-align: left; padding: 0.35em 0.3em; vertical-align: middle;
                  background: none; border: 0; }
.fastbp-step h2, .fastbp-step h3 { font-size: 1.15em; line-height: 1.3; margin: 1em 0 0.4em; }
.fastbp-step svg, .fastbp-step img { max-width: 100%; height: auto; }
@media print { .fastbp-step table { break-inside: avoid; } }
"""


def html_of(step, sections, picture=""):
    """The step as a piece of a page; `picture` is HTML that comes before the formulas."""
    pieces = [f"<h2>{escape(title_of(step))}</h2>"]
    pieces += [f"<p>{escape(line)}</p>" for line in given_of(step)] + [picture]
    for section in sections:
        rows = "".join(map(_row, section.lines))
        pieces.append(f"<h3>{escape(section.title)}</h3><table>{rows}</table>")
    return f'<style>{STYLE}</style><div class="fastbp-step">{"".join(pieces)}</div>'


def _row(line):
    value = matrix(line.value) if np.ndim(line.value) else mathml(number(line.value))
    parts = [*map(mathml, line.formulas), value]
    formula = "".join(f"<mo>=</mo>{part}" for part in parts)
    return (
        f"<tr><td><math displaystyle='true'>{mathml(line.name)}</math></td>"
        f"<td><math displaystyle='true'>{formula}</math></td></tr>"
    )


def page_of(title, body):
    """A whole page, which needs nothing else."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title></head>\n<body>{body}</body></html>\n"
    )
