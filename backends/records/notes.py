"""A teacher's notes on a mistake: a text with a summary and with knowledge, each under its header."""

from __future__ import annotations

import re

_HEADERS = re.compile(r"(?im)^[ \t*#]{0,8}(learning summary|supplementary knowledge)[*]{0,3}:[*]{0,3}")
_NO_NEED = "no need summary"


def note_of(text: str) -> list[str] | None:
    """Summary and knowledge of a teacher's text, those of them that say something; None without either header."""
    heads = list(_HEADERS.finditer(text))
    if not heads:
        return None
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found = [text[head.end() : end].strip() for head, end in zip(heads, ends, strict=True)]
    return [part for part in found if part and not part.lower().startswith(_NO_NEED)]
