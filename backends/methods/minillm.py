"""MiniLLM: the reverse KL of whole texts, in which a token is also worth what comes of it later.

    A_t = sum_k gamma^k d_{t+k} / sum_k gamma^k
    L = alpha1 policy(A) + alpha2 mean over tokens of KL(pi || pi_T)

The second term is the exact KL of each position: the part of the gradient that needs no sampling. Tokens are drawn from
(1 - a) pi + a pi_T, and the first term weighs each by pi over that. With a = 0, gamma 0 and alpha2 0 is `opd`; alpha1 0
is `gkd` with lam 1 and beta 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from backends.base import Mixture, Rolling, Stage, TrainMethod
from backends.losses.policy import Clip, Correction, Norm
from backends.methods._distributions import DivergenceTerm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import keep_all
from backends.methods._teacher_rl import TeacherOptions
from backends.methods._terms import PolicyTerm, Rule, Seen, Term
from backends.options import must_be
from backends.rollouts.prompts import prompts
from backends.teachers.local import LocalTeacher
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 5e-6, "batch_size": 64, "epochs": 1}
ROLLOUT: dict[str, Json] = {"group": 1, "temperature": 1.0}


@dataclass(frozen=True)
class MinillmOptions(TeacherOptions):
    """Options of MiniLLM."""

    weights: str = ""
    """Rewards, which are looked at and train nothing."""
    clip: Clip | None = "ppo"
    """How a large ratio is held back."""
    norm: Norm | None = "token"
    """What the sum over tokens is divided by."""
    correction: Correction = "token_truncate"
    """How a token counts by the student's share in what it was drawn from; a mixture cannot do without."""
    gamma: float = 1.0
    """How much a later token counts less than the one before; at 0 each counts for itself."""
    alpha1: float = 1.0
    """Weight of what comes later, the policy gradient."""
    alpha2: float = 1.0
    """Weight of each position's exact reverse KL."""
    teacher_mix: float = 0.2
    """Share of the teacher in what each token is drawn from; 0: the student draws alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "gamma")
        if not 0 <= self.teacher_mix < 1:
            raise ValueError(f"teacher_mix must be from 0 to below 1, not {self.teacher_mix}")
        if self.teacher_mix and self.correction == "none":
            raise ValueError("what is drawn from a mixture has to be weighed: correction=none goes with teacher_mix=0")
        must_be(self, "0 or more", "alpha1", "alpha2")
        if not self.alpha1 + self.alpha2 > 0:
            raise ValueError("alpha1 and alpha2 are both 0: nothing is left to train on")


def discounted_mean(d_RT: Tensor, mask_RT: Tensor, gamma: float) -> Tensor:
    """sum_k gamma^k d_{t+k} / sum_k gamma^k over the completion's tokens from t on, (R, T)."""
    value_R, weight_R = d_RT.new_zeros(d_RT.shape[0]), d_RT.new_zeros(d_RT.shape[0])
    columns = []
    for t in range(d_RT.shape[1] - 1, -1, -1):
        here_R = mask_RT[:, t]
        value_R = torch.where(here_R, d_RT[:, t] + gamma * value_R, torch.zeros_like(value_R))
        weight_R = torch.where(here_R, 1 + gamma * weight_R, torch.zeros_like(weight_R))
        columns.append(value_R / weight_R.clamp(min=1))
    return torch.stack(columns[::-1], dim=1)


def later(gamma: float, coefficient: float) -> Rule:
    """The advantage is what comes of a token."""

    def rule(seen: Seen) -> tuple[Tensor, Tensor]:
        worth_RT = discounted_mean(seen.d_RT, seen.batch.mask_RT, gamma)
        return seen.log_ratio_RT, coefficient * worth_RT

    return rule


def stages(options: MinillmOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    terms: list[Term] = []
    if options.alpha1:
        terms.append(PolicyTerm(options.surrogates(), later(options.gamma, options.alpha1), ("teacher",)))
    if options.alpha2:
        terms.append(DivergenceTerm("reverse_kl", coefficient=options.alpha2))
    objective = partial(OnPolicyObjective, "minillm", options, terms, end=options.end)
    mixture = None
    if options.teacher_mix:
        mixture = Mixture(options.teacher_mix, partial(LocalTeacher, method="minillm", end=options.end))
    rolling = Rolling(keep_all, options.weights, ROLLOUT, mixture=mixture, ratio=bool(options.alpha1), compares=False)
    return (Stage("train", ("prompt",), prompts, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="minillm",
    summary="the reverse KL of whole texts: what comes of a token later, and each position's exact KL",
    paper="Gu et al. 2023, MiniLLM: Knowledge Distillation of Large Language Models, arXiv 2306.08543, as in TRL 1.10",
    options=MinillmOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "A token's worth counts the token itself, as in TRL; the paper's starts behind it, the exact KL has the rest.",
        "A token drawn from the mixture is weighed by itself, as in paper and code, not with those before it; the "
        "weight stands outside the clip, where the code has it in the ratio, and is at most cap.",
        "Advantages are not whitened, and no pretraining loss is added. Settings are ours.",
    ),
)
