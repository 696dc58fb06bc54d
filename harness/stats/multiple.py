"""Many comparisons at once: Holm's correction, ranks that say which models no test tells apart, and one decision each.

The test decides, corrected for all comparisons that are shown together: it is exact where few problems differ, and an
interval is not. An interval belongs to one comparison alone and is the size of the difference, not a second test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

from harness.errors import UsageError

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values in the order given: reject those <= alpha, and the chance of any false rejection is <= alpha.

    Holm, A simple sequentially rejective multiple test procedure, 1979. Raises `UsageError` for a p outside [0, 1].
    """
    for p in p_values:
        if math.isnan(p) or not 0.0 <= p <= 1.0:
            raise UsageError(f"{p!r} is no p value: it must be between 0 and 1")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for position, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - position) * p_values[i]))
        adjusted[i] = running
    return adjusted


def rank_groups(
    names: Sequence[str], p_values: Mapping[tuple[str, str], float], alpha: float = 0.05
) -> dict[str, tuple[int, str]]:
    """The rank and the letters of each model, from the (corrected) p value of each pair, in either order of names.

    `names` are given best first. A rank is 1 + the number of models that are significantly better, and never less than
    that of a model above it. Two models that share a letter (compact letter display) are not significantly different.

    A pair without a p value was not tested, so it counts as not different. Letters by insert and absorb (Piepho 2004).
    """
    different = {
        (i, j)
        for j in range(len(names))
        for i in range(j)
        if p_values.get((names[i], names[j]), p_values.get((names[j], names[i]), 1.0)) <= alpha
    }
    groups = _cliques(len(names), different)
    letters = ["".join(_letter(g) for g, members in enumerate(groups) if i in members) for i in range(len(names))]
    # A pair far apart may be tied (noisy) where a closer one is not: the lower of them must not be ranked higher.
    places = accumulate((1 + sum((i, j) in different for i in range(j)) for j in range(len(names))), max)
    return dict(zip(names, zip(places, letters, strict=True), strict=True))


def _cliques(count: int, different: set[tuple[int, int]]) -> list[frozenset[int]]:
    """The largest sets without a different pair, ordered by their best members."""
    groups = {frozenset(range(count))} if count > 0 else set()
    for i, j in sorted(different):
        split = {g for g in groups if i in g and j in g}
        groups = (groups - split) | {g - {k} for g in split for k in (i, j)}
        groups = {g for g in groups if not any(g < other for other in groups)}
    return sorted(groups, key=sorted)


def _letter(index: int) -> str:
    """One of a to z, then a1 to z1, and so on."""
    lap, letter = divmod(index, len(_LETTERS))
    return _LETTERS[letter] + (str(lap) if lap > 0 else "")


Decision = Literal["higher", "lower", "not shown"]
ALPHA = 0.05


def decide(difference: float, p: float | None) -> Decision:
    """Whether the first side is shown to be higher or lower than the second, by the (corrected) p value."""
    if p is None or math.isnan(p) or p > ALPHA or difference == 0.0:
        return "not shown"
    return "higher" if difference > 0.0 else "lower"


def disagreement(low: float, high: float, p: float | None, corrected: float | None) -> str:
    """Why the decision is not what the interval looks like; an empty text where they agree.

    `p` is of the comparison alone, `corrected` after correction for all that are shown together.
    """
    if p is None or corrected is None or math.isnan(p) or math.isnan(corrected) or math.isnan(low) or math.isnan(high):
        return ""
    outside = low > 0.0 or high < 0.0
    if outside == (corrected <= ALPHA):
        return ""
    if not outside:
        return f"the interval holds 0 and p is at most {ALPHA:g}: the interval is approximate, and the test decides"
    if p <= ALPHA:
        return (
            f"the interval is of this comparison alone, and corrected for all that are shown p is above {ALPHA:g}: "
            "the corrected p decides, and no difference is shown"
        )
    return (
        f"the interval leaves out 0 and p is above {ALPHA:g}: the interval is approximate, and the test decides; "
        "no difference is shown"
    )
