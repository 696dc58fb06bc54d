"""What analyses of stored runs share: how they are asked, runs side by side, numbers with intervals."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from harness import catalog
from harness.compare import differences
from harness.errors import DataError, UsageError
from harness.models.replies import NoProgress, Progress
from harness.report.table import Column, Row, Table, number
from harness.report.text import signed_interval, with_interval
from harness.run.folder import RunFolder
from harness.run.naming import display_names
from harness.stats.standard_errors import Array, mean_interval
from harness.types import Completion, Graded, Json


@dataclass(frozen=True)
class AnalysisContext:
    """What an analysis may use beside the runs."""

    results_dir: Path
    data_dir: Path | None = None
    say: Callable[[str], None] = lambda _: None
    """A line of progress."""
    progress: Progress[Completion] = field(default_factory=NoProgress)
    """Of what models are asked."""


@dataclass(frozen=True)
class Analysis(ABC):
    """One analysis; the fields of a subclass are the options of its command, its docstring the help."""

    runs: ClassVar[str] = "RUN [RUN...]"
    """How the command calls its runs; "" for none."""
    least: ClassVar[int] = 1
    """Fewest runs."""

    @abstractmethod
    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """What there is to say, the most important first. Raises `UsageError`, `DataError`, `StoreError`."""


def load_analysis(name: str) -> type[Analysis]:
    """The class behind a name of the catalog's kind "analysis"."""
    return cast("type[Analysis]", catalog.load("analysis", name))


@dataclass(frozen=True)
class SideBySide:
    """Runs of one suite on the problems that all have scored."""

    names: tuple[str, ...]
    problems: tuple[str, ...]
    clusters: tuple[str, ...]
    """Of each problem: its own id where it stands alone."""
    rows: tuple[Mapping[str, tuple[Graded, ...]], ...]
    """Of each run: problem -> its scored attempts, in order."""
    left_out: int
    """Problems that not every run has scored."""

    def means(self, run: int) -> Array:
        """Mean score of each problem, shape [problems]."""
        return np.array([_mean(self.rows[run][problem]) for problem in self.problems])


def _mean(rows: Sequence[Graded]) -> float:
    return math.fsum(row.score.value or 0.0 for row in rows) / len(rows)


def side_by_side(runs: Sequence[RunFolder]) -> SideBySide:
    """The runs on their common problems; an attempt without a score is missing, not wrong.

    Raises `UsageError` for runs that were not asked the same or are given twice, `DataError` for no common problem.
    """
    refuse_unlike(runs)
    found: list[dict[str, list[Graded]]] = []
    for run in runs:
        rows: dict[str, list[Graded]] = {}
        for row in sorted(run.graded, key=lambda row: row.attempt):
            if row.score.value is not None:
                rows.setdefault(row.problem_id, []).append(row)
        found.append(rows)
    common = [key for key in found[0] if all(key in rows for rows in found[1:])]
    if not common:
        raise DataError(f"{', '.join(run.name for run in runs)}: no problem is scored in all of them")
    asked = {key for rows in found for key in rows}
    return SideBySide(
        names=tuple(display_names([run.result for run in runs])),
        problems=tuple(common),
        clusters=tuple(found[0][key][0].cluster or key for key in common),
        rows=tuple({key: tuple(rows[key]) for key in common} for rows in found),
        left_out=len(asked) - len(common),
    )


def refuse_unlike(runs: Sequence[RunFolder]) -> None:
    """Raise `UsageError` for runs that were not asked the same or are given twice."""
    first, *others = runs
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise UsageError("a run is given twice: it is always equal to itself")
    for other in others:
        if first.result.suite != other.result.suite:
            raise UsageError(f"{first.name} is of suite {first.result.suite!r}, {other.name} of {other.result.suite!r}")
        if different := differences(first.result, other.result):
            raise UsageError(f"{first.name} and {other.name} cannot be held together: {'; '.join(different)}")


def mean_of(values: Array, clusters: Sequence[str], *, share: bool = True) -> dict[str, Json]:
    """A mean over problems with its interval, as the cell of a row; empty where there is none."""
    if not len(values):
        return told(math.nan, math.nan, math.nan)
    found = mean_interval(values, clusters, share=share)
    return told(found.value, found.low, found.high)


def told(value: float, low: float, high: float) -> dict[str, Json]:
    """A number as rows hold it; what is not known is null."""
    known = {"value": value, "low": low, "high": high}
    return {name: one if math.isfinite(one) else None for name, one in known.items()}


def measured(title: str, key: str = "", *, scale: float = 100.0, signed: bool = False) -> Column:
    """A column of numbers that `told` made; `scale` 100 for shares in per cent."""
    name = key or title

    def show(row: Row) -> str:
        value, low, high = (number(row, name, part) for part in ("value", "low", "high"))
        if value is None:
            return "-"
        if low is None or high is None:
            return f"{scale * value:{'+' if signed else ''}.1f}"
        return signed_interval(value, low, high, scale) if signed else with_interval(value, low, high, scale)

    return Column(title, show, right=True)
