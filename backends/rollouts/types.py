"""One completion on its way: drawn, marked, compared with its group, credited.

Everything here is data: an engine draws it, rewards mark it, a method's credit reads it, the journal stores it. Nothing
has gradients. Shapes: T tokens of one completion, K tokens of a teacher's top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backends.records.record import TrainRecord
from harness.types import Completion, Finish, Message


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One completion, as token ids: what is trained is what was drawn, never text that was encoded again."""

    record: str
    """Id of the record whose prompt it answers."""
    visit: int
    """How often training had come to that record before; below 0 where it took a flat group's place (`order`)."""
    sample: int
    """Its number in its group."""
    seed: int
    prompt_T: NDArray[np.int32]
    tokens_T: NDArray[np.int32]
    """With the token that ended it, if one was drawn."""
    logps_T: NDArray[np.float32]
    """Of each token under the sampler, in nats: over the whole vocabulary, at the sampling temperature. NaN where no
    sampler was asked: the record's response stands there."""
    text: str
    """What the graders read: without the token that ended it."""
    finish: Finish
    version: int
    """Optimiser steps that the weights had seen which drew it."""
    opened_think: bool = False
    """Whether the prompt ended inside a think block, so that `text` begins in it."""

    @property
    def given(self) -> bool:
        """Whether it is the record's response, which no sampler drew."""
        return bool(np.isnan(self.logps_T).any())

    def completion(self) -> Completion:
        """As evaluation reads it, so that the same text gets the same verdict there and in training."""
        return Completion(self.text, self.finish, opened_think=self.opened_think, tokens_out=len(self.tokens_T))


LEFT_OUT = "left out: "
"""How `Part.why` begins where a reward means to give no value, as a vote without a majority does."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one reward says of one completion. The scorer's own failure is None, never 0."""

    value: float | None
    why: str = ""
    """Why there is no value."""
    correct: bool | None = None
    """Whether the answer is right, from a reward that checks it."""
    feedback: str = ""
    """What the environment says to the writer."""
    more: Mapping[str, float] = field(default_factory=dict)
    """What else the reward saw and did not count, to be written down as the part "<reward>.<name>"."""


@dataclass(frozen=True, slots=True)
class RolloutMark:
    """What a completion is worth in all. None is dropped and counted: it is no low reward."""

    value: float | None
    parts: Mapping[str, float | None] = field(default_factory=dict)
    """Reward -> its value, before weights; "<reward>.<name>": what it saw beside (`Part.more`)."""
    correct: bool | None = None
    feedback: str = ""
    why: str = ""
    """Why there is no value: the first part without one, and its reason."""

    @property
    def by_design(self) -> bool:
        """Whether there is no value because there shall be none: no failure of a scorer, so no alarm."""
        return LEFT_OUT in self.why


@dataclass(frozen=True, slots=True, eq=False)
class TeacherRow:
    """What a teacher says of one completion's tokens, where that is known before the student's own pass."""

    logps_T: NDArray[np.float32]
    """Of the drawn tokens, at the sampling temperature."""
    ids_TK: NDArray[np.int32] | None = None
    topk_TK: NDArray[np.float32] | None = None
    """Its likeliest tokens and their log-probabilities."""


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The completions of one prompt, and what is known of each: all that credit may look at."""

    record: TrainRecord
    rollouts: tuple[Rollout, ...]
    marks: tuple[RolloutMark, ...] = ()
    """One for each completion once they are marked; none where a method has no reward."""
    teacher: tuple[TeacherRow | None, ...] = ()
    begun: int = 0
    """Tokens at the end of their prompt that completions began with (`Rolling.begun`), once they are credited."""
    masks_cut: bool = False
    """Of such a group: what was cut off counts in it and is not trained on."""

    @property
    def values(self) -> list[float]:
        """Of the completions that have one."""
        return [mark.value for mark in self.marks if mark.value is not None]


@dataclass(frozen=True, slots=True, eq=False)
class Credited:
    """What training makes of one completion."""

    keep: bool = True
    """Whether it is trained on at all."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """"advantage", "correct", "dead", …: one number a row, `Batch.numbers`."""
    advantage_T: NDArray[np.float32] | None = None
    """Where it differs by token."""
    learnt: int = 0
    """Tokens at the end of its prompt that are learnt too; their "sampler_logps" are NaN."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a self-teacher reads in front of a completion."""

    prompt: tuple[Message, ...]
    begun_T: NDArray[np.int32] | None = None
    """What its turn has begun with, where the completion does not begin it."""
    begun: str = ""
    """How that goes on."""


class Context(Protocol):
    """Tells a self-teacher more than the student knows."""

    @property
    def id(self) -> str:
        """What it says and how, for the model's id."""

    def __call__(self, group: RolloutGroup, number: int) -> Told | None:
        """What stands before one completion of a group; None where there is nothing to tell."""
