"""Whether a judge finds that a completion appeals to what only its teacher was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from backends.rewards.judge import Judge
from backends.rewards.total import parse_weights
from backends.rollouts.types import Part, RolloutGroup

if TYPE_CHECKING:
    from backends.rewards.scorers import Scorers


@dataclass(frozen=True)
class Leak(Judge):
    """-1 where a judge finds that a completion appeals to a solution that its prompt does not hold, else 0.

    The judge is shown what the student was shown, and all that it wrote, its thought too. With a self-teacher naming
    the model is enough: the weight is then 0, so that it is watched ("reward/leak", the alarm leak) and trains nothing.
    """

    rubric: str = "leak"
    """Name or TOML file; its value is how sure the judge is."""

    name: ClassVar[str] = "leak"
    version: ClassVar[int] = 1
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model must say whom to ask: reward.leak.model=openai:NAME")

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """The judge's verdicts; a text that was never written appeals to nothing."""
        return [
            Part(None if part.value is None else min(0.0, -part.value), part.why)
            for part in super().score(group, scorers)
        ]


def watched(weights: str, options: Mapping[str, str], told_more: bool) -> str:
    """The weights with that of `leak`, 0, where a judge of it is named and its teacher is `told_more`."""
    named = any(key.startswith("leak.") for key in options)
    if not named or not told_more or "leak" in parse_weights(weights):
        return weights
    return f"{weights}+leak=0" if weights.strip() else "leak=0"
