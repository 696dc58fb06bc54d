"""A measure of diversity: how much the lengths of responses differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.metrics.diversity import Group, Mask, Measure, Subset, Tools


def _prepare(texts: Sequence[str], tools: Tools) -> Group:
    lengths = np.array([len(text) for text in texts], dtype=np.float64)

    def group(indexes: Sequence[int]) -> Subset:
        chosen = lengths[list(indexes)]

        def subset(mask: Mask) -> float:
            return float(chosen[mask].std()) if mask.any() else math.nan

        return subset

    return group


MEASURE = Measure("lengths", _prepare, low=0.0, high=math.inf, source="none: standard deviation of characters")
