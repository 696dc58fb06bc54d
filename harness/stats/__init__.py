"""Statistics over problems: standard errors and intervals, paired comparisons, corrections, variance components.

Pure functions over arrays and `result.json` items; nothing here reads files. Method and evidence: `docs/statistics.md`.
"""

from harness.stats.multiple import holm, rank_groups
from harness.stats.paired import ItemLike, Paired, components, delta_sd, paired
from harness.stats.standard_errors import Mean, mean_interval

__all__ = [
    "ItemLike",
    "Mean",
    "Paired",
    "components",
    "delta_sd",
    "holm",
    "mean_interval",
    "paired",
    "rank_groups",
]
