"""REDI: SFT on right responses, then push right ones up and wrong ones down, the latter a little less."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from backends.base import Stage, TrainMethod, must_be
from backends.losses.preference import PreferenceLoss, redi_loss
from backends.methods._pairs import PairObjective, PairOptions, pair_stage
from backends.methods.sft import SftFirstOptions, after_sft
from harness.types import Json

SFT_SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-5,
    "scheduler": "linear",
    "warmup": 0.1,
    "weight_decay": 1e-4,
    "epochs": 5,
    "batch_size": 128,
}
SETTINGS: dict[str, Json] = {**SFT_SETTINGS, "learning_rate": 1e-6, "epochs": 1, "batch_size": 32}


@dataclass(frozen=True)
class RediOptions(PairOptions, SftFirstOptions):
    """Options of REDI."""

    alpha: float = 0.8
    """Weight of the rejected responses: 0 is SFT by sequence mean, 1 is symmetric and less stable."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "alpha")


class RediObjective(PairObjective):
    """REDI's loss."""

    options: RediOptions

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Mean NLL of the preferred response less alpha times that of the rejected one."""
        return redi_loss(chosen_P, rejected_P, alpha=self.options.alpha)


def stages(options: RediOptions) -> tuple[Stage, ...]:
    """SFT on the preferred responses, then the pairs."""
    pairs = pair_stage("redi", RediObjective, options, SETTINGS)
    return after_sft(pairs, options, SFT_SETTINGS, options.needs, options.examples("response"))


METHOD = TrainMethod(
    name="redi",
    summary="SFT on right responses, then right ones up and wrong ones down, asymmetrically",
    paper="Xu et al. 2025, Harnessing Negative Signals: Reinforcement Distillation from Teacher Data for LLM "
    "Reasoning, arXiv 2505.24850, the asymmetric objective of stage 2",
    stages=stages,
    options=RediOptions,
    needs=("teacher text",),
    deviations=(
        "Both stages read the same records; the paper's SFT has 78,000 right traces, its pairs are 53,000.",
        "Pairs over the length limit are left out and counted; the authors cut responses at 19,000 tokens.",
    ),
)
