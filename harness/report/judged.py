"""Judged runs as a table: the headline, every dimension in points, and what became of the judgments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.plain import plural
from harness.report.cot_table import cot_table, judged_alike
from harness.report.runs import show_results
from harness.report.table import Column, Format, Row, Table, render
from harness.run.result import RunResult
from harness.types import Json

if TYPE_CHECKING:
    from judges.canaries import Finding


def show_judged(results: Sequence[RunResult], form: Format, results_dir: Path) -> str:
    """All estimates of judged runs in one format; in the table, followed by the CoT scores and how the judging went.

    `results_dir` holds the runs that were judged. The CoT scores are of these runs and of all others there that were
    judged alike; JSON has them under "cot", CSV has the estimates only. Runs that were not judged may be among them.
    """
    judged = [result for result in results if result.judge is not None]
    cot = cot_table([*judged, *judged_alike(judged, results_dir)], results_dir)
    extra: dict[str, Json] = {"judging": [dict(result.judging) for result in judged], "cot": list(cot.rows)}
    table = show_results(results, form, extra=extra)
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
    parts += [f"{counts[name]} {name}" for name in ("cached", "retried", "unscored") if counts[name]]
    if counts["tokens_in"] is not None and counts["tokens_out"] is not None:
        parts.append(f"{counts['tokens_in']:,} + {counts['tokens_out']:,} tokens")
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
