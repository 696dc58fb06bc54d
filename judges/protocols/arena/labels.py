"""The five verdicts of Arena-Hard, and how one is read out of a judge's reply to the official prompt.

A verdict names the better of the two answers shown, A first: A>>B, A>B, A=B, B>A, B>>A. A clear preference counts as
three votes, the others as one. The official prompt asks for the verdict in double brackets at the end of free text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.reasoning import split_reasoning
from judges.types import Malformed

CLEAR_VOTES = 3
"""How many votes ">>" counts for."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a verdict says about one of the two answers."""

    value: float
    """1.0 it is better, 0.5 a tie, 0.0 it is worse."""
    votes: int
    """1 or `CLEAR_VOTES`."""

    def other(self) -> Worth:
        """The same verdict for the other answer."""
        return Worth(1.0 - self.value, self.votes)


LABELS: Mapping[str, Worth] = MappingProxyType(
    {
        "A>>B": Worth(1.0, CLEAR_VOTES),
        "A>B": Worth(1.0, 1),
        "A=B": Worth(0.5, 1),
        "B>A": Worth(0.0, 1),
        "B>>A": Worth(0.0, CLEAR_VOTES),
        # Judges also write these; the official scorer knows them.
        "B=A": Worth(0.5, 1),
        "A<B": Worth(0.0, 1),
        "A<<B": Worth(0.0, CLEAR_VOTES),
        "B<A": Worth(1.0, 1),
        "B<<A": Worth(1.0, CLEAR_VOTES),
    }
)
"""Verdict -> its worth for A, the answer shown first."""

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
