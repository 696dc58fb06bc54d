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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from harness.compare import Flip
from harness.gate.needs import Need, needs
from harness.gate.pairs import MOST_CUT, SAME, Margin, Pairs, Rule, mean_of, pair
from harness.gate.values import Side, Value
from harness.metrics import described
from harness.run.directions import doubt
from harness.stats.bounded import lower_bound, shortfall_p
from harness.stats.multiple import holm
from harness.stats.standard_errors import Array

Outcome = Literal["pass", "regress", "inconclusive"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regress": 1, "inconclusive": 4}


@dataclass(frozen=True)
class GateVerdict:
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
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Role -> options of its engine, of a side that was named as a model; what a stored side had is not known."""
    folders: tuple[str, ...] = ()
    """`--data-dir` and `--results-dir` where they are not the usual ones: what a printed command repeats."""

    @property
    def unit(self) -> tuple[float, str]:
        """(factor, name) of its own unit: points of a share, percent of the baseline, or the metric's own."""
        if self.margin.relative:
            return 100.0, "%"
        if self.baseline.share and self.candidate.share:
            return 100.0, "pp"
        return 1.0, described(self.baseline.metric).own_unit

    def amount(self, value: float, *, sign: bool = True) -> str:
        """A number in its own unit: "+1.2 pp", "-3.0 %" of the baseline, "+20.0 tok"."""
        scale, unit = self.unit
        return f"{scale * value:+.1f} {unit}".rstrip() if sign else f"{scale * value:.3g} {unit}".rstrip()


def decide_all(sides: Sequence[tuple[Side, Side]], rule: Rule) -> list[GateVerdict]:
    """Verdicts of (baseline, candidate) pairs, one a suite, together.

    Passing needs no correction, since all must pass (an intersection-union test, Berger 1982); any one can fail, so
    the p values of failing are Holm's. Raises `UsageError` for sides that cannot be compared.
    """
    pairs = [pair(baseline, candidate, rule) for baseline, candidate in sides]
    fail = holm([_p_fail(item.effects, item.clusters, item) for item in pairs])
    return [_verdict(item, rule, p, len(pairs)) for item, p in zip(pairs, fail, strict=True)]


def overall(verdicts: Sequence[GateVerdict]) -> Outcome:
    """A regression anywhere is one; else all must pass."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return "regress" if "regress" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"


def _p_pass(effects: Array, clusters: Sequence[str], pairs: Pairs) -> float:
    (sums, sizes), region = pairs.units(effects, clusters), pairs.region
    p = shortfall_p(sums, sizes, region[0], pairs.worst)
    return p if math.isinf(region[1]) else max(p, shortfall_p(-sums, sizes, -region[1], pairs.worst))


def _p_fail(effects: Array, clusters: Sequence[str], pairs: Pairs) -> float:
    (sums, sizes), region = pairs.units(effects, clusters), pairs.region
    p = shortfall_p(-sums, sizes, -region[0], pairs.worst)
    return p if math.isinf(region[1]) else min(p, shortfall_p(sums, sizes, region[1], pairs.worst))


def _verdict(pairs: Pairs, rule: Rule, p_fail: float, suites: int) -> GateVerdict:
    sums, sizes = pairs.units(pairs.effects, pairs.clusters)
    p_pass = _p_pass(pairs.effects, pairs.clusters, pairs)
    outcome: Outcome = "pass" if p_pass <= rule.alpha else "regress" if p_fail <= rule.alpha else "inconclusive"
    missing = max(_missing(pairs.baseline, pairs), _missing(pairs.candidate, pairs))
    reasons = _doubts(pairs, rule, outcome, missing)
    means = [
        float(np.mean([mean_of(side.values[key]) for key in pairs.common]))
        for side in (pairs.baseline, pairs.candidate)
    ]
    effect = float(pairs.effects.mean())
    low = lower_bound(sums, sizes, pairs.worst, rule.alpha)
    high = -lower_bound(-sums, sizes, pairs.worst, rule.alpha)
    if outcome == "inconclusive" and high < 0.0 and rule.test == "noninferior":
        reasons.append("the candidate is shown to be worse, but not by more than the margin")
    if outcome == "inconclusive" and high < pairs.region[0] and suites > 1:
        reasons.append(f"the interval lies beyond the margin, but not after Holm's correction for {suites} suites")
    flips = _flips(pairs)
    undecided = outcome == "inconclusive"  # by the interval: more data do not mend the other reasons
    outcome = "inconclusive" if reasons else outcome
    return GateVerdict(
        baseline=pairs.baseline,
        candidate=pairs.candidate,
        margin=pairs.margin,
        rule=rule,
        outcome=outcome,
        effect=effect,
        low=low,
        high=high,
        region=pairs.region,
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
        notes=tuple(_notes(pairs, means[0])),
        needs=needs(pairs, rule) if undecided else (),
    )


def _missing(side: Side, pairs: Pairs) -> float:
    """Share of samples without a score among the problems asked of both sides; an absent problem counts whole."""
    lost = total = 0
    for key in (*pairs.common, *pairs.excluded):
        value = side.values.get(key, Value(None, 0, max(1, side.n)))
        lost += value.missing
        total += value.n + value.missing
    return lost / total if total else 0.0


def _doubts(pairs: Pairs, rule: Rule, outcome: Outcome, missing: float) -> list[str]:
    """What keeps a verdict from being given although the interval decides."""
    found: list[str] = []
    if missing > rule.max_missing:
        found.append(
            f"{missing:.1%} of the samples have no score (allowed: {rule.max_missing:.1%}): "
            "run the same command again to retry failed ones, or `harness score` the run"
        )
    if outcome == "pass" and (why := _cut(pairs)):
        found.append(why)
    if outcome == "inconclusive" or not (pairs.baseline.share and pairs.candidate.share):
        return found
    passing = outcome == "pass"
    filled = _imputed(pairs, worst=passing)
    if filled is None:
        return found
    p = (_p_pass if passing else _p_fail)(*filled, pairs)
    if p > rule.alpha:
        how = "against" if passing else "in favour of"
        found.append(f"with every missing score counted {how} the candidate, it would not {outcome}")
    return found


def _cut(pairs: Pairs) -> str:
    """Why a gate does not pass on answers that nobody gave, or an empty text: cut replies are wrong on both sides.

    A regression stands: a candidate that no longer comes to an answer within the limit has become worse.
    """
    if pairs.baseline.metric == "truncated":
        return ""
    for role, side in (("baseline", pairs.baseline), ("candidate", pairs.candidate)):
        if side.truncated is not None and side.truncated > MOST_CUT:
            limit = side.sampling.get("max_tokens", "?")
            return (
                f"{side.truncated:.1%} of the {role}'s samples were cut by the limit of {limit} tokens before an "
                f"answer (a pass allows {MOST_CUT:.0%}): raise --max-tokens for both sides"
            )
    return ""


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
        if abs(effect) <= SAME:
            continue
        answers = (before.best, after.worst) if effect < 0 else (before.worst, after.best)
        found.append(Flip(key, before.mean, after.mean, effect, *answers))
    return tuple(sorted(found, key=lambda flip: (flip.effect > 0, -abs(flip.effect), flip.problem_id)))


def _notes(pairs: Pairs, baseline_mean: float) -> list[str]:
    """What a reader must know although the comparison is allowed."""
    a, b = pairs.baseline, pairs.candidate
    notes = [
        f"warning: {role}: {warning}" for role, side in (("baseline", a), ("candidate", b)) for warning in side.warnings
    ]
    if unknown := doubt(b.metric, [b, a]):
        notes.append(unknown)
    if a.run_id == b.run_id:
        notes.append("baseline and candidate are the same run: every difference is 0")
    if a.n != b.n:
        notes.append(f"samples per problem differ: {a.n} and {b.n}")
    if a.seed != b.seed:
        notes.append(f"seeds differ: {a.seed} and {b.seed}")
    if a.limit != b.limit:
        notes.append(f"problem limits differ ({a.limit or 'all'} and {b.limit or 'all'}): only common problems count")
    for name in sorted({*a.graders} & {*b.graders}):
        if a.graders[name] != b.graders[name]:
            notes.append(f"grader {name} is {a.graders[name]} and {b.graders[name]}: `harness score` both")
    if a.share and not a.lower_is_better and pairs.margin.value >= baseline_mean:
        notes.append("the margin is not below the baseline's own score, so nothing could regress")
    return notes
