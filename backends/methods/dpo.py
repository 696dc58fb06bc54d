"""DPO: prefer a response over another, relative to the student as it was before the stage.

The reference needs no second model in memory: the untrained student's log-probabilities of both responses are computed
once and kept, two numbers a pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backends.base import Training, TrainMethod, must_be
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.preference import PreferenceLoss, dpo_loss
from backends.losses.reduction import row_sums
from backends.methods._pairs import CHOSEN, REJECTED, PairObjective, PairOptions, pair_stages
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-7,
    "scheduler": "cosine",
    "warmup": 0.1,
    "epochs": 1,
    "batch_size": 128,
}
"""Zephyr's, which DPO shares here: the paper of DPO has its own tasks."""


@dataclass(frozen=True)
class DpoOptions(PairOptions):
    """Options of DPO."""

    beta: float = 0.01
    """Strength of the reference: the larger, the closer the student stays to it."""

    def __post_init__(self) -> None:
        must_be(self, "above 0", "beta")


class DpoObjective(PairObjective):
    """DPO's loss; the reference is the student as `setup` finds it."""

    score = staticmethod(row_sums)

    def __init__(self, options: DpoOptions) -> None:
        super().__init__(options)
        self.reference_N2 = torch.zeros(0, 2)
        """Summed log-probability of each pair's responses under the reference."""

    def setup(self, training: Training) -> None:
        """Score the whole data set once with the untrained student."""
        self.reference_N2 = torch.zeros(training.examples, 2, device=training.device)
        for batch in training.batches():
            mask_RT, labels_RT = batch.mask_RT, batch.labels_RT

            def sums(logits: HeadLogits, labels_RT: Tensor = labels_RT, mask_RT: Tensor = mask_RT) -> Tensor:
                return row_sums(token_logps(logits, labels_RT), mask_RT)

            self.reference_N2[batch.index_R, batch.slot_R] = training.forward(sums, batch).to(self.reference_N2.dtype)

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Eq. 7 of the paper."""
        reference_P2 = self.reference_N2[index_P].to(chosen_P.dtype)
        return dpo_loss(
            chosen_P, rejected_P, reference_P2[:, CHOSEN], reference_P2[:, REJECTED], beta=self.options.beta
        )  # fmt: skip


METHOD = TrainMethod(
    name="dpo",
    summary="prefer a response over another, relative to the untrained student",
    paper="Rafailov et al. 2023, Direct Preference Optimization, arXiv 2305.18290, Eq. 7",
    stages=pair_stages("dpo", DpoObjective, SETTINGS),
    options=DpoOptions,
    needs=("teacher text",),
    deviations=(
        "Defaults are Zephyr's (beta 0.01, learning rate 5e-7, one epoch); the paper tunes beta from 0.1 to 0.5.",
        "Pairs over the length limit are left out and counted; other implementations cut them.",
    ),
)
