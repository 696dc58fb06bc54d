"""pass@k in both definitions of the literature, majority vote, and what each gains over a single sample.

A problem enters with its *scored* samples if there are at least k of them; with fewer it is missing: left out of the
value, seen in `n_problems`, and covered by the bounds. Fewer than k attempts made at all is a usage error: no metric
here ever turns a lack of samples into a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.metrics.attempts import Attempts
from harness.stats.paired import paired_differences
from harness.stats.standard_errors import Array
from harness.types import Estimate, Graded, Metric


def unbiased(n: npt.NDArray[np.intp], c: Array, k: int) -> Array:
    """1 - C(n - c, k) / C(n, k) per problem, NaN where n < k (Chen et al. 2021, arXiv 2107.03374, eq. 1).

    n samples, c of them right, shapes [problems]. The product form: no factorial, no overflow, exact 1 if n - c < k.
    """
    missed = np.ones(len(n), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(k):
            missed *= np.clip((n - c - i) / (n - i), 0.0, None)
    return np.where(n >= k, 1.0 - missed, np.nan)


def pass_at_k(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Chance that at least one of k samples is right, unbiased from n >= k samples (Chen et al. 2021).

    Raises `UsageError` for a score that is neither 0 nor 1, for no k, or for a problem with fewer than k attempts.
    """
    attempts, k = _open(graded, k, "pass@k")
    right = attempts.total(np.nan_to_num(attempts.values))
    lost = attempts.count(np.isnan(attempts.values))
    values = unbiased(attempts.sizes - lost, right, k)
    bounds = None
    if lost.any():
        bounds = (unbiased(attempts.sizes, right, k), unbiased(attempts.sizes, right + lost, k))
    return attempts.estimate(values, _entered(attempts, values), bounds)


def pass_first_k(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Is any of the first k samples, in order of attempt, right? The definition of papers that draw exactly k (RLKD).

    Noisier than `pass_at_k` and equal in expectation. Unscored samples are skipped in the order. Raises as `pass_at_k`.
    """
    attempts, k = _open(graded, k, "pass_first@k")
    scored = ~np.isnan(attempts.values)
    filled = np.nan_to_num(attempts.values)
    first = scored & (attempts.rank(scored) < k)
    values = np.where(
        attempts.count(scored) >= k, np.minimum(attempts.total(np.where(first, filled, 0.0)), 1.0), np.nan
    )
    bounds = None
    if not scored.all():
        head = attempts.rank(np.ones_like(scored)) < k
        bounds = (
            np.minimum(attempts.total(np.where(head, filled, 0.0)), 1.0),
            np.minimum(attempts.total(np.where(head, np.where(scored, filled, 1.0), 0.0)), 1.0),
        )
    return attempts.estimate(values, k * int((~np.isnan(values)).sum()), bounds)


def maj_at_k(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Is the most frequent answer of the first k scored samples right? (self-consistency, arXiv 2203.11171)

    A tie goes to the answer given earliest. Samples without an answer, or cut, take a place among the k but have no
    vote; a problem without any vote is wrong. Bounds: the missing samples all vote for the strongest wrong, or the
    strongest right, answer. Raises as `pass_at_k`.
    """
    attempts, k = _open(graded, k, "maj@k")
    values, low, high = _majorities(attempts, k)
    missing = bool(np.isnan(attempts.values).any())
    return attempts.estimate(values, k * int((~np.isnan(values)).sum()), (low, high) if missing else None)


def pass_gap_k(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """pass@k - pass@1: what the best of k samples adds to a single one, from the differences on each problem.

    0 where samples of a problem are all right or all wrong; a model that lost its diversity loses this gap first. The
    interval is that of a paired difference (`harness.stats.paired`), since both come from the same samples. No bounds.
    Raises as `pass_at_k`.
    """
    attempts, k = _open(graded, k, "pass_gap@k")
    right = attempts.total(np.nan_to_num(attempts.values))
    scored = attempts.count(~np.isnan(attempts.values))
    values = unbiased(scored, right, k) - unbiased(scored, right, 1)
    estimate = _gap(attempts, values, _entered(attempts, values))
    return replace(estimate, low=max(0.0, estimate.low))


def maj_gap_k(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """maj@k - avg@n: what a vote over the first k scored samples adds to a single sample; may be negative.

    From the differences on each problem, with the interval of a paired difference. No bounds. Raises as `maj_at_k`.
    """
    attempts, k = _open(graded, k, "maj_gap@k")
    scored = attempts.count(~np.isnan(attempts.values))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = attempts.total(np.nan_to_num(attempts.values)) / scored
    values = _majorities(attempts, k)[0] - mean
    return _gap(attempts, values, _entered(attempts, values))


def _gap(attempts: Attempts, values: Array, samples: int) -> Estimate:
    """The mean of differences per problem (NaN: missing) with the interval of a paired difference."""
    estimate = attempts.estimate(values, samples, share=False)
    known = ~np.isnan(values)
    clusters = [cluster for cluster, keep in zip(attempts.clusters, known, strict=True) if keep]
    outcome = paired_differences(values[known], clusters, mcnemar=False)
    return replace(estimate, low=min(outcome.low, estimate.value), high=max(outcome.high, estimate.value))


def _open(graded: Sequence[Graded], k: int | None, metric: str) -> tuple[Attempts, int]:
    if k is None:
        raise UsageError(f"{metric} needs a number for k: write {metric.replace('k', '8')!r}")
    attempts = Attempts.of(graded)
    attempts.require(k, metric)
    strange = np.flatnonzero(~np.isnan(attempts.values) & (attempts.values != 0.0) & (attempts.values != 1.0))
    if len(strange) > 0:
        row = attempts.rows[strange[0]]
        raise UsageError(
            f"{metric} counts samples that are right or wrong; problem {row.problem_id!r} has the score "
            f"{row.score.value}: use avg@n for partial credit"
        )
    return attempts, k


def _entered(attempts: Attempts, values: Array) -> int:
    """Scored samples of the problems that have a value."""
    return int(attempts.count(~np.isnan(attempts.values))[~np.isnan(values)].sum())


def _majorities(attempts: Attempts, k: int) -> tuple[Array, Array, Array]:
    """Per problem: is the majority of the first k scored samples right (NaN: too few), and what it could have been."""
    size = len(attempts.problems)
    values = np.full(size, np.nan)
    low, high = np.empty(size), np.empty(size)
    ends = np.cumsum(attempts.sizes)
    for i, (start, end) in enumerate(zip(ends - attempts.sizes, ends, strict=True)):
        rows = attempts.rows[start:end]
        scored = [row for row in rows if row.score.value is not None]
        if len(scored) >= k:
            values[i] = _majority(scored[:k])
        low[i], high[i] = _majority_bounds(rows[:k])
    return values, low, high


def _votes(rows: Sequence[Graded]) -> tuple[dict[str, int], dict[str, float]]:
    """Answer -> votes in order of first appearance, and answer -> its score."""
    votes: dict[str, int] = {}
    worth: dict[str, float] = {}
    for row in rows:
        score = row.score
        if score.status == "scored" and score.answer is not None and score.value is not None:
            votes[score.answer] = votes.get(score.answer, 0) + 1
            worth.setdefault(score.answer, score.value)
    return votes, worth


def _majority(rows: Sequence[Graded]) -> float:
    votes, worth = _votes(rows)
    if not votes:
        return 0.0
    return worth[max(votes, key=votes.__getitem__)]  # max keeps the first of equals, and the dict is in order


def _majority_bounds(rows: Sequence[Graded]) -> tuple[float, float]:
    lost = sum(row.score.value is None for row in rows)
    if lost == 0:
        settled = _majority(rows)
        return settled, settled
    votes, worth = _votes(rows)
    right = max((count for answer, count in votes.items() if worth[answer] == 1.0), default=0)
    wrong = max((count for answer, count in votes.items() if worth[answer] == 0.0), default=0)
    return float(right > wrong + lost), float(right + lost >= wrong)


PASS_AT_K = Metric("pass@k", pass_at_k)
PASS_FIRST_K = Metric("pass_first@k", pass_first_k)
MAJ_AT_K = Metric("maj@k", maj_at_k)
PASS_GAP_K = Metric("pass_gap@k", pass_gap_k, unit="pp")
MAJ_GAP_K = Metric("maj_gap@k", maj_gap_k, unit="pp")
