"""avg@n and exact match: mean over problems of the mean over samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.metrics.attempts import Attempts
from harness.types import Estimate, Graded, Metric


def avg_at_n(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Mean over problems of the mean over scored samples: pass@1 estimated from all n samples, also called mean@n.

    "no_answer" and "truncated" are wrong (0.0). Unscored samples are left out; a problem with none scored is left
    out too, and the bounds say what both could have changed. Raises `DataError` if nothing is scored.
    """
    attempts = Attempts.of(graded)
    return attempts.average(attempts.values, np.isnan(attempts.values))


def exact_match(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of *answers* that are right: samples that gave no answer or were cut are left out, not wrong.

    Says how good the answers are where there is one; read it beside avg@n and the counts. Raises `DataError` if no
    sample has a graded answer.
    """
    attempts = Attempts.of(graded)
    answered = np.array([row.score.status == "scored" for row in attempts.rows], dtype=bool)
    return attempts.average(np.where(answered, attempts.values, np.nan), np.isnan(attempts.values))


AVG_AT_N = Metric("avg@n", avg_at_n)
EM = Metric("em", exact_match)
