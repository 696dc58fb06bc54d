"""A mean difference that may be looked at as often as one likes: intervals that hold at all looks at once.

A fixed test at 5 % that is repeated after every few pairs finds a difference where there is none far more often than
in 5 % of cases. Here a gambler bets on each unit's difference d in [-1, 1] against the hypothesis that its mean is m:
its capital, the product of 1 + f ((d + 1) / (1 + m) - 1) averaged over several fractions f, is a martingale if the
mean is m, so by Ville's inequality it ever reaches 1 / alpha with probability at most alpha. All m that have not been
refuted are the interval: a confidence sequence. Finite samples, no variance estimated. Sources: Waudby-Smith
and Ramdas (arXiv 2010.09686, "Estimating means of bounded random variables by betting"); Ville (1939).

Several comparisons in a row share 5 % (`share_of_alpha`); a stop that claims nothing ("noise") needs no share of it.
Simulated in `benchmarks/sim_judging.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.stats.standard_errors import Array, wilson

ALPHA = 0.05
_FRACTIONS = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Of the capital that can be lost; small ones find small differences late, large ones large differences early."""
_STEPS = 26
_ONE_SIDED_95 = 1.645

Decision = Literal["better", "worse", "noise", "open"]


@dataclass(frozen=True)
class Look:
    """What is known after some units."""

    units: int
    mean: float
    low: float
    """The interval holds the true mean at every look at once, with probability 1 - alpha."""
    high: float
    alpha: float
    decision: Decision
    """"noise": no difference is shown, and what is left of the units would not show one either; "open": go on."""


def share_of_alpha(number: int) -> float:
    """What the `number`-th comparison (1, 2, …) may spend: 5 % in all, however many follow."""
    return ALPHA / (number * (number + 1))


def look(values: Array, left: int, alpha: float) -> Look:
    """Decide from independent differences in [-1, 1] (shape [units], in random order) with `left` units to come.

    May be called after every unit: "better" or "worse" is ever said of a mean of 0 with probability `alpha` at most.
    """
    low, high = confidence_sequence(values, alpha)
    decision: Decision = "open"
    if low > 0.0:
        decision = "better"
    elif high < 0.0:
        decision = "worse"
    elif not _reachable(values, left, alpha):
        decision = "noise"
    mean = float(values.mean()) if len(values) else 0.0
    return Look(len(values), mean, low, high, alpha, decision)


def confidence_sequence(values: Array, alpha: float) -> tuple[float, float]:
    """Interval of the mean at level 1 - alpha, at all lengths of `values` at once; [-1, 1] without any."""
    return _lowest(values, alpha / 2), -_lowest(-values, alpha / 2)


def _lowest(values: Array, alpha: float) -> float:
    """The largest m that is refuted as too small: capital falls as m grows, so it is found by halving."""
    distinct, counts = np.unique(np.round(values, 12), return_counts=True)
    needed = -math.log(alpha)
    low, high = -1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _log_capital(distinct, counts.astype(np.float64), middle) >= needed:
            low = middle
        else:
            high = middle
    return low


def _log_capital(distinct: Array, counts: Array, mean: float) -> float:
    gain = (distinct + 1.0) / (1.0 + mean) - 1.0
    logs = np.log1p(_FRACTIONS[:, None] * gain[None, :]) @ counts
    top = float(logs.max(initial=0.0)) if len(distinct) else 0.0
    return top + math.log(float(np.exp(logs - top).mean()))


def _reachable(values: Array, left: int, alpha: float) -> bool:
    """Whether the units to come could still decide, were all that differ (as many as is plausible) on one side."""
    if left <= 0:
        return False
    differing = values[values != 0.0]
    size = math.sqrt(float(differing @ differing) / len(differing)) if len(differing) else 1.0
    _, most = wilson(len(differing) / len(values), len(values), _ONE_SIDED_95) if len(values) else (0.0, 1.0)
    extra = np.zeros(left)
    extra[: math.ceil(most * left)] = size
    best, worst = np.concatenate((values, extra)), np.concatenate((values, -extra))
    return _lowest(best, alpha / 2) > 0.0 or _lowest(-worst, alpha / 2) > 0.0
