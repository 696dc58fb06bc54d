"""SFT: maximum likelihood on the teacher's responses. Also called MLE, sequence-level distillation, Std-CoT.

Kim and Rush 2016 (arXiv 1606.07947): training on a teacher's own samples is distillation at the level of sequences.
Everything else here is compared with it, and reduces to it for some choice of its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from backends.base import Loss, Method, NoOptions, Objective, Stage, Step
from backends.losses.nll import head_logps, weighted_nll
from backends.losses.positions import HeadLogits
from backends.records.segments import tokenise
from backends.trainers.batch import Batch


class LikelihoodObjective(Objective):
    """Mean negative log-likelihood over the tokens of the optimiser step."""

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the token mean."""
        logps_RT = head_logps(logits, batch.labels_RT)
        weights_RT, tokens = self.weights(logps_RT), counts["tokens"]
        value = weighted_nll(logps_RT, batch.mask_RT, weights_RT, reduction="global", num_items=tokens)
        if weights_RT is None:
            return Loss(value)
        plain = weighted_nll(logps_RT.detach(), batch.mask_RT, reduction="global", num_items=tokens)
        return Loss(value, {"nll": plain})

    def weights(self, logps_RT: Tensor) -> Tensor | None:
        """Weight of each token's likelihood, of its log-probability under the student; None: 1."""
        return None


def stages(options: NoOptions) -> tuple[Stage, ...]:
    """One stage on the response."""
    return (Stage("train", ("response",), tokenise, LikelihoodObjective),)


METHOD = Method(
    name="sft",
    summary="maximum likelihood on the teacher's responses (MLE, Std-CoT, SeqKD)",
    paper="Kim and Rush 2016, Sequence-Level Knowledge Distillation, arXiv 1606.07947",
    stages=stages,
    needs=("teacher text",),
)
