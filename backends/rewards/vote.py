"""Agreement with the majority of the group's own answers, where nobody knows the right one (MedSSR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from backends.records.inputs import named_grader, problem_of
from backends.rewards.accuracy import grade_all
from backends.rewards.base import Reward
from backends.rollouts.types import LEFT_OUT, Part, RolloutGroup
from harness.errors import DataError, HarnessError
from harness.grading import get_grader
from harness.grading.base import BaseGrader
from harness.reasoning import with_answer
from harness.types import Completion, Problem, Score

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from backends.rewards.scorers import Scorers
    from harness.grading.pool import GradingPool

_ROUNDING = 1e-9


@dataclass(frozen=True)
class GroupVote(Reward):
    """1 for an answer that agrees with the majority of its group, else 0: the pseudo-label of a question without gold.

    A group whose majority is too small to be trusted, or so large that nothing can be learnt, is left out whole, and so
    is one whose first place is shared. Records need `grader` in their meta (and `choices`), or the task "math": answers
    that it finds equal are one. A completion without an answer has no vote and takes its place among all.
    """

    least: float = 0.3
    """Smallest share of the majority; ours, as the paper names none."""
    most: float = 0.9
    """Largest share; ours."""

    name: ClassVar[str] = "vote"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most <= 1:
            raise ValueError(f"shares go from least to most, within 0 to 1, not from {self.least} to {self.most}")

    def check(self, records: Sequence[TrainRecord]) -> None:
        """Every record says by what answers are read."""
        bad = [record.id for record in records if named_grader(record) is None]
        if bad:
            raise DataError(
                f"the reward vote reads answers by a grader, which {len(bad)} of {len(records)} records do not name, "
                f"the first {bad[0]!r}: add 'grader' to their meta (integer, number, math, choice, …)"
            )

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """The majority's answer stands in for the gold."""
        problem = replace(problem_of(group.record), grader=named_grader(group.record) or "exact")
        completions = [rollout.completion() for rollout in group.rollouts]
        votes, failed = count_votes(problem, completions, scorers.pool)
        asked = len(completions) - len(failed)
        sizes = sorted((len(voters) for voters in votes), reverse=True)
        share = sizes[0] / asked if sizes else 0.0
        if len(sizes) > 1 and sizes[0] == sizes[1]:
            why = f"two answers share the first place, with {sizes[0]} of {asked} votes each"
        elif not self.least - _ROUNDING <= share <= self.most + _ROUNDING:
            why = f"the majority's share is {share:.2f}, not from {self.least:g} to {self.most:g}"
        else:
            winners = max(votes, key=len)
            return [
                Part(None, failed[n]) if n in failed else Part(float(n in winners)) for n in range(len(completions))
            ]
        return [Part(None, failed.get(number, LEFT_OUT + why)) for number in range(len(completions))]


def count_votes(
    problem: Problem, completions: Sequence[Completion], pool: GradingPool
) -> tuple[list[set[int]], dict[int, str]]:
    """The completions of each different answer, in the order in which these came; and why the others could not be read.

    A completion votes if evaluation would call it right were its own answer the gold: with none, one that is cut or
    one that no gold can be it has no vote. Answers are one where the grader finds one right for the other. Each text
    is read twice, whatever the others are.
    """
    by_answer: dict[str, list[int]] = {}
    for number, completion in enumerate(completions):
        if (answer := answer_of(problem, completion)) is not None:
            by_answer.setdefault(answer, []).append(number)
    votes: dict[str, set[int]] = {}
    failed: dict[int, str] = {}
    for answer, numbers in by_answer.items():
        scores = _against(problem, answer, [completions[number] for number in numbers], pool)
        voters = {number for number, score in zip(numbers, scores, strict=False) if score.value == 1.0}
        failed |= {n: one.why or one.status for n, one in zip(numbers, scores, strict=False) if one.value is None}
        if voters:
            same = next((first for first in votes if _same(problem.grader, first, answer, pool)), answer)
            votes.setdefault(same, set()).update(voters)
    return list(votes.values()), failed


def _same(name: str, first: str, answer: str, pool: GradingPool) -> bool:
    """Whether the grader takes an answer for right where another is the gold."""
    grader = get_grader(name)
    score = None
    if isinstance(grader, BaseGrader):
        try:
            score = grader.quick(first, answer)
        except HarnessError:
            raise
        except Exception:  # the worker will run into it again, and say so
            score = None
    return (score or pool.submit(name, first, answer).result()).value == 1.0


def answer_of(problem: Problem, completion: Completion) -> str | None:
    """What the problem's grader reads as the answer; None if it reads none."""
    text = with_answer(completion).answer_text
    if text is None:
        return None
    try:
        found = get_grader(problem.grader).extract(problem, text)
    except HarnessError:
        raise
    except Exception:  # whatever a reply does to a grader, it is no vote
        return None
    return None if found is None else found.answer


def _against(problem: Problem, answer: str, completions: Sequence[Completion], pool: GradingPool) -> list[Score]:
    """The scores of completions if this were the gold; none if it cannot be one."""
    try:
        return grade_all(replace(problem, target=answer), completions, pool)
    except DataError:  # the grader cannot read it as a gold
        return []
