"""RM: a reward model of answers, from pairs of a better and a worse one (Bradley-Terry); CoTD-PO's appendix.

    L = mean over pairs of -log sigmoid(r(x, y_w) - r(x, y_l))       r = log p(yes | x, y) - log p(no | x, y)

r is a number of two tokens of the vocabulary, asked for in the words that `prm` asks about all of a response: what is
trained is a language model that every engine runs, and the reward `process` and `harness data candidates` read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from backends.base import Loss, Stage, Step, Training, TrainMethod
from backends.losses.positions import HeadLogits
from backends.losses.preference import PreferenceLoss, simpo_loss
from backends.methods._pairs import CHOSEN, REJECTED, PairObjective, PairOptions, paired
from backends.methods.prm import end_row, label_ids, label_odds
from backends.records.record import TrainRecord, response_text
from backends.records.segments import Encoded, Encoder, Example, Tokenised, Unusable, encode_or_count
from backends.structure.judged import ends_of
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 2e-5, "epochs": 1.0, "batch_size": 64, "scheduler": "cosine"}
"""Ours: the paper gives none for its reward model."""


def _examples(options: PairOptions, encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """Two rows for each pair: what is asked about the better response, and about the worse one."""
    good, _ = label_ids(encoder.tokenizer)

    def row(record: TrainRecord, text: str) -> Encoded:
        ends = ends_of(text)
        if not ends:
            raise Unusable("empty")
        return end_row(encoder, record, ends[-1], good)  # its place is read; the token that stands there is not learnt

    def rows(record: TrainRecord) -> list[Example]:
        pair = paired(record, options.pairs)
        better, worse = response_text(pair) or "", pair.rejected or ""
        made = Example(record.id, (row(record, better), row(record, worse)))
        if better == worse:
            raise Unusable("no_pair")
        return [made]

    return encode_or_count(rows, records)


class RewardObjective(PairObjective):
    """Bradley-Terry: the logistic loss of the difference of the rewards, a mean over pairs."""

    _ids: tuple[int, int]

    def setup(self, training: Training) -> None:
        """Find the label tokens."""
        self._ids = label_ids(training.tokenizer)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs both rewards, their difference and how often it is right."""
        reward_R = label_odds(logits, batch.mask_RT, self._ids)
        chosen_P, rejected_P = batch.rows(CHOSEN), batch.rows(REJECTED)
        found = self.pair_loss(reward_R[chosen_P], reward_R[rejected_P], batch.index_R[chosen_P])
        log = {
            "margin": found.margin_P,
            "preferred": (found.margin_P > 0).float(),
            "chosen_reward": reward_R.detach()[chosen_P],
            "rejected_reward": reward_R.detach()[rejected_P],
        }
        pairs = counts["pairs"]
        return Loss(found.loss_P.sum() / pairs, {name: value.sum() / pairs for name, value in log.items()})

    def pair_loss(self, chosen_P: Tensor, rejected_P: Tensor, index_P: Tensor) -> PreferenceLoss:
        """-log sigmoid of the difference: SimPO's form without scale and margin."""
        return simpo_loss(chosen_P, rejected_P, beta=1.0, gamma=0.0)


def stages(options: PairOptions) -> tuple[Stage, ...]:
    """One, on pairs."""
    return (Stage("train", options.needs, partial(_examples, options), partial(RewardObjective, options), SETTINGS),)


METHOD = TrainMethod(
    name="rm",
    summary="a reward model of answers, from pairs of a better and a worse one (Bradley-Terry)",
    paper="Niu et al. 2025, CoTD-PO, EMNLP 2025 Findings 1087, appendix C",
    options=PairOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "The reward is the log odds of two words of the language model's own vocabulary, in place of a new output "
        "layer: what is trained is a model like any other, which every engine runs.",
        "The base is any model; the paper goes on from a reward model (QRM-Llama3.1-8B) with its head of quantiles.",
        "Pairs are the records' own; the paper's are 80,000 of a public set that its teacher has labelled again.",
        "Only the last turn of a conversation is shown.",
        "Learning rate, batch, epochs and schedule are ours: the paper gives none.",
    ),
)
