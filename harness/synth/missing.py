"""Missing premises: a story that tells "some" where it told a number that its question needs.

Nothing else changes, so that the clean problem is its twin. That the question cannot be answered is shown by search:
another number in that place makes a story that reads the same without it, is as whole (no fractions, nothing below
zero) and has another answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.errors import DataError
from harness.synth.expressions import BadExpression, apply
from harness.synth.generate import question_id
from harness.synth.records import Operand, SubProblem, SynthProblem
from harness.synth.rng import Rng

_NUMBER = re.compile(r"(?<![\w.,$])\d+(?= [a-z])")
_MOST = 200
"""Numbers that are tried in the place of the one that is taken out."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A problem without one of its numbers."""

    problem: SynthProblem
    """Its question says "some"; the sub-problems are the clean one's."""
    twin: str
    """Id of the clean problem."""
    number: int
    """What was taken out."""
    other: int
    """A number that could as well have stood there."""
    answer: int
    """The answer if it had."""


def missing(problem: SynthProblem) -> Missing:
    """The problem without one of its numbers, drawn by its id.

    Raises `DataError` for bare arithmetic, and for a story in which no number stands alone.
    """
    if problem.family != "word":
        raise DataError("only a word problem can have a missing premise")
    told = [(found, number) for found, number in told_once(problem.question) if _used(problem, number)]
    for found, number in Rng("missing", problem.id).shuffled(told):
        question = without(problem.question, found)
        for other in range(2, _MOST):
            answer = _answer(problem.subproblems, {number: other})
            if other != number and answer is not None and answer != problem.answer:
                taken = replace(problem, id=question_id("missing", question), question=question)
                return Missing(taken, problem.id, number, other, answer)
    raise DataError(f"{problem.id}: no number of it is told once and needed")


def with_missing(problems: Iterable[SynthProblem], count: int) -> Iterator[tuple[SynthProblem, Missing]]:
    """The first problems that a number can be taken out of, each with what is left of it."""
    left = count
    for problem in problems:
        if left == 0:
            return
        try:
            found = missing(problem)
        except DataError:
            continue
        left -= 1
        yield problem, found


def without(question: str, number: re.Match[str]) -> str:
    """The question with "some" in the place of a number."""
    word = "several" if question[number.end() :].startswith(" times ") else "some"
    return question[: number.start()] + word + question[number.end() :]


def told_once(question: str) -> Iterator[tuple[re.Match[str], int]]:
    """Numbers that stand in the text once, before the word that they count."""
    written = re.findall(r"\d+", question)
    for found in _NUMBER.finditer(question):
        number = int(found[0])
        if written.count(str(number)) == 1 and not (number == 2 and "twice" in question):
            yield found, number


def _used(problem: SynthProblem, number: int) -> bool:
    return any(number in (sub.left, sub.right) for sub in problem.subproblems)


def _answer(subproblems: tuple[SubProblem, ...], instead: dict[int, int]) -> int | None:
    """The answer with other numbers in the place of some; None where a step does not come out whole and above zero."""
    found: dict[str, int] = {}

    def value(operand: Operand) -> int:
        return found[operand] if isinstance(operand, str) else instead.get(operand, operand)

    for sub in subproblems:
        try:
            found[sub.id] = apply(sub.op, value(sub.left), value(sub.right))
        except BadExpression:
            return None
        if found[sub.id] < 1:
            return None
    return found[subproblems[-1].id]
