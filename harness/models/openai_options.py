"""Options of the `openai` engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from harness.markup import parse_markup

_HEADER = re.compile(r"(?!(?i:authorization|host|cookie|content-|accept|connection))[A-Za-z][A-Za-z0-9-]{0,63}")
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
