"""MIND: perspectives on a question, of which a scorer chooses those that the student can learn from at the moment.

The scorer (the paper's MetaNet, a "teaching assistant") reads question and rationales and learns to say how well the
student does on each; the student learns the chosen ones by weight, and to answer alike after them. Perspectives are a
record's response and `positives`, as `harness data perspectives` makes them: each kind has a head of its own. Losses:
`backends.losses.mind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backends.base import Loss, Objective, Stage, Step, Training, TrainMethod
from backends.losses.mind import answer_jsd, dynamic_weights, meta_loss
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.reduction import row_means
from backends.methods._assistant import Assistant, made_alike, pooled, row_table
from backends.methods._views import whole
from backends.options import must_be
from backends.records.record import TrainRecord, response_text
from backends.records.segments import Encoded, Encoder, Example, Tokenised, encode_or_count
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 16, "epochs": 3}
KINDS = ("given", "formal", "intuitive", "decompose", "plan", "analogy", "socratic", "contrast", "counterfactual")
"""Perspectives by their names in a record's meta; any other is "given"."""
_KIND = "perspective"
_WIDTH, _HEADS, _LAYERS, _CHUNK = 64, 4, 2, 64


@dataclass(frozen=True)
class MindOptions:
    """Options of MIND."""

    beta: float = 0.8
    """Perspectives are learnt whose probability is at least so large a part of the best one's."""
    tau: float = 1.0
    """Divides scores and losses where the scorer learns."""
    tau_student: float = 1.0
    """Divides the scores where perspectives are weighed."""
    lam: float = 0.1
    """Weight of answering alike after two perspectives."""
    inertia: float = 0.9
    """Part of a perspective's earlier loss in what the scorer learns."""
    scorer_lr: float = 1e-3
    """Learning rate of the scorer."""
    scorer_epochs: int = 10
    """Passes of the scorer over the data before the student learns."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "beta", "inertia")
        must_be(self, "above 0", "tau", "tau_student", "scorer_lr")
        must_be(self, "0 or more", "lam", "scorer_epochs")


class MetaNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A question and its rationales attend to each other; each kind of perspective has a head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, _WIDTH)
        self.role = nn.Parameter(torch.zeros(2, _WIDTH))
        layer = nn.TransformerEncoderLayer(_WIDTH, _HEADS, 2 * _WIDTH, dropout=0.0, batch_first=True)
        self.attend = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 1)) for _ in KINDS
        )

    def forward(self, question_BD: Tensor, rationale_BKD: Tensor, kind_BK: Tensor, valid_BK: Tensor) -> Tensor:
        """Scores (B, K)."""
        texts = torch.cat([question_BD[:, None], rationale_BKD], 1)
        roles = torch.cat([self.role[:1], self.role[1:].expand(rationale_BKD.shape[1], -1)])
        hidden = nn.functional.layer_norm(self.narrow(texts), (_WIDTH,)) + roles
        missing = torch.cat([torch.zeros_like(valid_BK[:, :1]), ~valid_BK], 1)
        seen = self.attend(hidden, src_key_padding_mask=missing)[:, 1:]
        every = torch.stack([head(seen)[..., 0] for head in self.heads], -1)
        return every.gather(-1, kind_BK[..., None])[..., 0]


class MindObjective(Objective):
    """The weighed likelihood of perspectives and their answers' agreement, mean over the questions of the step."""

    options: MindOptions
    _training: Training
    _scorer: Assistant
    _seen: list[tuple[Tensor, Tensor, Tensor]]
    """(question, perspective, loss) of the rows of this step."""
    _texts: Tensor
    """(questions, perspectives, question or rationale, width), as the untrained student embeds them."""
    _kinds: Tensor
    _valid: Tensor
    _losses: Tensor
    """What the student lost on each perspective, a running mean; (questions, perspectives)."""

    def setup(self, training: Training) -> None:
        """Read the texts, ask the untrained student for its losses, and warm the scorer up."""
        self._training, self._seen = training, []
        size, batches = training.examples, list(training.batches())
        slots = max(int(batch.slot_R.max()) + 1 for batch in batches)
        width = training.model.get_input_embeddings().weight.shape[1]
        self._texts = torch.zeros(size, slots, 2, width, dtype=torch.float16)
        self._kinds = torch.zeros(size, slots, dtype=torch.int64)
        self._valid = torch.zeros(size, slots, dtype=torch.bool)
        self._losses = torch.zeros(size, slots)
        for batch in batches:
            row_table(batch, pooled(training, batch, "mean"), self._texts)
            row_table(batch, batch.extras[_KIND][:, 0], self._kinds)
            row_table(batch, torch.ones_like(batch.slot_R), self._valid)
            row_table(batch, training.forward(partial(_row_nll, batch), batch), self._losses)
        self._scorer = Assistant(made_alike(MetaNet, width), training, self.options.scorer_lr)
        for _ in range(self.options.scorer_epochs):
            for index_B in torch.arange(size).split(_CHUNK):
                scores_BK, valid_BK, losses_BK = self._scored(index_B)
                self._scorer.learn(meta_loss(scores_BK, losses_BK, valid_BK, tau=self.options.tau).mean())

    def _scored(self, index_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(scores, which perspectives are there, what the student lost on them before) of questions, each (B, K)."""
        device, at = self._training.device, index_B.cpu()
        texts = self._texts[at].to(device).float()
        kinds, valid, losses = (table[at].to(device) for table in (self._kinds, self._valid, self._losses))
        return self._scorer(texts[:, 0, 0], texts[:, :, 1], kinds, valid), valid, losses

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The questions."""
        return {"questions": torch.tensor(batch.examples)}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs the terms and how many perspectives are learnt of each question."""
        o, questions = self.options, counts["questions"]
        nll_R = _row_nll(batch, logits)
        self._seen.append((batch.index_R, batch.slot_R, nll_R.detach()))
        scores_BK, valid_BK, before_BK = self._scored(batch.index_R[batch.rows(0)])
        nll_BK, here_BK = batch.table(nll_R)
        width = here_BK.shape[1]  # a micro-batch may lack the last perspectives of the data set
        scores_BK, valid_BK, before_BK = (side[:, :width] for side in (scores_BK, valid_BK, before_BK))
        losses_BK = o.inertia * before_BK + (1 - o.inertia) * nll_BK.detach()
        meta = meta_loss(scores_BK, losses_BK, valid_BK, tau=o.tau).sum() / questions
        alpha_BK = dynamic_weights(scores_BK, valid_BK, beta=o.beta, tau=o.tau_student).to(nll_BK.dtype)
        likelihood = (alpha_BK * nll_BK).sum() / questions
        agreement = self._agreement(batch, logits, alpha_BK) / questions
        value = likelihood + o.lam * agreement
        log = {
            "nll": likelihood.detach(),
            "disagreement": agreement.detach(),
            "meta": meta.detach(),
            "chosen": (alpha_BK > 0).sum() / questions,
        }
        return Loss(value + meta.to(value.dtype), log)

    def _agreement(self, batch: Batch, logits: HeadLogits, alpha_BK: Tensor) -> Tensor:
        """Sum over pairs of chosen perspectives of both weights and their answers' JSD."""
        answer_RT, weight_R = batch.part("answer"), alpha_BK[batch.example_R, batch.slot_R]
        chosen = [(int(batch.example_R[row]), row) for row in (weight_R > 0).nonzero()[:, 0].tolist()]
        pairs = [(a, b) for (one, a), (other, b) in combinations(sorted(chosen), 2) if one == other]
        if not pairs or not self.options.lam:
            return logits.hidden_BTD.sum() * 0.0
        first, second = torch.tensor(pairs, device=answer_RT.device).T
        one, other = (replace(logits, hidden_BTD=logits.hidden_BTD[rows]) for rows in (first, second))
        found_P = answer_jsd(one, other, answer_RT[first], answer_RT[second])
        return (weight_R[first] * weight_R[second] * found_P).sum()

    def after_step(self, logged: Mapping[str, float], step: Step) -> None:
        """The scorer learns, and what the student lost is remembered, that of all processes."""
        self._scorer.step()
        own = [tuple(side.cpu() for side in one) for one in self._seen]
        self._seen.clear()
        keep = self.options.inertia
        for index_R, slot_R, nll_R in (one for seen in self._training.gather(own) for one in seen):
            self._losses[index_R, slot_R] = keep * self._losses[index_R, slot_R] + (1 - keep) * nll_R.float()

    def state_dict(self) -> dict[str, Any]:
        """The scorer's, and the student's losses."""
        return {"scorer": self._scorer.state_dict(), "losses": self._losses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with a checkpoint's."""
        self._scorer.load_state_dict(state["scorer"])
        self._losses.copy_(state["losses"])


def _row_nll(batch: Batch, logits: HeadLogits) -> Tensor:
    return -row_means(token_logps(logits, batch.labels_RT), batch.mask_RT)


def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """All perspectives of each record: its response, then its positives."""

    def encode(record: TrainRecord) -> tuple[Example]:
        texts = [response_text(record) or "", *record.positives]
        rows = [_of_kind(whole(encoder, record, text), kind) for text, kind in zip(texts, _kinds(record), strict=True)]
        return (Example(record.id, tuple(rows)),)

    return encode_or_count(encode, records)


def _kinds(record: TrainRecord) -> list[int]:
    """The number of each perspective's kind, that of the response first."""
    told = record.meta.get("perspectives")
    named = (
        list(told) if isinstance(told, list) and len(told) == len(record.positives) else [""] * len(record.positives)
    )
    names = [record.meta.get("response_perspective"), *named]
    return [KINDS.index(name) if isinstance(name, str) and name in KINDS else 0 for name in names]


def _of_kind(row: Encoded, kind: int) -> Encoded:
    return replace(row, extras={**row.extras, _KIND: np.full(len(row.ids_T), kind, np.int64)})


def stages(options: MindOptions) -> tuple[Stage, ...]:
    """One stage on all perspectives."""
    return (Stage("train", ("response", "positives"), examples, partial(MindObjective, options), SETTINGS),)


METHOD = TrainMethod(
    name="mind",
    summary="perspectives on a question, weighed by a scorer of what the student can learn from now (MIND)",
    paper="MIND (ACL 2026): capability-aware multi-perspective chain-of-thought distillation; project page, no code",
    options=MindOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "Perspectives are kept by their probability, not by their score: a share of a score below 0 means nothing.",
        "beta, both temperatures, lam, inertia and the training settings are ours; the project page gives none.",
        "The scorer reads the untrained student's input embeddings, mean-pooled.",
        "Inertia is a running mean of the student's losses; the paper's is a smaller rate and more accumulation.",
        "The answer's distribution is compared at each aligned token; answers of different lengths are not compared.",
    ),
)
