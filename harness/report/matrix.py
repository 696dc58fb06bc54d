"""What a command over several models and suites came to: models down, suites across, and what to do next."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.files import is_number
from harness.leaderboard import Group, GroupKey, Standing, build, group_key
from harness.report.board import missing_of, value_of
from harness.report.table import Column, Row, Table, column
from harness.report.text import count
from harness.run.folder import RUNS
from harness.run.result import RunResult, judge_notes, warnings_of
from harness.types import Json

_TOTALS = ("tokens_out", "cost")
_IDS = 4
"""Run ids shown at the end; of more the command that lists them."""


def matrix(results: Sequence[RunResult]) -> Table:
    """One row a model: the headline of each suite with its interval, letters where a paired test was made."""
    groups = build(results)
    standings = {s.result.run_id: s for group in groups for s in group.standings}
    titles = _titles(groups)
    rows: dict[str, dict[str, Json]] = {}
    suites: dict[str, str] = {}
    counted: set[tuple[str, str]] = set()
    for result in results:
        standing = standings[result.run_id]
        title = titles[group_key(result), standing.metric]
        suites[title] = title
        row = rows.setdefault(standing.model, {"model": standing.model})
        row[title] = _cell(standing)
        generated = (standing.model, str(result.judging.get("judged_from") or result.run_id))
        if generated in counted:  # a judged run has the totals of the answers that it judged
            continue
        counted.add(generated)
        for total in _TOTALS:
            parts = (row.get(total, 0), result.totals.get(total))  # of which one that is unknown leaves no total
            row[total] = math.fsum(float(str(part)) for part in parts) if all(map(is_number, parts)) else None
    columns = (
        column("model"),
        *(Column(title, _shown(title), right=True) for title in suites),
        Column("tokens total", _total("tokens_out"), right=True),
        Column("cost", _total("cost"), right=True),
    )
    return Table("", columns, tuple(rows.values()), tuple(_notes(results, standings)))


def _titles(groups: Sequence[Group]) -> dict[tuple[GroupKey, str], str]:
    """The column of each group: the suite, and of those that are not comparable what tells them apart."""
    several = Counter((group.key.suite, group.key.judge) for group in groups)
    titles: dict[tuple[GroupKey, str], str] = {}
    for group in groups:
        key, metric = group.key, group.standings[0].metric
        title = key.suite if metric == "avg@n" else f"{key.suite} {metric}"
        if several[key.suite, key.judge] > 1:
            title = key.describe()
        elif key.judge is not None:
            title += f" by {key.judge}"
        titles[key, metric] = title
    same = Counter(titles.values())
    return {
        (key, metric): f"{title}, {metric}, data {key.data_sha256[:8]}" if same[title] > 1 else title
        for (key, metric), title in titles.items()
    }


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
        lines.append(f"next: harness compare {' '.join(pair)}{where}, or all of them as a page: harness report{where}")
    else:
        lines.append(f"next: harness show {ids[0]}{where}, or harness leaderboard{where}")
    return lines
