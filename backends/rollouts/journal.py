"""What was drawn and what was made of it, written down before it is trained on.

    rollouts/<stage>/000123.0of1.drawn.jsonl    header; a line for each group: its record, its completions
    rollouts/<stage>/000123.0of1.drawn.npz      their tokens and log-probabilities
    rollouts/<stage>/000123.0of1.marked.jsonl   header; a line for each group: its marks
    rollouts/<stage>/000123.0of1.marked.npz     what teachers said, and further numbers of each token
    rollouts/<stage>/aside/                     what belonged to other weights or settings

The drawn part is written before anything is marked, the marked part before anything is trained on; the arrays first,
so that a part is there once its jsonl is. A training that was killed replays it: with the same tokens, numbers and
judges' replies it comes to the weights of one that was not, whatever engine drew them. Replayed is only what the same
weights drew under the same settings. Every process writes its own share; a training that goes on with another number
of processes reads the shares of all of them. The jsonl alone is what `harness models rollouts` shows.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backends.rollouts.arrays import Arrays, pack
from backends.rollouts.journal_file import (
    NAME,
    SCHEMA,
    TEACHER,
    JournalFile,
    Marked,
    PartName,
    file_name,
    groups_of,
    marked_of,
    read_journal,
)
from backends.rollouts.rows import field, group_row, line, marks_row, summed, tokens
from backends.rollouts.types import RolloutGroup
from harness.errors import StoreError
from harness.files import check_folder, delete, replacing

FOLDER, ASIDE = "rollouts", "aside"
Keep = Literal["all", "text", "none"]
"""What stays of generations that no checkpoint needs any more: everything, the jsonl, nothing."""


def _to_stderr(told: str) -> None:
    print(told, file=sys.stderr)


@dataclass(frozen=True)
class Journal:
    """One process's journal of one stage."""

    folder: Path
    """The model's."""
    stage: str
    settings: str
    """Hash of everything that decides what is drawn and how it is marked."""
    rank: int = 0
    processes: int = 1
    tell: Callable[[str], None] = _to_stderr
    """Told in one line of what is moved aside."""

    @property
    def place(self) -> Path:
        """Its files' folder."""
        return self.folder / FOLDER / self.stage

    def write_drawn(
        self,
        generation: int,
        version: int,
        fingerprint: str,
        groups: Sequence[RolloutGroup],
        given_up: tuple[int, int] = (0, 0),
    ) -> None:
        """Write down what these weights drew; raises `StoreError` where that cannot be.

        `given_up`: tokens written and read for groups in whose place others were drawn.
        """
        prompts: dict[bytes, int] = {}
        lines = []
        for group in groups:  # the completions of a group share their prompt
            of = [prompts.setdefault(_ids(rollout.prompt_T).tobytes(), len(prompts)) for rollout in group.rollouts]
            lines.append(group_row(group, of))
        drawn = [rollout for group in groups for rollout in group.rollouts]
        arrays: Arrays = {
            "prompts": [np.frombuffer(prompt, np.int32) for prompt in prompts],
            "tokens": [_ids(rollout.tokens_T) for rollout in drawn],
            "logps": [rollout.logps_T.astype(np.float32, copy=False) for rollout in drawn],
        }
        told = {"version": version, "fingerprint": fingerprint, **({"given_up": [*given_up]} if any(given_up) else {})}
        self._write("drawn", generation, told, lines, arrays)

    def write_marked(
        self,
        generation: int,
        fingerprint: str,
        groups: Sequence[RolloutGroup],
        extras: Arrays | None = None,
        judged: tuple[int, int] = (0, 0),
    ) -> None:
        """Write down what was made of it; `extras` hold one array for each completion, in the groups' order."""
        rows = [row for group in groups for row in group.teacher or (None,) * len(group.rollouts)]
        arrays: dict[str, Sequence[NDArray[Any] | None]] = {}
        if any(row is not None for row in rows):
            arrays = {f"teacher.{name}": [getattr(row, name, None) for row in rows] for name in TEACHER}
        arrays |= {f"extra.{name}": items for name, items in (extras or {}).items()}
        drawn = read_journal(self._path(generation, "drawn", self.rank, self.processes))
        told = {"fingerprint": fingerprint, "drawn": drawn.header["arrays"], "judged": list(judged)}
        self._write("marked", generation, told, [marks_row(group) for group in groups], arrays)

    def drawn(self, generation: int, fingerprint: str) -> list[RolloutGroup] | None:
        """What these weights drew for this process; None: draw. Raises `StoreError` for damaged files."""
        found = self._own(generation, "drawn", fingerprint) or self._take_over(generation, fingerprint)
        return None if found is None else groups_of(found)

    def given_up(self, generation: int) -> tuple[int, int]:
        """As `write_drawn` was told, of what it wrote."""
        return tokens(read_journal(self._path(generation, "drawn", self.rank, self.processes)).header, "given_up")

    def marked(self, generation: int, fingerprint: str) -> Marked | None:
        """What was made of it, if that was written down too; None: mark. Raises `StoreError` for damaged files."""
        found = self._own(generation, "marked", fingerprint) or self._take_over(generation, fingerprint, marked=True)
        groups = self.drawn(generation, fingerprint)
        return None if groups is None or found is None else marked_of(found, groups)

    def prune(self, before_generation: int, keep: Keep) -> None:
        """Let go of what no checkpoint needs: the arrays, or everything, of generations before this one."""
        if keep == "all" or not self.place.is_dir():
            return
        for path in [*self.place.iterdir(), *(self.place / ASIDE).glob("*")]:
            name = NAME.match(path.name)
            if name and int(name[1]) < before_generation and (keep == "none" or name[5] == "npz"):
                with suppress(FileNotFoundError):  # another process prunes the same folder
                    delete(path)

    # --- files ------------------------------------------------------------------------------------------------------

    def _path(self, generation: int, part: PartName, rank: int, processes: int) -> Path:
        return self.place / f"{generation:06d}.{rank}of{processes}.{part}.jsonl"

    def _write(
        self,
        part: PartName,
        generation: int,
        told: Mapping[str, Any],
        lines: Sequence[Mapping[str, Any]],
        arrays: Arrays,
    ) -> None:
        path = self._path(generation, part, self.rank, self.processes)
        packed = pack(arrays)
        header = {"schema": SCHEMA, "part": part, "stage": self.stage, "generation": generation, **told}
        header |= {"settings": self.settings, "groups": len(lines), "arrays": hashlib.sha256(packed).hexdigest()}
        text = "".join(map(line, (header, *lines)))
        try:
            for folder in (self.folder / FOLDER, self.place):
                check_folder(folder)
                folder.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # never beside arrays that it does not tell of
            for at, data in ((path.with_suffix(".npz"), packed), (path, text.encode("utf-8"))):
                with replacing(at) as stream:
                    stream.write(data)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written ({error.strerror or error}): make room, and run the same command again, "
                "which goes on from what was written before"
            ) from error

    def _own(self, generation: int, part: PartName, fingerprint: str) -> JournalFile | None:
        return self._agreeing(self._path(generation, part, self.rank, self.processes), fingerprint)

    def _agreeing(self, path: Path, fingerprint: str) -> JournalFile | None:
        """A file of the same weights and settings; one of others is moved aside."""
        try:
            found = read_journal(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        differ = [
            name
            for name, value in (("settings", self.settings), ("weights", fingerprint))
            if found.header["fingerprint" if name == "weights" else name] != value
        ]
        if found.header["stage"] != self.stage:
            differ.append("stage")
        if not path.with_suffix(".npz").exists():
            differ.append("arrays, which are gone")
        if not differ and found.header["part"] == "marked" and not self._of_drawn(found):
            differ.append("completions")
        if not differ:
            return found
        self._move_aside(path)
        self.tell(f"{path.name} of {self.place} is of other {' and '.join(differ)}: moved to {ASIDE}/, not replayed")
        return None

    def _of_drawn(self, marked: JournalFile) -> bool:
        """Whether these are marks of what lies beside them."""
        try:
            drawn = read_journal(marked.beside("drawn"))
        except OSError:
            return False
        return bool(drawn.header["arrays"] == marked.header.get("drawn"))

    def _move_aside(self, path: Path) -> None:
        aside = self.place / ASIDE
        try:
            check_folder(aside)
            aside.mkdir(exist_ok=True)
            number = sum(1 for _ in aside.glob(f"{path.name}.*"))
            for file in (path, path.with_suffix(".npz")):  # the jsonl first: without it the arrays are nothing
                with suppress(FileNotFoundError):
                    file.replace(aside / f"{file.name}.{number}")
        except OSError as error:
            raise StoreError(f"{path} cannot be moved to {aside}: {error.strerror}") from error

    def _take_over(self, generation: int, fingerprint: str, marked: bool = False) -> JournalFile | None:
        """Make this process's own file of what another number of processes wrote, if the shares of all are there."""
        others = {name.processes for path in self.place.glob(f"{generation:06d}.*") if (name := file_name(path))}
        for processes in sorted(others - {self.processes}):
            drawn = self._whole(generation, "drawn", processes, fingerprint)
            marks = self._whole(generation, "marked", processes, fingerprint) if drawn and marked else None
            if not drawn or (marked and not marks):
                continue
            groups = [groups_of(share) for share in drawn]
            version, spent = field(drawn[0].header, "version", int), [tokens(one.header, "given_up") for one in drawn]
            given_up = summed(spent[self.rank :: self.processes])  # so that all together tell what all had told
            self.write_drawn(generation, version, fingerprint, self._mine(groups), given_up)
            if marks is not None:
                told = [marked_of(share, of) for share, of in zip(marks, groups, strict=True)]
                mine = self._mine([_by_group(one) for one in told])
                extras = {name: [array for _, arrays in mine for array in arrays[name]] for name in told[0].extras}
                judged = summed([one.judged for one in told[self.rank :: self.processes]])
                self.write_marked(generation, fingerprint, [group for group, _ in mine], extras, judged)
            return self._own(generation, "marked" if marked else "drawn", fingerprint)
        return None

    def _whole(self, generation: int, part: PartName, processes: int, fingerprint: str) -> list[JournalFile] | None:
        """The shares of all of so many processes, or nothing."""
        paths = (self._path(generation, part, rank, processes) for rank in range(processes))
        shares = []
        for path in paths:
            share = self._agreeing(path, fingerprint)
            if share is None:
                return None
            shares.append(share)
        return shares

    def _mine(self, shares: Sequence[Sequence[Any]]) -> list[Any]:
        """Of all processes' items those of this one: process r of W has every W-th, from the r-th on."""
        order = [item for turn in zip_longest(*shares) for item in turn if item is not None]
        return order[self.rank :: self.processes]


def _ids(values: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.ascontiguousarray(values, np.int32)


def _by_group(marked: Marked) -> list[tuple[RolloutGroup, dict[str, list[NDArray[Any] | None]]]]:
    """Each group with the extras of its own completions."""
    pairs, start = [], 0
    for group in marked.groups:
        end = start + len(group.rollouts)
        pairs.append((group, {name: items[start:end] for name, items in marked.extras.items()}))
        start = end
    return pairs
