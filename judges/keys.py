"""Identity of what is asked of a judge: the key of its reply in the cache, its sampling seed, its request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from harness.hashing import canonical_json
from harness.types import Json, Request
from judges.types import Ask


def ask_seed(ask: Ask) -> int:
    """Sampling seed of an ask, 0 <= seed < 2**31: another repeat of the same question is another seed."""
    return _seed(_content(ask), ask.repeat)


def reply_key(judge: Mapping[str, Json], ask: Ask) -> str:
    """Identity of a reply, 64 hex digits: who is asked (`Model.describe()`), what, and how it is sampled."""
    content = _content(ask)
    # No part can run into the next: line breaks within JSON are escaped.
    parts = (canonical_json(judge), content, str(_seed(content, ask.repeat)))
    return sha256(_encode("\n".join(parts))).hexdigest()


def _seed(content: str, repeat: int) -> int:
    digest = sha256(_encode(f"{content}\n{repeat}")).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def _content(ask: Ask) -> str:
    return canonical_json(
        {
            "messages": [[message.role, message.content] for message in ask.messages],
            "temperature": float(ask.temperature),
            "max_tokens": ask.max_tokens,
            # As text: the order of its properties is the order in which they are written, reason before verdict.
            "schema": json.dumps(ask.schema) if ask.schema is not None else None,
            "top_logprobs": ask.top_logprobs,
        }
    )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def ask_request(key: str, ask: Ask) -> Request:
    """What the engine gets; `key` as of `reply_key`, which names the reply in the cache."""
    return Request(
        id=key,
        messages=ask.messages,
        temperature=ask.temperature,
        top_p=1.0,
        max_tokens=ask.max_tokens,
        stop=(),
        seed=ask_seed(ask),
        schema=ask.schema,
        top_logprobs=ask.top_logprobs,
    )
