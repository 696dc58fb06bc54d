"""RJUDGE (the core of WebArbiter): a judge that writes principles, evidence and comparison before its verdict.

    stage "sft"   likelihood of a teacher's justifications whose verdict is right
    stage "rl"    GRPO with reward 1 for a right verdict and -1 for any other reply, near the first stage's model

Records are those of `harness data verdicts`: the question of a pairwise rubric with both answers fenced, the label of
the better answer as gold, and a response where the teacher was right. Training and `harness judge --judge trained:<id>
--rubric pairwise_verdict` ask alike and read replies alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backends.base import Stage, TrainMethod
from backends.methods._policy_options import PolicyOptions
from backends.methods._teacher_rl import policy_stage
from backends.methods.grpo import SETTINGS
from backends.methods.sft import SftFirstOptions, after_sft
from backends.records.record import TrainRecord, has
from backends.records.segments import Encoder, Tokenised, tokenise
from harness.errors import DataError
from harness.types import Json

LORA: dict[str, Json] = {"lora_rank": 32}
SFT_SETTINGS: dict[str, Json] = {"learning_rate": 1e-4, "batch_size": 64, "epochs": 2, **LORA}
RL_SETTINGS: dict[str, Json] = {**SETTINGS, "learning_rate": 1e-5, **LORA}
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}


@dataclass(frozen=True)
class RjudgeOptions(PolicyOptions, SftFirstOptions):
    """Options of RJUDGE."""

    weights: str = "verdict=1"
    """Rewards of the second stage."""
    kl_coef: float = 0.01
    """Weight of the distance to the first stage's model."""

    def __post_init__(self) -> None:
        PolicyOptions.__post_init__(self)
        SftFirstOptions.__post_init__(self)


def justified(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The records whose teacher decided rightly. Raises `DataError` if there is none."""
    found = [record for record in records if has(record, "response")]
    if not found:
        raise DataError(
            f"rjudge begins with a teacher's justifications, and none of {len(records)} records has a 'response': make "
            "them with `harness data verdicts`, or say sft_stage=false for a student that has been trained so before"
        )
    return tokenise(encoder, found)


def stages(options: RjudgeOptions) -> tuple[Stage, ...]:
    """SFT, then GRPO on verdicts."""
    second = replace(policy_stage("rjudge", options, RL_SETTINGS, ROLLOUT), name="rl")
    return after_sft(second, options, SFT_SETTINGS, ("prompt",), justified)


METHOD = TrainMethod(
    name="rjudge",
    summary="a reasoning judge: right reasons, then verdicts (WebArbiter)",
    paper="WebArbiter, ICLR 2026, arXiv 2601.21872: SFT on right justifications, then GRPO on verdicts",
    options=RjudgeOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "Any pairs in place of steps of web agents; the observation is part of the task's text.",
        "The pair's order is data (`harness data verdicts --orders both`), so a judge is rewarded in each order by "
        "itself; how often it decides alike is the flip rate of `harness judge`.",
        "Rank, learning rates, batch, epochs and the distance's weight (k2) are ours: the paper's were not at hand.",
        "The second stage asks all pairs, also those whose teacher was right; the paper has other pairs there.",
    ),
)
