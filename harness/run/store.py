"""Writing a run directory: append-only completions, atomic everything else, nothing ever lost.

`records.jsonl` is only ever appended to, by one process (a lock file says so); a shard has a file and a lock of its own
(`harness.run.shards`). A `kill -9` can tear at most the last line; opening the run drops that line and its request is
made again. Any other damage is named and refused: guessing about a researcher's data is worse than stopping. When a run
is complete its records are compacted to `records.parquet`; both files are read (`harness.run.folder`), so raising n
later simply starts a new `records.jsonl`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from io import FileIO
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from harness.clock import utc_now
from harness.errors import PrerequisiteError, StoreError
from harness.files import (
    append_text,
    check_folder,
    open_append,
    open_binary,
    open_lock,
    read_bytes,
    remove_leftovers,
    replacing,
    truncate,
    write_atomically,
)
from harness.plain import clean
from harness.redact import redact
from harness.run.folder import (
    COMPACTED,
    LOG,
    PARQUET_BATCH,
    PROBLEMS,
    RECORDS,
    RESULT,
    SCORES,
    SPEC,
    VERDICTS,
    Key,
    RunFolder,
    read_compacted,
    read_lines,
)
from harness.run.result import RunResult, result_to_json
from harness.run.rows import as_line, graded_to_json, problem_to_json, record_line, record_to_json
from harness.run.shards import LOCK, Shard, shards_with
from harness.run.spec import RunSpec
from harness.types import Finish, Graded, Json, Problem, Record

if TYPE_CHECKING:
    from judges.types import Judgment

_SYNC_EVERY_S = 1.0
_ASIDE = {"protocol": None, "command": None}
"""What two specs of one run may differ in."""


def write_spec(directory: Path, spec: RunSpec) -> None:
    """Write spec.json, atomically."""
    write_atomically(directory / SPEC, json.dumps(spec.to_json(), ensure_ascii=False, indent=1) + "\n")


def write_result(directory: Path, result: RunResult) -> None:
    """Write result.json, atomically."""
    text = json.dumps(result_to_json(result), ensure_ascii=False, allow_nan=False)
    write_atomically(directory / RESULT, text + "\n")


def write_graded(directory: Path, graded: Iterable[Graded]) -> None:
    """Write scores.jsonl, one line per attempt in key order, atomically."""
    rows = sorted(graded, key=lambda g: (g.problem_id, g.attempt))
    write_atomically(directory / SCORES, "".join(f"{as_line(graded_to_json(row))}\n" for row in rows))


def write_judgments(directory: Path, judgments: Iterable[Judgment]) -> None:
    """Write verdicts.jsonl, all judgments of a judged run, atomically."""
    write_atomically(directory / VERDICTS, "".join(f"{as_line(asdict(judgment))}\n" for judgment in judgments))


def write_problems(directory: Path, problems: Iterable[Problem]) -> None:
    """Write problems.jsonl, what was asked in a run that was made elsewhere, atomically."""
    lines = (json.dumps(problem_to_json(problem), ensure_ascii=False) + "\n" for problem in problems)
    write_atomically(directory / PROBLEMS, "".join(lines))


def write_records(directory: Path, records: Iterable[Record]) -> None:
    """Write all completions of a run that was made elsewhere, atomically, in place of any that are there."""
    with replacing(directory / RECORDS) as stream:
        for record in records:
            stream.write(record_line(record))


def _table_row(record: Record) -> dict[str, Json]:
    """A record as a row of the table, whose columns are flat."""
    row = record_to_json(record)
    return row if "composed" not in row else {**row, "composed": as_line(row["composed"])}


class _Place(NamedTuple):
    """Where the record that counts for a key is, and what decides whether it is made again."""

    ordinal: int
    finish: Finish
    prompt_hash: str


class RunStore:
    """The one writer of a run directory; a context manager that holds the directory's lock.

    Raises `StoreError` if another process is writing there, if the directory belongs to another spec, or if its
    records are damaged; `OSError` (for instance a full disk) on writing passes through after what was written is safe.
    """

    def __init__(self, directory: Path, spec: RunSpec, shard: Shard | None = None) -> None:
        self.directory = directory
        self.spec = spec
        self.shard = shard
        """Whose files are written; None is the run's own, which nobody else may be writing."""
        self._records = RECORDS if shard is None else shard.own(RECORDS)
        self._index: dict[Key, _Place] = {}
        self._written = 0
        self._composed = False
        """Whether a system of models answered, whose records have one column more."""
        self._locks = ExitStack()
        self._stream: FileIO | None = None
        self._last_sync = 0.0

    def __enter__(self) -> RunStore:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            check_folder(self.directory)
            self._take(LOCK, str(self.directory))
            if self.shard is not None:
                self._take(self.shard.own(LOCK), f"shard {self.shard} of {self.directory}")
        except OSError as error:
            self._locks.close()
            raise StoreError(
                f"cannot write to {self.directory} ({error.strerror}): name another folder with --results-dir"
            ) from error
        except BaseException:
            self._locks.close()
            raise
        try:
            self._open()
        except BaseException:
            self._locks.close()
            raise
        return self

    def _take(self, name: str, what: str) -> None:
        """Take a lock: shards share the run's, and have their own alone."""
        try:
            shared = self.shard is not None and name == LOCK
            self._locks.enter_context(open_lock(self.directory / name, shared=shared))
        except BlockingIOError:
            raise StoreError(f"{what} is being written by another process: wait for it or stop it") from None

    def _open(self) -> None:
        wanted = json.loads(redact(json.dumps(self.spec.to_json())))
        stored = RunFolder(self.directory).spec_json if os.path.lexists(self.directory / SPEC) else None
        if stored is not None and {**stored, **_ASIDE} != {**wanted, **_ASIDE}:
            raise StoreError(f"{self.directory} belongs to another run; use another --results-dir")
        said = wanted.get("command") if self.shard is None else None  # shards may be opened at once
        if stored is None or said not in (None, stored.get("command")):
            kept = wanted if stored is None else {**stored, "command": said}
            write_atomically(self.directory / SPEC, json.dumps(kept, ensure_ascii=False, indent=1) + "\n")
        if self.shard is None:
            remove_leftovers(self.directory / COMPACTED)
        else:
            self._refuse_other_division(self.shard)
        for record in self._before():
            self._add(record)
        path, end = self.directory / self._records, 0
        for record, offset in read_lines(self.directory, self._records):
            self._add(record)
            end = offset
        if path.exists() and path.stat().st_size > end:
            truncate(path, end)
            self.log(f"dropped a torn last line of {self._records}; its request is made again")

    def _before(self) -> Iterator[Record]:
        """What was stored before the file that is appended to. Other shards' records are nothing to this one."""
        yield from read_compacted(self.directory)
        if self.shard is not None:
            for record, _ in read_lines(self.directory):
                yield record

    def _refuse_other_division(self, shard: Shard) -> None:
        """In two divisions at once, two machines would make the same completion."""
        other = next((one for one in shards_with(self.directory, RECORDS) if one.count != shard.count), None)
        if other is not None:
            raise StoreError(
                f"{self.directory} is in {other.count} shards ({other.own(RECORDS)}), not {shard.count}: say "
                f"--shard I/{other.count}, or run the command without --shard first, which merges them"
            )

    def _add(self, record: Record) -> None:
        key = (record.problem_id, record.attempt)
        self._index[key] = _Place(self._written, record.completion.finish, record.prompt_hash)
        self._written += 1
        self._composed |= record.completion.composed is not None

    def done(self, key: Key, prompt: str) -> bool:
        """True if this attempt has a completion for this very prompt; a failed attempt is made again."""
        place = self._index.get(key)
        return place is not None and place.finish != "error" and place.prompt_hash == prompt

    def complete(self) -> bool:
        """True if nothing that was asked for failed."""
        return all(place.finish != "error" for place in self._index.values())

    def current(self) -> Iterator[Record]:
        """Stream the records stored here, each key once, as it counts now."""
        self.sync()
        appended = (record for record, _ in read_lines(self.directory, self._records))
        for ordinal, record in enumerate(chain(self._before(), appended)):
            if self._index[record.problem_id, record.attempt].ordinal == ordinal:
                yield record

    def append(self, record: Record) -> None:
        """Add one completion: safe from the death of this process at once, from a power cut within about a second."""
        self._append(record, record_line(record))

    def _append(self, record: Record, line: bytes) -> None:
        if self._stream is None:
            self._stream = open_append(self.directory / self._records)
        rest = memoryview(line)
        with self._writing():
            while rest:  # an unbuffered write may take only a part, as on a disk that is about to be full
                rest = rest[self._stream.write(rest) :]
        self._add(record)
        now = time.monotonic()
        if now - self._last_sync > _SYNC_EVERY_S:
            self.sync()
            self._last_sync = now

    def sync(self) -> None:
        """Push everything appended so far to the disk."""
        if self._stream is not None:
            with self._writing():
                os.fsync(self._stream.fileno())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn a full or broken disk into an error that says that nothing is lost."""
        try:
            yield
        except OSError as error:
            raise PrerequisiteError(
                f"cannot write to {self.directory} ({error.strerror}): everything up to the last second is safe; "
                "free some space and run the same command again to resume"
            ) from error

    def merge(self) -> int:
        """Take over what shards left, and their logs, and delete their files; says how many shards there were.

        Safe to kill at any point: a file goes only when all that counts of it is on disk here, and what is taken over
        twice counts once.
        """
        shards = shards_with(self.directory, RECORDS)
        for shard in shards:
            self._take_over(self.directory / shard.own(RECORDS))
        for shard in shards_with(self.directory, LOG):
            path = self.directory / shard.own(LOG)
            append_text(self.directory / LOG, read_bytes(path).decode("utf-8", "replace"))
            path.unlink()
        for shard in shards_with(self.directory, LOCK):  # nobody holds one while the run's own is held alone
            (self.directory / shard.own(LOCK)).unlink()
        if shards:
            self.log(f"merged {len(shards)} shards: {', '.join(map(str, shards))}")
        return len(shards)

    def _take_over(self, path: Path) -> None:
        """Append a shard's records as they stand, since writing them anew costs fifty times as much; then delete it."""
        begin = 0
        try:
            lines = open_binary(path)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        with lines:
            for record, end in read_lines(self.directory, path.name):
                line, begin = lines.read(end - begin), end
                if self._wanted(record):
                    self._append(record, line)
        self.sync()
        path.unlink()

    def _wanted(self, record: Record) -> bool:
        """Whether a shard's record counts beside what is stored: a failed one is nothing where there is another."""
        place = self._index.get((record.problem_id, record.attempt))
        if place is None or place.prompt_hash != record.prompt_hash:
            return True
        return place.finish == "error" and record.completion.finish != "error"

    def compact(self) -> None:
        """Move all records into one Parquet file, then drop the lines. Safe to kill at any point."""
        import pyarrow
        import pyarrow.parquet

        self.sync()
        if not (self.directory / RECORDS).exists():
            return
        columns = [("v", "int32"), ("problem_id", "string"), ("attempt", "int32"), ("seed", "int64")]
        columns += [("prompt_hash", "string"), ("text", "string"), ("finish", "string"), ("reasoning", "string")]
        columns += [("opened_think", "bool_"), ("tokens_in", "int32"), ("tokens_out", "int32"), ("seconds", "float64")]
        columns += [("logprob", "float64"), ("error", "string"), ("markup", "string")]
        columns += [("composed", "string")] if self._composed else []
        schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns])
        index: dict[Key, _Place] = {}
        rows = self.current()
        with (
            replacing(self.directory / COMPACTED) as file,
            pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            while batch := list(islice(rows, PARQUET_BATCH)):
                writer.write_table(pyarrow.Table.from_pylist([_table_row(r) for r in batch], schema=schema))
                for record in batch:
                    place = self._index[record.problem_id, record.attempt]
                    index[record.problem_id, record.attempt] = place._replace(ordinal=len(index))
        self._close_stream()
        (self.directory / RECORDS).unlink()
        self._index, self._written = index, len(index)

    def log(self, line: str) -> None:
        """Append a redacted, time-stamped line to log.txt."""
        file = LOG if self.shard is None else self.shard.own(LOG)
        append_text(self.directory / file, f"{utc_now()} {clean(line, 4000)}\n")

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sync()
        except PrerequisiteError:
            if error is None:  # else the error that got us here says more
                raise
        finally:
            self._close_stream()
            self._locks.close()
