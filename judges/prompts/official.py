"""A benchmark's own prompt, cut at its fields as it is read: nothing in an answer is taken for a field or a turn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.types import Message, Role

Parts = tuple[tuple[str, str | None], ...]
"""Text, and the field that follows it; no field at the end."""


@dataclass(frozen=True, slots=True)
class OfficialPrompt:
    """Its messages, with fields for the question and the answers. The text is the benchmark's, and never kept here."""

    id: str
    """Its name, and a hash of the text: stored with every verdict."""
    turns: tuple[tuple[Role, Parts], ...]

    def messages(self, values: Mapping[str, str]) -> tuple[Message, ...]:
        """What the judge is shown; `values` may hold more than the fields."""
        return tuple(
            Message(role, "".join(text + (values[field] if field is not None else "") for text, field in parts))
            for role, parts in self.turns
        )


def cut(text: str, field: re.Pattern[str]) -> Parts:
    """A template at its fields, whose names are the pattern's only group."""
    pieces = field.split(text)
    return tuple(zip(pieces[::2], [*pieces[1::2], None], strict=True))
