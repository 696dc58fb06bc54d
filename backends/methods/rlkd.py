"""RLKD: reinforcement by right answers and by how far the reasoning goes the teacher's way (arXiv 2505.16142).

    r = 3 accuracy + 3 structure + 2 format + 2 tags,   A_i = (r_i - mean r) / (std r + 1e-4),   L = GRPO + 0.04 k3

`structure` cuts both paths into steps by a structure reward model (method `gsrm`) and counts those that match, in order
(`backends.structure.matching`): the value is not normalised, so that with long paths it counts most; what each part
does to the advantage is in the log. Without it this is GRPO. `adaptive_clip` holds back less where a group's rewards
lie close together: eps_g = clip(0.2 mean(std) / std_g, 0.1, 0.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from backends.base import Credit, Rolling, Stage, Step, TrainMethod
from backends.methods._policy_options import PolicyOptions, group_credit
from backends.methods._teacher_rl import policy_stage
from backends.rollouts.types import Credited, RolloutGroup
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-5,
    "scheduler": "constant_with_warmup",
    "warmup": 0.1,
    "max_grad_norm": 0.2,
    "batch_size": 32,
    "epochs": 1.0,
}
"""The authors' configuration: 32 completions a step."""
ROLLOUT: dict[str, Json] = {"group": 4, "temperature": 0.7}
NARROWEST, CLIP, WIDEST = 0.1, 0.2, 0.4


@dataclass(frozen=True)
class RlkdOptions(PolicyOptions):
    """Options of RLKD."""

    weights: str = "accuracy=3+structure=3+format=2+tags=2"
    """Rewards and how much each counts; the structure needs reward.structure.gsrm."""
    kl: Literal["k2", "k3", "exact"] = "k3"
    """How the distance to the student as it began is measured."""
    kl_coef: float = 0.04
    """Weight of that distance."""
    adaptive_clip: bool = False
    """Whether the ratio's clipping follows the spread of a group's rewards, as the paper's equation 2 has it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adaptive_clip and (self.low is not None or self.high is not None):
            raise ValueError("adaptive_clip sets the clipping of every group: say neither low nor high")


def spread(group: RolloutGroup) -> float:
    """The standard deviation of a group's rewards; 0 where there is nothing to compare."""
    return float(np.std(group.values, ddof=1)) if len(group.values) > 1 else 0.0


def clips(spreads: Sequence[float]) -> list[float]:
    """How far each group's ratio may go; groups without a spread, which train nothing, are in no mean."""
    known = [one for one in spreads if one > 0]
    mean = math.fsum(known) / len(known) if known else 0.0
    return [min(max(CLIP * mean / one, NARROWEST), WIDEST) if one > 0 else CLIP for one in spreads]


def adaptive(credit: Credit, groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """The credit with the number "clip" of each completion."""
    found = credit(groups, step)
    own = clips([spread(group) for group in groups])
    return [
        [replace(one, numbers={**one.numbers, "clip": clip}) for one in row]
        for row, clip in zip(found, own, strict=True)
    ]


def stages(options: RlkdOptions) -> tuple[Stage, ...]:
    """One, on prompts and teacher's paths."""
    stage = policy_stage("rlkd", options, SETTINGS, ROLLOUT)
    if not options.adaptive_clip:
        return (stage,)
    assert isinstance(stage.rolling, Rolling)
    credit = partial(adaptive, group_credit(options.surrogates().scale))
    return (replace(stage, rolling=replace(stage.rolling, credit=credit)),)


METHOD = TrainMethod(
    name="rlkd",
    summary="right answers, and reasoning that goes the teacher's way by a structure reward model (RLKD)",
    paper="Xu et al. 2025, Distilling the Implicit Multi-Branch Structure in LLMs' Reasoning via Reinforcement "
    "Learning (RLKD), arXiv 2505.16142, algorithm 1 and equation 2",
    options=RlkdOptions,
    stages=stages,
    needs=("teacher text", "rewards"),
    deviations=(
        "the ratio is clipped at 0.2, as in the authors' code; the paper's clipping by a group's spread is "
        "adaptive_clip, whose constant it does not give: 0.2 for a group of mean spread, 0.1 to 0.4 for all",
        "the weight of the distance to the student as it began, 0.04 of k3, is ours: the paper names the term alone",
        "a completion that a scorer fails on has no reward and leaves its group; the authors' code gives it 0",
        "the teacher's path is cut into steps once, not at every step",
    ),
)
