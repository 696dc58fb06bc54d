"""A local OpenAI-compatible server that can be told to misbehave; for tests (in a thread) and benchmarks (a process).

    with StubServer() as server:                      # bound to 127.0.0.1, a free port
        server.script(Reply(status=429, headers={"Retry-After": "0"}), Reply())   # first request, second request
        ...                                            # later requests get `server.default`
        assert server.count == 2

As a process: `python tests/stub_server.py --latency 0.05` prints its base URL and runs until its input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MODEL = "stub-model"


@dataclass(frozen=True)
class Reply:
    """What one request gets."""

    content: str | None = "The answer is 4."
    finish_reason: str | None = "stop"
    message: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the message: reasoning_content, tool_calls."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the whole response, over the usual ones: {"choices": []}, {"usage": None}."""
    latency: float = 0.0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent in place of the JSON body."""
    echo_headers: bool = False
    """Put the request's headers into the content, or into the error message of a failing status."""
    hang: bool = False
    """Never answer."""
    cut: bool = False
    """Close the connection in the middle of the body."""
    reset: bool = False
    """Close the connection before any answer."""

    def body(self, request_headers: Mapping[str, str]) -> bytes:
        """The response body."""
        if self.raw is not None:
            return self.raw
        echo = json.dumps(dict(request_headers)) if self.echo_headers else None
        if self.status >= 400:
            return json.dumps({"error": {"message": echo or f"stub says {self.status}", "type": "stub"}}).encode()
        message = {"role": "assistant", "content": echo or self.content, **self.message}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason, "logprobs": None}
        return json.dumps(
            {
                "id": "chatcmpl-stub",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": MODEL,
                "choices": [choice],
                "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
                **self.fields,
            }
        ).encode()


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    query: str
    headers: dict[str, str]
    body: dict[str, Any]


class StubServer:
    """The server, in a thread with its own event loop."""

    def __init__(self, default: Reply | None = None, keep: bool = True, scores: bool = False) -> None:
        """`scores`: it has vLLM's paths for the log-probabilities of a given text."""
        self.default = default or Reply()
        self.scores = scores
        self.choose: Callable[[int, dict[str, Any]], Reply] | None = None
        """(index of the request, its body) -> reply; used once the script is empty."""
        self.keep = keep
        self.seen: list[Seen] = []
        self.count = 0
        self.active = 0
        self.max_active = 0
        self.hold_until = 0
        """Nobody is answered before so many requests have been open at once (or a minute is over): what a client's
        concurrency is must not depend on how fast it opens connections."""
        self.models: tuple[str, ...] | bytes | None = (MODEL, "other-model")
        self.url = ""
        self._script: deque[Reply] = deque()
        self._held = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None

    def script(self, *replies: Reply) -> None:
        """Replies for the next requests, in order of arrival."""
        self._script.extend(replies)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        try:
            index, body = self.count, await request.json()
            self.count += 1
            if self.keep:
                self.seen.append(Seen(request.path, request.query_string, dict(request.headers), body))
            if self._script:
                reply = self._script.popleft()
            else:
                reply = self.choose(index, body) if self.choose is not None else self.default
            await self._hold()
            return await self._send(request, reply)
        finally:
            self.active -= 1

    async def _hold(self) -> None:
        if self.max_active >= self.hold_until:
            self._held.set()
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._held.wait(), 60)

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.hang:
            await asyncio.sleep(3600)
        if reply.latency:
            await asyncio.sleep(reply.latency)
        data = reply.body(request.headers)
        if reply.reset or reply.cut:
            transport = request.transport
            if reply.cut:
                partial = web.StreamResponse(headers={"Content-Type": "application/json"})
                partial.content_length = len(data)
                await partial.prepare(request)
                await partial.write(data[: len(data) // 2])
            if transport is not None:
                transport.abort() if reply.reset else transport.close()
        return web.Response(
            body=data, status=reply.status, headers=dict(reply.headers), content_type="application/json"
        )

    async def _models(self, _: web.Request) -> web.Response:
        if self.models is None:
            return web.Response(status=501)
        if isinstance(self.models, bytes):
            return web.Response(body=self.models)
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    def add_routes(self, app: web.Application) -> None:
        """Further paths of a subclass."""

    async def start(self, port: int = 0) -> str:
        """Listen; returns the base URL."""
        app = web.Application(client_max_size=2**26)
        for prefix in ("", "/v1"):
            app.router.add_post(f"{prefix}/chat/completions", self._chat)
            app.router.add_get(f"{prefix}/models", self._models)
        app.router.add_post("/{place:.+}/chat/completions", self._chat)  # a gateway's many paths
        self.add_routes(app)
        if self.scores:
            app.router.add_post("/tokenize", self._chat)
            app.router.add_post("/v1/completions", self._chat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, backlog=2048)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}/v1"
        return self.url

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def __enter__(self) -> StubServer:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(30)
        return self

    def shut_down(self) -> None:
        """Stop listening, as a server that crashed."""
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(30)

    def __exit__(self, *_: object) -> None:
        self.shut_down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(30)
        self._loop.close()


async def _serve(latency: float, port: int) -> None:
    server = StubServer(keep=False)
    body = Reply().body({})
    server.default = dataclasses.replace(server.default, latency=latency, raw=body)
    print(await server.start(port), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"count": server.count, "max_active": server.max_active}), flush=True)
    await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.latency, arguments.port))
