"""The outcome of `harness run` as a table: every metric of every run just made, the headline first."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from harness.leaderboard import ALL_METRICS, build
from harness.metrics import described
from harness.report.board import COLUMNS, DECISION, TRAINED, standing_row
from harness.report.table import Column, Format, Row, Table, render
from harness.run.result import RunResult
from harness.run.warned import warnings_of
from harness.types import Json

_HIDDEN = ("rank", "model", TRAINED, "vs baseline", "p (Holm)", DECISION)


def _metric(row: Row) -> str:
    """Its name, and its unit where it has one of its own."""
    name = str(row["metric"])
    unit = described(name).own_unit
    return f"{name} [{unit}]" if unit else name


def show_results(results: Sequence[RunResult], form: Format, extra: Mapping[str, Json] | None = None) -> str:
    """All metrics of these runs in one format; `extra` goes into the JSON beside "rows"."""
    board = build(results, metrics=(ALL_METRICS,))
    order = {result.run_id: position for position, result in enumerate(results)}
    metrics = {result.run_id: list(result.estimates) for result in results}
    standings = sorted(
        (standing for group in board.groups for standing in group.standings),
        key=lambda s: (order[s.result.run_id], metrics[s.result.run_id].index(s.metric)),
    )
    rows = tuple(standing_row(standing) for standing in standings)
    columns = (
        Column("suite", lambda row: str(row["suite"])),
        Column("model", lambda row: str(row["model"])),
        Column("metric", _metric),
        *(column for column in COLUMNS if column.title not in _HIDDEN),
    )
    notes = dict.fromkeys(
        f"warning: {result.suite}, {result.model}: {w}" for result in results for w in warnings_of(result)
    )
    table = Table("", columns, rows, tuple(notes))
    return render([table], form, tty=sys.stdout.isatty(), extra=extra)
