"""GRPO: completions of a prompt compared with one another, by what a verifier says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from backends.base import Loss, Objective, Rolling, Stage, Step, Training, TrainMethod, must_be
from backends.losses.credit import Scale, advantages
from backends.losses.nll import token_logps
from backends.losses.policy import Norm, log_ratio_of, over_step, surrogate
from backends.losses.positions import HeadLogits
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Credited, RolloutGroup
from backends.trainers.batch import Batch


@dataclass(frozen=True)
class GrpoOptions:
    """Options of GRPO."""

    weights: str = "accuracy=1"
    """Rewards and how much each counts: accuracy=1+format=0.5."""
    norm: Norm = "sequence"
    """What the sum over tokens is divided by: each completion's length, all tokens (DAPO), a constant (Dr. GRPO)."""
    scale: Scale = "sample"
    """What a reward's distance from its group's mean is divided by."""
    low: float = 0.2
    """The ratio is clipped below 1 less this."""
    high: float = 0.2

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "low")
        must_be(self, "0 or more", "high")


class GrpoObjective(Objective):
    """The clipped policy gradient."""

    def setup(self, training: Training) -> None:
        """How the completions are drawn."""
        assert training.rollout is not None
        self._rollout = training.rollout

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Tokens, and completions with one that counts."""
        return {"tokens": batch.mask_RT.sum(), "rows": batch.mask_RT.any(1).sum()}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share."""
        mask_RT = batch.mask_RT
        logps_RT = token_logps(logits, batch.labels_RT, temperature=self._rollout.temperature)
        if not int(counts["tokens"]):
            return Loss(logps_RT.sum() * 0.0)
        log_ratio_RT = log_ratio_of(logps_RT, batch.extras.get("old_logps"), mask_RT)
        advantage_R = batch.numbers.get("advantage", torch.zeros(len(mask_RT), device=mask_RT.device))
        options = self.options
        found = surrogate(logps_RT, log_ratio_RT, advantage_R, mask_RT, low=options.low, high=options.high)
        tokens, rows = counts["tokens"], counts["rows"]
        loss = over_step(
            found.loss_RT, mask_RT, norm=options.norm, tokens=tokens, rows=rows, width=self._rollout.max_new
        )
        return Loss(loss)


def credit(options: GrpoOptions, groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """Each completion's advantage over its group."""
    rewards = [
        torch.tensor([math.nan if mark.value is None else mark.value for mark in group.marks], dtype=torch.float64)
        for group in groups
    ]
    return [
        [Credited(not math.isnan(value), {"advantage": value}) for value in found.tolist()]
        for found in advantages(rewards, options.scale)
    ]


def stages(options: GrpoOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    return (
        Stage(
            "train",
            ("prompt",),
            prompts,
            partial(GrpoObjective, options),
            {"learning_rate": 1e-6, "scheduler": "constant", "epochs": 1},
            rolling=Rolling(partial(credit, options), options.weights),
        ),
    )


METHOD = TrainMethod(
    name="grpo",
    summary="completions of a prompt, each weighed by its reward beside the others' (GRPO, Dr. GRPO)",
    paper="Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, equation 3",
    stages=stages,
    options=GrpoOptions,
)
