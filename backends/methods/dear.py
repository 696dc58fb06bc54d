"""DeAR's core: a judge or reward model whose scores of a prompt's candidates follow a teacher's.

    L = (1 - alpha) L_rank + alpha T^2 KL(softmax(t / T) || softmax(s / T))

t are the candidates' rewards: a larger reward model's, a judge's, a ranking's. The student's score s of a candidate is
log p(yes) - log p(no) where it is asked whether the response is good, in the words of `prm`: so the result is asked
like any process reward model, by the reward `process` with `trajectory=1`. Losses: `backends.losses.ranking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backends.base import Loss, Objective, Step, Training, TrainMethod, one_stage
from backends.losses.positions import HeadLogits
from backends.losses.ranking import Rank, listwise_kl, rank_loss
from backends.methods.prm import end_row, label_ids, label_odds
from backends.options import must_be
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Example, Tokenised, Unusable, encode_or_count
from backends.structure.judged import ends_of
from backends.trainers.batch import Batch
from harness.errors import DataError
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-4, "epochs": 2, "batch_size": 16, "lora_rank": 32, "lora_alpha": 64, "lora_dropout": 0.1,
}  # fmt: skip
"""The authors' code's; the batch is ours."""


@dataclass(frozen=True)
class DearOptions:
    """Options of DeAR."""

    rank: Rank = "ranknet+ce"
    """What orders the candidates: the best one's cross-entropy, RankNet, ListNet, or the first two by halves."""
    alpha: float = 0.1
    """Share of the distillation of the whole list; the order has the rest."""
    temperature: float = 2.0
    """Divides both sides' scores in the distillation."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "alpha")
        must_be(self, "from 0.001 to 1000", "temperature")


def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """One row for each candidate of a record; a record with fewer than two, or an empty one, is left out and counted.

    Raises `DataError` for a candidate without a reward.
    """
    good, _ = label_ids(encoder.tokenizer)

    def encode(record: TrainRecord) -> tuple[Example]:
        rewards = [candidate.reward for candidate in record.candidates if candidate.reward is not None]
        if len(rewards) < len(record.candidates):
            raise DataError("a candidate has no reward: the teacher's score of it")
        if len(rewards) < 2:
            raise Unusable("no_pair")
        ends = [ends_of(candidate.text) for candidate in record.candidates]
        if not all(ends):
            raise Unusable("empty")
        rows = tuple(end_row(encoder, record, of_one[-1], good) for of_one in ends)
        return (Example(record.id, rows, tuple(rewards)),)

    return encode_or_count(encode, records)


class ListObjective(Objective):
    """The mean over lists of what orders them and of their distillation."""

    options: DearOptions
    _ids: tuple[int, int]

    def setup(self, training: Training) -> None:
        """Find the label tokens."""
        self._ids = label_ids(training.tokenizer)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The lists."""
        return {"lists": torch.tensor(batch.examples)}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs both terms and how often the best candidate has the highest score."""
        assert batch.rewards_R is not None  # candidates come with rewards
        score_BN, valid_BN = batch.table(label_odds(logits, batch.mask_RT, self._ids))
        teacher_BN, _ = batch.table(batch.rewards_R.to(score_BN.dtype))
        rank_B = rank_loss(score_BN, teacher_BN, valid_BN, kind=self.options.rank)
        kl_B = listwise_kl(score_BN, teacher_BN, valid_BN, temperature=self.options.temperature)
        found_B = (1 - self.options.alpha) * rank_B + self.options.alpha * kl_B
        first_B = score_BN.detach().masked_fill(~valid_BN, -torch.inf).argmax(-1, keepdim=True)
        best_B = teacher_BN.masked_fill(~valid_BN, -torch.inf).amax(-1)
        log = {"rank": rank_B, "kl": kl_B, "best_first": (teacher_BN.gather(1, first_B)[:, 0] == best_B).to(rank_B)}
        lists = counts["lists"]
        return Loss(found_B.sum() / lists, {name: value.detach().sum() / lists for name, value in log.items()})


METHOD = TrainMethod(
    name="dear",
    summary="a judge or reward model whose scores of a list follow a teacher's (DeAR: RankNet, ListNet, list-wise KL)",
    paper="Abdallah et al. 2025, DeAR: Dual-Stage Document Reranking with Reasoning Agents via LLM Distillation, "
    "stage 1; code DataScienceUIBK/DeAR-Reranking",
    stages=one_stage(ListObjective, examples, SETTINGS, ("candidates",)),
    options=DearOptions,
    needs=("rewards",),
    deviations=(
        "Candidates are responses to a prompt, where the paper ranks documents.",
        "The score is the log odds of two label tokens, in place of a linear head: what is trained is a model like any "
        "other, and is asked by the reward `process`.",
        "RankNet and the best one's cross-entropy by halves by default; the code's lambda loss is left out.",
        "Stage 2 (chains of thought about a ranking) is SFT on them: `sft` or `rjudge`.",
    ),
)
