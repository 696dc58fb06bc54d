"""The rows that a self-teacher reads: the same completions behind prompts that tell more.

A completion of which there is nothing to tell, or too much, gives no signal: it is left out and counted, never compared
with a teacher that knows no more than the student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backends.records.record import TrainRecord
from backends.records.segments import Encoder
from backends.rollouts.cutting import Fate
from backends.rollouts.types import Context, RolloutGroup, Told
from harness.errors import DataError

Row = NDArray[np.int32] | None
"""What stands before a completion in the row aside."""


def asides_of(
    groups: Sequence[RolloutGroup], fates: Sequence[Sequence[Fate]], context: Context | None, encoder: Encoder
) -> tuple[list[list[Fate]], list[list[Row]]]:
    """What becomes of each completion now, and its row aside if it still has a part in training.

    Raises `DataError` for a prompt that the chat template refuses.
    """
    if context is None:
        return [list(row) for row in fates], [[None] * len(row) for row in fates]
    found = [
        [_aside(group, number, fate, context, encoder) for number, fate in enumerate(row)]
        for group, row in zip(groups, fates, strict=True)
    ]
    return [[fate for fate, _ in row] for row in found], [[told_T for _, told_T in row] for row in found]


def _aside(group: RolloutGroup, number: int, fate: Fate, context: Context, encoder: Encoder) -> tuple[Fate, Row]:
    if fate not in ("trained", "masked"):
        return fate, None
    told = context(group, number)
    if told is None:
        return "untold", None
    told_T = before(encoder, group.record, told)
    if len(told_T) + len(group.rollouts[number].tokens_T) > encoder.max_length:
        return "no room", None
    return fate, told_T


def before(encoder: Encoder, record: TrainRecord, told: Told) -> NDArray[np.int32]:
    """What is told, as ids."""
    try:
        prompt = encoder.prompt(replace(record, prompt=told.prompt))
    except DataError as error:
        raise DataError(f"record {record.id!r}, told more: {error}") from None
    begun: list[int] = encoder.tokenizer(told.begun, add_special_tokens=False)["input_ids"] if told.begun else []
    begun_T = () if told.begun_T is None else told.begun_T.tolist()
    return np.array([*prompt.tokens, *begun_T, *begun], np.int32)
