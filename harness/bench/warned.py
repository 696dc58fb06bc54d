"""What must be known before a comparison of methods is believed: said under its tables, in its JSON and on its page."""

from __future__ import annotations

from collections.abc import Sequence

from harness.bench.spec import Arm
from harness.run.warned import warnings_of

_UNEQUAL = 0.05
"""Relative difference of what two methods were trained with from which it is said."""


def unequal_budgets(arms: Sequence[Arm], budget: str | None) -> list[str]:
    """A line if some method read more than another: tokens, or seconds where the budget is a time."""
    timed = budget is not None and not budget.strip().lower().endswith("tok")
    unit = "seconds" if timed else "tokens"
    spent = {
        arm.name: sum(cards) / len(cards)
        for arm in arms
        if arm.kind == "method"
        and (cards := [getattr(member.card, unit) for member in arm.members if member.card is not None])
    }
    if len(spent) < 2:
        return []
    (least, low), (most, high) = (choose(spent.items(), key=lambda item: item[1]) for choose in (min, max))
    if low <= 0 or high <= (1.0 + _UNEQUAL) * low:
        return []
    return [
        f"the budgets differ: {most} was trained with {high:,.0f} {unit}, {least} with {low:,.0f} "
        f"({high / low - 1.0:.0%} more): part of a difference may be that"
    ]


def run_warnings(arm: Arm, suite: str) -> list[str]:
    """What is stored as a warning with the runs of a row, each thing once."""
    runs = [runs.get(suite) for member in arm.members for runs in (member.runs, member.judged)]
    return list(dict.fromkeys(warning for run in runs if run is not None for warning in warnings_of(run)))
