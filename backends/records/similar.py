"""Two rationales that say the same: overlap of their sets of words (MCC-KD, arXiv 2310.14747)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

SIMILAR = 0.8
"""Two rationales whose words overlap more than this are one."""
_WORD = re.compile(r"\w+")


def word_jaccard(one: str, other: str) -> float:
    """Words that both have over words that either has, case folded, 0 to 1; two texts without words are the same."""
    first, second = (set(_WORD.findall(text.casefold())) for text in (one, other))
    return len(first & second) / len(first | second) if first or second else 1.0


def grams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    """The n-grams of some words; fewer words than n are one gram."""
    return {tuple(words[at : at + n]) for at in range(max(1, len(words) - n + 1))} if words else set()


def repeated(words: Sequence[str], n: int = 4) -> float:
    """Share of the n-grams that stood there before, 0 to 1."""
    count = len(words) - n + 1
    return 1 - len(grams(words, n)) / count if count > 0 else 0.0


def most_often(words: Sequence[str], n: int) -> int:
    """How often the commonest n-gram stands in some words; 0 where there is none."""
    return max(Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1)).values(), default=0)


def near_duplicates(texts: Sequence[set[tuple[str, ...]]], least: float) -> dict[int, int]:
    """Place -> the earlier text, itself no duplicate, with which its Jaccard similarity is at least `least`.

    Exact: two such sets share one of their first |set| - ceil(least |set|) + 1 grams in any common order, so that only
    those are looked up; rarest first, they are shared by few.
    """
    seen = Counter(gram for text in texts for gram in text)
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found: dict[int, int] = {}
    for place, text in enumerate(texts):
        shared_ones = [gram for gram in text if seen[gram] > 1]  # the others are the rarest, and nobody else's
        room = len(shared_ones) - math.ceil(least * len(text) - 1e-9) + 1
        first = sorted(shared_ones, key=lambda gram: (seen[gram], gram))[:room] if room > 0 else []
        for other in sorted({place for gram in first for place in holders[gram]}):
            shared = len(text & texts[other])
            if shared >= least * (len(text) + len(texts[other]) - shared) - 1e-9:
                found[place] = other
                break
        else:
            for gram in first:
                holders[gram].append(place)
    return found
