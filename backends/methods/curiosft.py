"""CurioSFT: SFT that keeps its curiosity, by a pull towards a warmer copy of itself (arXiv 2602.02244).

    L_t = -log p(y_t) + lam * (log p(y_t) - log p_ref,tau(y_t))^2 / 2

The reference is a running mean of the student; its temperature is solved for each token (`backends.losses.curio`).
Costs one more pass without gradient and one copy of the trained weights in float32. Lam 0 is SFT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backends.base import Loss, Objective, Step, Training, TrainMethod, one_stage
from backends.losses.curio import TAU_HIGH, TAU_LOW, curio_temperature, curio_values
from backends.losses.entropy import top_share_entropy
from backends.losses.nll import token_logps, token_logps_and_entropies
from backends.losses.positions import HeadLogits
from backends.losses.reduction import reduce_tokens
from backends.options import must_be
from backends.records.segments import tokenise
from backends.schedules import ParameterMean
from backends.teachers.moving import holding, trained_weights
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 256, "epochs": 3, "warmup": 0.11}
"""60 warm-up steps of about 540."""
_WHAT = "curiosft keeps a running mean of the weights"


@dataclass(frozen=True)
class CurioOptions:
    """CurioSFT's own options."""

    lam: float = 1.0
    """Weight of the pull towards the reference; 0 is SFT."""
    tau_low: float = TAU_LOW
    """Least temperature of the reference."""
    tau_high: float = TAU_HIGH
    """Largest temperature of the reference."""
    sync_every: int = 5
    """Optimiser steps between two updates of the running mean."""
    ema_mix: float = 0.01
    """Part of the running mean that an update keeps; the authors' `a`, the student's part, is one minus this."""

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "lam")
        if not 0 < self.tau_low <= self.tau_high:
            raise ValueError(f"tau_low {self.tau_low} must be above 0 and at most tau_high {self.tau_high}")
        must_be(self, "at least 1", "sync_every")
        must_be(self, "from 0 to 1", "ema_mix")


class CurioObjective(Objective):
    """CurioSFT, mean over the tokens of the optimiser step."""

    options: CurioOptions
    _training: Training | None = None
    _mean: ParameterMean | None = None
    _synced = 0

    def setup(self, training: Training) -> None:
        """The running mean starts as the untrained student."""
        self._training = training
        if self.options.lam:
            self._mean = ParameterMean(trained_weights(training.model, _WHAT), rho=self.options.ema_mix)

    def prepare(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor] | None:
        """The reference's (log-probabilities, temperatures) of the labels, (R, T); updates the mean when it is due."""
        if self._training is None or self._mean is None:
            return None
        weights = trained_weights(self._training.model, _WHAT)
        if step.number != self._synced and step.number % self.options.sync_every == 0:
            self._mean.update(weights)
            self._synced = step.number

        def reference(logits: HeadLogits) -> tuple[Tensor, Tensor]:
            tau_RT = curio_temperature(logits, batch.mask_RT, low=self.options.tau_low, high=self.options.tau_high)
            return token_logps(logits, batch.labels_RT, temperature=tau_RT), tau_RT

        with holding(self._mean, weights):
            found: tuple[Tensor, Tensor] = self._training.forward(reference, batch)
        return found

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the token mean; logs the likelihood, entropies, the pull, the temperature."""
        mask_RT = batch.mask_RT

        def mean(values_RT: Tensor) -> Tensor:
            return reduce_tokens(values_RT, mask_RT, reduction="global", num_items=counts["tokens"])

        logps_RT, entropy_RT = token_logps_and_entropies(logits, batch.labels_RT)
        entropies = {"entropy": mean(entropy_RT), "entropy_top": mean(top_share_entropy(entropy_RT, mask_RT))}
        log = {"nll": mean(-logps_RT.detach()), **entropies}
        if prepared is None:
            return Loss(mean(-logps_RT), log)
        reference_RT, tau_RT = prepared
        value = mean(curio_values(logps_RT, reference_RT, lam=self.options.lam))
        pull = mean((logps_RT.detach() - reference_RT).square() / 2)
        return Loss(value, {**log, "pull": pull, "tau": mean(tau_RT)})

    def state_dict(self) -> dict[str, Any]:
        """The running mean, and the step it was last updated at."""
        return {} if self._mean is None else {"mean": self._mean.state_dict(), "synced": self._synced}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the running mean of a checkpoint."""
        if self._mean is not None:
            self._mean.load_state_dict(state["mean"])
            self._synced = int(state["synced"])


METHOD = TrainMethod(
    name="curiosft",
    summary="likelihood with a pull towards a warmer running mean of the student, which keeps entropy up",
    paper="CurioSFT, arXiv 2602.02244; constants as in the authors' code",
    options=CurioOptions,
    stages=one_stage(CurioObjective, tokenise, SETTINGS),
    needs=("teacher text",),
    deviations=(
        "the entropies that set the temperature are those of the 512 likeliest tokens, as in the authors' code",
        "60 warm-up steps are given as a share of the steps",
    ),
)
