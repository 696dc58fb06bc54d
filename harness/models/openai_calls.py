"""Calls to one or several endpoints: tried again as long as that is of use, and given up where nothing will answer.

Failures of one request (rate limits, server errors, hangs, broken replies) are retried with exponential backoff and
full jitter, honouring Retry-After. Only what dooms every request is raised as `ModelError`: a key that is refused, a
model that is not there, a server out of reach.
"""

from __future__ import annotations

import asyncio
import difflib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from harness.errors import ModelError
from harness.models.base import NO_ROOM
from harness.models.openai_client import Address, Endpoint, Endpoints, Pace
from harness.models.openai_reply import Failure
from harness.redact import one_line

if TYPE_CHECKING:
    from harness.models.openai_options import OpenAIOptions

T = TypeVar("T")
_BACKOFF_MAX_S = 60.0
_RETRY_AFTER_MAX_S = 600.0
"""A longer wait than this asked for by a server is not obeyed in full: the next try will tell."""
_REJECTIONS_BEFORE_SUCCESS = 16
"""So many requests rejected with no success ever: it is the settings, not the prompts."""
_TRIES_TO_REACH = 3
"""Tries per endpoint, while none was ever reached: a wrong address should not take a minute to be told."""


class Calls:
    """The endpoints of one model, and what became of the calls so far."""

    def __init__(self, name: str, model: str, options: OpenAIOptions, addresses: Sequence[Address], key: str) -> None:
        self._name, self._model, self._options = name, model, options
        self._addresses, self._key = tuple(addresses), key
        self._connected: Endpoints | None = None
        self._pace = Pace(options.requests_per_minute, options.tokens_per_minute)
        self._succeeded = False
        self._rejected = self._gave_up = 0

    @property
    def _endpoints(self) -> Endpoints:
        """Their clients are made at the first call, and again after `close`: connections belong to one event loop."""
        if self._connected is None:
            options = self._options
            more = (self._key, options.concurrency, options.max_reply_mb * 1_000_000, options.api_key_header)
            self._connected = Endpoints([Endpoint(address, *more) for address in self._addresses])
        return self._connected

    async def close(self) -> None:
        """Close all connections."""
        endpoints, self._connected = self._connected, None
        for endpoint in endpoints.all if endpoints is not None else ():
            await endpoint.close()

    async def persist(self, call: Callable[[Endpoint], Awaitable[T]], rng: random.Random, expected: int) -> T:
        """What a call gives, made again, or to another endpoint, as long as that is of use.

        `expected`: tokens that it will use. Raises the last `Failure`, `ModelError` if no endpoint is left.
        """
        failure = Failure("transient", "not tried")
        for attempt in range(self._options.retries + 1):
            await self._pace.wait(expected)
            endpoint = await self._pick()
            try:
                reply = await call(endpoint)
            except Failure as error:
                failure = error
            else:
                endpoint.worked()
                self._succeeded, self._gave_up = True, 0
                return reply
            endpoint.failed(failure)
            if self._is_final(failure, endpoint, attempt + 1):
                break
            others = len(self._endpoints.live()) > 1 and self._endpoints.well()
            if failure.kind != "refused" and not others and attempt < self._options.retries:
                await asyncio.sleep(self._delay(failure, attempt, rng))
        raise failure

    def used(self, expected: int, tokens: int) -> None:
        """Tell how many tokens a call really used."""
        self._pace.correct(expected, tokens)

    def _is_final(self, failure: Failure, endpoint: Endpoint, tries: int) -> bool:
        """True if trying this request again is of no use."""
        if failure.kind == "refused":
            return endpoint.retired is None  # an endpoint that works refuses this one; a retired one leaves the others
        if failure.kind == "unreachable":
            return not self._succeeded and tries >= _TRIES_TO_REACH * len(self._endpoints.all)
        return failure.kind == "rejected"

    async def _pick(self) -> Endpoint:
        """The next endpoint; raises `ModelError` when all are retired."""
        try:
            return await self._endpoints.pick()
        except Failure as failure:
            raise await self._doomed(failure) from None

    def _delay(self, failure: Failure, attempt: int, rng: random.Random) -> float:
        """Seconds before the next try: a random share of the exponential, or what the server asks and a little more."""
        jitter = rng.uniform(0, min(self._options.backoff * 2.0**attempt, _BACKOFF_MAX_S))
        if failure.retry_after is None:
            return jitter
        return min(failure.retry_after, _RETRY_AFTER_MAX_S) + min(jitter, 1.0)

    async def note(self, failure: Failure) -> None:
        """Raise `ModelError` once failures of single requests add up to a model that answers nothing."""
        if not self._endpoints.live():
            doomed = True
        elif failure.kind == "rejected":
            self._rejected += 1
            doomed = not self._succeeded and self._rejected >= _REJECTIONS_BEFORE_SUCCESS
        elif failure.kind == "unreachable" and not self._succeeded:
            doomed = True
        else:
            self._gave_up += failure.blames_endpoint
            doomed = self._gave_up >= max(32, 2 * self._options.concurrency)
        if doomed:
            raise await self._doomed(failure)

    async def _doomed(self, failure: Failure) -> ModelError:
        """The error for all requests, with what helps to mend it."""
        where = ", ".join(address.label for address in self._addresses)
        parts = [f"model {self._name!r} at {where} cannot answer: {failure.message}."]
        if "HTTP 404" in failure.message:
            models = await self._endpoints.all[0].models()
            if close := difflib.get_close_matches(self._model, models, n=1, cutoff=0.4):
                parts.append(f"Did you mean {close[0]!r}?")
            shown = ", ".join(models[:20]) + (", …" if len(models) > 20 else "")
            parts.append(
                f"Models there: {shown}" if models else "Check the model's name, and that base_url ends in /v1"
            )
        elif "HTTP 401" in failure.message or "HTTP 403" in failure.message:
            parts.append(f"Check the key in {self._options.api_key_env}")
        elif failure.kind == "unreachable":
            parts.append("Check base_url, and that the server is running")
        elif failure.kind == "rejected" and NO_ROOM not in failure.message:
            parts.append("The server rejects every request: see the options max_tokens_field, omit and seed")
        elif failure.kind != "rejected":
            parts.append("What was generated is stored; run the same command again to go on")
        return ModelError(one_line(" ".join(parts), 1200))
