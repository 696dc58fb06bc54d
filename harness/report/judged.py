"""What a command just made, as a table: every metric of a run; a judged run's dimensions and its judgments' fate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.leaderboard import ALL_METRICS, build
from harness.metrics import described
from harness.plain import plural
from harness.report.board import COLUMNS, DECISION, TRAINED, judging_cost, standing_row
from harness.report.cot_table import cot_table, judged_alike
from harness.report.matrix import matrix
from harness.report.table import Column, Format, Row, Table, render
from harness.run.result import RunResult, judge_notes, warnings_of
from harness.types import Json

if TYPE_CHECKING:
    from judges.canaries import Finding


_HIDDEN = ("rank", "model", TRAINED, "vs baseline", "p (Holm)", DECISION)


def _metric(row: Row) -> str:
    """Its name, and its unit where it has one of its own."""
    name = str(row["metric"])
    unit = described(name).own_unit
    return f"{name} [{unit}]" if unit else name


def show_results(
    results: Sequence[RunResult], form: Format, extra: Mapping[str, Json] | None = None, *, details: bool = True
) -> str:
    """All metrics of these runs in one format; `extra` goes into the JSON beside "rows".

    Without `details`, a person is shown the headline of several runs alone, models by suites.
    """
    if not details and len(results) > 1 and form in ("table", "md"):
        return render([matrix(results)], form, tty=sys.stdout.isatty())
    order = {result.run_id: position for position, result in enumerate(results)}
    metrics = {result.run_id: list(result.estimates) for result in results}
    standings = sorted(
        (standing for group in build(results, metrics=(ALL_METRICS,)) for standing in group.standings),
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
    table = Table("", columns, rows, (*notes, *judge_notes(results)))
    return render([table], form, tty=sys.stdout.isatty(), extra=extra)


def show_judged(results: Sequence[RunResult], form: Format, results_dir: Path, *, details: bool = True) -> str:
    """All estimates of judged runs in one format; in the table, followed by the CoT scores and how the judging went.

    `results_dir` holds the runs that were judged. The CoT scores are of these runs and of all others there that were
    judged alike; JSON has them under "cot", CSV has the estimates only. Runs that were not judged may be among them.
    """
    judged = [result for result in results if result.judge is not None]
    cot = cot_table([*judged, *judged_alike(judged, results_dir)], results_dir)
    extra: dict[str, Json] = {"judging": [dict(result.judging) for result in judged], "cot": list(cot.rows)}
    table = show_results(results, form, extra=extra, details=details)
    if form in ("json", "csv"):
        return table
    shown = render([cot], form, tty=sys.stdout.isatty()) if cot.rows or cot.notes else ""
    return "\n".join(part for part in (table, shown, "\n".join(filter(None, map(_how, judged)))) if part)


def _how(result: RunResult) -> str:
    """One line: judge, judgments, tokens."""
    counts = result.judging.get("judgments")
    if not isinstance(counts, dict):
        return ""
    parts = [plural(counts["asked"], "judgment")]
    parts += [f"{counts[name]} {name}" for name in ("cached", "retried", "unscored", "refused") if counts.get(name)]
    if counts["tokens_in"] is not None and counts["tokens_out"] is not None:
        parts.append(f"{counts['tokens_in']:,} + {counts['tokens_out']:,} tokens")
    if (cost := judging_cost(result)) is not None:
        parts.append(f"cost {cost:,.4g}")
    notes = counts["notes"] if isinstance(counts["notes"], dict) else {}
    parts += [f"{count} with {name.replace('_', ' ')}" for name, count in notes.items()]
    return f"judged with {result.judge}\n{', '.join(parts)}\nstored as {result.run_id}\n"


def canary_table(findings: Sequence[Finding], title: str) -> Table:
    """What `harness judge check` found out, canary by canary."""

    def number(name: str) -> Callable[[Row], str]:
        return lambda row: "" if row[name] is None else f"{row[name]:+.2f}"

    columns = (
        Column("canary", lambda row: str(row["canary"])),
        Column("passed", lambda row: "yes" if row["passed"] else "NO"),
        Column("fooled", lambda row: f"{row['fooled']}/{row['probes']}", right=True),
        Column("unscored", lambda row: str(row["unscored"]), right=True),
        Column("gold - canary", number("gold_minus_canary"), right=True),
        Column("at least", number("low"), right=True),
        Column("what it is", lambda row: str(row["what"])),
    )
    notes = (
        "gold - canary: how much more the right solution is worth on average, of 1; at least: its lower 95 % limit",
        "fooled: questions on which the canary is worth as much as the right solution, or more",
    )
    return Table(f"Canaries: {title}", columns, tuple(map(asdict, findings)), notes)
