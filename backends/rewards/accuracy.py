"""Whether the answer is right, by the same policy, graders and killable workers as evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from backends.records.inputs import problem_of, require_checkable
from backends.rewards.base import Reward
from backends.rollouts.types import Part, RolloutGroup
from harness.errors import DataError, HarnessError
from harness.grading import Pending, get_grader, score_completion
from harness.types import Completion, Score

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from backends.rewards.scorers import Scorers
    from harness.grading.pool import GradingPool
    from harness.types import Problem


@dataclass(frozen=True)
class Accuracy(Reward):
    """1 for a right answer, 0 for a wrong one, none, or one that the token limit cut; nothing where it cannot be told.

    Records need `gold`, and `grader` in their meta (`choices` too for multiple choice), or the task "math". The answer
    is what follows the think block, and the verdict is the one that `harness run` gives to the same text.
    """

    name: ClassVar[str] = "accuracy"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    needs: ClassVar[tuple[str, ...]] = ("gold",)

    def check(self, records: Sequence[TrainRecord]) -> None:
        """Every record has a grader, which can read its gold."""
        require_checkable(records, "the reward accuracy")
        for record in records:
            problem = problem_of(record)
            try:
                score_completion(problem, Completion(get_grader(problem.grader).gold_text(problem), "stop"))
            except HarnessError as error:
                raise DataError(f"record {record.id!r} cannot be graded: {error}") from error

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """By the record's grader."""
        problem = problem_of(group.record)
        scores = grade_all(problem, [rollout.completion() for rollout in group.rollouts], scorers.pool)
        return [part_of(score) for score in scores]


def grade_all(problem: Problem, completions: Sequence[Completion], pool: GradingPool) -> list[Score]:
    """The score of each completion of a problem, as `harness run` gives it. Raises what `score_completion` raises."""
    scores: list[Score | Future[Score]] = []
    for completion in completions:
        verdict = score_completion(problem, completion)
        if isinstance(verdict, Pending):
            scores.append(pool.submit(verdict.grader, verdict.target, verdict.answer))
        else:
            scores.append(verdict)
    return [score if isinstance(score, Score) else score.result() for score in scores]


def part_of(score: Score) -> Part:
    """A score as a reward: what evaluation leaves unscored has no value here either."""
    if score.value is None:
        return Part(None, score.why or score.status)
    return Part(score.value, correct=score.value == 1.0)
