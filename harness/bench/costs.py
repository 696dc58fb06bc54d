"""What each row's trainings took, kind by kind, and which rows nothing beats for less: score against flops and tokens.

Tokens weigh a large teacher like a small one, flops leave out judges and say nothing of waiting: so every kind is
shown, and a row may be on one frontier and not on another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from harness.bench.compare import SuiteComparison
from harness.bench.spec import Arm
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import count
from harness.spent import Spent

AXES: Mapping[str, Callable[[Spent], float]] = {
    "flops": lambda spent: spent.flops,
    "read": lambda spent: spent.read,
    "generated": lambda spent: spent.generated,
    "teacher": lambda spent: spent.teacher,
    "judge": lambda spent: spent.judge_in + spent.judge_out,
}
"""Kind of cost -> what a training took of it."""
TITLES = {axis: axis if axis == "flops" else f"{axis} tokens" for axis in AXES}


@dataclass(frozen=True)
class Costed:
    """One row of a suite with what its trainings took."""

    name: str
    value: float
    """Of the headline."""
    costs: Mapping[str, float]
    """Axis -> mean over the trainings; all 0 for the untrained student."""
    best: tuple[str, ...] = ()
    """Axes on which no other row is as good for as little, and better or cheaper."""


def costs_of(arm: Arm) -> dict[str, float]:
    """Axis -> mean over the row's trainings; nothing where a card does not tell."""
    if arm.kind == "student":
        return dict.fromkeys(AXES, 0.0)
    spent = [member.card.spent for member in arm.members if member.card is not None]
    if not spent or None in spent:
        return {}
    return {axis: sum(of(one) for one in spent if one is not None) / len(spent) for axis, of in AXES.items()}


def costed(found: SuiteComparison) -> list[Costed]:
    """The rows of a suite whose score and costs are known, in the table's order; none if no training is among them."""
    key = found.headline.key
    rows = [
        Costed(entry.arm.name, entry.means[key].value, costs)
        for entry in found.entries
        if key in entry.means and (costs := costs_of(entry.arm))
    ]
    axes = axes_of(rows)
    return [
        Costed(row.name, row.value, row.costs, tuple(a for a in axes if _best(row, a, rows))) for row in rows if axes
    ]


def axes_of(rows: Sequence[Costed]) -> list[str]:
    """The axes on which anything was spent."""
    return [axis for axis in AXES if any(row.costs[axis] for row in rows)]


def _best(row: Costed, axis: str, rows: Sequence[Costed]) -> bool:
    own = row.costs[axis]
    return not any(
        other.value >= row.value and other.costs[axis] <= own and (other.value > row.value or other.costs[axis] < own)
        for other in rows
    )


def frontier_table(found: SuiteComparison) -> Table | None:
    """A row for each method: its score, each kind of cost, and on which of them nothing beats it."""
    rows = costed(found)
    scale = 100.0 if found.headline.share else 1.0
    if not rows:
        return None
    axes = axes_of(rows)
    shown: list[Row] = [
        {"suite": found.suite, "model": row.name, "value": row.value, **row.costs, "frontier": list(row.best)}
        for row in rows
    ]
    columns = (
        column("method", "model"),
        Column(
            f"{found.headline.title}{' [%]' if found.headline.share else ''}",
            lambda row: f"{scale * (number(row, 'value') or 0.0):.1f}",
            right=True,
        ),
        *(Column(TITLES[axis], partial(_amount, axis), right=True) for axis in axes),
        Column("nothing better for less", lambda row: ", ".join(map(str, row["frontier"])) or "-"),  # type: ignore[arg-type]
    )
    note = "of the means: whether two rows are shown to differ is in the table of scores"
    return Table(f"{found.suite}: score against cost, means over training seeds", columns, tuple(shown), (note,))


def _amount(axis: str, row: Row) -> str:
    value = number(row, axis)
    return count(value) if axis != "flops" or value is None else f"{value:.3g}"
