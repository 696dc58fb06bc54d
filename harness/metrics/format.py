"""Format accuracy: the share of replies that have the shape asked for, whatever their answer.

The checks themselves (`harness.formats`) ran on the text and are stored with every graded attempt; here they are only
averaged. A reply that never came (status "error") has no format: it is left out and makes the bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.errors import DataError
from harness.metrics.attempts import Attempts
from harness.types import Estimate, Graded, Metric


def _share(graded: Sequence[Graded], check: str) -> Estimate:
    attempts = Attempts.of(graded)
    lost = np.array([row.score.status == "error" and check not in row.formats for row in attempts.rows], dtype=bool)
    values = np.full(len(attempts.rows), np.nan)
    for i, row in enumerate(attempts.rows):
        if lost[i]:
            continue
        if check not in row.formats:
            raise DataError(
                f"problem {row.problem_id!r} has no record of the format check {check!r}: name it in the suite's "
                "`formats` and run `harness score` on this run"
            )
        values[i] = float(row.formats[check])
    return attempts.average(values, lost)


def think(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of replies with exactly one closed think block before an answer."""
    return _share(graded, "think")


def boxed(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of replies with a boxed answer."""
    return _share(graded, "boxed")


def json_object(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of replies that are exactly the JSON object asked for."""
    return _share(graded, "json")


THINK = Metric("format:think", think)
BOXED = Metric("format:boxed", boxed)
JSON_OBJECT = Metric("format:json", json_object)
