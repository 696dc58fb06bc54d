"""How well gates decide, and how loops met, told under the board of their runs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.leaderboard import Standing
from harness.report.table import number
from harness.report.text import with_interval

_SHOWN = {
    "acts": "answers",
    "f1": "F1",
    "precision": "precision",
    "false_alarms": "false alarms",
    "slow": "slow passes",
    "ece": "ECE",
    "brier": "Brier",
    "optimistic": "right if any answer of both ways is",
    "agreed": "ways that met",
    "iterations": "rounds",
}
_PLAIN = ("ece", "brier", "iterations")


def system_notes(standings: Sequence[Standing]) -> list[str]:
    """One line for each gate, and for each loop of `lorid`."""
    return [f"{one.model}: {told}" for one in standings if (told := _told(one, "gate") or _told(one, "lorid"))]


def _told(standing: Standing, system: str) -> str:
    totals, shown = standing.result.totals, []
    for name, word in _SHOWN.items():
        value, low, high = (number(totals, system, name, key) for key in ("value", "low", "high"))
        if value is not None and low is not None and high is not None:
            scale = 1.0 if name in _PLAIN else 100.0
            text = with_interval(value, low, high, scale) if scale > 1 else f"{value:.3f} [{low:.3f}, {high:.3f}]"
            shown.append(f"{word} {text}{' %' if scale > 1 else ''}")
    return ", ".join(shown)
