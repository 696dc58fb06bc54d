"""MixCE: forward and reversed cross-entropy mixed (Zhang et al. 2023, arXiv 2305.16958).

The reversed part is approximated by the student's own probability of the reference token as its weight
(`backends.losses.mixce`). Ratio 1 is SFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from backends.base import Method, Stage
from backends.losses.mixce import mixce_weights
from backends.methods.emo import SETTINGS
from backends.methods.sft import LikelihoodObjective
from backends.records.segments import tokenise


@dataclass(frozen=True)
class Options:
    """MixCE's own options."""

    ratio: float = 0.5
    """Weight of the plain likelihood, from 0 to 1; 1 is SFT."""

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio must be from 0 to 1, not {self.ratio}")


class MixceObjective(LikelihoodObjective):
    """(r + (1 - r) sg[q]) * nll, mean over the tokens of the optimiser step."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def weights(self, logps_RT: Tensor) -> Tensor:
        """The weight r + (1 - r) q."""
        return mixce_weights(logps_RT, self.options.ratio)


def stages(options: Options) -> tuple[Stage, ...]:
    """One stage on the response."""
    return (Stage("train", ("response",), tokenise, partial(MixceObjective, options), SETTINGS),)


METHOD = Method(
    name="mixce",
    summary="forward and reversed cross-entropy mixed",
    paper="Zhang et al. 2023, MixCE, arXiv 2305.16958, as in the EMO repository",
    options=Options,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "the paper trains GPT-2 on plain text; the training settings are those of EMO, which compares with it",
        "the mixing ratio is 0.5, where the paper tunes it for each data set",
    ),
)
