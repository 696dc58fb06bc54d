"""OPD: the student writes, a teacher says of each token how much likelier it was to it (on-policy distillation).

    A_t = coef * (log pi_T(y_t) - log pi(y_t)),   L = mean over tokens of -rho_t A_t

No verifier and no reward: the teacher's opinion of a token is what it is worth, and nothing of later tokens is. In
expectation the gradient is that of the reverse KL at each position, of texts that the student itself writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import Stage, TrainMethod
from backends.losses.policy import Clip, Norm
from backends.methods._teacher_rl import TeacherOptions, d_alone, policy_stage
from backends.options import must_be
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-4, "lora_rank": 32, "batch_size": 64, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
"""Of all weights 5e-5 (`lora_rank=none`)."""
ROLLOUT: dict[str, Json] = {"group": 4, "temperature": 1.0}


@dataclass(frozen=True)
class OpdOptions(TeacherOptions):
    """Options of OPD."""

    weights: str = ""
    """Rewards, which are looked at and train nothing."""
    clip: Clip | None = "off"
    """How a large ratio is held back: not at all, importance sampling."""
    norm: Norm | None = "token"
    """What the sum over tokens is divided by."""
    coef: float = 1.0
    """Weight of the teacher's opinion."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "above 0", "coef")


def stages(options: OpdOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    rule = d_alone(options.coef)
    return (policy_stage("opd", options, SETTINGS, ROLLOUT, rule=rule, teacher=True, marked=False),)


METHOD = TrainMethod(
    name="opd",
    summary="a teacher's opinion of each token that the student writes, as a policy gradient",
    paper="Lu et al. 2025, On-Policy Distillation, Thinking Machines Lab; constants as in tinker-cookbook",
    options=OpdOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "The student's side of the gap is that of the pass itself, not of the sampler: it follows the updates.",
        "The batch is ours.",
    ),
)
