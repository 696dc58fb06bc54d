"""CoTD-PO with the answers drawn while the student is trained: each step's, to the teacher's rationale, by the student.

    L = -mean log pi(rationale | x) - alpha sum_i p_i log softmax_i(lam score(y_i)),    p = softmax(rewards)

Of each prompt the completions begin with the record's thought and the cue behind it, which are learnt once; what is
drawn is the answer. The second term's gradient in log pi(y_i) is alpha lam (softmax_i - p_i): an advantage, which
credit knows from what the sampler said of the drawn tokens, so that no prompt's answers have to be in one micro-batch.
Before the first update of a generation it is exact; later ones hold both distributions and clip the ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from backends.base import Rolling, Stage, Step, TrainMethod
from backends.losses.apa import RewardNorm, ScoreNorm, apa_loss
from backends.losses.policy import Norm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions
from backends.methods._terms import NllTerm, PolicyTerm
from backends.options import must_be
from backends.records.record import TrainRecord
from backends.records.spans import together
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Credited, RolloutGroup
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-5, "batch_size": 1024, "scheduler": "linear", "warmup": 0.1, "epochs": 5,
}  # fmt: skip
"""128 prompts of 8 answers; an epoch is one of the paper's iterations."""
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}


@dataclass(frozen=True)
class CotdRlOptions:
    """Options of CoTD-PO on answers of the moment."""

    weights: str = "accuracy=1"
    """Rewards and how much each counts; in the paper a reward model's alone."""
    alpha: float = 1.0
    """Weight of the answers' term; the next three are cotd_po's too."""
    lam: float = 0.5
    score_norm: ScoreNorm = "sum"
    reward_norm: RewardNorm = "minmax5"

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "alpha")
        if not self.lam > 0:
            raise ValueError(f"lam must be above 0, not {self.lam}")


def rationale(record: TrainRecord) -> str:
    """What stands before the answer: the thought and the cue that ends it."""
    return together(record, "").rstrip()


def _given(batch: Batch) -> Tensor:
    """The learnt tokens that nobody drew."""
    sampler_RT = batch.extras.get("sampler_logps")
    return torch.zeros_like(batch.mask_RT) if sampler_RT is None else batch.mask_RT & sampler_RT.isnan()


@dataclass(frozen=True)
class RationaleTerm(NllTerm):
    """Likelihood of the rationale, once a prompt, by its mean over tokens."""

    number: str = "rationale"

    name: ClassVar[str] = "rationale_nll"

    @property
    def norm(self) -> Norm:
        """A mean over prompts of means."""
        return "sequence"

    def mask(self, batch: Batch) -> Tensor:
        """The rationale's tokens."""
        return _given(batch)


@dataclass(frozen=True)
class AnswerTerm(PolicyTerm):
    """The answers' term by its gradient."""

    def mask(self, batch: Batch) -> Tensor:
        """The drawn tokens."""
        return batch.mask_RT & ~_given(batch)


def credit(options: CotdRlOptions, groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """The answers' term as advantages; one answer that has a value brings the rationale."""
    rows = [
        [n for n, mark in enumerate(one.marks) if mark.value is not None and not one.rollouts[n].given]
        for one in groups
    ]
    learnt = [
        sum(not (one.masks_cut and one.rollouts[n].finish == "length") for n in kept)
        for one, kept in zip(groups, rows, strict=True)
    ]
    answers = sum(learnt) / max(1, sum(map(bool, learnt)))
    return [_credit(options, group, kept, answers) for group, kept in zip(groups, rows, strict=True)]


def _credit(options: CotdRlOptions, group: RolloutGroup, kept: Sequence[int], answers: float) -> list[Credited]:
    """`answers`: of a prompt, in the mean: the loss is a mean over answers, where CoTD-PO's is one over prompts."""
    found = [Credited(keep=False) for _ in group.rollouts]
    if not kept:
        return found
    drawn = [group.rollouts[n] for n in kept]
    lengths_K = torch.tensor([len(one.tokens_T) for one in drawn], dtype=torch.float64)
    positions = max(len(one.prompt_T) + len(one.tokens_T) for one in drawn) - 1
    divisor_K = lengths_K if options.score_norm == "mean" else torch.full_like(lengths_K, positions)
    scores_K = torch.tensor([one.logps_T.sum(dtype="float64") for one in drawn], dtype=torch.float64) / divisor_K
    rewards_K = torch.tensor([group.marks[n].value for n in kept], dtype=torch.float64)
    apa = apa_loss(scores_K[None], rewards_K[None], lam=options.lam, reward_norm=options.reward_norm)
    towards_K = options.alpha * options.lam * (apa.target_BK - apa.student_BK)[0] * answers * lengths_K / divisor_K
    first = min(kept, key=lambda n: group.rollouts[n].finish == "length")  # what is cut off may not be trained on
    for n, advantage in zip(kept, towards_K.tolist(), strict=True):
        numbers = {"advantage": advantage, "rationale": float(n == first)}
        found[n] = Credited(numbers=numbers, learnt=group.begun if n == first else 0)
    return found


def stages(options: CotdRlOptions) -> tuple[Stage, ...]:
    """One, on prompts that end in the teacher's rationale."""
    policy = PolicyOptions(weights=options.weights)
    objective = partial(OnPolicyObjective, "cotd_rl", policy, [RationaleTerm(), AnswerTerm(policy.surrogates())])
    rolling = Rolling(partial(credit, options), options.weights, ROLLOUT, begun=rationale)
    examples = partial(prompts, begun=rationale)
    return (Stage("train", ("prompt", "think"), examples, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="cotd_rl",
    summary="CoTD-PO on answers that the student draws while it is trained",
    paper="Niu et al. 2025, CoTD-PO, EMNLP 2025 Findings 1087, Algorithm 1 and Eqs. 4, 8 and 9",
    options=CotdRlOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "Answers are drawn anew at every step, all at temperature 1, which scores are at; the paper samples once an "
        "iteration, from 0.6 to 1.2, top-p 0.95.",
        "The reward is the records' grader unless told otherwise; the paper's is a reward model, as `rm` trains one.",
        "A prompt of which no answer has a value teaches no rationale either; equal answers all count.",
        "A look at held-out records is without the rationale, as at test time, within the same max_new.",
        "lam, alpha, the scores' divisor and the rewards' scale are the code's, as in cotd_po.",
    ),
)
