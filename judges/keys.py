"""What is asked of a judge as a request, whose id is the key of its reply in the cache."""

from __future__ import annotations

import json
from hashlib import sha256

from harness.hashing import canonical_json
from harness.types import Request
from judges.types import Ask


def ask_request(judge: str, ask: Ask) -> Request:
    """What the engine gets; `judge`: canonical JSON of `Model.describe()`.

    The id, 64 hex digits, is a hash over everything that can change the reply: who is asked, what, and how it is
    sampled. Another repeat of the same question is another seed.
    """
    content = canonical_json(
        {
            "messages": [[message.role, message.content] for message in ask.messages],
            "temperature": float(ask.temperature),
            "max_tokens": ask.max_tokens,
            # As text: the order of its properties is the order in which they are written, reason before verdict.
            "schema": json.dumps(ask.schema) if ask.schema is not None else None,
            "top_logprobs": ask.top_logprobs,
        }
    )
    seed = int.from_bytes(_digest(f"{content}\n{ask.repeat}")[:4], "big") & 0x7FFFFFFF
    return Request(
        # No part can run into the next: line breaks within JSON are escaped.
        id=_digest(f"{judge}\n{content}\n{seed}").hex(),
        messages=ask.messages,
        temperature=ask.temperature,
        top_p=1.0,
        max_tokens=ask.max_tokens,
        stop=(),
        seed=seed,
        schema=ask.schema,
        top_logprobs=ask.top_logprobs,
    )


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
