"""A threshold on the probability of a label, chosen on validation data under the class ratio that will be met.

A model trained on as many positives as negatives says "positive" too often where positives are rare. R2Vul (arXiv
2504.04699) chooses the threshold on P(positive) on a validation split weighed to the target ratio, after training.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from harness.errors import DataError


@dataclass(frozen=True, slots=True)
class LabelThreshold:
    """When a model's answer is the positive label; what its card keeps."""

    positive: str
    negative: str
    threshold: float
    """Least P(positive), of these two labels, with which the answer is the positive one."""
    ratio: float | None
    """Share of positives that it was chosen for; None: that of the data."""
    f1: float
    """Of the positive label, on the data, weighed to the ratio."""
    f1_before: float
    """The same at the threshold 0.5."""
    records: int
    """Answers that it was chosen on."""
    unread: int
    """Answers without a label, which say nothing."""

    def __post_init__(self) -> None:
        if not self.positive or not self.negative or self.positive == self.negative:
            raise ValueError("calibration needs two different labels")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"calibration: the threshold {self.threshold} is not from 0 to 1")


def choose_threshold(
    chances: Sequence[float], positive: Sequence[bool], ratio: float | None = None
) -> tuple[float, float, float]:
    """(threshold, its F1, F1 at 0.5): the threshold with the largest F1, the nearest to 0.5 of equal ones.

    `ratio`: share of positives to weigh the data to. Raises `DataError` for data without both labels and for a ratio
    that is not between 0 and 1.
    """
    count, right = len(chances), sum(positive)
    if not 0 < right < count:
        raise DataError(f"a threshold needs both labels: {right} of {count} answers are to positive records")
    share = right / count
    target = share if ratio is None else ratio
    if not 0 < target < 1:
        raise DataError(f"a ratio of positives must be between 0 and 1, not {target:g}")
    weights = [target / share if one else (1 - target) / (1 - share) for one in positive]

    ranked = sorted(zip(chances, weights, positive, strict=True))
    known = [chance for chance, _, _ in ranked]
    said = _from_the_end([weight for _, weight, _ in ranked])
    hits = _from_the_end([weight if one else 0.0 for _, weight, one in ranked])

    def f1(threshold: float) -> float:
        at = bisect_left(known, threshold)
        return 2 * hits[at] / (said[at] + hits[0])

    # Half of the smallest: below it every answer is positive, which may be best where the least likely one is.
    places = [0.5, known[0] / 2, *((a + b) / 2 for a, b in pairwise(known) if a < b)]
    found = [(round(f1(place), 12), -abs(place - 0.5), place) for place in places]
    best = max(found)
    return best[2], best[0], found[0][0]


def _from_the_end(values: Sequence[float]) -> list[float]:
    """The sum of the values from each place on, and of none."""
    return [*accumulate(reversed(values), initial=0.0)][::-1]


def read_threshold(row: Any) -> LabelThreshold:
    """One of a card's JSON. Raises `ValueError` that says what is wrong."""
    wanted = set(LabelThreshold.__dataclass_fields__)
    if not isinstance(row, Mapping) or set(row) != wanted:
        raise ValueError(f"calibration needs {', '.join(sorted(wanted))}")
    texts, counts = ("positive", "negative"), ("records", "unread")
    for name, value in row.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not (isinstance(value, str) if name in texts else number or (name == "ratio" and value is None)):
            raise ValueError(f"calibration: {name} is {value!r}")
        if name in counts and (not isinstance(value, int) or value < 0):
            raise ValueError(f"calibration: {name} is no count")
    return LabelThreshold(**row)
