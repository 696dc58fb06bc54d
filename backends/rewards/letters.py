"""Share of a completion's characters that are chosen ones: a dense reward that any model can learn, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from backends.rewards.base import Reward
from backends.rewards.scorers import Scorers
from backends.rollouts.types import Part, RolloutGroup


@dataclass(frozen=True)
class Letters(Reward):
    """Share of the characters that are chosen ones: to see a loop learn, no judge of anything."""

    chosen: str = "aeiou"
    """The characters that count."""
    right: float = 1.0
    """The share from which a completion counts as right, for methods that ask."""

    name: ClassVar[str] = "letters"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """An empty completion has none."""
        texts = [rollout.text for rollout in group.rollouts]
        shares = [sum(letter in self.chosen for letter in text) / max(1, len(text)) for text in texts]
        return [Part(share, correct=share >= self.right) for share in shares]
