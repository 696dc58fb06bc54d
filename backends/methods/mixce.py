"""MixCE: forward and reversed cross-entropy mixed (Zhang et al. 2023, arXiv 2305.16958).

The reversed part is approximated by the student's own probability of the reference token as its weight
(`backends.losses.mixce`). Ratio 1 is SFT.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from backends.base import TrainMethod, one_stage
from backends.losses.mixce import mixce_weights
from backends.methods.emo import SETTINGS
from backends.methods.sft import LikelihoodObjective
from backends.options import must_be
from backends.records.segments import tokenise


@dataclass(frozen=True)
class MixceOptions:
    """MixCE's own options."""

    ratio: float = 0.5
    """Weight of the plain likelihood, from 0 to 1; 1 is SFT."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "ratio")


class MixceObjective(LikelihoodObjective):
    """(r + (1 - r) sg[q]) * nll, mean over the tokens of the optimiser step."""

    options: MixceOptions

    def weights(self, logps_RT: Tensor) -> Tensor:
        """The weight r + (1 - r) q."""
        return mixce_weights(logps_RT, self.options.ratio)


METHOD = TrainMethod(
    name="mixce",
    summary="forward and reversed cross-entropy mixed",
    paper="Zhang et al. 2023, MixCE, arXiv 2305.16958, as in the EMO repository",
    options=MixceOptions,
    stages=one_stage(MixceObjective, tokenise, SETTINGS),
    needs=("teacher text",),
    deviations=(
        "the paper trains GPT-2 on plain text; the training settings are those of EMO, which compares with it",
        "the mixing ratio is 0.5, where the paper tunes it for each data set",
    ),
)
