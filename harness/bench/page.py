"""The report as a file: one self-contained HTML page with pictures, or Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from harness.bench.compare import SuiteComparison
from harness.bench.plots import Points, curves, noise_bars, scatter
from harness.bench.report import all_tables
from harness.bench.spec import Arm, BenchSpec
from harness.errors import UsageError
from harness.files import iter_lines, parse_json, write_output
from harness.plain import plural
from harness.registry import models_dir
from harness.report.html import page
from harness.report.table import to_markdown
from harness.report.text import markdown

SUFFIXES = (".html", ".md")
_MAX_LINES = 200_000
"""Of a metrics.jsonl."""


def check_report(path: Path) -> None:
    """Raise `UsageError` for a place or a kind of file that cannot be written, before anything is spent."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--report {str(path)!r}: name a file ending in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"--report {str(path)!r}: there is no folder {str(path.parent)!r}")


def write_report(
    path: Path, spec: BenchSpec, arms: Sequence[Arm], comparisons: Sequence[SuiteComparison], results_dir: Path
) -> None:
    """Write the report; raises `OSError` if the place cannot be written."""
    tables = all_tables(arms, comparisons)
    budget = "each for its own epochs" if spec.budget is None else f"{spec.budget} each"
    title = f"{', '.join(spec.methods)} on {spec.student}: {plural(spec.seeds, 'seed')}, {budget}"
    if path.suffix == ".md":
        write_output(path, f"# {markdown(title)}\n\n{to_markdown(tables)}")
        return
    figures = [figure for found in comparisons for figure in (scatter(found), noise_bars(found))]
    figures.append(curves(loss_curves(arms, results_dir)))
    write_output(path, page(title, tables, figures=[figure for figure in figures if figure]))


def loss_curves(arms: Sequence[Arm], results_dir: Path) -> list[tuple[str, Points]]:
    """Loss over tokens of every trained model that has a metrics.jsonl; a line that cannot be read is left out."""
    found = []
    for arm in arms:
        for member in arm.members:
            if member.card is not None:
                path = models_dir(results_dir) / member.card.id / "metrics.jsonl"
                found.append((arm.name, tuple(_points(path))))
    return found


def _points(path: Path) -> Iterator[tuple[float, float]]:
    try:
        for line in islice(iter_lines(path), _MAX_LINES):
            try:
                row = parse_json(line)
                point = float(row["tokens"]), float(row["loss"])
            except (ValueError, KeyError, TypeError):
                continue
            if all(map(math.isfinite, point)):
                yield point
    except (OSError, ValueError):  # ValueError: a line longer than is read
        return
