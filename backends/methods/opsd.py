"""OPSD: the student as it began, shown a worked solution, is the teacher of what the student writes without it.

    L = mean over tokens of sum_v min(p_T(v) log(p_T(v) / p_S(v)), tau),   p_T behind prompt and solution

One model, no reward, no larger teacher: the solution is what the teacher knows more. What it knows cannot be told apart
from what can be learnt (L = L* + I(y; solution | prompt)), so students trained for long begin to appeal to a solution
that nobody showed them: the number "leak" and its alarm watch for that, and validation peaks within tens of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from backends.base import Rolling, Stage, TrainMethod
from backends.methods._distributions import DivergenceTerm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions, keep_all
from backends.options import must_be, refuse_unused
from backends.teachers.contexts import SOLUTION
from backends.teachers.moving import SelfTeacherOptions
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-6, "batch_size": 32, "scheduler": "constant", "warmup": 0.0, "max_steps": 100,
    "lora_rank": 64, "lora_alpha": 128.0,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 1, "temperature": 1.1, "max_new": 1024}


@dataclass(frozen=True)
class OpsdOptions(SelfTeacherOptions):
    """Options of OPSD."""

    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    """Between the teacher's distribution and the student's."""
    beta: float = 0.5
    """Of divergence=jsd."""
    clip_tau: float | None = None
    """The most that one token of the vocabulary adds to a KL; the paper clips and does not say where."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "beta")
        must_be(self, "above 0", "clip_tau")
        refuse_unused(self, self.divergence == "jsd", "divergence=jsd", "beta")
        refuse_unused(self, self.divergence != "jsd", "divergence=forward_kl or reverse_kl", "clip_tau")


def stages(options: OpsdOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    term = DivergenceTerm(options.divergence, options.beta, most=options.clip_tau)
    objective = partial(OnPolicyObjective, "opsd", PolicyOptions(weights=""), [term], own=options)
    rolling = Rolling(keep_all, "", ROLLOUT, context=SOLUTION, ratio=False, compares=False)
    return (Stage("train", ("prompt",), SOLUTION.prompts("opsd"), objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="opsd",
    summary="the student that sees a solution teaches the one that does not",
    paper="Zhao et al. 2026, Self-Distilled Reasoner: On-Policy Self-Distillation, arXiv 2601.18734; code "
    "siyan-zhao/OPSD",
    options=OpsdOptions,
    stages=stages,
    deviations=(
        "Nothing is clipped by default, as in the authors' code: the paper clips at a value that it does not give.",
        "Teacher and student are prompted in one mode; the paper lets the teacher think and not the student.",
        "A record's response stands in for the solution where it has no `privileged`; the prompt's wording is ours.",
        "Training ends early only where told to: by held-out accuracy (rollout.held_out, rollout.patience), or by "
        "--stop-on leak when the student begins to leak.",
    ),
)
