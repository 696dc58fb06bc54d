"""A method's score over training seeds: its interval, its difference to another method, where the noise comes from.

A method is trained with S seeds; each model answers the same N problems, J times each. Problems and seeds are crossed:

    score_psj = mean + P_p + S_s + (PS)_ps + e_psj

all four random: other problems, other seeds, other samples could have been drawn. The components are those of the
crossed random-effects analysis of variance (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4): mean
squares, each less the one below it, unbiased. The mean's variance is V_P + (V_S - V_PS), where V_P comes from the
spread of the problems' means, V_S from that of the seeds' means, and V_PS is the interaction and noise in both.

With three seeds V_S has two degrees of freedom, and one t quantile at Satterthwaite's (1946) degrees of freedom covers
too little where seeds dominate: it is narrow exactly when V_S happens to come out small. So each part has its own
quantile and the squares are added, half^2 = t_{C-1}^2 V_P + t_{S-1}^2 (V_S - V_PS): Banerjee (1960, Sankhya 22,
357-358). With one seed, everything here is what `harness.stats` says of one run. Coverage: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.errors import DataError
from harness.stats.distributions import t_quantile
from harness.stats.multiple import Decision, decide, disagreement
from harness.stats.paired import paired_differences
from harness.stats.standard_errors import Array, cluster_sums, clustered_se, effective_n, mean_interval, wilson

NoiseSource = Literal["training seed", "question", "seed x question", "sampling"]
SOURCES: tuple[NoiseSource, ...] = ("training seed", "question", "seed x question", "sampling")
_ROUNDING = 1e-15
"""Differences of equal mean squares come out this far from 0."""


@dataclass(frozen=True)
class Cells:
    """Scores of one method, or differences of two, laid out by problem and training seed."""

    values_PS: Array
    """Mean over samples, shape [problems, seeds]; no NaN."""
    noise_PS: Array | None = None
    """Sampling variance of each of these means, NaN where one sample cannot tell; None: unknown everywhere."""
    clusters: Sequence[str] = ()
    """Problems with the same non-empty name are correlated; empty: none are."""
    fixed: bool = False
    """True for a model that was not trained here: its one column is no draw of a seed."""
    noise_P: Array | None = None
    """Sampling variance that all seeds of a problem share: that of a fixed model they are held against."""
    deterministic: bool = False
    """True where a model always gives the same answer: there is no sampling variance to be told apart."""


@dataclass(frozen=True, slots=True)
class Component:
    """What one or several sources of noise contribute."""

    sources: tuple[NoiseSource, ...]
    """Several where these data cannot tell them apart."""
    se: float
    """Standard error of the mean that is due to them alone."""
    negative: bool = False
    """True if the estimate of the variance came out below 0, so that 0 stands here."""


@dataclass(frozen=True)
class Seeded:
    """A mean over problems and training seeds, or a difference of two."""

    value: float
    low: float
    """95 % interval over other problems, seeds and samples."""
    high: float
    se: float
    n_problems: int
    n_seeds: int
    components: tuple[Component, ...] = ()
    p: float | None = None
    """Of a difference: two-sided p value of "the two are equal"."""
    notes: tuple[str, ...] = ()
    p_holm: float = 1.0
    """p of a difference after Holm over all that are shown together."""

    @property
    def decision(self) -> Decision:
        """Whether a difference is shown to be above or below 0."""
        return decide(self.value, self.p_holm)

    @property
    def why(self) -> str:
        """Why that is not what the interval looks like, or an empty text."""
        return disagreement(self.low, self.high, self.p, self.p_holm)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Variances of the grand mean, and their degrees of freedom."""

    problems: float
    """V_P: from the problems' means; holds question, interaction and sampling."""
    seeds: float
    """V_S: from the seeds' means; holds seed, interaction and sampling. 0 with one seed."""
    interaction: float
    """V_PS: what both of them hold. 0 with one seed."""
    df_problems: int
    df_seeds: int

    @property
    def seed_only(self) -> float:
        """What training seeds add to V_P; not below 0."""
        return max(0.0, self.seeds - self.interaction)


def seeded_mean(cells: Cells, *, share: bool = True) -> Seeded:
    """Mean of a method with its 95 % interval. `share` says that values lie in [0, 1].

    Raises `DataError` without problems. With one seed the interval is that of `mean_interval`.
    """
    _check(cells)
    parts = _parts(cells)
    means_P = cells.values_PS.mean(axis=1)
    base = mean_interval(means_P, cells.clusters or None, share=share)
    low, high, extra = base.low, base.high, parts.seed_only
    if extra > 0.0 and share and 0.0 < base.value < 1.0:
        # Wilson's interval needs only critical^2 / n: the sum of both parts' takes the place of one.
        worth = effective_n(means_P, base.se, cells.clusters or None)
        spread = base.value * (1.0 - base.value)
        ratio = t_quantile(max(parts.df_problems, 1)) ** 2 / worth + t_quantile(parts.df_seeds) ** 2 * extra / spread
        low, high = wilson(base.value, 1.0, math.sqrt(ratio))
    elif extra > 0.0:
        low, high = _wider(base.value, low, high, parts)
    components, notes = split(cells)
    se = math.sqrt(parts.problems + extra)
    return Seeded(base.value, low, high, se, base.n_problems, cells.values_PS.shape[1], components, notes=notes)


def seeded_difference(a: Cells, b: Cells, *, share: bool = True, single: bool = False) -> Seeded:
    """Method `a` minus method `b`, paired by problem and by seed; both hold the same problems in the same order.

    A fixed model is held against every seed of the other. `single` says that every value is one right-or-wrong answer.
    p is the larger of what the problems alone allow (`paired_differences`, exact where few differ) and what problems
    and seeds together do. Raises `DataError` if the two cannot be paired.
    """
    cells = difference_cells(a, b)
    _check(cells)
    parts = _parts(cells)
    gaps_P = cells.values_PS.mean(axis=1)
    base = paired_differences(gaps_P, cells.clusters, mcnemar=single and cells.values_PS.shape[1] == 1)
    low, high = _wider(base.diff, base.low, base.high, parts)
    low, high = (max(-1.0, low), min(1.0, high)) if share else (low, high)
    p = max(base.p, _p(base.diff, parts)) if parts.seed_only > 0.0 else base.p
    components, notes = split(cells)
    se = math.sqrt(parts.problems + parts.seed_only)
    return Seeded(base.diff, low, high, se, base.n_problems, cells.values_PS.shape[1], components, p, notes)


def difference_cells(a: Cells, b: Cells) -> Cells:
    """The differences as cells of their own. Raises `DataError` unless problems agree, and seeds or one is fixed."""
    shape_a, shape_b = a.values_PS.shape, b.values_PS.shape
    if shape_a[0] != shape_b[0] or (shape_a[1] != shape_b[1] and not (a.fixed or b.fixed)):
        raise DataError(f"scores of shapes {shape_a} and {shape_b} cannot be paired by problem and seed")
    noise_PS, noise_P = None, None
    if a.noise_PS is not None and b.noise_PS is not None:
        if a.fixed == b.fixed:
            noise_PS = a.noise_PS + b.noise_PS
        else:
            fixed, trained = (a, b) if a.fixed else (b, a)
            assert fixed.noise_PS is not None
            noise_PS, noise_P = trained.noise_PS, fixed.noise_PS[:, 0]
    return Cells(
        a.values_PS - b.values_PS,
        noise_PS,
        a.clusters,
        fixed=a.fixed and b.fixed,
        noise_P=noise_P,
        deterministic=a.deterministic and b.deterministic,
    )


def split(cells: Cells) -> tuple[tuple[Component, ...], tuple[str, ...]]:
    """Standard errors that each source contributes to the mean, and notes on what cannot be told apart.

    The squares of the components add up to the mean's squared error, unless one came out negative and was set to 0.
    """
    _check(cells)
    parts = _parts(cells)
    sampling, shared = _sampling(cells)
    several = cells.values_PS.shape[1] > 1
    rest: tuple[str, ...]
    found: list[Component] = []
    notes: list[str] = []
    if several:
        found.append(_component(("training seed",), parts.seeds - parts.interaction))
        found.append(_component(("question",), parts.problems - parts.interaction - shared))
        below, rest = parts.interaction, ("seed x question",)
    else:
        if not cells.fixed:
            notes.append("one training seed: what another seed would give is not in the interval")
        below, rest = parts.problems - shared, ("question",) if cells.fixed else ("question", "seed x question")
    if sampling is not None:
        found.append(_component(rest, below - sampling))
        found.append(_component(("sampling",), sampling + shared))
    elif cells.deterministic:
        found.append(_component(rest, below))
    else:
        found.append(_component((*rest, "sampling"), below))
        notes.append(f"one sample a problem: {' and '.join(rest)} cannot be told from sampling; raise --n")
    notes += [
        f"the variance of {' + '.join(c.sources)} came out below 0 and is shown as 0" for c in found if c.negative
    ]
    return tuple(found), tuple(notes)


def _component(sources: tuple[str, ...], variance: float) -> Component:
    names = tuple(source for source in SOURCES if source in sources)
    return Component(names, math.sqrt(max(0.0, variance)), negative=variance < -_ROUNDING)


def _check(cells: Cells) -> None:
    if cells.values_PS.ndim != 2 or 0 in cells.values_PS.shape:
        raise DataError("there is nothing to average: no problem has a value for every seed")
    if np.isnan(cells.values_PS).any():
        raise DataError("a problem has no value for one of the seeds: leave it out first")


def _parts(cells: Cells) -> _Parts:
    """V_P, V_S and V_PS, cluster-robust where problems share a cluster; plain mean squares over N S where none do."""
    y_PS = cells.values_PS
    n_problems, n_seeds = y_PS.shape
    clusters = cells.clusters if any(cells.clusters) else None
    se, units = clustered_se(y_PS.mean(axis=1), clusters)
    if n_seeds < 2:
        return _Parts(se * se, 0.0, 0.0, units - 1, 0)
    seeds_S = y_PS.mean(axis=0)
    residuals_PS = y_PS - y_PS.mean(axis=1, keepdims=True) - seeds_S + y_PS.mean()
    squares = sum(float(sums @ sums) for sums in (cluster_sums(column, clusters) for column in residuals_PS.T))
    correction = units / (units - 1) * n_seeds / (n_seeds - 1) if units > 1 else 0.0
    return _Parts(
        problems=se * se,
        seeds=float(seeds_S.var(ddof=1)) / n_seeds,
        interaction=squares * correction / (n_problems * n_seeds) ** 2,
        df_problems=units - 1,
        df_seeds=n_seeds - 1,
    )


def _sampling(cells: Cells) -> tuple[float | None, float]:
    """Sampling variance of the grand mean: of the cells (None if unknown), and of the fixed model they share."""
    shared = 0.0
    if cells.noise_P is not None and not np.isnan(cells.noise_P).all():
        shared = float(np.nanmean(cells.noise_P)) / len(cells.noise_P)
    if cells.noise_PS is None or np.isnan(cells.noise_PS).all():
        return None, shared
    return float(np.nanmean(cells.noise_PS)) / cells.values_PS.size, shared


def _wider(value: float, low: float, high: float, parts: _Parts) -> tuple[float, float]:
    """An interval over problems, widened on both sides by the seeds' part."""
    if parts.seed_only <= 0.0:
        return low, high
    more = t_quantile(parts.df_seeds) ** 2 * parts.seed_only
    return value - math.sqrt((value - low) ** 2 + more), value + math.sqrt((high - value) ** 2 + more)


def _p(value: float, parts: _Parts) -> float:
    """The p at which an interval of level 1 - p just touches 0; by bisection, to 1e-4 of its size."""
    if parts.df_problems < 1:
        return 1.0
    low, high = 1e-12, 1.0
    while high > low * 1.0001:
        middle = math.sqrt(low * high)
        half2 = t_quantile(parts.df_problems, 1.0 - middle) ** 2 * parts.problems
        half2 += t_quantile(parts.df_seeds, 1.0 - middle) ** 2 * parts.seed_only
        low, high = (middle, high) if half2 > value * value else (low, middle)
    return min(1.0, high)
