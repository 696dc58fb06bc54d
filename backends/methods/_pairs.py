"""What methods on pairs of a preferred and a rejected response share: where pairs come from, and one objective.

Rows of a batch are slot-major: all preferred responses, then all rejected ones in the same order. Losses are averaged
over the pairs of the whole optimiser step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from backends.base import ExampleMaker, Loss, Objective, Step
from backends.losses.nll import head_logps, sequence_logps
from backends.losses.positions import HeadLogits
from backends.losses.preference import PreferenceLoss
from backends.records.record import Candidate, TrainRecord
from backends.records.segments import Encoder, Field, Tokenised, tokenise, without
from backends.trainers.batch import Batch
from harness.errors import DataError
from harness.hashing import short_hash

CHOSEN, REJECTED = 0, 1
"""Slots of a pair."""
Source = Literal["rejected", "best_other", "best_worst"]
"""Where a pair comes from: `response` against `rejected`; the candidate of the highest reward against a random one of a
lower reward, or against the one of the lowest."""


@dataclass(frozen=True)
class PairOptions:
    """Options of every method on pairs."""

    pairs: Source = "rejected"
    """rejected: `response` against `rejected`; best_other: the best of `candidates` against a random worse one, as in
    Zephyr; best_worst: against the worst. Of equal rewards the first counts; candidates that are all equal are no pair.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields that every record must have."""
        return ("response", "rejected") if self.pairs == "rejected" else ("candidates",)

    def examples(self, *fields: Field) -> ExampleMaker:
        """Makes examples of these sides of the pairs, both by default."""
        return partial(pair_examples, source=self.pairs, fields=fields or ("response", "rejected"))


def pair_examples(
    encoder: Encoder,
    records: Sequence[TrainRecord],
    source: Source = "rejected",
    fields: Sequence[Field] = ("response", "rejected"),
) -> Tokenised:
    """Examples of two sequences, preferred and rejected; records without a better and a worse candidate are left out.

    Raises `DataError` as `tokenise` does, and for a record with fewer than two candidates or without their rewards.
    """
    if source == "rejected":
        return tokenise(encoder, records, fields)
    equal = {record.id for record in records if len(set(_rewards(record))) == 1}
    # What is no pair is still encoded, as a pair of equals, so that everything left out is counted in one place.
    data = tokenise(encoder, [_paired(record, source) for record in records], fields)
    return without(data, "no_pair", [example.id for example in data.examples if example.id in equal])


def _rewards(record: TrainRecord) -> list[float]:
    rewards = [candidate.reward for candidate in record.candidates if candidate.reward is not None]
    if len(record.candidates) < 2 or len(rewards) < len(record.candidates):
        raise DataError(f"record {record.id!r}: a pair needs at least two candidates, all with a reward")
    return rewards


def _paired(record: TrainRecord, source: Source) -> TrainRecord:
    rewards = _rewards(record)
    best, worst = rewards.index(max(rewards)), rewards.index(min(rewards))
    other = worst
    if source == "best_other" and rewards[worst] < rewards[best]:
        lower = [number for number, reward in enumerate(rewards) if reward < rewards[best]]
        other = lower[int(short_hash(record.id), 16) % len(lower)]  # random, and the same in every run

    def text(number: int) -> str:
        candidate: Candidate = record.candidates[number]
        return candidate.text

    return dataclasses.replace(record, response=text(best), rejected=text(other), structure=())


class PairObjective(Objective):
    """Mean over pairs of a loss of two sequence log-probabilities; subclasses say which loss, and of sums or means."""

    reduction: Literal["sum", "mean"] = "mean"

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The pairs."""
        return {"pairs": torch.tensor(batch.examples)}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the mean over pairs."""
        logps_RT = head_logps(logits, batch.labels_RT)
        chosen_P, rejected_P = batch.rows(CHOSEN), batch.rows(REJECTED)
        score_R = sequence_logps(logps_RT, batch.mask_RT, reduction=self.reduction)
        found = self.pair_loss(score_R[chosen_P], score_R[rejected_P], batch.index_R[chosen_P])
        mean_R = sequence_logps(logps_RT.detach(), batch.mask_RT, reduction="mean")
        log = {
            "margin": found.margin_P,
            "preferred": (found.margin_P > 0).float(),
            "chosen_logp": mean_R[chosen_P],
            "rejected_logp": mean_R[rejected_P],
        }
        pairs = counts["pairs"]
        return Loss(found.loss_P.sum() / pairs, {name: value.sum() / pairs for name, value in log.items()})

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """The loss of each pair, from log-probabilities; `index_P` are its examples' numbers in the data set."""
        raise NotImplementedError
