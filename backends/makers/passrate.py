"""Questions that a student does not master yet, by the share of its own answers that are right (DED, arXiv 2508.09883).

The paper drops questions whose pass rate is above a threshold, and gives neither that nor the number of samples; half
and 8 are ours. A completion that failed or could not be graded says nothing; one that was cut is not right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, option, tally
from backends.records.inputs import noted, problem_of, read_all, require_checkable
from backends.records.record import TrainRecord
from backends.records.verify import grade
from harness.errors import UsageError
from harness.types import Json, Sampling


@dataclass(frozen=True, kw_only=True)
class PassRate(Maker):
    """Let a student answer every question N times, and keep those whose share of right answers is within bounds.

    RECORDS, or prompt files, have `gold` and a grader; a response of theirs is kept as it is. The share is written into
    the meta as `pass_rate`, which `harness data select --by hardest` reads. Default: temperature 0.7.

    \b
    harness data passrate traces.jsonl --student hf:./student --n 8 --most 0.5 -o hard.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7))
    n: int = option(8, least=1, most=4096)
    """Answers to each question."""
    least: float = option(0.0, least=0, most=1)
    """Smallest share of right answers that is kept."""
    most: float = option(0.5, least=0, most=1)
    """Largest share of right answers that is kept."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name: ClassVar[str] = "passrate"
    role: ClassVar[str] = "student"
    nothing: ClassVar[str] = "no question's pass rate is within the bounds"

    @classmethod
    def read(cls, files: Sequence[str], given: Mapping[str, Any]) -> tuple[list[TrainRecord], dict[str, Json]]:
        """Records, or rows of prompt files."""
        return read_all(files, given["grader"], plain=True), {"inputs": list(files)}

    def check(self) -> None:
        """Every record must be checkable, and the bounds leave something."""
        if self.least > self.most:
            raise UsageError(f"--least {self.least:g} is above --most {self.most:g}: nothing lies between")
        require_checkable(self.records, "passrate")

    def _questions(self) -> dict[object, list[TrainRecord]]:
        """Records by question: several traces of one are asked about once."""
        found: dict[object, list[TrainRecord]] = {}
        for record in self.records:
            found.setdefault((record.prompt, record.gold), []).append(record)
        return found

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [
            Query(self.name, "", problem_of(records[0]), attempt, self.draw)
            for records in self._questions().values()
            for attempt in range(self.n)
        ]

    def run(self, ask: Ask) -> Made:
        """Ask, grade, compare."""
        questions, queries = self._questions(), self.first()
        counts = Counter(given=len(self.records), questions=len(questions), asked=len(queries))
        scores = grade([(one.problem, reply) for one, reply in zip(queries, ask(queries), strict=True)])
        rates: dict[str, float] = {}
        for place, records in enumerate(questions.values()):
            told = [one.value for one in scores[place * self.n : (place + 1) * self.n] if one.value is not None]
            counts["not_graded"] += self.n - len(told)
            if not told:
                counts["no_rate"] += len(records)
                continue
            rate = sum(told) / len(told)
            if self.least <= rate <= self.most:
                rates |= dict.fromkeys((record.id for record in records), rate)
            else:
                counts["mastered" if rate > self.most else "too_hard"] += len(records)
        kept = tuple(
            noted(record, pass_rate=round(rates[record.id], 4), pass_rate_of=self.model)
            for record in self.records
            if record.id in rates
        )
        counts["kept"] = len(kept)
        order = ("given", "questions", "asked", "not_graded", "no_rate", "mastered", "too_hard", "kept")
        return Made(kept, tally(counts, order), facts={"n": self.n, "least": self.least, "most": self.most})
