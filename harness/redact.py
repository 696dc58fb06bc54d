"""Mask secrets in text before it is stored, logged or shown.

Three sources of secrets are known: the values of environment variables whose names look secret, the shapes that
providers give their tokens, and user information in URLs. Every line that is written passes through here, so the
common case, nothing to mask, costs a few substring searches and no regular expression.

A masked secret reads `[redacted]`. Completions are masked too: a server that echoes its request headers must not
put a key into a file that people share.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from harness.secrets_table import MASK, SHAPES, Shape, is_secret_field, is_secret_variable
from harness.types import Json

MIN_LENGTH = 6
"""Shorter values are words more often than secrets."""

_PLACEHOLDERS = frozenset(
    {"unused", "not-needed", "not_needed", "no-key", "no-key-required", "dummy-key", "placeholder", "secret"}
    | {"password", "changeme", "example", "redacted", "default", "optional", "required", "disabled"}
)
"""What people set where a local server wants some key: masking these would only damage answers."""


@dataclass(frozen=True, slots=True)
class _Values:
    """The secret values of one state of the environment."""

    size: int
    """Number of environment variables when this was read."""
    by_name: tuple[tuple[str, str], ...]
    forms: tuple[str, ...]
    """Each value as it is, and as JSON and URLs write it; longest first, so that no value hides part of another."""


def _can_mask(value: str) -> bool:
    return len(value) >= MIN_LENGTH and value.lower() not in _PLACEHOLDERS and value not in MASK


def _is_secret(name: str, value: str) -> bool:
    return is_secret_variable(name) and _can_mask(value)


def _read_environment() -> _Values:
    by_name = tuple((name, value) for name, value in sorted(os.environ.items()) if _is_secret(name, value))
    forms: set[str] = set()
    for value in _registered.union(value for _, value in by_name):
        in_url = quote(value, safe="", errors="surrogateescape")  # a variable may hold bytes that are no text
        forms |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], in_url}
    return _Values(len(os.environ), by_name, tuple(sorted(forms, key=lambda form: (-len(form), form))))


_values: _Values | None = None
_registered: set[str] = set()


def register_secret(value: str) -> None:
    """Mask this value too, for the rest of the process: a key under an unusual name, a password in a URL."""
    global _values
    if value not in _registered and _can_mask(value):
        _registered.add(value)
        _values = None


def _secret_forms() -> tuple[str, ...]:
    """The forms to mask now. Re-read when a secret changed or a variable was added, without listing the environment."""
    global _values
    known = _values
    if known is None or known.size != len(os.environ) or any(os.environ.get(n) != v for n, v in known.by_name):
        known = _values = _read_environment()
    return known.forms


def contains_secret(text: str) -> bool:
    """True if `redact` would change the text."""
    return any(form in text for form in _secret_forms()) or any(
        shape.pattern.search(text) is not None for shape in _triggered(text)
    )


def _triggered(text: str) -> Iterator[Shape]:
    """The shapes that may stand in a text."""
    folded = text.lower()
    return (shape for shape in SHAPES if any(trigger in folded for trigger in shape.triggers))


def redact(text: str) -> str:
    """The text with every known secret masked; the very same object if there is none.

    Masks values (6 characters or more) of environment variables with secret names (KEY, TOKEN, PASS, DATABASE_URL …),
    well-known token shapes (`sk-…`, `hf_…`, `Bearer …`, `x-api-key: …`), keys in URL queries, and user information in
    URLs: the table is in `harness.secrets_table`. Placeholders that local servers are given ("unused") are left alone.
    """
    for form in _secret_forms():
        if form in text:
            text = _mask_value(text, form)
    for shape in _triggered(text):
        text = shape.pattern.sub(shape.replacement, text)
    return text


def mask_fields(value: Json) -> Json:
    """Settings of another program, without the values of fields whose names hold secrets (`api_key`), at any depth.

    In lists of settings, `["api_key=…"]`, too.
    """
    if isinstance(value, Mapping):
        return {
            key: MASK if is_secret_field(key) and item not in (None, True, False, "") else mask_fields(item)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [mask_pairs(item) if isinstance(item, str) else mask_fields(item) for item in value]
    return value


_PAIR = re.compile(r"(?<![^\s,;{(])([\w.-]{1,64}=|--[\w.-]{1,62}[ \t]{1,4}(?!-|[\w.-]{1,64}=))([^\s,;]{1,4000})")
_IN_URL = re.compile(r"(?<=[?&;])([^=?&;]{1,100}=)([^&;]{1,4000})")


def mask_pairs(text: str) -> str:
    """The same for settings written as "name=value,name=value" or as "--name value"."""
    return _PAIR.sub(lambda pair: f"{pair[1]}{MASK}" if is_secret_field(pair[1]) else pair[0], text)


def mask_parameters(url: str) -> str:
    """The same for the parameters of a URL, whose names may be percent-encoded; `code` is some gateways' key."""
    return _IN_URL.sub(
        lambda pair: f"{pair[1]}{MASK}" if is_secret_field(unquote(pair[1])) or pair[1] == "code=" else pair[0], url
    )


def secret_fields(value: Json) -> list[str]:
    """Names of fields of a JSON value, at any depth, that hold a secret by name or by the shape of their value."""
    if isinstance(value, Mapping):
        own = [key for key, item in value.items() if is_secret_field(key) or _holds_secret(item)]
        return own + [name for key, item in value.items() if key not in own for name in secret_fields(item)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [name for item in value for name in secret_fields(item)]
    return []


def _holds_secret(value: Json) -> bool:
    return isinstance(value, str) and contains_secret(value)


def _mask_value(text: str, form: str) -> str:
    r"""Replace a value everywhere.

    Stored lines are JSON: in `\n123456` the n belongs to the backslash. A value right after a backslash keeps what that
    backslash may need (one character, or `u` and four digits), so that the line can still be read.
    """
    kept = form[: 5 if form[0] == "u" else 1]
    return text.replace(f"\\{form}", f"\\{kept}{MASK}").replace(form, MASK)


def one_line(error: object, limit: int = 300) -> str:
    """An error or message as one redacted line of at most `limit` characters; line breaks become spaces.

    Redaction comes first: a secret cut in half by the limit would no longer be recognised.
    """
    line = " ".join(redact(str(error)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
