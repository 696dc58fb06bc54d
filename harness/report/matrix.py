"""What a command over several models and suites came to: models down, suites across, and what to do next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.leaderboard import Standing, build, group_key
from harness.report.board import missing_of, value_of
from harness.report.table import Column, Row, Table, column
from harness.report.text import count
from harness.run.folder import RUNS
from harness.run.result import RunResult, judge_notes, warnings_of
from harness.types import Json

_IDS = 4
"""Run ids shown at the end; of more the command that lists them."""


def matrix(results: Sequence[RunResult]) -> Table:
    """One row a model: the headline of each suite with its interval, letters where a paired test was made."""
    groups = build(results)
    standings = {s.result.run_id: s for group in groups for s in group.standings}
    several = Counter((group.key.suite, group.key.judge) for group in groups)
    rows: dict[str, dict[str, Json]] = {}
    suites: dict[str, str] = {}
    for result in results:
        standing = standings[result.run_id]
        title = result.suite if standing.metric == "avg@n" else f"{result.suite} {standing.metric}"
        if several[result.suite, result.judge] > 1:  # runs that are not comparable have a column each
            title = group_key(result).describe()
        elif result.judge is not None:
            title += f" by {result.judge}"
        suites[title] = title
        row = rows.setdefault(standing.model, {"model": standing.model})
        row[title] = _cell(standing)
        for total in ("tokens_out", "cost"):
            if (found := result.totals.get(total)) is not None:
                row[total] = float(str(row.get(total, 0))) + float(str(found))
    columns = (
        column("model"),
        *(Column(title, _shown(title), right=True) for title in suites),
        Column("tokens total", _total("tokens_out"), right=True),
        Column("cost", _total("cost"), right=True),
    )
    return Table("", columns, tuple(rows.values()), tuple(_notes(results, standings)))


def _cell(standing: Standing) -> str:
    return f"{value_of(standing)} {standing.letters}".strip()


def _shown(title: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(title, "-"))


def _total(name: str) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        value = row.get(name)
        return count(value if isinstance(value, int | float) else None)

    return show


def _notes(results: Sequence[RunResult], standings: Mapping[str, Standing]) -> list[str]:
    notes = []
    for result in results:
        missing = missing_of(standings[result.run_id])
        if missing:
            notes.append(f"{result.suite}, {result.model}: {missing}")
    if any(standing.tied for standing in standings.values()):
        notes.append("of one suite, models that share a letter are tied: no paired test tells them apart (5 %, Holm)")
    warned = [f"warning: {one.suite}, {one.model}: {said}" for one in results for said in warnings_of(one)]
    return list(dict.fromkeys([*notes, *warned, *judge_notes(results)]))


def next_steps(results: Sequence[RunResult], results_dir: Path) -> list[str]:
    """The ids of what was made, and the command that one wants next."""
    where = "" if results_dir == Path("results") else f" --results-dir {shlex.quote(str(results_dir))}"
    ids = [result.run_id for result in results]
    shown = ", ".join(ids) if len(ids) <= _IDS else f"{len(ids)} runs: harness list runs{where}"
    lines = [f"in {results_dir / RUNS}: {shown}"]
    models = list(dict.fromkeys(result.model for result in results))
    if len(models) > 1:
        pair = [next(one.run_id for one in results if one.model == model) for model in models[:2]]
        lines.append(f"next: harness compare {' '.join(pair)}{where}")
    else:
        lines.append(f"next: harness show {ids[0]}{where}, or harness leaderboard{where}")
    return lines
