"""A judge's thought and its reply told apart, without taking what its JSON quotes for the end of the thought.

A candidate may hold `</think>`, and a judge that says so in its reason writes it inside a JSON string. Split there, the
reply would lose its verdict, or keep what stands behind the quotation. So well-formed objects are put aside, the rest
is split as every reply is (`harness.reasoning`), and the objects are put back where they stood. A reply that is one
object and nothing else is all answer, even where the prompt opened a thought: a judge held to JSON cannot think first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from harness.reasoning import with_answer
from harness.types import Completion
from judges.replies.jsonfind import FoundObject, valid_objects

_FENCE = re.compile(r"```\w{0,16}")
_PRIVATE = 0xE000
"""First code point of Unicode's private use area."""


def with_reply(completion: Completion) -> Completion:
    """The completion with `reasoning` and `answer_text`, as `with_answer` finds them outside of its JSON objects."""
    text = completion.text
    if completion.finish == "error" or not (objects := valid_objects(text)):
        return with_answer(completion)
    everything = text + (completion.reasoning or "")  # the mark must stand in neither
    mark = next(mark for mark in map(chr, count(_PRIVATE)) if mark not in everything)
    numbers: dict[str, int] = {}
    hidden = _hidden(text, objects, numbers, mark)
    if completion.finish == "stop" and _FENCE.sub("", hidden).strip() == f"{mark}0{mark}":
        return replace(completion, answer_text=text.strip())
    reasoning = completion.reasoning
    if reasoning is not None:  # if it was split off before, it is known by what stands in it
        reasoning = _hidden(reasoning, valid_objects(reasoning), numbers, mark)
    sources = list(numbers)

    def shown(part: str | None) -> str | None:
        return part and re.sub(f"{mark}([0-9]+){mark}", lambda found: sources[int(found[1])], part)

    split = with_answer(replace(completion, text=hidden, reasoning=reasoning))
    return replace(split, text=text, reasoning=shown(split.reasoning), answer_text=shown(split.answer_text))


def _hidden(text: str, objects: Sequence[FoundObject], numbers: dict[str, int], mark: str) -> str:
    """The text with a number between marks for each object, the same for the same object."""
    pieces, position = [], 0
    for one in objects:
        number = numbers.setdefault(text[one.start : one.end], len(numbers))
        pieces += [text[position : one.start], f"{mark}{number}{mark}"]
        position = one.end
    return "".join([*pieces, text[position:]])
