"""TRRD (RLAD): GRPO whose ratio is also one to the teacher, so that the clip keeps the student near both.

    log r = a log(pi / pi_old) + (1 - a) clip(log(pi / pi_T), -bound, bound)

The reward alone says where to: unlike with an added term, the sign of an update is always that of the advantage.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import Stage, TrainMethod
from backends.methods._teacher_rl import TeacherOptions, policy_stage, towards_teacher
from backends.options import must_be
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6, "batch_size": 256, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}


@dataclass(frozen=True)
class TrrdOptions(TeacherOptions):
    """Options of TRRD."""

    high: float | None = 0.28
    """The ratio is clipped above 1 and this."""
    alpha: float = 0.5
    """How much the old policy counts in the ratio beside the teacher; 1 is GRPO."""
    bound: float = 1.0
    """Largest log ratio to the teacher."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "alpha")
        must_be(self, "above 0", "bound")


def stages(options: TrrdOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    rule = towards_teacher(options.alpha, options.bound)
    return (policy_stage("trrd", options, SETTINGS, ROLLOUT, rule=rule, teacher=True),)


METHOD = TrainMethod(
    name="trrd",
    summary="a verifier's reward, with a ratio to the teacher as well as to the old policy (RLAD)",
    paper="RLAD: trust region ratio distillation, arXiv 2602.22495, equation 3 and appendix C",
    options=TrrdOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=("alpha 1 is GRPO, as in equation 3; a sentence of the paper's section 4.1 says alpha 0.",),
)
