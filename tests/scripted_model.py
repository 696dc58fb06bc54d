"""A judge in this process whose reply to a prompt is a function: known verdicts, no server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.types import Completion, Json, Request

Reply = Callable[[Request], str | Completion]


class ScriptedModel:
    """Answers each request with what `reply` makes of it, and counts them."""

    continues = True

    def __init__(self, reply: Reply, name: str = "openai:scripted", **environment: Json) -> None:
        self.name = name
        self.asked: list[Request] = []
        self._reply, self._environment = reply, environment

    def describe(self) -> Mapping[str, Json]:
        """See `harness.types.Model`."""
        return {"engine": "scripted", "model": self.name}

    def environment(self) -> Mapping[str, Json]:
        """Prices, where a test gives some."""
        return self._environment

    async def answer(self, request: Request) -> Completion:
        """See `harness.types.Model`."""
        self.asked.append(request)
        reply = self._reply(request)
        return Completion(text=reply, finish="stop", tokens_in=100, tokens_out=20) if isinstance(reply, str) else reply

    async def close(self) -> None:
        """Nothing to release."""
