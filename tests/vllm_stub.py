"""A local server with the paths of `vllm serve` that training uses, which can be told to misbehave.

As a teacher it finds the i-th token of a text more or less likely by what it is and where.

It draws what seed and weights decide: the first token is the name of the folder that it has taken, so that it is seen
who draws with other weights than the newest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from tests.stub_server import StubServer

STARTED = 99
"""The first token while it has the weights that it started with."""
END = 256
TOLD = {
    "model": "student", "served": "student", "vocabulary": 259, "width": 32, "dtype": "float32", "context": 64,
    "logprobs_mode": "processed_logprobs", "generation_config": "vllm", "cpu": True, "in_pieces": False,
}  # fmt: skip
"""How it is set up."""
Change = Callable[[dict[str, Any]], Any]


def likely(place: int, token: int) -> float:
    """What it finds as a teacher."""
    return -(1 + place % 3) / 4 - token % 5


class VllmStub(StubServer):
    """Draws; `told` is how it is set up."""

    def __init__(self, **told: Any) -> None:
        super().__init__()
        self.told: dict[str, Any] = {**TOLD, **told}
        self.folder: str | None = None
        self.calls: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.drop: dict[int, str] = {}
        """What becomes of the n-th completion asked for, from 0: "reset", "hang", "500", "400", and "restart", "dies",
        after which it has forgotten its weights and answers nothing until it takes others, or not even then."""
        self.change: Mapping[int, Change] = {}
        """How its reply is changed."""
        self.down = False
        self.refuses: str | None = None
        self.holds = 0
        """How often it cannot drop its cache."""
        self.extension = True
        self.asked = 0
        self.models = json.dumps({"data": [{"id": "served", "root": "teacher"}, {"id": "other", "root": "x"}]}).encode()
        self.tokens: Callable[[str], list[int]] = lambda text: []

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/collective_rpc", self._rpc)
        app.router.add_post("/reset_prefix_cache", self._reset)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/v1/completions", self._complete)

    async def _rpc(self, request: web.Request) -> web.Response:
        body = await request.json()
        method = body["method"]
        self.calls.append(method)
        if not self.extension:
            return web.Response(status=500)
        if method == "harness_tell":
            return web.json_response({"results": [{**self.told, "folder": self.folder}]})
        if self.refuses is not None:
            return web.json_response({"results": [{"error": self.refuses}]})
        self.folder, self.down = body["args"][0], False
        return web.json_response({"results": [{"folder": self.folder}]})

    async def _tokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"tokens": self.tokens((await request.json())["prompt"])})

    async def _reset(self, request: web.Request) -> web.Response:
        self.calls.append("reset")
        self.holds -= 1
        return web.json_response({"success": self.holds < 0})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body, number = await request.json(), self.asked
        self.asked += 1
        self.bodies.append(body)
        fault = self.drop.get(number)
        if fault in ("restart", "dies"):
            self.folder, self.down = None, True
            self.extension = fault == "restart"
        if fault == "hang":
            await asyncio.sleep(600)
        if fault == "reset" or self.down:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        if fault in ("500", "400"):
            return web.json_response({"error": {"message": "what a request"}}, status=int(fault))
        if "prompt_logprobs" in body:
            said = [{str(token): {"logprob": likely(place, token)}} for place, token in enumerate(body["prompt"])]
            taught: dict[str, Any] = {"prompt_logprobs": [None, *said[1:]]}
            return web.json_response({"choices": [self.change.get(number, dict)(taught) or taught]})
        first = STARTED if self.folder is None else int(self.folder.rpartition("/")[2])
        ended = body["seed"] % 2 == 0
        tokens = [first, 33 + body["seed"] % 20, END if ended else 32]
        choice: dict[str, Any] = {
            "token_ids": tokens,
            "prompt_token_ids": body["prompt"],
            "logprobs": {"token_logprobs": [-0.5] * len(tokens)},
            "finish_reason": "stop" if ended else "length",
        }
        reply = {"choices": [choice]}
        if number in self.change:
            reply = self.change[number](choice) or reply
        return web.json_response(reply)
