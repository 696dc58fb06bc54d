"""Token counts, truncation, and the two token-reduction rates against a reference run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import DataError, UsageError
from harness.metrics.attempts import Attempts
from harness.stats.distributions import t_quantile
from harness.stats.standard_errors import Array, cluster_sums, mean_interval
from harness.types import STATUSES, Estimate, Graded, Metric

_NAMED = 5  # problems named in an error message


def tokens_out(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Generated tokens per sample, reasoning included: mean over problems of the mean over samples.

    Samples whose engine gave no count are left out. Raises `DataError` if none has one.
    """
    attempts = Attempts.of(graded)
    values = np.array([np.nan if r.tokens_out is None else r.tokens_out for r in attempts.rows], dtype=np.float64)
    if np.isnan(values).all():
        raise DataError("no sample has a count of generated tokens: this engine does not report them")
    return attempts.average(values, np.isnan(values), share=False)


def truncated(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of replies that were cut by the token limit; replies that never came make the bounds."""
    attempts = Attempts.of(graded)
    lost = np.array([row.score.status == "error" for row in attempts.rows], dtype=bool)
    cut = np.array([float(row.score.status == "truncated") for row in attempts.rows])
    return attempts.average(np.where(lost, np.nan, cut), lost)


TOKENS_OUT = Metric("tokens_out", tokens_out, unit="tok", lower_is_better=True)
TRUNCATED = Metric("truncated", truncated, lower_is_better=True)


@dataclass(frozen=True)
class TokenReduction:
    """How much shorter a run's replies are than a reference run's; in percent, negative if they are longer."""

    atr: Estimate
    """Mean over problems of each problem's reduction (ThinkAnswer, EMNLP 2025 Findings, A.24)."""
    otr: Estimate
    """Reduction of the totals (A.25): long replies weigh more, so OTR > ATR means that these were cut most."""


def token_reduction(run: Sequence[Graded], reference: Sequence[Graded]) -> TokenReduction:
    """Token reduction of `run` against `reference`, paired by problem on the mean tokens per sample.

    Both must have been counted by one tokenizer. A problem that one of them has no count of, or on which the reference
    has zero tokens, has no reduction: it is left out, as `n_problems` says. Raises `UsageError` naming the problems
    that only one run has, and `DataError` if no problem is left.
    """
    short, long = Attempts.of(run), Attempts.of(reference)
    unpaired = sorted(set(short.problems) ^ set(long.problems))
    if unpaired:
        more = f" and {len(unpaired) - _NAMED} more" if len(unpaired) > _NAMED else ""
        raise UsageError(
            "token reduction compares the same problems; only one of the runs has "
            f"{', '.join(unpaired[:_NAMED])}{more}: run both with the same --limit and let both finish"
        )
    ours, theirs = _tokens(short), _tokens(long)
    counted = ~(np.isnan(ours) | np.isnan(theirs))
    keep = np.flatnonzero(counted & (theirs != 0.0))
    if len(keep) == 0:
        raise DataError("no problem has a token count in both runs, so there is no token reduction")
    clusters = [short.clusters[i] for i in keep]
    samples = int(short.count(_has_tokens(short))[keep].sum())
    status = Counter(row.score.status for row in run)
    counts: dict[str, int] = {name: status[name] for name in STATUSES}
    mean = mean_interval(100.0 * (theirs[keep] - ours[keep]) / theirs[keep], clusters, share=False)
    value, se, half = _ratio(ours[keep], theirs[keep], clusters)
    return TokenReduction(
        atr=mean.estimate(samples, counts),
        otr=Estimate(value, value - half, value + half, se, len(keep), samples, counts),
    )


def _has_tokens(attempts: Attempts) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([row.tokens_out is not None for row in attempts.rows], dtype=bool)


def _tokens(attempts: Attempts) -> Array:
    """Mean tokens per sample of each problem, NaN where no sample has a count."""
    present = _has_tokens(attempts)
    totals = attempts.total(np.array([row.tokens_out or 0 for row in attempts.rows], dtype=np.float64))
    counts = attempts.count(present)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Array = np.where(counts > 0, totals / counts, np.nan)
    return means


def _ratio(ours: Array, theirs: Array, clusters: Sequence[str]) -> tuple[float, float, float]:
    """Reduction of the totals in percent, its standard error (delta method, clustered), half the 95 % interval."""
    ratio = float(ours.sum() / theirs.sum())
    sums = cluster_sums(ours - ratio * theirs, clusters)
    count = len(sums)
    if count < 2:
        return 100.0 * (1.0 - ratio), 0.0, math.inf
    se = 100.0 * math.sqrt(float(sums @ sums) * count / (count - 1)) / float(theirs.sum())
    return 100.0 * (1.0 - ratio), se, t_quantile(count - 1) * se
