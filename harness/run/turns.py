"""Questions of several turns: what is asked next follows from what the model answered before.

A suite with `follow_up` lists only its first turns. Every later turn is a problem of its own, with its own id, request
and record in the same run directory, rendered once the turn before is answered. So nothing of it is stored beside the
answers: a run that is opened again walks its conversations anew, and a later turn that was made after another answer
(its prompt's hash no longer fits) is stale and made again. An attempt is a conversation; attempts never mix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.reasoning import with_answer
from harness.run.folder import Key, RunFolder
from harness.run.plan import PlannedRun
from harness.run.spec import prompt_hash
from harness.types import Completion, Problem, Record, Suite

NOT_ASKED = Completion(text="", finish="error", error="not asked: the turn before has no answer")
"""What stands for a turn that could not be asked."""


def walk(
    suite: Suite, first: Problem, attempt: int, stored: Mapping[Key, Record]
) -> Iterator[tuple[Problem, Record | None]]:
    """Every turn of a conversation in order, each with its stored record: None where there is none for this prompt.

    After a turn without an answer the later ones come as they would stand after an empty answer, so that they are
    counted; they cannot be asked before it is there.
    """
    problem: Problem | None = first
    while problem is not None:
        record = stored.get((problem.id, attempt))
        if record is not None and record.prompt_hash != prompt_hash(problem.messages):
            record = None
        yield problem, record
        problem = follow_up(suite, problem, record.completion if record is not None else NOT_ASKED)


def follow_up(suite: Suite, problem: Problem, completion: Completion) -> Problem | None:
    """The next turn after this answer; None after the last one."""
    return suite.follow_up(problem, with_answer(completion)) if suite.follow_up is not None else None


def later_turns(suite: Suite, problem: Problem) -> Iterator[Problem]:
    """All turns that follow a turn without an answer."""
    following = follow_up(suite, problem, NOT_ASKED)
    while following is not None:
        yield following
        following = follow_up(suite, following, NOT_ASKED)


def count_turns(job: PlannedRun) -> int:
    """Completions that the job asks for here: every turn of every attempt."""
    turns = {problem.id: 1 + sum(1 for _ in later_turns(job.suite, problem)) for problem in job.problems}
    return sum(turns[problem.id] for problem, _ in job.attempts())


def count_stored(job: PlannedRun) -> int:
    """Completions of the job that are there and need not be made again. Raises `StoreError` if they cannot be read."""
    stored = RunFolder(job.directory).latest
    return sum(
        record is not None and record.completion.finish != "error"
        for problem, attempt in job.attempts()
        for _, record in walk(job.suite, problem, attempt, stored)
    )


def by_key(records: Iterable[Record]) -> dict[Key, Record]:
    """Records by (problem id, attempt); where a key comes twice (a retry), the later one counts."""
    return {(record.problem_id, record.attempt): record for record in records}
