"""Teacher traces: n completions of every prompt, those kept that the grader confirms (rejection sampling, SeqKD).

What cannot be checked (instruction data: no gold answer, or no grader) is kept whole and marked `verified: false` in
its meta. Prompts whose completions are all wrong or unusable come as the further set "unsolved": with `rejected` where
the teacher wrote something wrong, which is what the recipe `dual` rectifies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from backends.makers.asking import Ask, Draw, Query
from backends.makers.base import Made, lost, reply_of, tally
from backends.makers.templates import Template
from backends.records.inputs import grader_of, noted, problem_of
from backends.records.record import TrainRecord
from backends.records.rejection import Selected, parts_of, response_of, select_right
from harness.errors import DataError
from harness.reasoning import with_answer
from harness.types import Completion, Record

_ORDER = ("prompts", "completions", "right", "wrong", "no_answer", "truncated", "unscored", "teacher_error")


@dataclass(frozen=True)
class Traces:
    """The recipe; `records` give prompts, golds and graders, whatever else they hold is replaced."""

    records: Sequence[TrainRecord]
    teacher: str
    n: int = 1
    """Completions of each prompt."""
    per_problem: int | None = None
    """Most records of one prompt; None keeps all that are right and different."""
    draw: Draw = field(default_factory=Draw)
    name: str = "traces"
    templates: Sequence[Template] = ()

    def __post_init__(self) -> None:
        if self.n < 1 or (self.per_problem is not None and self.per_problem < 1):
            raise DataError("--n and --per-problem must be at least 1")

    def first(self) -> Sequence[Query]:
        """Everything: this recipe asks once."""
        return [
            Query(self.name, "", problem_of(record), attempt, self.draw)
            for record in self.records
            for attempt in range(self.n)
        ]

    def run(self, ask: Ask) -> Made:
        """Ask and select."""
        queries = self.first()
        completions: dict[str, list[Completion]] = {}
        for one, completion in zip(queries, ask(queries), strict=True):
            completions.setdefault(one.problem.id, []).append(completion)
        sources = {record.id: record for record in self.records}
        checkable = [record for record in self.records if grader_of(record) is not None]
        selected = self._select(checkable, completions)
        kept = {record.id: record for record in selected.records}
        unchecked, counts = self._keep_all(completions)
        for name, count in selected.verdicts.items():
            counts["teacher_error" if name == "error" else name] += count
        counts.update(prompts=len(self.records), completions=len(queries), duplicates=selected.duplicates)
        counts.update(surplus=selected.surplus, kept=len(kept) + len(unchecked), unsolved=len(selected.unsolved))
        verified = [_of(record, sources[str(record.meta["problem"])], verified=True) for record in kept.values()]
        unsolved = [_of(record, sources[record.id]) for record in selected.failures]
        return Made((*verified, *unchecked), tally(counts, _ORDER), {"unsolved": tuple(unsolved)})

    def _select(self, records: Sequence[TrainRecord], completions: Mapping[str, Sequence[Completion]]) -> Selected:
        return select_right(
            (
                Record(record.id, attempt, 0, "", completion)
                for record in records
                for attempt, completion in enumerate(completions[record.id])
            ),
            [problem_of(record) for record in records],
            dataset="",
            teacher=self.teacher,
            per_problem=self.per_problem,
        )

    def _keep_all(self, completions: Mapping[str, Sequence[Completion]]) -> tuple[list[TrainRecord], Counter[str]]:
        """Every different completion of what cannot be checked, and what became of the others."""
        found: list[TrainRecord] = []
        counts: Counter[str] = Counter()
        for record in self.records:
            if grader_of(record) is not None:
                continue
            texts: dict[str, int] = {}
            for attempt, completion in enumerate(completions[record.id]):
                text = response_of(with_answer(completion))
                if reply_of(completion) is None:  # failed, cut, or nothing after its thought
                    counts[lost(completion)] += 1
                elif text in texts:
                    counts["duplicates"] += 1
                elif len(texts) == self.per_problem:
                    counts["surplus"] += 1
                else:
                    counts["unverified"] += 1
                    texts[text] = attempt
            found += [self._unverified(record, attempt, text) for text, attempt in texts.items()]
        return found, counts

    def _unverified(self, source: TrainRecord, attempt: int, text: str) -> TrainRecord:
        think, answer = parts_of(text)
        made = TrainRecord(
            id=f"{source.id}#{attempt}",
            prompt=source.prompt,
            think=think,
            answer=answer,
            gold=source.gold,
            response=text,
            meta={"teacher": self.teacher, "problem": source.id, "attempt": attempt},
        )
        return _of(made, source, verified=False)


def _of(made: TrainRecord, source: TrainRecord, verified: bool | None = None) -> TrainRecord:
    """The record with what its prompt brought along; the data set stays that of the prompt."""
    own = {key: value for key, value in made.meta.items() if key != "dataset"}
    record = replace(made, task=source.task, meta={**source.meta, **own})
    return record if verified is None else noted(record, verified=verified)
