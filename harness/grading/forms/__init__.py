"""Forms: from a gold answer to replies that must be graded right and replies that must be graded wrong.

What `harness check --deep` runs over. The forms are data, in tables of one line each:

* `sentences`: how a reply states a value (`STATEMENTS`), or mentions one without claiming it (`TRAPS`);
* `equal`: other spellings of a value, `wrong`: changes that make it another value, both checked by the arithmetic of
  `evaluate`, never by a grader;
* `letters`: replies to multiple choice; `words`: short texts and JSON replies; `logic`: puzzles.

`cases(problem, seed)` gives every case that a problem's gold allows, in a fixed order that depends on nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.types import Problem

Part = Literal["open", "held"]
PARTS: tuple[Part, ...] = ("open", "held")
Group = Literal["spelling", "sentence", "change", "trap"]
Takes = Literal["any", "formula", "plain"]


@dataclass(frozen=True)
class Case:
    """One reply and what its score must be."""

    problem: Problem
    group: Group
    form: str
    """Name of the form that is tested."""
    right: bool
    text: str


@dataclass(frozen=True)
class Wording:
    """One line of a table of replies: the text has fields in braces for the gold and for other texts of its kind."""

    name: str
    text: str
    takes: Takes = "any"
    """Of a value: what kind of text the field can hold."""
    graders: tuple[str, ...] = ("math", "number", "integer")
    kinds: str = ""
    """Only for golds of these kinds ("unsigned": a number without a sign; "count": a whole one); empty: all."""
    apart: str = ""
    """Numbers for which a trap is none: 1/1 is 1."""
    alone: bool = False
    """A whole reply: nothing stands before or behind."""


def part_of(form: str) -> Part:
    """Whether a form is open or held back: a third of them, by name, to test a grader that was mended with the rest."""
    return "held" if hashlib.sha256(f"form:{form}".encode()).digest()[0] % 3 == 0 else "open"


def cases(problem: Problem, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    """All cases of a problem from the forms of these parts; none for a grader that has no forms."""
    from harness.grading.forms import letters, logic, values, words

    makers = {
        "math": values.cases,
        "number": values.cases,
        "integer": values.cases,
        "choice": letters.cases,
        "exact": words.exact_cases,
        "json": words.json_cases,
        "knights": logic.knights_cases,
        "countdown": logic.countdown_cases,
    }
    maker = makers.get(problem.grader)
    return iter(()) if maker is None else maker(problem, seed, parts)
