"""Penalties on tokens alone: near the limit, and for repeating itself. Neither reads the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from backends.options import must_be
from backends.rewards.base import Reward
from backends.rollouts.types import Part, Rollout, RolloutGroup

if TYPE_CHECKING:
    from backends.rewards.scorers import Scorers


@dataclass(frozen=True)
class Length(Reward):
    """0 well below the token limit, falling in a line to -1 at the limit (DAPO's soft overlong punishment)."""

    limit: int
    """Tokens of a completion at which it is -1: the training's `rollout.max_new`."""
    ramp: int | None = None
    """Tokens before the limit over which it falls; None: a fifth of the limit, as in DAPO."""

    name: ClassVar[str] = "length"
    version: ClassVar[int] = 1
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        must_be(self, "at least 1", "limit", "ramp")
        if self.ramp is not None and self.ramp > self.limit:
            raise ValueError(f"ramp must be at most the limit {self.limit}, not {self.ramp}")

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """By the number of tokens, the one that ended it included."""
        ramp = self.ramp or max(1, self.limit // 5)
        over = [len(rollout.tokens_T) - (self.limit - ramp) for rollout in group.rollouts]
        return [Part(-min(1.0, max(0, tokens) / ramp)) for tokens in over]


@dataclass(frozen=True)
class Repetition(Reward):
    """0 where no run of tokens comes again, towards -1 where the completion is one run of tokens again and again."""

    run: int = 4
    """Tokens in a run."""

    name: ClassVar[str] = "repetition"
    version: ClassVar[int] = 1
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        must_be(self, "at least 1", "run")

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """Distinct runs over all runs, less 1; 0 where there is none."""
        return [Part(self._share(rollout) - 1.0) for rollout in group.rollouts]

    def _share(self, rollout: Rollout) -> float:
        tokens = rollout.tokens_T.tolist()
        runs = list(zip(*(tokens[start:] for start in range(self.run)), strict=False))
        return len(set(runs)) / len(runs) if runs else 1.0
