"""A training method: likelihood that looks hardest at the tokens the student is unsure of (Lin et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from backends.base import TrainMethod, one_stage
from backends.methods.sft import LikelihoodObjective
from backends.records.segments import tokenise


@dataclass(frozen=True)
class FocalOptions:
    """What `--set` may say."""

    gamma: float = 2.0
    """Power of the chance that the student gives to other tokens; 0 is SFT."""

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise ValueError(f"gamma must not be negative, not {self.gamma}")


class FocalObjective(LikelihoodObjective):
    """(1 - q)^gamma * nll, mean over the tokens of the optimiser step; no gradient through the weight."""

    options: FocalOptions

    def weights(self, logps_RT: Tensor) -> Tensor:
        """The weight of each token."""
        return (1 - logps_RT.detach().exp()) ** self.options.gamma


METHOD = TrainMethod(
    name="focal",
    summary="likelihood of the tokens that the student is unsure of",
    paper="Lin et al. 2017, Focal Loss, arXiv 1708.02002, equation 4",
    options=FocalOptions,
    stages=one_stage(FocalObjective, tokenise),
    needs=("teacher text",),
)
