"""Data of CoTD-PO: the teacher thinks, the student answers K times given that thought, a reward ranks the answers.

`Rationales` stores the teacher's thought as `think` and gives the prompt the ending that student and trainer use.
`Candidates` samples K answers of a student, each at its own temperature drawn uniformly from a range, and rewards them.
An engine that can go on in the middle of a reply continues after the thought; a chat endpoint cannot, and is shown it
in its prompt: the candidate's text is the same, the distribution it was drawn from is not. The form is the paper's, "My
thought: … My answer: …"; only records whose response has a think block keep that form, which is then what is asked.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from backends.makers.asking import Ask, Draw, Query
from backends.makers.base import Made, lost, query, reply_of, tally
from backends.makers.templates import Template, load_template
from backends.records.inputs import noted, problem_of, require_checkable
from backends.records.record import Candidate, TrainRecord, render_response, response_text
from backends.records.spans import split_response
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.markup import PROSE
from harness.types import Message

_THOUGHT = re.compile(r"\A\W*my thought\W*?:\**\s*", re.IGNORECASE)
_ANSWER = re.compile(r"\bmy answer\W*?:\**\s*", re.IGNORECASE)

Reward = Callable[[Sequence[tuple[TrainRecord, str]]], Sequence[float | None]]
"""(record, the student's answer without the thought) -> reward of each; None: it cannot be rewarded."""


def together(record: TrainRecord, answer: str) -> str:
    """The whole response, as the student is to write it: the record's thought and that answer."""
    thought = (record.think or "").strip()
    split = split_response(response_text(record) or "")
    if split is not None and split.rule == "think":
        return render_response(thought, answer)
    return f"{PROSE.opens[0]} {thought}\n{PROSE.closes[0]} {answer}"


@dataclass(frozen=True)
class Rationales:
    """The teacher's thoughts; any record with a prompt will do."""

    records: Sequence[TrainRecord]
    teacher: str
    draw: Draw = field(default_factory=Draw)
    rationale: Template = field(default_factory=lambda: load_template("cotd_rationale"))
    student: Template = field(default_factory=lambda: load_template("cotd_student"))
    name: str = "rationales"

    @property
    def templates(self) -> Sequence[Template]:
        """What the teacher is asked with, and what the student will be."""
        return (self.rationale, self.student)

    def first(self) -> Sequence[Query]:
        """Everything: this recipe asks once."""
        return [query(self.name, record, self.rationale, self.draw) for record in self.records]

    def run(self, ask: Ask) -> Made:
        """Ask and store; an earlier response, answer and structure belong to another thought and go."""
        counts = Counter(given=len(self.records))
        made = []
        for record, completion in zip(self.records, ask(self.first()), strict=True):
            text = reply_of(completion)
            thought = _THOUGHT.sub("", text).strip() if text is not None else ""
            if not thought:
                counts[lost(completion)] += 1
                continue
            if _ANSWER.search(thought):
                counts["answers"] += 1
                continue
            *before, last = record.prompt
            prompt = (*before, Message("user", self.student.fill({"question": last.content})))
            bare = replace(
                record, prompt=prompt, think=thought, answer=None, response=None, structure=(), rejected=None
            )
            made.append(
                noted(bare, thought_by=self.teacher, template=self.rationale.id, student_template=self.student.id)
            )
        counts["kept"] = len(made)
        return Made(tuple(made), tally(counts, ("given", "kept", "answers", "teacher_error", "cut", "empty")))


@dataclass(frozen=True)
class Candidates:
    """K rewarded answers of a student to each thought; every record needs `think`, as `Rationales` makes it."""

    records: Sequence[TrainRecord]
    student: str
    reward: Reward
    k: int = 8
    low: float = 0.6
    high: float = 1.2
    """Each answer's temperature is drawn uniformly between the two: the paper gives the range, not how it is used."""
    continues: bool = True
    """Whether the engine can go on in the middle of a reply."""
    draw: Draw = field(default_factory=lambda: Draw(top_p=0.95))
    answer: Template = field(default_factory=lambda: load_template("cotd_answer"))
    name: str = "candidates"

    def __post_init__(self) -> None:
        bad = [record.id for record in self.records if not (record.think or "").strip()]
        if bad:
            raise DataError(
                f"candidates answer a teacher's thought, and {len(bad)} records have no 'think', the first {bad[0]!r}: "
                "make them with `harness data rationales` first"
            )
        if self.k < 2 or not 0 <= self.low <= self.high:
            raise DataError("at least 2 candidates, and temperatures from low to high, are needed")

    @property
    def templates(self) -> Sequence[Template]:
        """None where the engine goes on after the thought."""
        return () if self.continues else (self.answer,)

    def first(self) -> Sequence[Query]:
        """Everything: this recipe asks once."""
        return [self._query(record, attempt) for record in self.records for attempt in range(self.k)]

    def _query(self, record: TrainRecord, attempt: int) -> Query:
        chosen = random.Random(f"{self.draw.seed}\x1f{record.id}\x1f{attempt}").uniform(self.low, self.high)
        draw = replace(self.draw, temperature=round(chosen, 4))
        if not self.continues:
            return query(self.name, record, self.answer, draw, attempt, thought=(record.think or "").strip())
        messages = (*record.prompt, Message("assistant", together(record, "").rstrip()))
        return Query(self.name, "", problem_of(record, messages), attempt, draw)

    def run(self, ask: Ask) -> Made:
        """Ask, reward; an answer that a record has twice is one candidate."""
        queries = self.first()
        counts = Counter(given=len(self.records), asked=len(queries))
        answers: dict[str, dict[str, None]] = {record.id: {} for record in self.records}
        for one, completion in zip(queries, ask(queries), strict=True):
            text = reply_of(completion)
            answer = _ANSWER.split(text)[-1].strip() if text is not None else ""
            if not answer:
                counts[lost(completion)] += 1
            elif answer in answers[one.problem.id]:
                counts["duplicates"] += 1
            else:
                answers[one.problem.id][answer] = None
        pairs = [(record, answer) for record in self.records for answer in answers[record.id]]
        rewards = list(self.reward(pairs))
        if len(rewards) != len(pairs):
            raise DataError(f"the reward gave {len(rewards)} numbers for {len(pairs)} answers")
        rewarded: dict[str, list[Candidate]] = {record.id: [] for record in self.records}
        for (record, answer), reward in zip(pairs, rewards, strict=True):
            if reward is None or not abs(reward) < float("inf"):
                counts["unrewarded"] += 1
                continue
            rewarded[record.id].append(Candidate(together(record, answer), float(reward), source=self.student))
        made = []
        for record in self.records:
            found = tuple(rewarded[record.id])
            counts["too_few"] += len(found) < 2
            counts["all_equal"] += len(found) >= 2 and len({candidate.reward for candidate in found}) == 1
            if len(found) >= 2:
                made.append(noted(replace(record, candidates=found), student=self.student, continued=self.continues))
        counts.update(kept=len(made), candidates=sum(len(record.candidates) for record in made))
        order = ("given", "asked", "kept", "candidates", "duplicates", "unrewarded", "too_few", "all_equal")
        return Made(tuple(made), tally(counts, (*order, "teacher_error", "cut", "empty")))


def grader_reward(records: Sequence[TrainRecord]) -> Reward:
    """1 for an answer that the record's grader finds right, 0 for a wrong one or none; None where it cannot tell.

    Raises `DataError` if a record cannot be checked.
    """
    require_checkable(records, "a reward by grader")

    def reward(pairs: Sequence[tuple[TrainRecord, str]]) -> list[float | None]:
        verdicts = grade_texts([(problem_of(record), answer) for record, answer in pairs])
        return [{"right": 1.0, "wrong": 0.0, "no_answer": 0.0}.get(verdict) for verdict in verdicts]

    return reward
