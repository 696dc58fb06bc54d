"""Power of the exact tests, where few problems differ and the normal approximation promises too much.

`harness.stats.paired` tests single right-or-wrong answers by McNemar's exact test, and averages of which at most twelve
problems differ by the exact sign-flip test. Neither can be significant before `fewest` problems differ, all in one
direction: six at a two-sided 5 %, whatever the size of the differences.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from harness.stats.distributions import beta_cdf
from harness.stats.standard_errors import Array

_WIDE = 8.0  # standard deviations of a count beyond which nothing is added
_STEPS = 40  # of a bisection between 0 and 1


def fewest(alpha: float) -> int:
    """Differing problems, all in one direction, from which an exact two-sided test can reach `alpha`."""
    return math.ceil(1.0 + math.log(1.0 / alpha) / math.log(2.0) - 1e-12)


@lru_cache(maxsize=4096)
def least_share(problems: int, alpha: float, power: float) -> float:
    """The share of problems that must differ for `fewest` of them to differ with probability `power`; 1.0 if none can.

    No exact test finds a smaller difference, be all of it in one direction: 7.8 % of 100 problems.
    """
    need = fewest(alpha)
    if problems < need:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        # P(Bin(n, x) >= k) = I_x(k, n - k + 1)
        low, high = (low, middle) if beta_cdf(middle, need, problems - need + 1) >= power else (middle, high)
    return high


def mcnemar_power(problems: int, differing: float, difference: float, alpha: float) -> float:
    """Chance that McNemar's exact test is significant at `alpha`.

    `differing` is the share of problems on which two single answers differ, `difference` how much more of them are in
    one direction, at most `differing`. Sums over all outcomes; time and memory grow with the number of differing ones.
    """
    mean = problems * differing
    spread = _WIDE * math.sqrt(mean) + _WIDE
    count_K = np.arange(max(0, math.floor(mean - spread)), min(problems, math.ceil(mean + spread)) + 1)
    logs = _log_factorials(problems)
    share = min(max(differing, 1e-300), 1.0 - 1e-16)
    weight_K = np.exp(
        logs[problems] - logs[count_K] - logs[problems - count_K]
        + count_K * math.log(share) + (problems - count_K) * math.log1p(-share)
    )  # fmt: skip
    wins = min(max((differing + difference) / (2.0 * differing), 1e-300), 1.0 - 1e-16)
    won_W = np.arange(0, int(count_K[-1]) + 1)
    lost_KW = count_K[:, None] - won_W[None, :]
    possible = lost_KW >= 0
    log_KW = logs[count_K][:, None] - logs[won_W][None, :] - logs[np.where(possible, lost_KW, 0)]
    nothing = np.zeros_like(log_KW)
    there = np.exp(log_KW + won_W * math.log(wins) + lost_KW * math.log1p(-wins), where=possible, out=nothing.copy())
    fair = np.exp(log_KW - count_K[:, None] * math.log(2.0), where=possible, out=nothing.copy())
    tail_KW = np.cumsum(fair, axis=1)  # P(W <= w) of a fair coin
    smaller = np.minimum(won_W[None, :], np.where(possible, lost_KW, 0))
    p_KW = np.minimum(1.0, 2.0 * np.take_along_axis(tail_KW, smaller, axis=1))
    significant = possible & (p_KW <= alpha * (1.0 + 1e-12))
    return float(weight_K @ (there * significant).sum(axis=1))


@lru_cache(maxsize=64)
def _log_factorials(most: int) -> Array:
    """The logarithms of 0!, 1!, … most!."""
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, most + 1, dtype=np.float64)))))
