"""Graded attempts as arrays, problem by problem: the shared front half of every metric.

200,000 attempts are read once into flat arrays; everything after that is a `bincount`. Attempts are put in order of
problem id and attempt first, so that a metric does not depend on the order in which completions arrived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harness.errors import DataError, UsageError
from harness.stats.standard_errors import Array, mean_interval
from harness.types import STATUSES, Estimate, Graded


@dataclass(frozen=True)
class Attempts:
    """All attempts of a run, sorted by (problem id, attempt)."""

    rows: tuple[Graded, ...]
    problems: tuple[str, ...]
    """Problem ids, sorted; the axis of every per-problem array."""
    clusters: tuple[str, ...]
    codes: npt.NDArray[np.intp]
    """Index of each row's problem, shape [rows], ascending."""

    @classmethod
    def of(cls, graded: Sequence[Graded]) -> Attempts:
        """Sort and index; raises `DataError` if there is nothing, or an attempt stands twice."""
        if not graded:
            raise DataError("there are no graded attempts to compute a metric from")
        rows = tuple(sorted(graded, key=lambda row: (row.problem_id, row.attempt)))
        problems: list[str] = []
        clusters: list[str] = []
        codes = np.empty(len(rows), dtype=np.intp)
        last, attempt = None, -1
        for i, row in enumerate(rows):
            if row.problem_id != last:
                last = row.problem_id
                problems.append(last)
                clusters.append(row.cluster)
            elif row.attempt == attempt:
                raise DataError(f"attempt {attempt} of problem {last!r} stands twice among the graded attempts")
            attempt = row.attempt
            codes[i] = len(problems) - 1
        return cls(rows, tuple(problems), tuple(clusters), codes)

    @cached_property
    def values(self) -> Array:
        """Score of each row, NaN where it is missing. Raises `DataError` for a score that is not in [0, 1]."""
        values = np.array([np.nan if r.score.value is None else r.score.value for r in self.rows], dtype=np.float64)
        for i in np.flatnonzero(~((values >= 0.0) & (values <= 1.0))):  # NaN compares false: it is looked at too
            row = self.rows[i]
            if row.score.value is not None:
                raise DataError(
                    f"attempt {row.attempt} of problem {row.problem_id!r} has the score {row.score.value}; scores are "
                    "between 0 and 1: correct the grader and run `harness score`"
                )
        return values

    @cached_property
    def sizes(self) -> npt.NDArray[np.intp]:
        """Attempts per problem, scored or not."""
        return self.count(np.ones(len(self.rows), dtype=bool))

    def count(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Rows per problem where `mask` (shape [rows]) holds."""
        counts: npt.NDArray[np.intp] = np.bincount(self.codes[mask], minlength=len(self.problems))
        return counts

    def total(self, values: Array) -> Array:
        """Sum per problem of `values` (shape [rows])."""
        sums: Array = np.bincount(self.codes, weights=values, minlength=len(self.problems)).astype(np.float64)
        return sums

    def rank(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """0-based position of each row among its problem's rows where `mask` holds; meaningless elsewhere."""
        running = np.cumsum(mask)
        before = np.concatenate(([0], np.cumsum(self.count(mask))[:-1]))
        ranks: npt.NDArray[np.intp] = running - 1 - before[self.codes]
        return ranks

    def require(self, k: int, metric: str) -> None:
        """Raise `UsageError` naming the first problem with fewer than k attempts, or a k below 1."""
        if k < 1:
            raise UsageError(f"{metric} needs k >= 1, not {k}")
        short = np.flatnonzero(self.sizes < k)
        if len(short) > 0:
            worst = short[np.argmin(self.sizes[short])]
            raise UsageError(
                f"{metric} with k = {k} needs {k} samples of every problem; {len(short)} of {len(self.problems)} have "
                f"fewer, problem {self.problems[worst]!r} has {self.sizes[worst]}: use a smaller k or raise --n"
            )

    def estimate(
        self,
        values: Array,
        samples: int,
        bounds: tuple[Array, Array] | None = None,
        *,
        share: bool = True,
    ) -> Estimate:
        """Average per-problem values (NaN: the problem is missing) into an `Estimate`.

        `samples` is how many attempts entered; `bounds` are the per-problem values had the missing all been 0 / 1.
        """
        known = ~np.isnan(values)
        if not known.any():
            raise DataError(f"none of the {len(self.problems)} problems has enough scored samples for this metric")
        clusters = [c for c, keep in zip(self.clusters, known, strict=True) if keep]
        mean = mean_interval(values[known], clusters, share=share)
        status = Counter(row.score.status for row in self.rows)
        means = None if bounds is None else (float(bounds[0].mean()), float(bounds[1].mean()))
        return mean.estimate(samples, {name: status[name] for name in STATUSES}, means)

    def average(self, values: Array, missing: npt.NDArray[np.bool_], *, share: bool = True) -> Estimate:
        """Mean over problems of the mean over the rows of `values` that are not NaN (shape [rows]).

        `missing` marks the NaN rows that could have had a value: they make the bounds. Other NaN rows are left out.
        """
        present = ~np.isnan(values)
        totals = self.total(np.where(present, values, 0.0))
        counts = self.count(present)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(counts > 0, totals / counts, np.nan)
            if not missing.any() or not share:
                return self.estimate(means, int(counts.sum()), share=share)
            lost = self.count(missing)
            possible = counts + lost
            some = possible > 0
            low, high = totals[some] / possible[some], (totals + lost)[some] / possible[some]
        return self.estimate(means, int(counts.sum()), (low, high))
