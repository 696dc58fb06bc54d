"""Reasoning cut at the ends of its steps, and what a process reward model is trained on and asked about each end.

    for end in ends_of(text):            # every step, then the whole with its answer
        prompt = end_prompt(question, end)      # to be answered with "yes" or "no"

An end is asked about on its own, behind the text up to it: training, any engine that scores a given text, and the
file of replies see the same prompt, and no label of an earlier step stands in it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from backends.records.record import MAX_ITEMS, TrainRecord, response_text
from backends.structure.paths import written_path
from backends.templates import Template, load_template
from harness.errors import DataError
from harness.reasoning import reply_tags
from harness.types import Json, Message, Request
from judges.prompts.fencing import fence

GOOD, BAD = "yes", "no"
"""The two labels; their first tokens are what is learnt and read."""
STEPS, OUTCOME, ERROR = "step_labels", "outcome", "error_span"
"""What labels are called in a record's `meta`."""
_BREAKS = (re.compile(r"\n[ \t]*\n\s*"), re.compile(r"\n\s*"), re.compile(r"(?<=[.!?\u3002])\s+"))


@dataclass(frozen=True, slots=True)
class End:
    """Where a step ends, or all of a response."""

    text: str
    """What has been written by then."""
    kind: Literal["step", "end"] = "step"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One end and how likely it is good, from 0 to 1."""

    end: End
    good: float


def ends_of(text: str, opened_think: bool = False) -> list[End]:
    """The ends of the steps of a response's path, in order, then that of all of it; none for an empty path.

    Steps are paragraphs; lines where there is one paragraph, sentences where there is one line.
    """
    path, _ = written_path(text, opened_think)
    if not path:
        return []
    closing = [tag.end for tag in reply_tags(text, opened_think) if not tag.opens]
    whole = f"{path}\n\n{text[closing[-1] :].strip()}" if closing else path
    return [*(End(path[:end]) for end in _step_ends(path)), End(whole, "end")]


def _step_ends(path: str) -> list[int]:
    for pattern in _BREAKS:
        if found := [match.start() for match in pattern.finditer(path) if match.end() < len(path)]:
            return [*found, len(path)]
    return [len(path)]


def end_prompt(question: str, end: End) -> tuple[Message, ...]:
    """The turns that ask about an end."""
    template = ask_template()
    values = {"question": fence(question), "path": fence(end.text), "variant": template.variants[end.kind]}
    return (Message("user", template.fill(values)),)


@cache
def ask_template() -> Template:
    """The prompt of a process reward model: trained with it, and asked by it."""
    known = ("question", "path", "variant")
    return load_template("prm_ask", known, Path(__file__).with_name("prompts") / "prm_ask.toml")


def end_request(question: str, end: End) -> Request:
    """What is asked about an end where its labels' likelihoods are wanted; the id is of the prompt alone."""
    messages = end_prompt(question, end)
    digest = hashlib.sha256(messages[0].content.encode("utf-8", "replace")).hexdigest()
    return Request(digest, messages, 0.0, 1.0, 1, (), 0)


def log_odds(logps: Mapping[str, float]) -> float:
    """By how many nats the good label is ahead of the bad one: what `rm` calls a reward."""
    return logps[GOOD] - logps[BAD]


def p_good(logps: Mapping[str, float]) -> float:
    """How likely the good label is beside the bad one, of the log-probabilities of both."""
    return 1 / (1 + math.exp(min(700.0, -log_odds(logps))))


# --- labels of records ------------------------------------------------------------------------------------------------


def labelled_ends(record: TrainRecord) -> list[Labelled]:
    """The labelled ends of a record. Raises `DataError` for one without labels, or with labels that do not fit it.

    `meta.step_labels` (one number from 0 to 1 for each step of its `response`) and `meta.outcome` (of all of it) come
    first. A record with a wrong twin whose mistake is known (`meta.error_span`: its characters in `rejected`) is two
    trajectories: a good one, and one that is good up to the mistake.
    """
    meta = record.meta
    if meta.get(STEPS) is not None:
        response = response_text(record)
        if response is None:
            raise DataError(f"it has 'meta.{STEPS}' and no 'response' that they are of")
        return _told(ends_of(response), meta)
    if meta.get(ERROR) is not None and record.rejected is not None:
        response = response_text(record)
        good = [Labelled(end, 1.0) for end in ends_of(response)] if response is not None else []
        return good + _wrong_from(record.rejected, meta[ERROR])
    raise DataError(
        f"its steps have no labels: 'meta.{STEPS}' (a number from 0 to 1 for each step of its response) with "
        f"'meta.{OUTCOME}', or a 'rejected' with 'meta.{ERROR}' (the characters of its first mistake)"
    )


def _told(ends: list[End], meta: Mapping[str, Json]) -> list[Labelled]:
    labels, outcome = meta[STEPS], meta.get(OUTCOME)
    steps = ends[:-1]
    if not isinstance(labels, list) or len(labels) != len(steps) or len(labels) > MAX_ITEMS:
        count = len(labels) if isinstance(labels, list) else "no list of"
        raise DataError(f"'meta.{STEPS}' has {count} labels and its response {len(steps)} steps: one label for each")
    numbers = [_share(label, STEPS) for label in labels]
    told = [Labelled(end, number) for end, number in zip(steps, numbers, strict=True)]
    return told if outcome is None else [*told, Labelled(ends[-1], _share(outcome, OUTCOME))]


def _share(value: Json, name: str) -> float:
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        raise DataError(f"'meta.{name}' must be from 0 (bad) to 1 (good), not {str(value)[:40]!r}")
    return float(value)


def _wrong_from(text: str, span: Json) -> list[Labelled]:
    start = span[0] if isinstance(span, list) and span else None
    if not isinstance(start, int) or not 0 <= start < max(1, len(text)):
        raise DataError(f"'meta.{ERROR}' must be [start, end) in 'rejected', not {str(span)[:40]!r}")
    path, _ = written_path(text)
    begins = text.find(path)
    return [Labelled(end, float(end.kind == "step" and begins + len(end.text) <= start)) for end in ends_of(text)]
