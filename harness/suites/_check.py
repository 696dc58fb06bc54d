"""What `harness check` does for one suite: is the data the pinned data, and do graders and targets fit together?

For every problem a reply with the gold answer must score 1 and a reply with a near miss must score 0, through the same
extraction and grading as a real completion. A suite that a judge scores has no gold: its rows and
prompts are checked. A row whose gold no grader can confirm carries its reason in `meta["ungradable"]`: it is counted
and shown apart, and is a failure once it passes, so that the list cannot go stale.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from harness.errors import HarnessError
from harness.grading import Pending, get_grader, score_completion
from harness.grading.pool import GradingPool
from harness.suites import load_problems
from harness.types import Completion, Json, Problem, Score, Suite

Failure = dict[str, Json]
"""One reply that did not score what it must: "problem_id", "reply" ("gold" or "wrong") and "why"."""


def check_suite(suite: Suite, data_dir: Path | None, limit: int | None, pool: GradingPool) -> dict[str, Json]:
    """What --json tells of one suite; raises `DataError` or `PrerequisiteError` where its data does not load."""
    started = time.monotonic()
    problems = load_problems(suite, data_dir, seed=0, limit=limit)
    replies = [] if suite.judging else [(problem, kind) for problem in problems for kind in ("gold", "wrong")]
    pending = [_submit(problem, kind, pool) for problem, kind in replies]
    failed = [
        failure
        for (problem, kind), outcome in zip(replies, pending, strict=True)
        if (failure := _failure(problem, kind, outcome)) is not None
    ]
    known = {problem.id: str(problem.meta["ungradable"]) for problem in problems if "ungradable" in problem.meta}
    failures = [failure for failure in failed if failure["problem_id"] not in known]
    failures += _stale(known, failed)
    return {
        "status": "failed" if failures else "ok",
        "problems": len(problems),
        "reason": "",
        "failures": [*failures],
        "known": [{"problem_id": problem_id, "why": why} for problem_id, why in known.items()],
        "seconds": round(time.monotonic() - started, 2),
    }


def _submit(problem: Problem, kind: str, pool: GradingPool) -> Score | Failure | Future[Score]:
    try:
        grader = get_grader(problem.grader)
        text = grader.gold_text(problem) if kind == "gold" else grader.wrong_text(problem)
        scored = score_completion(problem, Completion(text=text, finish="stop"))
    except HarnessError as error:  # a target that its grader cannot read: the failure that this command looks for
        return _miss(problem.id, kind, str(error))
    return pool.submit(scored.grader, scored.target, scored.answer) if isinstance(scored, Pending) else scored


def _miss(problem_id: str, reply: str, why: str) -> Failure:
    return {"problem_id": problem_id, "reply": reply, "why": why}


def _failure(problem: Problem, kind: str, outcome: Score | Failure | Future[Score]) -> Failure | None:
    if isinstance(outcome, dict):
        return outcome
    score = outcome if isinstance(outcome, Score) else outcome.result()
    if score.value == (1.0 if kind == "gold" else 0.0):
        return None
    return _miss(problem.id, kind, f"scored {score.value} ({score.status}): {score.why or 'no reason given'}")


def _stale(known: dict[str, str], failed: Sequence[Failure]) -> list[Failure]:
    still = {failure["problem_id"] for failure in failed}
    return [
        _miss(problem_id, "gold", f"listed as ungradable ({reason}) but is graded well: take it off the list")
        for problem_id, reason in known.items()
        if problem_id not in still
    ]
