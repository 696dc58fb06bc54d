"""Responses that a model finds unlikely are left out ("Not all correct answers are equal", arXiv 2505.14464).

Perplexity is exp of the mean negative log-probability of the response's tokens, given the prompt, by a model that is no
party to it. The paper names no threshold; its corpora have means of 2.5 to 3.0 under a model of 32B.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, tally
from backends.makers.scorer import ScoringModel, scores_of, scoring
from backends.records.inputs import noted
from backends.records.record import TrainRecord, require, response_text
from harness.types import Json, Model


@dataclass(frozen=True, kw_only=True)
class Perplexity(Maker):
    """Leave out responses whose perplexity under a model is above a bound.

    RECORDS have a response; the model must give log-probabilities of a text. What is kept has its perplexity in the
    meta; the report has the median of all, to choose a bound by.

    \b
    harness data perplexity traces.jsonl --model hf:./base --most 5 -o likely.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    most: float = field(metadata={"above": 1.0})
    """Largest perplexity of a token that is kept."""

    name: ClassVar[str] = "perplexity"
    role: ClassVar[str] = "model"
    nothing: ClassVar[str] = "no response is as likely as that"

    def check(self) -> None:
        """Every record needs a response."""
        require(self.records, ("response",), "harness data perplexity")

    def over(self, model: Model) -> Model:
        """The model only scores."""
        return ScoringModel(model, "model")

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [scoring(self.name, record, response_text(record) or "") for record in self.records]

    def run(self, ask: Ask) -> Made:
        """Score and compare."""
        counts = Counter(given=len(self.records))
        found: list[float] = []
        kept: list[TrainRecord] = []
        for record, scores in zip(self.records, scores_of(ask(self.first())), strict=True):
            if scores is None:
                counts["not_scored"] += 1
                continue
            found.append(math.exp(min(700.0, -math.fsum(scores.logprobs) / len(scores.logprobs))))
            if found[-1] > self.most:
                counts["above"] += 1
            else:
                kept.append(noted(record, perplexity=round(found[-1], 4)))
        counts["kept"] = len(kept)
        facts: dict[str, Json] = {"most": self.most, "median": round(median(found), 4) if found else None}
        return Made(tuple(kept), tally(counts, ("given", "not_scored", "above", "kept")), facts=facts)
