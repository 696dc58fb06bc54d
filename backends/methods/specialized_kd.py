"""Specialised KD: teacher text in four formats, optionally the teacher's top five (Fu et al. 2023, arXiv 2301.12726).

{with exemplars in the prompt, without} x {answer only, chain of thought}: all four are learnt at once, so that the
student keeps both abilities. `match_sample` is maximum likelihood; `match_distribution` takes KL(teacher's top 5,
student) where the records store the teacher's likeliest tokens (`teacher_top`, `backends.records.teacher_top`), which
are aligned with the student's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from backends.base import Loss, Objective, Stage, Step, TrainMethod
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.reduction import reduce_tokens
from backends.losses.specialized_kd import TOP_K, carry_over, match_distribution
from backends.methods._views import answer_only, chain_and_answer, tagged, whole
from backends.methods.sft import LikelihoodObjective
from backends.options import must_be, refuse_unused
from backends.records.record import TrainRecord, response_text
from backends.records.segments import IGNORED, Encoded, Encoder, Example, Tokenised, encode_or_count
from backends.records.teacher_top import IDS, LOGPS, at_tokens, stored_top
from backends.trainers.batch import Batch
from harness.errors import DataError
from harness.types import Json, Message

Format = Literal["zero_shot_cot", "zero_shot_answer", "in_context_cot", "in_context_answer"]
SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 64, "epochs": 10}
ANSWER_CUE = "Give the answer only."


@dataclass(frozen=True)
class SpecializedKdOptions:
    """Specialised KD's own options."""

    formats: tuple[str, ...] = get_args(Format)
    """Which of the four formats each record is shown in."""
    exemplars: int = 4
    """Other records in the prompt of the formats in context."""
    loss: Literal["match_sample", "match_distribution"] = "match_sample"
    """The likelihood of the teacher's text, or its distributions where they are stored."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in get_args(Format)]
        if unknown or not self.formats:
            raise ValueError(
                f"formats must be some of {', '.join(get_args(Format))}, not {', '.join(unknown) or 'none'}"
            )
        must_be(self, "at least 1", "exemplars")
        in_context = any(name.startswith("in_context") for name in self.formats)
        refuse_unused(self, in_context, "the formats in context", "exemplars")


class DistributionObjective(Objective):
    """KL(teacher's top 5, student) at tokens that have it, else the likelihood; mean over the step's tokens."""

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the token mean; logs how many tokens had a distribution."""
        mask_RT, teacher_RTK = batch.mask_RT, batch.extras[LOGPS]
        given_RT = mask_RT & ~teacher_RTK[..., 0].isneginf()
        kl_RT = match_distribution(logits, teacher_RTK, batch.extras[IDS].long(), given_RT)
        nll_RT = -token_logps(logits, batch.labels_RT.masked_fill(given_RT, IGNORED))
        value = reduce_tokens(kl_RT + nll_RT, mask_RT, reduction="global", num_items=counts["tokens"])
        return Loss(value, {"matched": given_RT.sum() / counts["tokens"]})


# --- formats --------------------------------------------------------------------------------------------------------


def examples(options: SpecializedKdOptions, encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """Each record in each format; a format of a record that cannot be used is counted as "<record>/<format>"."""
    if len(records) < 2 and any(name.startswith("in_context") for name in options.formats):
        raise DataError("the formats in context take their exemplars from other records: at least 2 are needed")
    shown = {f"{record.id}/{name}": (number, name) for number, record in enumerate(records) for name in options.formats}

    def encode(shown_id: str) -> tuple[Example]:
        number, name = shown[shown_id]
        asked = _asked(records, number, name, options.exemplars)
        return (Example(shown_id, (whole(encoder, asked) if name.endswith("_cot") else answer_only(encoder, asked),)),)

    data = encode_or_count(encode, shown, str)
    if options.loss == "match_sample":
        return data
    carry = _Carrier(encoder)
    known = [(example, *shown[example.id]) for example in data.examples]
    carried = (Example(one.id, (carry(one.sequences[0], records[n], name),)) for one, n, name in known)
    return replace(data, examples=tuple(carried))


def _asked(records: Sequence[TrainRecord], number: int, name: str, exemplars: int) -> TrainRecord:
    """The record with the format's prompt: exemplars are the records after it; an answer without a chain has a cue."""
    record, cot = records[number], name.endswith("_cot")
    cue = "" if cot else ANSWER_CUE
    asked = tagged(record, after=cue)
    if name.startswith("zero_shot"):
        return asked
    shown = []
    for place in range(1, min(exemplars, len(records) - 1) + 1):
        other = records[(number + place) % len(records)]
        reply = response_text(other) if cot else chain_and_answer(other)[1]
        shown.append(f"{tagged(other, after=cue).prompt[-1].content}\n\n{reply}")
    last = asked.prompt[-1]
    text = "\n\n".join([*shown, last.content])
    return replace(asked, prompt=(*asked.prompt[:-1], Message(last.role, text)))


class _Carrier:
    """Puts the teacher's stored distributions at a response's tokens, in the student's ids."""

    def __init__(self, encoder: Encoder) -> None:
        self.texts = token_texts(encoder.tokenizer)
        self.vocabulary = {text: number for number, text in enumerate(self.texts)}

    def __call__(self, sequence: Encoded, record: TrainRecord, name: str) -> Encoded:
        """The sequence with distributions; without a chain none of the teacher's fits."""
        count = int(sequence.supervised_T.sum())
        if not name.endswith("_cot"):
            return at_tokens(
                sequence, torch.full((count, TOP_K), -torch.inf).numpy(), torch.zeros(count, TOP_K).numpy()
            )
        stored = stored_top(record)
        student = [self.texts[number] for number in sequence.ids_T[sequence.supervised_T].tolist()]
        try:
            tokens, tops = zip(*stored, strict=True)
            logps_TK, ids_TK = carry_over(student, tokens, tops, self.vocabulary)
        except DataError as error:
            raise DataError(f"record {record.id!r}: {error}") from None
        return at_tokens(sequence, logps_TK.numpy(), ids_TK.numpy())


def token_texts(tokenizer: Any) -> list[str]:
    """What each token of a vocabulary stands for as text; a piece of a character stands for itself alone."""
    found = []
    for number, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        text = token.replace("\u2581", " ") if "\u2581" in token else tokenizer.decode([number])
        found.append(f"<{number}>" if "\ufffd" in text else text)
    return found


def stages(options: SpecializedKdOptions) -> tuple[Stage, ...]:
    """One stage on the mixture."""
    objective = DistributionObjective if options.loss == "match_distribution" else LikelihoodObjective
    return (Stage("train", ("response",), partial(examples, options), objective, SETTINGS),)


METHOD = TrainMethod(
    name="specialized_kd",
    summary="teacher text with and without exemplars, with and without a chain, and its top five tokens",
    paper="Fu et al. 2023, Specializing Smaller Language Models towards Multi-Step Reasoning, arXiv 2301.12726",
    options=SpecializedKdOptions,
    stages=stages,
    needs=("teacher text",),
    deviations=(
        "a causal student in place of Flan-T5, with a learning rate to match",
        "tokens are aligned by edit distance and keep the teacher's distribution only where their text is the same; "
        "the others learn the sample",
        "each record is shown in every format; the exemplars are the records after it",
    ),
)
