"""SimPO: prefer a response by its mean log-probability, with a margin and without a reference."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from backends.base import TrainMethod
from backends.losses.preference import PreferenceLoss, simpo_loss
from backends.methods._pairs import PairObjective, PairOptions, pair_stages
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6,
    "scheduler": "cosine",
    "warmup": 0.1,
    "epochs": 1,
    "batch_size": 128,
}


@dataclass(frozen=True)
class SimpoOptions(PairOptions):
    """Options of SimPO."""

    beta: float = 2.0
    """Scale of the difference of the mean log-probabilities."""
    gamma: float = 1.0
    """Margin by which it must be ahead; the authors' `gamma_beta_ratio` times beta."""

    def __post_init__(self) -> None:
        if not self.beta > 0 or self.gamma < 0:
            raise ValueError(f"beta must be above 0 and gamma 0 or more, not {self.beta} and {self.gamma}")


class SimpoObjective(PairObjective):
    """SimPO's loss."""

    options: SimpoOptions

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Eq. 6 of the paper."""
        return simpo_loss(chosen_P, rejected_P, beta=self.options.beta, gamma=self.options.gamma)


METHOD = TrainMethod(
    name="simpo",
    summary="prefer a response by its mean log-probability, without a reference",
    paper="Meng et al. 2024, SimPO, arXiv 2405.14734, Eq. 6",
    stages=pair_stages("simpo", SimpoObjective, SETTINGS),
    options=SimpoOptions,
    needs=("teacher text",),
    deviations=("One set of defaults; the paper tunes learning rate (3e-7 to 1e-6), beta and gamma for each student.",),
)
