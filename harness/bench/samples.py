"""The stored scores of a model on a suite, measure by measure: problem -> values of its samples."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.bench.spec import Member
from harness.errors import DataError
from harness.metrics import described
from harness.metrics.diversity_answers import distinct_answers
from harness.run.folder import RunFolder
from harness.run.result import RunResult
from harness.stats.seeds import Cells
from harness.types import Graded

Samples = Mapping[str, tuple[float, ...]]
"""Problem id -> one value for each sample that has one."""
FORMATS = ("think", "boxed", "json")
"""Format checks in order of preference; the first that a suite records is its format."""


@dataclass(frozen=True)
class Quantity:
    """One column of the comparison."""

    key: str
    title: str
    share: bool
    """Between 0 and 1, shown in percent."""


ACCURACY = Quantity("accuracy", "accuracy", share=True)
FORMAT = Quantity("format", "format", share=True)
JUDGED = Quantity("judged", "judged", share=True)
DIVERSITY = Quantity("distinct_answers", "distinct answers", share=False)
TOKENS = Quantity("tokens_out", "tokens", share=False)
TRUNCATED = Quantity("truncated", "cut by the limit", share=True)
MEASURES = (ACCURACY, FORMAT, JUDGED, DIVERSITY, TOKENS, TRUNCATED)


@dataclass(frozen=True)
class SuiteScores:
    """What one model scored on one suite."""

    samples: Mapping[str, Samples]
    """Measure key -> samples."""
    clusters: Mapping[str, str]
    """Problem id -> cluster."""
    deterministic: bool
    """True at temperature 0: another sample would be the same."""


def read_scored(member: Member, suite: str, n: int, results_dir: Path) -> SuiteScores | None:
    """A model's scores on a suite; None if it has none. Raises `StoreError` for damaged files.

    Only the first `n` samples of each problem count: an earlier command may have stored more for some of the models.
    """
    run, judged = member.runs.get(suite), member.judged.get(suite)
    if run is None and judged is None:
        return None
    samples: dict[str, Samples] = {}
    rows = _rows(run, n, results_dir) if run is not None else []
    if run is not None:
        samples |= _of_rows(rows)
    if judged is not None:
        judged_rows = _rows(judged, n, results_dir)
        samples[JUDGED.key] = _of_judged(judged, judged_rows)
        rows = rows or judged_rows
        samples.setdefault(TOKENS.key, _collect(rows, _tokens))
    any_run = run or judged
    assert any_run is not None
    return SuiteScores(
        {key: found for key, found in samples.items() if found},
        {row.problem_id: row.cluster for row in rows},
        any_run.sampling.get("temperature") == 0,
    )


def _rows(result: RunResult, n: int, results_dir: Path) -> list[Graded]:
    return [row for row in RunFolder.of(results_dir, result.run_id).graded if row.attempt < n]


def _of_rows(rows: Sequence[Graded]) -> dict[str, Samples]:
    check = next((name for name in FORMATS if any(name in row.formats for row in rows)), None)
    found: dict[str, Samples] = {
        ACCURACY.key: _collect(rows, lambda row: row.score.value),
        TOKENS.key: _collect(rows, _tokens),
        TRUNCATED.key: _collect(rows, _truncated),
    }
    if check is not None:
        found[FORMAT.key] = _collect(rows, lambda row: float(row.formats[check]) if check in row.formats else None)
    if max((row.attempt for row in rows), default=0) > 0:
        found[DIVERSITY.key] = _distinct(rows)
    return found


def _tokens(row: Graded) -> float | None:
    return None if row.tokens_out is None else float(row.tokens_out)


def _truncated(row: Graded) -> float | None:
    return None if row.score.status == "error" else float(row.score.status == "truncated")


def _collect(rows: Sequence[Graded], value: Callable[[Graded], float | None]) -> Samples:
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        number = value(row)
        if number is not None:
            found[row.problem_id].append(number)
    return {problem: tuple(values) for problem, values in found.items()}


def _distinct(rows: Sequence[Graded]) -> Samples:
    """One value for each problem that has two graded answers."""
    groups: dict[str, list[Graded]] = defaultdict(list)
    for row in rows:
        groups[row.problem_id].append(row)
    found: dict[str, tuple[float, ...]] = {}
    for problem, group in groups.items():
        try:
            found[problem] = (distinct_answers(group).value,)
        except DataError:
            continue
    return found


def _of_judged(judged: RunResult, graded: Sequence[Graded]) -> Samples:
    """Judgments by sample, in [0, 1]; but where a protocol weighs problems, its own value of each problem.

    Such a protocol's headline is the mean of its items, not of its judgments. One on another scale (ratings from 1 to
    10) keeps the judgments, as shares of its scale.
    """
    rows = _collect(graded, lambda row: row.score.value)
    items = {problem: item.mean for problem, item in judged.items.items() if item.mean is not None}
    _, unit = described(judged.headline).shown(judged.estimates[judged.headline].value)
    fewer = sum(item.n for item in judged.items.values()) > sum(map(len, rows.values()))
    plain = all(
        problem in items and math.isclose(sum(values) / len(values), items[problem], abs_tol=1e-9)
        for problem, values in rows.items()
    )
    if unit != "%" or fewer or plain:
        return rows
    return {problem: (float(value),) for problem, value in items.items()}


def common_problems(scored: Sequence[SuiteScores], key: str) -> list[str]:
    """Problems that every one of the models has a value for, sorted."""
    sets = [set(one.samples.get(key, {})) for one in scored]
    return sorted(set.intersection(*sets)) if sets else []


def cells(scored: Sequence[SuiteScores], key: str, problems: Sequence[str], *, fixed: bool) -> Cells:
    """The models of an arm, one column each, on these problems; each must have a value for all of them."""
    columns = [[one.samples[key][problem] for problem in problems] for one in scored]
    values = np.array([[sum(v) / len(v) for v in column] for column in columns], dtype=np.float64).T
    noise = np.array([[_noise(v) for v in column] for column in columns], dtype=np.float64).T
    clusters = [scored[0].clusters.get(problem, "") for problem in problems]
    deterministic = all(one.deterministic for one in scored)
    known = not deterministic and noise.size > 0 and not np.isnan(noise).all()
    return Cells(
        values.reshape(len(problems), len(scored)),
        noise.reshape(len(problems), len(scored)) if known else None,
        clusters,
        fixed=fixed,
        deterministic=deterministic,
    )


def _noise(values: Sequence[float]) -> float:
    """Sampling variance of a problem's mean; NaN from one sample."""
    count = len(values)
    if count < 2:
        return math.nan
    mean = sum(values) / count
    return sum((value - mean) ** 2 for value in values) / (count - 1) / count
