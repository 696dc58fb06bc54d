"""`openai:<model>`: any OpenAI-compatible endpoint (OpenAI, vLLM, SGLang, llama.cpp, Ollama, LM Studio, gateways).

    harness run --suite gsm8k --model openai:qwen --model-arg base_url=http://127.0.0.1:8000/v1

What fails is tried again (`harness.models.openai_calls`); after the last retry the completion has finish "error" and
says why. Only what dooms every request is raised, as `ModelError`. Options: `OpenAIOptions`. Secrets never leave this
module: neither in errors nor in what identifies the model.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import ipaddress
import itertools
import os
import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

from harness.errors import ConfigError, MissingExtra, MissingKey, ModelError
from harness.files import parse_json
from harness.models.base import SYSTEM_FOLDED, Slots, fold_system, markup_identity
from harness.models.openai_options import OpenAIOptions
from harness.models.openai_reply import Failure, read_reply, refuses_system, with_hint
from harness.models.under_way import UnderWay
from harness.options import parse_options
from harness.redact import one_line, register_secret, secret_fields
from harness.types import Completion, Json, Message, Request, TokenScores

if TYPE_CHECKING:
    from harness.models.openai_calls import Calls
    from harness.models.openai_client import Address, Endpoint

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_RESERVED = frozenset({"model", "messages", "stream", "n"})


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
        self._calls: Calls | None = None
        self._served: set[str] = set()
        self._logprobs_missing = self._schema_ignored = self._system_refused = False
        self._mean_out = 256.0
        self._scored = itertools.count()

    @property
    def gives_logprob(self) -> bool:
        """Whether replies come with their log-probability, if the server has it."""
        return self._options.logprobs and "logprobs" not in self._options.omit

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

    def under_way(self) -> list[UnderWay]:
        """The requests in flight; how far they are, a server says at the end."""
        return self._slots.under_way()

    async def close(self) -> None:
        """Close all connections; `answer` opens them again."""
        if self._calls is not None:
            await self._calls.close()

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

    @property
    def _caller(self) -> Calls:
        if self._calls is None:
            from harness.models.openai_calls import Calls

            self._calls = Calls(self.name, self._model, self._options, self._addresses, self._key)
        return self._calls

    async def _ask(self, request: Request) -> Completion:
        """One completion, whatever it takes; raises only `ModelError`."""
        body, options, started = self._body(request), self._options, 0.0
        expected = sum(len(message.content) for message in request.messages) // 4 + int(self._mean_out)

        async def chat(endpoint: Endpoint) -> tuple[Completion, str | None]:
            nonlocal started
            started = time.monotonic()
            try:
                return read_reply(await endpoint.post("/chat/completions", body, options.timeout))
            except Failure as failure:
                raise with_hint(failure, body) from None

        try:
            rng = random.Random(f"{request.seed}/{request.id}")
            completion, served = await self._caller.persist(chat, rng, expected)
        except Failure as failure:
            if refuses_system(failure, body):
                self._system_refused = True
                return await self._ask(request)
            await self._caller.note(failure)
            return Completion(text="", finish="error", error=one_line(failure, 500))
        self._note_success(completion, served, expected)
        self._note_ignored(request, completion)
        return dataclasses.replace(
            completion,
            seconds=time.monotonic() - started,
            markup=options.think_markup,
            # A server may tell without being asked: nobody wants to store it.
            alternatives=completion.alternatives if request.top_logprobs > 0 else None,
        )

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        """By a server's prompt log-probabilities (`harness.models.openai_score`); `ModelError` where it gives none."""
        return await self._slots.hold(lambda: self._score(prompt, continuation, top))

    async def _score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int) -> TokenScores:
        from harness.models.openai_score import post, score

        rng = random.Random(f"score {next(self._scored)}")

        async def ask(path: str, body: Mapping[str, Json], tokens: int) -> bytes:
            whole = {**self._extra_body, **body, "model": self._model}
            call = partial(post, path=path, body=whole, timeout=self._options.timeout)
            return await self._caller.persist(call, rng, tokens)

        try:
            return await score(ask, prompt, continuation, top)
        except Failure as failure:
            if failure.kind != "rejected":  # else it is this path that is refused, and answers may well be given
                await self._caller.note(failure)
            raise ModelError(
                f"{self.name} cannot score a given text: {one_line(failure, 300)}. That takes a server which returns "
                "prompt log-probabilities, such as vLLM's, or the engines hf and vllm"
            ) from None

    def _note_success(self, completion: Completion, served: str | None, expected: int) -> None:
        if served is not None and len(self._served) < 8:
            self._served.add(one_line(served, 80))
        if completion.tokens_out is not None:
            self._mean_out += 0.1 * (completion.tokens_out - self._mean_out)
            self._caller.used(expected, (completion.tokens_in or 0) + completion.tokens_out)

    def _note_ignored(self, request: Request, completion: Completion) -> None:
        """Remember what the server was asked for and silently left out."""
        omitted, asked = self._options.omit, request.top_logprobs > 0
        if completion.finish != "error" and "logprobs" not in omitted:
            self._logprobs_missing |= self._options.logprobs and completion.logprob is None
            self._logprobs_missing |= asked and completion.alternatives is None
        if completion.finish == "stop" and request.schema is not None and "response_format" not in omitted:
            self._schema_ignored |= not completion.text.rstrip().endswith("}")
