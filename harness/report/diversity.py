"""Diversity of runs as a table: one row per measure, form and run, runs of one measure next to each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.report.table import Column, Row, Table, at, column, number
from harness.report.text import p_value
from harness.run.diversity import MeasuredRun
from harness.stats.multiple import holm
from harness.stats.seeds import Seeded
from harness.types import Estimate, Json

_STEPS_SHOWN = 16


def diversity_tables(lines: Sequence[MeasuredRun], notes: Sequence[str]) -> list[Table]:
    """The overview, and for measures of steps their course over the steps."""
    tested = [p for line in lines if line.versus is not None and (p := line.versus.p) is not None and not math.isnan(p)]
    adjusted = iter(holm(tested))
    rows = tuple(_row(line, adjusted) for line in lines)
    found = list(notes)
    if any(line.versus is not None for line in lines):
        found.append("difference: minus the first run, on the same prompts, with as many responses to each")
    found += [
        f"{row['model']}, {row['metric']} ({row['form']}): {why}" for row in rows if (why := at(row, "versus", "why"))
    ]
    if len(tested) > 1:
        found.append(f"p (Holm) is corrected for the {len(tested)} comparisons shown")
    overview = Table("Diversity", _COLUMNS, rows, tuple(found))
    return [overview, *(_course(line) for line in lines if line.scores.curve)]


def _row(line: MeasuredRun, adjusted: Iterator[float]) -> Row:
    versus = line.versus
    tested = versus is not None and versus.p is not None and not math.isnan(versus.p)
    counts = line.scores.estimate.counts
    return {
        "metric": line.scores.measure,
        "form": line.scores.form,
        "run": line.run.folder.name,
        "model": line.run.model,
        **_numbers(line.scores.estimate),
        "undefined": counts.get("undefined", 0),
        "short": counts.get("short", 0),
        "higher_is_more_diverse": line.higher_is_more_diverse,
        "attempts": line.run.attempts,
        "left_out": dict(line.run.left_out),
        "versus": None if versus is None else _versus(replace(versus, p_holm=next(adjusted) if tested else math.nan)),
        "curve": [_numbers(point) for point in line.scores.curve],
    }


def _numbers(estimate: Estimate) -> dict[str, Json]:
    names = ("value", "low", "high", "se", "n_problems", "n_samples")
    return {name: getattr(estimate, name) for name in names}


def _versus(versus: Seeded) -> Mapping[str, Json]:
    return {name: getattr(versus, name) for name in ("value", "low", "high", "p", "p_holm", "decision", "why")}


def _interval(title: str, *path: str, sign: str = "") -> Column:
    def show(row: Row) -> str:
        value, low, high = (number(row, *path, name) for name in ("value", "low", "high"))
        if value is None:
            return "-"
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return f"{value:{sign}.3f} ± ?"
        return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"

    return Column(f"{title} [95 % CI]", show, right=True)


def _metric(row: Row) -> str:
    return str(row["metric"]) + ("" if row["higher_is_more_diverse"] else " (lower is more diverse)")


def _prompts(row: Row) -> str:
    unused = [f"{row[name]} {name}" for name in ("undefined", "short") if row[name]]
    return f"{row['n_problems']}" + (f" ({', '.join(unused)})" if unused else "")


def _course(line: MeasuredRun) -> Table:
    points = line.scores.curve[:_STEPS_SHOWN]
    rows = tuple({"step": i + 1, **_numbers(point)} for i, point in enumerate(points))
    columns = (
        column("step", right=True),
        _interval("D"),
        column("prompts", "n_problems", right=True),
        column("responses", "n_samples", right=True),
    )
    more = len(line.scores.curve) - len(points)
    notes = (f"and {more} more steps; --json has them all",) if more else ()
    return Table(f"{line.run.model}: {line.scores.measure} by step", columns, rows, notes)


_COLUMNS = (
    Column("metric", _metric),
    column("form"),
    column("model"),
    _interval("value"),
    _interval("difference", "versus", sign="+"),
    Column("p", lambda row: p_value(number(row, "versus", "p")), right=True),
    Column("p (Holm)", lambda row: p_value(number(row, "versus", "p_holm")), right=True),
    Column("decision", lambda row: str(at(row, "versus", "decision") or "-")),
    Column("prompts", _prompts, right=True),
    column("responses", "n_samples", right=True),
)
