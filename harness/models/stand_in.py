"""What models without weights or a server have in common: a reply that is computed when it is asked for."""

from __future__ import annotations

import asyncio
import dataclasses

from harness.models.base import Slots
from harness.models.scoring import CannotScore
from harness.models.under_way import UnderWay
from harness.types import Completion, Request


class StandIn(CannotScore):
    """What the mock models share: a reply that is computed, given after `latency` seconds."""

    continues = True

    def __init__(self, name: str, latency: float, concurrency: int) -> None:
        self.name, self._latency, self._slots = name, latency, Slots(concurrency)

    def reply(self, request: Request) -> Completion:
        """The reply to one request."""
        raise NotImplementedError

    def under_way(self) -> list[UnderWay]:
        """As a server: for how long, not how far."""
        return self._slots.under_way()

    async def answer(self, request: Request) -> Completion:
        """See `harness.types.Model`; without latency the caller still gives way to others, as with any engine."""

        async def later(request: Request) -> Completion:
            await asyncio.sleep(self._latency)
            return dataclasses.replace(self.reply(request), seconds=self._latency)

        return await self._slots.use(request, later)

    async def close(self) -> None:
        """Nothing to release."""
