"""Import result files or whole output folders of other tools as runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import DataError, UnknownName, UsageError
from harness.interop import lighteval, lm_eval
from harness.interop.common import TOOLS, ForeignRun, Tool, read_json, replies, to_result, write_run
from harness.interop.mapping import located
from harness.run.folder import RunFolder

_MAX_FILES = 5000


def find_files(path: Path) -> list[Path]:
    """The file itself, or every results_*.json below a folder, sorted.

    Raises `DataError` if there is none or there are more than any real output folder has.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"there is no file or folder {path}")
    found: list[Path] = []
    for file in path.rglob("results_*.json"):
        found.append(file)
        if len(found) > _MAX_FILES:
            raise DataError(f"{path} holds more than {_MAX_FILES} result files: import its parts one by one")
    if not found:
        raise DataError(f"{path} holds no results_*.json of lighteval or lm-eval")
    return sorted(found)


def read_file(path: Path, tool: Tool | None) -> list[ForeignRun]:
    """All tasks of one result file; `tool` None tells the format by its content. Raises `DataError`."""
    if tool is None:
        raw = read_json(path)
        tool = "lighteval" if lighteval.is_lighteval(raw) else "lm-eval" if lm_eval.is_lm_eval(raw) else None
    if tool is None:
        raise DataError(f"{path} is neither a result file of lighteval nor of lm-eval")
    return lighteval.read(path) if tool == "lighteval" else lm_eval.read(path)


def import_path(
    path: Path, results_dir: Path, *, tool: str | None = None, metric: str | None = None, data_dir: Path | None = None
) -> tuple[list[RunFolder], list[str]]:
    """(runs, refused files): all below `path`; a file that cannot be read is refused by name, the others are imported.

    `metric` is the one to rank and pair on (default: each task's first). Raises `DataError` if there is nothing to
    read, `UnknownName` for a tool or a metric that no task has.
    """
    if tool is not None and tool not in TOOLS:
        raise UnknownName("tool", tool, TOOLS)
    chosen: Tool | None = "lighteval" if tool == "lighteval" else "lm-eval" if tool == "lm-eval" else None
    foreign: list[ForeignRun] = []
    refused: list[str] = []
    for file in find_files(path):
        try:
            foreign += read_file(file, chosen)
        except DataError as error:
            refused.append(str(error))
    if metric is not None and foreign and not any(metric in run.metrics for run in foreign):
        raise UnknownName("metric among the files", metric, {name for run in foreign for name in run.metrics})
    return [_write(run, results_dir, metric, data_dir) for run in foreign], refused


def _write(run: ForeignRun, results_dir: Path, metric: str | None, data_dir: Path | None) -> RunFolder:
    headline = metric if metric is not None and metric in run.metrics else next(iter(run.metrics))
    run = located(run, data_dir)
    result, graded = to_result(run, headline)
    problems, records = replies(run, data_dir)
    return write_run(results_dir, result, graded, problems, records)


def describe(imported: Sequence[RunFolder]) -> list[str]:
    """One line per run for a person."""
    if not imported:
        raise UsageError("nothing was imported")
    lines: list[str] = []
    for run in imported:
        result = run.result
        value = result.estimates[result.headline].value
        items = f"{len(result.items)} per-problem values" if result.items else "totals only"
        lines.append(f"{result.suite}  {result.model}  {result.headline} = {value:.4f}  ({items})  {result.run_id}")
    return lines
