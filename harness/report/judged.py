"""Judged runs as a table: the headline, every dimension in points, and what became of the judgments."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.runs import show_results
from harness.run.result import RunResult
from harness.types import Json


def show_judged(results: Sequence[RunResult], form: str) -> str:
    """All estimates of judged runs in one format; in the table, followed by how the judging went."""
    extra: dict[str, Json] = {"judging": [dict(result.judging) for result in results]}
    table = show_results(results, form, extra=extra)
    return table if form in ("json", "csv") else table + "".join(_how(result) for result in results)


def _how(result: RunResult) -> str:
    """One line: judge, judgments, tokens."""
    counts = result.judging.get("judgments")
    if not isinstance(counts, dict):
        return ""
    parts = [f"{counts['asked']} judgments"]
    parts += [f"{counts[name]} {name}" for name in ("cached", "retried", "unscored") if counts[name]]
    if counts["tokens_in"] is not None and counts["tokens_out"] is not None:
        parts.append(f"{counts['tokens_in']:,} + {counts['tokens_out']:,} tokens")
    notes = counts["notes"] if isinstance(counts["notes"], dict) else {}
    parts += [f"{count} with {name.replace('_', ' ')}" for name, count in notes.items()]
    return f"judged with {result.judge}\n{', '.join(parts)}\nstored as {result.run_id}\n"
