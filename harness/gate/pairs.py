"""Two sides on the problems that both have: aligned, refused where they do not belong together, turned into effects.

And the rule that they are held to, with its margin: how much worse a candidate may be and still pass.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.compare import differences
from harness.errors import UsageError
from harness.gate.values import Side, Value
from harness.metrics import described
from harness.power import parse_difference
from harness.stats.standard_errors import Array, cluster_sums

_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(?P<unit>.*)", re.DOTALL)
_SHARE_UNITS = ("", "pp", "%", "points", "percentage points")
_MISSPELT = {"ppt": "pp", "p": "pp", "pt": "pp", "pts": "pp", "point": "pp", "percent": "%", "pct": "%", "token": "tok"}


@dataclass(frozen=True)
class Margin:
    """A tolerated loss, as a number of the metric's own unit or as a share of the baseline's mean."""

    value: float
    """0.01 is one point of a share; 20.0 is 20 tokens; 0.05 is 5 % if `relative`."""
    relative: bool = False
    """True: `value` is a share of the baseline's mean."""


def parse_margin(text: str | None, metric: str, *, share: bool, superior: bool = False) -> Margin:
    """A margin as a person writes it; None is the default: 1pp of a share, 5 % of a count, 0 for superiority.

    A share takes "1pp", "1%", "0.01" (all one point); any other metric takes "20" or "20tok", of its own unit, or "5%"
    of the baseline's mean. Raises `UsageError` for a negative margin, an unknown unit (with a suggestion), and zero
    unless `superior`.
    """
    if text is None:
        return Margin(0.0) if superior else Margin(0.01) if share else Margin(0.05, relative=True)
    match = _NUMBER.fullmatch(text.strip().lower())
    own = described(metric).own_unit
    units = _SHARE_UNITS if share else ("", "%", own.lower(), *(("tokens",) if own == "tok" else ()))
    examples = "1pp, 1% or 0.01" if share else f"20{own}, or 5% of the baseline's mean"
    if match is None:
        raise UsageError(f"--margin {text!r} is not a number with a unit: write {examples}")
    unit, number = match["unit"].strip(), float(match["number"])
    if unit not in units:
        close = _MISSPELT.get(unit) or next(iter(difflib.get_close_matches(unit, units, n=1, cutoff=0.4)), None)
        hint = f" Did you mean {match['number']}{close}?" if close in units else ""
        what = "is a share" if share else "is no share"
        raise UsageError(f"--margin {text!r}: {metric} {what}, so {unit!r} is no unit of it.{hint} {examples}")
    if number < 0.0:
        raise UsageError(f"--margin {text!r}: a margin says how much worse still passes, so it cannot be negative")
    if number == 0.0 and not superior:
        raise UsageError("a margin of 0 can never be shown not to be exceeded: give one, or say --test superior")
    if share:
        return Margin(parse_difference(text) if number > 0.0 else 0.0)
    value = number / 100.0 if unit == "%" else number
    if not math.isfinite(value):
        raise UsageError(f"--margin {text!r} is not finite")
    return Margin(value, relative=unit == "%")


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
    if baseline.lower_is_better != candidate.lower_is_better:
        found.append(f"{candidate.metric} is better when lower in one and when higher in the other: import both again")
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
