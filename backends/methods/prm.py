"""PRM (the core of Fin-PRM): a model that says at the end of each step, and at the end of all, whether it is good.

    L = mean over ends of -(g log p(good) + (1 - g) log p(bad))       p = softmax of two label tokens

Each end is a row of its own with its own label g: that of a step (right so far; a share of right continuations), or
that of the trajectory (its outcome). Rows and labels are `backends.structure.judged`; the reward `process` asks alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backends.base import Loss, Objective, Step, Training, TrainMethod, one_stage
from backends.losses.positions import HeadLogits, over_positions
from backends.records.record import TrainRecord
from backends.records.segments import CODE, Encoded, Encoder, Example, Tokenised, Unusable, encode_or_count
from backends.structure.judged import BAD, GOOD, End, end_prompt, labelled_ends
from backends.structure.paths import question_of
from backends.trainers.batch import Batch
from harness.errors import ConfigError
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 2e-5, "epochs": 3.0, "scheduler": "cosine"}
"""The paper's."""


def label_ids(tokenizer: Any) -> tuple[int, int]:
    """The tokens of good and bad. Raises `ConfigError` where the two words begin with the same one."""
    good, bad = (tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in (GOOD, BAD))
    if good == bad:
        raise ConfigError(f"the tokenizer begins {GOOD!r} and {BAD!r} with the same token: prm cannot tell them apart")
    return good, bad


def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """One row for each labelled end of each record, whose only learnt token is the label's."""
    good, bad = label_ids(encoder.tokenizer)

    def rows(record: TrainRecord) -> list[Example]:
        found = []
        for number, one in enumerate(labelled_ends(record)):
            row = end_row(encoder, record, one.end, good if one.good >= 0.5 else bad)
            name = record.id if number == 0 else f"{record.id}/{number + 1}"
            of = {"good": one.good, "end": float(one.end.kind == "end")}
            found.append(Example(name, (row,), numbers=of))
        if not found:
            raise Unusable("empty")
        return found

    return encode_or_count(rows, records)


def end_row(encoder: Encoder, record: TrainRecord, end: End, label: int) -> Encoded:
    """The prompt that asks about an end, and the token of a label. Raises `Unusable` for one that is too long."""
    tokens = encoder.prompt(TrainRecord(record.id, end_prompt(question_of(record), end))).tokens
    if len(tokens) + 1 > encoder.max_length:
        raise Unusable("too_long")
    segments_T = np.array([CODE["prompt"]] * len(tokens) + [CODE["answer"]], np.int8)
    return Encoded(np.array([*tokens, label], np.int32), segments_T)


def label_odds(logits: HeadLogits, mask_RT: Tensor, ids: tuple[int, int]) -> Tensor:
    """By how many nats good is ahead of bad at the one masked position of each row, (R,): a reward, a score."""
    good, bad = ids

    def odds(scores_nV: Tensor, _row: Tensor, _place: Tensor) -> tuple[Tensor]:
        return (scores_nV[:, good] - scores_nV[:, bad],)

    (odds_RT,) = over_positions(odds, logits, mask_RT)
    return odds_RT.sum(1)


class LabelObjective(Objective):
    """Cross entropy over two tokens at each end, a mean over the ends of the optimiser step."""

    _ids: tuple[int, int]

    def setup(self, training: Training) -> None:
        """Find the label tokens."""
        self._ids = label_ids(training.tokenizer)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Ends of either kind."""
        return {"rows": batch.mask_RT.sum(), "ends": batch.numbers["end"].sum().long()}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs the mean of steps, of trajectories, and the share that is told right."""
        good_R = batch.numbers["good"].to(batch.labels_RT.device)
        ids = torch.tensor(self._ids, device=batch.labels_RT.device)

        def two(scores_nV: Tensor, row_n: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
            logps_n2 = scores_nV[:, ids].log_softmax(-1)
            good_n = good_R[row_n].to(logps_n2.dtype)
            told_n = ((logps_n2[:, 0] > logps_n2[:, 1]) == (good_n >= 0.5)).to(logps_n2.dtype)
            return -(good_n * logps_n2[:, 0] + (1 - good_n) * logps_n2[:, 1]), told_n + 0 * logps_n2[:, 0]

        ce_RT, told_RT = over_positions(two, logits, batch.mask_RT)
        ce_R, told_R = ce_RT.sum(1), told_RT.detach().sum(1)
        rows, ends = counts["rows"].clamp(min=1), counts["ends"]
        is_end_R = batch.numbers["end"].to(ce_R.device) > 0
        log = {
            "step_ce": ce_R.detach()[~is_end_R].sum() / (rows - ends).clamp(min=1),
            "end_ce": ce_R.detach()[is_end_R].sum() / ends.clamp(min=1),
            "told_right": told_R.sum() / rows,
        }
        return Loss(ce_R.sum() / rows, log)


METHOD = TrainMethod(
    name="prm",
    summary="a process reward model: whether each step, and the whole, is good, as one of two tokens (Fin-PRM)",
    paper="Fin-PRM, code of aliyun/qwen-dianjin (DianJin-PRM): step and trajectory labels by cross entropy",
    stages=one_stage(LabelObjective, examples, SETTINGS, needs=("prompt",)),
    deviations=(
        "The label is one of two words of the language model's own vocabulary, in place of an MLP head with two "
        "classes, so that what is trained is a model like any other, which every engine runs.",
        "Each end is a row of its own behind the text up to it, in place of separators in one text: more tokens are "
        "read, and the same prompt is asked later by engines that know nothing of separators.",
        "Each row has its own trajectory label; the authors' collator gives the last one's to all.",
        "Labels are the record's; the paper adds up continuations, a judge and facts with weights of its own.",
        "Warm-up is that of the settings; the paper's are 50 steps.",
    ),
)
