"""KRSL, the second half of EDIT: learn the steps at which a right chain and its wrong twin part.

Stage 1 is SFT on the right chains (the rectified ones among them), stage 2 weighs the tokens that an edit alignment of
the twins leaves unmatched: those of the right chain are learnt, those of the wrong one unlearned. The alignment is made
once, over the token ids of the responses alone. Loss and guards: `backends.losses.krsl`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backends.base import Loss, Objective, Stage, Step, TrainMethod
from backends.losses.edit import key_tokens
from backends.losses.krsl import NLL_GUARD, krsl_loss
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.methods._pairs import CHOSEN, REJECTED
from backends.methods.sft import SftFirstOptions, after_sft
from backends.records.record import TrainRecord
from backends.records.segments import Encoded, Encoder, Example, Tokenised, encode_or_count, example_of
from backends.trainers.batch import Batch
from harness.errors import TrainingStopped
from harness.types import Json

KEY = "key"
"""Name of the flags among an example's extras."""
_LORA: dict[str, Json] = {"lora_rank": 64, "lora_alpha": 32, "lora_dropout": 0.05, "lora_targets": "q_proj+v_proj"}
_BOTH: dict[str, Json] = {"scheduler": "epoch_decay", "decay": 0.95, "warmup": 0.0, "batch_size": 64, **_LORA}
SFT_SETTINGS: dict[str, Json] = {**_BOTH, "learning_rate": 2e-4, "weight_decay": 0.05, "epochs": 15}
SETTINGS: dict[str, Json] = {**_BOTH, "learning_rate": 5e-6, "weight_decay": 0.0, "epochs": 10}
"""The authors' scripts, for LLaMA2-7B."""


@dataclass(frozen=True)
class KrslOptions(SftFirstOptions):
    """Options of KRSL."""

    alpha: float = 1.0
    """Weight of the key tokens of right responses."""
    beta: float = 0.025
    """Weight with which the key tokens of wrong responses are unlearned."""
    drop_above: float | None = NLL_GUARD
    """Key tokens of wrong responses whose NLL has reached this many nats count no longer, as in the authors' scripts
    (20); none: all count, and training stops if their mean exceeds 20."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0 or self.beta < 0:
            raise ValueError("alpha and beta must be 0 or more: beta is subtracted")


def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """Pairs of right and wrong responses with a flag for each key token."""
    return encode_or_count(lambda record: (_flagged(example_of(encoder, record, ("response", "rejected"))),), records)


def _flagged(example: Example) -> Example:
    right, wrong = example.sequences
    keys = key_tokens(right.ids_T[right.supervised_T], wrong.ids_T[wrong.supervised_T])
    sequences = tuple(_with_keys(side, key) for side, key in zip((right, wrong), keys, strict=True))
    return dataclasses.replace(example, sequences=sequences)


def _with_keys(encoded: Encoded, key: np.ndarray[Any, np.dtype[np.bool_]]) -> Encoded:
    key_T = np.zeros(len(encoded.ids_T), np.bool_)
    key_T[encoded.supervised_T] = key
    return dataclasses.replace(encoded, extras={**encoded.extras, KEY: key_T})


class KeyStepObjective(Objective):
    """The KRSL loss, averaged over the pairs of the optimiser step."""

    options: KrslOptions

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Pairs; response tokens and key tokens of wrong responses, for the logs."""
        wrong_RT = batch.extras[KEY][batch.rows(REJECTED)]
        return {
            "pairs": torch.tensor(batch.examples),
            "tokens": batch.mask_RT.sum(),
            "rejected_keys": wrong_RT.sum(),
        }

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the mean over pairs."""
        key_RT = batch.extras[KEY]
        # Only key tokens have a weight: no other log-probability is computed.
        logps_RT = token_logps(logits, batch.labels_RT.masked_fill(~key_RT, -100))
        found = krsl_loss(
            logps_RT,
            key_RT,
            batch.mask_RT,
            batch.slot_R == CHOSEN,
            pairs=int(counts["pairs"]),
            alpha=self.options.alpha,
            beta=self.options.beta,
            drop_above=self.options.drop_above,
        )
        nll = (found.rejected_key_nll or 0.0) * found.rejected_keys
        log: dict[str, Tensor | float] = {
            "chosen_loss": found.chosen,
            "rejected_loss": found.rejected,
            "key_share": float(key_RT.sum()) / float(counts["tokens"]),
            "rejected_key_nll": nll / max(float(counts["rejected_keys"]), 1.0),
        }
        return Loss(found.loss, log)

    def after_step(self, logged: Mapping[str, float], step: Step) -> None:
        """Raises `TrainingStopped` once the wrong steps are so unlikely that pushing on is only damage."""
        nll = logged["rejected_key_nll"]
        if self.options.drop_above is None and nll > NLL_GUARD:
            raise TrainingStopped(
                f"the wrong responses' key tokens have a mean NLL of {nll:.1f} nats at step {step.number + 1}, above "
                f"{NLL_GUARD:g}: they are unlearned, and more is damage. Train for fewer steps, lower beta, or leave "
                f"drop_above at {NLL_GUARD:g}"
            )


def stages(options: KrslOptions) -> tuple[Stage, ...]:
    """SFT on right responses, then the key steps of the twins."""
    key_steps = Stage("key_steps", ("response", "rejected"), examples, partial(KeyStepObjective, options), SETTINGS)
    return after_sft(key_steps, options, SFT_SETTINGS)


METHOD = TrainMethod(
    name="krsl",
    summary="key reasoning steps of right and wrong twins, found by edit distance (EDIT)",
    paper="Dai et al. 2025, Capture the Key in Reasoning to Enhance CoT Distillation Generalization (EDIT), "
    "arXiv 2405.19737, the KRSL objective in the form of the authors' code",
    stages=stages,
    options=KrslOptions,
    needs=("teacher text",),
    deviations=(
        "Responses alone are aligned; the authors' code aligns them with their padding to 1,024 tokens.",
        "Both stages read the same records, each with a twin; the paper's first stage also has chains without one.",
        "With drop_above=none training stops where the wrong key tokens' mean NLL exceeds 20 nats; the authors' code "
        "has no such stop.",
    ),
)
