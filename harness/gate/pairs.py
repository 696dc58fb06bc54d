"""Two sides on the problems that both have: aligned, refused where they do not belong together, turned into effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.compare import differences
from harness.errors import UsageError
from harness.gate.margin import Margin, parse_margin
from harness.gate.values import Side, Value
from harness.stats.standard_errors import Array, cluster_sums

Test = Literal["noninferior", "superior", "equivalent"]
MOST_CUT = 0.1
"""Largest share of samples cut by the token limit, on either side, with which a gate passes."""
SAME = 1e-9  # as `harness.stats.paired`: 0.3 - 0.1 * 3 is a tie


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
    margin: Margin
    region: tuple[float, float]
    """Effects that pass."""
    worst: float
    """The lowest effect that a problem can have; the highest is its negative."""
    unit: float
    """What one unit of effect is in units of the metric: the baseline's mean under a relative margin, else 1."""

    def units(self, effects: Array, clusters: Sequence[str]) -> tuple[Array, Array]:
        """Total effect and number of problems of each independent unit."""
        return cluster_sums(effects, clusters), cluster_sums(np.ones_like(effects), clusters)


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
    common = sorted(
        key for key in left.keys() & right.keys() if mean_of(left[key]) is not None is not mean_of(right[key])
    )
    if not common:
        raise UsageError(f"{baseline.run_id} and {candidate.run_id} have no scored problem in common")
    sign = -1.0 if candidate.lower_is_better else 1.0
    means = np.array([(mean_of(left[key]), mean_of(right[key])) for key in common], dtype=np.float64)
    share = baseline.share and candidate.share
    unit, effects = 1.0, sign * (means[:, 1] - means[:, 0])
    worst = -1.0 if share else -float(np.abs(means).max())
    margin = parse_margin(rule.margin, baseline.metric, share=share, superior=rule.test == "superior")
    if margin.relative:
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
        effects=np.where(np.abs(effects) < SAME, 0.0, effects),
        clusters=tuple(left[key].cluster for key in common),
        margin=margin,
        region=_region(margin, rule.test),
        worst=worst,
        unit=unit,
    )


def mean_of(value: Value | None) -> float | None:
    """The mean of a problem's scores; None where it has none that is finite."""
    return value.mean if value is not None and value.mean is not None and math.isfinite(value.mean) else None


def _region(margin: Margin, test: Test) -> tuple[float, float]:
    if test == "equivalent":
        return -margin.value, margin.value
    return (margin.value if test == "superior" else -margin.value), math.inf
