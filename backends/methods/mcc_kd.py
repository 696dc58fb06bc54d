"""MCC-KD: two rationales of a question should lead to the same answer distribution (arXiv 2310.14747).

    L = (CE_a + CE_b) / 2 + alpha * (KL(p, q) + KL(q, p)) / 2

p and q are the student's next-token distributions over the two answers, position by position
(`backends.losses.mcc_kd`). A record's response and `positives` are its rationales, each in one pair; pairs whose
answers differ in length are counted (`skipped`) and have no second term. Scores are made at answer positions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from backends.base import Loss, Stage, Step, TrainMethod
from backends.losses.cot_family import Views
from backends.losses.mcc_kd import consistency
from backends.losses.positions import HeadLogits
from backends.methods._views import ViewObjective, whole
from backends.options import must_be
from backends.records.record import TrainRecord, response_text
from backends.records.segments import Encoder, Example, Tokenised, encode_or_count
from backends.records.similar import SIMILAR, word_jaccard
from backends.records.spans import split_response
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 6, "epochs": 10, "lora_rank": 128}
_PAIR: Views = {"first": "alpha", "second": "rest"}


@dataclass(frozen=True)
class MccKdOptions:
    """MCC-KD's own options."""

    alpha: float = 0.1
    """Weight of the consistency; 0 is SFT on both rationales."""
    temperature: float = 1.0
    """Divides the scores of both answers."""
    jaccard: float = SIMILAR
    """Rationales that share more than this part of their words are one."""

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "alpha")
        must_be(self, "from 0.001 to 1000", "temperature")
        must_be(self, "from 0 to 1", "jaccard")


class ConsistencyObjective(ViewObjective):
    """Mean cross-entropy of each side of the pairs, halved, and the mean consistency of aligned answer positions."""

    def __init__(self, options: MccKdOptions) -> None:
        super().__init__(options, _PAIR, 0.5)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Learnt tokens of each side, and aligned answer positions."""
        answer_RT = batch.part("answer")
        first, second = _pairs(batch)
        lengths_a, lengths_b = answer_RT[first].sum(1), answer_RT[second].sum(1)
        return {**super().counts(batch), "positions": (lengths_a * (lengths_a == lengths_b)).sum()}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the loss; logs both sides, the consistency and how many pairs have none."""
        found, answer_RT = super().loss(batch, logits, counts, step, prepared), batch.part("answer")
        first, second = _pairs(batch)
        if len(first) == 0:
            return Loss(found.value, {**found.log, "consistency": 0.0, "skipped": 0.0})
        total, aligned_P = consistency(
            replace(logits, hidden_BTD=logits.hidden_BTD[first]),
            replace(logits, hidden_BTD=logits.hidden_BTD[second]),
            answer_RT[first],
            answer_RT[second],
            temperature=self.options.temperature,
        )
        share = total / counts["positions"].clamp(min=1)
        log = {**found.log, "consistency": share.detach(), "skipped": float((~aligned_P).sum())}
        return Loss(found.value + self.options.alpha * share, log)


def _pairs(batch: Batch) -> tuple[Tensor, Tensor]:
    """Row numbers of the first and of the second rationale of each pair."""
    second = batch.rows(1)
    place = torch.full((batch.examples,), -1, device=second.device)
    place[batch.example_R[batch.rows(0)]] = batch.rows(0)
    return place[batch.example_R[second]], second


# --- examples -------------------------------------------------------------------------------------------------------


def examples(jaccard: float, encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The pairs of each record's different rationales; one that is left over, or alone, is an example by itself."""

    def pairs(record: TrainRecord) -> list[Example]:
        rows = [whole(encoder, record, text) for text in _different(record, jaccard)]
        sides = [tuple(rows[at : at + 2]) for at in range(0, len(rows), 2)]
        return [Example(record.id if n == 0 else f"{record.id}/{n + 1}", pair) for n, pair in enumerate(sides)]

    return encode_or_count(pairs, records)


def _different(record: TrainRecord, jaccard: float) -> list[str]:
    """The record's responses, less those whose chain is nearly that of an earlier one."""
    kept: dict[str, str] = {}
    for text in (response_text(record) or "", *record.positives):
        split = split_response(text)
        chain = text if split is None else text[split.think_start : split.think_end]
        if all(word_jaccard(chain, other) <= jaccard for other in kept.values()):
            kept[text] = chain
    return list(kept)


def stages(options: MccKdOptions) -> tuple[Stage, ...]:
    """One stage on pairs of rationales."""
    maker = partial(examples, options.jaccard)
    return (Stage("train", ("response", "positives"), maker, partial(ConsistencyObjective, options), SETTINGS),)


METHOD = TrainMethod(
    name="mcc_kd",
    summary="two rationales of a question, and the same answer distribution after both",
    paper="Chen et al. 2023, MCC-KD: Multi-CoT Consistent Knowledge Distillation, arXiv 2310.14747",
    options=MccKdOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "the pairs of a question are fixed: the authors' code draws two of its rationales anew each time",
        "the temperature divides both sides, where the authors' code divides the target only",
        "a rationale without a partner is still learnt",
    ),
)
