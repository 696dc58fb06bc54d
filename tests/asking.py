"""Ask a model everything at once, as its callers do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from harness.models.base import bounded
from harness.types import Completion, Model, Request


async def answers(model: Model, requests: Sequence[Request]) -> list[Completion]:
    """The completions, in the order of the requests."""
    found: dict[int, Completion] = {}

    async def work(numbered: tuple[int, Request]) -> None:
        found[numbered[0]] = await model.answer(numbered[1])

    await bounded(enumerate(requests), work, 4096)
    return [found[number] for number in range(len(requests))]


def ask(model: Model, requests: Sequence[Request]) -> list[Completion]:
    """As `answers`, in an event loop of its own; the model is closed in the end."""

    async def ask_and_close() -> list[Completion]:
        try:
            return await answers(model, requests)
        finally:
            await model.close()

    return asyncio.run(ask_and_close())
