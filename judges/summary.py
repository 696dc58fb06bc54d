"""From the judged answers of a run to its numbers: every estimate by `harness.metrics`, so that intervals are
clustered by problem and what is missing is counted and bounded, as for any other run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.errors import DataError
from harness.metrics import estimate
from harness.metrics.attempts import Attempts
from harness.types import STATUSES, Estimate, Graded, Score
from judges.types import Judged, Summary


def graded(judged: Sequence[Judged]) -> list[Graded]:
    """Judged answers as metrics and comparisons see them; a value of None stays missing."""
    return [_row(one, one.value) for one in judged]


def mean_summary(
    name: str,
    judged: Sequence[Judged],
    *,
    part_name: Callable[[str], str] | None = None,
) -> Summary:
    """The mean over problems of the mean over attempts as headline `name`, and one estimate per part.

    Parts are called "<name>.<part>" unless `part_name` says otherwise. The items are the problems' own means.
    Raises `DataError` if nothing is scored.
    """
    rows = _scored_rows(name, judged)
    named = part_name if part_name is not None else lambda part: f"{name}.{part}"
    parts = {named(part): value for part, value in part_estimates(judged).items()}
    return Summary(name, {name: estimate("avg@n", rows)} | parts, problem_means(judged))


def part_estimates(judged: Sequence[Judged]) -> Mapping[str, Estimate]:
    """One estimate for each of the `parts` (values in [0, 1]), in order of first appearance.

    An answer that is scored without that part (a judge that quoted nothing has no share of invented quotes) is left
    out of it; an answer that is not scored is missing from all of them.
    """
    names = dict.fromkeys(part for one in judged for part in one.parts)
    found = {}
    for name in names:
        rows = [_row(one, one.parts.get(name)) for one in judged if one.value is None or name in one.parts]
        found[name] = estimate("avg@n", rows)
    return found


def problem_means(judged: Sequence[Judged]) -> dict[str, float]:
    """Problem id -> mean value of its scored attempts; problems without one are left out."""
    attempts = Attempts.of(graded(judged))
    known = ~np.isnan(attempts.values)
    counts = attempts.count(known)
    totals = attempts.total(np.where(known, attempts.values, 0.0))
    return {
        problem: float(total / count)
        for problem, total, count in zip(attempts.problems, totals, counts, strict=True)
        if count > 0
    }


def status_counts(judged: Sequence[Judged]) -> dict[str, int]:
    """How many answers have each status."""
    return {status: sum(one.status == status for one in judged) for status in STATUSES}


def _scored_rows(name: str, judged: Sequence[Judged]) -> list[Graded]:
    if not judged:
        raise DataError(f"{name}: there is nothing to summarise, no answer was judged")
    if all(one.value is None for one in judged):
        why = judged[0].why or "no reason given"
        raise DataError(f"{name}: none of the {len(judged)} answers has a readable judgment; the first: {why}")
    return graded(judged)


def _row(one: Judged, value: float | None) -> Graded:
    status = one.status if value is None else "scored"
    return Graded(one.problem_id, one.attempt, Score(value, status, why=one.why), one.cluster)
