"""`harness list runs`: the stored runs, what each came to, and what comes next where it is not finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import click

from harness.cli import options
from harness.errors import StoreError
from harness.metrics import described
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import with_interval
from harness.run.folder import JUDGED, RESULT, RunFolder, list_runs
from harness.run.naming import display_names
from harness.types import Json

State = Literal["finished", "judged", "imported", "unfinished"]
STATES: tuple[State, ...] = ("finished", "judged", "imported", "unfinished")
SAID: dict[State, str] = {
    "finished": "finished",
    "judged": "judged",
    "imported": "imported: judge it with `harness judge`",
    "unfinished": "unfinished: run the same command again",
}


def show_runs(
    results_dir: Path, suites: tuple[str, ...], models: tuple[str, ...], state: str | None, *, as_json: bool
) -> None:
    """Print the runs of these suites and models, all of them if none is named."""
    folders = list_runs(results_dir)
    judged = {run.name.partition(JUDGED)[0] for run in folders if JUDGED in run.name}
    rows = [_row(run, judged) for run in folders]
    shown = _shown_models([run for run, row in zip(folders, rows, strict=True) if row["value"] is not None])
    kept = tuple(
        row
        for row in rows
        if (not suites or row["suite"] in suites)
        and (not models or row["model"] in models)
        and (state in (None, row["state"]) or (state == "judged" and JUDGED in str(row["name"])))
    )
    columns = (
        column("run", "name"),
        Column("suite", lambda row: str(row["suite"] or "-")),
        Column("model", lambda row: shown.get(str(row["name"]), str(row["model"] or "-"))),
        Column("score", _score, right=True),
        Column("date", lambda row: str(row["finished"] or "-")[:16].replace("T", " ")),
        column("state", "summary"),
    )
    note = f"{len(kept)} of {len(rows)} runs" if len(kept) < len(rows) else ""
    if kept or as_json:
        options.emit([Table("", columns, kept, (note,) if note else ())], "json" if as_json else "table")
    else:
        click.echo(f"no such run among {len(rows)}" if rows else "no runs yet: `harness run` makes one", err=True)


def _shown_models(runs: Sequence[RunFolder]) -> dict[str, str]:
    """The model of each finished run as the leaderboard shows it: two runs of one model by what differs in them."""
    from harness.leaderboard import GroupKey, group_key

    groups: dict[GroupKey, list[RunFolder]] = {}
    for run in runs:
        groups.setdefault(group_key(run.result), []).append(run)
    return {
        run.name: name
        for members in groups.values()
        for run, name in zip(members, display_names([run.result for run in members]), strict=True)
    }


def _row(run: RunFolder, judged: set[str]) -> Row:
    state = state_of(run, judged)
    row: dict[str, Json] = {"name": run.name, "summary": SAID[state], "state": state}
    empty: dict[str, Json] = dict.fromkeys(("suite", "model", "metric", "value", "low", "high", "finished"))
    try:
        if state != "finished":
            return {**row, **empty, "suite": run.spec.suite, "model": run.spec.model}
        result = run.result
    except StoreError as error:  # a list of runs does not stop at a damaged one
        with suppress(StoreError):
            empty |= {"suite": run.spec.suite, "model": run.spec.model}
        return {**row, **empty, "damaged": str(error)}
    row |= {"suite": result.suite, "model": result.model, "metric": result.headline, "finished": result.finished}
    found = result.estimates.get(result.headline)
    told = (None, None, None) if found is None else (found.value, found.low, found.high)
    return {**row, **dict(zip(("value", "low", "high"), told, strict=True))}


def state_of(run: RunFolder, judged: set[str]) -> State:
    """Where a run stands; `judged` are the ids of runs whose answers were judged."""
    if run.has(RESULT):
        return "finished"
    if run.name in judged:
        return "judged"  # answers that only judges score: their runs carry the results
    return "imported" if of_a_file(run) else "unfinished"


def of_a_file(run: RunFolder) -> bool:
    """True for answers that `harness import` made a run of: no command generates them again, a judge comes next."""
    try:
        return run.spec.model_identity.get("engine") == "file"
    except StoreError:
        return False


def _score(row: Row) -> str:
    value, low, high = (number(row, key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "damaged" if row.get("damaged") else "-"
    name = str(row["metric"])
    scale, unit = described(name).shown(value)
    return f"{name} {with_interval(value, low, high, scale)} {unit}".strip()
