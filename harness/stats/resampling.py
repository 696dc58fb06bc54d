"""Intervals of statistics that have no formula of their own: clusters drawn with replacement.

Efron and Tibshirani 1993, ch. 13: the 95 % percentile interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from harness.stats.standard_errors import Array, cluster_codes

MOST_UNDEFINED = 0.1
"""Share of draws in which a statistic may be undefined: an interval over the others would be of something else."""


def cluster_intervals(
    statistics: Callable[[Array], dict[str, float]],
    clusters: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Name -> value, low, high of statistics of weighted rows; NaN where undefined.

    `statistics` gets the weights of the rows (shape [rows]), how often each one's cluster was drawn. There is no
    interval where more than a tenth of the draws leave a statistic undefined, and none where all draws agree: rows that
    are all alike say nothing of others.
    """
    codes, count = cluster_codes(clusters)
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(count, np.full(count, 1 / count))[codes] for _ in range(resamples)]
    samples = [statistics(weights.astype(np.float64)) for weights in drawn]
    found: dict[str, tuple[float, float, float]] = {}
    for name, value in statistics(np.ones(len(codes))).items():
        known = [sample[name] for sample in samples if not math.isnan(sample[name])]
        low = high = math.nan
        if known and len(known) >= (1 - MOST_UNDEFINED) * resamples:
            low, high = (float(one) for one in np.percentile(known, (2.5, 97.5)))
        if low == high:
            low = high = math.nan
        found[name] = (value, low, high)
    return found


def ratio(part: float, whole: float) -> float:
    """NaN where there is nothing to divide by."""
    return part / whole if whole > 0 else math.nan
