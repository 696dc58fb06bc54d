"""Pairs as questions to a judge, with a teacher's justification where its verdict is right (WebArbiter).

A pair is a record with `response`, the better answer, and `rejected`. Its question is the prompt that `harness judge`
would send by the same rubric, both answers fenced, so that the judge that is trained on it is asked in `harness judge`
what it has learnt. `gold` is the label of the better answer. What the teacher decided wrongly, or nobody can read, has
no response: the stage that imitates leaves it out, the one that rewards verdicts asks it all the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, lost, reply_of, tally
from backends.makers.traces import response_of
from backends.records.record import TrainRecord, require, response_text
from harness.errors import UsageError
from harness.reasoning import with_answer
from harness.types import Completion, Problem
from judges.answers import answer_part, conversation, prefers, side
from judges.pointwise import judged_text
from judges.prompts.render import render
from judges.prompts.rubric import load_rubric
from judges.replies.parse import parse_reply
from judges.types import Malformed, Rubric, Task

_ORDER = (
    "given",
    "same",
    "asked",
    "right",
    "wrong",
    "unreadable",
    "teacher_error",
    "cut",
    "empty",
    "consistent",
    "kept",
)


RUBRIC = "pairwise_verdict"
"""The one that judges are trained on."""


@dataclass(frozen=True)
class _Game:
    """One order of a pair, as a record without a response and as what the judge is shown."""

    record: TrainRecord
    judged: str


@dataclass(frozen=True, kw_only=True)
class RightVerdicts(Maker):
    """Ask which answer of a pair (`response` and `rejected`) is better, and keep right justifications: for rjudge.

    Every question is kept with its gold verdict; the teacher's reply becomes the response where its verdict is right.

    \b
    harness data verdicts pairs.jsonl --teacher openai:my-teacher --orders both -o verdicts.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    rubric: str | None = None
    """Pairwise rubric that asks; None: `RUBRIC`."""
    orders: Literal["random", "both"] = "random"
    """Which answer comes first: by chance, the same for every teacher; or each once, which makes two records."""

    name = "verdicts"

    @cached_property
    def _loaded(self) -> Rubric:
        return load_rubric(self.rubric or RUBRIC)

    def check(self) -> None:
        """Every record is a pair, and the rubric compares two answers."""
        require(self.records, ("response", "rejected"), "verdicts")
        if self._loaded.kind != "pairwise":
            raise UsageError(
                f"--rubric {self.rubric} is of kind {self._loaded.kind!r}: name one that compares two answers"
            )

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [self._query(game) for game in self._games()]

    def run(self, ask: Ask) -> Made:
        """Ask, and keep what the teacher says where its verdict is right."""
        games = self._games()
        counts = Counter(given=len(self.records), asked=len(games))
        counts["same"] = sum(not self._differ(record) for record in self.records)
        made: list[TrainRecord] = []
        right = Counter[str]()
        for game, completion in zip(games, ask([self._query(game) for game in games]), strict=True):
            verdict = self._verdict(game, completion)
            counts[verdict] += 1
            right[str(game.record.meta["pair"])] += verdict == "right"
            response = response_of(with_answer(completion)) if verdict == "right" else None
            meta = {**game.record.meta, "verdict_by": self.model, "verified": verdict == "right"}
            made.append(replace(game.record, response=response, meta=meta))
        if self.orders == "both":
            counts["consistent"] = sum(count == 2 for count in right.values())
        counts["kept"] = len(made)
        return Made(tuple(made), tally(counts, _ORDER), facts={"rubric": self._loaded.id})

    def _games(self) -> list[_Game]:
        return [
            self._game(record, better)
            for record in self.records
            if self._differ(record)
            for better in (self._first(record) if self.orders == "random" else (1, 2))
        ]

    def _differ(self, record: TrainRecord) -> bool:
        return self._shown(response_text(record) or "") != self._shown(record.rejected or "")

    def _shown(self, response: str) -> str:
        return answer_part(Completion(response, "stop"), self._loaded.part)

    def _first(self, record: TrainRecord) -> tuple[int]:
        return (1 + hashlib.sha256(f"{self.draw.seed}\x1f{record.id}".encode("utf-8", "replace")).digest()[0] % 2,)

    def _game(self, record: TrainRecord, better: int) -> _Game:
        """The pair with the better answer in that place."""
        turns, earlier = conversation(record.prompt)
        answers = [(*earlier, self._shown(text)) for text in (response_text(record) or "", record.rejected or "")]
        first, second = answers if better == 1 else answers[::-1]
        task = Task(record.id, 0, turns, first, opponent=second)
        best, *_ = sorted(self._loaded.choices, key=lambda one: (one.value if better == 2 else -one.value, one.weight))
        meta = {**record.meta, "pair": record.id, "better": better, "rubric": self._loaded.id}
        meta.pop("grader", None)  # it read the pair's answers, not verdicts
        question = TrainRecord(
            id=f"{record.id}#{better}", prompt=render(self._loaded, task), task="judge", gold=best.label, meta=meta
        )
        return _Game(question, judged_text(task))

    def _query(self, game: _Game) -> Query:
        record = game.record
        problem = Problem(record.id, record.prompt, record.gold or "", "exact")
        return Query(self.name, self._loaded.id, problem, 0, self.draw)

    def _verdict(self, game: _Game, completion: Completion) -> str:
        if reply_of(completion) is None:
            return lost(completion)
        try:
            said = parse_reply(self._loaded, completion, judged_text=game.judged)
        except Malformed:
            return "unreadable"
        return "right" if prefers(self._loaded, game.record.gold or "") == side(said.value) else "wrong"
