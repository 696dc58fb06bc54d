"""Reading what an OpenAI-compatible endpoint sent: a body into a `Completion`, a failure into what to do about it.

Pure functions, so that every oddity that a server was seen to produce is a row in a test. Servers differ in where they
put reasoning (`reasoning_content`, `reasoning`), in finish reasons, and in what they call an error. Nothing here
guesses silently: a reply that is not understood is a `Failure` with the reason, never an empty answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from harness.models.base import NO_ROOM
from harness.redact import one_line
from harness.types import Completion, Finish

FailureKind = Literal["transient", "unreachable", "refused", "rejected"]
"""transient: may work next time. unreachable: no server there. refused: this endpoint will answer nothing (key, model,
quota). rejected: this one request cannot be answered."""

_FINISH: Mapping[str | None, Finish] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop", None: "stop",
    "length": "length", "max_tokens": "length", "model_length": "length", "max_length": "length",
}  # fmt: skip
_RETRYABLE_FINISH = frozenset({"error", "abort", "cancelled"})
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
_REFUSED_STATUS = frozenset({401, 402, 403, 404})
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "account_deactivated"})
"""429 that no waiting cures."""
_ALTERNATIVES_MAX = 100
_TOKEN_MAX = 200
"""Characters of a token's text that are kept: no vocabulary has longer ones."""
_COUNT_MAX = 2**31 - 1
"""A larger token count is nonsense, and would not fit the stored column."""


class Failure(Exception):
    """Why one call gave no completion.

    `message` is one redacted line, `retry_after` the seconds that the server asked us to wait. `blames_endpoint` is
    False if the reply itself was unusable, which says nothing about the endpoint's health.
    """

    def __init__(
        self, kind: FailureKind, message: str, retry_after: float | None = None, blames_endpoint: bool = True
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.retry_after, self.blames_endpoint = kind, message, retry_after, blames_endpoint


def _unusable(message: str) -> Failure:
    return Failure("transient", message, blames_endpoint=False)


def read_reply(body: bytes) -> tuple[Completion, str | None]:
    """The completion in the body of a 200 response, and the model that it names: not always the one asked for.

    Raises `Failure` (transient) for anything that is not a chat completion: broken JSON, no choices, no content and no
    reasoning. Reasoning without content is a completion with an empty text: the model has not answered.
    A content filter or a tool call in place of an answer is a completion with finish "error": asking again costs and
    gives the same.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Failure("transient", f"the reply is not JSON ({one_line(error, 80)})") from None
    if not isinstance(data, dict):
        raise _unusable(f"the reply is a JSON {type(data).__name__}, not an object")
    if data.get("error"):
        raise Failure("transient", f"the server reports an error: {error_message(data)}")
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _unusable("the reply has no choices")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _unusable("the reply's choice has no message")
    served = data.get("model")
    return _completion(choice, message, data.get("usage")), (served if isinstance(served, str) else None)


def _completion(choice: Mapping[str, Any], message: Mapping[str, Any], usage: object) -> Completion:
    content = _content(message.get("content"))
    reasoning = _content(message.get("reasoning_content"))
    if reasoning is None:
        reasoning = _content(message.get("reasoning"))
    reason = choice.get("finish_reason")
    reason = reason if isinstance(reason, str) else None
    if reason in _RETRYABLE_FINISH:
        raise _unusable(f"the server gave up on this reply (finish_reason {reason!r})")
    finish = _FINISH.get(reason)
    error = _no_answer(reason, content, message) if finish is None else None
    if finish is None and error is None:
        finish = "stop"
    if finish == "stop" and not content:  # asked for JSON, a model that refuses does it in a field of its own
        content = _content(message.get("refusal")) or content
    if finish == "stop" and content is None and not reasoning:
        raise _unusable("the reply has no content")
    return Completion(
        text=content if content is not None else "",
        finish="error" if error is not None or finish is None else finish,
        reasoning=reasoning or None,
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
        logprob=_logprob(choice.get("logprobs")),
        alternatives=_alternatives(choice.get("logprobs")),
        error=error,
    )


def _no_answer(reason: str | None, content: str | None, message: Mapping[str, Any]) -> str | None:
    """Why an unusual finish reason means no answer; None if there is one all the same."""
    if reason == "content_filter":
        refusal = message.get("refusal")
        said = f": {one_line(refusal, 120)}" if isinstance(refusal, str) and refusal else ""
        return f"stopped by the server's content filter{said}"
    if reason in ("tool_calls", "function_call"):
        return None if content else "the model called a tool in place of answering"
    return f"unknown finish_reason {one_line(reason, 60)!r}"


def _content(value: object) -> str | None:
    """Text of a content field: a string, or a list of parts of which the texts are joined."""
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict)]
        texts = [part for part in parts if isinstance(part, str)]
        return _clean("".join(texts)) if texts else None
    return _clean(value) if isinstance(value, str) else None


def _clean(text: str) -> str:
    """Half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes U+FFFD: it could not be stored."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _count(usage: object, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= _COUNT_MAX else None


def _logprob(logprobs: object) -> float | None:
    """Sum over the tokens; None if any is missing, because part of a sum is not a smaller sum."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list) or not tokens:
        return None
    values = [_finite(token.get("logprob")) if isinstance(token, dict) else None for token in tokens]
    numbers = [value for value in values if value is not None]
    total = sum(numbers, 0.0)
    return total if len(numbers) == len(values) and math.isfinite(total) else None


def _finite(value: object) -> float | None:
    """A JSON number as a float; None for anything else, and for whole numbers that no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _alternatives(logprobs: object) -> dict[str, float] | None:
    """Token -> log-probability at the first generated token: its top alternatives, and the token itself."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    first = tokens[0] if isinstance(tokens, list) and tokens else None
    top = first.get("top_logprobs") if isinstance(first, dict) else None
    if not isinstance(top, list) or not top:
        return None
    found: dict[str, float] = {}
    for entry in [*top[:_ALTERNATIVES_MAX], first]:
        token, value = (entry.get("token"), _finite(entry.get("logprob"))) if isinstance(entry, dict) else (None, None)
        # Not a number, or above 0, is no log-probability; a token twice is the same token in other bytes.
        if isinstance(token, str) and value is not None and value <= 1e-6:
            found.setdefault(_clean(token[:_TOKEN_MAX]), min(value, 0.0))
    return found or None


_HINTS = (
    (
        "response_format",
        ("response_format", "json_schema", "schema", "guided", "grammar", "structured"),
        "JSON schemas",
    ),
    ("logprobs", ("logprob",), "log-probabilities"),
)


_TOO_LONG = re.compile(
    r"context (?:length|window|size|limit)|context_length|maximum length|n_ctx|max_new_tokens"
    r"|max(?:_completion)?_tokens\W{0,3} (?:is )?too (?:large|big|high)"
)
_NUMBER = r"(\d{1,9})"
_CONTEXT = (
    rf"context limit: \d+ \+ \d+ > {_NUMBER}",
    rf"(?:context (?:length|window|size|limit)|maximum length)[^.\d]{{0,40}}?{_NUMBER}",
    rf"n_ctx\W{{1,4}}{_NUMBER}",
    rf"must be <= {_NUMBER}",
    rf"> {_NUMBER} - \d",
    rf"\d > {_NUMBER}",
)
_PROMPT = (
    rf"{_NUMBER} (?:tokens )?(?:in|from) the (?:messages|input|prompt)",
    rf"{_NUMBER} (?:text )?(?:input|prompt|`inputs`) tokens",
    rf"n_prompt_tokens\W{{1,4}}{_NUMBER}",
    rf"(?:prompt|input|request) (?:has|contains|is|\()\s?{_NUMBER}",
    rf"exceed context limit: {_NUMBER} \+",
)
_LIMIT = (rf"supports at most {_NUMBER}",)


_JUDGE = " (of a judge: --judge-arg omit=max_tokens)"


def _context_hint(said: str, body: Mapping[str, object]) -> str | None:
    """What to do about a prompt and a reply that do not fit together; None if that is not what the server says."""
    if _TOO_LONG.search(said) is None:
        return None
    said = re.sub(r"(?<=\d),(?=\d{3})", "", said)
    context, prompt, most = _first(_CONTEXT, said), _first(_PROMPT, said), _first(_LIMIT, said)
    asked = body.get("max_tokens", body.get("max_completion_tokens"))
    if most is not None:
        return f"The reply does not {NO_ROOM}: {asked} tokens were asked for, say --max-tokens {most} or less{_JUDGE}"
    if context is None or prompt is None:
        return f"Prompt and reply do not {NO_ROOM}: {asked} tokens were asked for, say fewer with --max-tokens{_JUDGE}"
    room = context - prompt
    if room < 1:
        return (
            f"The prompt alone does not {NO_ROOM}, it has {prompt} tokens of {context}: no --max-tokens makes room, a "
            "server with a longer context would"
        )
    return (
        f"Prompt and reply do not {NO_ROOM}: of {context} tokens the prompt takes {prompt}, there is room for {room}, "
        f"say --max-tokens {room} or less{_JUDGE}"
    )


def _first(patterns: Sequence[str], said: str) -> int | None:
    """The number that the first pattern finds."""
    found = next((match for pattern in patterns if (match := re.search(pattern, said)) is not None), None)
    return int(found[1]) if found is not None else None


def with_hint(failure: Failure, body: Mapping[str, object]) -> Failure:
    """The failure, and which option leaves out the field that the server seems to refuse."""
    if failure.kind != "rejected":
        return failure
    said = failure.message.lower()
    if (hint := _context_hint(said, body)) is not None:
        return Failure("rejected", f"{failure.message}. {hint}", failure.retry_after, failure.blames_endpoint)
    for field, words, what in _HINTS:
        if field in body and any(word in said for word in words):
            hint = f"{failure.message}. If the server does not know {what}, leave them out: --model-arg omit={field}"
            hint += " (of a judge: --judge-arg)"
            return Failure("rejected", hint, failure.retry_after, failure.blames_endpoint)
    return failure


_NO_SYSTEM = re.compile(
    r"\b(?:system|developer)\b.{0,30}\b(?:role|instruction|message|prompt|turn)s?\b.{0,60}"
    r"\b(?:not|unsupported|invalid|isn't|doesn't|never|unexpected)\b"
    r"|\b(?:not|unsupported|invalid|isn't|doesn't|unexpected|unknown)\b.{0,60}"
    r"(?:['\"`]system['\"`]|\bsystem (?:role|message|prompt|instruction|turn)|\brole\W{1,4}system)"
    r"|\brole\W{1,4}system\W{1,4}(?:is )?(?:not|unsupported|invalid)"
    r"|\broles? must alternate|\bonly user.{0,40}\broles?\b",
    re.IGNORECASE | re.DOTALL,
)


def refuses_system(failure: Failure, body: Mapping[str, object]) -> bool:
    """Whether a server has rejected a request because of the system turn that it has."""
    messages = body.get("messages")
    has_system = isinstance(messages, list) and any(turn.get("role") == "system" for turn in messages)
    return has_system and failure.kind == "rejected" and _NO_SYSTEM.search(failure.message) is not None


def error_message(data: object) -> str:
    """The human part of an error body, in any of the shapes in use; one redacted line."""
    found: object = data
    for key in ("error", "detail", "message"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    if isinstance(found, dict | list):
        found = json.dumps(found, ensure_ascii=False)
    return one_line(found, 240)


def status_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """What an HTTP status other than 200 means."""
    if 300 <= status < 400:
        return Failure("refused", f"HTTP {status}: the server sends requests on to {_elsewhere(headers)}")
    try:
        data: object = json.loads(body)
    except (ValueError, RecursionError):
        data = body[:2000].decode("utf-8", "replace")
    message = f"HTTP {status}: {error_message(data)}".rstrip(": ")
    if status in _REFUSED_STATUS or (status == 429 and _error_code(data) in _QUOTA_CODES):
        return Failure("refused", message)
    if status in _RETRYABLE_STATUS or status >= 500:
        return Failure("transient", message, retry_after(headers))
    return Failure("rejected", message, blames_endpoint=False)


def _elsewhere(headers: Mapping[str, str]) -> str:
    """Where a redirect points to, without what may be a secret, and what to do about it."""
    try:
        parts = urlsplit(headers.get("location", ""))
        there = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        there = ""
    return f"{one_line(there, 200) or 'another address'}, and redirects are not followed: name that one as base_url"


def _error_code(data: object) -> object:
    error = data.get("error") if isinstance(data, dict) else None
    code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110)."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            wait = float(milliseconds) / 1000
        elif (text := headers.get("retry-after")) is None:
            return None
        elif text.strip().replace(".", "", 1).isdigit():
            wait = float(text)
        else:
            moment = parsedate_to_datetime(text)
            wait = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return max(wait, 0.0) if math.isfinite(wait) else None
