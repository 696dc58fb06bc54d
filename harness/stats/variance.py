"""Where the noise of a score comes from: the questions, or the sampling of answers.

More samples shrink only the second part. The split tells a planner whether to raise n or to look for more problems.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from harness.errors import DataError
from harness.stats.paired import ItemLike


def components(items: Iterable[ItemLike]) -> tuple[float, float, float]:
    """(mean, between, within) of a run whose samples are right or wrong: how much problems and samples make it vary.

    Between is the standard deviation over problems of the chance of solving them, within the root mean variance of one
    sample given its problem. Needs two problems with two or more samples.

    Unbiased: the sampling variance of a problem solved in a share p of n samples is p (1 - p) n / (n - 1), and a
    1/n part of it is taken off the spread of the shares. A negative difference is no question variance: 0.
    Raises `DataError` if n is 1 everywhere: one sample cannot tell the two apart.
    """
    usable = [(item.mean, item.n) for item in items if item.mean is not None and item.n >= 2]
    if len(usable) < 2:
        raise DataError("splitting question and sampling variance needs two problems with two samples each: raise --n")
    p = np.array([mean for mean, _ in usable])
    n = np.array([count for _, count in usable], dtype=np.float64)
    within = p * (1.0 - p) * n / (n - 1.0)
    between = max(0.0, float(p.var(ddof=1)) - float((within / n).mean()))
    return float(p.mean()), math.sqrt(between), math.sqrt(float(within.mean()))


def delta_sd(a: Mapping[str, ItemLike], b: Mapping[str, ItemLike]) -> float:
    """Standard deviation over problems of the *true* difference of two models: what no number of samples removes.

    The spread of the differences less the sampling variance of both. Raises `DataError` as `components`.
    """
    pairs = [
        (left.mean, left.n, right.mean, right.n)
        for left, right in ((a[name], b[name]) for name in sorted(a.keys() & b.keys()))
        if left.mean is not None and right.mean is not None and left.n >= 2 and right.n >= 2
    ]
    if len(pairs) < 2:
        raise DataError("the spread of true differences needs two common problems with two samples in both runs")
    p, n, q, m = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    noise = p * (1.0 - p) / (n - 1.0) + q * (1.0 - q) / (m - 1.0)
    return math.sqrt(max(0.0, float((p - q).var(ddof=1)) - float(noise.mean())))
