"""Hand requests to an engine as a stream that may grow while it is answered.

What judges are asked (`judges.ask`) and what teachers write (`backends.makers.asking`) go the same way: at most `AHEAD`
requests are with the engine, more are admitted as replies come, and an engine that takes only what it was first given
is called again for the rest.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import ModelError
from harness.models.base import Inflow, stream
from harness.types import Completion, Model, Request

AHEAD = 4096
"""Requests handed to the engine and not answered yet: more than any engine's concurrency, few enough for memory."""

Admit = Callable[[int], list[tuple[Request, bool]]]
"""(how many are with the engine) -> more requests, each with whether it goes ahead of those that wait."""


async def answer_stream(model: Model, admit: Admit, receive: Callable[[Request, Completion], None]) -> None:
    """Make requests until `admit` has no more; `receive` gets each with its completion, as it finishes.

    Raises `ModelError` if the engine answers a request twice, or ends without answering what it was given.
    """
    left: list[Request] = []
    while requests := [*left, *(request for request, _ in admit(len(left)))]:
        left = await _call(model, requests, admit, receive)


async def _call(
    model: Model, requests: list[Request], admit: Admit, receive: Callable[[Request, Completion], None]
) -> list[Request]:
    """One call of the engine; returns the requests that it did not take."""
    inflow = Inflow(requests)
    open_requests = {id(request): request for request in requests}  # engines hand back the very object
    answered = 0
    replies = stream(model, inflow)
    try:
        async for request, completion in replies:
            if open_requests.pop(id(request), None) is None:
                raise ModelError(f"{model.name} answered a request twice, or one that was never made")
            answered += 1
            receive(request, completion)
            for more, next_one in admit(len(open_requests)):
                open_requests[id(more)] = more
                inflow.add(more, next_one=next_one)
    finally:
        await replies.aclose()  # now, not when the collector finds it: it may hold connections
    left = [request for request in inflow.take_all() if id(request) in open_requests]
    if answered == 0 or len(left) < len(open_requests):
        raise ModelError(f"{model.name} ended without answering {len(open_requests)} of its requests")
    return left
