"""Stored runs -> the numbers of a page: the leaderboard's own groups and tests, and every problem's samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError, StoreError, UsageError
from harness.leaderboard import Group, Standing, build, place_of
from harness.power import ASSUMED, ASSUMED_ELSEWHERE, mde, measured
from harness.report.page.data import MARKS, PageBoard, PageRun, PageTest
from harness.run.directions import described_in
from harness.run.folder import JUDGED, SCORES, RunFolder
from harness.run.problem import problems_at_hand
from harness.run.result import RunResult, warnings_of
from harness.types import Graded, Json, Problem

_TAGS = ("level", "subset", "task", "family", "dataset", "category", "subject", "type")
"""Facts of a problem that people filter by."""


@dataclass(frozen=True)
class Gathered:
    """One board with what it came from."""

    group: Group
    board: PageBoard
    folders: tuple[RunFolder, ...]
    """In the order of the board's runs."""
    asked: Mapping[str, Problem]
    """The problems at hand, by id."""
    damaged: tuple[str, ...] = ()
    """Files that could not be read, and why."""


def gather(folders: Sequence[RunFolder], data_dir: Path | None, baseline: str | None = None) -> list[Gathered]:
    """One for each group of comparable runs.

    Raises `UnknownName` for a baseline that has none of the runs, `UsageError` for two runs of one name: tests and
    answers go by it.
    """
    results = [folder.result for folder in folders]
    names = Counter(result.run_id for result in results)
    if twice := next((name for name, times in names.items() if times > 1), None):
        raise UsageError(f"two of these runs are called {twice!r}: name one of them, or rename the other's folder")
    of = {id(result): folder for result, folder in zip(results, folders, strict=True)}
    return [
        _board(group, [of[id(s.result)] for s in group.standings], data_dir, baseline)
        for group in build(results, baseline=baseline)
    ]


def _board(group: Group, folders: Sequence[RunFolder], data_dir: Path | None, baseline: str | None) -> Gathered:
    results = [standing.result for standing in group.standings]
    first = group.standings[0]
    metric = described_in(first.metric, results)
    scale, unit = metric.shown(first.estimate.value)
    problems = tuple(sorted({problem for result in results for problem in result.items}))
    asked = _asked(results[0], folders, data_dir)
    damaged: list[str] = []
    board = PageBoard(
        title=group.key.describe(),
        suite=group.key.suite,
        metric=first.metric,
        scale=scale,
        unit=unit,
        lower_is_better=metric.lower_is_better,
        problems=problems,
        tags=tuple(_tags(asked[problem].meta) if problem in asked else "" for problem in problems),
        runs=tuple(_run(s, folder, problems, damaged) for s, folder in zip(group.standings, folders, strict=True)),
        tests=tuple(_tests(group)),
        baseline=place_of(group.standings, baseline),
    )
    return Gathered(group, board, tuple(folders), asked, tuple(damaged))


def _asked(result: RunResult, folders: Sequence[RunFolder], data_dir: Path | None) -> dict[str, Problem]:
    """What was asked: of an import what it kept, else the suite's problems where its data are at hand."""
    if result.imported_from is None:
        return {one.id: one for one in problems_at_hand(result.suite, result.seed, result.limit, data_dir)}
    asked: dict[str, Problem] = {}
    for folder in reversed(folders):
        with suppress(StoreError):  # a page does not need the questions
            asked |= {one.id: one for one in folder.problems}
    return asked


def _tags(meta: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {meta[name]}" for name in _TAGS if isinstance(meta.get(name), str | int))


def stored(folder: RunFolder, damaged: list[str]) -> Sequence[Graded]:
    """Its graded samples; of a damaged file none, and why in the list: the numbers stand without them."""
    try:
        return folder.graded if folder.has(SCORES) else ()
    except StoreError as error:
        damaged.append(str(error))
        return ()


def _run(standing: Standing, folder: RunFolder, problems: Sequence[str], damaged: list[str]) -> PageRun:
    result, estimate = standing.result, standing.estimate
    by_problem: dict[str, list[Graded]] = {}
    for row in stored(folder, damaged):
        by_problem.setdefault(row.problem_id, []).append(row)
    items = [result.items.get(problem) for problem in problems]
    return PageRun(
        run_id=folder.name,
        model=standing.model,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        rank=standing.rank,
        letters=standing.letters,
        n=result.n,
        counts=dict(estimate.counts),
        means=tuple(None if item is None or item.mean is None else round(item.mean, 6) for item in items),
        ns=tuple(0 if item is None else item.n for item in items),
        marks=tuple("".join(map(_mark, by_problem.get(problem, ()))) for problem in problems),
        tokens=tuple(_tokens(by_problem.get(problem, ())) for problem in problems),
        warnings=warnings_of(result),
    )


def _mark(row: Graded) -> str:
    if row.score.status in MARKS:
        return MARKS[row.score.status]
    value = row.score.value
    return "u" if value is None else "r" if value == 1.0 else "w" if value == 0.0 else "p"


def _tokens(rows: Sequence[Graded]) -> float | None:
    known = [row.tokens_out for row in rows if row.tokens_out is not None]
    return round(math.fsum(known) / len(known), 1) if known else None


def _tests(group: Group) -> list[PageTest]:
    places = {standing.result.run_id: place for place, standing in enumerate(group.standings)}
    detectable: dict[tuple[int, int], float | None] = {}
    found = []
    for (higher, lower), test in group.tests.items():
        a, b = places[higher], places[lower]
        outcome = test.outcome
        key = (outcome.n_problems, min(group.standings[a].result.n, group.standings[b].result.n))
        if key not in detectable:  # pairs of one size differ little in it, and 200 pairs take seconds
            detectable[key] = _detectable(group.standings[a].result, group.standings[b].result, *key)
        found.append(
            PageTest(
                a=a,
                b=b,
                diff=outcome.diff,
                low=outcome.low,
                high=outcome.high,
                p=outcome.p,
                p_holm=test.p,
                test=outcome.test,
                wins=outcome.wins,
                losses=outcome.losses,
                ties=outcome.ties,
                detectable=detectable[key],
            )
        )
    return found


def _detectable(a: RunResult, b: RunResult, problems: int, n: int) -> float | None:
    if problems < 2 or n < 1 or JUDGED in a.run_id:
        return None
    try:
        return mde(problems, n, measured([a, b], ASSUMED.get(a.suite, ASSUMED_ELSEWHERE)))
    except DataError:
        return None
