"""Groups of completions for tests: made by hand, or at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backends.records.record import TrainRecord
from backends.rollouts.types import Rollout, RolloutGroup, RolloutMark, TeacherRow
from harness.types import Message


def rollout(record: str = "a", sample: int = 0, text: str = "ab", *, prompt: int = 3, **told) -> Rollout:
    """One completion with a token for each character."""
    tokens = np.array([ord(char) % 251 for char in text], np.int32)
    fields = {"visit": 0, "seed": sample, "finish": "stop", "version": 0, **told}
    return Rollout(
        record=record,
        sample=sample,
        text=text,
        prompt_T=np.arange(prompt, dtype=np.int32),
        tokens_T=tokens,
        logps_T=np.linspace(-1, 0, len(tokens), dtype=np.float32),
        **fields,
    )


def group(record: str = "a", texts: tuple[str, ...] = ("ab", "c"), gold: str | None = "c", **told) -> RolloutGroup:
    """A group that is not marked yet."""
    record_ = TrainRecord(record, (Message("user", f"question {record}"),), gold=gold)
    return RolloutGroup(record_, tuple(rollout(record, at, text, **told) for at, text in enumerate(texts)))


def marked(given: RolloutGroup, values: tuple[float | None, ...] | None = None, teacher: bool = False) -> RolloutGroup:
    """The group with a mark for each completion, None included, and a teacher's row for every second one."""
    values = values or tuple(None if at % 3 == 2 else float(at) for at in range(len(given.rollouts)))
    marks = tuple(
        RolloutMark(value, {"accuracy": value, "format": 0.5}, None if value is None else value > 0, "no", "gone")
        for value in values
    )
    rows = tuple(
        TeacherRow(
            one.logps_T - 1, np.zeros((len(one.logps_T), 2), np.int32), np.zeros((len(one.logps_T), 2), np.float32)
        )
        if at % 2 == 0
        else None
        for at, one in enumerate(given.rollouts)
    )
    return replace(given, marks=marks, teacher=rows if teacher else ())


def same(one: RolloutGroup, other: RolloutGroup) -> bool:
    """Whether two groups are the same to the byte."""
    return one.record == other.record and one.marks == other.marks and _told(one) == _told(other)


def _told(given: RolloutGroup) -> list[object]:
    arrays = [
        (given.prompt_T, given.tokens_T, given.logps_T) if isinstance(given, Rollout) else ()
        for given in given.rollouts
    ]
    plain = [(r.record, r.visit, r.sample, r.seed, r.text, r.finish, r.version, r.opened_think) for r in given.rollouts]
    rows = [None if row is None else (row.logps_T, row.ids_TK, row.topk_TK) for row in given.teacher]
    flat = [array for part in (*arrays, *filter(None, rows)) for array in part]
    told = [None if array is None else (array.dtype.str, array.shape, array.tobytes()) for array in flat]
    return [plain, told, [row is None for row in rows]]
