"""The verdict: does the interval of the difference lie inside the region that passes, outside it, or across its edge?

The effect is the candidate's change for the better, averaged over problems. A test is a region of true effects that
are acceptable:

    noninferior  effect > -margin        superior  effect > margin        equivalent  |effect| < margin

With one-sided bounds L and U at level alpha: PASS if [L, U] lies inside the region, REGRESS if wholly outside, else
INCONCLUSIVE. So a candidate worse than the margin passes with probability at most alpha, and one within it is called a
regression with probability at most alpha: both errors are bounded everywhere, not only where the two are equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.compare import differences
from harness.errors import UsageError
from harness.gate.margin import Margin, parse_margin
from harness.gate.plan import Need, needs
from harness.gate.values import Side, Value
from harness.stats.bounded import lower_bound, shortfall_p
from harness.stats.errors import Array, cluster_sums
from harness.stats.multiple import holm

Test = Literal["noninferior", "superior", "equivalent"]
Outcome = Literal["pass", "regress", "inconclusive"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regress": 1, "inconclusive": 4}
_SAME = 1e-9  # as `harness.stats.paired`: 0.3 - 0.1 * 3 is a tie


@dataclass(frozen=True)
class Rule:
    """What passes."""

    margin: str | None = None
    """As written: "1pp", "0.01", "5%", "20tok"; None is the test's and the metric's default."""
    test: Test = "noninferior"
    alpha: float = 0.05
    """One-sided level of every bound."""
    power: float = 0.8
    """Chance of a decision that the plan of samples aims at."""
    max_missing: float = 0.02
    """Largest share of samples without a score, on either side, with which a verdict is given."""

    def __post_init__(self) -> None:
        for name, low, high in (("alpha", 0.0, 0.5), ("power", 0.0, 1.0)):
            if not low < getattr(self, name) < high:
                raise UsageError(f"{name} = {getattr(self, name)!r} is out of range: between {low:g} and {high:g}")
        if not 0.0 <= self.max_missing <= 1.0:
            raise UsageError(f"the tolerated share of missing samples is between 0 and 1, not {self.max_missing!r}")


@dataclass(frozen=True)
class Flip:
    """A problem on which the two sides differ."""

    problem_id: str
    baseline: float
    candidate: float
    effect: float
    """Positive: the candidate is better here."""
    baseline_answer: str
    candidate_answer: str


@dataclass(frozen=True)
class Pairs:
    """Both sides on their common problems, as effects: positive is better for the candidate."""

    baseline: Side
    candidate: Side
    common: tuple[str, ...]
    """Problems that both sides have a value for, sorted."""
    excluded: tuple[str, ...]
    """Problems asked of both that one of them has no value for."""
    effects: Array
    clusters: tuple[str, ...]
    worst: float
    """The lowest effect that a problem can have; the highest is its negative."""
    unit: float
    """What one unit of effect is in units of the metric: the baseline's mean under a relative margin, else 1."""

    def units(self, effects: Array, clusters: Sequence[str]) -> tuple[Array, Array]:
        """Total effect and number of problems of each independent unit."""
        return cluster_sums(effects, clusters), cluster_sums(np.ones_like(effects), clusters)


@dataclass(frozen=True)
class Verdict:
    """One suite, one metric."""

    baseline: Side
    candidate: Side
    margin: Margin
    rule: Rule
    outcome: Outcome
    effect: float
    """Mean change for the better, in units of the metric (or as a share of the baseline's mean: `margin.relative`)."""
    low: float
    high: float
    """One-sided bounds at `rule.alpha` each: together an interval of level 1 - 2 alpha."""
    region: tuple[float, float]
    """Effects that pass."""
    p_pass: float
    """p value of "the effect is not in the region"."""
    p_fail: float
    """p value of "it is", corrected by Holm over the suites of this gate."""
    baseline_mean: float
    candidate_mean: float
    n_problems: int
    n_units: int
    """Independent units: problems, or clusters of them."""
    wins: int
    losses: int
    excluded: tuple[str, ...]
    missing: float
    """Share of samples without a score, the larger one of the two sides."""
    flips: tuple[Flip, ...]
    """Losses first, biggest first."""
    reasons: tuple[str, ...]
    """Why it is inconclusive although the interval decides, or what decided."""
    notes: tuple[str, ...]
    needs: tuple[Need, ...]
    """What would decide an inconclusive verdict."""


def decide_all(sides: Sequence[tuple[Side, Side]], rule: Rule) -> list[Verdict]:
    """Verdicts of (baseline, candidate) pairs, one a suite, together.

    Passing needs no correction, since all must pass (an intersection-union test, Berger 1982); any one can fail, so
    the p values of failing are Holm's. Raises `UsageError` for sides that cannot be compared.
    """
    pairs = [pair(baseline, candidate, rule) for baseline, candidate in sides]
    margins = [_margin(item, rule) for item in pairs]
    fail = holm(
        [
            _p_fail(item.effects, item.clusters, item, _region(margin, rule))
            for item, margin in zip(pairs, margins, strict=True)
        ]
    )
    return [_verdict(item, margin, rule, p, len(pairs)) for item, margin, p in zip(pairs, margins, fail, strict=True)]


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """A regression anywhere is one; else all must pass."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return "regress" if "regress" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"


def pair(baseline: Side, candidate: Side, rule: Rule) -> Pairs:
    """Align two sides problem by problem; raises `UsageError` saying in what they differ."""
    found = differences(baseline, candidate)
    if baseline.suite != candidate.suite:
        found.append(f"one is of suite {baseline.suite}, the other of {candidate.suite}")
    if baseline.metric != candidate.metric:
        found.append(f"one stores {baseline.metric}, the other {candidate.metric}: name one with --metric")
    for key in sorted({*baseline.sampling, *candidate.sampling} - {"n", "seed"}):
        ours, theirs = baseline.sampling.get(key), candidate.sampling.get(key)
        if ours != theirs:
            found.append(f"they were sampled differently: {key} is {ours!r} and {theirs!r}")
    if found:
        raise UsageError(
            f"{baseline.run_id} and {candidate.run_id} cannot be held against each other: {'; '.join(found)}"
        )
    left, right = baseline.values, candidate.values
    asked = left.keys() | right.keys() if baseline.limit == candidate.limit else left.keys() & right.keys()
    common = sorted(key for key in left.keys() & right.keys() if _mean(left[key]) is not None is not _mean(right[key]))
    if not common:
        raise UsageError(f"{baseline.run_id} and {candidate.run_id} have no scored problem in common")
    sign = -1.0 if candidate.lower_is_better else 1.0
    means = np.array([(_mean(left[key]), _mean(right[key])) for key in common], dtype=np.float64)
    share = baseline.share and candidate.share
    unit, effects = 1.0, sign * (means[:, 1] - means[:, 0])
    worst = -1.0 if share else -float(np.abs(means).max())
    if parse_margin(rule.margin, baseline.metric, share=share, superior=rule.test == "superior").relative:
        unit = float(means[:, 0].mean())
        if unit <= 0.0:
            raise UsageError(f"a relative margin needs a baseline above 0; the mean {baseline.metric} is {unit:g}")
        # The ratio of means and its influence per problem (delta method), so that the baseline's own noise counts.
        ratio = float(effects.mean()) / unit
        effects, worst = ratio + (effects - ratio * means[:, 0]) / unit, worst / unit
    return Pairs(
        baseline=baseline,
        candidate=candidate,
        common=tuple(common),
        excluded=tuple(sorted(asked - set(common))),
        effects=np.where(np.abs(effects) < _SAME, 0.0, effects),
        clusters=tuple(left[key].cluster for key in common),
        worst=worst,
        unit=unit,
    )


def _mean(value: Value | None) -> float | None:
    return value.mean if value is not None and value.mean is not None and math.isfinite(value.mean) else None


def _margin(pairs: Pairs, rule: Rule) -> Margin:
    share = pairs.baseline.share and pairs.candidate.share
    return parse_margin(rule.margin, pairs.baseline.metric, share=share, superior=rule.test == "superior")


def _region(margin: Margin, rule: Rule) -> tuple[float, float]:
    if rule.test == "equivalent":
        return -margin.value, margin.value
    return (margin.value if rule.test == "superior" else -margin.value), math.inf


def _p_pass(effects: Array, clusters: Sequence[str], pairs: Pairs, region: tuple[float, float]) -> float:
    sums, sizes = pairs.units(effects, clusters)
    p = shortfall_p(sums, sizes, region[0], pairs.worst)
    return p if math.isinf(region[1]) else max(p, shortfall_p(-sums, sizes, -region[1], pairs.worst))


def _p_fail(effects: Array, clusters: Sequence[str], pairs: Pairs, region: tuple[float, float]) -> float:
    sums, sizes = pairs.units(effects, clusters)
    p = shortfall_p(-sums, sizes, -region[0], pairs.worst)
    return p if math.isinf(region[1]) else min(p, shortfall_p(sums, sizes, region[1], pairs.worst))


def _verdict(pairs: Pairs, margin: Margin, rule: Rule, p_fail: float, suites: int) -> Verdict:
    sums, sizes = pairs.units(pairs.effects, pairs.clusters)
    region = _region(margin, rule)
    p_pass = _p_pass(pairs.effects, pairs.clusters, pairs, region)
    outcome: Outcome = "pass" if p_pass <= rule.alpha else "regress" if p_fail <= rule.alpha else "inconclusive"
    missing = max(_missing(pairs.baseline, pairs), _missing(pairs.candidate, pairs))
    reasons = _doubts(pairs, rule, region, outcome, missing)
    means = [
        float(np.mean([_mean(side.values[key]) for key in pairs.common])) for side in (pairs.baseline, pairs.candidate)
    ]
    effect = float(pairs.effects.mean())
    low = lower_bound(sums, sizes, pairs.worst, rule.alpha)
    high = -lower_bound(-sums, sizes, pairs.worst, rule.alpha)
    if outcome == "inconclusive" and high < 0.0 and rule.test == "noninferior":
        reasons.append("the candidate is shown to be worse, but not by more than the margin")
    if outcome == "inconclusive" and high < region[0] and suites > 1:
        reasons.append(f"the interval lies beyond the margin, but not after Holm's correction for {suites} suites")
    flips = _flips(pairs)
    outcome = "inconclusive" if reasons else outcome
    return Verdict(
        baseline=pairs.baseline,
        candidate=pairs.candidate,
        margin=margin,
        rule=rule,
        outcome=outcome,
        effect=effect,
        low=low,
        high=high,
        region=region,
        p_pass=p_pass,
        p_fail=p_fail,
        baseline_mean=means[0],
        candidate_mean=means[1],
        n_problems=len(pairs.common),
        n_units=len(sums),
        wins=sum(flip.effect > 0 for flip in flips),
        losses=sum(flip.effect < 0 for flip in flips),
        excluded=pairs.excluded,
        missing=missing,
        flips=flips,
        reasons=tuple(reasons),
        notes=tuple(_notes(pairs, margin, means[0])),
        needs=needs(pairs, region, rule) if outcome == "inconclusive" else (),
    )


def _missing(side: Side, pairs: Pairs) -> float:
    """Share of samples without a score among the problems asked of both sides; an absent problem counts whole."""
    lost = total = 0
    for key in (*pairs.common, *pairs.excluded):
        value = side.values.get(key, Value(None, 0, max(1, side.n)))
        lost += value.missing
        total += value.n + value.missing
    return lost / total if total else 0.0


def _doubts(pairs: Pairs, rule: Rule, region: tuple[float, float], outcome: Outcome, missing: float) -> list[str]:
    """What keeps a verdict from being given although the interval decides."""
    found: list[str] = []
    if missing > rule.max_missing:
        found.append(
            f"{missing:.1%} of the samples have no score (allowed: {rule.max_missing:.1%}): "
            "run the same command again to retry failed ones, or `harness score` the run"
        )
    if outcome == "inconclusive" or not (pairs.baseline.share and pairs.candidate.share):
        return found
    passing = outcome == "pass"
    filled = _imputed(pairs, worst=passing)
    if filled is None:
        return found
    p = (_p_pass if passing else _p_fail)(*filled, pairs, region)
    if p > rule.alpha:
        how = "against" if passing else "in favour of"
        found.append(f"with every missing score counted {how} the candidate, it would not {outcome}")
    return found


def _imputed(pairs: Pairs, *, worst: bool) -> tuple[Array, tuple[str, ...]] | None:
    """Effects had every missing score been the worst (best) for the candidate; None if nothing is missing."""
    left, right, nothing = pairs.baseline.values, pairs.candidate.values, Value(None, 0, 1, 0.0, 1.0)
    gaps: list[float] = []
    clusters: list[str] = []
    changed = bool(pairs.excluded)
    down = worst is not pairs.candidate.lower_is_better  # True: the candidate's missing scores are lowest
    for key in (*pairs.common, *pairs.excluded):
        ours, theirs = right.get(key, nothing), left.get(key, nothing)
        mine, other = (ours.low, theirs.high) if down else (ours.high, theirs.low)
        mine = mine if mine is not None else (0.0 if down else 1.0)
        other = other if other is not None else (1.0 if down else 0.0)
        gaps.append(other - mine if pairs.candidate.lower_is_better else mine - other)
        clusters.append(right[key].cluster if key in right else left[key].cluster)
        changed = changed or ours.missing > 0 or theirs.missing > 0
    return (np.array(gaps), tuple(clusters)) if changed else None


def _flips(pairs: Pairs) -> tuple[Flip, ...]:
    sign = -1.0 if pairs.candidate.lower_is_better else 1.0
    found: list[Flip] = []
    for key in pairs.common:
        before, after = pairs.baseline.values[key], pairs.candidate.values[key]
        assert before.mean is not None and after.mean is not None
        effect = sign * (after.mean - before.mean)
        if abs(effect) <= _SAME:
            continue
        answers = (before.best, after.worst) if effect < 0 else (before.worst, after.best)
        found.append(Flip(key, before.mean, after.mean, effect, *answers))
    return tuple(sorted(found, key=lambda flip: (flip.effect > 0, -abs(flip.effect), flip.problem_id)))


def _notes(pairs: Pairs, margin: Margin, baseline_mean: float) -> list[str]:
    """What a reader must know although the comparison is allowed."""
    a, b = pairs.baseline, pairs.candidate
    notes: list[str] = []
    if a.run_id == b.run_id:
        notes.append("baseline and candidate are the same run: every difference is 0")
    if a.n != b.n:
        notes.append(f"samples per problem differ: {a.n} and {b.n}")
    if a.seed != b.seed:
        notes.append(f"seeds differ: {a.seed} and {b.seed}")
    if a.limit != b.limit:
        notes.append(f"problem limits differ ({a.limit} and {b.limit}): only common problems count")
    for name in sorted({*a.graders} & {*b.graders}):
        if a.graders[name] != b.graders[name]:
            notes.append(f"warning: grader {name} is {a.graders[name]} and {b.graders[name]}: `harness score` both")
    if a.share and not a.lower_is_better and margin.value >= baseline_mean:
        notes.append("warning: the margin is not below the baseline's own score, so nothing could regress")
    return notes
