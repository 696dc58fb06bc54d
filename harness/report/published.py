"""Reference rows: what papers printed, validated and matched to our suites.

`results/published/*.csv`, columns system,student,teacher,benchmark,metric,value,source. Shown beside measured rows on
request and always marked: they have no interval, no counts and another protocol.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError

COLUMNS = ("system", "student", "teacher", "benchmark", "metric", "value", "source")
SUITE_OF = {
    "AIME24": "aime24",
    "AIME25": "aime25",
    "GPQA-D": "gpqa",
    "MATH-500": "math500",
    "BBH-test": "bbh",
    "AGIEval": "agieval",
    "ARC-E": "arc_easy",
    "ARC-C": "arc_challenge",
    "AlpacaEval2": "alpaca_eval",
    "Arena-Hard": "arena_hard",
    "MT-Bench": "mt_bench",
}
"""The sources' benchmark names -> our suites; other benchmarks have no suite here."""
RATING = "rating"
"""The metric that is printed on a scale from 1 to 10; all others are percentages, or points of 100."""
_METRIC = re.compile(
    r"acc|avg@n|(avg|pass|pass_first|maj)@[1-9][0-9]*|em|format:json|average|atr|otr|nli"
    rf"|cot_(math|quality)|points:cot_(math|quality)\.[a-z_]+|lc_win_rate|arena_score|{RATING}"
)
_MAX_BYTES = 5_000_000


@dataclass(frozen=True)
class Reference:
    """One published number."""

    system: str
    student: str
    teacher: str
    benchmark: str
    metric: str
    value: float
    """As published: in percent, in points of 100, or from 1 to 10 (`RATING`)."""
    source: str

    @property
    def suite(self) -> str | None:
        """Our suite of that benchmark, if there is one."""
        return SUITE_OF.get(self.benchmark)

    @property
    def on_our_scale(self) -> float:
        """The value as our estimates hold it: a share, or a rating."""
        return self.value if self.metric == RATING else self.value / 100

    @property
    def samples(self) -> int | None:
        """Samples per problem behind an average; None if not stated."""
        number = self.metric.partition("@")[2]
        return int(number) if number.isdigit() else None

    def answers(self, metric: str) -> bool:
        """True if this number estimates what our metric estimates."""
        if metric in ("avg@n", "em"):
            return self.metric.startswith("avg@") or self.metric == "acc"
        return self.metric == metric or (metric.startswith("pass@") and self.metric == f"pass_first@{metric[5:]}")


def find_folder(results_dir: Path) -> Path:
    """`<results>/published` if it exists, else the one of the clone that this package runs from."""
    own = results_dir / "published"
    return own if own.is_dir() else Path(__file__).resolve().parents[2] / "results" / "published"


def load_references(folder: Path) -> list[Reference]:
    """All rows of all CSV files, in order of file name.

    Raises `DataError` naming file and line for every bad row together, or if there is no file at all.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise DataError(f"no published rows (*.csv) in {folder}: they come with the repository, results/published")
    references: list[Reference] = []
    bad: list[str] = []
    for path in files:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} is larger than {_MAX_BYTES // 1_000_000} MB: not a table of reference rows")
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                found, errors = _read(path, csv.reader(stream, strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            bad.append(f"{path.name}: {error}")
            continue
        references += found
        bad += errors
    if bad:
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise DataError(f"bad reference rows in {folder}: {'; '.join(bad[:10])}{more}")
    return references


def _read(path: Path, lines: Iterable[list[str]]) -> tuple[list[Reference], list[str]]:
    found: list[Reference] = []
    bad: list[str] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, cells in enumerate(lines, start=1):
        if number == 1:
            if tuple(cells) != COLUMNS:
                return [], [f"{path.name}, line 1: the header is not {','.join(COLUMNS)}"]
            continue
        problem = _problem(cells)
        key = (*cells[:5], *cells[6:])
        if problem is None and key in seen:
            problem = f"repeats line {seen[key]}"
        if problem is not None:
            bad.append(f"{path.name}, line {number}: {problem}")
            continue
        seen[key] = number
        system, student, teacher, benchmark, metric, value, source = cells
        found.append(Reference(system, student, teacher, benchmark, metric, float(value), source))
    return found, bad


def _problem(cells: list[str]) -> str | None:
    """What is wrong with a row, or None."""
    if len(cells) != len(COLUMNS):
        return f"{len(cells)} cells instead of {len(COLUMNS)}"
    if empty := [name for name, cell in zip(COLUMNS, cells, strict=True) if not cell.strip()]:
        return f"empty {', '.join(empty)}"
    try:
        value = float(cells[5])
    except ValueError:
        return f"value {cells[5]!r} is not a number"
    if not _METRIC.fullmatch(cells[4]):
        return f"unknown metric {cells[4]!r}"
    if cells[4] == RATING:
        return None if 1 <= value <= 10 else f"value {cells[5]} is not a rating from 1 to 10"
    if cells[4] in ("atr", "otr"):
        return None if math.isfinite(value) and value <= 100 else f"value {cells[5]} is not a reduction in percent"
    return None if math.isfinite(value) and 0 <= value <= 100 else f"value {cells[5]} is not a percentage"
