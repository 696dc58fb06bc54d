"""avg@n and exact match: mean over problems of the mean over samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.metrics.table import Table
from harness.types import Estimate, Graded, Metric


def avg_at_n(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Mean over problems of the mean over scored samples: pass@1 estimated from all n samples, also called mean@n.

    "no_answer" and "truncated" are wrong (0.0). Unscored samples are left out; a problem with none scored is left
    out too, and the bounds say what both could have changed. Raises `DataError` if nothing is scored.
    """
    table = Table.of(graded)
    return table.average(table.values, np.isnan(table.values))


def exact_match(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of *answers* that are right: samples that gave no answer or were cut are left out, not wrong.

    Says how good the answers are where there is one; read it beside avg@n and the counts. Raises `DataError` if no
    sample has a graded answer.
    """
    table = Table.of(graded)
    answered = np.array([row.score.status == "scored" for row in table.rows], dtype=bool)
    return table.average(np.where(answered, table.values, np.nan), np.isnan(table.values))


AVG_AT_N = Metric("avg@n", avg_at_n)
EM = Metric("em", exact_match)
