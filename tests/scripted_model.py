"""A judge in this process whose reply to a prompt is a function: known verdicts, no server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from harness.types import Completion, Json, Request

Reply = Callable[[Request], str | Completion]


class ScriptedModel:
    """Answers each request with what `reply` makes of it, and counts them."""

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

    async def generate(self, requests: Sequence[Request]) -> AsyncGenerator[tuple[Request, Completion], None]:
        """See `harness.types.Model`."""
        for request in requests:
            self.asked.append(request)
            reply = self._reply(request)
            if isinstance(reply, str):
                reply = Completion(text=reply, finish="stop", tokens_in=100, tokens_out=20)
            yield request, reply

    async def close(self) -> None:
        """Nothing to release."""
