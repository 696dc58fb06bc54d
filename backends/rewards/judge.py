"""What a judge gives to a completion by a rubric, through the judging's own code, second try and cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from backends.records.record import response_text
from backends.rewards.base import Reward
from backends.rollouts.types import Part, RolloutGroup
from harness.errors import DataError
from harness.types import Completion
from judges.answers import answer_part, conversation
from judges.pairwise import PairwiseJudging
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Judging, Task

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from backends.rewards.scorers import Scorers


@dataclass(frozen=True)
class Judge(Reward):
    """What a judge gives by a rubric, from 0 to 1; nothing where its reply cannot be read at the second try.

    A rubric about one answer is shown the record's `response`, else its `gold`, as reference, where it takes one; one
    about two answers holds the completion against the record's `response`, in both orders. A completion without an
    answer is worth 0 and is not asked about. Every reply is kept: the same completion is never judged twice.
    """

    model: str = ""
    """Whom to ask: "openai:…", "trained:<id>", … (needed)."""
    rubric: str = "rating_10"
    """Name or TOML file."""
    weighting: str | None = None
    """One of the rubric's weightings."""

    name: ClassVar[str] = "judge"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model must say whom to ask: reward.judge.model=openai:NAME")

    @cached_property
    def _judging(self) -> Judging:
        rubric = load_rubric(self.rubric, self.weighting)
        return PairwiseJudging(rubric) if rubric.kind == "pairwise" else RubricJudging(rubric)

    def models(self) -> Sequence[str]:
        """The judge."""
        return (self.model,)

    def check(self, records: Sequence[TrainRecord]) -> None:
        """Every record can be put to the judge. Raises what loading the rubric raises, too."""
        judging = self._judging
        for record in records:
            if judging.needs_opponent() and response_text(record) is None:
                raise DataError(
                    f"the rubric {self.rubric} compares two answers, and record {record.id!r} has no 'response' "
                    "to hold a completion against: add one, or name a rubric about one answer"
                )
            judging.asks(self._task(record, 0, "an answer"))

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """One judging of all completions that have an answer."""
        answers = [answer_part(rollout.completion(), self._judging.part) for rollout in group.rollouts]
        tasks = [self._task(group.record, n, answer) for n, answer in enumerate(answers) if answer.strip()]
        judgments = scorers.judge(self.model, self._judging, tasks) if tasks else []
        judged = [self._judging.fold(task, said) for task, said in zip(tasks, judgments, strict=True)]
        parts = {one.attempt: Part(one.value, one.why) for one in judged}
        return [parts.get(number, Part(0.0)) for number in range(len(answers))]

    def _task(self, record: TrainRecord, attempt: int, answer: str) -> Task:
        response = response_text(record)
        two = self._judging.needs_opponent()
        turns, earlier = conversation(record.prompt)
        other = None
        if two and response is not None:
            other = (*earlier, answer_part(Completion(response, "stop"), self._judging.part))
        reference = None if two else response or record.gold
        return Task(record.id, attempt, turns, (*earlier, answer), opponent=other, reference=reference)
