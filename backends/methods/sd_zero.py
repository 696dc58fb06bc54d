"""SD-Zero: a student learns to revise its own attempts, and then to write at once what it would have revised them to.

    srt      L = -sum log pi(y' | x, y, phrase) - sum log pi([y, phrase, y'] | x)   where the revision y' is right
    distill  L = mean over tokens of KL(pi(. | x, y_<t) || pi_srt(. | x, y, phrase, y_<t))

No teacher and no responses: a verifier says whether an attempt was right, and that decides the phrase behind it ("begin
again", "put it more clearly"). The first stage makes completions long, the second about halves them. Both terms of the
first are of the same tokens behind the same tokens, so that a revision's tokens count twice, the others once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from backends.base import ExampleMaker, Rolling, Stage, Step, TrainMethod
from backends.losses.nll import token_logps
from backends.methods._distributions import DivergenceTerm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions, group_credit, keep_all
from backends.methods._terms import Seen, Term
from backends.options import must_be
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Tokenised
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Credited, RolloutGroup
from backends.teachers.contexts import Revision
from backends.teachers.moving import SelfTeacherOptions
from harness.errors import DataError
from harness.types import Json

SRT: dict[str, Json] = {
    "learning_rate": 5e-6, "batch_size": 4, "epochs": 3, "scheduler": "cosine", "warmup": 0.05, "weight_decay": 1e-4,
    "beta2": 0.95,
}  # fmt: skip
DISTILL: dict[str, Json] = {
    "learning_rate": 5e-6, "batch_size": 128, "epochs": 1, "scheduler": "constant_with_warmup", "warmup": 0.25,
}  # fmt: skip
REVISED: dict[str, Json] = {"every": "stage", "group": 4, "temperature": 1.0}
ROLLOUT: dict[str, Json] = {"group": 1, "temperature": 1.0}


@dataclass(frozen=True)
class SdZeroOptions:
    """Options of SD-Zero."""

    weights: str = "accuracy=1"
    """Rewards, of which one must say what is right."""
    top_k: int | None = 64
    """Of the second stage: only the student's k likeliest tokens, and one bucket for the rest; none: all there are."""
    srt_share: float = 0.5
    """Share of the records, the first, that the first stage has; the second has the others."""

    def __post_init__(self) -> None:
        must_be(self, "at least 1", "top_k")
        must_be(self, "from 0 to 1", "srt_share")


@dataclass(frozen=True)
class TraceTerm(Term):
    """Likelihood of traces: what was drawn as a revision counts twice, attempt and phrase once."""

    name: ClassVar[str] = "nll"

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """At temperature 1."""
        logps_RT = seen.logps_RT if seen.temperature == 1 else token_logps(seen.logits, seen.batch.labels_RT)
        sampler_RT = seen.batch.extras.get("sampler_logps")
        drawn_RT = torch.ones_like(seen.batch.mask_RT) if sampler_RT is None else ~sampler_RT.isnan()
        return -logps_RT * (1 + drawn_RT.to(logps_RT.dtype)), {}


def traces(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """The revisions that are right, each with the attempt and the phrase before it; never an attempt alone."""
    known = group_credit("off", verified=True)(groups, step)
    return [
        [
            Credited(
                number > 0 and credit.keep and credits[0].keep and credit.numbers["correct"] > 0,
                learnt=len(rollout.prompt_T) - len(group.rollouts[0].prompt_T),
            )
            for number, (rollout, credit) in enumerate(zip(group.rollouts, credits, strict=True))
        ]
        for group, credits in zip(groups, known, strict=True)
    ]


def part(share: float, first: bool) -> ExampleMaker:
    """The prompts of one part of the records. Raises `DataError` where it is empty."""

    def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
        cut = round(len(records) * share)
        own = records[:cut] if first else records[cut:]
        if not own:
            raise DataError(f"srt_share={share} of {len(records)} records leaves one stage of sd_zero without any")
        return prompts(encoder, own)

    return examples


def stages(options: SdZeroOptions) -> tuple[Stage, ...]:
    """Learning to revise, then to need no revision; on different records."""
    rewards = PolicyOptions(weights=options.weights)
    learning = partial(OnPolicyObjective, "sd_zero", rewards, [TraceTerm()])
    revised = Rolling(traces, options.weights, REVISED, revise=Revision(), ratio=False)
    term = DivergenceTerm("reverse_kl", top_k=options.top_k)
    without = partial(OnPolicyObjective, "sd_zero", rewards, [term], own=SelfTeacherOptions())
    told = Rolling(keep_all, options.weights, ROLLOUT, context=Revision(), ratio=False, compares=False)
    first, second = (part(options.srt_share, first) for first in (True, False))
    return (
        Stage("srt", ("prompt",), first, learning, SRT, share=0.5, rolling=revised),
        Stage("distill", ("prompt",), second, without, DISTILL, share=0.5, rolling=told),
    )


METHOD = TrainMethod(
    name="sd_zero",
    summary="revising attempts is learnt, then done without",
    paper="Self-Distillation Zero, arXiv 2604.12002, equations 1 to 3; there is no public code",
    options=SdZeroOptions,
    stages=stages,
    deviations=(
        "The first stage's batch counts what was drawn: attempts and wrong revisions leave their places empty.",
        "The teacher is the first stage's student throughout; the paper gains by taking a new one after an epoch.",
        "The rest of the vocabulary is one bucket; warm-up is a share of the steps; the phrases' wording is ours.",
        "Text between an attempt and its revision is encoded on its own.",
    ),
)
