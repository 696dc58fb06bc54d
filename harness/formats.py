"""Format checks: does a reply have the shape that was asked for? Shared by evaluation and (later) rewards.

The checks are strict on purpose: a model that wraps its JSON in prose or a code fence did not follow the format, and
whether its *answer* is right is the grader's business, not this module's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.answers import last_boxed
from harness.errors import UsageError
from harness.reasoning import reply_tags
from harness.types import Completion

_TYPES: dict[str, type | tuple[type, ...]] = {"string": str, "array": list, "number": (int, float), "object": dict}
_JSON_LIMIT = 1_000_000  # characters; a longer reply is not the object that was asked for


def think(completion: Completion) -> bool:
    """Exactly one think block, closed and not empty, followed by an answer."""
    if completion.answer_text is None or not completion.answer_text.strip():
        return False
    if completion.reasoning is None or not completion.reasoning.strip():
        return False
    tags = reply_tags(completion.text, completion.opened_think, completion.markup)
    opened = sum(tag.opens for tag in tags) + completion.opened_think
    closed = sum(not tag.opens for tag in tags)
    without_tags = opened == 0 and closed == 0  # the server separated it, or it is told by words
    return without_tags or (opened == 1 and closed == 1)


def boxed(completion: Completion) -> bool:
    r"""The answer part has a balanced, non-empty \boxed{...}."""
    found = last_boxed(completion.answer_text) if completion.answer_text is not None else None
    return found is not None and bool(found.strip())


def json_object(completion: Completion, schema: Sequence[tuple[str, str]]) -> bool:
    """The answer part is one JSON object with exactly the keys and types of `schema`, and nothing else.

    `schema` holds (key, "string" | "array" | "number" | "object"); arrays must hold strings, as in ThinkAnswer A.3.2. A
    key whose type ends in "?" may be missing.
    """
    text = completion.answer_text
    if text is None or len(text) > _JSON_LIMIT:
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    types = {key: kind.removesuffix("?") for key, kind in schema}
    required = {key for key, kind in schema if not kind.endswith("?")}
    if not isinstance(value, dict) or not required <= set(value) <= set(types):
        return False
    for key, item in value.items():
        kind = types[key]
        if not isinstance(item, _TYPES[kind]) or (kind == "number" and isinstance(item, bool)):
            return False
        if isinstance(item, list) and not all(isinstance(part, str) for part in item):
            return False
    return True


def check(names: Sequence[str], schema: Sequence[tuple[str, str]], completion: Completion) -> dict[str, bool]:
    """Run the named checks ("think", "boxed", "json"); an errored completion has none.

    Raises `UsageError` for an unknown name.
    """
    if completion.finish == "error":
        return {}
    found: dict[str, bool] = {}
    for name in names:
        if name == "think":
            found[name] = think(completion)
        elif name == "boxed":
            found[name] = boxed(completion)
        elif name == "json":
            found[name] = json_object(completion, schema)
        else:
            raise UsageError(f"unknown format check {name!r}: think, boxed, json")
    return found
