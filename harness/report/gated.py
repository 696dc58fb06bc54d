"""How well gates decide, told under the board of their runs."""

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
}


def gate_notes(standings: Sequence[Standing]) -> list[str]:
    """One line for each gate."""
    return [f"{one.model}: {told}" for one in standings if (told := _told(one))]


def _told(standing: Standing) -> str:
    totals, shown = standing.result.totals, []
    for name, word in _SHOWN.items():
        value, low, high = (number(totals, "gate", name, key) for key in ("value", "low", "high"))
        if value is not None and low is not None and high is not None:
            scale = 1.0 if name in ("ece", "brier") else 100.0
            text = with_interval(value, low, high, scale) if scale > 1 else f"{value:.3f} [{low:.3f}, {high:.3f}]"
            shown.append(f"{word} {text}{' %' if scale > 1 else ''}")
    return ", ".join(shown)
