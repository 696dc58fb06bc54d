r"""How names, relations and bases of numerals are written: what is looked for before an answer is parsed."""

from __future__ import annotations

import re

from harness.grading.latex import NUMBER_WORDS, canonical

NAME = re.compile(
    r"\s*(?:\\(?:Delta|delta|mathrm|text|vec|bar|hat)\s?)?(?:\\?[A-Za-z]+|\{[A-Za-z]+\})(?:_(?:\{[^{}]*\}|\w))?"
    r"(?:\s?\(\s?(?:\\?[A-Za-z]+)(?:\s?,\s?\\?[A-Za-z]+)*\s?\))?\s*"
)
RELATION = re.compile(r"(?<![<>!\\:])=(?!=)|\\approx(?![a-zA-Z])|\\in(?![a-zA-Z])|≈")
_BASE = re.compile(r"[0-9A-F]+_\{?(\w+)\}?")


def other_base(gold: str, answer: str) -> bool:
    """Whether both name a base and the bases differ, or only the answer names one."""
    if "_" not in answer:
        return False
    named = _BASE.fullmatch(canonical(answer))
    if named is None:
        return False
    wanted = _BASE.fullmatch(canonical(gold))
    if wanted is None:
        return re.fullmatch(r"[0-9A-F]+", canonical(gold)) is not None
    return NUMBER_WORDS.get(named[1], named[1]) != NUMBER_WORDS.get(wanted[1], wanted[1])
