"""Lightning OPD: on-policy distillation without a teacher beside the training; it reads what was drawn once.

    A_t = clip(log pi_T(y_t) - log pi(y_t), -tau, tau),   L = mean over tokens of -min(rho A, clip(rho) A)

Completions are drawn once, from the student as it begins, and the teacher's log-probabilities are kept with them; the
student's side of the gap is of each pass. At the first step the gradient is that of `opd`. The teacher must be the one
whose text the student was taught by before: another one pulls it away from where its completions came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor

from backends.base import Rolling, Stage, Training, TrainMethod
from backends.losses.policy import Norm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import keep_all
from backends.methods._teacher_rl import TeacherOptions
from backends.methods._terms import PolicyTerm, Rule, Seen
from backends.options import must_be
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Tokenised
from backends.rollouts.prompts import prompts
from backends.teachers.server import token_teacher
from harness.errors import ConfigError
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 2e-6, "batch_size": 256, "scheduler": "constant", "warmup": 0.0, "weight_decay": 0.1,
    "beta2": 0.98, "epochs": 1,
}  # fmt: skip
"""The paper trains for 150 steps."""
ROLLOUT: dict[str, Json] = {"every": "stage", "group": 1, "temperature": 0.8}


@dataclass(frozen=True)
class LightningOptions(TeacherOptions):
    """Options of Lightning OPD."""

    weights: str = ""
    """Rewards, which are looked at and train nothing."""
    norm: Norm | None = "token"
    """What the sum over tokens is divided by."""
    tau: float | None = None
    """Largest opinion of a token, either way; None: any, as in the authors' code."""
    other_teacher: Literal["refuse", "take"] = "refuse"
    """What becomes of a teacher that is not the one that the records name (`meta.teacher`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "above 0", "tau")


def bounded_d(tau: float | None) -> Rule:
    """The advantage is d, within the bound."""

    def rule(seen: Seen) -> tuple[Tensor, Tensor]:
        return seen.log_ratio_RT, seen.d_RT if tau is None else seen.d_RT.clamp(-tau, tau)

    return rule


class LightningObjective(OnPolicyObjective):
    """The policy gradient, once the teacher is known to be the right one."""

    def __init__(self, options: LightningOptions, teachers: set[str], *more: Any, **named: Any) -> None:
        """`teachers` are those that the records name, known once they are read."""
        super().__init__("lightning_opd", options, *more, **named)
        self._teachers = teachers

    def setup(self, training: Training) -> None:
        """Raises `ConfigError` for a teacher that the records do not name, before anything is drawn."""
        super().setup(training)
        if self.options.other_teacher == "refuse" and self._teachers and self._teachers != {training.teacher}:
            named = ", ".join(sorted(self._teachers))
            raise ConfigError(
                f"the records name {named} as their teacher, and --teacher is {training.teacher}: lightning_opd needs "
                "the one that the student was taught by before; other_teacher=take trains all the same"
            )


def stages(options: LightningOptions) -> tuple[Stage, ...]:
    """One, on completions that are drawn once."""
    teachers: set[str] = set()

    def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
        teachers.update(str(record.meta["teacher"]) for record in records if record.meta.get("teacher"))
        return prompts(encoder, records)

    terms = [PolicyTerm(options.surrogates(), bounded_d(options.tau), ("stored teacher",))]
    objective = partial(LightningObjective, options, teachers, terms, end=options.end)
    teacher = partial(token_teacher, method="lightning_opd", end=options.end)
    rolling = Rolling(keep_all, options.weights, ROLLOUT, teacher=teacher, compares=False)
    return (Stage("train", ("prompt",), examples, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="lightning_opd",
    summary="on-policy distillation from completions drawn once, which the teacher reads once",
    paper="Lightning OPD, arXiv 2604.13010, algorithm 1; code jet-ai-projects/Lightning-OPD",
    options=LightningOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "Completions and the teacher's log-probabilities are made at the beginning of the training, not before it.",
        "No bound on the teacher's opinion by default, as in the code; the paper has one and does not say which.",
    ),
)
