"""The one door to a stored run: `RunFolder(path)` reads what a run directory holds, typed, and only what is asked for.

A run directory `<results>/runs/<run_id>/` holds

    spec.json        what was asked (written first)
    records.jsonl    completions, appended as they finish; compacted to records.parquet when the run is complete
    records.2of4.jsonl  of a run in shards: those of the second of four, until somebody merges (`harness.run.shards`)
    scores.jsonl     one `Graded` per line, no texts; rewritten by scoring
    verdicts.jsonl   of a judged run: every judgment with the judge's own words
    problems.jsonl   of an imported run: what the other tool asked
    result.json      the outcome; written to a temporary name and renamed
    log.txt          warnings and errors, redacted

`harness.run.store` writes it. Anything unreadable raises `StoreError` naming the file, the line and what to do.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import SeveralRuns, StoreError, UsageError
from harness.files import iter_lines, open_binary, parse_json, read_json
from harness.run.result import SCHEMA, RunResult, result_from_json
from harness.run.rows import graded_from_json, judgment_from_json, problem_from_json, record_from_json
from harness.run.shards import shards_with
from harness.run.spec import RunSpec, spec_from_json
from harness.types import Graded, Problem, Record

if TYPE_CHECKING:
    from judges.types import Judgment


SPEC, RESULT, LOG = "spec.json", "result.json", "log.txt"
RECORDS, COMPACTED, SCORES = "records.jsonl", "records.parquet", "scores.jsonl"
VERDICTS, PROBLEMS = "verdicts.jsonl", "problems.jsonl"
RUNS = "runs"
JUDGED = "@"
"""In the id of a judged run: stands between the id of the run judged and what judged it. No other id has it."""
PARQUET_BATCH = 2000
"""Rows a row group: bounds the memory of compacting long chains of thought."""
Key = tuple[str, int]
"""Problem id and attempt."""
T = TypeVar("T")


class RunFolder:
    """What a run directory holds. Each property reads its file when it is first asked for, and raises `StoreError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, results_dir: Path, run_id: str) -> RunFolder:
        """The folder of a run, by its id."""
        return cls(results_dir / RUNS / run_id)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def results_dir(self) -> Path:
        """Where its runs and models are."""
        return self.path.resolve().parent.parent

    def beside(self, run_id: str) -> RunFolder:
        """Another run of the same results folder."""
        return RunFolder(self.path.parent / run_id)

    def has(self, file: str) -> bool:
        """True if there is such a file: `RESULT` for a finished run, `SCORES` for a graded one."""
        return (self.path / file).exists()

    @cached_property
    def spec_json(self) -> dict[str, Any]:
        """spec.json as it is written, for people; whoever wants to know something asks `spec`."""
        path = self.path / SPEC
        try:
            spec = read_json(path)
        except FileNotFoundError:
            raise StoreError(f"{self.path} is not a run directory: it has no {SPEC}") from None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise StoreError(f"{path} is damaged ({error}): {_RESTORE}") from error
        if not isinstance(spec, dict):
            raise StoreError(f"{path} is damaged: {_RESTORE}")
        return spec

    @cached_property
    def spec(self) -> RunSpec:
        """What was asked, by whom it was imported and how it was judged."""
        raw = self.spec_json
        try:
            return spec_from_json(raw)
        except ValueError as error:
            again = "import the run again" if raw.get("imported_from") else _RESTORE
            again = "write it again with the same `harness judge`" if "judged_from" in raw else again
            raise StoreError(f"{self.path / SPEC} is damaged ({error}): {again}") from error

    @cached_property
    def result(self) -> RunResult:
        """The outcome; its run id is the folder's name, also of a folder that was copied or renamed."""
        path = self.path / RESULT
        try:
            raw: dict[str, Any] = read_json(path)
            if raw["schema"] != SCHEMA:
                raise StoreError(
                    f"{path} has schema {raw['schema']!r}, this version reads {SCHEMA}: score the run again"
                )
            return replace(result_from_json(raw), run_id=self.name)
        except FileNotFoundError:
            raise StoreError(f"{path} does not exist: finish the run with the same `harness run` command") from None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(f"{path} is not a result file ({error}): write it again with {self._command}") from error

    @property
    def _command(self) -> str:
        """What writes scores and result of this run again."""
        return "`harness judge`" if JUDGED in self.name else "`harness score`"

    @cached_property
    def graded(self) -> list[Graded]:
        """Every graded attempt, by problem and attempt."""
        path = self.path / SCORES
        if not os.path.lexists(path):
            raise StoreError(f"{path} does not exist: finish the run, or grade it with {self._command}")
        return self._rows(SCORES, graded_from_json, f"write it again with {self._command}")

    @cached_property
    def judgments(self) -> list[Judgment]:
        """Of a judged run: every judgment."""
        return self._rows(VERDICTS, judgment_from_json, "write it again with the same `harness judge`")

    @cached_property
    def problems(self) -> list[Problem]:
        """Of an imported run: what was asked; empty if nothing was kept."""
        if not os.path.lexists(self.path / PROBLEMS):
            return []
        return self._rows(PROBLEMS, problem_from_json, "import the run again")

    def _rows(self, file: str, read: Callable[[dict[str, Any]], T], again: str) -> list[T]:
        path = self.path / file
        rows: list[T] = []
        try:
            for line in iter_lines(path):
                rows.append(read(parse_json(line)))
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}, line {len(rows) + 1} is damaged ({error}): {again}") from error
        return rows

    @property
    def records(self) -> Iterator[Record]:
        """Stream every stored completion in the order written; where a key comes twice (a retry), the later one counts.

        A torn last line, which a kill can leave, is no damage: it is left out.
        """
        yield from read_compacted(self.path)
        for file in (RECORDS, *(shard.own(RECORDS) for shard in shards_with(self.path, RECORDS))):
            for record, _ in read_lines(self.path, file):
                yield record

    @property
    def latest(self) -> dict[Key, Record]:
        """The completions that count."""
        return {(record.problem_id, record.attempt): record for record in self.records}

    def usable(self) -> dict[Key, str]:
        """Key -> prompt hash of the completions that count and did not fail; no text stays in memory."""
        keys: dict[Key, str] = {}
        for record in self.records:
            key = (record.problem_id, record.attempt)
            if record.completion.finish != "error":
                keys[key] = record.prompt_hash
            else:
                keys.pop(key, None)
        return keys


_RESTORE = "restore it, or move the folder away to start again"


def read_compacted(directory: Path) -> Iterator[Record]:
    """The records of records.parquet, if there is one."""
    path = directory / COMPACTED
    if not os.path.lexists(path):
        return
    import pyarrow
    import pyarrow.parquet

    try:
        # An open file, since pyarrow itself refuses paths that are not UTF-8.
        with open_binary(path) as stream, pyarrow.parquet.ParquetFile(stream) as file:
            for batch in file.iter_batches(batch_size=PARQUET_BATCH):
                for row in batch.to_pylist():
                    yield record_from_json({key: value for key, value in row.items() if value is not None})
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}): {_RESTORE}") from error


def read_lines(directory: Path, file: str = RECORDS) -> Iterator[tuple[Record, int]]:
    """The records of records.jsonl, or a shard's, with the byte offset after each line; stops only before a torn one.

    Torn is the last line at most.
    """
    path = directory / file
    if not os.path.lexists(path):
        return
    offset = number = 0
    lines = iter_lines(path)
    while True:
        number += 1
        line = b""
        try:
            line = next(lines, b"")
            if not line:
                return
            record = record_from_json(parse_json(line))
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            if line and not line.endswith(b"\n"):
                return
            raise StoreError(
                f"{path}, line {number} is not a record ({error!r}): nothing was changed. "
                "Repair or delete that line, or move the folder away to start again"
            ) from error
        if not line.endswith(b"\n"):  # complete JSON without its newline, which was lost: do it again to be sure
            return
        offset += len(line)
        yield record, offset


def list_runs(results_dir: Path) -> list[RunFolder]:
    """Every run folder in order of name; hidden folders and stray files are no runs.

    Raises `StoreError` if the results folder itself does not exist or cannot be listed.
    """
    if not results_dir.is_dir():
        raise StoreError(f"there is no results folder {results_dir}: run something first, or say --results-dir")
    try:
        folder = results_dir / RUNS
        if not folder.exists():
            return []
        paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise StoreError(f"cannot list the runs in {results_dir}: {error.strerror}") from error
    return [RunFolder(path) for path in paths]


def stored_folders(results_dir: Path, results: Iterable[RunResult]) -> list[RunFolder]:
    """The folders of these results, each once; those that lie elsewhere are left out."""
    names = dict.fromkeys(result.run_id for result in results if "/" not in result.run_id)
    return [folder for folder in (RunFolder.of(results_dir, name) for name in names) if folder.has(RESULT)]


def find_run(results_dir: Path, name: str) -> RunFolder:
    """The run that `name` means: a path, a run id, a unique beginning of one, a model with one run, or part of an id.

    Raises `SeveralRuns` with the candidates if several match, `UsageError` with the closest ids if none does.
    """
    path = Path(name)
    # os.path, unlike Path, takes a name that no file can have (too long, a null byte) for what it is: no file.
    if ("/" in name or name in (".", "..")) and os.path.isdir(name):
        return RunFolder(path if path.name not in ("", "..") else Path(os.path.abspath(name)))  # its name is the run's
    if "/" in name and path.name == RESULT and os.path.isfile(name):
        return RunFolder(path.parent)
    runs = {run.name: run for run in list_runs(results_dir)}
    if name in runs:
        return runs[name]
    # Few letters mean the run itself, not what was judged of it, unless they say so.
    run, judged, judge = name.partition(JUDGED)
    meant = [i for i in runs if (JUDGED in i) == bool(judged)]
    parts = {i: i.partition(JUDGED) for i in meant}
    begins = [i for i, part in parts.items() if part[0].startswith(run) and part[2].startswith(judge)]
    # Every spec is read for a model's name: only where no id begins so.
    of_model = [] if begins else [one.name for one in runs_of_model(runs.values(), name)]
    for what, matches in (
        ("is the beginning or part of", begins),
        ("is a model with", of_model),
        ("is the beginning or part of", [i for i, part in parts.items() if run in part[0] and judge in part[2]]),
    ):
        if len(matches) == 1 and name:
            return runs[matches[0]]
        if matches and name:
            shown = ", ".join(matches[:8]) + (f" and {len(matches) - 8} more" if len(matches) > 8 else "")
            more = "Name one of them" if what == "is a model with" else "Write more of it"
            raise SeveralRuns(f"{name!r} {what} {len(matches)} runs: {shown}. {more}")
    if name and os.path.isdir(name):
        return RunFolder(path)
    close = difflib.get_close_matches(name, runs, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UsageError(
        f"no run {name!r} among the {len(runs)} in {results_dir / RUNS}.{hint} `harness list runs` names them"
    )


def find_runs(results_dir: Path, name: str) -> list[RunFolder]:
    """As `find_run`, but of a model all its runs: one for each suite. Raises as that does where a suite has two."""
    try:
        return [find_run(results_dir, name)]
    except SeveralRuns:
        found = runs_of_model(list_runs(results_dir), name)
        if not found or len({run.spec.suite for run in found}) < len(found):
            raise
        return found


def runs_of_model(runs: Iterable[RunFolder], name: str) -> list[RunFolder]:
    """The runs of exactly this model, as it was written; those that were judged of others only where there are none."""

    def model(run: RunFolder) -> str | None:
        try:
            return run.spec.model
        except StoreError:  # looking for a name does not stop at a damaged run
            return None

    every = list(runs)
    found = [run for run in every if name and model(run) == name]
    # A run that was judged is of the same model, also where its own spec can no longer say so: it must not be replaced
    # by what a judge said of it.
    bases = {run.name.partition(JUDGED)[0] for run in found}
    return [run for run in every if run.name in bases] or found
