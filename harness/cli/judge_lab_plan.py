"""`harness judge lab --dry-run`: what a session would ask, and what it may cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.cli import options
from harness.hashing import canonical_json
from harness.models.budget import Prices
from harness.plain import plural
from harness.report.table import Column, Format, Row, Table, column, number
from harness.run.judged.ask import CACHE
from harness.run.judged.preview import asks_plan
from judges.lab.arm import JudgeArm
from judges.lab.session import arm_names
from judges.lab.sets import PairSet


def show_lab_plan(arms: Sequence[JudgeArm], pairs: PairSet, results_dir: Path, form: Format) -> None:
    """Print one row for each judge and prompt; nobody is asked."""
    rows: list[Row] = []
    for name, arm in zip(arm_names(arms), arms, strict=True):
        asks = [ask for task in arm.tasks(pairs.pairs) for ask in arm.judging.asks(task)]
        prices, identity = Prices.of(arm.judge.environment()), canonical_json(arm.judge.describe())
        rows.append({"arm": name, **asks_plan(asks, identity, prices, results_dir / CACHE)})
    columns = (
        column("", "arm"),
        column("judgments", right=True),
        column("known already", "cached", right=True),
        column("the same as another", "repeated", right=True),
        _whole("tokens in, about", "tokens_in"),
        _whole("tokens out at most", "tokens_out_at_most"),
        Column("cost at most", lambda row: _money(number(row, "cost_at_most")), right=True),
    )
    notes = []
    if any(row["cost_at_most"] is None for row in rows):
        notes.append("no cost without --judge-arg price_in=… --judge-arg price_out=… (per million tokens)")
    elif len(rows) > 1:
        notes.append(f"together at most {_money(sum(number(row, 'cost_at_most') or 0.0 for row in rows))}")
    title = f"Plan (nobody is asked): {pairs.name}, {plural(len(pairs.pairs), 'pair')}"
    options.emit([Table(title, columns, tuple(rows), tuple(notes))], form)


def _whole(title: str, key: str) -> Column:
    return Column(title, lambda row: f"{number(row, key) or 0:,.0f}", right=True)


def _money(cost: float | None) -> str:
    return "-" if cost is None else f"{cost:,.2f}"
