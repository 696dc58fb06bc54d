"""Rejection sampling: from completions of a model to training records, by the verdict of the suite's own grader.

The completions are those of a stored run (any model that the harness can run, so generation is resumable and cached),
the problems those of its suite; both are arguments, because this package reads no run directory. Kept are completions
that finished and are graded right by the harness's own policy (docs/grading.md). A failed, unscored or cut completion
is neither right nor wrong here, whatever it scores: it is counted and left out. Wrong completions of the same problem
become the kept records' negatives, so that the same call makes preference pairs (REDI, dDPO) and the two sides of dual
chains (EDIT, arXiv 2405.19737).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from backends.records.record import TrainRecord, render_response
from backends.records.spans import never_closes, split_response
from backends.records.verify import grade, verdict_of
from harness.errors import DataError
from harness.grading.pool import GradingPool
from harness.reasoning import with_answer
from harness.types import Completion, Json, Problem, Record


@dataclass(frozen=True, slots=True)
class Selected:
    """What rejection sampling kept, and what became of the rest."""

    records: tuple[TrainRecord, ...]
    """In the problems' order, then by attempt."""
    verdicts: Mapping[str, int]
    """Completions by verdict: "right", "wrong", and the statuses that are neither ("truncated", "error", …)."""
    duplicates: int
    """Right completions left out because the same problem has that text already."""
    surplus: int
    """Right completions left out because the problem has `per_problem` already."""
    unsolved: tuple[str, ...]
    """Problems with completions of which none is right, in order."""
    failures: tuple[TrainRecord, ...]
    """Those of them with a wrong completion, as records without a response: the first wrong one is `rejected`, all of
    them are `negatives`. What a teacher may rectify."""


def select_right(
    completions: Iterable[Record],
    problems: Sequence[Problem],
    *,
    dataset: str,
    teacher: str,
    per_problem: int | None = None,
    pool: GradingPool | None = None,
) -> Selected:
    """Keep what the suite's grader scores right, at most `per_problem` of each problem, by attempt.

    `dataset` and `teacher` are noted in the records' meta; a record's id is "<problem>#<attempt>". The i-th record of a
    problem has the i-th wrong completion as `rejected` (from the first again when there are fewer) and all of them as
    `negatives`. `pool`: for graders that must not run in this process; without one a pool is opened where needed.
    Raises `DataError` for a completion of an unknown problem and for an attempt that occurs twice, and what
    `harness.grading.score_completion` raises.
    """
    if per_problem is not None and per_problem < 1:
        raise DataError(f"per_problem {per_problem}: at least 1 completion of each problem")
    known = {problem.id: problem for problem in problems}
    by_problem: dict[str, dict[int, Completion]] = {}
    for record in completions:
        if record.problem_id not in known:
            raise DataError(f"a completion belongs to problem {record.problem_id!r}, which is not among the problems")
        attempts = by_problem.setdefault(record.problem_id, {})
        if record.attempt in attempts:
            raise DataError(f"problem {record.problem_id!r} has two completions of attempt {record.attempt}")
        attempts[record.attempt] = with_answer(record.completion)
    places = [(problem_id, attempt) for problem_id, attempts in by_problem.items() for attempt in attempts]
    scores = grade([(known[problem_id], by_problem[problem_id][attempt]) for problem_id, attempt in places], pool)
    found = {place: verdict_of(score) for place, score in zip(places, scores, strict=True)}
    verdicts = Counter(found.values())
    records: list[TrainRecord] = []
    unsolved: list[str] = []
    failures: list[TrainRecord] = []
    meta: dict[str, Json] = {"dataset": dataset, "teacher": teacher}
    duplicates = surplus = 0
    for problem in problems:
        attempts = by_problem.get(problem.id, {})
        right, wrong = (_texts(problem.id, attempts, found, verdict) for verdict in ("right", "wrong"))
        distinct = {text: attempt for attempt, text in reversed(right)}
        kept = [(attempt, text) for attempt, text in right if distinct[text] == attempt]
        chosen = kept[:per_problem]
        duplicates += len(right) - len(kept)
        surplus += len(kept) - len(chosen)
        if attempts and not any(found[problem.id, attempt] == "right" for attempt in attempts):
            unsolved.append(problem.id)
            if wrong:
                failures.append(_failure(problem, wrong, meta))
        negatives = tuple(dict.fromkeys(text for _, text in wrong))
        for index, (attempt, text) in enumerate(chosen):
            positive = _record(problem, attempt, text, meta)
            rejected = negatives[index % len(negatives)] if negatives else None
            records.append(replace(positive, rejected=rejected, negatives=negatives))
    return Selected(
        tuple(records), dict(sorted(verdicts.items())), duplicates, surplus, tuple(unsolved), tuple(failures)
    )


def _texts(
    problem_id: str, attempts: Mapping[int, Completion], found: Mapping[tuple[str, int], str], verdict: str
) -> list[tuple[int, str]]:
    """(attempt, response) of the completions with that verdict, by attempt."""
    return [
        (attempt, response_of(attempts[attempt]))
        for attempt in sorted(attempts)
        if found[problem_id, attempt] == verdict
    ]


def response_of(completion: Completion) -> str:
    """What a student is to write: the text as generated where it holds its own think block whole, else rendered anew.

    Rendered anew are thoughts that the server separated and those whose opening tag stood in the prompt. The completion
    has been through `harness.reasoning.with_answer`.
    """
    split = split_response(completion.text)
    whole = split is not None and split.rule == "think" and split.think_start > 0 and not never_closes(completion.text)
    if whole or completion.reasoning is None:
        return completion.text.strip()
    return render_response(completion.reasoning, completion.answer_text or "")


def _failure(problem: Problem, wrong: Sequence[tuple[int, str]], meta: Mapping[str, Json]) -> TrainRecord:
    negatives = tuple(dict.fromkeys(text for _, text in wrong))
    return TrainRecord(
        id=problem.id,
        prompt=problem.messages,
        gold=problem.target,
        rejected=negatives[0],
        negatives=negatives,
        meta={**meta, **_graded_by(problem)},
    )


def _graded_by(problem: Problem) -> dict[str, Json]:
    """What it takes to grade another response to the problem."""
    choices: dict[str, Json] = {"choices": list(problem.choices)} if problem.choices else {}
    return {"problem": problem.id, "grader": problem.grader, **choices}


def _record(problem: Problem, attempt: int, text: str, meta: Mapping[str, Json]) -> TrainRecord:
    think, answer = parts_of(text)
    return TrainRecord(
        id=f"{problem.id}#{attempt}",
        prompt=problem.messages,
        think=think,
        answer=answer,
        gold=problem.target,
        response=text,
        meta={**meta, **_graded_by(problem), "attempt": attempt},
    )


def parts_of(text: str) -> tuple[str | None, str]:
    """The chain of a response, None where it has none, and the answer: what `think` and `answer` of a record hold."""
    split = split_response(text)
    if split is None:
        return None, text.strip()
    answer = text[split.answer_start :]
    if split.rule == "think":
        answer = answer[answer.index(">") + 1 :]
    return text[split.think_start : split.think_end].strip() or None, answer.strip()
