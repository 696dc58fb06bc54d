"""What recipes share: their result, the form of a response, and questions put to a teacher record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backends.makers.asking import Ask, Draw, Query
from backends.makers.templates import Template, asked
from backends.records.inputs import problem_of
from backends.records.record import TrainRecord, render_response
from backends.records.rejection import parts_of
from backends.records.spans import split_response
from harness.reasoning import with_answer
from harness.types import Completion


@dataclass(frozen=True, slots=True)
class Made:
    """What a recipe made."""

    records: tuple[TrainRecord, ...]
    counts: Mapping[str, int]
    """What became of what it looked at, by name, in the order in which things happen."""
    others: Mapping[str, tuple[TrainRecord, ...]] = field(default_factory=dict)
    """Further sets by name ("stage1", "unsolved"), each for a file of its own; they may be empty."""


class Recipe(Protocol):
    """One way to make data; built with its input and settings."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    @property
    def templates(self) -> Sequence[Template]:
        """Those that it asks with."""

    def first(self) -> Sequence[Query]:
        """What it asks before anything is known; later questions depend on the replies."""

    def run(self, ask: Ask) -> Made:
        """Ask, check and build."""


def query(recipe: str, record: TrainRecord, template: Template, draw: Draw, attempt: int = 0, **values: str) -> Query:
    """The record's question, put to a model by a template."""
    return Query(recipe, template.id, problem_of(record, asked(record.prompt, template, **values)), attempt, draw)


def reply_of(completion: Completion) -> str | None:
    """What was written for us: the text after the model's own think block; None where it failed or was cut."""
    if completion.finish != "stop":
        return None
    text = with_answer(completion).answer_text
    return text.strip() if text is not None and text.strip() else None


def lost(completion: Completion) -> str:
    """Why `reply_of` found nothing."""
    if completion.finish == "error":
        return "teacher_error"
    return "cut" if completion.finish == "length" or completion.text.strip() else "empty"


def plain(response: str) -> str:
    """A response as a teacher is shown it: chain and answer without think tags."""
    split = split_response(response)
    if split is None or split.rule != "think":
        return response.strip()
    chain, answer = parts_of(response)
    return f"{chain}\n{answer}" if chain else answer


def in_form_of(original: str, text: str) -> str:
    """A teacher's text in the form of a response that it stands for: with a think block where that one has one.

    A text without a chain that could be told from its answer stays as it is.
    """
    old, new = split_response(original), split_response(text)
    if old is None or old.rule != "think" or new is None or new.rule == "think":
        return text
    chain, answer = parts_of(text)
    return render_response(chain, answer) if chain else text


def has_chain(text: str) -> bool:
    """Whether a response has a chain of thought that can be told from its answer."""
    return split_response(text) is not None and parts_of(text)[0] is not None


def tally(counts: Counter[str], order: Sequence[str]) -> dict[str, int]:
    """The counts by name, those of `order` first, zeros included: a reason that never applied is said too."""
    return {name: counts[name] for name in order} | {n: counts[n] for n in sorted(counts) if n not in order}
