"""Notes on mistakes (NesyCD): what is to be learnt from a wrong solution, and the knowledge that was missing.

RECORDS have a wrong solution in `rejected`, as the maker of corrections takes them, and `gold`, which the teacher is
shown. Kept is a reply with the two headers under which something is said; it stands in `meta.notes`, where the model
`nesycd:<k>:<model>` looks notes up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, plain, replies, tally
from backends.records.inputs import noted
from backends.records.notes import note_of
from backends.records.record import TrainRecord
from harness.errors import DataError

_ORDER = ("given", "teacher_error", "cut", "empty", "no_header", "no_need", "kept")


@dataclass(frozen=True, kw_only=True)
class Notes(Maker):
    """Write notes on mistakes, for `nesycd:` to look up: a summary, and the knowledge that was missing.

    RECORDS have a wrong solution in `rejected`, as <traces>.unsolved.jsonl has. Defaults: temperature 0.

    \b
    harness data notes exam.unsolved.jsonl --teacher openai:my-teacher -o notes.jsonl
    harness run --suite gsm8k --model nesycd:3:trained:student-1a --model-arg notes=notes.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    name = "notes"
    template_fields: ClassVar = {"notes": ("question", "gold", "wrong")}
    nothing: ClassVar = "no note says anything"

    def check(self) -> None:
        """Every record needs `gold` and a wrong solution."""
        for field, what in (("gold", "answer"), ("rejected", "wrong solution")):
            bare = [record.id for record in self.records if not (getattr(record, field) or "").strip()]
            if bare:
                raise DataError(f"{len(bare)} records have no {what} ({field!r}), the first {bare[0]!r}")

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [
            self.query(record, "notes", values={"gold": record.gold or "", "wrong": plain(record.rejected or "")})
            for record in self.records
        ]

    def run(self, ask: Ask) -> Made:
        """Ask, and keep what says something under a header."""
        counts = Counter(given=len(self.records))
        made: list[TrainRecord] = []
        for record, text in replies(self.records, ask(self.first()), counts):
            parts = note_of(text)
            if not parts:
                counts["no_header" if parts is None else "no_need"] += 1
                continue
            made.append(noted(record, notes=text.strip(), noted_by=self.model, template=self.templates["notes"].id))
        counts["kept"] = len(made)
        return Made(tuple(made), tally(counts, _ORDER))
