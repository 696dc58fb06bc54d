"""Score against the number of a system's spec (samples of a vote, tokens of thought), told under the board."""

from __future__ import annotations

from collections.abc import Sequence

from harness.hashing import canonical_json
from harness.leaderboard import Standing
from harness.metrics import described
from harness.report.text import count, with_interval
from harness.types import Json

COUNTED = ("samples", "tokens", "iterations", "notes")
"""What the identity of a system calls its number."""


def curve_notes(standings: Sequence[Standing]) -> list[str]:
    """One line for each system of which runs differ in that number alone: number, score, tokens that an answer took."""
    lines: dict[str, list[tuple[float, Standing]]] = {}
    names: dict[str, str] = {}
    for standing in standings:
        identity = standing.result.model_identity
        counted = next((name for name in COUNTED if isinstance(identity.get(name), int) and "parts" in identity), None)
        if counted is not None:
            rest = canonical_json({key: value for key, value in identity.items() if key != counted})
            number = identity[counted]
            assert isinstance(number, int)
            lines.setdefault(rest, []).append((number, standing))
            names[rest] = f"{identity.get('engine')} over {_part(standing.model)}, by {counted}"
    return [f"{names[rest]}: {_curve(points)}" for rest, points in lines.items() if len(points) > 1]


def _part(name: str) -> str:
    """What the system is over: the name behind engine and number."""
    return name.split(":", 2)[-1]


def _curve(points: Sequence[tuple[float, Standing]]) -> str:
    return "; ".join(_point(number, one) for number, one in sorted(points, key=lambda point: point[0]))


def _point(number: float, standing: Standing) -> str:
    estimate = standing.estimate
    scale, unit = described(standing.metric).shown(estimate.value)
    score = with_interval(estimate.value, estimate.low, estimate.high, scale)
    return f"{count(number)} gives {score}{f' {unit}' if unit else ''} for {_tokens(standing)} tokens an answer"


def _tokens(standing: Standing) -> str:
    total: Json = standing.result.totals.get("tokens_out")
    answers = sum(standing.estimate.counts.values())
    return count(total / answers) if isinstance(total, int | float) and answers else "?"
