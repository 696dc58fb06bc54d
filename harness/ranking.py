"""Pairwise tests of many runs of one group, aligned once: a board of 40 runs is 780 comparisons.

`harness.stats.paired` aligns two runs by problem id; here all runs of a group are laid out in one array first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.run.result import RunResult
from harness.stats.paired import Paired, paired_differences


def pairing(results: Sequence[RunResult]) -> Callable[[int, int], Paired | None]:
    """Lays out the headline values of runs of one suite on the union of their problems, to compare any two of them.

    The function returned takes two positions: run a minus run b on the problems that both have scored; None if there
    are none.
    """
    problems = list(results[0].items)
    if any(list(result.items) != problems for result in results[1:]):
        problems = sorted({problem for result in results for problem in result.items})
    values = np.full((len(results), len(problems)), np.nan)  # NaN where a run has nothing scored
    by_problem: dict[str, str] = {}
    single: list[bool] = []  # True for a run whose values are single right-or-wrong answers
    for row, result in enumerate(results):
        found = [result.items[problem] for problem in problems if problem in result.items]
        present = [problem in result.items for problem in problems]
        values[row, present] = np.array([item.mean for item in found], dtype=np.float64)  # None becomes NaN
        known = values[row][~np.isnan(values[row])]
        single.append(all(item.n <= 1 for item in found) and bool(((known == 0.0) | (known == 1.0)).all()))
        by_problem |= {problem: item.cluster for problem, item in result.items.items() if item.cluster}
    clusters = [by_problem.get(problem, "") for problem in problems]

    def compare(a: int, b: int) -> Paired | None:
        difference = values[a] - values[b]
        both = ~np.isnan(difference)
        if not both.any():
            return None
        kept = [cluster for cluster, keep in zip(clusters, both, strict=True) if keep] if any(clusters) else ()
        return paired_differences(difference[both], kept, mcnemar=single[a] and single[b])

    return compare
