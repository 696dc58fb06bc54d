"""Groups, completions and marks as lines of JSON, and back: what the journal's text files hold.

Their readers check every field: the files lie in a results folder, which people copy and edit. Everything wrong is a
`ValueError` that says what.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from backends.records.record import TrainRecord, record_from_json
from backends.rollouts.types import Rollout, RolloutGroup, RolloutMark
from harness.errors import DataError
from harness.plain import visible_json
from harness.redact import redact
from harness.types import Finish

_T = TypeVar("_T")
MAX_ROWS = 1 << 20
"""Most completions of one group that are read."""


def line(row: Mapping[str, Any]) -> str:
    """One line of JSON without secrets, in which what cannot be seen, and half a character, is an escape."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(row)
    return visible_json(redact(text)) + "\n"


def group_row(group: RolloutGroup, prompts: Sequence[int]) -> dict[str, Any]:
    """A group as it was drawn; `prompts` are the numbers of its completions' prompts among the arrays."""
    told = []
    for rollout, prompt in zip(group.rollouts, prompts, strict=True):
        names = ("visit", "sample", "seed", "version", "text", "finish", "opened_think")
        told.append({**{name: getattr(rollout, name) for name in names}, "prompt": prompt})
    record = {
        item.name: value
        for item in fields(TrainRecord)
        if (value := getattr(group.record, item.name)) != item.default
        and not (item.default_factory is not MISSING and not value)
    }
    plain = asdict(TrainRecord(**{"id": group.record.id, "prompt": (), **record}))
    return {"record": {name: plain[name] for name in record}, "rollouts": told}


def read_group(row: Any, prompts: Sequence[NDArray[Any]], arrays: Mapping[str, Sequence[NDArray[Any]]]) -> RolloutGroup:
    """A group of a line; `arrays` are those of its own completions, under "tokens" and "logps"."""
    record = read_record(row)
    drawn = []
    for index, told in enumerate(rollouts(row)):
        prompt = field(told, "prompt", int)
        if not 0 <= prompt < len(prompts):
            raise ValueError(f"no prompt {prompt}")
        tokens, logps = arrays["tokens"][index], arrays["logps"][index]
        if tokens.shape != logps.shape or tokens.dtype != np.int32 or logps.dtype != np.float32 or tokens.ndim != 1:
            raise ValueError("tokens and log-probabilities do not belong together")
        drawn.append(
            Rollout(
                record=record.id,
                visit=field(told, "visit", int),
                sample=field(told, "sample", int),
                seed=field(told, "seed", int),
                prompt_T=prompts[prompt],
                tokens_T=tokens,
                logps_T=logps,
                text=field(told, "text", str),
                finish=finish_of(told),
                version=field(told, "version", int),
                opened_think=field(told, "opened_think", bool),
            )
        )
    return RolloutGroup(record, tuple(drawn))


def read_record(row: Any) -> TrainRecord:
    """The record of a group's line."""
    try:
        return record_from_json(field(row, "record", dict), "it")
    except DataError as error:
        raise ValueError(str(error)) from None


def rollouts(row: Any) -> list[Any]:
    """The completions of a group's line."""
    found = field(row, "rollouts", list)
    if len(found) > MAX_ROWS:
        raise ValueError(f"a group of {len(found)} completions")
    return found


def finish_of(told: Any) -> Finish:
    """Why a completion ended."""
    finish = field(told, "finish", str)
    if finish not in get_args(Finish):
        raise ValueError(f"{finish!r} is no way to end")
    return finish  # type: ignore[return-value]  # one of them


def marks_row(group: RolloutGroup) -> dict[str, Any]:
    """A group's marks."""
    marks = [{**asdict(mark), "parts": dict(mark.parts)} for mark in group.marks]
    return {"record": group.record.id, "completions": len(group.rollouts), "marks": marks}


def read_marks(row: Any, record: str, completions: int) -> tuple[RolloutMark, ...]:
    """The marks of a line, which must be this group's."""
    marks = field(row, "marks", list)
    if field(row, "record", str) != record or field(row, "completions", int) != completions:
        raise ValueError("its marks are of other completions than those drawn")
    if marks and len(marks) != completions:
        raise ValueError(f"{len(marks)} marks of {completions} completions")
    return tuple(_mark(mark) for mark in marks)


def _mark(told: Any) -> RolloutMark:
    parts = field(told, "parts", dict)
    return RolloutMark(
        value=_number(told, "value"),
        parts={str(name): _number(parts, name) for name in parts},
        correct=None if field(told, "correct", object) is None else field(told, "correct", bool),
        feedback=field(told, "feedback", str),
        why=field(told, "why", str),
    )


def _number(told: Any, name: str) -> float | None:
    value = field(told, name, object)
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"{name!r} is no number")
    return float(value)


def tokens(header: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Two counts of tokens; none are 0."""
    found = header.get(name, [0, 0])
    if not isinstance(found, list) or len(found) != 2 or not all(type(count) is int and count >= 0 for count in found):
        raise ValueError(f"{name!r} is not two counts")
    return found[0], found[1]


def summed(pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Of several such."""
    return sum(one for one, _ in pairs), sum(other for _, other in pairs)


def field(row: Any, name: str, kind: type[_T]) -> _T:
    """A field that must be there and of this kind."""
    if not isinstance(row, dict) or name not in row:
        raise ValueError(f"{name!r} is missing")
    value = row[name]
    if kind is not object and type(value) is not kind:
        raise ValueError(f"{name!r} is no {kind.__name__}")
    return value  # type: ignore[no-any-return]  # of that kind
