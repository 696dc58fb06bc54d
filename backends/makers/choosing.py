"""Which of several things to keep: far from each other, or first by a number; nothing is asked or drawn here."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from backends.losses.edit import edit_distance


def farthest_apart(count: int, most: int, distance: Callable[[int, int], float]) -> list[int]:
    """Places 0 … count - 1, `most` of them: the first, then always the one that is farthest from the nearest chosen.

    Of equal ones the earlier. A distance is measured only where it decides: the least to some of those chosen bounds
    the least to all from above, and only the largest bound is looked into.
    """
    chosen = [0][: min(count, most)]
    bounds = [(float("-inf"), place, 0) for place in range(1, count)]  # (-bound, place, compared with so many)
    while bounds and len(chosen) < most:
        bound, place, compared = heapq.heappop(bounds)
        if compared == len(chosen):
            chosen.append(place)
            continue
        nearest = min(distance(place, other) for other in chosen[compared:])
        heapq.heappush(bounds, (max(bound, -nearest), place, len(chosen)))
    return chosen


def word_distances(texts: Sequence[str]) -> Callable[[int, int], float]:
    """The edit distance over words of two of some texts, as a share of the longer one."""
    known: dict[str, int] = {}
    ids = [[known.setdefault(word, len(known)) for word in text.split()] for text in texts]

    def distance(one: int, other: int) -> float:
        return edit_distance(ids[one], ids[other]) / max(1, len(ids[one]), len(ids[other]))

    return distance
