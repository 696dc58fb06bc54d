"""The five verdicts of Arena-Hard, and how one is read out of a judge's reply to the official prompt.

A verdict names the better of the two answers shown, A first: A>>B, A>B, A=B, B>A, B>>A. A clear preference counts as
three votes, the others as one. The official prompt asks for the verdict in double brackets at the end of free text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from harness.reasoning import split_reasoning
from judges.types import Malformed, RubricChoice

CLEAR_VOTES = 3
"""How many votes ">>" counts for."""


_VALUES = {
    "A>>B": 1.0,
    "A>B": 1.0,
    "A=B": 0.5,
    "B>A": 0.0,
    "B>>A": 0.0,
    # Judges also write these; the official scorer knows them.
    "B=A": 0.5,
    "A<B": 0.0,
    "A<<B": 0.0,
    "B<A": 1.0,
    "B<<A": 1.0,
}
LABELS: Mapping[str, RubricChoice] = MappingProxyType(
    {
        label: RubricChoice(label, value, float(CLEAR_VOTES if len(label) == 4 else 1))
        for label, value in _VALUES.items()
    }
)
"""Verdict -> its value for A, the answer shown first, and its weight in votes."""

_DOUBLE = re.compile(r"\[\[([AB<>=]{1,8})\]\]")
_SINGLE = re.compile(r"\[([AB<>=]{1,8})\]")


def parse_label(text: str) -> str:
    """The verdict of a free-text reply: the last one in double brackets, else the last in single brackets.

    Letter case does not matter, a think block does not count, and bracketed text that is no verdict is passed over.
    Raises `Malformed` if there is none.
    """
    _, answer = split_reasoning(text)
    if answer is None:
        raise Malformed("the think block was never closed, so there is no verdict")
    upper = answer.upper()
    for pattern in (_DOUBLE, _SINGLE):
        found = [label for label in pattern.findall(upper) if label in LABELS]
        if found:
            return str(found[-1])
    raise Malformed("no verdict such as [[A>B]] in the reply")
