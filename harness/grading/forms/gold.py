r"""What kind of thing a gold answer is, and where its single values stand: what the generated cases are made from.

`read_gold(r"\left( \frac{3}{2}, -13 \right)")` is a tuple with two values. A change is made inside one value, which
`harness.grading.forms.evaluate` can then tell from the original by arithmetic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from harness.grading.forms.evaluate import NoFormula, values

Kind = Literal["whole", "decimal", "formula", "equation", "list", "tuple", "interval", "set", "matrix", "word", "other"]
"""A bracketed pair is an interval only where infinity or two kinds of brackets show it."""

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:(?:,|\{,\}|,\\!|\\,)\s?\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
_STRUCTURE = re.compile(
    r"\\begin\{[pbv]?matrix\}|\\end\{[pbv]?matrix\}|\\\\|\\cup\b|\\in\b|\\left\s?[\[({]|\\right\s?[\])}]|\\left\\\{|\\right\\\}"
    r"|\\(?:text|mbox|mathrm)\s?\{[^{}]*\}(?:\^\{?\d\}?)?|\^\{?\\circ\}?|\\%|\\\$|\\[{}]|[&=;]"
)
_WORD = re.compile(r"\\text\{\(?([A-Za-z]+)\)?\}|[A-Za-z]{2,}")
_MIXED = re.compile(r"(-?)(\d+)\s*\\[dt]?frac\{(\d+)\}\{(\d+)\}")
UNIT = re.compile(
    r"\s*(?:\\(?:text|mbox|mathrm)\s?\{\s*~?\s*[a-zA-Z.~ ]+\}(?:\^\{?\d\}?)?|\^\{?\\circ\}?|\\%)\s*$|^\\\$"
)
"""A unit behind or in front of a single value."""


@dataclass(frozen=True)
class Gold:
    """A gold answer, taken apart."""

    text: str
    kind: Kind
    spans: tuple[tuple[int, int], ...]
    """Where the single values stand that can be evaluated, in order."""
    unit: str = ""
    """The unit of a single value, as written; empty without one."""
    number: Fraction | None = None
    """The value of a single plain number, its unit aside."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The single values as written."""
        return tuple(self.text[start:end] for start, end in self.spans)

    @property
    def bare(self) -> str:
        """The text without its unit."""
        return UNIT.sub("", self.text).strip() if self.unit else self.text

    def replaced(self, place: int, value: str) -> str:
        """The text with another value in this place."""
        start, end = self.spans[place]
        return self.text[:start] + value + self.text[end:]


def plain_number(text: str) -> Fraction | None:
    r"""The value of a plain number, also `58,500` and `10,\!080`; None for anything else."""
    body = text.strip()
    if _NUMBER.fullmatch(body) is None:
        return None
    return Fraction(re.sub(r"[^-\d.]", "", body))


def arithmetic(text: str) -> str:
    r"""A value as `evaluate` reads it: a mixed number as a sum, a grouped number without its marks."""
    mixed = _MIXED.fullmatch(text.strip())
    if mixed:
        return f"{mixed[1]}({mixed[2]}+\\frac{{{mixed[3]}}}{{{mixed[4]}}})"
    number = plain_number(text)
    return text if number is None else re.sub(r"[^-+\d.]", "", text)


def read_gold(text: str) -> Gold:
    """Take a gold answer apart."""
    text = text.strip()
    unit = UNIT.search(text)
    number = plain_number(UNIT.sub("", text)) if unit else plain_number(text)
    spans = _spans(text)
    kind = _kind(text, spans, number)
    return Gold(text, kind, spans, unit[0].strip() if unit and kind != "word" else "", number)


def _kind(text: str, spans: tuple[tuple[int, int], ...], number: Fraction | None) -> Kind:
    body = re.sub(r"\\(?:left|right)(?![a-z])|\\[,!;: ]", "", text).replace(" ", "")
    if number is not None:
        return "whole" if number.denominator == 1 and "." not in text else "decimal"
    if "matrix" in body:
        return "matrix"
    if body.startswith("\\{"):
        return "set"
    if re.search(r"\\infty|\\cup|\\in(?![a-z])", body) or re.fullmatch(r"\(.*\]|\[.*\)|\[.*,.*\]", body):
        return "interval"
    if re.fullmatch(r"\([^()]*,.*\)", body):
        return "tuple"
    if body.count("=") == 1 and "," not in body:
        return "equation"
    if _WORD.fullmatch(body):
        return "word"
    if len(spans) > 1 and "," in body:
        return "list"
    return "formula" if len(spans) == 1 and UNIT.sub("", text).strip() == text[slice(*spans[0])] else "other"


def _spans(text: str) -> tuple[tuple[int, int], ...]:
    """The evaluable pieces between what gives the answer its structure."""
    if _evaluable(text):
        return ((0, len(text)),)
    cuts = [(match.start(), match.end()) for match in _STRUCTURE.finditer(text)]
    cuts += _commas(text, cuts) + _brackets(text)
    found, begin = [], 0
    for start, end in [*sorted(cuts), (len(text), len(text))]:
        piece = text[begin:start]
        left, right = begin + len(piece) - len(piece.lstrip()), begin + len(piece.rstrip())
        if start >= begin and left < right and _evaluable(text[left:right]):
            found.append((left, right))
        begin = max(begin, end)
    return tuple(found)


def _evaluable(piece: str) -> bool:
    try:
        values(arithmetic(piece))
    except NoFormula:
        return False
    return True


def _commas(text: str, cuts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Commas that separate values: not those of a grouped number."""
    inside = [(match.start(), match.end()) for match in _NUMBER.finditer(text)] if "," in text else []
    grouped = [(start, end) for start, end in inside if re.search(r"\d,(?:\\!)?\s?\d{3}", text[start:end])]
    if re.match(r"\s*(?:\\left)?\s*[(\[]|\\\{", text):  # a tuple's commas group nothing
        grouped = []
    spots = [match.start() for match in re.finditer(",", text)]
    return [(spot, spot + 1) for spot in spots if not any(start <= spot < end for start, end in [*grouped, *cuts])]


def _brackets(text: str) -> list[tuple[int, int]]:
    """The outer brackets of "(a, b)"; those of a product hold no comma."""
    found: list[tuple[int, int]] = []
    stack: list[tuple[int, bool]] = []
    for place, character in enumerate(text):
        if character in "([":
            stack.append((place, False))
        elif character == "," and stack:
            stack[-1] = (stack[-1][0], True)
        elif character in ")]" and stack:
            start, comma = stack.pop()
            found += [(start, start + 1), (place, place + 1)] if comma else []
    return found
