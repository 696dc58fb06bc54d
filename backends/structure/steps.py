"""A path of reasoning cut into steps, as a model writes it down, and back.

    [Meta-reasoning 1]: the total needs the price of one crate first.
    [Sub-problem 1]: What does one crate cost?
    [Answer 1]: 12
    [Meta-reasoning 2]: …

What is read is a model's reply and may be anything. The paper's prompts call the first two of a step "Meta-reasoning"
and "Sub-problem", its code reads "sub-think" and "Query": all five names count, in any case. Pieces are put together by
their number, never by their place (the code pairs the n-th of each kind, so one missing query shifts all behind it). A
step that lacks one of the three ends the list: nothing behind a gap can be told to follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from backends.records.record import MAX_ITEMS, ChainStep

Aspect = Literal["step", "question", "result"]
"""What of two steps is compared: why it is taken, what it asks, what comes out."""
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
_KINDS: dict[str, Aspect] = {
    "metareasoning": "step",
    "subthink": "step",
    "subproblem": "question",
    "query": "question",
    "answer": "result",
}
_TAG = re.compile(
    r"(?P<line>^(?:[ \t>#\-]|\*(?= )){0,12})?(?P<strong>[*_]{1,3})?"
    r"\[ {0,2}(?P<kind>meta[ \-_]?reasoning|sub[ \-_]?think|sub[ \-_]?problem|query|answer) {0,2}"
    r"(?P<n>[0-9]{1,4}) {0,2}\]"
    r"(?P<tail>(?P=strong) {0,2}[:\uff1a]| {0,2}[:\uff1a](?P=strong)| {0,2}[:\uff1a]|(?P=strong))?",
    re.IGNORECASE | re.MULTILINE,
)
"""A tag opens a piece where it begins a line or ends in a colon; elsewhere it mentions an earlier piece."""
_EDGES = " \t\r\n"


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step: why it is taken, the one question that it settles, and the result."""

    step: str
    question: str
    result: str


def read_steps(text: str) -> tuple[PathStep, ...]:
    """The steps of a written list, from the first on, until one is incomplete; none if nothing can be read.

    Numbers begin at 1, or at 0 where that occurs. Of two pieces with the same name and number the first counts. Steps
    beyond `MAX_ITEMS` are not read.
    """
    tags = [tag for tag in _TAG.finditer(text) if tag["line"] is not None or (tag["tail"] or "").strip("*_")]
    pieces: dict[tuple[int, Aspect], str] = {}
    for at, tag in enumerate(tags):
        end = tags[at + 1].start() if at + 1 < len(tags) else len(text)
        place = int(tag["n"]), _KINDS[re.sub(r"[ \-_]", "", tag["kind"].lower())]
        pieces.setdefault(place, text[tag.end() : end].strip(_EDGES))
    start = 0 if any(number == 0 for number, _ in pieces) else 1
    found: list[PathStep] = []
    for number in range(start, MAX_ITEMS):
        one = [pieces.get((number, aspect), "") for aspect in ASPECTS]
        if not all(one):
            break
        found.append(PathStep(*one))
    return tuple(found)


def write_steps(steps: Sequence[PathStep]) -> tuple[str, tuple[ChainStep, ...]]:
    """The list as a model is to write it, and its pieces: "meta" is why a step is taken, "solve" what it settles.

    The pieces stand in the text word for word, one behind the other, and are all of it.
    """
    pieces = tuple(
        ChainStep(
            f"[Meta-reasoning {number}]: {one.step}",
            f"[Sub-problem {number}]: {one.question}\n[Answer {number}]: {one.result}",
        )
        for number, one in enumerate(steps, 1)
    )
    return "\n".join(f"{piece.meta}\n{piece.solve}" for piece in pieces), pieces
