"""A model whose answer is one of two labels, and a threshold of its own on how likely they are (R2Vul's calibration).

The model answers as it does; where its answer says one of the two labels, both are scored behind what it wrote before
the last of them, and the one that the threshold asks for stands there. An answer with neither, and one that failed or
was cut, stays as it is. `harness models calibrate` chooses the threshold and keeps it in the model's card.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import DataError, ModelError
from harness.models.under_way import UnderWay, under_way
from harness.reasoning import with_answer
from harness.threshold import LabelThreshold
from harness.types import Completion, Json, Message, Model, Request, TokenScores


@dataclass(frozen=True, slots=True)
class LabelSeen:
    """The label in an answer: where it stands, and how likely the positive one is there."""

    start: int
    end: int
    chance: float
    read: int | None
    """Tokens that were read to find out; None where the engine does not say."""


async def label_chance(
    model: Model, prompt: Sequence[Message], answer: Completion, positive: str, negative: str
) -> LabelSeen | None:
    """P(positive) of the two labels where the answer says the last of them; None where it says neither.

    Raises `ModelError` and `DataError` as `Model.score` does.
    """
    written = with_answer(answer).answer_text
    if answer.finish != "stop" or not written:
        return None
    either = "|".join(re.escape(label) for label in sorted((positive, negative), key=len, reverse=True))
    found = list(re.finditer(rf"(?<!\w)(?:{either})(?!\w)", answer.text))
    if not found or not re.search(rf"(?<!\w)(?:{either})(?!\w)", written):
        return None
    last = found[-1]
    before = answer.text[: last.start()]
    scores = [await model.score(prompt, before + label) for label in (positive, negative)]
    shared = _shared(scores[0].ids, scores[1].ids)
    right, wrong = (math.fsum(one.logprobs[shared:]) for one in scores)
    chance = 1 / (1 + math.exp(min(700.0, wrong - right)))
    counts = [one.read for one in scores if one.read is not None]
    return LabelSeen(last.start(), last.end(), chance, sum(counts) if len(counts) == len(scores) else None)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class CalibratedModel:
    """A model with a threshold behind it."""

    def __init__(self, model: Model, threshold: LabelThreshold) -> None:
        self.model, self.threshold = model, threshold
        self.name = model.name

    gives_logprob = False

    @property
    def continues(self) -> bool:
        """As the model itself."""
        return self.model.continues

    def describe(self) -> Mapping[str, Json]:
        """The model's identity, and what decides between the labels."""
        told = {name: getattr(self.threshold, name) for name in ("positive", "negative", "threshold")}
        return {**self.model.describe(), "calibration": told}

    def environment(self) -> Mapping[str, Json]:
        """The model's."""
        return self.model.environment()

    def under_way(self) -> list[UnderWay]:
        """The model's."""
        return under_way(self.model)

    async def answer(self, request: Request) -> Completion:
        """The model's answer with the label that the threshold asks for; an error where it could not be told."""
        answer, told = await self.model.answer(request), self.threshold
        try:
            found = await label_chance(self.model, request.messages, answer, told.positive, told.negative)
        except (ModelError, DataError) as error:
            why = f"calibration: {error}".splitlines()[0]
            return replace(answer, text="", finish="error", error=why[:500], reasoning=None, answer_text=None)
        if found is None:
            return answer
        label = told.positive if found.chance >= told.threshold else told.negative
        text = answer.text[: found.start] + label + answer.text[found.end :]
        read = None if answer.tokens_in is None or found.read is None else answer.tokens_in + found.read
        return replace(answer, text=text, answer_text=None, tokens_in=read, logprob=None)

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        """The model's own: nothing is decided there."""
        return await self.model.score(prompt, continuation, top)

    async def close(self) -> None:
        """Close the model."""
        await self.model.close()
