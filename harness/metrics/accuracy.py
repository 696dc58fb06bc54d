"""avg@n, exact match and format accuracy: mean over problems of the mean over samples.

Format accuracy is the share of replies that have the shape asked for, whatever their answer. Its checks
(`harness.formats`) ran on the text and are stored with every graded attempt; here they are only averaged. A reply that
never came (status "error") has no format: it is left out and makes the bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.errors import DataError
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
