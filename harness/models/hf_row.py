"""One completion of the transformers engine, from its request to its last token; shared by the loop and the decoder.

Needs no torch: the event loop makes rows before anything heavy is imported.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from harness.models.hf_prompt import Prompt
from harness.types import Completion, Request


@dataclass(eq=False, slots=True)
class Row:
    """One completion: asked for, then in a slot. `reply` is where its caller waits, and gives up."""

    request: Request
    reply: Future[Completion]
    prompt: Prompt = field(default_factory=Prompt)
    """Given already rendered, or empty: then the decoder renders the request's messages."""
    max_new: int = 0
    """Most tokens that it may have: at least 1."""
    number: int = 0
    """In the order of arrival."""
    rng: random.Random = field(default_factory=random.Random)
    started: float = 0.0
    first_column: int = 0
    """Leftmost column it attends to, in absolute columns (see `_Batch.origin`)."""
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    drawn_logprobs: list[float] = field(default_factory=list)
    """Of each token, at the temperature that it was drawn with, over the whole vocabulary."""
    alternatives: Mapping[str, float] | None = None

    @property
    def columns(self) -> int:
        """Most columns of the cache that it may take."""
        return len(self.prompt.tokens) + self.max_new

    @property
    def rank(self) -> tuple[object, ...]:
        """The highest goes first: conversations under way, then the longest expected, of equals the first that came.

        Neighbours share prompts (prefilled once) and are of like length (little padding).
        """
        replies = sum(message.role == "assistant" for message in self.request.messages)
        return replies, self.max_new, len(self.prompt.tokens), self.prompt.tokens, -self.number
