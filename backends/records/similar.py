"""Two rationales that say the same: overlap of their sets of words (MCC-KD, arXiv 2310.14747)."""

from __future__ import annotations

import re

SIMILAR = 0.8
"""Two rationales whose words overlap more than this are one."""
_WORD = re.compile(r"\w+")


def word_jaccard(one: str, other: str) -> float:
    """Words that both have over words that either has, case folded, 0 to 1; two texts without words are the same."""
    first, second = (set(_WORD.findall(text.casefold())) for text in (one, other))
    return len(first & second) / len(first | second) if first or second else 1.0
