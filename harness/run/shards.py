"""A run divided among machines that share a folder and no scheduler: `harness run --shard 2/4`.

Every shard asks for its own part of the attempts and appends to its own files, `records.2of4.jsonl` and
`log.2of4.txt`, under its own lock; while it does, it shares the lock of the run, which anybody who is not a shard
wants alone. So the same command without `--shard`, on any machine, waits for no one and finds no one writing: it
takes over what the shards left (`merge`), asks for what is missing, and scores. When a shard has ended it leaves a note
(`shard.2of4.json`) of what only it knows: its time and where it ran.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.files import is_number, read_json, write_atomically
from harness.types import Json

MOST = 99_999
NOTE = "shard.json"
LOCK = ".lock"
_NOTE_SCHEMA = 1


@dataclass(frozen=True, order=True)
class Shard:
    """The `index`-th, from 1, of `count` parts of a run."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count <= MOST:
            raise ValueError(f"a shard is I/N with 1 <= I <= N <= {MOST:,}, e.g. 2/4")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, ordinal: int) -> bool:
        """Whether the attempt of this place in the order of all attempts is its own; raising n moves none."""
        return ordinal % self.count == self.index - 1

    def own(self, file: str) -> str:
        """Its own file in place of the run's: records.jsonl -> records.2of4.jsonl."""
        stem, _, ending = file.rpartition(".")
        return f"{stem}.{self.index}of{self.count}.{ending}"


def parse_shard(text: str) -> Shard:
    """The shard that "2/4" means; raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip(), re.ASCII)
    return Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)


def shards_with(directory: Path, file: str) -> list[Shard]:
    """The shards that have such a file (`RECORDS`, `NOTE`) in a run directory, in order."""
    stem, _, ending = file.rpartition(".")
    form = re.compile(rf"{re.escape(stem)}\.([1-9][0-9]{{0,4}})of([1-9][0-9]{{0,4}})\.{re.escape(ending)}", re.ASCII)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{directory} cannot be read: {error.strerror}") from error
    found: list[Shard] = []
    for match in map(form.fullmatch, names):
        with suppress(ValueError):  # 5of4 is nobody's
            if match:
                found.append(Shard(int(match[1]), int(match[2])))
    return sorted(found)


@dataclass(frozen=True)
class Note:
    """What a shard that has ended leaves for whoever merges."""

    n: int
    """Samples per problem of its command."""
    asked: int
    """Completions that were its part."""
    failed: int
    """Those of them that have no answer: the merge asks again."""
    seconds: float
    """Spent generating, in all calls that ended."""
    environment: Mapping[str, Json]
    """Versions and device with which it generated."""


def write_note(directory: Path, shard: Shard, note: Note) -> None:
    """Leave the note, atomically."""
    text = json.dumps({"schema": _NOTE_SCHEMA, **asdict(note)}, ensure_ascii=False, allow_nan=False)
    write_atomically(directory / shard.own(NOTE), text + "\n")


def read_notes(directory: Path) -> dict[Shard, Note]:
    """The notes of a run's shards. Raises `StoreError` for a damaged one."""
    return {shard: _read_note(directory / shard.own(NOTE)) for shard in shards_with(directory, NOTE)}


def _read_note(path: Path) -> Note:
    try:
        raw: dict[str, Any] = read_json(path)
        if raw.pop("schema") != _NOTE_SCHEMA:
            raise ValueError("it is of another version")
        note = Note(**raw)
        counts = (note.n, note.asked, note.failed)
        if not all(type(count) is int for count in counts) or not is_number(note.seconds):
            raise ValueError("a field has the wrong type")
        if not isinstance(note.environment, Mapping):
            raise ValueError("its environment is no object")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} is damaged ({error}): delete it; its shard's answers stay, its time and device are not known then"
        ) from error
    return note


def drop_notes(directory: Path) -> None:
    """Delete the notes: the result holds what they said."""
    for shard in shards_with(directory, NOTE):
        (directory / shard.own(NOTE)).unlink(missing_ok=True)


def with_shards(environment: Mapping[str, Json], notes: Mapping[Shard, Note]) -> tuple[dict[str, Json], list[str]]:
    """An environment with what was otherwise on some shards, and a warning where anything was."""
    others: dict[str, Json] = {}
    changed: set[str] = set()
    for shard, note in notes.items():
        keys = {key for key in {*environment, *note.environment} if environment.get(key) != note.environment.get(key)}
        if keys:
            others[str(shard)] = {key: note.environment.get(key) for key in sorted(keys)}
            changed |= keys
    if not others:
        return dict(environment), []
    said = f"shards {', '.join(others)} generated elsewhere: other {', '.join(sorted(changed))} (result.json has them)"
    return {**environment, "shards": others}, [said]


@dataclass(frozen=True)
class ShardResult:
    """What came of one run's shard: no score, which needs the others."""

    suite: str
    model: str
    run_id: str
    shard: Shard
    asked: int
    """Completions that are its part."""
    made: int
    """Those that this call made."""
    failed: int
    """Those without an answer."""
    ended: Sequence[Shard]
    """All shards of this division that have ended, this one included."""
    why: str = ""
    """Why the first one failed."""

    def to_json(self) -> dict[str, Json]:
        """As a row of the command's table."""
        row: dict[str, Json] = {**asdict(self), "shard": str(self.shard)}
        return {**row, "ended": [str(shard) for shard in self.ended]}
