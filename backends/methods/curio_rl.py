"""CurioSFT, then reinforcement from it: the entropy that the first stage keeps is what the second explores with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from backends.base import Stage, TrainMethod
from backends.methods import curiosft
from backends.methods._policy_options import PolicyOptions
from backends.methods._teacher_rl import policy_stage
from backends.methods.curiosft import CurioObjective, CurioOptions
from backends.records.segments import tokenise
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6, "batch_size": 1024, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
"""128 prompts of 8 completions."""
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}


@dataclass(frozen=True)
class CurioRlOptions(PolicyOptions, CurioOptions):
    """Options of CurioSFT and of the stage after it."""

    sft_share: float = 0.5
    """The first stage's part of a token or time budget."""

    def __post_init__(self) -> None:
        PolicyOptions.__post_init__(self)
        CurioOptions.__post_init__(self)
        if not 0 < self.sft_share < 1:
            raise ValueError(f"sft_share must be above 0 and below 1, not {self.sft_share}")


def stages(options: CurioRlOptions) -> tuple[Stage, ...]:
    """CurioSFT on the teacher's responses, GRPO on the same prompts."""
    first = Stage(
        "curiosft", ("response",), tokenise, partial(CurioObjective, options), curiosft.SETTINGS, options.sft_share
    )
    second = policy_stage("curio_rl", options, SETTINGS, ROLLOUT)
    return (first, replace(second, name="rl", share=1 - options.sft_share))


METHOD = TrainMethod(
    name="curio_rl",
    summary="CurioSFT, then GRPO from it: whether kept entropy pays",
    paper="CurioSFT, arXiv 2602.02244, its reinforcement stage: GRPO, learning rate 1e-6, 128 prompts, 8 completions",
    options=CurioRlOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        *curiosft.METHOD.deviations,
        "both stages read the same records, whose answers a grader must be able to check",
        "how long the second stage lasts is ours",
    ),
)
