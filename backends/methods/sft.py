"""SFT: maximum likelihood on the teacher's responses, alone or before another stage. Also MLE, SeqKD, Std-CoT.

Kim and Rush 2016 (arXiv 1606.07947): training on a teacher's own samples is distillation at the level of sequences.
Everything else here is compared with it, and reduces to it for some choice of its options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backends.base import ExampleMaker, Loss, Objective, Stage, Step, TrainMethod, one_stage
from backends.losses.nll import token_logps, weighted_nll
from backends.losses.positions import HeadLogits
from backends.options import refuse_unused
from backends.records.segments import tokenise
from backends.trainers.batch import Batch
from harness.types import Json


class LikelihoodObjective(Objective):
    """Mean negative log-likelihood over the tokens of the optimiser step."""

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the token mean."""
        logps_RT = token_logps(logits, batch.labels_RT)
        weights_RT, tokens = self.weights(logps_RT), counts["tokens"]
        value = weighted_nll(logps_RT, batch.mask_RT, weights_RT, reduction="global", num_items=tokens)
        if weights_RT is None:
            return Loss(value)
        plain = weighted_nll(logps_RT.detach(), batch.mask_RT, reduction="global", num_items=tokens)
        return Loss(value, {"nll": plain})

    def weights(self, logps_RT: Tensor) -> Tensor | None:
        """Weight of each token's likelihood, of its log-probability under the student; None: 1."""
        return None


@dataclass(frozen=True)
class SftFirstOptions:
    """Options of a method whose first stage is SFT."""

    sft_stage: bool = True
    """Whether to begin with SFT; without, the student must have been trained so before."""
    sft_share: float = 0.5
    """The SFT stage's part of a token or time budget; the paper's own lengths are in epochs."""

    def __post_init__(self) -> None:
        if not 0 < self.sft_share < 1:
            raise ValueError(f"sft_share must be above 0 and below 1, not {self.sft_share}")
        refuse_unused(self, self.sft_stage, "sft_stage=true", "sft_share")


def after_sft(
    stage: Stage,
    options: SftFirstOptions,
    settings: Mapping[str, Json],
    needs: tuple[str, ...] = ("response",),
    examples: ExampleMaker = tokenise,
) -> tuple[Stage, ...]:
    """The stage after one of SFT, or alone."""
    if not options.sft_stage:
        return (stage,)
    first = Stage("sft", needs, examples, LikelihoodObjective, settings, options.sft_share)
    return (first, dataclasses.replace(stage, share=1 - options.sft_share))


METHOD = TrainMethod(
    name="sft",
    summary="maximum likelihood on the teacher's responses (MLE, Std-CoT, SeqKD)",
    paper="Kim and Rush 2016, Sequence-Level Knowledge Distillation, arXiv 1606.07947",
    stages=one_stage(LikelihoodObjective, tokenise),
    needs=("teacher text",),
)
