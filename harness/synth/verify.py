"""Recompute a chain step by step and report where it stops following from the question.

A step is right if it does the operation that its sub-problem asks for, on the numbers that the question gives or the
chain has reached, and if the equation holds. Judging each step given the ones before it is what makes the first wrong
step well defined when its wrong number is carried on.
"""

from __future__ import annotations

from harness.errors import DataError
from harness.synth.chains import expand, inverse, operand_value
from harness.synth.expressions import BadExpression, Tree, parse, value
from harness.synth.records import Chain, Equation, SubProblem, SynthProblem


class _Checker:
    """Walks along a chain, remembering what it has claimed."""

    def __init__(self, problem: SynthProblem) -> None:
        self.subs = {sub.id: sub for sub in problem.subproblems}
        self.claimed: dict[str, int] = {}
        self.parts: dict[str, dict[str, int]] = {}

    def fault(self, step: Equation) -> str | None:
        """Why a step does not follow, or None; then take its claim as given."""
        sub = self.subs.get(step.sub)
        if sub is None:
            return f"{step.sub!r} is no sub-problem"
        why = self._expression(step, sub) or self._equation(step)
        if step.role == "part":
            parts = self.parts.setdefault(step.sub, {})
            parts[f"#{len(parts)}"] = step.result
        elif step.role == "solve":
            self.claimed[step.sub] = step.result
        return why

    def _expected(self, step: Equation, sub: SubProblem) -> Tree:
        """The operation that belongs here; raises KeyError if something it needs has not been reached."""
        if step.role == "check":
            return inverse(sub, self.claimed)
        left, right = operand_value(sub.left, self.claimed), operand_value(sub.right, self.claimed)
        parts = self.parts.get(sub.id, {})
        if step.role == "solve" and not parts:
            return sub.op, left, right
        op, a, b = expand(sub.op, left, right)[len(parts)]
        return op, operand_value(a, parts), operand_value(b, parts)

    def _expression(self, step: Equation, sub: SubProblem) -> str | None:
        if step.role != "check" and sub.id in self.claimed:
            return f"{sub.id} has been settled before"
        try:
            written = parse(step.expression)
        except BadExpression as error:
            return str(error)
        try:
            expected = self._expected(step, sub)
        except KeyError as error:
            return f"uses {error.args[0]}, which has not been worked out"
        except IndexError:
            return f"{sub.id} has no such intermediate sum"
        return None if _same(written, expected) else f"{step.expression} is not what {sub.id} asks for"

    @staticmethod
    def _equation(step: Equation) -> str | None:
        try:
            result = value(parse(step.expression))
        except BadExpression as error:
            return str(error)
        if result != step.result:
            return f"{step.expression} is {result}, not {step.result}"
        if f"{step.expression} = {step.result}" not in step.text:
            return f"the text does not say {step.expression} = {step.result}"
        return None


def _same(written: Tree, expected: Tree) -> bool:
    """Equal, or equal after swapping the operands of a sum or product."""
    if written == expected:
        return True
    if isinstance(written, int) or isinstance(expected, int):
        return False
    op, left, right = written
    return op in ("+", "*") and (op, right, left) == expected


def verify_chain(problem: SynthProblem, chain: Chain) -> dict[int, str]:
    """0-based step -> why it does not follow, in order; empty if the chain is a correct solution of the problem.

    The number of steps stands for the final answer.
    A step that rightly continues from an earlier wrong result is no fault.
    The final answer is checked too: it must be what the chain reached for the last sub-problem.
    """
    checker = _Checker(problem)
    faults: dict[int, str] = {}
    for index, step in enumerate(chain.steps):
        why = checker.fault(step)
        if why is not None:
            faults[index] = why
    reached = checker.claimed.get(problem.subproblems[-1].id)
    if reached != chain.answer:
        faults[len(chain.steps)] = f"ends in {chain.answer}, but the steps reach {reached}"
    return faults


def verify_problem(problem: SynthProblem) -> None:
    """Recompute the graph; raises `DataError` if an answer, the order or the gold answer is wrong."""
    answers: dict[str, int] = {}
    for sub in problem.subproblems:
        try:
            left, right = operand_value(sub.left, answers), operand_value(sub.right, answers)
        except KeyError as error:
            raise DataError(f"{problem.id}: {sub.id} comes before {error.args[0]}, which it needs") from None
        if value((sub.op, left, right)) != sub.answer:
            raise DataError(f"{problem.id}: {sub.id} is not {sub.answer}")
        answers[sub.id] = sub.answer
    if answers.get(problem.subproblems[-1].id) != problem.answer:
        raise DataError(f"{problem.id}: the gold answer is not that of the last sub-problem")
