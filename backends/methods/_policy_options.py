"""Options that methods with a policy gradient share, and what a completion's marks make of it.

`variant` names a paper's choices; each can be set alone beside it. `group_credit` is the comparison within a group.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from backends.base import Credit, Step
from backends.losses.credit import Scale, advantages, normalised_sum
from backends.losses.policy import Clip, Correction, Level, Norm
from backends.options import must_be, refuse_unused
from backends.rollouts.types import Credited, RolloutGroup
from harness.errors import DataError

Variant = Literal["grpo", "dapo", "dr_grpo", "gspo", "cispo"]


@dataclass(frozen=True)
class Surrogates:
    """A policy surrogate, every choice made (`backends.losses.policy`)."""

    level: Level = "token"
    clip: Clip = "ppo"
    low: float = 0.2
    high: float = 0.2
    most: float = 3.0
    norm: Norm = "sequence"
    scale: Scale = "sample"
    correction: Correction = "none"
    cap: float = 2.0


VARIANTS: dict[Variant, Surrogates] = {
    "grpo": Surrogates(),
    "dapo": Surrogates(high=0.28, norm="token"),
    "dr_grpo": Surrogates(norm="constant", scale="off"),
    "gspo": Surrogates(level="sequence", low=3e-4, high=4e-4),
    "cispo": Surrogates(clip="cispo", high=4.0, norm="token"),
}


@dataclass(frozen=True)
class PolicyOptions:
    """Options of methods with a policy gradient."""

    weights: str = "accuracy=1"
    """Rewards and how much each counts: accuracy=1+format=0.5."""
    total: Literal["sum_then_normalise", "normalise_then_sum"] = "sum_then_normalise"
    """Whether a completion's advantage is that of the weighed sum of its rewards, or the sum of each reward's own
    (GDPO), so that one with a wide range does not drown the others."""
    variant: Variant = "grpo"
    """Whose choices the options have that are not given."""
    scale: Scale | None = None
    """What a reward's distance from its group's mean is divided by."""
    level: Level | None = None
    """Whether each token has its own ratio, or all of a completion their geometric mean (GSPO)."""
    clip: Clip | None = None
    """How a large ratio is held back."""
    low: float | None = None
    """The ratio is clipped below 1 less this."""
    high: float | None = None
    """The ratio is clipped above 1 and this."""
    most: float = 3.0
    """Of clip=dual: the largest ratio of a token whose advantage is negative."""
    norm: Norm | None = None
    """What the sum over tokens is divided by: each completion's length, all tokens (DAPO), a constant (Dr. GRPO)."""
    correction: Correction = "none"
    """Weights of tokens whose sampler was not quite the policy (another engine, another precision)."""
    cap: float = 2.0
    """The largest such weight."""
    kl: Literal["k2", "k3", "exact"] = "k2"
    """How the distance to the student as it began is measured."""
    kl_coef: float = 0.0
    """Weight of that distance."""
    entropy_coef: float = 0.0
    """Weight of a bonus for entropy."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "low")
        must_be(self, "0 or more", "high", "kl_coef", "entropy_coef")
        must_be(self, "at least 1", "most")
        if not self.cap > 1:
            raise ValueError(f"cap must be above 1, not {self.cap}")
        refuse_unused(self, self.total == "sum_then_normalise", "total=sum_then_normalise", "scale")
        refuse_unused(self, self.clip == "dual", "clip=dual", "most")
        refuse_unused(self, self.correction != "none", "correction=…", "cap")
        refuse_unused(self, self.kl_coef > 0, "kl_coef=…", "kl")

    def surrogates(self) -> Surrogates:
        """The variant's choices with those that are given."""
        names = ("scale", "level", "clip", "low", "high", "norm")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(VARIANTS[self.variant], **given, most=self.most, correction=self.correction, cap=self.cap)


def group_credit(scale: Scale, *, verified: bool = False, parts: Mapping[str, float] | None = None) -> Credit:
    """Each completion's advantage over its group, whether it is right, and whether none of its group is ("dead").

    `parts`: rewards and their weights, where each is normalised before they are summed. `verified`: the method needs to
    know what is right, and a `DataError` says so where no reward tells.
    """

    def credit(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
        if parts is None:
            rewards = [_row(mark.value for mark in group.marks) for group in groups]
            worth = advantages(rewards, scale, [group.record.task for group in groups])
        else:
            weights = torch.tensor([*parts.values()], dtype=torch.float64)
            worth = normalised_sum([_parts(group, parts) for group in groups], weights)
        return [
            [
                Credited(not math.isnan(value), {"advantage": value, "correct": right, "dead": dead})
                for value, right in zip(found.tolist(), rights, strict=True)
            ]
            for (rights, dead), found in zip((_rights(group, verified) for group in groups), worth, strict=True)
        ]

    return credit


def keep_all(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """Every completion is trained on, whatever it is worth: a teacher says what each of its tokens is worth."""
    return [[Credited() for _ in group.rollouts] for group in groups]


def _row(values: Iterable[float | None]) -> Tensor:
    """NaN where there is none."""
    return torch.tensor([math.nan if value is None else value for value in values], dtype=torch.float64)


def _parts(group: RolloutGroup, parts: Mapping[str, float]) -> Tensor:
    """The rewards of a group, (P, G)."""
    return torch.stack([_row(mark.parts.get(name) for mark in group.marks) for name in parts])


def _rights(group: RolloutGroup, verified: bool) -> tuple[list[float], float]:
    """(1 where a completion is right, 1 if none of those with a value is)."""
    scored = [mark for mark in group.marks if mark.value is not None]
    if verified and any(mark.correct is None for mark in scored):
        raise DataError(
            f"record {group.record.id!r}: no reward says whether a completion is right, and this method asks: add one "
            "that does (accuracy) to weights"
        )
    dead = float(not any(mark.correct for mark in scored))
    return [float(bool(mark.correct)) for mark in group.marks], dead
