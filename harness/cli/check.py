"""`harness check`: do the data, the targets and the graders of every suite fit together?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.grading.pool import GradingPool
    from harness.report.table import Table
    from harness.types import Json

_SHOWN = 10  # failures listed per suite on a terminal; --json has all


@click.command("check")
@click.option("--suite", "suites", multiple=True, metavar="NAMES", help="Suites, as for run; default: all.")
@options.data_dir
@click.option("--limit", type=click.IntRange(min=1), help="Problems per suite; default: all.")
@click.option(
    "--deep",
    is_flag=True,
    help="Instead, grade many equal spellings, sentences and perturbations of each gold.",
)
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="With --deep: about that many replies per suite, one for each problem at least.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With --deep: which replies are made.")
@click.option(
    "--forms",
    type=click.Choice(["all", "open", "held"]),
    default="all",
    show_default=True,
    help="With --deep: all forms, or the two thirds to mend a grader with, or the third held back to test it.",
)
@click.option(
    "--beside",
    type=click.Choice(["math-verify"]),
    help="With --deep: what the bare library says to the same replies; slow.",
)
@options.as_json
def command(
    suites: tuple[str, ...],
    data_dir: Path | None,
    limit: int | None,
    deep: bool,
    cases: int,
    seed: int,
    forms: str,
    beside: str | None,
    as_json: bool,
) -> None:
    """Check every suite: the data is what is pinned, the gold answer scores 1, a near miss scores 0.

    Suites whose data is not at hand are listed as skipped, unless they are named with --suite. Exit code 1 if any
    suite fails; with --deep a suite fails on one false positive, on one reply that could not be scored, or if less than
    99.9 % of the replies that must be right are.
    """
    if deep:
        _deep(suites, data_dir, limit, cases, seed, forms, beside, as_json)
        return
    from harness.grading.pool import GradingPool
    from harness.report.table import render

    names = _names(suites)
    with GradingPool() as pool:
        rows: list[dict[str, Json]] = []
        for name in names:
            print(f"checking {name} ...", file=sys.stderr)
            rows.append(_row(name, data_dir, limit, pool, named=bool(suites)))
    click.echo(
        render([_table(rows)], "json" if as_json else "table", tty=not as_json and sys.stdout.isatty()), nl=False
    )
    if any(row["status"] == "failed" for row in rows):
        raise click.exceptions.Exit(1)


def _deep(
    suites: tuple[str, ...],
    data_dir: Path | None,
    limit: int | None,
    cases: int,
    seed: int,
    forms: str,
    beside: str | None,
    as_json: bool,
) -> None:
    from harness.cli import check_deep
    from harness.grading.forms import PARTS
    from harness.report.table import render, to_json

    found = check_deep.run(
        _names(suites),
        data_dir,
        limit=limit,
        at_most=cases,
        seed=seed,
        parts=frozenset(part for part in PARTS if forms in ("all", part)),
        beside=beside is not None,
        named=bool(suites),
    )
    shown = to_json(found.json()) if as_json else render(found.tables, "table", tty=sys.stdout.isatty())
    click.echo(shown, nl=False)
    if not found.passed:
        raise click.exceptions.Exit(1)


def _names(suites: tuple[str, ...]) -> list[str]:
    from harness import catalog
    from harness.suites import parse_suite_arg

    return [name for name, _ in parse_suite_arg(",".join(suites))] if suites else sorted(catalog.entries("suite"))


def _row(name: str, data_dir: Path | None, limit: int | None, pool: GradingPool, *, named: bool) -> dict[str, Json]:
    from harness.datasets import MissingData
    from harness.errors import DataError, PrerequisiteError
    from harness.suites import load_suite
    from harness.suites._check import check_suite

    row: dict[str, Json] = {"suite": name, "status": "ok", "problems": None, "reason": "", "failures": [], "known": []}
    try:
        done = check_suite(load_suite(name), data_dir, limit, pool)
    except (MissingData, PrerequisiteError) as error:
        if named:
            raise
        return {**row, "status": "skipped", "reason": str(error)}
    except DataError as error:
        return {**row, "status": "failed", "reason": str(error)}
    return {
        **row,
        "status": "failed" if done.failures else "ok",
        "problems": done.problems,
        "failures": [{"problem_id": f.problem_id, "reply": f.reply, "why": f.why} for f in done.failures],
        "known": [{"problem_id": problem_id, "why": why} for problem_id, why in done.known],
        "seconds": round(done.seconds, 2),
    }


def _table(rows: list[dict[str, Json]]) -> Table:
    from harness.report.table import Column, Table

    columns = (
        Column("suite", lambda row: str(row["suite"])),
        Column("status", lambda row: str(row["status"])),
        Column("problems", lambda row: "" if row["problems"] is None else str(row["problems"]), right=True),
        Column("failures", lambda row: "" if row["problems"] is None else str(_count(row["failures"])), right=True),
        Column("ungradable", lambda row: "" if row["problems"] is None else str(_count(row["known"])), right=True),
        Column("seconds", lambda row: str(row.get("seconds", "")), right=True),
        Column("reason", lambda row: str(row["reason"])),
    )
    notes: list[str] = []
    for row in rows:
        for kind in ("failures", "known"):
            found = row[kind]
            assert isinstance(found, list)
            notes += [f"{row['suite']}: {item['problem_id']}: {item['why']}" for item in found[:_SHOWN]]
            if len(found) > _SHOWN:
                notes.append(f"{row['suite']}: {len(found) - _SHOWN} more; --json lists all")
    return Table("Do data, targets and graders fit together?", columns, tuple(rows), tuple(notes))


def _count(value: Json) -> int:
    return len(value) if isinstance(value, list) else 0
