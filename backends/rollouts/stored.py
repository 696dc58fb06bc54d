"""The completions that a training's journal keeps, to look at: texts, rewards and reasons, without arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backends.rollouts.journal import FOLDER
from backends.rollouts.journal_file import JournalFile, file_name, read_journal
from backends.rollouts.rows import field, finish_of, read_marks, read_record, rollouts
from backends.rollouts.types import RolloutMark
from harness.errors import StoreError
from harness.types import Finish

Which = Literal["right", "wrong", "unscored", "cut"]


@dataclass(frozen=True)
class StoredCompletion:
    """One completion as it was drawn and marked."""

    stage: str
    generation: int
    record: str
    prompt: str
    """The last turn of the record's prompt."""
    gold: str | None
    sample: int
    version: int
    """Optimiser steps that the weights had seen which drew it."""
    finish: Finish
    text: str
    mark: RolloutMark | None
    """None where it is not marked, or was not yet."""

    def reward(self, part: str | None = None) -> float | None:
        """In all, or from one reward alone."""
        if self.mark is None:
            return None
        return self.mark.value if part is None else self.mark.parts.get(part)

    def is_(self, which: Which) -> bool:
        """Right or wrong as a reward says; unscored: marked, without a value; cut: by the token limit."""
        if which == "cut":
            return self.finish == "length"
        if self.mark is None:
            return False
        return self.mark.value is None if which == "unscored" else self.mark.correct is (which == "right")


def stored_completions(model: Path, first: int = 0, last: int | None = None) -> Iterator[StoredCompletion]:
    """Those of a model's folder in the order in which they were drawn, from a generation to another.

    Raises `StoreError` where there is no journal, or for a damaged file.
    """
    place = model / FOLDER
    if not place.is_dir():
        raise StoreError(
            f"{model} keeps no completions: its method trains on given responses, or --keep-rollouts none left nothing"
        )
    for stage in sorted(path for path in place.iterdir() if path.is_dir()):
        for generation, paths in sorted(_newest(stage).items()):
            if first <= generation and (last is None or generation <= last):
                for path in paths:
                    yield from _of_file(_read(path), stage.name)


def _newest(stage: Path) -> dict[int, list[Path]]:
    """Generation -> its drawn parts, of the newest training where it went on with another number of processes."""
    found: dict[int, dict[int, list[Path]]] = {}
    for path in sorted(stage.iterdir()):
        name = file_name(path)
        if name is not None and name.part == "drawn" and path.suffix == ".jsonl":
            found.setdefault(name.generation, {}).setdefault(name.processes, []).append(path)
    return {
        generation: max(sets.values(), key=lambda paths: max(path.stat().st_mtime_ns for path in paths))
        for generation, sets in found.items()
    }


def _read(path: Path) -> JournalFile:
    try:
        return read_journal(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _of_file(drawn: JournalFile, stage: str) -> Iterator[StoredCompletion]:
    marks = _marks(drawn)
    try:
        for place, row in enumerate(drawn.lines):
            record, told = read_record(row), rollouts(row)
            own = read_marks(marks.lines[place], record.id, len(told)) if marks is not None else ()
            for number, one in enumerate(told):
                yield StoredCompletion(
                    stage=stage,
                    generation=drawn.generation,
                    record=record.id,
                    prompt=record.prompt[-1].content,
                    gold=record.gold,
                    sample=field(one, "sample", int),
                    version=field(one, "version", int),
                    finish=finish_of(one),
                    text=field(one, "text", str),
                    mark=own[number] if own else None,
                )
    except ValueError as error:
        raise StoreError(f"{drawn.path} or its marks are damaged ({error}): delete both") from error


def _marks(drawn: JournalFile) -> JournalFile | None:
    path = drawn.beside("marked")
    if not path.exists():
        return None
    marked = _read(path)
    belongs = marked.header.get("drawn") == drawn.header["arrays"] and len(marked.lines) == len(drawn.lines)
    return marked if belongs else None
