"""Methods that prefer one response over another: DPO, SimPO, ORPO, and after a stage of SFT, Zephyr and REDI.

DPO is relative to the student as it was before the stage. Its reference needs no second model in memory: the untrained
student's log-probabilities of both responses are computed once and kept, two numbers a pair. SimPO goes by the mean
log-probability, with a margin and without a reference; ORPO by the likelihood of the preferred response and its odds
against the rejected one. Zephyr is SFT on the teacher's responses, then DPO on its pairs (dDPO), with the SFT model as
reference. REDI is SFT on right responses, then pushes right ones up and wrong ones down, the latter a little less.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backends.base import Stage, Training, TrainMethod
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.preference import PreferenceLoss, dpo_loss, orpo_loss, redi_loss, simpo_loss
from backends.losses.reduction import row_sums
from backends.methods._pairs import CHOSEN, REJECTED, PairObjective, PairOptions, pair_stage, pair_stages
from backends.methods.sft import SftFirstOptions, after_sft
from backends.options import must_be
from harness.types import Json

_SHORT: dict[str, Json] = {"scheduler": "cosine", "warmup": 0.1, "epochs": 1, "batch_size": 128}
DPO_SETTINGS: dict[str, Json] = {"learning_rate": 5e-7, **_SHORT}
"""Zephyr's, which DPO shares here: the paper of DPO has its own tasks."""
ZEPHYR_SFT_SETTINGS: dict[str, Json] = {"learning_rate": 2e-5, **_SHORT}
SIMPO_SETTINGS: dict[str, Json] = {"learning_rate": 1e-6, **_SHORT}
ORPO_SETTINGS: dict[str, Json] = {
    "learning_rate": 3e-4,
    "scheduler": "cosine",
    "epochs": 5,
    "batch_size": 2,
    "lora_rank": 16,
    "lora_alpha": 32,
}
"""R2Vul's (arXiv 2504.04699), which distils reasoning with it."""
REDI_SFT_SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-5,
    "scheduler": "linear",
    "warmup": 0.1,
    "weight_decay": 1e-4,
    "epochs": 5,
    "batch_size": 128,
}
REDI_SETTINGS: dict[str, Json] = {**REDI_SFT_SETTINGS, "learning_rate": 1e-6, "epochs": 1, "batch_size": 32}


@dataclass(frozen=True)
class DpoOptions(PairOptions):
    """Options of DPO."""

    beta: float = 0.01
    """Strength of the reference: the larger, the closer the student stays to it."""

    def __post_init__(self) -> None:
        must_be(self, "above 0", "beta")


class DpoObjective(PairObjective):
    """DPO's loss; the reference is the student as `setup` finds it."""

    score = staticmethod(row_sums)

    def __init__(self, options: DpoOptions) -> None:
        super().__init__(options)
        self.reference_N2 = torch.zeros(0, 2)
        """Summed log-probability of each pair's responses under the reference."""

    def setup(self, training: Training) -> None:
        """Score the whole data set once with the untrained student."""
        self.reference_N2 = torch.zeros(training.examples, 2, device=training.device)
        for batch in training.batches():
            mask_RT, labels_RT = batch.mask_RT, batch.labels_RT

            def sums(logits: HeadLogits, labels_RT: Tensor = labels_RT, mask_RT: Tensor = mask_RT) -> Tensor:
                return row_sums(token_logps(logits, labels_RT), mask_RT)

            self.reference_N2[batch.index_R, batch.slot_R] = training.forward(sums, batch).to(self.reference_N2.dtype)

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Eq. 7 of the paper."""
        reference_P2 = self.reference_N2[index_P].to(chosen_P.dtype)
        return dpo_loss(
            chosen_P, rejected_P, reference_P2[:, CHOSEN], reference_P2[:, REJECTED], beta=self.options.beta
        )  # fmt: skip


DPO = TrainMethod(
    name="dpo",
    summary="prefer a response over another, relative to the untrained student",
    paper="Rafailov et al. 2023, Direct Preference Optimization, arXiv 2305.18290, Eq. 7",
    stages=pair_stages("dpo", DpoObjective, DPO_SETTINGS),
    options=DpoOptions,
    needs=("teacher text",),
    deviations=(
        "Defaults are Zephyr's (beta 0.01, learning rate 5e-7, one epoch); the paper tunes beta from 0.1 to 0.5.",
        "Pairs over the length limit are left out and counted; other implementations cut them.",
    ),
)


@dataclass(frozen=True)
class ZephyrOptions(DpoOptions, SftFirstOptions):
    """Options of Zephyr."""

    def __post_init__(self) -> None:
        DpoOptions.__post_init__(self)
        SftFirstOptions.__post_init__(self)


def _zephyr(options: ZephyrOptions) -> tuple[Stage, ...]:
    """SFT on the preferred responses, then DPO on the pairs."""
    pairs = pair_stage("dpo", DpoObjective, options, DPO_SETTINGS)
    return after_sft(pairs, options, ZEPHYR_SFT_SETTINGS, options.needs, options.examples("response"))


ZEPHYR = TrainMethod(
    name="zephyr",
    summary="SFT, then DPO on a teacher's preferred and rejected responses (dDPO)",
    paper="Tunstall et al. 2023, Zephyr: Direct Distillation of LM Alignment, arXiv 2310.16944, section 3",
    stages=_zephyr,
    options=ZephyrOptions,
    needs=("teacher text",),
    deviations=(
        "Both stages read the same records; the paper takes UltraChat for SFT, UltraFeedback for the pairs.",
        "Pairs over the length limit are left out and counted; the authors cut them at 1,024 tokens.",
    ),
)


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

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Eq. 6 of the paper."""
        return simpo_loss(chosen_P, rejected_P, beta=self.options.beta, gamma=self.options.gamma)


SIMPO = TrainMethod(
    name="simpo",
    summary="prefer a response by its mean log-probability, without a reference",
    paper="Meng et al. 2024, SimPO, arXiv 2405.14734, Eq. 6",
    stages=pair_stages("simpo", SimpoObjective, SIMPO_SETTINGS),
    options=SimpoOptions,
    needs=("teacher text",),
    deviations=("One set of defaults; the paper tunes learning rate (3e-7 to 1e-6), beta and gamma for each student.",),
)


@dataclass(frozen=True)
class OrpoOptions(PairOptions):
    """Options of ORPO."""

    beta: float = 0.3
    """Weight of the odds ratio; 0 is SFT by sequence mean."""

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "beta")


class OrpoObjective(PairObjective):
    """ORPO's loss."""

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Eqs. 6 and 7 of the paper."""
        return orpo_loss(chosen_P, rejected_P, beta=self.options.beta)


ORPO = TrainMethod(
    name="orpo",
    summary="likelihood of the preferred response and the odds ratio to the rejected one",
    paper="Hong et al. 2024, ORPO, arXiv 2403.07691, Eqs. 6 and 7; defaults of R2Vul, arXiv 2504.04699",
    stages=pair_stages("orpo", OrpoObjective, ORPO_SETTINGS),
    options=OrpoOptions,
    needs=("teacher text",),
    deviations=(
        "The likelihood is the response's alone; the authors' trainer adds the prompt's.",
        "Optimised by AdamW, as everything here; R2Vul takes Adafactor and the best checkpoint of five epochs.",
    ),
)


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

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """Mean NLL of the preferred response less alpha times that of the rejected one."""
        return redi_loss(chosen_P, rejected_P, alpha=self.options.alpha)


def _redi(options: RediOptions) -> tuple[Stage, ...]:
    """SFT on the preferred responses, then the pairs."""
    pairs = pair_stage("redi", RediObjective, options, REDI_SETTINGS)
    return after_sft(pairs, options, REDI_SFT_SETTINGS, options.needs, options.examples("response"))


REDI = TrainMethod(
    name="redi",
    summary="SFT on right responses, then right ones up and wrong ones down, asymmetrically",
    paper="Xu et al. 2025, Harnessing Negative Signals: Reinforcement Distillation from Teacher Data for LLM "
    "Reasoning, arXiv 2505.24850, the asymmetric objective of stage 2",
    stages=_redi,
    options=RediOptions,
    needs=("teacher text",),
    deviations=(
        "Both stages read the same records; the paper's SFT has 78,000 right traces, its pairs are 53,000.",
        "Pairs over the length limit are left out and counted; the authors cut responses at 19,000 tokens.",
    ),
)
