"""Methods that begin with SFT: the option to do without, and how the budget is shared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from backends.base import ExampleMaker, Stage
from backends.methods._options import refuse_unused
from backends.methods.sft import LikelihoodObjective
from backends.records.segments import tokenise
from harness.types import Json


@dataclass(frozen=True)
class SftFirstOptions:
    """Options of a method whose first stage is SFT."""

    sft_stage: bool = True
    """Whether to begin with SFT; without, the student must have been trained so before."""
    sft_share: float = 0.5
    """The SFT stage's part of a token or time budget; the paper's own lengths are in epochs."""

    def __post_init__(self) -> None:
        if not 0 < self.sft_share < 1:
            raise ValueError(f"sft_share must be above 0 and below 1, not {self.sft_share}")
        refuse_unused(self, self.sft_stage, "sft_stage=true", "sft_share")


def after_sft(
    stage: Stage,
    options: SftFirstOptions,
    settings: Mapping[str, Json],
    needs: tuple[str, ...] = ("response",),
    examples: ExampleMaker = tokenise,
) -> tuple[Stage, ...]:
    """The stage after one of SFT, or alone."""
    if not options.sft_stage:
        return (stage,)
    first = Stage("sft", needs, examples, LikelihoodObjective, settings, options.sft_share)
    return (first, dataclasses.replace(stage, share=1 - options.sft_share))
