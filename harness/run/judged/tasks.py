"""Stored completions as tasks for a judge: which question, which answer, and what it is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.datasets import load_rows
from harness.errors import DataError, StoreError
from harness.reasoning import Unread, with_answer
from harness.run.folder import Key, RunFolder
from harness.run.plan import PlannedRun
from harness.run.turns import walk
from harness.types import Completion, Problem
from judges.answers import answer_part, conversation
from judges.types import Part, Task


@dataclass(frozen=True)
class Answers:
    """What a run holds for judging."""

    tasks: tuple[Task, ...]
    """Every attempt, by problem."""
    failed: Mapping[Key, str]
    """(problem id, attempt) -> reason of the attempts that have no answer: nothing to judge, and counted."""
    tokens: Mapping[Key, tuple[int | None, int | None]]
    """(problem id, attempt) -> tokens in and out of the completion."""
    cut: int = 0
    """Completions that the token limit cut."""
    notes: Sequence[str] = ()
    """What is to be said of how the replies were read."""


def load_answers(job: PlannedRun, part: Part, samples: int | None) -> Answers:
    """The stored answers of a run, at most `samples` per problem, as tasks without an opponent.

    Raises `StoreError` if a completion belongs to another prompt, `DataError` if there is none.
    """
    directory = job.directory
    stored = RunFolder(directory).latest
    tasks: list[Task] = []
    failed: dict[Key, str] = {}
    tokens: dict[Key, tuple[int | None, int | None]] = {}
    cut = 0
    unread = Unread()
    for first in job.problems:
        for attempt in sorted({attempt for _, attempt in stored})[:samples]:
            for problem, record in walk(job.suite, first, attempt, stored):
                key = (problem.id, attempt)
                completion = record.completion if record is not None else _missing(problem, key in stored, directory)
                tasks.append(_task(problem, attempt, completion, part))
                unread.add(with_answer(completion))
                tokens[key] = (completion.tokens_in, completion.tokens_out)
                cut += completion.finish == "length"
                if completion.finish == "error":
                    failed[key] = completion.error or "generation failed"
    if len(failed) == len(tasks):
        raise DataError(f"{directory}: no completion is stored that could be judged")
    return Answers(tuple(tasks), failed, tokens, cut, unread.notes())


def _missing(problem: Problem, stale: bool, directory: Path) -> Completion:
    """Stands for an answer that was never generated; one that was made from another prompt is refused."""
    if stale:
        raise StoreError(
            f"{directory}: the answer to {problem.id!r} was made from another prompt than the suite has now: "
            "run the same `harness run` command again"
        )
    return Completion(text="", finish="error", error="never generated: run the same `harness run` command again")


def _task(problem: Problem, attempt: int, completion: Completion, part: Part) -> Task:
    turns, earlier = conversation(problem.messages)
    return Task(
        problem_id=problem.id,
        attempt=attempt,
        turns=turns,
        answers=(*earlier, answer_part(completion, part)),
        reference=problem.reference,
        cluster=problem.cluster,
        meta=problem.meta,
    )


def baseline_answers(job: PlannedRun, data_dir: Path | None) -> Mapping[str, tuple[str, ...]]:
    """Problem id -> the suite's own opponent's answer. Raises `DataError` if an answer is missing."""
    assert job.suite.baseline is not None
    rows = {str(row["id"]): (str(row["output"]),) for row in load_rows(job.suite.baseline, data_dir)}
    missing = [problem.id for problem in job.problems if problem.id not in rows]
    if missing:
        shown = ", ".join(map(repr, missing[:5]))
        raise DataError(f"{job.suite.name}: the baseline has no answer to {len(missing)} problems: {shown}")
    return rows
