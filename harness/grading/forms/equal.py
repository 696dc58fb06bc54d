r"""The table of equal spellings: ways to write a gold answer that must be graded right. Adding one is one line.

A spelling is a name, the graders it is for, and a function from the gold to the new text, or None where it does not
apply. Spellings that compute something are checked by `evaluate.same` before they are used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Literal, TypeVar

from harness.grading.forms.evaluate import equations_agree, same
from harness.grading.forms.gold import Gold, arithmetic

Make = Callable[[Gold], str | None]
How = TypeVar("How", bound=Callable[..., str | None])
Prose = Literal["", "words", "number"]
MATH = ("math",)
NUMBERS = ("math", "number", "integer")


@dataclass(frozen=True)
class Rewriting(Generic[How]):
    """One line of a table: another spelling of a gold, or a change that makes it another value."""

    name: str
    graders: tuple[str, ...]
    make: How
    prose: Prose = ""
    """Words, which may not stand in mathematics; "number" if they stand in running text like a number."""


def swap(pattern: str, replacement: str | Callable[[re.Match[str]], str], kinds: str = "") -> Make:
    """Rewrite every match in the text; `kinds`: only golds of these kinds, all if empty."""

    def make(gold: Gold) -> str | None:
        if kinds and gold.kind not in kinds.split():
            return None
        return re.sub(pattern, replacement, gold.text)

    return make


def wrap(template: str, kinds: str = "") -> Make:
    """Put the gold into a template; only golds of these kinds, and none with a unit."""

    def make(gold: Gold) -> str | None:
        if (kinds and gold.kind not in kinds.split()) or gold.unit:
            return None
        return template.replace("{gold}", gold.text)

    return make


def whole(template: str, least: int = 0, *, unsigned: bool = False) -> Make:
    """A whole number of at least this size in a template, {digits} or {grouped}."""

    def make(gold: Gold) -> str | None:
        if gold.kind != "whole" or gold.unit or gold.number is None or abs(gold.number) < least:
            return None
        if unsigned and gold.number < 0:
            return None
        return template.replace("{digits}", str(gold.number)).replace("{grouped}", f"{int(gold.number):,}")

    return make


def _finite(value: Fraction) -> str | None:
    """The decimal of a fraction that has one of at most six places."""
    places = next((n for n in range(7) if value.denominator != 1 and 10**n % value.denominator == 0), None)
    if places is None:
        return None
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


_FRACTION = re.compile(r"(-?)\\[dt]?frac\s?(?:\{(\d+)\}|(\d))\s?(?:\{(\d+)\}|(\d))")
_MIXED = re.compile(r"(-?)(\d+)\s*\\[dt]?frac\{(\d+)\}\{(\d+)\}")


def fraction_of(gold: Gold) -> tuple[str, int, int] | None:
    """(sign, numerator, denominator) of a gold that is one simple fraction."""
    match = _FRACTION.fullmatch(gold.text)
    return None if match is None else (match[1], int(match[2] or match[3]), int(match[4] or match[5]))


def fraction(template: str) -> Make:
    """A simple fraction in a template: {sign}, {top}, {bottom}, {decimal}, {twice_top}, {twice_bottom}."""

    def make(gold: Gold) -> str | None:
        found = fraction_of(gold)
        if found is None:
            return None
        sign, top, bottom = found
        decimal = _finite(Fraction(top, bottom))
        if "{decimal}" in template and decimal is None:
            return None
        fields = {"top": top, "bottom": bottom, "twice_top": 2 * top, "twice_bottom": 2 * bottom, "decimal": decimal}
        body = template.replace("{sign}", sign)
        for name, value in fields.items():
            body = body.replace("{" + name + "}", str(value))
        return body

    return make


def mixed(template: str) -> Make:
    """A mixed number, or an improper fraction as one, in a template: {sign}, {whole}, {top}, {bottom}."""

    def make(gold: Gold) -> str | None:
        match, found = _MIXED.fullmatch(gold.text), fraction_of(gold)
        if match:
            sign, count, top, bottom = match[1], int(match[2]), int(match[3]), int(match[4])
        elif found and found[1] > found[2] and found[1] % found[2]:
            sign, (count, top), bottom = found[0], divmod(found[1], found[2]), found[2]
        else:
            return None
        body = template.replace("{sign}", sign).replace("{whole}", str(count))
        return body.replace("{top}", str(top)).replace("{bottom}", str(bottom))

    return make


_SCIENTIFIC = re.compile(r"(-?\d+(?:\.\d+)?)\s*\\times\s*10\^\{(-?\d+)\}")


def scientific(template: str) -> Make:
    """A number in powers of ten in a template: {digits}, {power}, {plain}."""

    def make(gold: Gold) -> str | None:
        match = _SCIENTIFIC.fullmatch(gold.text)
        if match is None or ("{plain}" in template and abs(int(match[2])) > 12):
            return None
        value = Fraction(match[1]) * Fraction(10) ** int(match[2])
        plain = _decimal(value, match[1], int(match[2]))
        return template.replace("{digits}", match[1]).replace("{power}", match[2]).replace("{plain}", plain)

    return make


def _decimal(value: Fraction, digits: str, power: int) -> str:
    places = max(0, len(digits.partition(".")[2]) - power)
    return f"{float(value):.{places}f}"


def parts(joint: str, kinds: str, *, backwards: bool = False) -> Make:
    """A list's values joined anew."""

    def make(gold: Gold) -> str | None:
        if gold.kind not in kinds.split() or len(gold.parts) < 2 or "\\pm" in gold.text:
            return None
        values = gold.parts[::-1] if backwards else gold.parts
        return ", ".join(values[:-1]) + joint + values[-1]

    return make


def turned_sum(gold: Gold) -> str | None:
    """A sum with its first term at the end, if that is the same by arithmetic."""
    if gold.kind != "formula" or gold.unit or "\\pm" in gold.text:
        return None
    depth = 0
    for place, character in enumerate(gold.text):
        depth += (character in "{([") - (character in "})]")
        if depth == 0 and character in "+-" and place > 0 and gold.text[:place].strip():
            first, rest = gold.text[:place].strip(), gold.text[place:].strip().removeprefix("+").strip()
            turned = f"{rest} {first}" if first[0] in "+-" else f"{rest} + {first}"
            return turned if same(turned, gold.text) else None
    return None


def computed(pattern: str, replacement: str) -> Make:
    """Rewrite a formula, if the outcome has the same value by arithmetic."""

    def make(gold: Gold) -> str | None:
        if gold.kind not in ("formula", "whole", "decimal") or gold.unit:
            return None
        changed = re.sub(pattern, replacement, gold.text)
        return changed if same(arithmetic(changed), arithmetic(gold.text)) else None

    return make


def unit(template: str, unit_pattern: str) -> Make:
    """A single value whose unit matches, its number and unit in a template: {number}, {unit}."""

    def make(gold: Gold) -> str | None:
        if not gold.unit or len(gold.parts) != 1 or re.fullmatch(unit_pattern, gold.unit) is None:
            return None
        words = " ".join(re.findall(r"[a-zA-Z]+", re.sub(r"\\[a-z]+", "", gold.unit)))
        return template.replace("{number}", gold.parts[0]).replace("{unit}", words)

    return make


def plus_minus(template: str) -> Make:
    """A formula with one plus-minus sign as its two values, {plus} and {minus}."""

    def make(gold: Gold) -> str | None:
        if gold.kind != "formula" or gold.text.count("\\pm") != 1:
            return None
        plus, minus = (gold.text.replace("\\pm", sign) for sign in "+-")
        return template.replace("{plus}", plus).replace("{minus}", minus)

    return make


def equation(template: str) -> Make:
    """An equation's two sides in a template, if it says the same by arithmetic: {left}, {right}."""

    def make(gold: Gold) -> str | None:
        if gold.kind != "equation":
            return None
        left, right = (side.strip() for side in gold.text.split("="))
        if right == "0" and "- ({right})" in template:
            return None
        changed = template.replace("{left}", left).replace("{right}", right)
        return changed if equations_agree(gold.text, changed) else None

    return make


def magnitude(size: int, template: str) -> Make:
    """A whole number of so many thousands or millions: {count}."""

    def make(gold: Gold) -> str | None:
        if gold.kind != "whole" or gold.unit or gold.number is None or gold.number <= 0 or gold.number % size:
            return None
        return template.replace("{count}", str(gold.number / size))

    return make


def percent(template: str) -> Make:
    """A decimal below 1 as a percentage: {percent}."""

    def make(gold: Gold) -> str | None:
        if gold.kind != "decimal" or gold.unit or gold.number is None or not 0 < gold.number < 1:
            return None
        share = gold.number * 100
        return template.replace("{percent}", str(share) if share.denominator == 1 else _finite(share) or "")

    return make


def half(template: str) -> Make:
    """A number and a half: {whole}."""

    def make(gold: Gold) -> str | None:
        if gold.unit or gold.number is None or gold.number.denominator != 2 or gold.number < 1:
            return None
        return template.replace("{whole}", str(int(gold.number)))

    return make


def same_sides(gold: Gold) -> str | None:
    """An equation with its sides exchanged."""
    if gold.kind != "equation":
        return None
    left, right = gold.text.split("=")
    return f"{right.strip()} = {left.strip()}"


_PLAIN = r"[-\d.\s+*/()a-zA-Z]+"

EQUAL: tuple[Rewriting[Make], ...] = (
    Rewriting("dfrac", MATH, swap(r"\\frac(?![a-z])", r"\\dfrac")),
    Rewriting("tfrac", MATH, swap(r"\\d?frac(?![a-z])", r"\\tfrac")),
    Rewriting("fraction with braces", MATH, fraction(r"{sign}\frac{{top}}{{bottom}}")),
    Rewriting("fraction by slash", MATH, fraction("{sign}{top}/{bottom}")),
    Rewriting("fraction by slash, spaced", MATH, fraction("{sign}{top} / {bottom}")),
    Rewriting("sign in the numerator", MATH, fraction(r"\frac{{sign}{top}}{{bottom}}")),
    Rewriting("fraction not reduced", MATH, fraction(r"{sign}\frac{{twice_top}}{{twice_bottom}}")),
    Rewriting("decimal of a fraction", MATH, fraction("{sign}{decimal}")),
    Rewriting("fraction and its decimal", MATH, fraction(r"{sign}\frac{{top}}{{bottom}} = {sign}{decimal}")),
    Rewriting("mixed number", MATH, mixed(r"{sign}{whole}\frac{{top}}{{bottom}}")),
    Rewriting("mixed number, plain", MATH, mixed("{sign}{whole} {top}/{bottom}"), prose="number"),
    Rewriting("trailing zero", NUMBERS, whole("{digits}.0")),
    Rewriting("two trailing zeros", NUMBERS, whole("{digits}.00")),
    Rewriting("thousands by comma", NUMBERS, whole("{grouped}", 1000)),
    Rewriting("thousands by braced comma", NUMBERS, lambda gold: _grouped(gold, "{,}")),
    Rewriting("thousands by thin space", NUMBERS, lambda gold: _grouped(gold, r"\,")),
    Rewriting("thousands by comma and tight space", NUMBERS, lambda gold: _grouped(gold, r",\!")),
    Rewriting("leading zero of a decimal", NUMBERS, swap(r"(?<!\d)\.(?=\d)", "0.", "decimal")),
    Rewriting("decimal with a trailing zero", NUMBERS, lambda gold: gold.text + "0" if _bare_decimal(gold) else None),
    Rewriting("decimal as a fraction", NUMBERS, lambda gold: _as_fraction(gold)),
    Rewriting(
        "minus as a word", NUMBERS, lambda gold: f"minus {gold.text[1:]}" if _negative(gold) else None, prose="number"
    ),
    Rewriting("typographic minus", NUMBERS, lambda gold: f"−{gold.text[1:]}" if _negative(gold) else None),
    Rewriting("in \\text", NUMBERS, wrap(r"\text{{gold}}", "whole")),
    Rewriting("in \\mathbf", NUMBERS, wrap(r"\mathbf{{gold}}", "whole")),
    Rewriting("named x", MATH, wrap("x = {gold}", "whole decimal")),
    Rewriting("named by a word", MATH, wrap(r"\text{Area} = {gold}", "whole decimal")),
    Rewriting("named with an index", MATH, wrap(r"n_{\text{max}} = {gold}", "whole decimal")),
    Rewriting("a chain of equations", NUMBERS, whole("2 + {digits} - 2 = {digits}", unsigned=True)),
    Rewriting("dollars in front", ("number", "integer"), whole(r"\${digits}")),
    Rewriting("with a unit", ("number", "integer"), whole(r"{digits} \text{ apples}")),
    Rewriting("times ten, dot", MATH, scientific(r"{digits} \cdot 10^{{power}}")),
    Rewriting("times ten, tight", MATH, scientific(r"{digits}\times10^{{power}}")),
    Rewriting("times ten by e", MATH, scientific("{digits}e{power}")),
    Rewriting("times ten by star", MATH, scientific("{digits}*10^{{power}}")),
    Rewriting("times ten written out", MATH, scientific("{plain}")),
    Rewriting("root in plain text", MATH, swap(r"\\sqrt\{(\d+)\}", r"sqrt(\1)", "formula")),
    Rewriting("root by sign", MATH, swap(r"\\sqrt\{(\d+)\}", r"√\1", "formula")),
    Rewriting("root without braces", MATH, computed(r"\\sqrt\{(\d)\}", r"\\sqrt\1")),
    Rewriting("root as a power", MATH, computed(r"\\sqrt\{(\d+)\}", r"{\1}^{1/2}")),
    Rewriting("dot before a root", MATH, computed(r"(?<=\d)\s*(?=\\sqrt|\\pi)", r" \\cdot ")),
    Rewriting("pi in plain text", MATH, swap(r"^(\d+)\s*\\pi$", r"\1pi", "formula")),
    Rewriting("pi by its letter", MATH, swap(r"\\pi\b", "π", "formula")),
    Rewriting("sum turned", MATH, turned_sum),
    Rewriting("brackets around", MATH, wrap(r"\left({gold}\right)", "formula")),
    Rewriting("no spaces", MATH, swap(r"(?<=[\d}+\-=,])\s+(?=[\d{+\-=\\])", "", "formula tuple equation set")),
    Rewriting("spaces around signs", MATH, swap(r"(?<=[\w})])\s*([-+])\s*(?=[\w\\(])", r" \1 ", "formula")),
    Rewriting("left and right", MATH, swap(r"^\(([^()]*)\)$", r"\\left(\1\\right)", "tuple interval")),
    Rewriting("spaces after commas", MATH, swap(r",\s*", r",\\ ", "tuple interval set")),
    Rewriting("list with and", MATH, parts(r" \text{ and } ", "list")),
    Rewriting("list backwards", MATH, parts(", ", "list", backwards=True)),
    Rewriting("list with semicolons", MATH, lambda gold: "; ".join(gold.parts) if gold.kind == "list" else None),
    Rewriting("plus and minus written out", MATH, plus_minus("{plus}, {minus}")),
    Rewriting("plus and minus with and", MATH, plus_minus(r"{minus} \text{ and } {plus}")),
    Rewriting("interval without its variable", MATH, swap(r"^x \\in ", "", "interval")),
    Rewriting("sides exchanged", MATH, same_sides),
    Rewriting("both sides doubled", MATH, equation("2({left}) = 2({right})")),
    Rewriting("all on one side", MATH, equation("{left} - ({right}) = 0")),
    Rewriting("thousand", NUMBERS, magnitude(1000, "{count} thousand"), prose="number"),
    Rewriting("million", NUMBERS, magnitude(1_000_000, "{count} million"), prose="number"),
    Rewriting("whole number in powers of ten", NUMBERS, magnitude(1000, r"{count} \times 10^{3}")),
    Rewriting("percent of a share", NUMBERS, percent(r"{percent}\%")),
    Rewriting("percent word of a share", NUMBERS, percent("{percent} percent"), prose="words"),
    Rewriting("half as a character", NUMBERS, half("{whole}½"), prose="number"),
    Rewriting("half as a mixed number", NUMBERS, half("{whole} 1/2"), prose="number"),
    Rewriting("half in words", NUMBERS, half("{whole} and a half"), prose="number"),
    Rewriting("bmatrix", MATH, swap("pmatrix", "bmatrix", "matrix")),
    Rewriting("unit left out", MATH, unit("{number}", r".+")),
    Rewriting("degrees by sign", MATH, unit("{number}°", r"\^\{?\\circ\}?")),
    Rewriting("degrees in words", MATH, unit(r"{number} \text{ degrees}", r"\^\{?\\circ\}?")),
    Rewriting("unit in \\mathrm", MATH, unit(r"{number}\ \mathrm{{unit}}", r"\\(?:text|mbox)\{ *[a-z]+\}")),
    Rewriting("unit in words", MATH, unit("{number} {unit}", r"\\(?:text|mbox)\{ *[a-z]+\}"), prose="words"),
    Rewriting("word bare", MATH, swap(r"\\text\{([a-zA-Z]+)\}", r"\1", "word"), prose="words"),
    Rewriting("word in \\textbf", MATH, swap(r"\\text\{", r"\\textbf{", "word")),
    Rewriting("word in capitals", MATH, lambda gold: gold.text.replace(_w(gold), _w(gold).capitalize())),
    Rewriting("base with braces", MATH, swap(r"^(\d+)_(\d)$", r"\1_{\2}", "other")),
    Rewriting("base in words", MATH, swap(r"^(\d+)_\{?(\d)\}?$", r"\1_{\\text{\2}}", "other")),
)


def _grouped(gold: Gold, mark: str) -> str | None:
    make = whole("{grouped}", 1000)(gold)
    return None if make is None else make.replace(",", mark)


def _bare_decimal(gold: Gold) -> bool:
    return gold.kind == "decimal" and not gold.unit


def _negative(gold: Gold) -> bool:
    return gold.number is not None and gold.text.startswith("-")


def _as_fraction(gold: Gold) -> str | None:
    if not _bare_decimal(gold) or gold.number is None or gold.number.denominator == 1:
        return None
    value = gold.number
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _w(gold: Gold) -> str:
    match = re.fullmatch(r"\\text\{([a-z]{2,})\}", gold.text)
    return match[1] if match else "\0"
