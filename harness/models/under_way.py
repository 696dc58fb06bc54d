"""How far the replies are that a model is at work on, as far as its engine can say, and which of them go in circles.

The engines hf and vllm know the tokens of each; a server answers when it is done, so of its replies only the time is
known. A model without `under_way` tells nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from harness.types import Model

EVERY_S = 1.0
_SEEN = 512
"""Last tokens that a circle is looked for in."""
_TURNS = 4
"""Times that they must be the same: a table or a chorus has fewer, and does not fill that many tokens."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """One reply that is being written."""

    id: str
    """Of its request."""
    seconds: float
    """Since the engine began with it."""
    tokens: int | None = None
    """Written so far; None where the engine does not tell."""
    most: int | None = None
    """That it may have; None where more may follow from it."""
    tail: tuple[int, ...] = ()
    """The last of its tokens."""


class Beats(Protocol):
    """Who is told every second."""

    def beat(self, open_now: Sequence[UnderWay]) -> None:
        """What is being written."""


def last_tokens(tokens: Sequence[int]) -> tuple[int, ...]:
    """What `UnderWay.tail` takes of them."""
    return tuple(tokens[-_SEEN:])


def circle(tail: Sequence[int]) -> int | None:
    """Length of what stands there again and again; None for a text that goes on, or is too short to tell.

    Only the very same tokens count: a text that counts upwards in circles is not found.
    """
    if len(tail) < _SEEN:
        return None
    # The longest beginning that is also an end, of every beginning (Knuth, Morris and Pratt 1977).
    same = [0] * len(tail)
    for at in range(1, len(tail)):
        length = same[at - 1]
        while length and tail[at] != tail[length]:
            length = same[length - 1]
        same[at] = length + (tail[at] == tail[length])
    period = len(tail) - same[-1]
    return period if period * _TURNS <= len(tail) else None


def under_way(model: Model) -> list[UnderWay]:
    """What the model is at work on at this moment."""
    tell = getattr(model, "under_way", None)
    return list(tell()) if tell is not None else []


@asynccontextmanager
async def beating(progress: Beats, model: Model) -> AsyncIterator[None]:
    """Tell a display every second what is under way, whether any reply ends or not."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            progress.beat(under_way(model))

    heart = asyncio.create_task(beat())
    try:
        yield
    finally:
        heart.cancel()
        await asyncio.wait([heart])  # unlike awaiting it, this tells its cancellation from our own
        if not heart.cancelled():
            heart.result()
