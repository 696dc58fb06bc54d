"""SDFT: the student that was shown an expert's reply teaches the student that was not, on what the latter writes.

    L = mean over tokens of D(p_T, p_S),   p_T behind prompt and demonstration, D the forward KL over its top 100

Fine-tuning on demonstrations without leaving the student's own distribution: it learns what the demonstration changes
of its own replies, and forgets less of the rest than by likelihood of the expert's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from backends.base import Rolling, Stage, TrainMethod
from backends.methods._distributions import DivergenceTerm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions, keep_all
from backends.options import must_be
from backends.teachers.contexts import DEMONSTRATION
from backends.teachers.moving import SelfTeacherOptions
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 32, "epochs": 1}
ROLLOUT: dict[str, Json] = {"group": 1, "temperature": 1.0}


@dataclass(frozen=True)
class SdftOptions(SelfTeacherOptions):
    """Options of SDFT."""

    alpha: float = 0.0
    """From 0, the forward KL, to 1, the reverse one; between them the generalised JSD."""
    top_k: int | None = 100
    """Only the student's k likeliest tokens, and one bucket for the rest; none: all there are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "alpha")
        must_be(self, "at least 1", "top_k")


def stages(options: SdftOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    term = DivergenceTerm("jsd", options.alpha, top_k=options.top_k)
    objective = partial(OnPolicyObjective, "sdft", PolicyOptions(weights=""), [term], own=options)
    rolling = Rolling(keep_all, "", ROLLOUT, context=DEMONSTRATION, ratio=False, compares=False)
    return (Stage("train", ("prompt",), DEMONSTRATION.prompts("sdft"), objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="sdft",
    summary="the student that sees a good reply teaches the one that does not",
    paper="Shenfeld et al. 2026, Self-Distillation Enables Continual Learning, arXiv 2601.19897; code "
    "idanshen/Self-Distillation",
    options=SdftOptions,
    stages=stages,
    deviations=(
        "The divergence is that of the authors' runs as they tell it (forward KL, top 100); TRL's default is the JSD.",
        "The teacher is the student as it began, as in TRL; teacher=ema is a running mean.",
        "The rest of the vocabulary is one bucket instead of being left out. Batch, rate and wording are ours.",
    ),
)
