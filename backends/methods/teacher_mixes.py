"""SRPO, HDPO, RLSD, and OPD before RL: four ways to have a verifier and a teacher say what a token is worth.

Each is a row of the table in `backends.methods._teacher_rl`, trained alike so that they can be compared; as published
SRPO, HDPO and RLSD have the student itself, with privileged information, as the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import Stage, TrainMethod
from backends.methods._teacher_rl import (
    TeacherOptions,
    d_added,
    d_for_wrong,
    d_until,
    policy_stage,
    scaled_by_d,
)
from backends.methods._terms import Rule
from backends.options import must_be
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6, "batch_size": 256, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}
_PAPER = "formula of the comparison in StringNLPLAB/opd-rlvr"
_DEVIATIONS = (
    "The teacher is a model of its own (--teacher), as in the comparison.",
    "The training settings are ours.",
)


@dataclass(frozen=True)
class HdpoOptions(TeacherOptions):
    """Options of HDPO."""

    b: float = 2e-3
    """Weight of the teacher's opinion where a whole group is wrong; 0 is GRPO."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "0 or more", "b")


@dataclass(frozen=True)
class RlsdOptions(TeacherOptions):
    """Options of RLSD."""

    lam: float = 0.5
    """How much the teacher scales; 0 is GRPO."""
    eps: float = 0.2
    """The scale is within 1 less and 1 plus this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "lam", "eps")


@dataclass(frozen=True)
class OpdThenRlOptions(TeacherOptions):
    """Options of OPD, then RL."""

    steps: int = 100
    """Optimiser steps of OPD before the reward takes over; 0 is GRPO."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "0 or more", "steps")


def _stages(method: str, options: TeacherOptions, rule: Rule, *, verified: bool = False) -> tuple[Stage, ...]:
    return (policy_stage(method, options, SETTINGS, ROLLOUT, rule=rule, teacher=True, verified=verified),)


SRPO = TrainMethod(
    name="srpo",
    summary="the reward for right completions, a teacher's opinion of each token for wrong ones",
    paper="Unifying Group-Relative and Self-Distillation Policy Optimization via Sample Routing, arXiv 2604.02288; "
    f"{_PAPER}",
    options=TeacherOptions,
    stages=lambda options: _stages("srpo", options, d_for_wrong, verified=True),
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "The correction of wrong completions is that of the drawn tokens, not of whole distributions.",
        *_DEVIATIONS,
    ),
)

HDPO = TrainMethod(
    name="hdpo",
    summary="the reward, and a teacher's opinion of each token where a whole group is wrong",
    paper=f"HDPO: Hybrid Distillation Policy Optimization; {_PAPER}",
    options=HdpoOptions,
    stages=lambda options: _stages("hdpo", options, d_added(options.b, "group"), verified=True),
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(*_DEVIATIONS, "The weight of the teacher's opinion is ours."),
)

RLSD = TrainMethod(
    name="rlsd",
    summary="the reward says where to, a teacher's opinion of each token how far",
    paper=f"Self-Distilled RLVR, arXiv 2604.03128; {_PAPER}",
    options=RlsdOptions,
    stages=lambda options: _stages("rlsd", options, scaled_by_d(options.lam, options.eps)),
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(*_DEVIATIONS, "lam and eps are ours."),
)

OPD_THEN_RL = TrainMethod(
    name="opd_then_rl",
    summary="on-policy distillation for so many steps, then the reward",
    paper=f"the strongest of the {_PAPER.removeprefix('formula of the ')}",
    options=OpdThenRlOptions,
    stages=lambda options: _stages("opd_then_rl", options, d_until(options.steps)),
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(*_DEVIATIONS, "Where it changes over is ours."),
)
