"""LEMA: learning from mistakes. The student reads a wrong solution, and learns to say what is wrong and put it right.

    L = NLL of the tokens of (response | question) and of (feedback, response | question, wrong solution)

The wrong solution is part of what is asked: only the correction is learnt. Corrections are `feedback` of the records
(`harness data corrections`), or the wrong step itself where it is known (`meta.error_span` of `rejected`).
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.base import TrainMethod, one_stage
from backends.methods._views import chain_and_answer, in_words, tagged, whole
from backends.methods.sft import LikelihoodObjective
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Example, Tokenised, encode_or_count
from backends.records.spans import parts_of
from backends.structure.judged import ERROR
from harness.errors import DataError
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 2e-4,
    "scheduler": "constant",
    "warmup": 0.0,
    "batch_size": 96,
    "max_grad_norm": 0.3,
    "lora_rank": 64,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
}
"""The paper's for models below 34B, which trains for 1,000 steps at most."""
_ASK = "A solution that ends at a wrong answer:\n{wrong}\n\nSay which step is wrong and why, then solve it correctly."


def _what_is_wrong(record: TrainRecord) -> str:
    """The correction's first part. Raises `DataError` for a record that does not say what is wrong."""
    if record.feedback and record.feedback.strip():
        return record.feedback.strip()
    span, text = record.meta.get(ERROR), record.rejected or ""
    numbers = [place for place in span if type(place) is int] if isinstance(span, list) else []
    if len(numbers) != 2 or not 0 <= numbers[0] < numbers[1] <= len(text):
        raise DataError(
            "nothing says what is wrong in its 'rejected': add 'feedback' (`harness data corrections`) or "
            f"'meta.{ERROR}', the characters of the first mistake"
        )
    return f"The first wrong step is: {text[numbers[0] : numbers[1]].strip()}"


def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The response of each record, and the correction of its wrong solution."""

    def encode(record: TrainRecord) -> tuple[Example, Example]:
        chain, answer = chain_and_answer(record)
        asked = tagged(record, after=_ASK.format(wrong=_unmarked(record.rejected or "")))
        told = f"{_what_is_wrong(record)}\n\n{chain}\n{answer}"
        correction = in_words(encoder, asked, told)
        return Example(record.id, (whole(encoder, record),)), Example(f"{record.id}/correction", (correction,))

    return encode_or_count(encode, records)


def _unmarked(text: str) -> str:
    """A solution without think tags: the prompt must not open a thought."""
    chain, answer = parts_of(text)
    return f"{chain}\n{answer}" if chain else answer


METHOD = TrainMethod(
    name="lema",
    summary="right solutions, and corrections of wrong ones, of which only the correction is learnt (LEMA)",
    paper="An et al. 2023, Learning From Mistakes Makes LLM Better Reasoner, arXiv 2310.20689; code microsoft/LEMA",
    stages=one_stage(lambda options: LikelihoodObjective(), examples, SETTINGS, ("response", "rejected")),
    needs=("teacher text",),
    deviations=(
        "LoRA over the base as it is loaded, in place of QLoRA; epochs or a budget in place of 1,000 steps.",
        "As many corrections as right solutions: each record gives one of both.",
        "The wording that asks for a correction is ours.",
    ),
)
