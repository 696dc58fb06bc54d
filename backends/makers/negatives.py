"""The student's own mistakes as negatives: the response stays, what the student itself got wrong becomes `rejected`.

A made-up mistake may be one that the student never makes; a preference method or a discriminator then learns to tell
what it never has to. Completions that were cut, failed or have no answer are neither right nor wrong. A question that
the student got wrong in no attempt has no negative, and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, option, tally
from backends.makers.traces import response_of
from backends.records.inputs import noted, problem_of, require_checkable
from backends.records.record import TrainRecord, require
from backends.records.verify import grade, verdict_of
from harness.reasoning import with_answer
from harness.types import Sampling

_OF_THE_TWIN = ("error_step", "error_kind", "error_span", "right_span", "negative_kinds")
"""What a record says about the negatives that are replaced."""
_ORDER = ("given", "asked", "right", "wrong", "no_answer", "truncated", "unscored", "error", "duplicates")


@dataclass(frozen=True, kw_only=True)
class OwnMistakes(Maker):
    """Let the student answer N times: its wrong answers become the negatives of the records' responses.

    RECORDS have a response, `gold` and a grader. A record whose question the student never gets wrong is left out, and
    counted. For dpo, orpo, krsl, redi, scott, qcrd. Default: temperature 0.7.

    \b
    harness data synth --levels 1,2 --per-level 200 -o right.jsonl
    harness data negatives right.jsonl --student tiny --n 4 -o own.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7))
    n: int = option(4, least=1, most=4096)
    """Answers to each question."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name: ClassVar[str] = "negatives"
    role: ClassVar[str] = "student"
    nothing: ClassVar[str] = "the student got nothing wrong"

    def check(self) -> None:
        """Every record needs a response and must be checkable."""
        require_checkable(self.records, "negatives")
        require(self.records, ("response",), "negatives")

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [
            Query(self.name, "", problem_of(record), attempt, self.draw)
            for record in self.records
            for attempt in range(self.n)
        ]

    def run(self, ask: Ask) -> Made:
        """Ask, grade, keep what is wrong."""
        queries = self.first()
        replies = ask(queries)
        scores = grade([(one.problem, reply) for one, reply in zip(queries, replies, strict=True)])
        counts = Counter(given=len(self.records), asked=len(queries))
        kept = []
        for place, record in enumerate(self.records):
            own = slice(place * self.n, (place + 1) * self.n)
            verdicts = [verdict_of(score) for score in scores[own]]
            counts.update(verdicts)
            replied = zip(replies[own], verdicts, strict=True)
            texts = [response_of(with_answer(reply)) for reply, said in replied if said == "wrong"]
            wrong = tuple(dict.fromkeys(texts))
            counts["duplicates"] += len(texts) - len(wrong)
            if wrong:
                kept.append(self._record(record, wrong))
            else:
                counts["never_wrong"] += 1
        counts["kept"] = len(kept)
        return Made(tuple(kept), tally(counts, (*_ORDER, "never_wrong", "kept")), facts={"n": self.n})

    def _record(self, record: TrainRecord, wrong: tuple[str, ...]) -> TrainRecord:
        meta = {name: value for name, value in record.meta.items() if name not in _OF_THE_TWIN}
        made = replace(record, rejected=wrong[0], negatives=wrong, meta=meta)
        return noted(made, error_kind="own", rejected_by=self.model)
