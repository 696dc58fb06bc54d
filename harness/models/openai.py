"""`openai:<model>`: any OpenAI-compatible endpoint (OpenAI, vLLM, SGLang, llama.cpp, Ollama, LM Studio, gateways).

    harness run --suite gsm8k --model openai:qwen --model-arg base_url=http://127.0.0.1:8000/v1

Failures of one request (rate limits, server errors, hangs, broken replies) are retried with exponential backoff and
full jitter, honouring Retry-After; after the last retry the completion has finish "error" and says why. Only what dooms
every request is raised, as `ModelError`: a key that is refused, a model that is not there, a server out of reach.
Options: `OpenAIOptions`. Secrets never leave this module: neither in errors nor in what identifies the model.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import importlib.util
import ipaddress
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from harness.errors import ConfigError, MissingExtra, MissingKey, ModelError
from harness.files import parse_json
from harness.markup import parse_markup
from harness.models.base import NO_ROOM, SYSTEM_FOLDED, Slots, fold_system, markup_identity
from harness.models.openai_reply import Failure, refuses_system, with_hint
from harness.options import parse_options
from harness.redact import one_line, register_secret, secret_fields
from harness.types import Completion, Json, Request

if TYPE_CHECKING:
    from harness.models.openai_client import Address, Endpoint, Endpoints, Pace

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_BACKOFF_MAX_S = 60.0
_RETRY_AFTER_MAX_S = 600.0
"""A longer wait than this asked for by a server is not obeyed in full: the next try will tell."""
_REJECTIONS_BEFORE_SUCCESS = 16
"""So many requests rejected with no success ever: it is the settings, not the prompts."""
_TRIES_TO_REACH = 3
"""Tries per endpoint, while none was ever reached: a wrong address should not take a minute to be told."""
_HEADER = re.compile(r"(?!(?i:authorization|host|cookie|content-|accept|connection))[A-Za-z][A-Za-z0-9-]{0,63}")
_RESERVED = frozenset({"model", "messages", "stream", "n"})
_OMITTABLE = ("temperature", "top_p", "stop", "seed", "max_tokens", "response_format", "logprobs")


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """What the engine can be told; every value is a string on the command line."""

    base_url: tuple[str, ...] = ()
    """One or several, comma separated: requests take turns and an endpoint that fails is rested. Default: the
    environment variable OPENAI_BASE_URL, else OpenAI's own."""
    concurrency: int = 64
    """Requests in flight."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    """Prompt and completion tokens together; prompts are estimated at 4 characters a token until the reply tells."""
    timeout: float = 1800.0
    """Seconds for one whole reply: 32,768 tokens at 20 tokens/s take 1,638."""
    retries: int = 8
    """Further tries of one request; about a minute on average with the default backoff."""
    backoff: float = 0.5
    """The k-th retry waits a random time up to backoff * 2**k seconds, at most a minute."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key; a local endpoint may go without."""
    api_key_header: str = ""
    """Header that carries the key, such as "api-key"; empty: `Authorization: Bearer …`."""
    max_reply_mb: int = 64
    """A reply of more megabytes, unpacked, is a failure of its request."""
    price_in: float | None = None
    """Price of a million prompt tokens, in any currency."""
    price_out: float | None = None
    """Price of a million completion tokens."""
    extra_body: str = ""
    """JSON object with further fields of the request body, e.g. {"chat_template_kwargs": {"enable_thinking": true}}."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: bool = True
    """Send the request's seed."""
    omit: tuple[str, ...] = ()
    """Fields not to send, for servers that refuse them: temperature, top_p, stop, seed, max_tokens, response_format
    (the JSON schema that a judge's reply is held to), logprobs (with top_logprobs)."""
    checkpoint: str = ""
    """What is served, in your own words: part of the run's identity in place of the addresses. Say it to tell two
    checkpoints under one name apart, or to go on with a run on another server."""
    think_markup: str = ""
    """Reasoning markup in this model's replies that the table (docs/models.md) does not have: `<mull>…</mull>`."""
    logprobs: bool = False
    """Ask for log-probabilities, and sum them into `Completion.logprob`."""

    def __post_init__(self) -> None:
        parse_markup(self.think_markup)
        if self.concurrency < 1 or self.retries < 0:
            raise ValueError("concurrency must be at least 1 and retries at least 0")
        if self.max_reply_mb < 1:
            raise ValueError(f"max_reply_mb must be at least 1, not {self.max_reply_mb}")
        if self.api_key_header and not _HEADER.fullmatch(self.api_key_header):
            raise ValueError("api_key_header must be the name of a header of its own, such as api-key")
        for name in ("timeout", "backoff", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and (value < 0 or (value == 0 and name != "backoff")):
                raise ValueError(f"{name} must be positive, not {value:g}")
        if (self.price_in or 0) < 0 or (self.price_out or 0) < 0:
            raise ValueError("price_in and price_out must not be negative")
        if unknown := set(self.omit) - set(_OMITTABLE):
            raise ValueError(f"omit knows {', '.join(_OMITTABLE)}, not {', '.join(sorted(unknown))}")


def build(rest: str, options: Mapping[str, str]) -> OpenAIModel:
    """The engine's entry. Raises `ConfigError`, `MissingExtra` or `MissingKey`; connects to nothing."""
    if not rest:
        raise ConfigError("openai needs a model name: openai:<model>, as the endpoint calls it")
    parsed = parse_options(OpenAIOptions, options, "openai")
    extra_body = _extra_body(parsed.extra_body)
    for module in ("openai", "aiohttp"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(f"model 'openai:{rest}'", "openai")
    from harness.models.openai_client import parse_address

    if "base_url" in options and not parsed.base_url:  # an unset shell variable must not send prompts to the default
        raise ConfigError("base_url of openai is empty: leave it out or name an endpoint")
    urls = parsed.base_url or (os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL,)
    try:
        addresses = tuple(parse_address(url) for url in urls)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    key = os.environ.get(parsed.api_key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{parsed.api_key_env} holds characters that no request can carry: set it again")
    for address in addresses:
        if not key and address.userinfo is None and not is_local(address.host):
            raise MissingKey(parsed.api_key_env, f"model 'openai:{rest}' at {address.label}")
        if address.userinfo is not None:
            register_secret(address.userinfo[1])
    register_secret(key)
    return OpenAIModel(rest, parsed, extra_body, addresses, key or "not-needed")


def _extra_body(text: str) -> dict[str, Json]:
    if not text:
        return {}
    try:
        value = parse_json(text)
    except ValueError as error:
        raise ConfigError(f"extra_body of openai is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"extra_body of openai must be a JSON object, not {one_line(text, 80)!r}")
    if taken := sorted(_RESERVED & set(value)):
        raise ConfigError(f"extra_body of openai cannot set {', '.join(taken)}: the harness does")
    if secret := secret_fields(value):
        raise ConfigError(
            f"extra_body of openai holds {', '.join(map(repr, secret))}, which looks like a secret, and settings are "
            "stored: put the key into the environment (api_key_env=NAME)"
        )
    return value


def is_local(host: str) -> bool:
    """True for this machine and private networks, whose servers commonly take no key."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))
    return address.is_private or address.is_loopback or address.is_unspecified or address.is_link_local


class OpenAIModel:
    """A model behind one or several endpoints."""

    continues = False

    def __init__(
        self, model: str, options: OpenAIOptions, extra_body: Mapping[str, Json], addresses: Sequence[Address], key: str
    ) -> None:
        self.name = f"openai:{model}"
        self._model, self._options, self._extra_body = model, options, extra_body
        self._addresses, self._key = tuple(addresses), key
        self._slots = Slots(options.concurrency)
        self._endpoints: Endpoints | None = None
        self._pace: Pace | None = None
        self._succeeded = False
        self._rejected = self._gave_up = 0
        self._served: set[str] = set()
        self._logprobs_missing = self._schema_ignored = self._system_refused = False
        self._mean_out = 256.0

    def describe(self) -> Mapping[str, Json]:
        """Model, what answers under that name, and what else changes the replies.

        Two servers may serve two checkpoints under one name, so by default the addresses are part of the identity; with
        the option `checkpoint` the user says what is served, and the same run goes on at any address.
        """
        options = self._options
        where = sorted(address.place for address in self._addresses)
        return {
            "engine": "openai",
            "model": self._model,
            "served": options.checkpoint or where,
            "extra_body": self._extra_body,
            "seed": options.seed,
            "omit": sorted(options.omit),
            **markup_identity(options.think_markup),
        }

    def environment(self) -> Mapping[str, Json]:
        """Library versions, endpoints, prices, and what the server said about itself so far."""
        found: dict[str, Json] = {
            "openai": metadata.version("openai"),
            "aiohttp": metadata.version("aiohttp"),
            "endpoints": [address.place for address in self._addresses],
            "price_in": self._options.price_in,
            "price_out": self._options.price_out,
            "served_model": sorted(self._served),
        }
        if self._logprobs_missing:
            found["logprobs"] = "asked for, but the server gives none"
        if self._system_refused:
            found["system_role"] = SYSTEM_FOLDED
        if self._schema_ignored:
            found["response_format"] = "a JSON schema was sent, but the server does not hold replies to it"
        return found

    async def answer(self, request: Request) -> Completion:
        """See `harness.types.Model`; at most `concurrency` requests are in flight."""
        return await self._slots.use(request, self._ask)

    def _connect(self) -> None:
        """Make the clients that `close` takes away: their connections belong to one event loop."""
        from harness.models.openai_client import Endpoint, Endpoints, Pace

        options = self._options
        more = (self._key, options.concurrency, options.max_reply_mb * 1_000_000, options.api_key_header)
        self._endpoints = Endpoints([Endpoint(address, *more) for address in self._addresses])
        self._pace = Pace(options.requests_per_minute, options.tokens_per_minute)

    async def close(self) -> None:
        """Close all connections; `answer` opens them again."""
        endpoints, self._endpoints = self._endpoints, None
        for endpoint in endpoints.all if endpoints is not None else ():
            await endpoint.close()

    def _body(self, request: Request) -> dict[str, Json]:
        options, messages = self._options, request.messages
        if self._system_refused:
            messages = fold_system(messages)
        body: dict[str, Json] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            options.max_tokens_field: request.max_tokens,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if options.seed:
            body["seed"] = request.seed
        if options.logprobs or request.top_logprobs > 0:
            body["logprobs"] = True
        if request.top_logprobs > 0:
            body["top_logprobs"] = request.top_logprobs
        if request.schema is not None:
            schema: Json = {"name": "reply", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        for name in options.omit:
            body.pop(options.max_tokens_field if name == "max_tokens" else name, None)
            if name == "logprobs":
                body.pop("top_logprobs", None)
        return {**body, **self._extra_body}

    async def _ask(self, request: Request) -> Completion:
        """One completion, whatever it takes; raises only `ModelError`."""
        if self._endpoints is None:
            self._connect()
        assert self._endpoints is not None and self._pace is not None
        body = self._body(request)
        rng = random.Random(f"{request.seed}/{request.id}")
        expected = sum(len(message.content) for message in request.messages) // 4 + int(self._mean_out)
        failure = Failure("transient", "not tried")
        for attempt in range(self._options.retries + 1):
            await self._pace.wait(expected)
            endpoint = await self._pick()
            started = time.monotonic()
            try:
                reply = await endpoint.chat(body, self._options.timeout)
            except Failure as error:
                failure = with_hint(error, body)
                if refuses_system(failure, body):
                    self._system_refused = True
                    return await self._ask(request)
            else:
                self._note_success(endpoint, reply.completion, reply.served_model, expected)
                self._note_ignored(request, reply.completion)
                completion = dataclasses.replace(
                    reply.completion, seconds=time.monotonic() - started, markup=self._options.think_markup
                )
                if request.top_logprobs == 0:  # a server may tell without being asked: nobody wants to store it
                    return dataclasses.replace(completion, alternatives=None)
                return completion
            endpoint.failed(failure)
            if self._is_final(failure, endpoint, attempt + 1):
                break
            others = len(self._endpoints.live()) > 1 and self._endpoints.well()
            if failure.kind != "refused" and not others and attempt < self._options.retries:
                await asyncio.sleep(self._delay(failure, attempt, rng))
        await self._note_failure(failure)
        return Completion(text="", finish="error", error=one_line(failure, 500))

    def _is_final(self, failure: Failure, endpoint: Endpoint, tries: int) -> bool:
        """True if trying this request again is of no use."""
        assert self._endpoints is not None
        if failure.kind == "refused":
            return endpoint.retired is None  # an endpoint that works refuses this one; a retired one leaves the others
        if failure.kind == "unreachable":
            return not self._succeeded and tries >= _TRIES_TO_REACH * len(self._endpoints.all)
        return failure.kind == "rejected"

    async def _pick(self) -> Endpoint:
        """The next endpoint; raises `ModelError` when all are retired."""
        assert self._endpoints is not None
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

    def _note_success(self, endpoint: Endpoint, completion: Completion, served: str | None, expected: int) -> None:
        assert self._pace is not None
        endpoint.worked()
        self._succeeded, self._gave_up = True, 0
        if served is not None and len(self._served) < 8:
            self._served.add(one_line(served, 80))
        if completion.tokens_out is not None:
            self._mean_out += 0.1 * (completion.tokens_out - self._mean_out)
            self._pace.correct(expected, (completion.tokens_in or 0) + completion.tokens_out)

    def _note_ignored(self, request: Request, completion: Completion) -> None:
        """Remember what the server was asked for and silently left out."""
        omitted, asked = self._options.omit, request.top_logprobs > 0
        if completion.finish != "error" and "logprobs" not in omitted:
            self._logprobs_missing |= self._options.logprobs and completion.logprob is None
            self._logprobs_missing |= asked and completion.alternatives is None
        if completion.finish == "stop" and request.schema is not None and "response_format" not in omitted:
            self._schema_ignored |= not completion.text.rstrip().endswith("}")

    async def _note_failure(self, failure: Failure) -> None:
        """Raise `ModelError` once failures of single requests add up to a model that answers nothing."""
        assert self._endpoints is not None
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
        parts = [f"model {self.name!r} at {where} cannot answer: {failure.message}."]
        if "HTTP 404" in failure.message and self._endpoints is not None:
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
