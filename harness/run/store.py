"""The run directory: append-only completions, atomic everything else, nothing ever lost.

`records.jsonl` is only ever appended to, by one process (a lock file says so). A `kill -9` can tear at most the last
line; opening the run drops that line and its request is made again. Any other damage is named and refused: guessing
about a researcher's data is worse than stopping. When a run is complete its records are compacted to
`records.parquet`; both files are read, so raising n later simply starts a new `records.jsonl`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from io import FileIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from harness.clock import utc_now
from harness.errors import PrerequisiteError, StoreError
from harness.files import (
    append_text,
    check_folder,
    iter_lines,
    open_append,
    open_binary,
    open_lock,
    parse_json,
    read_json,
    remove_leftovers,
    replacing,
    truncate,
    write_atomically,
)
from harness.markup import named
from harness.plain import clean
from harness.redact import redact
from harness.run.checked import graded_from_json
from harness.run.locate import written_by
from harness.run.spec import RunSpec
from harness.types import Completion, Finish, Graded, Json, Record

RECORDS, COMPACTED, SCORES, SPEC, LOG = "records.jsonl", "records.parquet", "scores.jsonl", "spec.json", "log.txt"
RECORD_SCHEMA = 1
_SYNC_EVERY_S = 1.0
_PARQUET_BATCH = 2000  # rows a row group: bounds the memory of compacting long chains of thought
Key = tuple[str, int]


def record_to_json(record: Record) -> dict[str, Json]:
    """The line on disk: the completion exactly as the model gave it (what is derived from it is never stored)."""
    row = {key: value for key, value in asdict(record.completion).items() if value is not None and value is not False}
    if not row["markup"]:
        del row["markup"]
    row.pop("answer_text", None)
    return {
        "v": RECORD_SCHEMA,
        "problem_id": record.problem_id,
        "attempt": record.attempt,
        "seed": record.seed,
        "prompt_hash": record.prompt_hash,
        **row,
    }


def record_from_json(row: dict[str, Any]) -> Record:
    """Inverse of `record_to_json`. Raises KeyError, TypeError or ValueError on a row that is not one of ours."""
    if row["v"] != RECORD_SCHEMA:
        raise ValueError(f"record schema {row['v']!r}, this version reads {RECORD_SCHEMA}")
    completion = Completion(
        text=row["text"],
        finish=row["finish"],
        reasoning=row.get("reasoning"),
        opened_think=bool(row.get("opened_think", False)),
        markup=row.get("markup", ""),
        tokens_in=row.get("tokens_in"),
        tokens_out=row.get("tokens_out"),
        seconds=row.get("seconds"),
        logprob=row.get("logprob"),
        error=row.get("error"),
    )
    record = Record(row["problem_id"], row["attempt"], row["seed"], row["prompt_hash"], completion)
    texts = (completion.text, completion.markup, record.problem_id, record.prompt_hash)
    counts = (completion.tokens_in, completion.tokens_out)
    if (
        completion.finish not in ("stop", "length", "error")
        or not all(type(text) is str for text in texts)
        or not all(isinstance(text, str | None) for text in (completion.reasoning, completion.error))
        or not all(type(number) is int for number in (record.attempt, record.seed))
        or not all(count is None or type(count) is int for count in counts)
        or not all(isinstance(number, int | float | None) for number in (completion.seconds, completion.logprob))
    ):
        raise ValueError("a field has the wrong type")
    named(completion.markup)
    return record


def _line(record: Record) -> bytes:
    line = redact(json.dumps(record_to_json(record), ensure_ascii=False, separators=(",", ":")))
    # A lone surrogate, which a server's JSON can carry, has no UTF-8 form: it becomes "?", not a lost record.
    return line.encode("utf-8", "replace")


def as_stored(record: Record) -> Record:
    """The record as it will be read from the disk: redacted, and without what UTF-8 cannot hold."""
    return record_from_json(json.loads(_line(record)))


def iter_records(directory: Path) -> Iterator[Record]:
    """Stream every stored record in the order written; where a key comes twice (a retry), the later one counts.

    Raises `StoreError` naming file and line for anything unreadable but a torn last line, which is left out.
    """
    yield from _read_compacted(directory / COMPACTED)
    for record, _ in _read_lines(directory / RECORDS):
        yield record


def _read_compacted(path: Path) -> Iterator[Record]:
    if not os.path.lexists(path):
        return
    import pyarrow
    import pyarrow.parquet

    try:
        # An open file, since pyarrow itself refuses paths that are not UTF-8.
        with open_binary(path) as stream, pyarrow.parquet.ParquetFile(stream) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
                for row in batch.to_pylist():
                    yield record_from_json({key: value for key, value in row.items() if value is not None})
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}): restore it, or move the folder away to start again"
        ) from error


def _read_lines(path: Path) -> Iterator[tuple[Record, int]]:
    """Records with the byte offset after each line; stops silently before a torn last line only."""
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


def stored_keys(directory: Path) -> dict[Key, str]:
    """Key -> prompt hash of every usable stored completion, without taking the lock."""
    keys: dict[Key, str] = {}
    for record in iter_records(directory):
        key = (record.problem_id, record.attempt)
        if record.completion.finish != "error":
            keys[key] = record.prompt_hash
        else:
            keys.pop(key, None)
    return keys


def write_graded(directory: Path, graded: Iterable[Graded]) -> None:
    """Write scores.jsonl, one line per attempt in key order, atomically."""
    rows = sorted(graded, key=lambda g: (g.problem_id, g.attempt))
    lines = (json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":")) for row in rows)
    write_atomically(directory / SCORES, "".join(f"{line}\n" for line in lines))


def write_records(directory: Path, records: Iterable[Record]) -> None:
    """Write all completions of a run that was made elsewhere, atomically, in place of any that are there."""
    with replacing(directory / RECORDS) as stream:
        for record in records:
            stream.write(_line(record) + b"\n")


def read_graded(directory: Path) -> list[Graded]:
    """Read scores.jsonl; raises `StoreError` naming file and line if absent or damaged."""
    path = directory / SCORES
    graded: list[Graded] = []
    try:
        for line in iter_lines(path):
            graded.append(graded_from_json(parse_json(line)))
    except FileNotFoundError:
        raise StoreError(f"{path} does not exist: finish the run, or grade it with {written_by(directory)}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}, line {len(graded) + 1} is damaged ({error}): write it again with {written_by(directory)}"
        ) from error
    return graded


def read_spec(directory: Path) -> dict[str, Any]:
    """Read spec.json; raises `StoreError` if this is not a run directory."""
    path = directory / SPEC
    try:
        spec = read_json(path)
    except FileNotFoundError:
        raise StoreError(f"{directory} is not a run directory: it has no {SPEC}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}): restore it, or move the folder away to start again") from error
    if not isinstance(spec, dict):
        raise StoreError(f"{path} is damaged: restore it, or move the folder away to start again")
    return spec


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

    def __init__(self, directory: Path, spec: RunSpec) -> None:
        self.directory = directory
        self.spec = spec
        self._index: dict[Key, _Place] = {}
        self._written = 0
        self._lock: IO[bytes] | None = None
        self._stream: FileIO | None = None
        self._last_sync = 0.0

    def __enter__(self) -> RunStore:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            check_folder(self.directory)
            self._lock = open_lock(self.directory / ".lock")
        except BlockingIOError:
            raise StoreError(f"{self.directory} is being written by another process: wait for it or stop it") from None
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.directory} ({error.strerror}): name another folder with --results-dir"
            ) from error
        try:
            self._open()
        except BaseException:
            self._lock.close()
            raise
        return self

    def _open(self) -> None:
        wanted = json.loads(redact(json.dumps(self.spec.to_json())))
        if os.path.lexists(self.directory / SPEC):
            stored = read_spec(self.directory)
            if {**stored, "protocol": None} != {**wanted, "protocol": None}:
                raise StoreError(f"{self.directory} belongs to another run; use another --results-dir")
        else:
            write_atomically(self.directory / SPEC, json.dumps(wanted, ensure_ascii=False, indent=1) + "\n")
        remove_leftovers(self.directory / COMPACTED)
        for record in _read_compacted(self.directory / COMPACTED):
            self._add(record)
        path, end = self.directory / RECORDS, 0
        for record, offset in _read_lines(path):
            self._add(record)
            end = offset
        if path.exists() and path.stat().st_size > end:
            truncate(path, end)
            self.log(f"dropped a torn last line of {RECORDS}; its request is made again")

    def _add(self, record: Record) -> None:
        key = (record.problem_id, record.attempt)
        self._index[key] = _Place(self._written, record.completion.finish, record.prompt_hash)
        self._written += 1

    def done(self, key: Key, prompt: str) -> bool:
        """True if this attempt has a completion for this very prompt; a failed attempt is made again."""
        place = self._index.get(key)
        return place is not None and place.finish != "error" and place.prompt_hash == prompt

    def complete(self) -> bool:
        """True if nothing that was asked for failed."""
        return all(place.finish != "error" for place in self._index.values())

    def current(self) -> Iterator[Record]:
        """Stream the stored records, each key once, as it counts now."""
        self.sync()
        for ordinal, record in enumerate(iter_records(self.directory)):
            if self._index[record.problem_id, record.attempt].ordinal == ordinal:
                yield record

    def append(self, record: Record) -> None:
        """Add one completion: safe from the death of this process at once, from a power cut within about a second."""
        if self._stream is None:
            self._stream = open_append(self.directory / RECORDS)
        rest = memoryview(_line(record) + b"\n")
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
        schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns])
        index: dict[Key, _Place] = {}
        rows = self.current()
        with (
            replacing(self.directory / COMPACTED) as file,
            pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            while batch := list(islice(rows, _PARQUET_BATCH)):
                writer.write_table(pyarrow.Table.from_pylist([record_to_json(r) for r in batch], schema=schema))
                for record in batch:
                    place = self._index[record.problem_id, record.attempt]
                    index[record.problem_id, record.attempt] = place._replace(ordinal=len(index))
        self._close_stream()
        (self.directory / RECORDS).unlink()
        self._index, self._written = index, len(index)

    def log(self, line: str) -> None:
        """Append a redacted, time-stamped line to log.txt."""
        append_text(self.directory / LOG, f"{utc_now()} {clean(line, 4000)}\n")

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
            if self._lock is not None:
                self._lock.close()
