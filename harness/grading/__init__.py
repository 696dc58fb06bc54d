"""Graders: one per answer type, looked up by name, and the policy that turns a completion into a score.

`score_completion` settles everything that is cheap; what is left is a `Pending` for `harness.grading.pool`. The policy
is described in docs/grading.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from harness import catalog
from harness.errors import HarnessError
from harness.grading.base import BaseGrader
from harness.reasoning import with_answer
from harness.refusals import refuses
from harness.types import Completion, Extracted, Grader, Problem, Score


@dataclass(frozen=True, slots=True)
class Pending:
    """A comparison that must run in a worker: equal ones are graded once."""

    grader: str
    """Catalog name."""
    target: str
    answer: str


@cache
def get_grader(name: str) -> Grader:
    """The grader of this catalog name; raises `UnknownName`."""
    grader = catalog.load("grader", name)
    assert isinstance(grader, object)
    return grader  # type: ignore[return-value]  # a protocol with attributes cannot be checked at run time


def score_completion(problem: Problem, completion: Completion) -> Score | Pending:
    """Score one completion, or say what a worker has to compare. Linear in the length of the reply.

    Raises `UnknownName` for an unknown grader, `DataError` for a target that the grader cannot read.
    """
    if completion.finish == "error":
        return Score(None, "error", None, completion.error or "the request failed")
    answer_text = with_answer(completion).answer_text
    if answer_text is None:
        if completion.finish == "length":
            return Score(0.0, "truncated", None, "cut by the token limit inside its reasoning")
        return Score(0.0, "no_answer", None, "the reply ends inside its reasoning, before any answer")
    grader = get_grader(problem.grader)
    try:
        found = grader.extract(problem, answer_text)
    except HarnessError:
        raise
    except Exception as error:  # whatever a reply does to a grader says nothing about the model, and must stop no run
        return Score(None, "unscored", None, f"reading the answer failed: {error!r}"[:500])
    if completion.finish == "length" and not _is_complete(grader, problem, answer_text, found):
        return Score(0.0, "truncated", None, "cut by the token limit before a complete marked answer")
    if found is None:
        if refuses(answer_text):
            return Score(0.0, "refused", None, "the model refused to answer")
        return Score(0.0, "no_answer", None, "no answer found")
    try:
        settled = _settled(grader, problem.target, found) if isinstance(grader, BaseGrader) else None
    except HarnessError:
        raise
    except Exception:  # the worker will run into it again, and say so
        settled = None
    return settled if settled is not None else Pending(problem.grader, problem.target, found.answer)


def _settled(grader: BaseGrader, target: str, found: Extracted) -> Score | None:
    """The cheap verdict: right if the reply declares the target as written, whatever its answer was cut down to."""
    for reading in found.readings:
        whole = grader.quick(target, reading)
        if whole is not None and whole.value == 1.0:
            return whole
    return grader.quick(target, found.answer)


def field_checks(problem: Problem, completion: Completion, verdict: Score | Pending) -> dict[str, bool]:
    """What a grader of several fields says of each of them; {} for other graders and where nothing was graded.

    `completion` has been through `with_answer`; `verdict` is what `score_completion` made of it.
    """
    grader = get_grader(problem.grader)
    if not isinstance(grader, BaseGrader) or isinstance(verdict, Pending) or verdict.value is None:
        return {}
    return grader.checks(problem, completion.answer_text if verdict.status == "scored" else None)


def _is_complete(grader: Grader, problem: Problem, answer_text: str, found: Extracted | None) -> bool:
    """Whether a reply that was cut holds a marked answer that no continuation of its last word could have changed.

    Two continuations are tried: another digit, and another digit that closes a bracket.
    """
    if found is None or not found.explicit:
        return False
    return all(grader.extract(problem, answer_text + more) == found for more in ("0", "0}", ".5"))
