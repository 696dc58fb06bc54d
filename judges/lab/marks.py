"""Dimensions of a rubric of kind "points": does the judge give the same level again, and do better answers get more?

Reliability is Krippendorff's alpha over repeats (another sample of the same question), with levels as numbers;
discrimination is how much higher the labelled answer is rated than the rejected one. A dimension that is not reliable
cannot discriminate, and one that gives every answer the same level does neither, however often it repeats itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.stats.agreement import krippendorff_alpha
from harness.stats.standard_errors import cluster_codes
from harness.types import Estimate
from judges.lab.label_agreement import difference, share
from judges.lab.votes import PairVotes, Side
from judges.types import Judgment, Order, Verdict

RESAMPLES = 1000
TOTAL = "total"
"""Name of the row for the whole verdict, in every kind of rubric."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DimensionReport:
    """One dimension (or the total) of a rubric."""

    key: str
    mean: float
    """Mean level (1-5) of all readable verdicts; of the total: mean value times 100."""
    sd: float
    """Standard deviation over answers: 0 says that the dimension tells nothing apart."""
    reliability: Estimate | None
    """Krippendorff's alpha over repeats; None with one repeat, or where everything has the same level."""
    gap: Estimate | None
    """Mean level of the labelled answer minus that of the rejected one, paired."""
    auc: Estimate | None
    """Share of pairs in which the labelled answer has the higher level, equal levels 1/2: 0.5 is chance."""


def dimension_reports(outcomes: Sequence[PairVotes], seed: int = 0) -> list[DimensionReport]:
    """Every dimension that occurs, in order of the rubric, and the total; only the total of rubrics without any.

    Of a pairwise rubric only the reliability of the total means anything, and it needs repeats.
    """
    keys = [TOTAL]
    for judgment in judgments_of(outcomes):
        if judgment.verdict is not None and judgment.verdict.marks:
            keys = [mark.dimension for mark in judgment.verdict.marks] + keys
            break
    return [report for key in keys if (report := _report(key, outcomes, seed)) is not None]


def judgments_of(outcomes: Iterable[PairVotes]) -> Iterable[Judgment]:
    """Every judgment behind the outcomes."""
    for outcome in outcomes:
        for side in outcome.judgments.values():
            yield from side


def _level(verdict: Verdict, order: Order, key: str) -> float | None:
    if key != TOTAL:
        return next((float(mark.level) for mark in verdict.marks if mark.dimension == key), None)
    # A preference is taken for the answer shown first: which one is called `a` is the file's choice, and were it always
    # the better one, all values would be alike and nothing would be left to be reliable about.
    return 100.0 * (1.0 - verdict.value if order == "opponent_first" else verdict.value)


def _levels(judgments: Iterable[Judgment], key: str) -> list[float]:
    found = (_level(one.verdict, one.order, key) for one in judgments if one.verdict is not None)
    return [level for level in found if level is not None]


def _report(key: str, outcomes: Sequence[PairVotes], seed: int) -> DimensionReport | None:
    units: list[list[float]] = []
    clusters: list[str] = []
    for outcome in outcomes:
        for side in outcome.judgments.values():
            for _, group in itertools.groupby(sorted(side, key=lambda j: j.order), key=lambda j: j.order):
                units.append(_levels(group, key))
                clusters.append(outcome.pair.cluster or f"\0{outcome.pair.id}")
    means = [math.fsum(unit) / len(unit) for unit in units if unit]
    if not means:
        return None
    repeated = reliability(units, clusters, seed)
    alone = any("b" in outcome.judgments for outcome in outcomes)
    if not alone and repeated is None:
        return None

    def higher(outcome: PairVotes) -> float | None:
        gap = _gap(outcome, key)
        return None if gap is None else 0.5 if abs(gap) < 1e-9 else float(gap > 0)

    return DimensionReport(
        key=key,
        mean=math.fsum(means) / len(means),
        sd=float(np.std(means)),
        reliability=repeated,
        gap=difference(outcomes, lambda outcome: _gap(outcome, key)) if alone else None,
        auc=share([one for one in outcomes if _gap(one, key) is not None], higher) if alone else None,
    )


def _gap(outcome: PairVotes, key: str) -> float | None:
    """Level of the labelled answer minus that of the other; None without a winner or without both."""
    if outcome.pair.label == "tie":
        return None
    better: Side = outcome.pair.label
    worse: Side = "b" if better == "a" else "a"
    high, low = (_levels(outcome.judgments.get(side, ()), key) for side in (better, worse))
    return math.fsum(high) / len(high) - math.fsum(low) / len(low) if high and low else None


def reliability(units: Sequence[Sequence[float]], clusters: Sequence[str], seed: int = 0) -> Estimate | None:
    """Krippendorff's alpha with the interval metric, and its bootstrap interval over clusters.

    `units` are the repeated values of one question to the judge each; units with fewer than two values say nothing.
    None if there are no others, or if all values are equal (alpha is then undefined, not perfect).
    """
    kept = [
        (np.array(unit, dtype=np.float64), cluster)
        for unit, cluster in zip(units, clusters, strict=True)
        if len(unit) >= 2
    ]
    if not kept:
        return None
    codes, count = cluster_codes([cluster for _, cluster in kept])
    sums = np.zeros((count, 4))  # values, their sum, sum of squares, and within-unit disagreement
    for code, (values, _) in zip(codes, kept, strict=True):
        m = len(values)
        within = 2 * m * float(((values - values.mean()) ** 2).sum()) / (m - 1)
        sums[code] += (m, values.sum(), (values**2).sum(), within)
    repeats = max(len(values) for values, _ in kept)
    value = krippendorff_alpha([[*values, *[None] * (repeats - len(values))] for values, _ in kept], "interval")
    if value is None:
        return None
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    drawn = _alpha(weights @ sums)
    drawn = drawn[~np.isnan(drawn)]
    low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
    if value == 1.0:  # nothing to resample: were this share of the questions answered by chance, none might have shown
        low = 0.025 ** (1 / count)
    return Estimate(value, low, high, float(np.std(drawn)), len(kept), int(sums[:, 0].sum()))


def _alpha(sums: Array) -> Array:
    """`krippendorff_alpha` for each row of (n, sum, sum of squares, within): a thousand resamples in one go."""
    n, total, squares, within = sums.T
    expected = 2 * (n * squares - total**2) / (n * (n - 1))
    flat = expected <= 1e-9 * np.maximum(squares / n, 1e-300)
    result: Array = np.where(flat, np.nan, 1 - (within / n) / np.where(flat, 1.0, expected))
    return result
