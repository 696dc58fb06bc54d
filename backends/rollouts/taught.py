"""What a teacher says of the drawn tokens, before credit looks at them: to weigh by it, or to keep it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from backends.base import TokenTeacher, Training
from backends.rollouts.cutting import example_of, passes
from backends.rollouts.types import Credited, RolloutGroup, TeacherRow

LoadTeacher = Callable[[Training], TokenTeacher]


class Taught:
    """Asks one teacher, loaded at the first generation."""

    def __init__(self, load: LoadTeacher, temperature: float, at_once: int) -> None:
        """`at_once`: completions of one pass."""
        self._load, self._temperature, self._at_once = load, temperature, at_once
        self._teacher: TokenTeacher | None = None

    def tell(self, groups: Sequence[RolloutGroup], policy: Training) -> list[RolloutGroup]:
        """The groups with a row for each completion; NaN where the teacher's word does not count (`end="mask"`)."""
        if self._teacher is None:
            self._teacher = self._load(policy)
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        examples = [example_of(rollout, Credited(), "trained", index) for index, rollout in enumerate(rollouts)]
        rows: dict[int, TeacherRow] = {}
        for part in passes(examples, self._at_once):
            batch = policy.batch(part)
            compared_RT = self._teacher.compared(batch)
            said_RT = self._teacher.logps(batch, self._temperature).float()
            said_RT = said_RT.masked_fill(batch.mask_RT & ~compared_RT, float("nan")).cpu()
            for said_T, learnt_T, example in zip(said_RT, batch.mask_RT.cpu(), part, strict=True):
                rows[example.index] = TeacherRow(said_T[learnt_T].numpy().astype(np.float32))
        found, number = [], 0
        for group in groups:
            size = len(group.rollouts)
            found.append(replace(group, teacher=tuple(rows[index] for index in range(number, number + size))))
            number += size
        return found
