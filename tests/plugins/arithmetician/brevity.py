"""A reward: whether a completion is as short as it may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from backends.rewards.base import Reward
from backends.rewards.scorers import Scorers
from backends.rollouts.types import Part, RolloutGroup


@dataclass(frozen=True)
class Brevity(Reward):
    """1 for a completion of at most so many words."""

    words: int = 20

    name: ClassVar[str] = "brevity"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """By white space."""
        return [Part(float(len(rollout.text.split()) <= self.words)) for rollout in group.rollouts]
