"""Calls to OpenAI-compatible endpoints: one connection pool each, their health, and the pace at which they are asked.

The `openai` client does authentication, headers, proxies and TLS. Two choices make it fast (measured by
`benchmarks/bench_client.py`): its aiohttp transport, and `cast_to=Response`, which hands over the bytes and leaves out
a pydantic model of every field per reply. Its own retries are off: ours know about several endpoints and about replies
that are no answers, and wait by a seeded generator.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import aiohttp
import httpx2
import openai

from harness.models.openai_body import ACCEPTED, bound
from harness.models.openai_reply import Failure, status_failure
from harness.redact import mask_parameters, one_line, redact, register_secret
from harness.types import Json

_CONNECT_TIMEOUT_S = 30.0
_REST_MAX_S = 30.0
_USUAL_PATHS = ("", "/v1")
_MODELS_MAX = 10_000
"""More names than that are not looked at: the closest one is searched among them."""
_REFUSALS_TO_RETIRE = 8
"""An endpoint that has answered before is given up after this many refusals in a row: one may be about one prompt."""


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL taken apart, so that no credential is in what is sent to logs, errors or stored files."""

    url: str
    """Without user information and query."""
    query: Mapping[str, str]
    """What goes behind the path of every request (`api-version=…`)."""
    label: str
    """Host and port, for people."""
    place: str
    """What tells this endpoint from others: host and port, the path unless it is the usual /v1, the query; redacted."""
    host: str
    userinfo: tuple[str, str] | None


def parse_address(base_url: str) -> Address:
    """Raises `ValueError` for anything but an http(s) URL with a host; the message holds no credentials."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"base_url {one_line(base_url, 80)!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"base_url must look like http://host:port/v1, not {one_line(base_url, 80)!r}")
    shown = f"[{host}]" if ":" in host else host
    label = shown if port is None else f"{shown}:{port}"
    userinfo = None
    if parts.username is not None:
        userinfo = (unquote(parts.username), unquote(parts.password or ""))
    path = parts.path.rstrip("/")
    place = label + ("" if path in _USUAL_PATHS else path) + (f"?{parts.query}" if parts.query else "")
    return Address(
        url=urlunsplit((parts.scheme, label, path, "", "")),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        label=label,
        place=one_line(redact(mask_parameters(place)), 400),
        host=host,
        userinfo=userinfo,
    )


class Endpoint:
    """One server: its client and its health."""

    def __init__(self, address: Address, key: str, concurrency: int, max_bytes: int, key_header: str = "") -> None:
        """`max_bytes`: of a reply, unpacked; `key_header`: carries the key in place of `Authorization: Bearer`."""
        headers = {key_header: key} if key_header else {}
        self._options: Any = {"headers": {"Authorization": openai.Omit()}} if headers else {}
        if address.userinfo is not None:
            secret = base64.b64encode(":".join(address.userinfo).encode()).decode()
            register_secret(secret)
            headers["Authorization"] = f"Basic {secret}"
            self._options = {}
        self.label, self.root = address.label, address.url.removesuffix("/v1")
        self.succeeded = False
        self.retired: Failure | None = None
        """Why nothing more is sent there."""
        self.rest_until = 0.0
        self._refusals = 0
        self._failures = 0
        self._client = openai.AsyncOpenAI(
            base_url=address.url,
            api_key=key,
            max_retries=0,
            default_headers=headers,
            default_query=dict(address.query),
            http_client=openai.DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
                # The whole call has one deadline, set by the caller: a long generation is silent until its end.
                timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT_S),
                # Prompts and key go where the user said, and nowhere else.
                follow_redirects=False,
                headers={"Accept-Encoding": ACCEPTED},
                event_hooks={"response": [bound(max_bytes)]},
            ),
        )

    async def post(self, path: str, body: Mapping[str, Json], timeout: float) -> bytes:
        """The body of a reply; `path` is behind the base URL, or a whole URL. Raises `Failure`, whatever goes wrong."""
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.post(path, cast_to=httpx2.Response, body=body, options=self._options)
            return bytes(response.content)
        except TimeoutError:
            raise Failure("transient", f"no complete reply within {timeout:g} s") from None
        except openai.APIStatusError as error:
            raise status_failure(error.status_code, error.response.headers, error.response.content) from None
        except openai.APIConnectionError as error:
            raise _connection_failure(error) from None
        except (
            openai.OpenAIError,
            httpx2.HTTPError,
            httpx2.InvalidURL,
            aiohttp.ClientError,
            OSError,
            ValueError,
        ) as error:
            raise Failure("transient", f"{type(error).__name__}: {one_line(error, 200)}") from None

    async def models(self) -> list[str]:
        """Names of the models that the server lists, at most 10,000; empty if it does not say."""
        return sorted(item["id"] for item in await self.listed())

    async def listed(self) -> list[Mapping[str, Any]]:
        """What the server says of its models, each with an id, at most 10,000; empty if it does not say."""
        # What a request may raise, and what reading JSON of any shape and depth may.
        silent = (TimeoutError, Failure, openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError, OSError)
        with contextlib.suppress(*silent, ValueError, LookupError, TypeError, RecursionError):
            async with asyncio.timeout(10):
                response = await self._client.get("/models", cast_to=httpx2.Response, options=self._options)
            found = json.loads(response.content)["data"][:_MODELS_MAX]
            return [{**item, "id": str(item["id"])} for item in found]
        return []

    def worked(self) -> None:
        """A reply came."""
        self.succeeded = True
        self._refusals = self._failures = 0

    def failed(self, failure: Failure) -> None:
        """Note a failure: rest an endpoint that fails, retire one that refuses."""
        if failure.kind == "refused":
            self._refusals += 1
            if not self.succeeded or self._refusals >= _REFUSALS_TO_RETIRE:
                self.retired = failure
        elif failure.blames_endpoint and time.monotonic() >= self.rest_until:  # one wave of failures counts once
            self._failures += 1
            rest = min(2.0 ** (self._failures - 1), _REST_MAX_S)
            self.rest_until = time.monotonic() + max(rest, min(failure.retry_after or 0.0, _REST_MAX_S))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _connection_failure(error: BaseException) -> Failure:
    """Tell a server that is not there from a connection that broke: the transport reports both as timeouts."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    absent = any(isinstance(cause, httpx2.ConnectError | aiohttp.ClientConnectorError) for cause in causes)
    detail = one_line(f"{type(causes[-1]).__name__}: {causes[-1]}".removesuffix(": "), 200)
    return Failure("unreachable" if absent else "transient", f"connection failed ({detail})")


class Endpoints:
    """Round robin over the endpoints that are well."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.all = tuple(endpoints)
        self._next = 0

    def live(self) -> list[Endpoint]:
        """Those that are not retired."""
        return [endpoint for endpoint in self.all if endpoint.retired is None]

    def well(self) -> bool:
        """True if some endpoint can be asked without a wait."""
        return any(endpoint.rest_until <= time.monotonic() for endpoint in self.live())

    async def pick(self) -> Endpoint:
        """The next endpoint in turn; waits if all of them rest. Raises `Failure` (refused) if none is left.

        A single endpoint never rests: each request then waits for itself, by its own backoff.
        """
        while True:
            live = self.live()
            if not live:
                raise self.all[0].retired or Failure("refused", "no endpoint left")
            if len(live) == 1:
                return live[0]
            now = time.monotonic()
            for offset in range(len(live)):
                endpoint = live[(self._next + offset) % len(live)]
                if endpoint.rest_until <= now:
                    self._next = (self._next + offset + 1) % len(live)
                    return endpoint
            await asyncio.sleep(min(endpoint.rest_until for endpoint in live) - now)


class Pace:
    """Keeps to requests and tokens per minute by giving each request a start time; smooth, without bursts."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute is not None else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute is not None else 0.0
        self._next_request = self._next_token = 0.0

    async def wait(self, tokens: int) -> None:
        """Wait for this request's turn; `tokens` is what it is expected to use."""
        if not self._per_request and not self._per_token:
            return
        now = time.monotonic()
        start = max(now, self._next_request, self._next_token)
        self._next_request = start + self._per_request
        self._next_token = start + tokens * self._per_token
        await asyncio.sleep(start - now)

    def correct(self, expected: int, used: int) -> None:
        """Account for what the request really used."""
        self._next_token += (used - expected) * self._per_token
