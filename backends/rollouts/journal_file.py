"""One process's share of one part of a journal, as it lies on disk: named, read and checked.

`backends.rollouts.journal` writes them and says what the parts are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from backends.rollouts.arrays import unpack
from backends.rollouts.rows import field, read_group, read_marks, rollouts, tokens
from backends.rollouts.types import RolloutGroup, TeacherRow
from harness.errors import StoreError
from harness.files import parse_json, read_bytes

PartName = Literal["drawn", "marked"]

SCHEMA = 1
NAME = re.compile(r"(\d{6,12})\.(\d{1,6})of(\d{1,6})\.(drawn|marked)\.(jsonl|npz)")
_DRAWN = ("prompts", "tokens", "logps")
TEACHER = ("logps_T", "ids_TK", "topk_TK")


class FileName(NamedTuple):
    """What the name of a journal's file tells."""

    generation: int
    rank: int
    processes: int
    part: PartName


def file_name(path: Path) -> FileName | None:
    """None for a file of another name, such as one that is being written."""
    found = NAME.fullmatch(path.name)
    return None if found is None else FileName(int(found[1]), int(found[2]), int(found[3]), found[4])  # type: ignore[arg-type]


@dataclass(frozen=True)
class JournalFile:
    """One process's share of one part, as it lies on disk; nothing but its header has been checked."""

    path: Path
    header: Mapping[str, Any]
    lines: Sequence[Any]

    @property
    def generation(self) -> int:
        """Number of the generation."""
        return field(self.header, "generation", int)

    def beside(self, part: PartName) -> Path:
        """Where that part of the same share lies."""
        return self.path.with_name(re.sub(r"\.(drawn|marked)\.", f".{part}.", self.path.name))


def read_journal(path: Path) -> JournalFile:
    """Read a jsonl of a journal; raises `StoreError` for one that is damaged, `OSError` where there is none."""
    try:
        lines = [parse_json(row) for row in read_bytes(path).splitlines()]
        header: Any = lines[0] if lines else None
        if field(header, "schema", int) != SCHEMA:
            raise ValueError(f"schema {header['schema']}, this version reads {SCHEMA}")
        for name in ("part", "stage", "fingerprint", "settings", "arrays"):
            field(header, name, str)
        for name in ("given_up", "judged"):
            tokens(header, name)
        if field(header, "groups", int) != len(lines) - 1 or field(header, "generation", int) < 0:
            raise ValueError(f"{len(lines) - 1} groups where its header tells of {header['groups']}")
    except ValueError as error:
        raise _damaged(path, error) from error
    return JournalFile(path, header, lines[1:])


class Marked(NamedTuple):
    """A generation as it was before it was trained on."""

    groups: list[RolloutGroup]
    """With marks and teacher rows."""
    extras: dict[str, list[NDArray[Any] | None]]
    """Further arrays, one for each completion in the groups' order."""
    judged: tuple[int, int] = (0, 0)
    """Tokens that judges read and wrote for it."""


def _damaged(path: Path, why: object) -> StoreError:
    return StoreError(
        f"{path} is damaged ({why}): delete it and run the same command again, which draws and marks that generation "
        "once more"
    )


def _arrays(share: JournalFile) -> dict[str, list[NDArray[Any] | None]]:
    path = share.path.with_suffix(".npz")
    try:
        packed = read_bytes(path)
        if hashlib.sha256(packed).hexdigest() != share.header["arrays"]:
            raise ValueError("not the arrays that were written")
        return unpack(packed)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _damaged(path, error) from error


def groups_of(share: JournalFile) -> list[RolloutGroup]:
    """What a drawn part holds."""
    arrays = _arrays(share)
    try:
        present = {name: [item for item in arrays.get(name, []) if item is not None] for name in _DRAWN}
        groups, start = [], 0
        for row in share.lines:
            end = start + len(rollouts(row))
            own = {name: items[start:end] for name, items in present.items() if name != "prompts"}
            if any(len(items) != end - start for items in own.values()):
                raise ValueError("fewer arrays than completions")
            groups.append(read_group(row, present["prompts"], own))
            start = end
        return groups
    except ValueError as error:
        raise _damaged(share.path, error) from error


def marked_of(share: JournalFile, groups: Sequence[RolloutGroup]) -> Marked:
    """What a marked part says of the groups that were drawn."""
    arrays = _arrays(share)
    try:
        total = sum(len(group.rollouts) for group in groups)
        if len(share.lines) != len(groups) or any(len(items) != total for items in arrays.values()):
            raise ValueError("its marks are of other completions than those drawn")
        teacher = _teacher(arrays, total)
        whole, start = [], 0
        for row, group in zip(share.lines, groups, strict=True):
            end = start + len(group.rollouts)
            marks = read_marks(row, group.record.id, end - start)
            whole.append(replace(group, marks=marks, teacher=tuple(teacher[start:end])))
            start = end
        extras = {name.removeprefix("extra."): items for name, items in arrays.items() if name.startswith("extra.")}
        return Marked(whole, extras, tokens(share.header, "judged"))
    except (ValueError, TypeError) as error:
        raise _damaged(share.path, error) from error


def _teacher(arrays: Mapping[str, Sequence[NDArray[Any] | None]], total: int) -> list[TeacherRow | None]:
    """A row for each completion; none at all where no teacher was asked."""
    if f"teacher.{TEACHER[0]}" not in arrays:
        return []
    columns = [arrays.get(f"teacher.{name}", [None] * total) for name in TEACHER]
    return [None if logps is None else TeacherRow(logps, ids, top) for logps, ids, top in zip(*columns, strict=True)]
