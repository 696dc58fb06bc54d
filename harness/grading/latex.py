r"""One spelling for answers that are written differently but are the same text: `\dfrac12` and `\frac{1}{2}`.

`canonical` changes only spelling, never meaning, so that equal canonical strings may be called equal without looking
further. `vote_key` also drops units, order of a list and names of unknowns: good for counting votes, not for verdicts.
All of it is linear and bounded by `MAX_ANSWER`.
"""

from __future__ import annotations

import hashlib
import re

from harness.grading.base import MAX_ANSWER
from harness.grading.rationals import parse_rational, read_number, show

_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|operatorname)\s?\{([^{}]*)\}"
)
_SPACING = re.compile(
    r"\\(?:left|right|displaystyle|limits|bigl|bigr|big|Big|Bigl|Bigr|q?quad|thinspace)(?![a-zA-Z])|\\[,;: ]|~"
)
_MARKED_GROUP = re.compile(r"(?<![\d.,])(\d{1,3})((?:(?:\{,\}|,?\s?\\!\s?|\\,|,\\,|,\\ )\d{3})+)(?!\d|,\d)")
_TIGHT_GROUP = re.compile(r"(?<![\d.,])(\d{1,3})((?:(?:\{,\}|,?\s?\\!\s?)\d{3})+)(?!\d|,\d)")
_COMMA_GROUP = re.compile(r"(?<![\d.,])(\d{1,3})((?:,\d{3})+)(?!\d|,\d)")
_SYNONYMS = (
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\leq?(?![a-zA-Z])|≤|\\leqslant(?![a-zA-Z])"), r"\\le "),
    (re.compile(r"\\geq?(?![a-zA-Z])|≥|\\geqslant(?![a-zA-Z])"), r"\\ge "),
    (re.compile(r"\\neq?(?![a-zA-Z])|≠"), r"\\ne "),
    (re.compile(r"\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])|×|·"), r"\\cdot "),
    (re.compile(r"π|\\pi(?![a-zA-Z])"), r"\\pi "),
    (re.compile(r"∞|\\infty(?![a-zA-Z])|\\infinity(?![a-zA-Z])"), r"\\infty "),
    (re.compile(r"∪|\\cup(?![a-zA-Z])"), r"\\cup "),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\^\\circ|°|\\degrees?(?![a-zA-Z])"), r"^{\\circ}"),
    (re.compile(r"\\frac\s?(\d)\s?(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s?(\d)\s?\{"), r"\\frac{\1}{"),
    (re.compile(r"\\frac(\{[^{}]*\})\s?(\d)"), r"\\frac\1{\2}"),
    (re.compile(r"\\sqrt\s?(\d|[a-z](?![a-zA-Z]))"), r"\\sqrt{\1}"),
    (re.compile(r"[−–]"), "-"),
)
NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_UNIT_WORDS = re.compile(
    r"(?<=[\d})])\s*(?:\\%|%|\^\{\\circ\}|\\text\s?\{[^{}]*\}(?:\^\{?[23]\}?)?|\\mathrm\s?\{[^{}]*\}(?:\^\{?[23]\}?)?)\.?$"
)


def unwrap(text: str) -> str:
    r"""The text without math delimiters, emphasis and final full stop around it."""
    body = text.strip()
    for _ in range(4):
        before = body
        body = body.rstrip().removesuffix("\\").rstrip()
        if body.endswith(".") and not body.endswith(".."):
            body = body[:-1].rstrip()
        for opening, closing in _DELIMITERS:
            inner = body[len(opening) : -len(closing)]
            if len(body) > len(opening) + len(closing) and body.startswith(opening) and body.endswith(closing):
                body = inner.strip() if opening not in inner and not inner.endswith("\\") else body
        if body == before:
            break
    return body


def join_digits(text: str) -> str:
    r"""Thousands separators removed: `1{,}234`, `1,\!234`, `1\,234`; "1,234" too unless there are brackets around it.

    A comma followed by a space separates two numbers, and "(12,345)" and `(12,\ 345)` are pairs.
    """
    if not re.search(r"[(\[]|\\\{", text):
        return _COMMA_GROUP.sub(_joined_group, _MARKED_GROUP.sub(_joined_group, text))
    inside: list[str] = []
    parts = []
    for piece in re.split(r"(\\?[\[(\])]|\\\{|\\\}|\{(?!,\})|(?<!\{,)\})", text):
        if piece in ("(", "[", "{", "\\{", "\\(", "\\["):
            inside.append(piece)
        elif piece in (")", "]", "}", "\\}", "\\)", "\\]") and inside:
            inside.pop()
        if inside and inside[-1] in ("(", "[", "\\{"):
            parts.append(_TIGHT_GROUP.sub(_joined_group, piece))
        else:
            parts.append(_COMMA_GROUP.sub(_joined_group, _MARKED_GROUP.sub(_joined_group, piece)))
    return "".join(parts)


def _joined_group(match: re.Match[str]) -> str:
    return match[1] + re.sub(r"\D", "", match[2])


def canonical(text: str) -> str:
    """Spelling made uniform; two texts with the same result mean the same. Longer than `MAX_ANSWER`: cut."""
    body = unwrap(text[:MAX_ANSWER])
    body = join_digits(body)
    body = _TEXT_COMMAND.sub(r" \1 ", body)
    body = body.replace("\\!", "").replace("\\$", "$")
    body = _SPACING.sub(" ", body)
    for pattern, replacement in _SYNONYMS:
        body = pattern.sub(replacement, body)
    body = re.sub(r"\s+", " ", body).strip()
    body = re.sub(r"(?<![a-zA-Z0-9]) | (?![a-zA-Z0-9])", "", _keep_command_spaces(body))
    return re.sub(r"(?<=[a-z]) (?=\d)|(?<=\d) (?=[a-z])", "", body).replace("\x00", " ")


def _keep_command_spaces(body: str) -> str:
    """A space that ends a command name before a letter is kept by a placeholder."""
    return re.sub(r"(\\[a-zA-Z]+) (?=[a-zA-Z])", "\\1\x00", body)


def vote_key(text: str) -> str:
    r"""A short key under which answers that most likely mean the same meet, for majority votes and display."""
    key = _vote_key(text)
    if len(key) <= 200:
        return key
    return f"{key[:160]}… sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:12]}"


def _vote_key(text: str) -> str:
    body = unwrap(text[:MAX_ANSWER])
    number = read_number(body)
    if number is not None:
        return show(number[0]) + ("%" if number[1] else "")
    key = canonical(body)
    key = re.sub(r"^[A-Za-z](?:_\{?\w\}?)?(?:=|\\in )", "", key)
    parts = key.split(",")
    values = [parse_rational(part) for part in parts]
    if len(parts) > 1 and all(value is not None for value in values):
        return ",".join(show(value) for value in sorted(value for value in values if value is not None))
    return key


def normalise(text: str) -> str:
    r"""The normal form of the Hendrycks MATH comparison and its descendants, for comparing with their results.

    Units, percent signs, degrees, dollars and "x =" dropped, `a/b` as `\frac{a}{b}`, ".5" as "0.5", number words as
    digits, plain number lists sorted. Not used for verdicts: it loses meaning.
    """
    body = unwrap(text[:MAX_ANSWER])
    word = _TEXT_COMMAND.sub(r"\1", body).strip().lower()
    if word in NUMBER_WORDS:
        return NUMBER_WORDS[word]
    body = re.sub(r"\^\s?\\circ|°", r"^{\\circ}", body.lstrip("$").removeprefix("\\$"))
    body = _UNIT_WORDS.sub("", body).rstrip(".")
    key = canonical(body)
    key = re.sub(r"^[A-Za-z]{1,2}=", "", key)
    key = re.sub(r"(?<![\d.])\.(?=\d)", "0.", key)
    key = re.sub(r"(\d)\.0+(?!\d)", r"\1", key)
    if key == "0.5":
        return r"\frac{1}{2}"
    slash = re.fullmatch(r"(-?\d+)/(-?\d+)", key)
    if slash:
        return rf"\frac{{{slash[1]}}}{{{slash[2]}}}"
    parts = key.split(",")
    if len(parts) > 1 and all(re.fullmatch(r"-?\d+(?:\.\d+)?", part) for part in parts):
        return ",".join(sorted(parts, key=float))
    return key
