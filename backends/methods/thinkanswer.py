"""ThinkAnswer: the answer is learnt by likelihood, the chain before it by what it means (EMNLP 2025 Findings 177).

    L = alpha * L_MIM + (1 - alpha) * L_CE        (Eq. 3.2, 3.4; `backends.losses.thinkanswer`)

L_CE is the answer's mean cross-entropy, L_MIM compares the expected embeddings of the student's chain with those of the
teacher's. The paper published no code and leaves alpha's schedule open; what is chosen here is in `METHOD.deviations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from backends.base import Loss, Objective, Step, Training, TrainMethod, one_stage
from backends.losses.embeddings import mean_embedding
from backends.losses.positions import HeadLogits
from backends.losses.thinkanswer import MimMode, think_answer
from backends.methods._views import CHAIN
from backends.options import must_be, refuse_unused
from backends.records.segments import tokenise
from backends.schedules import BalancedRatio, linear
from backends.trainers.batch import Batch
from harness.errors import ConfigError
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-5,
    "batch_size": 64,
    "epochs": 3,
    "warmup": 0.0,
    "lora_rank": 8,
    "lora_alpha": 16,
}


@dataclass(frozen=True)
class ThinkAnswerOptions:
    """ThinkAnswer's own options."""

    alpha_schedule: Literal["balanced", "constant", "linear"] = "balanced"
    """Weight of the similarity term: such that both terms weigh the same, fixed, or along a line."""
    alpha: float = 0.5
    """The constant."""
    alpha_start: float = 0.9
    """Where the line begins."""
    alpha_end: float = 0.1
    """Where the line ends."""
    alpha_min: float = 0.1
    """Least balanced alpha, at most 0.5."""
    alpha_max: float = 0.9
    """Largest balanced alpha, at least 0.5."""
    ema: float = 0.99
    """Memory of the running means that balance alpha, from 0 to below 1."""
    mim_mode: MimMode = "soft_mean"
    """Means over the chain; each position on its own; means over drawn tokens (straight-through)."""
    center: bool = True
    """Subtract the vocabulary's mean embedding before the cosine: raw means all point the same way."""
    cot_ce_weight: float = 0.0
    """Weight of the chain's own cross-entropy; 0 is the paper's, 0.1 keeps the chain readable."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "alpha", "alpha_start", "alpha_end")
        if not 0 <= self.alpha_min <= 0.5 <= self.alpha_max <= 1:
            raise ValueError("alpha_min must be from 0 to 0.5 and alpha_max from 0.5 to 1")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, not {self.ema}")
        must_be(self, "0 or more", "cot_ce_weight")
        schedule = self.alpha_schedule
        refuse_unused(self, schedule == "constant", "alpha_schedule=constant", "alpha")
        refuse_unused(self, schedule == "linear", "alpha_schedule=linear", "alpha_start", "alpha_end")
        refuse_unused(self, schedule == "balanced", "alpha_schedule=balanced", "alpha_min", "alpha_max", "ema")


class ThinkAnswerObjective(Objective):
    """Mean over the responses of the optimiser step, with one alpha for all of them."""

    options: ThinkAnswerOptions

    def __init__(self, options: ThinkAnswerOptions) -> None:
        super().__init__(options)
        self.ratio = BalancedRatio(rho=options.ema, low=options.alpha_min, high=options.alpha_max)
        self._layer: Any = None
        self._tied = self._learns = False
        self._vocabulary = 0
        self._center: tuple[int, Tensor] | None = None

    def setup(self, training: Training) -> None:
        """Find the input embeddings, and how many of their rows are tokens."""
        # The layer, not its weight: sharding puts another tensor in its place.
        self._layer = training.model.get_input_embeddings()
        weight = self._layer.weight
        self._tied = weight is training.model.get_output_embeddings().weight
        self._learns = weight.requires_grad
        self._vocabulary = min(len(training.tokenizer), weight.shape[0])

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The responses."""
        return {"sequences": torch.tensor(len(batch.labels_RT))}

    def alpha(self, step: Step) -> float:
        """The weight of the similarity term in this optimiser step."""
        if self.options.alpha_schedule == "balanced":
            return self.ratio.value
        if self.options.alpha_schedule == "constant":
            return self.options.alpha
        return linear(self.options.alpha_start, self.options.alpha_end, step.number, step.total)

    def prepare(self, batch: Batch, step: Step) -> Tensor | None:
        """The numbers that draw tokens, where tokens are drawn."""
        if self.options.mim_mode != "sample_st":
            return None
        return torch.rand(batch.labels_RT.shape, device=batch.labels_RT.device)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the mean; logs both terms, the chain's cross-entropy and alpha."""
        alpha, sequences = self.alpha(step), int(counts["sequences"])
        table_VD = self._embeddings(logits)
        found = think_answer(
            logits,
            batch.labels_RT,
            batch.part(*CHAIN),
            batch.part("answer"),
            table_VD,
            alpha=alpha,
            center_D=self._center_of(table_VD, step) if self.options.center else None,
            mim_mode=self.options.mim_mode,
            cot_ce_weight=self.options.cot_ce_weight,
            uniform_BT=prepared,
            num_sequences=sequences,
        )
        share = alpha * len(batch.labels_RT) / sequences
        return Loss(
            found.loss, {"mim": found.mim, "answer_ce": found.answer_ce, "think_ce": found.think_ce, "alpha": share}
        )

    def _embeddings(self, logits: HeadLogits) -> Tensor:
        """The input embeddings, whole; where they are the output layer's, that one has been gathered already."""
        if self._tied:
            return logits.head_VD
        weight: Any = self._layer.weight
        table: Tensor = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
        if table.numel() == 0:
            raise ConfigError(
                "thinkanswer cannot see input embeddings that ZeRO-3 has taken apart: use FSDP, ZeRO-2, or a model "
                "whose embeddings are also its output layer"
            )
        return table

    def _center_of(self, table_VD: Tensor, step: Step) -> Tensor:
        """Their mean, computed once if they are frozen, else once in each optimiser step."""
        if self._center is None or (self._learns and self._center[0] != step.number):
            self._center = (step.number, mean_embedding(table_VD, self._vocabulary))
        return self._center[1]

    def after_step(self, logged: Mapping[str, float], step: Step) -> None:
        """Take the step's two terms into the balance."""
        self.ratio.update(logged["answer_ce"], logged["mim"])

    def state_dict(self) -> dict[str, Any]:
        """The running means that balance alpha."""
        return dict(self.ratio.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the running means of a checkpoint."""
        self.ratio.load_state_dict(state)


METHOD = TrainMethod(
    name="thinkanswer",
    summary="the answer by likelihood, the chain by similarity of expected embeddings",
    paper="ThinkAnswer Loss, EMNLP 2025 Findings 177, equations 3.2 and 3.4",
    options=ThinkAnswerOptions,
    stages=one_stage(ThinkAnswerObjective, partial(tokenise, need_split=True), SETTINGS),
    needs=("teacher text",),
    deviations=(
        "the chain's embedding is the expected input embedding under teacher forcing: the paper does not say how it is "
        "differentiated",
        "alpha balances both terms by their running means: the paper says only that it is adjusted dynamically",
        "embeddings are detached and centred: else the loss falls by collapsing them, or has next to no gradient",
        "cross-entropies are means over tokens, where equation 3.1 sums",
        "LoRA of rank 8 on all linear layers, cosine, no warm-up: the defaults of the framework that the paper names",
    ),
)
