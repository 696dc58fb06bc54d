"""CORD, the core for text: the student behind a damaged prompt learns from itself behind the clean one, and by reward.

    L = mean over tokens of w_kl w_pos KL(p(. | damaged) || p_0(. | clean))  -  GRPO's surrogate with A = r - mean r

w_kl is alpha for the 20 tokens of a completion at which the two differ most, else 1; w_pos falls in a straight line
from beta at the first token to 1 at the last: what goes wrong early is paid for by all that follows. Reward alone
collapsed in the paper; the clean side holds it. What may be damaged: noisy or recognised speech, a cut context, a
translated prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from backends.base import Stage, TrainMethod
from backends.losses.credit import Scale
from backends.losses.selection import early_and_far
from backends.methods._distributions import DivergenceTerm
from backends.methods._policy_options import PolicyOptions
from backends.methods._teacher_rl import policy_stage
from backends.options import must_be
from backends.teachers.contexts import CLEAN
from backends.teachers.moving import SelfTeacherOptions
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 3e-5, "batch_size": 64, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 4, "temperature": 1.5}


@dataclass(frozen=True)
class CordOptions(PolicyOptions):
    """Options of CORD."""

    scale: Scale | None = "off"
    """What a reward's distance from its group's mean is divided by."""
    alpha: float = 2.0
    """Weight of the tokens at which damaged and clean differ most."""
    top: int = 20
    """How many those are in each completion."""
    beta: float = 2.0
    """Weight of a completion's first token; the last one's is 1."""
    distill: float = 1.0
    """Weight of the divergence beside the reward."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "at least 1", "alpha", "beta", "top")
        must_be(self, "0 or more", "distill")


def stages(options: CordOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    by_value = partial(early_and_far, alpha=options.alpha, top=options.top, beta=options.beta)
    term = DivergenceTerm("reverse_kl", coefficient=options.distill, by_value=by_value)
    return (
        policy_stage(
            "cord", options, SETTINGS, ROLLOUT,
            more=[term], own=SelfTeacherOptions(), context=CLEAN, examples=CLEAN.prompts("cord"),
        ),
    )  # fmt: skip


METHOD = TrainMethod(
    name="cord",
    summary="the student at a clean prompt teaches itself at the damaged one",
    paper="CORD, arXiv 2601.16547 (audio), read second-hand: its weighted cross-context distillation, on text",
    options=CordOptions,
    stages=stages,
    deviations=(
        "Text alone: the damaged prompt is the record's, the clean last turn is in meta.clean.",
        "The reward is agreement with gold by the graders; the paper asks a judge about agreement with the clean "
        "side's answer (weights=judge=1 with a rubric of that).",
        "Both terms weigh the same (distill=1), the divergence is at temperature 1, and the batch is ours.",
    ),
)
