"""Standard errors and 95 % intervals of a mean over problems: clustered, and honest at the boundary.

Problems are the unit of sampling: the interval says where the mean over *other problems of this kind* (and other
samples) would be, so its width comes from the spread between the problems' own means (Miller, arXiv 2411.00640).
Problems that share a `cluster` are correlated and count as one draw.

A share (a mean of values in [0, 1]) near 0 or 1 gets Wilson's interval at the effective sample size, so 0 right of 30
is [0, 0.12] and not [0, 0]. `docs/statistics.md` has the reasons, sources and simulated coverage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.stats.distributions import t_quantile
from harness.types import Estimate

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over problems with its uncertainty."""

    value: float
    se: float
    """Clustered standard error; 0.0 where all problems agree (the interval is still not empty)."""
    low: float
    high: float
    n_problems: int
    n_clusters: int

    def estimate(
        self,
        n_samples: int,
        counts: Mapping[str, int] | None = None,
        bounds: tuple[float, float] | None = None,
        *,
        n_problems: int | None = None,
    ) -> Estimate:
        """The same with its denominators; `n_problems` where the means were not over problems."""
        problems = self.n_problems if n_problems is None else n_problems
        return Estimate(self.value, self.low, self.high, self.se, problems, n_samples, counts or {}, bounds)


def cluster_codes(clusters: Sequence[str]) -> tuple[npt.NDArray[np.intp], int]:
    """Integer code of each problem's cluster and the number of clusters; an empty name is a cluster of its own."""
    known: dict[str, int] = {}
    codes = np.empty(len(clusters), dtype=np.intp)
    singles = 0
    for i, cluster in enumerate(clusters):
        if cluster == "":
            codes[i] = -1 - singles
            singles += 1
        else:
            codes[i] = known.setdefault(cluster, len(known))
    codes[codes < 0] = len(known) - 1 - codes[codes < 0]
    return codes, len(known) + singles


def cluster_sums(values: Array, clusters: Sequence[str] | None) -> Array:
    """Sum of `values` (shape [problems]) per cluster; the values themselves if no cluster is set."""
    if clusters is None or not any(clusters):
        return values
    codes, count = cluster_codes(clusters)
    sums: Array = np.bincount(codes, weights=values, minlength=count).astype(np.float64)
    return sums


def clustered_se(values: Array, clusters: Sequence[str] | None = None) -> tuple[float, int]:
    """Standard error of the mean of `values` (shape [problems]) and the number of clusters behind it.

    The cluster-robust variance of Miller, arXiv 2411.00640, with the factor C / (C - 1) for C clusters, so that
    singleton clusters give exactly s / sqrt(n). 0.0 if there is a single cluster: nothing can be estimated.
    """
    n = len(values)
    if clusters is None or not any(clusters):
        return (float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else 0.0), n
    sums = cluster_sums(values - values.mean(), clusters)
    count = len(sums)
    if count < 2:
        return 0.0, count
    return math.sqrt(float(sums @ sums) * count / (count - 1)) / n, count


def wilson(p: float, n: float, critical: float) -> tuple[float, float]:
    """Wilson's score interval of a share p seen in n independent trials (n need not be whole)."""
    z2 = critical * critical
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = critical / (1 + z2 / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z2 / (4 * n * n))
    low = 0.0 if p <= 0.0 else max(0.0, centre - half)
    high = 1.0 if p >= 1.0 else min(1.0, centre + half)
    return low, high


def mean_interval(values: Array, clusters: Sequence[str] | None = None, *, share: bool = True) -> Mean:
    """Mean of per-problem values (shape [problems]) with clustered standard error and 95 % interval.

    `share` says that values lie in [0, 1]. Raises `DataError` if there are no values.
    """
    n = len(values)
    if n == 0:
        raise DataError("there is nothing to average: no problem has a value")
    value = float(values.mean())
    se, count = clustered_se(values, clusters)
    if not share:
        half = t_quantile(count - 1) * se if count > 1 else math.inf
        return Mean(value, se, value - half, value + half, n, count)
    value = min(1.0, max(0.0, value))
    if value in (0.0, 1.0):  # nobody or everybody is right: Clopper and Pearson's exact limit over the clusters
        limit = 0.025 ** (1.0 / count)
        return Mean(value, 0.0, limit if value == 1.0 else 0.0, 1.0 - limit if value == 0.0 else 1.0, n, count)
    low, high = wilson(value, effective_n(values, se, clusters), t_quantile(max(count - 1, 1)))
    return Mean(value, se, low, high, n, count)


def effective_n(values: Array, se: float, clusters: Sequence[str] | None = None) -> float:
    """How many independent right-or-wrong questions the values (shape [problems], in [0, 1]) are worth.

    By its standard error a mean p is worth p (1 - p) / se^2 questions: the number of problems if each is either
    always or never solved, more if repeated samples fall between. Near 0 or 1 only the few problems that differ
    from the rest carry that estimate, and it flatters: with 3 such problems a 95 % interval holds about 80 %. So the
    ratio (problems / worth) is averaged with 1, the least favourable value, as if one more informative problem had
    said so.
    """
    p = min(1.0, max(0.0, float(values.mean())))
    units = cluster_sums(values, clusters) / cluster_sums(np.ones_like(values), clusters)
    count = len(units)
    spread = p * (1.0 - p)
    if count < 2 or spread <= 0.0:
        return float(count)
    informative = min(int((units > 0.0).sum()), int((units < 1.0).sum()))
    ratio = count * se * se / spread
    return count / max(ratio, (informative * ratio + 1.0) / (informative + 1.0))
