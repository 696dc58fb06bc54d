"""Paired comparison of two runs over the same problems.

Two models find the same questions hard, so the difference per problem is far less noisy than the two scores: pairing
is worth more than 16 times the samples on AIME. The test is exact where exactness matters (few problems differ) and
Student's t on the clustered differences elsewhere; the interval stays open when no problem differs.
Sources and simulated coverage: `docs/statistics.md`.

Where the noise comes from, the questions or the sampling of answers (`components`, `delta_sd`), tells a planner whether
to raise n or to look for more problems: more samples shrink only the second part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol

import numpy as np

from harness.errors import DataError
from harness.stats.distributions import Z95, binomial_two_sided, t_two_sided
from harness.stats.standard_errors import Array, cluster_sums, clustered_se

Test = Literal["mcnemar", "sign-flip", "paired t"]

_EXACT = 12  # at most this many differing clusters: all 2^12 sign flips are tried
_CHUNK = 4_000_000  # resampled indices held in memory at once
_RELATIVE = 1e-9  # two sums of differences this close (relative to the largest possible) are equal


class ItemLike(Protocol):
    """What a comparison needs of one problem; `harness.run.result.Item` is one."""

    @property
    def mean(self) -> float | None:
        """Value on this problem, None if nothing was scored."""

    @property
    def n(self) -> int:
        """Samples behind it."""

    @property
    def cluster(self) -> str:
        """Problems with the same non-empty name are correlated."""


@dataclass(frozen=True)
class Paired:
    """Run A minus run B over the problems that both have a value for."""

    diff: float
    """Mean over problems of A's value minus B's."""
    low: float
    """95 % interval of the difference."""
    high: float
    se: float
    """Clustered standard error of the difference; 0.0 if all problems differ by the same amount."""
    p: float
    """Two-sided p value of "the two are equal"."""
    test: Test
    n_problems: int
    n_clusters: int
    wins: int
    """Problems on which A is higher."""
    losses: int
    ties: int
    dropped: tuple[str, ...]
    """Problems that only one run has, or that one has no scored sample of; sorted."""
    bootstrap: tuple[float, float] | None = None
    """95 % percentile interval of the paired bootstrap over clusters, if it was asked for."""


def paired(a: Mapping[str, ItemLike], b: Mapping[str, ItemLike], *, resamples: int = 0, seed: int = 0) -> Paired | None:
    """Run `a` minus run `b`, problem by problem; None if they have no scored problem in common.

    `a` and `b` map problem ids to items. The caller makes sure that both are of one suite version and data hash.
    `resamples` > 0 adds the bootstrap interval (10,000 is usual), seeded by `seed`.
    """
    common: list[str] = []
    dropped: list[str] = []
    gaps: list[float] = []
    mcnemar = True
    for problem in sorted(a.keys() | b.keys()):
        left, right = a.get(problem), b.get(problem)
        if left is None or right is None or left.mean is None or right.mean is None:
            dropped.append(problem)
            continue
        common.append(problem)
        gaps.append(left.mean - right.mean)
        mcnemar = mcnemar and left.n == 1 and right.n == 1 and {left.mean, right.mean} <= {0.0, 1.0}
    if not common:
        return None
    clusters = [a[problem].cluster for problem in common]
    gaps_array = np.array(gaps, dtype=np.float64)
    return paired_differences(gaps_array, clusters, mcnemar=mcnemar, dropped=dropped, resamples=resamples, seed=seed)


def paired_differences(
    d: Array,
    clusters: Sequence[str],
    *,
    mcnemar: bool,
    dropped: Sequence[str] = (),
    resamples: int = 0,
    seed: int = 0,
) -> Paired:
    """As `paired`, from the differences per problem (shape [problems], at least one) and their clusters.

    `mcnemar` says that every difference is between two single right-or-wrong answers. For callers that compare
    hundreds of pairs and align their runs once.
    """
    d = np.where(np.abs(d) < _RELATIVE, 0.0, d)  # 0.3 - 0.1 * 3 is a tie, not a win
    clusters = clusters if any(clusters) else ()
    sums, sizes = cluster_sums(d, clusters), cluster_sums(np.ones_like(d), clusters)
    sums = np.where(np.abs(sums) < _RELATIVE, 0.0, sums)
    se, count = clustered_se(d, clusters)
    low, high = _interval(sums, sizes)
    p, test = _test(sums, float(d.mean()), se, mcnemar and not any(clusters))
    return Paired(
        diff=float(d.mean()),
        low=low,
        high=high,
        se=se,
        p=p,
        test=test,
        n_problems=len(d),
        n_clusters=count,
        wins=int((d > 0).sum()),
        losses=int((d < 0).sum()),
        ties=int((d == 0).sum()),
        dropped=tuple(dropped),
        bootstrap=_bootstrap(sums, sizes, resamples, seed) if resamples > 0 else None,
    )


def _interval(sums: Array, sizes: Array) -> tuple[float, float]:
    """95 % interval of the mean difference, from per-cluster sums and sizes.

    Bonett and Price's adjusted interval (2012) adds one problem won and one lost, which keeps it honest when few or
    none differ. For averages over several samples a difference of 1 would be too much: the two added differences
    are plus and minus the root mean square of the differing problems, counted together with one difference of 1.
    For n = 1 that is Bonett and Price's interval exactly.
    """
    gaps = sums / sizes
    differing = int((gaps != 0.0).sum())
    size = math.sqrt((float(gaps @ gaps) + 1.0) / (differing + 1.0))
    per_cluster = float(sizes.mean())
    all_sums = np.concatenate((sums, [size * per_cluster, -size * per_cluster]))
    all_sizes = np.concatenate((sizes, [per_cluster, per_cluster]))
    problems = float(all_sizes.sum())
    centre = float(all_sums.sum()) / problems
    residuals = all_sums - centre * all_sizes
    # n rather than n - 1 below the squares: Bonett and Price's variance.
    half = Z95 * math.sqrt(float(residuals @ residuals)) / problems
    return max(-_most(gaps), centre - half), min(_most(gaps), centre + half)


def _most(gaps: Array) -> float:
    """Scores in [0, 1] differ by at most 1; in other units (tokens) there is no limit."""
    return 1.0 if float(np.abs(gaps).max()) <= 1.0 else math.inf


def _test(sums: Array, diff: float, se: float, mcnemar: bool) -> tuple[float, Test]:
    if mcnemar:
        return binomial_two_sided(int((sums > 0).sum()), int((sums != 0).sum())), "mcnemar"
    differing = sums[sums != 0.0]
    if len(differing) <= _EXACT or se <= 0.0:
        return _sign_flip(differing), "sign-flip"
    return t_two_sided(diff / se, len(sums) - 1), "paired t"


@cache
def _signs(count: int) -> Array:
    """All sign patterns of `count` differences, shape [2^count, count]."""
    bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    return 1.0 - 2.0 * bits.astype(np.float64)


def _sign_flip(differing: Array) -> float:
    """Exact p of the sum of differences if each could as well have had the other sign; 1.0 if none differs.

    Equal to McNemar's exact test when all differences have the same size. More than 12 come here only if all are
    equal (their spread is 0): then it is the sign test.
    """
    if len(differing) == 0:
        return 1.0
    if len(differing) > _EXACT:
        return binomial_two_sided(int((differing > 0).sum()), len(differing))
    flipped = np.abs(_signs(len(differing)) @ differing)
    observed = abs(float(differing.sum()))
    return float((flipped >= observed - _RELATIVE * float(np.abs(differing).sum())).mean())


def _bootstrap(sums: Array, sizes: Array, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval over `resamples` draws of clusters with replacement, in chunks of bounded memory."""
    generator = np.random.default_rng(seed)
    count = len(sums)
    means = np.empty(resamples)
    step = max(1, _CHUNK // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, count, size=(rows, count))
        means[start : start + rows] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def components(items: Iterable[ItemLike]) -> tuple[float, float, float]:
    """(mean, between, within) of a run whose samples are right or wrong: how much problems and samples make it vary.

    Between is the standard deviation over problems of the chance of solving them, within the root mean variance of one
    sample given its problem. Needs two problems with two or more samples.

    Unbiased: the sampling variance of a problem solved in a share p of n samples is p (1 - p) n / (n - 1), and a
    1/n part of it is taken off the spread of the shares. A negative difference is no question variance: 0.
    Raises `DataError` if n is 1 everywhere: one sample cannot tell the two apart.
    """
    usable = [(item.mean, item.n) for item in items if item.mean is not None and item.n >= 2]
    if len(usable) < 2:
        raise DataError("splitting question and sampling variance needs two problems with two samples each: raise --n")
    p = np.array([mean for mean, _ in usable])
    n = np.array([count for _, count in usable], dtype=np.float64)
    within = p * (1.0 - p) * n / (n - 1.0)
    between = max(0.0, float(p.var(ddof=1)) - float((within / n).mean()))
    return float(p.mean()), math.sqrt(between), math.sqrt(float(within.mean()))


def delta_sd(a: Mapping[str, ItemLike], b: Mapping[str, ItemLike]) -> float:
    """Standard deviation over problems of the *true* difference of two models: what no number of samples removes.

    The spread of the differences less the sampling variance of both. Raises `DataError` as `components`.
    """
    pairs = [
        (left.mean, left.n, right.mean, right.n)
        for left, right in ((a[name], b[name]) for name in sorted(a.keys() & b.keys()))
        if left.mean is not None and right.mean is not None and left.n >= 2 and right.n >= 2
    ]
    if len(pairs) < 2:
        raise DataError("the spread of true differences needs two common problems with two samples in both runs")
    p, n, q, m = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    noise = p * (1.0 - p) / (n - 1.0) + q * (1.0 - q) / (m - 1.0)
    return math.sqrt(max(0.0, float((p - q).var(ddof=1)) - float(noise.mean())))
