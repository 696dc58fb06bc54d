"""MCQ-RL (the core of AlphaMed): GRPO on multiple choice, rewarded for the right letter and for nothing else."""

from __future__ import annotations

from backends.base import Stage, TrainMethod
from backends.methods._policy_options import PolicyOptions
from backends.methods._teacher_rl import policy_stage
from backends.methods.grpo import ROLLOUT, SETTINGS


def stages(options: PolicyOptions) -> tuple[Stage, ...]:
    """That of GRPO."""
    return (policy_stage("mcq_rl", options, SETTINGS, ROLLOUT),)


METHOD = TrainMethod(
    name="mcq_rl",
    summary="GRPO on multiple choice with the right letter as the only reward (AlphaMed)",
    paper="Liu et al. 2025, Beyond Distillation: Pushing the Limits of Medical LLM Reasoning with Minimalist "
    "Rule-Based RL, arXiv 2505.17952",
    options=PolicyOptions,
    stages=stages,
    deviations=("The training settings are those of grpo here.",),
)
