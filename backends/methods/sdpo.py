"""SDPO: at each token, what a sibling's right attempt or the environment's feedback would have changed.

    L = mean over tokens of w D_alpha(p_T, p),   p_T behind prompt, right sibling and feedback; w = min(p / p_old, 2)

The student's own right completions, and what was said of its wrong ones, become a signal at every token: no second
model, and no reward beyond a verifier's. p_T has a running mean of the weights. A completion with neither a right
sibling nor feedback is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from backends.base import Rolling, Stage, TrainMethod
from backends.methods._distributions import DivergenceTerm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions, keep_all
from backends.methods._terms import Seen
from backends.options import must_be
from backends.rollouts.prompts import prompts
from backends.teachers.contexts import Sibling
from backends.teachers.moving import SelfTeacherOptions, Which
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-5, "batch_size": 256, "scheduler": "constant_with_warmup", "warmup": 0.05, "epochs": 1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}
_FAR = 20.0
"""Largest log ratio that is looked at."""


@dataclass(frozen=True)
class SdpoOptions(SelfTeacherOptions):
    """Options of SDPO."""

    teacher: Which = "ema"
    """The student as it began, a running mean of it, or as it is."""
    weights: str = "accuracy=1"
    """Rewards and how much each counts: what is right decides which siblings are shown."""
    success: float = 0.5
    """Reward from which on a completion is right."""
    alpha: float = 0.5
    """From 0, the forward KL, to 1, the reverse one; between them the generalised JSD."""
    top_k: int | None = 100
    """Only the student's k likeliest tokens, and one bucket for the rest; none: all there are."""
    is_clip: float | None = 2.0
    """The most that a token weighs by its ratio to the policy that drew it; none: all weigh the same."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "alpha")
        must_be(self, "at least 1", "top_k", "is_clip")


def bounded_ratio(seen: Seen, most: float) -> Tensor:
    """Each token's ratio to the policy that drew it, without gradient."""
    return seen.log_ratio_RT.detach().clamp(-_FAR, _FAR).exp().clamp_max(most)


def stages(options: SdpoOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    most = options.is_clip
    gate = None if most is None else lambda seen: bounded_ratio(seen, most)
    term = DivergenceTerm("jsd", options.alpha, gate=gate, top_k=options.top_k)
    objective = partial(OnPolicyObjective, "sdpo", PolicyOptions(weights=options.weights), [term], own=options)
    rolling = Rolling(keep_all, options.weights, ROLLOUT, context=Sibling(options.success), ratio=most is not None)
    return (Stage("train", ("prompt",), prompts, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="sdpo",
    summary="what a right sibling or feedback would change, at each token",
    paper="Hübotter et al. 2026, Reinforcement Learning via Self-Distillation, arXiv 2601.20802; code lasgroup/SDPO",
    options=SdpoOptions,
    stages=stages,
    deviations=(
        "Warm-up is a share of the steps instead of ten steps; the prompts' wording is ours.",
        "A prompt with sibling and feedback that does not fit is left out and counted instead of being cut.",
        "Ratio, divergence and KL are those of the repository; its trust-region mix of teachers is not here.",
    ),
)
