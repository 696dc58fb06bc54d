"""`nesycd:<k>:<model>`: a teacher's notes on mistakes, looked up where a student is unsure (NesyCD, 2409.13203).

    harness run --suite gsm8k --model nesycd:3:trained:student-1a --model-arg notes=notes.jsonl

The student begins greedily; where the mean distance of its likeliest token to the next, over the first 16 steps and in
per cent, is at most `threshold`, it answers with the k notes on the nearest questions; else without any, as it would
by itself. `notes` are training records: the question in the prompt, and the teacher's text in `response` (or in
`meta.notes`) under the headers "Learning Summary:" and "Supplementary Knowledge:". A summary "No need summary." is
none. Takes an engine that scores a given text (hf, vllm, trained, a vLLM server).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backends.options import refuse_unused
from backends.records.inputs import read_all
from backends.records.notes import note_of
from backends.records.record import TrainRecord, data_hash, response_text
from backends.templates import asked, load_template
from harness.errors import ConfigError, DataError, ModelError
from harness.models.scoring import CannotScore
from harness.systems.base import MAIN, Asking, Assembly, PartFailed, System, assemble, calls_of
from harness.systems.retrieval import By, Library
from harness.types import Completion, Json, Message, Model, Request
from judges.prompts.fencing import fence

CONFIDENCE, MARGIN = "confidence", "margin"


@dataclass(frozen=True, kw_only=True)
class NesycdOptions:
    """What is looked up, and when."""

    notes: tuple[str, ...]
    """Files of the teacher's notes: training records."""
    threshold: float = 68.0
    """Largest mean margin, in per cent, with which notes are looked up; 100: always."""
    steps: int = 16
    """Tokens over which the margin is taken."""
    retrieve: By = "bm25"
    """Nearest by words or by meaning (sentence-transformers)."""
    embedder: str = ""
    """By meaning: folder or hub id of the embedder; empty is the bundled one."""

    def __post_init__(self) -> None:
        if not self.notes:
            raise ValueError("notes must name the files of a teacher's notes")
        if not 0 <= self.threshold <= 100:
            raise ValueError(f"threshold is in per cent, from 0 to 100, not {self.threshold:g}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        refuse_unused(self, self.retrieve == "dense", "retrieve=dense", "embedder")


def build(rest: str, options: Mapping[str, str]) -> Nesycd:
    """The engine's entry; reads the notes and asks nothing.

    Raises `ConfigError`, also for an engine that cannot score, `DataError` for notes that cannot be used, and what
    making the model raises.
    """
    parts = assemble("nesycd", rest, options, NesycdOptions, number=("notes", 3, 1))
    if isinstance(parts.models[MAIN], CannotScore):
        raise ConfigError(
            f"nesycd looks at the two likeliest tokens of each step, which {parts.models[MAIN].name} does not tell: it "
            "takes hf, vllm, trained or a vLLM server"
        )
    return Nesycd(parts)


class Margins:
    """A model whose reply to a begun answer is how far its likeliest tokens were ahead, as `alternatives`."""

    continues = False

    def __init__(self, model: Model, steps: int) -> None:
        self._model, self._steps = model, steps
        self.name, self.environment, self.score = model.name, model.environment, model.score

    def describe(self) -> Mapping[str, Json]:
        """The model's, and how many steps are looked at."""
        return {**self._model.describe(), "margins": self._steps}

    async def answer(self, request: Request) -> Completion:
        """The mean over the first steps of the last message of p(likeliest) - p(next), from 0 to 1."""
        *prompt, begun = request.messages
        try:
            found = await self._model.score(prompt, begun.content, 2)
        except (DataError, ModelError) as error:  # too long for the context; nothing to score
            return Completion("", "error", error=str(error))
        tops = (found.top or ())[: self._steps]
        if not tops:
            return Completion("", "error", error="it tells no likeliest tokens")
        margins = [_margin(list(top.values())) for top in tops]
        told = {MARGIN: sum(margins) / len(margins)}
        tokens_out = 0 if found.read is not None else None
        return Completion("", "stop", alternatives=told, tokens_in=found.read, tokens_out=tokens_out)

    async def close(self) -> None:
        """Its model is closed by whoever made it."""


def _margin(logprobs: Sequence[float]) -> float:
    first, second = (*sorted(logprobs, reverse=True), -math.inf, -math.inf)[:2]
    return min(1.0, math.exp(first) - math.exp(second))


class Nesycd(System[NesycdOptions]):
    """See the module's docstring."""

    engine = "nesycd"
    counted = "notes"

    def __init__(self, parts: Assembly[NesycdOptions]) -> None:
        margins = Margins(parts.models[MAIN], parts.options.steps)
        super().__init__(replace(parts, models={**parts.models, CONFIDENCE: margins}))
        told = parts.options
        self._records, self._notes = noted_mistakes(told.notes)
        questions = [record.prompt[-1].content for record in self._records]
        self._library = Library(questions, told.retrieve, told.embedder, ", ".join(told.notes))
        file = Path(__file__).with_name("prompts") / "nesycd_use.toml"
        self._template = load_template("nesycd_use", ("question", "notes"), file)

    def most(self) -> int:
        """The beginning and the answer; what looks at the beginning writes nothing."""
        return 2 * calls_of(self.models[MAIN])

    def settings(self) -> dict[str, Json]:
        """What changes answers; of the notes their content, whose number has its own name."""
        return {
            "threshold": self.options.threshold,
            "steps": self.options.steps,
            "library": {"data": data_hash(self._records), **self._library.identity()},
            "template": self._template.id,
        }

    async def compose(self, asking: Asking) -> Completion:
        """Begin, look how sure that is, and answer with notes or without."""
        own = asking.request
        begun = await asking.ask(MAIN, 1, temperature=0.0, top_p=1.0, max_tokens=self.options.steps)
        margin = 0.0
        if begun.text:
            messages = (*own.messages, Message("assistant", begun.text))
            fixed: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 1, "seed": 0, "attempt": 0}
            told = await asking.ask(CONFIDENCE, messages=messages, problem=None, **fixed)
            if MARGIN not in (found := told.alternatives or {}):
                raise PartFailed(f"{CONFIDENCE} ({self.models[CONFIDENCE].name}) told no margin")
            margin = found[MARGIN]
        unsure = 100 * margin <= self.options.threshold
        near = await self._library.nearest(own.messages[-1].content, self.number) if unsure else []
        asking.facts |= {MARGIN: margin, "unsure": unsure, "notes": [self._records[place].id for place in near]}
        if not near:
            return await asking.ask(MAIN)
        notes = "\n\n".join(fence(self._notes[place]) for place in near)
        return await asking.ask(MAIN, messages=asked(own.messages, self._template, {"notes": notes}))


def noted_mistakes(files: Collection[str]) -> tuple[list[TrainRecord], list[str]]:
    """The records that have notes, and their notes; raises `DataError` for a record without, and what reading raises.

    A record whose summary is none and that has no knowledge either has nothing to say, and is left out.
    """
    records, notes = [], []
    for record in read_all(files):
        text = record.meta.get("notes", response_text(record))
        parts = note_of(text) if isinstance(text, str) else None
        if parts is None:
            raise DataError(
                f"{', '.join(files)}: record {record.id!r} has no notes: a text with 'Learning Summary:' and "
                "'Supplementary Knowledge:' in its response or in meta.notes"
            )
        if parts:
            records.append(record)
            notes.append("\n".join(parts))
    return records, notes
