"""SCOPE: right completions by likelihood, wrong ones by a teacher's opinion, each weighed by what it can teach.

    right:  A_t = w_i,            w ~ perplexity of the student ^ (1 / tau):  what it found by luck counts more
    wrong:  A_t = w_i d_t,        w ~ perplexity of the teacher ^ (-1 / tau): what the teacher could have written

Weights are within a prompt's group and average 1 on either path. The authors' flags turn both signs around; a test
holds the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from backends.base import Rolling, Stage, Step, TrainMethod
from backends.losses.credit import perplexity_weights
from backends.losses.policy import Norm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import group_credit
from backends.methods._teacher_rl import TeacherOptions
from backends.methods._terms import PolicyTerm, Seen
from backends.options import must_be
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Credited, RolloutGroup
from backends.teachers.server import token_teacher
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6, "batch_size": 256, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 0.6}


@dataclass(frozen=True)
class ScopeOptions(TeacherOptions):
    """Options of SCOPE."""

    norm: Norm | None = "token"
    """What the sum over tokens is divided by."""
    tau: float = 1.0
    """How soft the weights are; a large one makes them equal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "above 0", "tau")


def credit(options: ScopeOptions, groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """Which path each completion is on, and its weight there. A group of one has a path, too."""
    known = group_credit("off", verified=True)(groups, step)
    return [_weighed(group, credits, options.tau) for group, credits in zip(groups, known, strict=True)]


def _weighed(group: RolloutGroup, credits: Sequence[Credited], tau: float) -> list[Credited]:
    student = torch.tensor([float(np.mean(rollout.logps_T)) for rollout in group.rollouts], dtype=torch.float64)
    rows = [row for row in group.teacher if row is not None]
    teacher = torch.tensor([float(np.nanmean(row.logps_T)) for row in rows], dtype=torch.float64)
    scored = torch.tensor([mark.value is not None for mark in group.marks])
    right = torch.tensor([credit.numbers["correct"] > 0 for credit in credits])
    weights = perplexity_weights(student, right & scored, likely=False, tau=tau)
    weights += perplexity_weights(teacher, ~right & scored, likely=True, tau=tau)
    return [
        replace(credit, keep=keep, numbers={"correct": credit.numbers["correct"], "weight": weight})
        for credit, keep, weight in zip(credits, scored.tolist(), weights.tolist(), strict=True)
    ]


def two_paths(seen: Seen) -> tuple[Tensor, Tensor]:
    """1 for what is right, d for what is wrong, times the weight."""
    right_RT = seen.number("correct")
    return seen.log_ratio_RT, seen.number("weight") * (right_RT + (1 - right_RT) * seen.d_RT)


def stages(options: ScopeOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    terms = [PolicyTerm(options.surrogates(), two_paths, ("stored teacher",))]
    objective = partial(OnPolicyObjective, "scope", options, terms, end=options.end)
    teacher = partial(token_teacher, method="scope", end=options.end)
    rolling = Rolling(partial(credit, options), options.weights, ROLLOUT, teacher=teacher, compares=False)
    return (Stage("train", ("prompt",), prompts, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="scope",
    summary="right completions by likelihood, wrong ones by a teacher's opinion, weighed by perplexity",
    paper="SCOPE, arXiv 2604.10688, equations 2 to 6; code machine981/SCOPE",
    options=ScopeOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "Weights have the paper's signs, which the authors' flags turn around, and average 1 on each path.",
        "Means over tokens, as in the code; the paper sums them. The learning rate is ours: their script has 5e-5.",
    ),
)
