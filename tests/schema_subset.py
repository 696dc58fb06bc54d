"""Check a value against the part of JSON Schema that reply schemas use; any other keyword is refused.

Refusing matters: what constrained decoders do with keywords that they do not know differs, from an error to silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYWORDS = {
    "object": {"type", "properties", "required", "additionalProperties"},
    "array": {"type", "items"},
    "string": {"type", "enum"},
    "integer": {"type", "enum"},
}


def check_strict(schema: Mapping[str, Any]) -> None:
    """The schema keeps to the strict subset: known keywords, every property required, no others allowed."""
    kind = schema["type"]
    assert set(schema) <= _KEYWORDS[kind], f"keywords of {kind}: {sorted(schema)}"
    if kind == "object":
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
        for inner in schema["properties"].values():
            check_strict(inner)
    elif kind == "array":
        check_strict(schema["items"])
    elif "enum" in schema:
        wanted = str if kind == "string" else int
        assert schema["enum"] and all(type(item) is wanted for item in schema["enum"])


def valid(schema: Mapping[str, Any], value: object) -> bool:
    """True if the value satisfies a strict schema."""
    kind = schema["type"]
    if kind == "object":
        properties = schema["properties"]
        return (
            isinstance(value, dict)
            and set(value) == set(properties)
            and all(valid(inner, value[key]) for key, inner in properties.items())
        )
    if kind == "array":
        return isinstance(value, list) and all(valid(schema["items"], item) for item in value)
    if type(value) is not {"string": str, "integer": int}[kind]:
        return False
    return "enum" not in schema or value in schema["enum"]
