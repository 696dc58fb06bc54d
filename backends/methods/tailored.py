"""Tailored Learning (Learn-to-Reason): right rationales by likelihood, and nearer to each other than to a wrong one.

One run is one round: the student's exam (`harness data traces` with the student as teacher), the teacher's feedback on
what it got wrong (`harness data corrections`), then this; then again with the student that comes of it. Loss:
`backends.losses.triplet`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from backends.base import Loss, Objective, Stage, Step, TrainMethod
from backends.losses.nll import next_token, token_logps
from backends.losses.positions import HeadLogits
from backends.losses.triplet import triplet_loss
from backends.options import must_be
from backends.records.record import TrainRecord, response_text
from backends.records.segments import CODE, IGNORED, Encoder, Example, Tokenised, encode_or_count
from backends.trainers.batch import Batch
from harness.errors import DataError
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 7e-6, "epochs": 10, "batch_size": 16, "weight_decay": 0.01}
"""The authors' code's, whose warm-up is 100 steps."""
_ANCHOR, _POSITIVE, _NEGATIVE = 0, 1, 2


@dataclass(frozen=True)
class TailoredOptions:
    """Options of Tailored Learning."""

    mle_w: float = 0.1
    """Weight of a token of the prompt; 0 is the likelihood of the rationale alone."""
    cl_ratio: float = 0.5
    """Weight of the triplets."""
    margin: float = 1.0
    """By how much nearer the other right rationale must be, in cosine."""
    most: int = 10
    """Right rationales of a record that are learnt."""

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "mle_w", "cl_ratio", "margin")
        must_be(self, "at least 1", "most")


def examples(most: int, cl_ratio: float, encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """An example for each right rationale; where there are another right one and a wrong one, with both of them."""

    def encode(record: TrainRecord) -> list[Example]:
        prompt = encoder.prompt(record)
        texts = list(dict.fromkeys([response_text(record) or "", *record.positives]))[:most]
        right = [encoder.encode(prompt, text) for text in texts]
        told = (*record.negatives, *([record.rejected] if record.rejected else []))
        wrong = [encoder.encode(prompt, text) for text in dict.fromkeys(told)]
        found = []
        for number, row in enumerate(right):
            rows = [row]
            if len(right) > 1 and wrong:
                rows += [right[(number + 1) % len(right)], wrong[number % len(wrong)]]
            found.append(Example(record.id if number == 0 else f"{record.id}/{number + 1}", tuple(rows)))
        return found

    data = encode_or_count(encode, records)
    if cl_ratio and all(len(example.sequences) == 1 for example in data.examples):
        raise DataError(
            "no record has two right rationales (`response`, `positives`) and a wrong one, of which tailored makes its "
            "triplets: `harness data corrections` makes some, or set cl_ratio=0"
        )
    return data


class TailoredObjective(Objective):
    """The weighted likelihood of the first row of each example, and the mean over triplets."""

    options: TailoredOptions

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Tokens that weigh anything, and triplets."""
        return {"tokens": (self._labels(batch) != IGNORED).sum(), "triplets": (batch.slot_R == _NEGATIVE).sum()}

    def _labels(self, batch: Batch) -> Tensor:
        """What the first rows learn: their responses, and their prompts if these weigh anything."""
        first_R1 = (batch.slot_R == _ANCHOR)[:, None]
        labels_RT = batch.labels_RT.masked_fill(~first_R1, IGNORED)
        if not self.options.mle_w:
            return labels_RT
        prompt_RT = (batch.segments_RT == CODE["prompt"]) & first_R1
        return torch.where(prompt_RT, next_token(batch.inputs["input_ids"], IGNORED), labels_RT)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs the likelihood, the triplets and how many are in order."""
        logps_RT = token_logps(logits, self._labels(batch))
        weight_RT = torch.where(batch.mask_RT, 1.0, self.options.mle_w)
        nll = -(weight_RT * logps_RT).sum() / counts["tokens"].clamp(min=1)
        negative_M = batch.rows(_NEGATIVE)
        anchor_M, positive_M = (self._of_same(batch, slot, negative_M) for slot in (_ANCHOR, _POSITIVE))
        last_R = batch.inputs["attention_mask"].sum(1) - 1
        states = [logits.hidden_BTD[rows_M, last_R[rows_M]] for rows_M in (anchor_M, positive_M, negative_M)]
        found_M = triplet_loss(*states, margin=self.options.margin)
        count = counts["triplets"].clamp(min=1)
        triplet = found_M.sum() / count
        log = {"nll": nll.detach(), "triplet": triplet.detach(), "apart": (found_M.detach() == 0).sum() / count}
        return Loss(nll + self.options.cl_ratio * triplet, log)

    def _of_same(self, batch: Batch, slot: int, like_M: Tensor) -> Tensor:
        """The rows of a slot that are of the same examples as other rows."""
        place = torch.zeros(batch.examples, dtype=torch.int64, device=like_M.device)
        rows = batch.rows(slot)
        place[batch.example_R[rows]] = rows
        return place[batch.example_R[like_M]]


def stages(options: TailoredOptions) -> tuple[Stage, ...]:
    """One: a round."""
    maker, objective = partial(examples, options.most, options.cl_ratio), partial(TailoredObjective, options)
    return (Stage("train", ("response",), maker, objective, SETTINGS),)


METHOD = TrainMethod(
    name="tailored",
    summary="right rationales, and right ones nearer to each other than to a wrong one (Learn-to-Reason), by rounds",
    paper="Wang et al. 2023, Democratizing Reasoning Ability: Tailored Learning from Large Language Model, EMNLP 2023; "
    "code Raibows/Learn-to-Reason",
    options=TailoredOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "The prompt is read with gradients; the code takes its keys and values without.",
        "The state of a rationale is that at its end of sequence.",
        "No few-shot prompt, and wrong rationales are the record's `negatives` and `rejected`.",
        "One run is one round; exam and feedback are `harness data traces` and `corrections`, whose wording is ours.",
    ),
)
