"""What methods on pairs of a preferred and a rejected response share: where pairs come from, and one objective.

Rows of a batch are slot-major: all preferred responses, then all rejected ones in the same order. Losses are averaged
over the pairs of the whole optimiser step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from backends.base import ExampleMaker, Loss, Objective, Stage, Stages, Step
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.preference import PreferenceLoss
from backends.losses.reduction import row_means
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Example, Field, Unusable, encode_or_count, example_of
from backends.trainers.batch import Batch
from harness.errors import DataError
from harness.hashing import short_hash
from harness.types import Json

CHOSEN, REJECTED = 0, 1
"""Slots of a pair."""
PairSource = Literal["rejected", "best_other", "best_worst"]
"""Where a pair comes from: `response` against `rejected`; the candidate of the highest reward against a random one of a
lower reward, or against the one of the lowest."""


@dataclass(frozen=True)
class PairOptions:
    """Options of every method on pairs."""

    pairs: PairSource = "rejected"
    """rejected: `response` against `rejected`; best_other: the best of `candidates` against a random worse one, as in
    Zephyr; best_worst: against the worst. Of equal rewards the first counts; candidates that are all equal are no pair.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields that every record must have."""
        return ("response", "rejected") if self.pairs == "rejected" else ("candidates",)

    def examples(self, *fields: Field) -> ExampleMaker:
        """Makes examples of these sides of the pairs, both by default; what has no better and worse side is left out.

        They raise `DataError` for a record with fewer than two candidates or without their rewards.
        """
        sides = fields or ("response", "rejected")
        return lambda encoder, records: encode_or_count(partial(_pair, encoder, self.pairs, sides), records)


def _pair(encoder: Encoder, source: PairSource, fields: Sequence[Field], record: TrainRecord) -> tuple[Example]:
    if source == "rejected":
        return (example_of(encoder, record, fields),)
    # What is no pair is still encoded, as a pair of equals: whatever else is wrong with it is told first.
    example = example_of(encoder, paired(record, source), fields)
    if len(set(_rewards(record))) == 1:
        raise Unusable("no_pair")
    return (example,)


def _rewards(record: TrainRecord) -> list[float]:
    rewards = [candidate.reward for candidate in record.candidates if candidate.reward is not None]
    if len(record.candidates) < 2 or len(rewards) < len(record.candidates):
        raise DataError("a pair needs at least two candidates, all with a reward")
    return rewards


def paired(record: TrainRecord, source: PairSource) -> TrainRecord:
    """The record with the sides of its pair as `response` and `rejected`; candidates all equal are a pair of equals."""
    if source == "rejected":
        return record
    rewards = _rewards(record)
    best, worst = rewards.index(max(rewards)), rewards.index(min(rewards))
    other = worst
    if source == "best_other" and rewards[worst] < rewards[best]:
        lower = [number for number, reward in enumerate(rewards) if reward < rewards[best]]
        other = lower[int(short_hash(record.id), 16) % len(lower)]  # random, and the same in every run
    texts = [candidate.text for candidate in record.candidates]
    return dataclasses.replace(record, response=texts[best], rejected=texts[other], structure=())


def pair_stage(
    name: str, objective: Callable[[Any], Objective], options: PairOptions, settings: Mapping[str, Json]
) -> Stage:
    """A stage on pairs."""
    return Stage(name, options.needs, options.examples(), partial(objective, options), settings)


def pair_stages(name: str, objective: Callable[[Any], Objective], settings: Mapping[str, Json]) -> Stages:
    """The one stage, called `name`, of a method that reads pairs alone."""
    return lambda options: (pair_stage(name, objective, options, settings),)


class PairObjective(Objective):
    """Mean over pairs of a loss of two sequence log-probabilities; subclasses say which loss, and of sums or means."""

    score = staticmethod(row_means)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The pairs."""
        return {"pairs": torch.tensor(batch.examples)}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the mean over pairs."""
        logps_RT = token_logps(logits, batch.labels_RT)
        chosen_P, rejected_P = batch.rows(CHOSEN), batch.rows(REJECTED)
        score_R = self.score(logps_RT, batch.mask_RT)
        found = self.pair_loss(score_R[chosen_P], score_R[rejected_P], batch.index_R[chosen_P])
        mean_R = row_means(logps_RT.detach(), batch.mask_RT)
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
