"""TaiLr: tailoring likelihood towards total variation distance (Ji et al. 2023, arXiv 2302.13344).

Tokens that the student holds nearly impossible count less (`backends.losses.tailr`). Gamma 1 is SFT.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from backends.base import TrainMethod, one_stage
from backends.losses.tailr import tailr_weights
from backends.methods.emo import SETTINGS
from backends.methods.sft import LikelihoodObjective
from backends.options import must_be
from backends.records.segments import tokenise


@dataclass(frozen=True)
class TailrOptions:
    """TaiLr's own options."""

    gamma: float = 0.1
    """Weight of the plain likelihood, from 0 to 1; 1 is SFT."""
    min_weight: float = 0.2
    """Least weight of a token in the other part, from 0 to 1."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "gamma", "min_weight")


class TailrObjective(LikelihoodObjective):
    """(g + (1 - g) sg[clip(q / ((1 - g) + g q), m, 1)]) * nll, mean over the tokens of the optimiser step."""

    options: TailrOptions

    def weights(self, logps_RT: Tensor) -> Tensor:
        """The weight g + (1 - g) clip(q / ((1 - g) + g q), m, 1)."""
        return tailr_weights(logps_RT, self.options.gamma, self.options.min_weight)


METHOD = TrainMethod(
    name="tailr",
    summary="likelihood tailored towards total variation distance",
    paper="Ji et al. 2023, Tailoring Language Generation Models under Total Variation Distance, arXiv 2302.13344",
    options=TailrOptions,
    stages=one_stage(TailrObjective, tokenise, SETTINGS),
    needs=("teacher text",),
    deviations=(
        "form and lower bound are those of the EMO repository, and so are the training settings",
        "gamma is 0.1, where the paper tunes it for each task",
    ),
)
