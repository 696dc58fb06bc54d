"""EMO: earth mover's distance beside the likelihood (Ren et al. 2023, arXiv 2310.04691).

Probability that lies on words close to the reference word costs less than probability far away, by the cosines of the
output layer's rows (`backends.losses.emo`). The value of mode 1 is the likelihood itself; its gradient is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from backends.base import Loss, Objective, Step, Training, TrainMethod, one_stage
from backends.losses.emo import EmoVariant, emo
from backends.losses.positions import HeadLogits
from backends.records.segments import tokenise
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 2e-5,
    "batch_size": 128,
    "epochs": 3,
    "scheduler": "cosine",
    "warmup": 0.03,
}
"""The authors' instruction tuning."""


@dataclass(frozen=True)
class EmoOptions:
    """EMO's own options."""

    variant: EmoVariant = "detach_gold"
    """"detach_gold": the reference token's own mass has no gradient and the term is near 1 where it is certain."""
    mode: int = 1
    """1: (sg[nll / term] * term + nll) / 2; 2: sg[term / nll] * nll + term."""
    cost: Literal["adaptive", "fixed"] = "adaptive"
    """Distances by the output layer as it is, or as it was before training."""

    def __post_init__(self) -> None:
        if self.mode not in (1, 2):
            raise ValueError(f"mode must be 1 or 2, not {self.mode}")


class EmoObjective(Objective):
    """EMO, mean over the tokens of the optimiser step."""

    options: EmoOptions
    _cost_VD: Tensor | None = None

    def setup(self, training: Training) -> None:
        """Keep the untrained output layer, if it is going to change."""
        weight = training.model.get_output_embeddings().weight
        if self.options.cost == "fixed" and weight.requires_grad:
            self._cost_VD = weight.detach().to(training.device, copy=True)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the token mean; logs the likelihood and the distance."""
        found = emo(
            logits,
            batch.labels_RT,
            batch.mask_RT,
            logits.head_VD if self._cost_VD is None else self._cost_VD,
            variant=self.options.variant,
            mode=1 if self.options.mode == 1 else 2,
            reduction="global",
            num_items=counts["tokens"],
        )
        return Loss(found.loss, {"nll": found.nll, "distance": found.distance})


METHOD = TrainMethod(
    name="emo",
    summary="earth mover's distance to the reference token, in embedding space, beside the likelihood",
    paper="Ren et al. 2023, EMO: Earth Mover Distance Optimization, arXiv 2310.04691; modes as in its code",
    options=EmoOptions,
    stages=one_stage(EmoObjective, tokenise, SETTINGS),
    needs=("teacher text",),
    deviations=(
        "which mode and variant the paper's tables use is not said: the defaults are its instruction tuning's",
    ),
)
