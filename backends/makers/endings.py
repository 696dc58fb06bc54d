"""Mixed-policy completion: a student begins, its teacher ends (DASD, tech report of dasd-thinking).

RECORDS hold a response of the student's own (`response`, or `rejected` where it was wrong: `traces` with the student as
`--teacher`). Each is cut at a place that a seed draws, beyond half of it, at the end of a word, and the teacher goes on
from there; what is right as a whole is kept, and the student learns from all of it (masking its own part was worse in
the report). The report cuts answers that ran into the limit of 1.5 times the teacher's length; `--longer-than` chooses
those by their length in words here. An engine that can go on in the middle of a reply does; another is shown the
beginning. A beginning that holds the whole chain leaves nothing to learn from the teacher, and is counted.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, lost, option, tally
from backends.records.inputs import noted, problem_of, require_checkable
from backends.records.record import TrainRecord, response_text
from backends.records.spans import parts_of
from backends.records.verify import grade, verdict_of
from harness.errors import DataError
from harness.types import Completion, Message, Sampling
from judges.prompts.fencing import fence

_ORDER = (
    *("given", "short", "no_room", "asked", "teacher_error", "cut", "empty", "wrong", "no_answer", "unscored"),
    "kept",
)
_WORD_END = re.compile(r"(?<=\S)(?=\s)")


def written_by(record: TrainRecord) -> str:
    """The student's text: a wrong one before a right one."""
    return record.rejected or response_text(record) or ""


def beginning(text: str, seed: int, record_id: str, earliest: float) -> str:
    """The text up to the end of a word beyond `earliest` of it and before its last word; "" where there is none.

    Of a text with a think block the place lies within the thoughts: behind them the answer is decided.
    """
    end = text.find("</think>")
    whole = text[:end] if end > 0 else text
    places = [found.start() for found in _WORD_END.finditer(whole.rstrip())]
    late = [place for place in places if place >= earliest * len(whole)]
    if not late:
        return ""
    return whole[: random.Random(f"{seed}\x1f{record_id}").choice(late)]


@dataclass(frozen=True, kw_only=True)
class Endings(Maker):
    """Let the teacher end what the student began, and keep what is right: records for sft (DASD).

    RECORDS have `gold` and a response of the student's, right or wrong. Default: temperature 0.7.

    \b
    harness data traces --teacher hf:./student --suite synth_easy --n 1 -o own.jsonl
    harness data endings own.jsonl own.unsolved.jsonl --teacher openai:my-teacher -o ended.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7))
    n: int = option(1, least=1, most=100)
    """Endings asked for of each beginning; the first right one is kept."""
    earliest: float = option(0.5, least=0, most=0.95)
    """Share of the response that stays the student's at least."""
    longer_than: int = option(0, least=0)
    """Only responses with more words."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "endings"
    template_fields: ClassVar = {"steps_continue": ("question", "begun")}

    def check(self) -> None:
        """Every record needs a response of the student's, `gold` and a grader."""
        require_checkable(self.records, "endings")
        bare = [record.id for record in self.records if not written_by(record).strip()]
        if bare:
            raise DataError(
                f"endings goes on from a student's response: {len(bare)} records have none, first {bare[0]!r}"
            )

    def _begun(self) -> list[tuple[TrainRecord, str]]:
        """Records that can be cut, with what stays of them."""
        long = [one for one in self.records if len(written_by(one).split()) > self.longer_than]
        cut = [(one, beginning(written_by(one), self.draw.seed, one.id, self.earliest)) for one in long]
        return [(one, text) for one, text in cut if text]

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [self._query(one, begun, attempt) for one, begun in self._begun() for attempt in range(self.n)]

    def _query(self, record: TrainRecord, begun: str, attempt: int) -> Query:
        if not self.continues:
            return self.query(record, "steps_continue", attempt, values={"begun": fence(begun)})
        messages = (*record.prompt, Message("assistant", begun))
        return Query(self.name, "", problem_of(record, messages), attempt, self.draw)

    def run(self, ask: Ask) -> Made:
        """Cut, ask, grade the whole."""
        begun = self._begun()
        counts = Counter(given=len(self.records), asked=len(begun) * self.n)
        counts["short"] = sum(len(written_by(one).split()) <= self.longer_than for one in self.records)
        counts["no_room"] = len(self.records) - counts["short"] - len(begun)
        owners = [pair for pair in begun for _ in range(self.n)]
        whole: list[tuple[TrainRecord, str, Completion]] = []
        for (record, text), reply in zip(owners, ask(self.first()) if owners else [], strict=True):
            if reply.finish != "stop" or not reply.text.strip():
                counts[lost(reply)] += 1
            else:
                ending = reply.text if self.continues else f" {reply.text.lstrip()}"
                whole.append((record, text, Completion(text + ending, "stop")))
        made: dict[str, TrainRecord] = {}
        scores = grade([(problem_of(record), one) for record, _, one in whole])
        for (record, text, one), score in zip(whole, scores, strict=True):
            if (verdict := verdict_of(score)) != "right":
                counts[verdict] += 1
            elif record.id not in made:
                made[record.id] = self._record(record, text, one.text.strip())
        counts["kept"] = len(made)
        return Made(tuple(made.values()), tally(counts, _ORDER))

    def _record(self, record: TrainRecord, begun: str, text: str) -> TrainRecord:
        think, answer = parts_of(text)
        kept = replace(record, response=text, think=think, answer=answer, rejected=None, negatives=(), positives=())
        return noted(kept, ended_by=self.model, student_characters=len(begun), verified=True)
