"""GSRM: trains a generative structure reward model, which cuts paths of reasoning into steps (RLKD, arXiv 2505.16142).

Its data are lists of steps (`harness data structure`): M, why each step is taken, and QA, the question it settles with
the result. Three thirds of the training, one epoch each by default:

    1: L = NLL(M)      2: L = NLL(QA)      3: L = (a * sum over M + b * sum over QA of -log p) / tokens

a + b = 2 and a = 2 L_M / (L_M + L_QA), of means per token: first those of the thirds before, then every 100 steps those
of the last 100. So where both are equally hard, a = b = 1, which is SFT on the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backends.base import Loss, Objective, Stage, Step, TrainMethod
from backends.losses.nll import IGNORE, token_logps, weighted_nll
from backends.losses.positions import HeadLogits
from backends.methods.sft import LikelihoodObjective
from backends.options import must_be, refuse_unused
from backends.records.segments import tokenise
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-5,
    "scheduler": "linear",
    "warmup": 0.1,
    "weight_decay": 1e-4,
    "epochs": 3.0,
}
"""The authors' configuration, with the paper's three epochs."""


@dataclass(frozen=True)
class GsrmOptions:
    """GSRM's own options."""

    schedule: Literal["structured", "plain"] = "structured"
    """"structured": the paper's three thirds; "plain": maximum likelihood on the list, as in the authors' code."""
    every: int = 100
    """Optimiser steps of the last third after which the two weights are set anew."""

    def __post_init__(self) -> None:
        must_be(self, "at least 1", "every")
        refuse_unused(self, self.schedule == "structured", "schedule=structured", "every")


def weight_of_meta(meta: float, solve: float) -> float:
    """The weight a of these two losses; 1 where there is nothing to compare."""
    return 2 * meta / (meta + solve) if meta > 0 and solve > 0 else 1.0


class StructuredObjective(Objective):
    """The three thirds; the running sums of both losses and the weight a are its state."""

    options: GsrmOptions

    def __init__(self, options: GsrmOptions) -> None:
        super().__init__(options)
        self._sums = {"meta": 0.0, "meta_steps": 0.0, "solve": 0.0, "solve_steps": 0.0}
        self._a = 1.0

    @staticmethod
    def third(step: Step) -> int:
        """Which third of the training a step is in: 0, 1, 2."""
        return min(2, step.number * 3 // step.total)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Tokens of either part."""
        meta_RT = batch.part("meta")
        return {"meta": meta_RT.sum(), "solve": (batch.mask_RT & ~meta_RT).sum()}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs the mean of each part that is learnt, and a."""
        third, meta_RT = self.third(step), batch.part("meta")
        parts = {"meta": meta_RT, "solve": batch.mask_RT & ~meta_RT}
        learnt = {name: mask_RT for at, (name, mask_RT) in enumerate(parts.items()) if third in (at, 2)}
        wanted_RT = torch.stack(list(learnt.values())).any(dim=0)
        logps_RT = token_logps(logits, batch.labels_RT.masked_fill(~wanted_RT, IGNORE))
        means = {
            name: weighted_nll(logps_RT, mask_RT, reduction="global", num_items=counts[name].clamp(min=1))
            for name, mask_RT in learnt.items()
        }
        log: dict[str, Tensor | float] = {f"nll_{name}": value.detach() for name, value in means.items()}
        if third < 2:
            (value,) = means.values()
            return Loss(value, log)
        tokens = counts["meta"] + counts["solve"]
        weights_RT = torch.where(meta_RT, self._a, 2 - self._a)
        log["a"] = self._a * batch.mask_RT.sum() / tokens
        return Loss(weighted_nll(logps_RT, batch.mask_RT, weights_RT, reduction="global", num_items=tokens), log)

    def after_step(self, logged: Mapping[str, float], step: Step) -> None:
        """Take the step's means into the sums; set a where a third ends and every so many steps of the last."""
        for name in ("meta", "solve"):
            value = logged.get(f"nll_{name}", 0.0)
            if value > 0:  # a step without a token of the part says nothing of it
                self._sums[name] += value
                self._sums[f"{name}_steps"] += 1
        third, following = self.third(step), self.third(Step(step.number + 1, step.total))
        begins = third < 2 and following == 2
        due = third == 2 and (step.number + 1 - _start(step.total)) % self.options.every == 0
        if begins or due:
            self._a = weight_of_meta(*(self._mean(name) for name in ("meta", "solve")))
            self._sums = dict.fromkeys(self._sums, 0.0)

    def _mean(self, name: str) -> float:
        return self._sums[name] / max(1.0, self._sums[f"{name}_steps"])

    def state_dict(self) -> dict[str, Any]:
        """Sums and weight."""
        return {"sums": dict(self._sums), "a": self._a}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with those of a checkpoint."""
        self._sums, self._a = dict(state["sums"]), float(state["a"])


def _start(total: int) -> int:
    """First step of the last third."""
    return -(-2 * total // 3)


def stages(options: GsrmOptions) -> tuple[Stage, ...]:
    """One; its records need a structure unless the schedule is plain."""
    if options.schedule == "plain":
        return (Stage("train", ("response",), tokenise, LikelihoodObjective, SETTINGS),)
    needs = ("response", "structure")
    return (Stage("train", needs, tokenise, lambda: StructuredObjective(options), SETTINGS),)


METHOD = TrainMethod(
    name="gsrm",
    summary="a model that cuts reasoning into steps: why, what is asked, what comes out, learnt in turn (RLKD)",
    paper="Xu et al. 2025, Distilling the Implicit Multi-Branch Structure in LLMs' Reasoning via Reinforcement "
    "Learning (RLKD), arXiv 2505.16142, section 3.1.2",
    options=GsrmOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        'a and b are updated "according to the ratio of the losses": read as a + b = 2 with a = 2 L_M / (L_M + L_QA)',
        "the first two thirds are means over their own tokens, where the paper sums",
        "the end of sequence and what leads up to a piece belong to that piece, the end of sequence to the last QA",
        "the schedule is not in the authors' code, which is plain SFT for one epoch: schedule=plain",
    ),
)
