"""Grade many completions by the harness's own policy; comparisons that must not run here go through the pool.

A completion that was cut by the token limit is neither right nor wrong for training, whatever it scores: it teaches to
stop anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack

from backends.records.inputs import problem_of
from backends.records.record import TrainRecord
from harness.grading import Pending, score_completion
from harness.grading.pool import GradingPool
from harness.types import Completion, Problem, Score


def grade(items: Sequence[tuple[Problem, Completion]]) -> list[Score]:
    """The score of each completion, in order. Raises what `harness.grading.score_completion` raises."""
    scores: list[Score | Future[Score]] = []
    pool = None
    with ExitStack() as stack:
        for problem, completion in items:
            if completion.finish == "length":
                scores.append(Score(0.0, "truncated"))
                continue
            verdict = score_completion(problem, completion)
            if isinstance(verdict, Pending):
                pool = stack.enter_context(GradingPool()) if pool is None else pool
                scores.append(pool.submit(verdict.grader, verdict.target, verdict.answer))
            else:
                scores.append(verdict)
        return [score if isinstance(score, Score) else score.result() for score in scores]


def grade_texts(items: Sequence[tuple[TrainRecord, str]]) -> list[str]:
    """The verdict on each whole text as a response to its record, in order."""
    return [verdict_of(score) for score in grade([(problem_of(one), Completion(text, "stop")) for one, text in items])]


def verdict_of(score: Score) -> str:
    """What a score means: "right", "wrong", or the status of one that means neither ("truncated", "error", …)."""
    if score.status != "scored":
        return "no_answer" if score.status == "refused" else score.status
    return "right" if score.value == 1.0 else "wrong"
