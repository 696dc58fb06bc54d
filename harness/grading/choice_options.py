"""The option that a text names by its own words or its value instead of its letter."""

from __future__ import annotations

import re

from harness.grading.exact import normalised
from harness.grading.math import GRADER as MATH

_SHORT = 200
"""Longest text that is compared with an option by value, in characters."""
_LONG = 24
"""Shortest option, in characters, that is recognised as the beginning of a longer text."""


def by_text(value: str, letters: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the one option whose text this is."""
    wanted = normalised(value[:4096])
    hits = [letters[place] for place, option in enumerate(choices) if normalised(option) == wanted]
    return hits[0] if wanted and len(hits) == 1 else None


def labelled(text: str, letters: str, choices: tuple[str, ...]) -> str | None:
    """The letter of a label at the start of a text that is followed by its own option's text."""
    label = re.match(rf"[\s*_>]{{0,4}}\(?([{letters}])[).:]{{0,2}}\s{{1,3}}", text)
    if label is None or letters.index(label[1]) >= len(choices):
        return None
    option = normalised(choices[letters.index(label[1])])
    rest = normalised(text[label.end() : label.end() + 2 * len(option) + 40])
    return label[1] if len(option) > 1 and rest.startswith(option) else None


def begins(text: str, letters: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the one long option that a text begins with: an option of several sentences."""
    said = [
        place
        for place, option in enumerate(choices)
        if len(option.strip()) >= _LONG and text[: len(option.strip())].casefold() == option.strip().casefold()
    ]
    return letters[said[0]] if len(said) == 1 else None


def by_value(value: str, letters: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the one option that is the same number or formula, as far as that is settled without a library."""
    if not choices or len(value) > _SHORT or not re.search(r"\d", value):
        return None
    hits = []
    for place, option in enumerate(choices):
        verdict = MATH.quick(option, value) if 0 < len(option) <= _SHORT else None
        if verdict is not None and verdict.value == 1.0:
            hits.append(letters[place])
    return hits[0] if len(hits) == 1 else None
