"""The "CoT score" table of ThinkAnswer Loss: how well a model reasons, beside its format and its answers.

    model | points of each dimension | CoT score | format accuracy | EM | average

(Findings of EMNLP 2025, 2025.findings-emnlp.177, Tables 1 to 4.) The CoT score is the mean total of a rubric of
dimensions, 0 to 100; format accuracy and EM are those of the run whose answers were judged. The average is over the
three, and is there only where all of them are: an average of two would look like one of three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from harness.errors import HarnessError, StoreError
from harness.leaderboard import group_key, load_results
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import with_interval
from harness.run.folder import RunFolder
from harness.run.result import RunResult
from harness.types import Json
from judges.pointwise import INVENTED, READABLE
from judges.prompts.rubric import load_rubric
from judges.types import Dimension

FORMATS = ("format:json", "format:boxed")
"""Format checks that count as the format asked for; the first that a run has."""
EXACT = ("em_micro", "em", "avg@n")
"""What counts as exact match; the first that a run has."""
_SUM_TOLERANCE = 0.01  # points; dimensions of the same judgments add up to float precision
_MEANING = {
    "em_micro": "share of labels that are right; a reply without labels has them all wrong",
    "em": "share of answers that are right; a reply without an answer is left out",
    "avg@n": "share of replies that are right; a reply without an answer is wrong",
}


def cot_table(results: Sequence[RunResult], results_dir: Path) -> Table:
    """One row for each of the judged runs that a rubric of dimensions scored; others are left out.

    All numbers of the rows are on the scale of 0 to 100; a missing one is null, and a note says why. `results_dir`
    holds the runs that were judged.
    """
    rows: list[Row] = []
    notes: list[str] = []
    names: dict[str, str] = {}
    for result in results:
        if not _has_dimensions(result):
            continue
        dimensions, found = _dimensions(result)
        names |= {dimension.key: f"{dimension.name} /{dimension.weight:g}" for dimension in dimensions}
        row, more = _row(result, dimensions, results_dir)
        rows.append(row)
        notes += [*found, *more]
    columns = (
        column("model"),
        *(Column(name, partial(_points, key), right=True) for key, name in names.items()),
        Column("CoT score", _score, right=True),
        *(Column(title, partial(_number, key), right=True) for key, title in _SHARES.items()),
    )
    return Table("CoT score, 0 to 100", columns, tuple(rows), tuple(dict.fromkeys(notes)))


def judged_alike(results: Sequence[RunResult], results_dir: Path) -> list[RunResult]:
    """Other stored runs that may stand in one table with these: same texts, sampling, rubric and judge; best first."""
    keys, known = {group_key(result) for result in results}, {result.run_id for result in results}
    stored = load_results(results_dir)[0] if results_dir.is_dir() else []
    others = [other for other in stored if other.run_id not in known and group_key(other) in keys]
    return sorted(others, key=lambda other: (-other.estimates[other.headline].value, other.run_id))


_SHARES = {"format_accuracy": "format accuracy", "em": "EM", "average": "average"}


def _rubric_id(result: RunResult) -> str:
    """Id of the rubric that a run was judged with on its own, else an empty text."""
    identity = result.judging.get("judging")
    used = identity.get("rubric") if isinstance(identity, Mapping) else None
    return used if isinstance(used, str) and used.startswith(f"{result.headline}@") else ""


def _has_dimensions(result: RunResult) -> bool:
    parts = {name.removeprefix(f"{result.headline}.") for name in result.estimates} - set(result.estimates)
    return bool(_rubric_id(result)) and bool(parts - {READABLE, INVENTED})


def _dimensions(result: RunResult) -> tuple[tuple[Dimension, ...], list[str]]:
    """The dimensions of the rubric that was used; none, and a note, if it is not the one in the catalog."""
    used = _rubric_id(result)
    name, _, weighting = result.headline.partition(":")
    try:
        rubric = load_rubric(name, weighting or None)
    except HarnessError:
        return (), [f"{used} is no rubric of the catalog: the points of its dimensions are not known here"]
    if rubric.id != used:
        return (), [f"judged with {used}, the catalog has {rubric.id}: the points of its dimensions are not known here"]
    return rubric.dimensions, []


def _row(result: RunResult, dimensions: Sequence[Dimension], results_dir: Path) -> tuple[Row, list[str]]:
    """One judged run, and what a reader must know about it."""
    total = result.estimates[result.headline]
    shares = {d.key: result.estimates.get(f"{result.headline}.{d.key}") for d in dimensions}
    points = {d.key: d.weight * share.value for d in dimensions if (share := shares[d.key]) is not None}
    format_accuracy, em, notes = _of_base(result, results_dir)
    score, added = _percent(total.value), math.fsum(points.values())
    if points and abs(added - score) > _SUM_TOLERANCE:
        notes.append(
            f"{result.model}: the points add up to {added:.2f}, not to the CoT score: they are means over the judges"
        )
    known = [value for value in (score, format_accuracy, em) if value is not None]
    row: dict[str, Json] = {
        "run_id": result.run_id,
        "suite": result.suite,
        "model": result.model,
        "judge": result.judge,
        "points": dict(points),
        "cot_score": score,
        "cot_low": _percent(total.low),
        "cot_high": _percent(total.high),
        "format_accuracy": format_accuracy,
        "em": em,
        "average": math.fsum(known) / len(known) if len(known) == 3 else None,
    }
    return row, notes


def _of_base(result: RunResult, results_dir: Path) -> tuple[float | None, float | None, list[str]]:
    """(format accuracy, EM, notes) of the run whose answers were judged, in percent; None where there is none."""
    try:
        base = RunFolder.of(results_dir, str(result.judging.get("judged_from"))).result
    except StoreError as error:
        return None, None, [f"{result.model}: no format accuracy, EM and average: {error}"]
    notes: list[str] = []
    checked = next((name for name in FORMATS if name in base.estimates), None)
    exact = next((name for name in EXACT if name in base.estimates), None)
    if "labels" in base.graders and exact != "em_micro":
        exact = None  # there, avg@n says how many replies are usable
        notes.append(f"{result.model}: no EM and no average: the texts have no labels to match")
    elif exact is None:
        notes.append(f"{result.model}: no EM and no average: {base.suite} has no right answers to match")
    else:
        notes.append(f"EM is {exact}: {_MEANING[exact]}")
    if checked is None:
        notes.append(
            f"{result.model}: no format accuracy and no average: {base.suite} checks no {' or '.join(FORMATS)}"
        )
    else:
        notes.append(f"format accuracy is {checked}")
    judged, there = (result.n, len(result.items)), (base.n, len(base.items))
    nouns = ("samples per problem", "problems")
    parts = [f"{of} of {all_} {noun}" for of, all_, noun in zip(judged, there, nouns, strict=True) if of != all_]
    if parts:
        notes.append(f"{result.model}: judged on {' and '.join(parts)}; format accuracy and EM are over all")
    return (
        _percent(base.estimates[checked].value) if checked is not None else None,
        _percent(base.estimates[exact].value) if exact is not None else None,
        notes,
    )


def _percent(share: float) -> float:
    """On the scale of 0 to 100; a float also where a file has the whole number 1."""
    return 100.0 * share


def _points(key: str, row: Row) -> str:
    value = number(row, "points", key)
    return f"{value:.2f}" if value is not None else ""


def _score(row: Row) -> str:
    value, low, high = (row[name] for name in ("cot_score", "cot_low", "cot_high"))
    assert isinstance(value, float) and isinstance(low, float) and isinstance(high, float)
    return with_interval(value, low, high, scale=1.0)


def _number(key: str, row: Row) -> str:
    value = number(row, key)
    return f"{value:.1f}" if value is not None else ""
