"""How well stated probabilities fit what came true: expected calibration error, Brier score, AUROC, with weights."""

from __future__ import annotations

import numpy as np

from harness.stats.resampling import ratio
from harness.stats.standard_errors import Array

BINS = 10


def calibration_error(p: Array, right: Array, weights: Array) -> float:
    """ECE: ten bins of equal width, the mean distance between p and the share that is right; NaN for no weight."""
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.abs(np.bincount(bins, weights * (p - right), BINS)).sum()
    return ratio(float(gaps), float(weights.sum()))


def brier_score(p: Array, right: Array, weights: Array) -> float:
    """The mean of (p - right)^2; NaN for no weight."""
    return ratio(float(weights @ (p - right) ** 2), float(weights.sum()))


def auroc(p: Array, right: Array, weights: Array) -> float:
    """How often something right has a higher p than something wrong, ties half; NaN where all are right, or wrong."""
    order = np.argsort(p, kind="stable")
    values, good = p[order], (weights * right)[order]
    bad = weights[order] - good
    starts = np.flatnonzero(np.r_[True, values[1:] > values[:-1]])
    goods, bads = np.add.reduceat(good, starts), np.add.reduceat(bad, starts)
    below = np.cumsum(bads) - bads
    return ratio(float(goods @ (below + bads / 2)), float(good.sum() * bad.sum()))
