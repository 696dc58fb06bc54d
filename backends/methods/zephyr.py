"""Zephyr: SFT on the teacher's responses, then DPO on its pairs (dDPO), with the SFT model as reference."""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import Stage, TrainMethod
from backends.methods._pairs import pair_stage
from backends.methods.dpo import SETTINGS, DpoObjective, DpoOptions
from backends.methods.sft import SftFirstOptions, after_sft
from harness.types import Json

SFT_SETTINGS: dict[str, Json] = {
    "learning_rate": 2e-5,
    "scheduler": "cosine",
    "warmup": 0.1,
    "epochs": 1,
    "batch_size": 128,
}


@dataclass(frozen=True)
class ZephyrOptions(DpoOptions, SftFirstOptions):
    """Options of Zephyr."""

    def __post_init__(self) -> None:
        DpoOptions.__post_init__(self)
        SftFirstOptions.__post_init__(self)


def stages(options: ZephyrOptions) -> tuple[Stage, ...]:
    """SFT on the preferred responses, then DPO on the pairs."""
    pairs = pair_stage("dpo", DpoObjective, options, SETTINGS)
    return after_sft(pairs, options, SFT_SETTINGS, options.needs, options.examples("response"))


METHOD = TrainMethod(
    name="zephyr",
    summary="SFT, then DPO on a teacher's preferred and rejected responses (dDPO)",
    paper="Tunstall et al. 2023, Zephyr: Direct Distillation of LM Alignment, arXiv 2310.16944, section 3",
    stages=stages,
    options=ZephyrOptions,
    needs=("teacher text",),
    deviations=(
        "Both stages read the same records; the paper takes UltraChat for SFT, UltraFeedback for the pairs.",
        "Pairs over the length limit are left out and counted; the authors cut them at 1,024 tokens.",
    ),
)
