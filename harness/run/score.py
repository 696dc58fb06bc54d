"""Score completions: extraction here, comparison in the grading pool, the result a list of `Graded`."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

from harness import formats
from harness.grading import Pending, field_checks, get_grader, score_completion
from harness.grading.pool import GradingPool
from harness.reasoning import Unread, with_answer
from harness.run.components import usage_of
from harness.run.gated import beside_it, system_facts
from harness.run.plan import PlannedRun
from harness.types import Completion, Graded, Problem, Record, Score

_UNKNOWN = Score(None, "unscored", why="not graded yet")


class Scorer:
    """Grades the completions of one job as they come; a later completion of an attempt replaces the earlier one."""

    def __init__(self, job: PlannedRun, pool: GradingPool) -> None:
        self._job = job
        self._pool = pool
        self._problems = {problem.id: problem for problem in job.problems}
        self._graded: dict[tuple[str, int], tuple[Graded, Future[Score] | None]] = {}
        self._beside: dict[tuple[str, int], list[Score | Future[Score] | None]] = {}
        """Of systems of models, what replies would have scored that are not the answer."""
        self.unread = Unread()
        self.right = 0.0
        self.scored = 0

    def add(self, problem: Problem, attempt: int, completion: Completion) -> None:
        """Start grading one completion; returns at once. Answers that only a judge can score are left to it."""
        completion = with_answer(completion)
        self.unread.add(completion)
        if self._job.suite.judging:
            return
        verdict = score_completion(problem, completion)
        future = self._submit(verdict)
        if future is not None:
            future.add_done_callback(self._count)
        elif isinstance(verdict, Score):
            self._tally(verdict)
        beside = [score_completion(problem, with_answer(one)) for one in beside_it(completion)]
        self._beside[problem.id, attempt] = [one if isinstance(one, Score) else self._submit(one) for one in beside]
        graded = Graded(
            problem_id=problem.id,
            attempt=attempt,
            score=verdict if isinstance(verdict, Score) else _UNKNOWN,
            cluster=problem.cluster,
            tokens_in=completion.tokens_in,
            tokens_out=completion.tokens_out,
            formats={
                **formats.check(self._job.suite.formats, self._job.suite.reply_schema, completion),
                **field_checks(problem, completion, verdict),
            },
            usage=usage_of(completion),
            facts=system_facts(problem, completion),
        )
        self._graded[problem.id, attempt] = (graded, future)

    def _submit(self, verdict: Score | Pending) -> Future[Score] | None:
        if isinstance(verdict, Score):
            return None
        return self._pool.submit(verdict.grader, verdict.target, verdict.answer)

    def add_record(self, record: Record) -> bool:
        """Grade a stored completion. False if it is of another problem set or was made from another prompt."""
        problem = self._problems.get(record.problem_id)
        if problem is None or record.prompt_hash != self._job.prompt_hashes[problem.id]:
            return False
        self.add(problem, record.attempt, record.completion)
        return True

    def _count(self, future: Future[Score]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._tally(future.result())

    def _tally(self, score: Score) -> None:
        # Only feeds the progress line; the exact counts come from `finish`.
        if score.value is not None:
            self.right += score.value
            self.scored += 1

    def finish(self) -> list[Graded]:
        """Wait for the graders and return every attempt, by problem and attempt."""
        done = [
            replace(graded, score=future.result()) if future is not None else graded
            for graded, future in self._graded.values()
        ]
        told = [self._with_truth(graded) if graded.facts else graded for graded in done]
        return sorted(told, key=lambda graded: (graded.problem_id, graded.attempt))

    def _with_truth(self, graded: Graded) -> Graded:
        """Whether one of the replies beside the answer is right, or the answer where there is none; if that is told."""
        beside = self._beside.get((graded.problem_id, graded.attempt)) or [graded.score]
        scores = [one.result() if isinstance(one, Future) else one for one in beside]
        values = [one.value for one in scores if one is not None and one.value is not None]
        return replace(graded, facts={**graded.facts, "right": float(1.0 in values)}) if values else graded


def grader_versions(job: PlannedRun) -> dict[str, str]:
    """Version of every grader that this job's problems use."""
    return {name: get_grader(name).version() for name in sorted({problem.grader for problem in job.problems})}
