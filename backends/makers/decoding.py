"""Greedy decoding by two prompts at once, over `Model.score`: contrastive decoding as SCOTT does it (arXiv 2305.01879).

    next token = argmax over t of  log p(t | prompt, …) - weight * log p(t | other prompt, …)

Each step reads both prompts with what was written so far and one token behind it that says nothing: the table at its
place tells what comes next. Only the `top` likeliest tokens of the first prompt may be chosen; one that is not among
the `top` of the other counts there as likely as the least of these, so that its contrast is not overstated. With a
weight of 0 it is the model's own greedy answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from harness.errors import DataError, ModelError
from harness.models.scoring import CannotScore
from harness.types import Completion, Json, Message, Model, Request

if TYPE_CHECKING:
    from harness.models.hf_source import Source

_PROBE = 0
"""Any id of any vocabulary: the table at its place does not depend on it."""


@dataclass(frozen=True)
class Vocabulary:
    """What turns a model's ids into text."""

    text: Callable[[Sequence[int]], str]
    ends: frozenset[int]
    """Tokens that end a reply."""


class ContrastiveDecoder(CannotScore):
    """A model whose answer is decoded from two prompts: the first half of a request's messages, and the second."""

    def __init__(self, model: Model, vocabulary: Callable[[], Vocabulary], weight: float, top: int) -> None:
        """`model` can score a text; `vocabulary` is called at the first request."""
        self.name, self.continues = model.name, model.continues
        self._model, self._weight, self._top = model, weight, top
        self._vocabulary = cache(vocabulary)
        self.environment, self.close = model.environment, model.close

    def describe(self) -> Mapping[str, Json]:
        """The model's identity, and how its answers are decoded."""
        return {**self._model.describe(), "contrast_weight": self._weight, "contrast_top": self._top}

    async def answer(self, request: Request) -> Completion:
        """What is decoded; "length" for what does not end within `max_tokens`, or does not fit the context.

        Raises `ModelError` from an engine that cannot score: no request would fare better.
        """
        half = len(request.messages) // 2
        prompts = request.messages[:half], request.messages[half:]
        vocabulary, ids, read = self._vocabulary(), list[int](), 0
        while len(ids) < request.max_tokens:
            try:
                for_it, against = await self._next(prompts, ids)
            except DataError:
                break
            read += for_it.read + against.read
            chosen = contrasted(for_it.table, against.table, self._weight)
            if chosen in vocabulary.ends:
                return Completion(vocabulary.text(ids), "stop", tokens_in=read, tokens_out=len(ids))
            ids.append(chosen)
        return Completion(vocabulary.text(ids), "length", tokens_in=read, tokens_out=len(ids))

    async def _next(self, prompts: Sequence[Sequence[Message]], ids: Sequence[int]) -> list[_Coming]:
        """What comes next after each prompt; with a weight of 0 the second is not asked for."""
        asked = prompts if self._weight else prompts[:1]
        scores = await asyncio.gather(*(self._model.score(one, [*ids, _PROBE], self._top) for one in asked))
        tables = [_Coming((one.top or ({},))[-1], one.read or 0) for one in scores]
        return tables if self._weight else [tables[0], _Coming({}, 0)]


@dataclass(frozen=True, slots=True)
class _Coming:
    """What may come next, id -> log-probability, likeliest first, and what was read to know it."""

    table: Mapping[int, float]
    read: int


def contrasted(table: Mapping[int, float], against: Mapping[int, float], weight: float) -> int:
    """The token that is chosen; of equal ones the likelier under the first prompt.

    Raises `ModelError` for an empty table.
    """
    if not table:
        raise ModelError("the model tells no likeliest tokens of a text, which are needed here")
    floor = min(against.values(), default=0.0)
    return max(table, key=lambda token: table[token] - weight * against.get(token, floor))


def vocabulary_of(source: Source) -> Vocabulary:
    """The tokens of weights that are at hand, or of the tokenizer that stands for a server's. Raises `ModelError`."""
    from harness.models.hf_load import load_ends, load_tokenizer
    from harness.models.hf_prompt import PromptRenderer

    tokenizer = load_tokenizer(source)
    return Vocabulary(PromptRenderer(tokenizer, None, True, None).text, load_ends(source, tokenizer))
