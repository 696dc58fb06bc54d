"""What would decide an inconclusive gate: more samples of each problem, or more problems.

A bound at level alpha is met with probability `power` if the true effect is at least `harness.power.formula_mde` away
from the edge of the region (one-sided, so at 2 alpha), plus what the unseen problem in the bound costs: 1 / (units + 1)
of the range, and some width. Samples shrink only their own noise; below the floor only more problems help.

What a gate can show is said before any answer is generated, so that no hours are spent in vain (`check_reach`). A pass
needs the bound of the loss inside the margin. Not one problem may differ for it to be as small as 1 - alpha^(1/N): 3.0
points on 100 problems. Under a smaller margin only a model that is better can pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.errors import HarnessError, UsageError
from harness.gate.pairs import Pairs, Rule
from harness.gate.values import Side
from harness.plain import plural
from harness.power import ASSUMED, ASSUMED_ELSEWHERE, DELTA_SD, SMALLEST_DELTA_SD, Noise, formula_mde
from harness.run.plan import PlannedRun
from harness.stats.distributions import t_quantile
from harness.stats.standard_errors import clustered_se
from harness.suites import load_suite

_MAX_N = 100_000
_MAX_PROBLEMS = 10**8


@dataclass(frozen=True)
class Need:
    """What it takes if the true effect is `effect`."""

    effect: float
    n: int | None
    """Samples per problem; None: no number of them is enough."""
    problems: int | None
    """Problems at the present number of samples; None: more than 10^8 or than the suite has."""
    floor: float
    """Smallest distance from the edge that any number of samples of these problems can show."""
    greedy: bool
    """True: samples are copies of each other, so only problems help."""
    shows: float = math.nan
    """Distance from the edge that the problems and samples at hand show: the smallest margin if nothing differs."""
    available: int | None = None
    """Problems that the suite has; None where that is not known. `problems` is never more."""


@dataclass(frozen=True)
class Spread:
    """Per-problem noise of the paired difference; 1 is the worst that a problem can do."""

    delta_sd: float
    """Of the true difference over problems, clustering included."""
    within_sd: float
    """Of one sample given its problem, averaged over both sides; 0 if samples cannot help."""
    problems_per_unit: float = 1.0
    """Problems in an independent unit."""

    def detects(self, problems: float, n: float, alpha: float, power: float) -> float:
        """Distance from the edge that is decided with probability `power`, one-sided at `alpha`."""
        count = max(2, int(problems))
        # `Noise` knows the variance of one sample through its mean and spread: m (1 - m) - between^2.
        noise = Noise(0.5, math.sqrt(max(0.0, 0.25 - self.within_sd**2)), self.delta_sd)
        units = count / self.problems_per_unit
        # With one sample each, `formula_mde` has added one problem already.
        unseen = 0.0 if n == 1 else 1.0 / (units + 1.0)
        # The unseen problem's own weight is random too: it widens the bound, though not what is seen.
        variance = (self.delta_sd**2 + 2.0 * self.within_sd**2 / n) / count
        wider = math.sqrt(variance + unseen**2) - math.sqrt(variance)
        critical = t_quantile(max(1.0, units - 1.0), 1.0 - 2.0 * alpha)
        distance = formula_mde(count, n, noise, alpha=2.0 * alpha, power=power) + unseen + critical * wider
        return max(distance, 1.0 - math.pow(alpha, 1.0 / units))  # as `best_margin`, of units that need not be whole


def best_margin(units: int, alpha: float) -> float:
    """The margin that a pass takes at least: the bound if not one of so many independent problems differs."""
    return 1.0 - math.pow(alpha, 1.0 / units)


def suite_size(side: Side) -> int | None:
    """How many problems a side's suite has; None for suites of other tools, versions or data, and unknown ones."""
    if side.imported_from is not None:
        return None
    try:
        suite = load_suite(side.suite)
    except HarnessError:  # a plugin's, or one that is gone: nothing is known, and nothing else needs it
        return None
    same = (suite.version, suite.data.sha256) == (side.suite_version, side.data_sha256)
    return suite.data.rows if same and suite.data.rows > 0 else None


def needs(pairs: Pairs, rule: Rule) -> tuple[Need, ...]:
    """What decides if the true effect is the one seen, and if there is none; only those that lie off the edges."""
    spread = measured(pairs)
    n = min(pairs.baseline.n, pairs.candidate.n)
    size = suite_size(pairs.candidate)
    seen = float(pairs.effects.mean())
    found: list[Need] = []
    for effect in (seen, 0.0):
        distance = min(abs(effect - edge) for edge in pairs.region if math.isfinite(edge))
        if distance > 1e-9 and all(abs(effect - need.effect) > 1e-12 for need in found):
            found.append(need(spread, effect, distance / -pairs.worst, len(pairs.common), n, rule, -pairs.worst, size))
    return tuple(found)


def need(
    spread: Spread,
    effect: float,
    distance: float,
    problems: int,
    n: int,
    rule: Rule,
    scale: float = 1.0,
    size: int | None = None,
) -> Need:
    """Samples or problems for a distance (in units of the range `scale`) from the edge; the suite has `size`."""
    greedy = spread.within_sd == 0.0
    floor = spread.detects(problems, math.inf, rule.alpha, rule.power)
    samples = None
    if not greedy and floor < distance:
        samples = _least(lambda k: spread.detects(problems, k, rule.alpha, rule.power) <= distance, n + 1, _MAX_N)
    most = _MAX_PROBLEMS if size is None else size
    more = None
    if problems < most:
        more = _least(lambda k: spread.detects(k, n, rule.alpha, rule.power) <= distance, problems + 1, most)
    shows = spread.detects(problems, n, rule.alpha, rule.power)
    return Need(effect, samples, more, floor * scale, greedy, shows * scale, size)


def _least(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest whole number from `low` to `high` that is enough, by doubling and bisection; None if none is."""
    top = low
    while not enough(top):
        if top >= high:
            return None
        low, top = top + 1, min(2 * top, high)
    while low < top:
        middle = (low + top) // 2
        low, top = (low, middle) if enough(middle) else (middle + 1, top)
    return top


def measured(pairs: Pairs) -> Spread:
    """Noise as seen: the variance of the effects, less what sampling explains of it.

    Sampling variance of shares is p (1 - p) / (n - 1) on each side; with one sample at a temperature above 0 it is all
    but the usual spread of true differences (`DELTA_SD`); at temperature 0, and for counts, nothing is known to shrink.
    """
    scale = -pairs.worst
    count = len(pairs.common)
    se, units = clustered_se(pairs.effects / scale, pairs.clusters)
    variance = max(count * se * se, SMALLEST_DELTA_SD**2)
    sides = [[side.values[key] for key in pairs.common] for side in (pairs.baseline, pairs.candidate)]
    n = min(pairs.baseline.n, pairs.candidate.n)
    sampling = 0.0
    if pairs.baseline.metric == "avg@n" and pairs.baseline.share and pairs.baseline.sampling.get("temperature") != 0:
        if all(value.n >= 2 for side in sides for value in side):
            noise = [v.mean * (1.0 - v.mean) / (v.n - 1) for side in sides for v in side if v.mean is not None]
            sampling = min(float(np.sum(noise)) / count, variance)
        else:
            sampling = max(0.0, variance - DELTA_SD**2)
    within = min(0.5, math.sqrt(sampling * n / 2.0))
    delta = max(SMALLEST_DELTA_SD, math.sqrt(max(0.0, variance - 2.0 * within**2 / n)))
    return Spread(delta, within, count / units)


def check_reach(plan: PlannedRun, sampled: bool, within_sd: float | None, margin: float, rule: Rule) -> str:
    """What a comparison of shares can show, in one line; a warning where an unchanged model cannot pass.

    `sampled`: at a temperature above 0. `within_sd` is the sampling noise of one answer as measured on a stored side;
    None: assumed. Raises `UsageError` where nothing can: two models that never differ are the most alike that there is.
    """
    problems = len(plan.problems)
    units = len({problem.cluster or f"problem {problem.id}" for problem in plan.problems})
    best = best_margin(units, rule.alpha)
    what = f"{plan.suite.name}: {plural(problems, 'problem')} x {plan.spec.sampling.n}"
    if rule.test == "superior" or margin > best:
        line = f"{what}: a pass takes a margin above {100 * best:.1f}pp even if not one answer differs"
        return f"{line}; {_unchanged(plan, units, within_sd, rule)}" if sampled else line
    shown = f"even if not one answer differs, the loss is only shown to be below {100 * best:.1f} points"
    instead = _instead(plan, units, margin, best, rule.alpha)
    if rule.test == "equivalent":
        raise UsageError(f"{what} can never pass a margin of {100 * margin:g}pp: {shown}. {instead}")
    return f"warning: {what}: an unchanged model cannot pass a margin of {100 * margin:g}pp: {shown}. {instead}"


def _instead(plan: PlannedRun, units: int, margin: float, best: float, alpha: float) -> str:
    """A margin that can pass, and problems where the suite has enough of them."""
    larger = f"say --margin {math.floor(100 * best) + 1}pp or more"
    enough = math.ceil(math.log(alpha) / math.log1p(-margin))
    if units == len(plan.problems) < enough <= plan.suite.data.rows:
        return f"Take --limit {enough} or more, or {larger}"
    return f"{larger[0].upper()}{larger[1:]}, or take a suite of at least {enough} problems"


def _unchanged(plan: PlannedRun, units: int, within_sd: float | None, rule: Rule) -> str:
    """From which margin on a model that has not changed, but is sampled anew, passes."""
    source = "as noisy as the stored side"
    if within_sd is None:
        within_sd, source = ASSUMED.get(plan.suite.name, ASSUMED_ELSEWHERE).within_sd, "noise assumed"
    spread = Spread(SMALLEST_DELTA_SD, within_sd, len(plan.problems) / units)
    shows = spread.detects(len(plan.problems), plan.spec.sampling.n, rule.alpha, rule.power)
    passes = f"passes with {rule.power:.0%} power from {100 * shows:.1f}pp on"
    return f"an unchanged model with other samples {passes} ({source})"
