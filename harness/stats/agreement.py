"""Do raters agree beyond chance? Krippendorff's alpha, for any number of raters with gaps.

Everything is sums over arrays: 10,000 items by 5 raters take milliseconds, so an interval can be had by resampling the
items. The statistic is 1 for perfect agreement, 0 for what chance would give and negative below that, and is undefined
(None) where all ratings are one and the same value: there is nothing to disagree about.

Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.errors import DataError, UsageError
from harness.stats.standard_errors import Array

Level = Literal["nominal", "ordinal", "interval"]
"""What two different ratings mean: different; different by rank; different by their difference."""
Indices = npt.NDArray[np.intp]


def krippendorff_alpha(ratings: Sequence[Sequence[float | None]] | Array, level: Level = "nominal") -> float | None:
    """Agreement of any number of raters, corrected for chance; None where nothing can disagree.

    `ratings` has one row per item and one column per rater; None or NaN is missing. Items with fewer than two ratings
    say nothing and are left out. None also where no item has two. Raises `DataError` if it is no such table.
    """
    table = _table(ratings)
    present = ~np.isnan(table)
    # Only pairable values count, for the expected disagreement too.
    present &= present.sum(axis=1, keepdims=True) >= 2
    if not present.any():
        return None
    items, _ = np.nonzero(present)
    values = table[present]
    if level == "nominal":
        return _nominal(items, values)
    if level == "ordinal":
        values = _midranks(values)
    elif level != "interval":
        raise UsageError(f"unknown level {level!r}: nominal, ordinal or interval")
    return _interval(items, values)


def _table(ratings: Sequence[Sequence[float | None]] | Array) -> Array:
    if not isinstance(ratings, np.ndarray):
        widths = {len(row) for row in ratings}
        if len(widths) > 1:
            raise DataError(f"agreement needs every item to have one entry per rater; rows have {sorted(widths)}")
    table = np.array(ratings, dtype=np.float64)  # None becomes NaN
    if table.ndim != 2 or table.size == 0:
        raise DataError("agreement needs a table with one row per item and one column per rater")
    if np.isinf(table).any():
        raise DataError("agreement needs finite ratings")
    return table


def _interval(items: Indices, values: Array) -> float | None:
    """Alpha for squared differences: for m values, all ordered pairs together differ by 2 (m sum x^2 - (sum x)^2)."""
    values = values - values.mean()  # the same differences, without the cancellation of large equal offsets
    sizes = np.bincount(items).astype(np.float64)
    sums = np.bincount(items, weights=values)
    squares = np.bincount(items, weights=values * values)
    with np.errstate(invalid="ignore", divide="ignore"):
        within = np.where(sizes >= 2, 2.0 * (sizes * squares - sums * sums) / (sizes - 1.0), 0.0)
    total = len(values)
    all_pairs = 2.0 * (total * float(values @ values) - float(values.sum()) ** 2)
    if len(np.unique(values)) < 2:
        return None
    return 1.0 - (total - 1) * float(within.sum()) / all_pairs


def _nominal(items: Indices, values: Array) -> float | None:
    """Alpha for same or different: m values that fall into groups of c_k differ in m^2 - sum c_k^2 ordered pairs."""
    _, codes, totals = np.unique(values, return_inverse=True, return_counts=True)
    count = len(totals)
    if count < 2:
        return None
    cells, sizes = np.unique(items * count + codes, return_counts=True)
    per_item = np.bincount(items).astype(np.float64)
    same = np.bincount(cells // count, weights=(sizes * sizes).astype(np.float64), minlength=len(per_item))
    with np.errstate(invalid="ignore", divide="ignore"):
        within = np.where(per_item >= 2, (per_item * per_item - same) / (per_item - 1.0), 0.0)
    total = len(values)
    all_pairs = float(total) ** 2 - float((totals.astype(np.float64) ** 2).sum())
    return 1.0 - (total - 1) * float(within.sum()) / all_pairs


def _midranks(values: Array) -> Array:
    """Mean rank of each value among all: Krippendorff's ordinal distance is the difference of these, squared."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - counts / 2.0)[codes]
    return ranks


def bootstrap_interval(
    statistic: Callable[[Indices], float | None], items: int, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of a statistic over items drawn with replacement.

    `statistic` gets the indices drawn (shape [items]) and may be undefined (None) for some draws, which are left out;
    None if it is undefined for more than one draw in ten: an interval over the others would be of something else.
    Raises `DataError` if there are no items.
    """
    if items < 1:
        raise DataError("an interval needs at least one item to resample")
    generator = np.random.default_rng(seed)
    drawn = (statistic(generator.integers(0, items, size=items)) for _ in range(resamples))
    found = [value for value in drawn if value is not None]
    if not found or len(found) < 0.9 * resamples:
        return None
    low, high = np.quantile(np.array(found), (0.025, 0.975))
    return float(low), float(high)
