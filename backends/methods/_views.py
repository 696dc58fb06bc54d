"""MT-CoT, step-by-step, SCOTT, CasCoD: a record becomes a row per view, and each view has its own token mean.

What the views are and how much each counts is `backends.losses.cot_family`; here they are cut out of a response. The
part that a view is given has the segment "prompt", so that it is read and not learnt. The view whose output the papers
use at test time is asked with the record's own prompt, as in evaluation; the other one's prompt carries its tag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from backends.base import Loss, Objective, Stages, Step, one_stage
from backends.losses.cot_family import Views, shares, view_tokens, view_weights
from backends.losses.nll import token_logps, weighted_nll
from backends.losses.positions import HeadLogits
from backends.options import must_be
from backends.records.record import TrainRecord, response_text
from backends.records.segments import CODE, Encoded, Encoder, Example, Segment, Tokenised, Unusable, encode_or_count
from backends.records.spans import split_response
from backends.trainers.batch import Batch
from harness.types import Json, Message

CHAIN: tuple[Segment, ...] = ("think", "meta", "solve")
"""Segments of a chain of thought."""


@dataclass(frozen=True)
class ViewOptions:
    """Options of the methods with two views."""

    alpha: float | None = None
    """Share of the view that learns the answer alone, from 0 to 1; the other view has the rest. None: the method's."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "alpha")


class ViewObjective(Objective):
    """The sum over views of share * mean negative log-likelihood of the view's tokens in the optimiser step."""

    def __init__(self, options: Any, views: Views, alpha: float) -> None:
        super().__init__(options)
        self.views, self.alpha = views, alpha

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Learnt tokens of each view."""
        return {"tokens_V": view_tokens(batch.mask_RT, batch.slot_R, len(self.views))}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the loss; logs each view's own mean."""
        logps_RT, tokens_V = token_logps(logits, batch.labels_RT), counts["tokens_V"]
        weights_RT = view_weights(batch.mask_RT, batch.slot_R, tokens_V, shares(self.views, self.alpha))
        value = weighted_nll(logps_RT, batch.mask_RT, weights_RT, reduction="sum")
        nll_R = -logps_RT.detach().sum(1)
        log = {
            f"nll_{name}": nll_R[batch.slot_R == number].sum() / tokens_V[number].clamp(min=1)
            for number, name in enumerate(self.views)
        }
        return Loss(value, log)


# --- rows -----------------------------------------------------------------------------------------------------------

RowMaker = Callable[[Encoder, TrainRecord], Sequence[Encoded]]
"""The rows of a record in the order of its method's views. Raises `Unusable`."""


def view_stages(rows: RowMaker, views: Views, alpha: float, settings: Mapping[str, Json]) -> Stages:
    """The one stage of a method with views; `alpha` is its default."""

    def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
        return encode_or_count(lambda record: (Example(record.id, tuple(rows(encoder, record))),), records)

    def objective(options: ViewOptions) -> ViewObjective:
        return ViewObjective(options, views, alpha if options.alpha is None else options.alpha)

    return one_stage(objective, examples, settings)


def tagged(record: TrainRecord, *, before: str = "", after: str = "") -> TrainRecord:
    """The record with a tag in front of its last turn, or behind it."""
    last = record.prompt[-1]
    text = "".join((f"{before} " if before else "", last.content, f"\n\n{after}" if after else ""))
    return replace(record, prompt=(*record.prompt[:-1], Message(last.role, text)))


def whole(encoder: Encoder, record: TrainRecord, text: str | None = None) -> Encoded:
    """Chain and answer, both learnt; `text` in place of the record's response. Raises `Unusable` without a split."""
    own = response_text(record)
    structure = record.structure if text is None else ()
    return encoder.encode(encoder.prompt(record), text or own or "", structure, need_split=True)


def chain_given(encoded: Encoded) -> Encoded:
    """The same sequence of which only the answer is learnt: the chain is part of what is asked."""
    codes = [CODE[name] for name in CHAIN]
    segments = np.where(np.isin(encoded.segments_T, codes), CODE["prompt"], encoded.segments_T)
    return replace(encoded, segments_T=segments.astype(np.int8))


def chain_alone(encoded: Encoded) -> Encoded:
    """The same sequence up to the end of its chain: what follows it, end of sequence included, is not there."""
    size = len(encoded.ids_T) - encoded.count("answer")
    return replace(encoded, ids_T=encoded.ids_T[:size], segments_T=encoded.segments_T[:size])


def answer_only(encoder: Encoder, record: TrainRecord) -> Encoded:
    """The answer without any chain, as the whole response."""
    return in_words(encoder, record, chain_and_answer(record)[1])


def in_words(encoder: Encoder, record: TrainRecord, text: str) -> Encoded:
    """A text that is no chain and answer, as the whole response, behind a think block that the prompt may open."""
    prompt = encoder.prompt(record)
    return encoder.encode(prompt, f"{prompt.closing}\n{text}" if prompt.opened_think else text)


def chain_only(encoder: Encoder, record: TrainRecord) -> Encoded:
    """The chain without an answer, as the whole response; it ends in an end of sequence."""
    chain, _ = chain_and_answer(record)
    prompt = encoder.prompt(record)
    encoded = encoder.encode(prompt, f"{chain}\n{prompt.closing}" if prompt.opened_think else chain)
    segments = np.where(encoded.segments_T == CODE["answer"], CODE["think"], encoded.segments_T)
    return replace(encoded, segments_T=segments.astype(np.int8))


def chain_and_answer(record: TrainRecord) -> tuple[str, str]:
    """The texts of a response's chain and answer, without tags. Raises `Unusable` if they cannot be told apart."""
    text = response_text(record) or ""
    split = split_response(text)
    if split is None:
        raise Unusable("no_split")
    chain = text[split.think_start : split.think_end].strip()
    answer = text[split.answer_text :]
    if split.rule == "json":
        answer = "{" + answer
    if not chain or not answer.strip():
        raise Unusable("no_split")
    return chain, answer.strip()
