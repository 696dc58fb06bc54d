r"""The way through math-verify, for answers that `harness.grading.mathclaim` cannot read.

Both sides are wrapped in a box before parsing, so that the library takes them as wholes. It drops bases, skips texts
and units and takes the right side of any equation; so only two texts of the same letters and digits are shown to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from harness.answers import last_boxed_group
from harness.grading.latex import NUMBER_WORDS, canonical, join_digits, unwrap
from harness.grading.mathlib import NAME, RELATION, parse_answer, verify_parsed

_PLAIN_UNIT = re.compile(
    r"^((?:\\\$)?-?\d[\d.,/]*|-?\\frac\{\d+\}\{\d+\})\s+(?!(?:and|or|pi|sqrt|sin|cos|percent|percentage|pct)\b)"
    r"([a-zA-Z]{2,}(?:\s[a-zA-Z]+){0,2})$"
)
"""A number followed by a unit in plain words, "5 dollars"."""


_CHARACTERS = str.maketrans(
    {"½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}"}
    | {sign: f"^{power}" for power, sign in ((1, "¹"), (2, "²"), (3, "³"))}
    | {chr(0x2070 + power): f"^{power}" for power in range(4, 10)}
)
"""Fractions and exponents that are single characters."""
_SIGN_WORD = re.compile(r"^(?:\\text\s?\{\s*)?(?:minus|negative)\s*\}?\s*(?=[\d.]|\\frac)")


def library_equal(gold: str, answer: str, precision: int = 6) -> bool:
    """Whether a bare answer has the gold's letters and digits, and math-verify calls the two equal."""
    if _skeleton(gold) != _skeleton(answer):
        return False
    return any(
        verify_parsed(_parsed_gold(left), parse_answer(right_), precision=precision)
        for left, right_ in _readings(prepared(gold), prepared(answer))
    )


def _skeleton(text: str) -> str:
    return "".join(sorted(re.sub(r"\W|_", "", canonical(text))))


def prepared(answer: str) -> str:
    """A bare answer as LaTeX that math-verify reads as a whole: delimiters off, plain-text operators translated."""
    body = unwrap(answer).translate(_CHARACTERS)
    body = _SIGN_WORD.sub("-", body)
    body = re.sub(r"^(-?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})$", r"\1\\cdot 10^{\2}", body)
    body = NUMBER_WORDS.get(body.removeprefix("\\text{").removesuffix("}").lower(), body)
    group = last_boxed_group(body)
    if group:
        body = ", ".join(unwrap(part) for part in group)
    body = body.replace("**", "^").replace("−", "-").replace("–", "-").replace("°", "^\\circ ")
    body = re.sub(r"(?<!\\)\$", " ", body)
    body = re.sub(r"_\{\\(?:mathrm|text|rm|mathit)\s?\{(\w+)\}\}", r"_{\1}", body)
    body = re.sub(r"(?<![\\a-zA-Z])E(?=_)", r"\\Xi ", body)
    body = re.sub(r"(?<![\d.])(\d+)\s+(\d+)\s?/\s?(\d+)", r"\1\\frac{\2}{\3}", body)
    body = re.sub(r"\s{0,4}\b(?:percentage|percent|pct)\b", r"\\%", body)
    body = _PLAIN_UNIT.sub(r"\1\\text{ \2}", body)
    body = re.sub(r"_(?:\{\\([a-zA-Z]+)\}|\\([a-zA-Z]+))", r"_{\1\2}", body)
    body = re.sub(r"^\{([^{}]*,[^{}]*)\}$", r"\\{\1\\}", body)
    body = re.sub(r"^([^=<>a-zA-Z]+)=\s*([a-zA-Z])$", r"\2=\1", body)
    body = body.replace(";", ",") if "\\;" not in body else body
    return join_digits(body).strip()


@lru_cache(maxsize=512)
def _parsed_gold(gold: str) -> list[Any]:
    """Sympy objects are untyped upstream."""
    return parse_answer(gold)


def _readings(gold: str, answer: str) -> Iterator[tuple[str, str]]:
    """The pair itself, then without the name of the quantity where only one side names it, or both name the same.

    "I_{max} = 3" answers "3"; but "x = 3" does not answer "y = 3".
    """
    yield gold, answer
    gold_name, gold_value = _named(gold)
    name, value = _named(answer)
    if (gold_name or name) and (gold_name == name or not (gold_name and name)):
        yield gold_value, value


def _named(text: str) -> tuple[str, str]:
    """(name, value) of "name = value"; the name is empty if the text is no such assignment."""
    relation = RELATION.search(text)
    if relation is None or RELATION.search(text, relation.end()) or NAME.fullmatch(text[: relation.start()]) is None:
        return "", text
    return canonical(text[: relation.start()]), text[relation.end() :].strip()
