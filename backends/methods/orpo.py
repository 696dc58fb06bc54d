"""ORPO: likelihood of the preferred response and its odds against the rejected one, in one stage, no reference."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from backends.base import TrainMethod, must_be
from backends.losses.preference import PreferenceLoss, orpo_loss
from backends.methods._pairs import PairObjective, PairOptions, pair_stages
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 3e-4,
    "scheduler": "cosine",
    "epochs": 5,
    "batch_size": 2,
    "lora_rank": 16,
    "lora_alpha": 32,
}
"""R2Vul's (arXiv 2504.04699), which distils reasoning with it."""


@dataclass(frozen=True)
class OrpoOptions(PairOptions):
    """Options of ORPO."""

    beta: float = 0.3
    """Weight of the odds ratio; 0 is SFT by sequence mean."""

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "beta")


class OrpoObjective(PairObjective):
    """ORPO's loss."""

    options: OrpoOptions

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Eqs. 6 and 7 of the paper."""
        return orpo_loss(chosen_P, rejected_P, beta=self.options.beta)


METHOD = TrainMethod(
    name="orpo",
    summary="likelihood of the preferred response and the odds ratio to the rejected one",
    paper="Hong et al. 2024, ORPO, arXiv 2403.07691, Eqs. 6 and 7; defaults of R2Vul, arXiv 2504.04699",
    stages=pair_stages("orpo", OrpoObjective, SETTINGS),
    options=OrpoOptions,
    needs=("teacher text",),
    deviations=(
        "The likelihood is the response's alone; the authors' trainer adds the prompt's.",
        "Optimised by AdamW, as everything here; R2Vul takes Adafactor and the best checkpoint of five epochs.",
    ),
)
