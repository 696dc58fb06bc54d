"""Power: which difference between two models a suite can show, and how many samples a given difference needs.

The minimum detectable effect (MDE) is the true difference that a two-sided test at `alpha` finds with probability
`power`. Per problem, the difference of two models has the variance

    paired    delta_sd^2 + 2 within_sd^2 / n          unpaired    2 (between_sd^2 + within_sd^2 / n)

of which samples remove only the second part: below `floor` no number of samples helps, only more problems do. Where few
problems differ, the tests are exact and find less than that formula promises: there, their power counts.
Needs numbers about the models; measured ones where runs are stored, else the documented assumptions of `ASSUMED`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import DataError, UsageError
from harness.run.result import RunResult
from harness.stats import components, delta_sd
from harness.stats.distributions import t_quantile
from harness.stats.exact import least_share, mcnemar_power

ALPHA = 0.05
POWER = 0.8
DELTA_SD = 0.08
"""Assumed spread over problems of the true difference of two models that are near each other."""
SMALLEST_DELTA_SD = 0.02
"""No two models differ by the same amount on every problem, even where few samples cannot show that they do not."""
_MAX_N = 1_000_000
_MOST_EXACT = 100.0  # expected differing problems up to which the power of single answers is summed exactly
_STEPS = 30  # of a bisection between 0 and 1
_ROUNDS = 4  # of an effect that depends on itself


@dataclass(frozen=True, slots=True)
class Noise:
    """What makes a score uncertain, per problem, in shares (0.08 = 8 points)."""

    mean: float
    """Chance that a sample is right, averaged over problems."""
    between_sd: float
    """Standard deviation over problems of that chance."""
    delta_sd: float = DELTA_SD
    """Standard deviation over problems of the true difference of the two models."""
    source: str = "assumed"

    @property
    def within_sd(self) -> float:
        """Standard deviation of one right-or-wrong sample given its problem: m (1 - m) = between^2 + within^2."""
        return math.sqrt(max(0.0, self.mean * (1.0 - self.mean) - self.between_sd**2))

    def against(self, effect: float) -> Noise:
        """The noise of a comparison with a model that is `effect` nearer to the middle, as if both had the same.

        Near 0 and 1 the other model is the noisier one: 99 % right varies by 0.01, 91 % by 0.08. Questions are as
        unequal for it as for this one; the rest is sampling.
        """
        there = self.mean - math.copysign(min(effect, abs(self.mean - 0.5)), self.mean - 0.5)
        other = max(self.within_sd**2, there * (1.0 - there) - self.between_sd**2)
        within = (self.within_sd**2 + other) / 2.0
        return Noise(0.5, math.sqrt(max(0.0, 0.25 - within)), self.delta_sd, self.source)

    def differing(self, effect: float) -> float:
        """Share of problems on which single answers of two models differ: the expected square of the difference."""
        noise = self.against(effect)
        return min(1.0, max(effect, noise.delta_sd**2 + 2.0 * noise.within_sd**2 + effect * effect))


ASSUMED = {
    "aime": Noise(0.5, 0.36),
    "aime24": Noise(0.5, 0.36),
    "aime25": Noise(0.5, 0.36),
    "amc23": Noise(0.5, 0.36),
    "gpqa": Noise(0.5, 0.33),
    "math500": Noise(0.85, 0.27),
}
"""Typical of 7B reasoning models at temperature 0.6."""
ASSUMED_ELSEWHERE = Noise(0.5, 0.33)


def _factor(df: float, alpha: float, power: float) -> float:
    """Standard errors between zero and the MDE: 2.80 for many problems, 2.90 for 30."""
    # The one-sided `power` point is the two-sided one at 2 power - 1.
    return t_quantile(df, 1.0 - alpha) + math.copysign(t_quantile(df, abs(2.0 * power - 1.0)), power - 0.5)


def formula_mde(
    problems: int, n: float, noise: Noise, *, paired: bool = True, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The MDE by its standard error alone, as for tests that are not exact; arguments and errors as for `mde`."""
    if problems < 2 or n < 1:
        raise UsageError(f"a comparison needs at least 2 problems and 1 sample of each, not {problems} and {n}")
    if not (0.0 < alpha < 1.0 and 0.0 < power < 1.0):
        raise UsageError(f"alpha and power are between 0 and 1, not {alpha} and {power}")
    sampling = noise.within_sd**2 / n
    if paired:
        effect = _factor(problems - 1, alpha, power) * math.sqrt((noise.delta_sd**2 + 2.0 * sampling) / problems)
        # With one sample each the test is McNemar's exact one, which gives away about one differing problem.
        return effect + 1.0 / problems if n == 1 else effect
    return _factor(2 * problems - 2, alpha, power) * math.sqrt(2.0 * (noise.between_sd**2 + sampling) / problems)


def mde(
    problems: int, n: float, noise: Noise, *, paired: bool = True, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Minimum detectable effect (a share) with `n` samples of each of `problems`; `n` may be math.inf.

    At most 1.0, which says that nothing can be shown. An unpaired comparison is never said to show more than a paired
    one. Raises `UsageError` for fewer than two problems, n below 1, or alpha and power outside (0, 1).
    """
    effect = formula_mde(problems, n, noise, alpha=alpha, power=power)
    for _ in range(_ROUNDS):  # the other model's noise depends on how far it is from the first
        effect = formula_mde(problems, n, noise.against(effect), alpha=alpha, power=power)
    if n == 1 and problems * noise.differing(effect) <= _MOST_EXACT:
        effect = _exact_mde(problems, noise, alpha, power)
    # A loss of x on a problem shows in at least one of n samples with probability 1 - (1 - x)^n.
    least = least_share(problems, alpha, power)
    least = 1.0 if least >= 1.0 else 0.0 if math.isinf(n) else 1.0 - (1.0 - least) ** (1.0 / n)
    effect = min(1.0, max(effect, least))
    if paired:
        return effect
    return max(effect, formula_mde(problems, n, noise, paired=False, alpha=alpha, power=power))


def _exact_mde(problems: int, noise: Noise, alpha: float, power: float) -> float:
    """The difference that McNemar's exact test finds with this power; 1.0 if there is none."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        enough = mcnemar_power(problems, noise.differing(middle), middle, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def n_needed(target: float, problems: int, noise: Noise, *, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Fewest samples per problem for which the paired MDE is at most `target`; None if no number is enough."""
    if mde(problems, math.inf, noise, alpha=alpha, power=power) >= target:
        return None
    per_problem = problems * (target / _factor(problems - 1, alpha, power)) ** 2
    n = max(1, math.ceil(2.0 * noise.within_sd**2 / (per_problem - noise.delta_sd**2) - 1e-9))
    low = n - 1
    while n <= _MAX_N and mde(problems, n, noise, alpha=alpha, power=power) > target:  # an exact test needs more
        low, n = n, 2 * n
    while n - low > 1:
        middle = (low + n) // 2
        low, n = (low, middle) if mde(problems, middle, noise, alpha=alpha, power=power) <= target else (middle, n)
    return n if n <= _MAX_N else None


def problems_needed(target: float, n: float, noise: Noise, *, alpha: float = ALPHA, power: float = POWER) -> int:
    """Fewest problems (of the same kind) for which the paired MDE with `n` samples each is at most `target`."""
    if target <= 0.0:
        raise UsageError(f"a difference to detect must be above 0, not {target}")
    low, high = 1, 2
    while mde(high, n, noise, alpha=alpha, power=power) > target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if mde(middle, n, noise, alpha=alpha, power=power) > target:
            low = middle
        else:
            high = middle
    return high


def measured(runs: Sequence[RunResult], assumed: Noise) -> Noise:
    """Noise from one stored run of a suite, or from two of it, which also give the spread of true differences.

    A run with one sample per problem gives its mean; how much of its variance lies between problems stays the share
    that `assumed` has. Means are shrunk: a pilot that is always right does not show that nothing can ever differ.
    Raises `DataError` if nothing was scored, or scores are not shares.
    """
    first = runs[0]
    for run in runs:
        scored = _scored(run)
        if len(scored) < 2 or not all(0.0 <= value <= 1.0 for value in scored):
            raise DataError(f"run {run.run_id} has no scores between 0 and 1 on two problems to measure noise from")
    source = " and ".join(run.run_id for run in runs[:2])
    try:
        parts = [components(run.items.values()) for run in runs[:2]]
    except DataError:
        mean = _shrunk(_scored(first))
        share = assumed.between_sd**2 / (assumed.mean * (1.0 - assumed.mean))
        between = math.sqrt(share * mean * (1.0 - mean))
        source = f"mean of {first.run_id}, spread assumed"
        return Noise(mean, between, assumed.delta_sd, source)
    seen = sum(mean for mean, _, _ in parts) / len(parts)
    mean = sum(_shrunk(_scored(run)) for run in runs[:2]) / len(parts)
    # What the shrinkage adds to the variance is split as assumed.
    added = max(0.0, mean * (1.0 - mean) - seen * (1.0 - seen))
    share = assumed.between_sd**2 / (assumed.mean * (1.0 - assumed.mean))
    between = math.sqrt(sum(between**2 for _, between, _ in parts) / len(parts) + share * added)
    spread = assumed.delta_sd
    if len(parts) == 2:
        spread = max(SMALLEST_DELTA_SD, delta_sd(first.items, runs[1].items))
    else:
        source += ", difference assumed"
    return Noise(mean, between, spread, source)


def _scored(run: RunResult) -> list[float]:
    return [item.mean for item in run.items.values() if item.mean is not None]


def _shrunk(values: Sequence[float]) -> float:
    """The mean had one more problem been right and one more wrong (Laplace): never 0 or 1."""
    return (sum(values) + 1.0) / (len(values) + 2.0)


_SMALLEST = 1e-6  # of all that can be told apart, nothing is as small; far below, the counts would overflow


def parse_difference(text: str) -> float:
    """A difference as a share: "3pp", "3 %" and "0.03" are all 0.03.

    Raises `UsageError` for anything else, and for a bare number of 1 or more, which could mean either.
    """
    stripped = text.strip().lower()
    number, scale = stripped, 1.0
    for unit in ("percentage points", "points", "pp", "%"):
        if stripped.endswith(unit):
            number, scale = stripped.removesuffix(unit).strip(), 100.0
            break
    try:
        value = float(number) / scale
    except ValueError:
        value = math.nan
    if not _SMALLEST <= value < 1.0:  # NaN fails too
        raise UsageError(f"{text!r} is no difference between {100 * _SMALLEST:g} and 100 points: write 3pp, 3% or 0.03")
    return value
