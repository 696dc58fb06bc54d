"""Content hashes: one canonical text per value, one way to shorten a digest."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """One text per value: sorted keys, no spaces; raises ValueError for NaN, infinities and too deep nesting."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def short_hash(text: str, digits: int = 16) -> str:
    """First hex digits of the sha256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
