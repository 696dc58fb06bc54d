"""Corrections of wrong solutions: which step is wrong and why, and the solution put right (LEMA; Learn-to-Reason).

RECORDS have a wrong solution in `rejected`: a student's own in an exam (`traces` with the student as `--teacher` writes
them to <out>.unsolved.jsonl). The teacher is not told the answer. A correction is kept if it has both parts and the
grader finds the solution right: what is wrong becomes `feedback`, the solution the `response`, or one of `positives`
where the record has a response. The wrong solution stands among `negatives`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, has_chain, in_form_of, option, plain, replies, tally
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord, response_text
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.types import Sampling

_MARK = re.compile(r"^[ \t>*_#]{0,8}corrected solution[ \t*_]{0,8}:[ \t*_]{0,8}", re.IGNORECASE | re.MULTILINE)
_ORDER = (
    *("given", "asked", "teacher_error", "cut", "empty", "one_part", "wrong", "no_answer", "no_chain", "right"),
    *("kept", "uncorrected"),
)


@dataclass(frozen=True, kw_only=True)
class Corrections(Maker):
    """Correct wrong solutions: what is wrong as `feedback`, the solution put right, for lema and tailored.

    RECORDS have a wrong solution in `rejected`, as <traces>.unsolved.jsonl has. Defaults: temperature 0.7.

    \b
    harness data corrections exam.unsolved.jsonl --teacher openai:my-teacher -o corrected.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7))
    n: int = option(1, least=1, most=100)
    """Corrections asked for of each solution; all right ones are kept."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "corrections"
    template_fields: ClassVar = {"corrections": ("question", "wrong")}

    def check(self) -> None:
        """Every record needs `gold`, a grader and a wrong solution."""
        require_checkable(self.records, "corrections")
        bare = [record.id for record in self.records if not (record.rejected or "").strip()]
        if bare:
            raise DataError(
                f"{len(bare)} records have no wrong solution to correct ('rejected'), the first {bare[0]!r}"
            )

    def _query(self, record: TrainRecord, attempt: int) -> Query:
        return self.query(record, "corrections", attempt, values={"wrong": plain(record.rejected or "")})

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [self._query(record, attempt) for record in self.records for attempt in range(self.n)]

    def run(self, ask: Ask) -> Made:
        """Ask, check both parts, keep what is right."""
        owners = [record for record in self.records for _ in range(self.n)]
        counts = Counter(given=len(self.records), asked=len(owners))
        told: list[tuple[TrainRecord, str, str]] = []
        for record, text in replies(owners, ask(self.first()), counts):
            parts = _MARK.split(text, maxsplit=1)
            if len(parts) < 2 or not all(part.strip() for part in parts):
                counts["one_part"] += 1
                continue
            told.append((record, parts[0].strip(), in_form_of(record.rejected or "", parts[1].strip())))
        right: dict[str, list[tuple[str, str]]] = {}
        verdicts = grade_texts([(record, solution) for record, _, solution in told])
        for (record, why, solution), verdict in zip(told, verdicts, strict=True):
            if verdict != "right":
                counts["wrong" if verdict == "wrong" else "no_answer"] += 1
            elif not has_chain(solution):
                counts["no_chain"] += 1
            else:
                counts["right"] += 1
                right.setdefault(record.id, []).append((why, solution))
        made = [self._record(record, right[record.id]) for record in self.records if record.id in right]
        counts["kept"], counts["uncorrected"] = len(made), len(self.records) - len(made)
        return Made(tuple(made), tally(counts, _ORDER))

    def _record(self, record: TrainRecord, found: Sequence[tuple[str, str]]) -> TrainRecord:
        own = response_text(record)
        texts = list(dict.fromkeys(solution for _, solution in found))
        negatives = tuple(dict.fromkeys((record.rejected or "", *record.negatives)))
        if own is None:
            think, answer = parts_of(texts[0])
            record = replace(record, response=texts.pop(0), think=think, answer=answer)
        positives = tuple(dict.fromkeys((*record.positives, *(text for text in texts if text != own))))
        record = replace(record, positives=positives, negatives=negatives, feedback=found[0][0])
        return noted(record, corrected_by=self.model, template=self.templates["corrections"].id, verified=True)
