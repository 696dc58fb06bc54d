"""Ask judges about labelled pairs: every rubric and every judge about exactly the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.types import Json, Model
from judges.ask import judge_tasks
from judges.lab.labelled_pair import LabelledPair
from judges.lab.votes import PairVotes, pairwise_outcome, pointwise_outcome
from judges.pairwise import PairwiseJudging
from judges.pointwise import RubricJudging
from judges.prompts.templates import fields
from judges.types import Judging, Judgment, Rubric, Task


@dataclass(frozen=True)
class JudgeArm:
    """One judge with one rubric: what is measured, and held against another."""

    judge: Model
    rubric: Rubric
    judging: Judging

    @classmethod
    def of(cls, judge: Model, rubric: Rubric, *, repeats: int = 1, temperature: float = 0.0) -> JudgeArm:
        """A pairwise rubric is asked in both orders; any other is asked about each answer alone.

        Raises `UsageError` for a rubric that looks at two texts and yet prefers neither (structure_match).
        """
        if rubric.kind == "pairwise":
            return cls(judge, rubric, PairwiseJudging(rubric, orders="both", repeats=repeats, temperature=temperature))
        if "answer_b" in fields(rubric.template):
            raise UsageError(
                f"rubric {rubric.name!r} says something about two texts but not which is better: "
                "the laboratory needs a pairwise rubric, or one that judges a single answer"
            )
        return cls(judge, rubric, RubricJudging(rubric, repeats=repeats, temperature=temperature))

    @property
    def pairwise(self) -> bool:
        """True if the judge sees both answers at once."""
        return self.rubric.kind == "pairwise"

    def tasks(self, pairs: Sequence[LabelledPair]) -> list[Task]:
        """What to ask: one task per pair, or one for each of its answers (attempt 0 is `a`, attempt 1 is `b`)."""
        if self.pairwise:
            return [_task(pair, 0, pair.a, pair.b) for pair in pairs]
        return [_task(pair, attempt, answers) for pair in pairs for attempt, answers in enumerate((pair.a, pair.b))]

    def size(self, pairs: Sequence[LabelledPair]) -> int:
        """Judgments that this takes."""
        return sum(len(self.judging.asks(task)) for task in self.tasks(pairs))

    async def run(
        self,
        pairs: Sequence[LabelledPair],
        cache: Cache,
        budget: Budget | None = None,
        on_judgment: Callable[[Judgment], None] | None = None,
    ) -> list[PairVotes]:
        """Judge every pair, in order. Raises what `judge_tasks` raises; what was judged until then is cached."""
        judgments = await judge_tasks(self.judge, self.judging, self.tasks(pairs), cache, budget, on_judgment)
        if self.pairwise:
            return [pairwise_outcome(pair, found) for pair, found in zip(pairs, judgments, strict=True)]
        halves = zip(pairs, judgments[::2], judgments[1::2], strict=True)
        return [pointwise_outcome(pair, a, b) for pair, a, b in halves]


def _task(pair: LabelledPair, attempt: int, answers: tuple[str, ...], opponent: tuple[str, ...] | None = None) -> Task:
    meta: Mapping[str, Json] = {"subset": pair.subset}
    return Task(
        problem_id=pair.id,
        attempt=attempt,
        turns=pair.turns,
        answers=answers,
        opponent=opponent,
        cluster=pair.cluster,
        meta=meta,
    )
