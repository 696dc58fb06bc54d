"""JSON objects in running text: where they stand and what they say, in linear time on hostile text.

A judge that no engine constrains writes prose around its JSON, and that prose quotes LaTeX, sets and code. So a brace
opens an object only where a key follows it: `{"key":`. The object that is looked for has a known key ("verdict");
one without it is prose, well-formed or not. One with it must be JSON, or reading stops with the reason: guessing where
broken JSON ends would mean guessing the verdict.

Every character is looked at a bounded number of times, because reading goes on behind an object or not at all.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from harness.answers import JsonObject
from harness.types import Json
from judges.replies.escapes import mended
from judges.types import Malformed

MAX_REPLY = 262_144
"""Longest reply that is read, in characters: dozens of times the longest verdict asked for."""
MAX_DEPTH = 16
"""Deepest nesting of objects and arrays; a verdict has four levels."""
MAX_DIGITS = 32
"""Longest number literal."""

_PASSES = 16
"""How often, at most, `valid_objects` looks at the characters of a text."""

# The whitespace and the key are bounded, so that a text of braces and quotes is read in linear time.
_OPENING = re.compile(r'\{\s{0,64}"[^"\\\n]{0,128}"\s{0,64}:')
_BRACKET = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One JSON object of a text."""

    value: JsonObject
    start: int
    end: int
    """One past the closing brace."""


def find_objects(text: str, key: str) -> list[FoundObject]:
    """The outermost JSON objects of a text that have `key`, in order; code fences and prose are passed over.

    Raises `Malformed` if there is none, for a text longer than `MAX_REPLY`, and for an object with that key that is
    never closed, is not JSON, gives a key twice, or holds NaN, an infinity or a number longer than `MAX_DIGITS`.
    Nothing may be nested deeper than `MAX_DEPTH`. Line breaks inside strings and backslashes of LaTeX
    (`judges.replies.escapes`), which models write and JSON forbids, are allowed.
    """
    if len(text) > MAX_REPLY:
        raise Malformed(f"reply too long: {len(text)} characters, at most {MAX_REPLY} are read")
    found: list[FoundObject] = []
    other = f"no JSON object: reply with one object that has the key {key!r}"
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        start = opening.start()
        end = _closing(text, start)
        source = mended(text[start:end])
        try:
            value, _ = _DECODER.raw_decode(source)
        except (json.JSONDecodeError, Malformed) as error:
            why = _why(source, error)
            if end is None:
                raise Malformed(f"JSON cut off or broken: the object never ends; {why}") from error
            if f'"{key}"' in source:
                raise Malformed(why) from error
            position, other = end, why
            continue
        # Valid JSON ends at the brace that closes it, and without one nothing would have been decoded.
        position = end if end is not None else len(text)
        if key in value:
            found.append(FoundObject(value, start, position))
        else:
            other = f"missing key: the JSON object has no {key!r}"
    if not found:
        raise Malformed(other)
    return found


def valid_objects(text: str) -> list[FoundObject]:
    """Every JSON object in a text that is well-formed, none inside another, in order; whatever is not is prose.

    Raises nothing. What never closes is looked through to its end, so a text of such openings is read only as far as
    `_PASSES` times its length allows.
    """
    found: list[FoundObject] = []
    position, left = 0, _PASSES * len(text)
    while left > 0 and (opening := _OPENING.search(text, position)) is not None:
        start, position = opening.start(), opening.end()
        try:
            end = _closing(text, start)
            left -= (len(text) if end is None else end) - start
            if end is not None:
                value, _ = _DECODER.raw_decode(mended(text[start:end]))
                found.append(FoundObject(value, start, end))
                position = end
        except json.JSONDecodeError:
            continue
        except Malformed:
            left -= len(text) - start
    return found


def _why(source: str, error: json.JSONDecodeError | Malformed) -> str:
    if isinstance(error, Malformed):
        return str(error)
    return f"invalid JSON: {error.msg} before {source[error.pos : error.pos + 24]!r}"


def _closing(text: str, start: int) -> int | None:
    """One past the brace that closes the object that starts there; None if there is none.

    Raises `Malformed` if it is nested deeper than `MAX_DEPTH`. The JSON decoder reads no further into valid JSON than
    brackets are counted here, so this also bounds its recursion.
    """
    depth, in_string = 0, False
    for token in _BRACKET.finditer(text, start):
        mark = token[0][0]
        if mark == '"':
            in_string = not in_string
        elif in_string or mark == "\\":
            continue
        elif mark in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed(f"JSON nested too deeply: more than {MAX_DEPTH} levels at character {token.start()}")
        else:
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        if key in found:
            raise Malformed(f"duplicate key: {key[:64]!r} stands twice in one JSON object")
        found[key] = value
    return found


def _integer(literal: str) -> int:
    if len(literal) > MAX_DIGITS:
        raise Malformed(f"number out of range: {literal[:16]}… has {len(literal)} digits")
    return int(literal)


def _number(literal: str) -> float:
    if len(literal) > MAX_DIGITS or not math.isfinite(float(literal)):
        raise Malformed(f"number out of range: {literal[:16]}")
    return float(literal)


def _no_constant(name: str) -> Json:
    raise Malformed(f"invalid number: JSON does not know {name}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_no_constant, strict=False
)


def storable(text: str) -> str:
    r"""The text with lone surrogates ("\ud800" in JSON) replaced: they cannot be written to a file."""
    return _SURROGATE.sub("\ufffd", text)
