"""Templates of judge prompts: fields in braces, filled in one pass so that what is filled in is never read again.

`{name}` is a field, `{{` and `}}` are braces; anything else with a brace is an error. A candidate whose answer holds
"{reference}" stays exactly that: the template is split first and joined with the values afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MATERIAL = ("question", "answer", "answer_a", "answer_b", "reference")
"""Fields that hold text of others; it is fenced, and never part of the system message."""
OURS = ("dimensions", "reply_format")
"""Fields that are made from the rubric."""

_PART = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}|[{}]")


class BadTemplate(ValueError):
    """A brace that is no field; `excerpt` is the line of the template that has it."""

    def __init__(self, message: str, excerpt: str) -> None:
        super().__init__(message)
        self.excerpt = excerpt


def fields(template: str) -> tuple[str, ...]:
    """Names of the fields, in order, repetitions included. Raises `BadTemplate` for a stray brace."""
    found = []
    for part in _PART.finditer(template):
        if part.group() in ("{", "}"):
            raise BadTemplate(
                f"stray {part.group()!r}: a field is {{name}} in small letters, a brace is written twice",
                line_at(template, part.start()),
            )
        if part.group(1) is not None:
            found.append(part.group(1))
    return tuple(found)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace every field by its value, in one pass. Raises `KeyError` for a field without a value."""
    return _PART.sub(lambda part: part.group()[0] if part.group(1) is None else values[part.group(1)], template)


def line_at(text: str, position: int) -> str:
    """The line around a position, without its end."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return text[start : end if end >= 0 else len(text)]
