"""Several judges of the same answers: one value from all of them, and how far they agree.

A member that could not be read would make the panel's value a value by other judges, so all members are needed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final

import numpy as np

from harness.errors import DataError, UsageError
from harness.stats.agreement import Indices, Level, bootstrap_interval, krippendorff_alpha
from harness.types import Json, Status
from judges.types import Aggregate, Judged

PerJudge = Sequence[Sequence[Judged]]
"""One list per judge, all over the same answers in the same order."""


def panel_fold(per_judge: PerJudge, how: Aggregate = "mean") -> list[Judged]:
    """The panel's worth of every answer.

    "mean" and "median" are over the members' values. "majority" counts decisions (above 0.5, below it, or exactly it)
    and is worth 1, 0 or 0.5; a draw between decisions is 0.5 too. It is for verdicts that prefer or agree, not for
    points. Parts and votes are means over the members. Raises `DataError` if the judges did not judge the same answers.
    """
    _same_answers(per_judge)
    if how not in _FOLDS:
        raise UsageError(f"a panel aggregates by {', '.join(_FOLDS)}, not {how!r}")
    return [_fold(members, how) for members in zip(*per_judge, strict=True)]


def panel_agreement(per_judge: PerJudge, level: Level = "interval", *, resamples: int = 1000) -> Mapping[str, Json]:
    """Krippendorff's alpha over the judges: `alpha`, its 95 % bootstrap interval `low`, `high`, and what it is over.

    Answers are drawn whole with their problem, since attempts at one problem are alike. Numbers are None where all
    judges gave one value everywhere.
    """
    _same_answers(per_judge)
    ratings = np.array([[one.value for one in judged] for judged in per_judge], dtype=np.float64).T
    problems = [one.cluster or one.problem_id for one in per_judge[0]]
    rows_of: dict[str, list[int]] = {}
    for row, problem in enumerate(problems):
        rows_of.setdefault(problem, []).append(row)
    groups = [np.array(rows, dtype=np.intp) for rows in rows_of.values()]
    single = all(len(rows) == 1 for rows in groups)

    def resampled(drawn: Indices) -> float | None:
        rows = drawn if single else np.concatenate([groups[i] for i in drawn])
        return krippendorff_alpha(ratings[rows], level)

    alpha = krippendorff_alpha(ratings, level)
    interval = bootstrap_interval(resampled, len(groups), resamples=resamples) if alpha is not None else None
    return {
        "alpha": alpha,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "level": level,
        "judges": len(per_judge),
        "answers": int(((~np.isnan(ratings)).sum(axis=1) >= 2).sum()),
    }


def _same_answers(per_judge: PerJudge) -> None:
    if not per_judge or not per_judge[0]:
        raise DataError("a panel needs at least one judge and one answer")
    first = [(one.problem_id, one.attempt) for one in per_judge[0]]
    for number, judged in enumerate(per_judge[1:], 2):
        if [(one.problem_id, one.attempt) for one in judged] != first:
            raise DataError(f"judge {number} of the panel judged other answers than judge 1, or in another order")


def _fold(members: Sequence[Judged], how: Aggregate) -> Judged:
    first = members[0]
    values = [one.value for one in members if one.value is not None]
    failed = [one for one in members if one.value is None]
    if failed:
        lost = {one.status for one in failed}
        worst: tuple[Status, ...] = ("unscored", "refused", "error")
        status = next(status for status in worst if status in lost)
        why = f"{len(values)} of {len(members)} judges gave a value, all are needed; {failed[0].why}"
        return Judged(first.problem_id, first.attempt, None, status, why=why, cluster=first.cluster)
    names = dict.fromkeys(name for one in members for name in one.parts)
    parts = {name: _mean([one.parts[name] for one in members if name in one.parts]) for name in names}
    return Judged(
        first.problem_id,
        first.attempt,
        _FOLDS[how](values),
        "scored",
        weight=_mean([one.weight for one in members]),
        parts=parts,
        cluster=first.cluster,
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _majority(values: Sequence[float]) -> float:
    """The commonest decision; 0.5 if two are equally common."""
    counts = Counter(0.5 if abs(value - 0.5) < 1e-9 else float(value > 0.5) for value in values).most_common()
    return 0.5 if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]


_FOLDS: Final[Mapping[Aggregate, Callable[[Sequence[float]], float]]] = {
    "mean": _mean,
    "median": median,
    "majority": _majority,
}
