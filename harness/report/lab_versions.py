"""The versions of a judge prompt: what the newest changed, in one line, and the running log as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.plain import plural
from harness.report.lab import change_tables
from harness.report.lab_errors import error_tables
from harness.report.lab_verdict import verdict_lines
from harness.report.table import Column, Format, Row, Table, at, column, number, render
from harness.report.text import count, signed_interval, with_interval
from harness.stats.sequential import ALPHA, Look
from harness.types import Json
from judges.lab.session import LabReport
from judges.lab.trial import Trial
from judges.lab.versions import Version

_SHOWN = 12


def version_text(
    report: LabReport, trial: Trial, versions: Sequence[Version], folder: Path, form: Format, *, show: int, tty: bool
) -> str:
    """What the newest version is worth: the verdict, what changed (of a first version: where it errs), the log."""
    if trial.looked is None:
        (line, *_), details = verdict_lines(report), error_tables(report.arms[-1], show)
    else:
        (comparison,) = report.comparisons
        line = looked_line(trial.looked, comparison.first, comparison.second, len(trial.new), len(report.pairs.pairs))
        details = change_tables(comparison, show)
    log = versions_table(versions, folder)
    if form in ("json", "csv"):
        return render([log], form, extra={"verdict": line})
    return render([Table(line, (), ()), *details, log], form, tty=tty)


def looked_line(found: Look, first: str, second: str, asked: int, whole: int) -> str:
    """The decision with the difference that it is made of."""
    shown = f"{signed_interval(found.mean, found.low, found.high)} points after {asked} of {plural(whole, 'pair')}"
    if found.decision in ("better", "worse"):
        return f"{second} is {found.decision} than {first}: {shown}"
    early = ", the rest would not show one either" if asked < whole else ""
    return f"the difference of {second} to {first} is noise: {shown}{early}"


def versions_table(versions: Sequence[Version], folder: Path) -> Table:
    """The last versions, newest below."""
    first = max(len(versions) - _SHOWN, 0)
    rows = tuple(_row(number, version) for number, version in enumerate(versions[first:], first + 1))
    columns = (
        column("version", right=True),
        Column("hash", lambda row: str(row["hash"])[:6]),
        Column("at", lambda row: str(row["at"])[:16]),
        column("pairs", right=True),
        _share("agrees", "accuracy"),
        _share("flips", "flips"),
        _share("first", "first"),
        _share("longer, excess", "longer_excess"),
        _share("lists, excess", "lists_excess"),
        _share("self, excess", "own_excess"),
        Column("against", lambda row: str(row["against"] or "-")[-12:][:6], right=True),
        Column("difference", _difference, right=True),
        Column("decision", lambda row: str(at(row, "difference", "decision") or "-")),
        column("asked", right=True),
        Column("tokens", lambda row: count(number(row, "tokens")), right=True),
        Column("cost", lambda row: count(number(row, "cost")), right=True),
    )
    notes = (
        f"these intervals hold at every look and for all versions together ({100 * ALPHA:g} %): looking again finds no "
        "difference by itself; that the edits were made on these pairs is not in them: confirm on others",
        f"every version is kept in {folder}",
    )
    return Table("Versions", columns, rows, notes)


def _row(position: int, version: Version) -> dict[str, Json]:
    return {
        "version": position,
        "hash": version.content_hash,
        "rubric": version.rubric,
        "at": version.at,
        "pairs": version.pairs,
        "values": dict(version.values),
        "against": version.against,
        "difference": dict(version.difference) if version.difference is not None else None,
        "asked": version.asked,
        "tokens": version.tokens,
        "cost": version.cost,
    }


def _difference(row: Row) -> str:
    mean, low, high = (number(row, "difference", name) for name in ("mean", "low", "high"))
    return signed_interval(mean, low, high)


def _share(title: str, name: str) -> Column:
    def show(row: Row) -> str:
        value, low, high = (number(row, "values", name, end) for end in ("value", "low", "high"))
        return "-" if value is None or low is None or high is None else with_interval(value, low, high)

    return Column(title, show, right=True)
