"""New questions from those that a student failed, with answers on which the teacher agrees with itself (Socratic-Zero).

RECORDS have a wrong solution in `rejected`; several of one question count once. The teacher writes a question, then
solves it several times: kept is a question whose solutions all come to one answer, which becomes its `gold`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, option, plain, replies, tally
from backends.records.inputs import named_grader, problem_of
from backends.records.record import TrainRecord
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from backends.rewards.vote import answer_of
from harness.errors import DataError
from harness.hashing import canonical_json, short_hash
from harness.types import Completion, Message, Sampling

_MARK = re.compile(r"^[ \t>*_#]{0,8}new question[ \t*_]{0,8}:[ \t*_]{0,8}", re.IGNORECASE | re.MULTILINE)
_WRITE = ("given", "same_question", "asked", "teacher_error", "cut", "empty", "no_question", "repeated")
_SOLVE = ("solve_teacher_error", "solve_cut", "solve_empty", "disputed", "kept")


@dataclass(frozen=True, kw_only=True)
class Harder(Maker):
    """Write harder questions from those that a student failed, with answers on which several solutions agree.

    RECORDS have a wrong solution in `rejected`, as the further files of traces have. Defaults: temperature 0.7.

    \b
    harness data harder exam.unsolved.jsonl exam.pairs.jsonl --teacher openai:my-teacher -o harder.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7))
    n: int = option(1, least=1, most=100)
    """New questions of each."""
    solutions: int = option(2, least=2, most=100)
    """Of a new question; all must come to one answer."""

    name = "harder"
    template_fields: ClassVar = {"harder": ("question", "wrong")}
    nothing: ClassVar = "no new question has an answer that its solutions agree on"

    def check(self) -> None:
        """Every record needs a wrong solution and a grader, and no choices: a new question would need its own."""
        for why, bad in {
            "no wrong solution ('rejected')": [one.id for one in self.records if not (one.rejected or "").strip()],
            "no grader in their meta": [one.id for one in self.records if named_grader(one) is None],
            "'choices', which a new question would need of its own": [
                one.id for one in self.records if one.meta.get("choices")
            ],
        }.items():
            if bad:
                raise DataError(f"{len(bad)} records have {why}, the first {bad[0]!r}")

    def _owners(self) -> list[TrainRecord]:
        """One record a question."""
        return list({record.prompt: record for record in reversed(self.records)}.values())[::-1]

    def first(self) -> Sequence[Query]:
        """The questions; their solutions are asked for when they are there."""
        return [
            self.query(record, "harder", attempt, values={"wrong": plain(record.rejected or "")})
            for record in self._owners()
            for attempt in range(self.n)
        ]

    def run(self, ask: Ask) -> Made:
        """Ask for questions, have each solved, keep those whose solutions agree."""
        owners = [record for record in self._owners() for _ in range(self.n)]
        counts = Counter(given=len(self.records), same_question=len(self.records) - len(owners) // self.n)
        counts["asked"] = len(owners)
        written: dict[tuple[Message, ...], TrainRecord] = {}
        known = {record.prompt for record in self.records}
        for record, text in replies(owners, ask(self.first()), counts):
            parts = _MARK.split(text, maxsplit=1)
            if len(parts) < 2 or not parts[1].strip():
                counts["no_question"] += 1
                continue
            made = self._question(record, parts[1].strip())
            if made.prompt in known or made.prompt in written:
                counts["repeated"] += 1
            else:
                written[made.prompt] = made
        kept = self._solved(list(written.values()), ask, counts)
        counts["kept"] = len(kept)
        return Made(tuple(kept), tally(counts, (*_WRITE, *_SOLVE)))

    def _question(self, record: TrainRecord, text: str) -> TrainRecord:
        prompt = (*record.prompt[:-1], Message("user", text))
        by = {"written_by": self.model, "written_from": record.id, "template": self.templates["harder"].id}
        meta = {"grader": named_grader(record), "dataset": "harder", **by}
        name = "harder-" + short_hash(canonical_json([[one.role, one.content] for one in prompt]), 16)
        return TrainRecord(name, prompt, task=record.task, meta=meta)

    def _solved(self, made: Sequence[TrainRecord], ask: Ask, counts: Counter[str]) -> list[TrainRecord]:
        """Those on whose answer all solutions agree, with the first of these."""
        owners = [record for record in made for _ in range(self.solutions)]
        queries = [
            Query(f"{self.name}:solve", "", problem_of(record), number % self.solutions, self.draw)
            for number, record in enumerate(owners)
        ]
        found: dict[str, list[str]] = {}
        for record, text in replies(owners, ask(queries) if queries else [], counts, "solve_"):
            found.setdefault(record.id, []).append(text)
        golds = {record.id: self._gold(record, found) for record in made}
        read = [replace(record, gold=golds[record.id]) for record in made if golds[record.id] is not None]
        items = [(record, text) for record in read for text in found[record.id]]
        right = Counter(
            record.id for (record, _), verdict in zip(items, grade_texts(items), strict=True) if verdict == "right"
        )
        kept = [record for record in read if right[record.id] == self.solutions]
        counts["disputed"] += len(made) - len(kept)
        return [self._answered(record, found[record.id][0]) for record in kept]

    def _gold(self, record: TrainRecord, found: Mapping[str, Sequence[str]]) -> str | None:
        """What the grader reads in the first solution, if none is missing."""
        texts = found.get(record.id, ())
        if len(texts) < self.solutions:
            return None
        problem = replace(problem_of(record), grader=named_grader(record) or "exact")
        return answer_of(problem, Completion(texts[0], "stop"))

    def _answered(self, record: TrainRecord, text: str) -> TrainRecord:
        think, answer = parts_of(text)
        return replace(record, response=text, think=think, answer=answer)
