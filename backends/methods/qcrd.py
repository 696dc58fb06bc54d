"""QCRD: the label, and contrasted rationales: right ones up, likely wrong ones down, by a discriminator's judgment.

Two tasks, as in distilling step-by-step: the label of the question, the rationale of the tagged question. Right
rationales are those of the response and `positives` (the teacher's that agree with its majority: `harness data traces`
with several attempts), wrong ones those of `negatives` and `rejected`: the teacher's other ones, and the student's of
an earlier iteration, drawn at temperature 1.5. One run is one round of them. Losses: `backends.losses.qcrd`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from backends.base import Loss, Objective, Stage, Step, Training, TrainMethod
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.qcrd import NegSelect, contrast, discriminator_loss
from backends.losses.reduction import row_means
from backends.methods._assistant import Assistant, made_alike, pooled, row_table
from backends.methods._views import answer_only, chain_only, tagged
from backends.options import must_be
from backends.records.record import TrainRecord, response_text
from backends.records.segments import Encoded, Encoder, Example, Tokenised, encode_or_count
from backends.trainers.batch import Batch
from harness.errors import DataError
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 5e-5, "batch_size": 64, "epochs": 5, "scheduler": "linear", "warmup": 0.0}
_RIGHT = "right"
_WIDTH, _CHUNK = 64, 64


@dataclass(frozen=True)
class QcrdOptions:
    """Options of QCRD."""

    label_weight: float = 0.5
    """Weight of the label's likelihood (alpha 1)."""
    rationale_weight: float = 0.5
    """Weight of the contrasted rationales (alpha 2)."""
    quality_decay: float = 0.9
    """What that weight is multiplied by after each epoch."""
    beta: float = 0.2
    """Weight of a wrong rationale beside the right one."""
    delta: float = 3.0
    """Cross-entropy from which a wrong rationale is unlikely enough."""
    neg_select: NegSelect = "hardest"
    """The wrong rationale of the lowest cross-entropy, or that of the highest."""
    quality: bool = True
    """Whether a discriminator weighs rationales; without, each counts fully."""
    quality_lr: float = 1e-3
    """Learning rate of the discriminator."""
    quality_steps: int = 500
    """Steps of the discriminator before the student learns, at most."""

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "label_weight", "rationale_weight", "beta", "delta")
        must_be(self, "0 or more", "quality_steps")
        must_be(self, "from 0 to 1", "quality_decay")
        must_be(self, "above 0", "quality_lr")


class Discriminator(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Two linear layers on a question's and a rationale's pooled embeddings."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * width, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 1))

    def forward(self, texts_BK2D: Tensor) -> Tensor:
        """Scores (B, K); D is their sigmoid."""
        width = texts_BK2D.shape[-1]
        sides = nn.functional.layer_norm(texts_BK2D, (width,)).flatten(-2)
        found: Tensor = self.layers(sides)[..., 0]
        return found


class QcrdObjective(Objective):
    """The label, the contrast and the discriminator, each a mean over the questions of the optimiser step."""

    options: QcrdOptions
    _training: Training
    _judge: Assistant
    _texts: Tensor
    """(questions, slots, question or rationale, width), as the untrained student embeds them."""
    _read: int = 0
    """Questions of the steps before this one."""
    _now: int = 0

    def setup(self, training: Training) -> None:
        """Read the texts, and let the discriminator learn which rationales are right."""
        self._training = training
        batches = list(training.batches())
        slots = max(int(batch.slot_R.max()) + 1 for batch in batches)
        width = training.model.get_input_embeddings().weight.shape[1]
        self._texts = torch.zeros(training.examples, slots, 2, width, dtype=torch.float16)
        right_NK = torch.zeros(training.examples, slots, dtype=torch.bool)
        wrong_NK = torch.zeros_like(right_NK)
        for batch in batches:
            row_table(batch, pooled(training, batch, "max"), self._texts)
            right_R, wrong_R = _sides(batch)
            row_table(batch, right_R, right_NK)
            row_table(batch, wrong_R, wrong_NK)
        self._judge = Assistant(made_alike(Discriminator, width), training, self.options.quality_lr)
        chunks = torch.arange(training.examples).split(_CHUNK)
        for number in range(self.options.quality_steps if self.options.quality else 0):
            at = chunks[number % len(chunks)]
            sides = (side[at].to(training.device) for side in (right_NK, wrong_NK))
            self._judge.learn(discriminator_loss(self._scores(at, slots), *sides).mean())

    def _scores(self, index_B: Tensor, slots: int) -> Tensor:
        return self._judge(self._texts[index_B.cpu(), :slots].to(self._training.device).float())

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The questions."""
        return {"questions": torch.tensor(batch.examples)}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs the terms and how many wrong rationales are pushed down."""
        o, questions = self.options, counts["questions"]
        nll_R = -row_means(token_logps(logits, batch.labels_RT), batch.mask_RT)
        nll_BK, _ = batch.table(nll_R)
        right_BK, wrong_BK = (batch.table(side.to(nll_R))[0] > 0 for side in _sides(batch))
        log = dict[str, Tensor]()
        if o.quality:
            scores_BK = self._scores(batch.index_R[batch.rows(0)], nll_BK.shape[1])
            judged = discriminator_loss(scores_BK, right_BK, wrong_BK).sum() / questions
            good_BK = scores_BK.detach().sigmoid().to(nll_BK)
            log["discriminator"] = judged.detach()
        else:
            judged = nll_R.new_zeros(())
            good_BK = right_BK.to(nll_BK)
        found = contrast(nll_BK, good_BK, right_BK, wrong_BK, delta=o.delta, neg_select=o.neg_select)
        label, right, wrong = (side_B.sum() / questions for side_B in (nll_BK[:, 0], found.right_B, found.wrong_B))
        value = o.label_weight * label + o.rationale_weight * (right + o.beta * wrong)
        log |= {"nll_label": label, "right": right, "wrong": wrong, "pushed": found.pushed_B.sum() / questions}
        self._now = int(questions)
        return Loss(value + judged.to(value.dtype), {name: one.detach() for name, one in log.items()})

    @property
    def _decay(self) -> float:
        """What is left of alpha 3 in this epoch."""
        found: float = self.options.quality_decay ** (self._read // max(1, self._training.examples))
        return found

    def after_step(self, logged: Mapping[str, float], step: Step) -> None:
        """The discriminator learns; Adam does not see how large its loss is, so that its rate falls as alpha 3 does."""
        if self.options.quality:
            self._judge.step(self.options.quality_lr * self._decay)
        self._read += self._now

    def state_dict(self) -> dict[str, Any]:
        """The discriminator's, and how much was read."""
        return {"judge": self._judge.state_dict(), "read": self._read}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with a checkpoint's."""
        self._judge.load_state_dict(state["judge"])
        self._read = int(state["read"])


def _sides(batch: Batch) -> tuple[Tensor, Tensor]:
    """Which rows are right rationales, and which wrong ones, (R,) bool; the first row of a question is its label."""
    right_R = batch.numbers[_RIGHT].to(batch.slot_R.device)
    return (batch.slot_R > 0) & (batch.slot_R <= right_R), batch.slot_R > right_R


def examples(quality: bool, encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The label of each record, its right and its wrong rationales; with one that is unusable it is left out."""

    def rationale(record: TrainRecord, text: str) -> Encoded:
        alone = replace(record, response=text, think=None, answer=None, structure=())
        return chain_only(encoder, tagged(alone, before="explain:"))

    def encode(record: TrainRecord) -> tuple[Example]:
        right = list(dict.fromkeys([response_text(record) or "", *record.positives]))
        wrong = dict.fromkeys([*record.negatives, *([record.rejected] if record.rejected else [])])
        rows = [answer_only(encoder, record), *(rationale(record, text) for text in (*right, *wrong))]
        return (Example(record.id, tuple(rows), numbers={_RIGHT: float(len(right))}),)

    data = encode_or_count(encode, records)
    if quality and all(len(example.sequences) == 1 + example.numbers[_RIGHT] for example in data.examples):
        raise DataError(
            "no record has a wrong rationale (`negatives` or `rejected`), from which qcrd's discriminator learns: "
            "`harness data corrections` and `dual` make some, or set quality=false"
        )
    return data


def stages(options: QcrdOptions) -> tuple[Stage, ...]:
    """One stage: a round."""
    return (
        Stage("train", ("response",), partial(examples, options.quality), partial(QcrdObjective, options), SETTINGS),
    )


METHOD = TrainMethod(
    name="qcrd",
    summary="the label, right rationales up and likely wrong ones down, weighed by a discriminator (QCRD)",
    paper="Quality-guided Contrastive Rationale Distillation for Large Language Models, arXiv 2405.13014",
    options=QcrdOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "The paper's total could not be read: how its pieces are put together, and the signs, are a reconstruction.",
        "A causal student; the label's task is asked as evaluation asks it, the rationale's with `explain:`.",
        "The discriminator reads the untrained student's input embeddings, max-pooled, without augmentation by masked "
        "words; the paper's is a T5 encoder. It learns in every step; the paper's does at regular epochs.",
        "Alpha 3 is the discriminator's rate, which falls after each epoch: Adam does not see the size of a loss.",
        "One run is one round over stored rationales; the student's own wrong ones are drawn before it.",
    ),
)
