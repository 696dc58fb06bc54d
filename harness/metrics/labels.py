"""Exact match of labelled replies: over all labels, over whole replies, and indicator by indicator.

What is averaged are the checks that the grader "labels" left with every graded attempt. A reply that gives no labels,
or was cut before it did, has all of its labels wrong; one that never came (status "error") or could not be graded is
missing and makes the bounds. All but `valid_labels` need labels in the data: `NotMeasured` where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.errors import NotMeasured
from harness.grading.indicators import find_indicator
from harness.grading.labels import PREFIX, VALID
from harness.metrics.attempts import Attempts
from harness.types import Estimate, Graded, Metric

_Value = Callable[[Mapping[str, bool]], float | None]
"""Checks of one reply -> its value; None where this reply has nothing of it."""


def _average(graded: Sequence[Graded], value: _Value) -> Estimate:
    attempts = Attempts.of(graded)
    lost = np.array([row.score.value is None for row in attempts.rows], dtype=bool)
    found = [None if row.score.value is None else value(row.formats) for row in attempts.rows]
    if all(one is None for one in found):
        raise NotMeasured(_why_not(attempts))
    return attempts.average(np.array([np.nan if one is None else one for one in found], dtype=np.float64), lost)


def _why_not(attempts: Attempts) -> str:
    """Why no reply has a value; the same words for all metrics that it keeps from being reported."""
    if all(row.score.value is None for row in attempts.rows):
        return "no reply was graded, so that there are no labels to compare"
    if any(_matches(row.formats) for row in attempts.rows):
        return "the data have labels for some of the indicators: only their em:<indicator> are reported"
    if any(VALID in row.formats for row in attempts.rows):
        return (
            "the data have no labels: avg@n is the share of replies that are usable, not of what is right "
            "(`harness export RUN --to labels` makes labels of a teacher's replies)"
        )
    return "these replies were not graded by their labels: that is for suites text_quality:<file>"


def _matches(checks: Mapping[str, bool]) -> list[bool]:
    return [right for name, right in checks.items() if name.startswith(PREFIX)]


def em_micro(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of labels that are right: per reply over its problem's labels, then over samples and problems."""
    return _average(graded, lambda checks: _mean(_matches(checks)))


def _mean(matches: Sequence[bool]) -> float | None:
    return sum(matches) / len(matches) if matches else None


def em_all(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of replies in which every label of the problem is right."""

    def value(checks: Mapping[str, bool]) -> float | None:
        matches = _matches(checks)
        return float(all(matches)) if matches else None

    return _average(graded, value)


def em_of(indicator: str) -> Metric:
    """The metric `em:<indicator>`: share of replies whose value of this one is right, over problems that label it.

    Raises `UnknownName` with a suggestion.
    """
    key = find_indicator(indicator).key
    name = f"{PREFIX}{key}"
    return Metric(
        f"em:{key}",
        lambda graded, k: _average(graded, lambda checks: float(checks[name]) if name in checks else None),
    )


def valid_labels(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of replies that give every indicator a value of its closed set, right or wrong."""
    return _average(graded, lambda checks: float(checks[VALID]) if VALID in checks else None)


EM_MICRO = Metric("em_micro", em_micro)
EM_ALL = Metric("em_all", em_all)
VALID_LABELS = Metric("valid_labels", valid_labels)
