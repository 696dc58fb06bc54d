"""KDRL: the reward's advantage and a teacher's opinion of each token, on the same completions.

    A_i + b_t d_it        or, with `form=loss`,        L_GRPO + b_t mean over tokens of d^2 / 2  (k2)

Both have the gradient of the reverse KL to the teacher in expectation. b falls with the steps (KDRL-Annealing), and a
mask leaves to the reward alone what is right, or groups in which something is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from backends.base import Stage, Step, TrainMethod
from backends.methods._teacher_rl import Among, TeacherOptions, d_added, policy_stage
from backends.methods._terms import TeacherKlTerm
from backends.options import must_be, refuse_unused
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6, "batch_size": 256, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
"""The paper trains for 280 steps."""
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}


@dataclass(frozen=True)
class KdrlOptions(TeacherOptions):
    """Options of KDRL."""

    b: float = 5e-3
    """Weight of the teacher's opinion at the first step; 0 is GRPO."""
    fall: float = 5e-5
    """How much less it is after each step; 0 keeps it."""
    least: float = 1e-3
    """What it does not fall below."""
    mask: Among = "none"
    """Which completions are left to the reward alone: none; right ones; those of a group in which one is right."""
    form: Literal["advantage", "loss"] = "advantage"
    """Whether the teacher's opinion is part of the advantage, clipped with it, or a loss of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "0 or more", "b", "fall", "least")
        refuse_unused(self, self.form == "advantage", "form=advantage", "mask")


def weight(options: KdrlOptions) -> Callable[[Step], float]:
    """The teacher's weight at a step."""
    return lambda step: max(options.b - options.fall * step.number, min(options.b, options.least))


def stages(options: KdrlOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    b, verified = weight(options), options.mask != "none"
    if options.form == "loss":
        more = (TeacherKlTerm(b),)
        return (policy_stage("kdrl", options, SETTINGS, ROLLOUT, teacher=True, more=more),)
    rule = d_added(b, options.mask)
    return (policy_stage("kdrl", options, SETTINGS, ROLLOUT, rule=rule, teacher=True, verified=verified),)


METHOD = TrainMethod(
    name="kdrl",
    summary="a verifier's reward and a teacher's opinion of each token, together (KDRL, annealing, masks)",
    paper="KDRL: Post-Training Reasoning LLMs via Unified Knowledge Distillation and Reinforcement Learning, arXiv "
    "2506.02208, equation 8; masks and annealing of its section on how to combine the two",
    options=KdrlOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "The teacher's opinion is part of the advantage by default, as in the published comparison; the paper's loss "
        "is form=loss, with the same gradient at a generation's first update where all tokens count alike.",
        "Learning rate and batch are ours.",
    ),
)
