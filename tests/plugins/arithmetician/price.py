"""A metric in a unit of its own that is better when lower: what the replies cost, at two millicents a token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.metrics.attempts import Attempts
from harness.types import Estimate, Graded, Metric


def price(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Mean over problems of the mean price of a sample; samples without a token count are left out."""
    attempts = Attempts.of(graded)
    values = np.array([np.nan if row.tokens_out is None else 2.0 * row.tokens_out for row in attempts.rows])
    return attempts.average(values, np.isnan(values), share=False)


METRIC = Metric("price", price, unit="mct", lower_is_better=True)
