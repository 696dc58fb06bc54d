"""Does what a judge quotes stand in the text that it judges?

White space and backslashes count for nothing (judges differ in how many of the latter they write in JSON), an elision
("first words … last words") counts for a gap, and quotation marks and a leading tag such as "[L2]" belong to the
quoting. Everything else is compared character for character: the share of quotes that fail this is the rate at which a
judge invents its evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TAG = re.compile(r"\s*\[[A-Za-z0-9 ]{1,12}\]")
_ELISION = re.compile(r"…|\.{3}")
_MARKS = "\"'`“”‘’«»「」『』"


def squeezed(text: str) -> str:
    """The text without any white space."""
    return "".join(text.split())


def _bare(text: str) -> str:
    return squeezed(text).replace("\\", "")


def invented(quotes: Iterable[str], judged_text: str) -> int:
    """How many of the quotes do not stand in the text."""
    haystack = _bare(judged_text)
    return sum(not _stands(quote, haystack) for quote in quotes)


def _stands(quote: str, haystack: str) -> bool:
    """The quote as written, or without its tag, marks and elisions."""
    if _bare(quote) in haystack:
        return True
    pieces = [_bare(piece).strip(_MARKS) for piece in _ELISION.split(_TAG.sub("", quote, count=1))]
    said = [piece for piece in pieces if piece]
    position = 0
    for piece in said:
        position = haystack.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return bool(said)
