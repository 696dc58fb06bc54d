r"""Grader for countdown: an expression of given numbers, each used exactly once, that has the target's value.

The problem's target is one solution, "(8 - 5) * 8 = 24", from which numbers and value are read; any other is as right.
The answer is what the last box or answer phrase holds, else the last line that is one. `+ - * /` and brackets are
computed exactly by a small parser of bounded length; powers, other functions and two expressions answer nothing.
"""

from __future__ import annotations

import re
from fractions import Fraction

from harness.errors import DataError
from harness.grading.base import MAX_ANSWER, InProcessGrader, explicit_answer, right, wrong
from harness.synth.expressions import BadExpression, Op, Tree, parse, write
from harness.types import Extracted, Problem, Score

_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"})
_LATEX = (
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\(?:left|right|big|Big|displaystyle|quad)(?![a-zA-Z])|\\[,;!()\[\] ]"), " "),
    (re.compile(r"[$`\"“”]|\*\*(?=\s|$)|^\s*\*\*"), " "),
    (re.compile(r"\(\s?=\s?(\d{1,18})\s?\)"), r" = \1"),
    (re.compile(r"(?<=[\d)])\s?[xX]\s?(?=[\d(])"), " * "),
)
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]{1,200})\}\s?\{([^{}]{1,200})\}")
_LEAD = re.compile(r"^(?:\s|:|(?:the|an?|final|expression|equation|solution|is|as follows)\b)+", re.IGNORECASE)
_REST = re.compile(
    r"^\s*(?:\W{0,8}$|[.!]|,?\s*(?:which|because|since|as|using|where|and it|and this)\b|\()", re.IGNORECASE
)
_BODY = re.compile(r"[\d+\-*/()=\s]*")
_TOLD = re.compile(r"^[^\d(\[$\\]{1,80}")
"""Words in front of an expression in a line that nothing marks as the answer."""
_DENIED = re.compile(r"\b(?:not?|never|cannot|wrong|fails?)\b|n['’]t\b|≠", re.IGNORECASE)
_OPPOSITE: dict[Op, Op] = {"+": "-", "-": "+", "*": "+", "/": "*"}


def _plain(text: str) -> str:
    """Signs, LaTeX and words around an expression made plain."""
    text = text.translate(_SIGNS)
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    for _ in range(8):
        text, found = _FRACTION.subn(r"((\1)/(\2))", text)
        if not found:
            break
    return _LEAD.sub("", text.replace("{", "(").replace("}", ")"))


def _read(text: str) -> list[Tree]:
    """The sides of the one equation, or the one expression, that a text is; none if it is anything else."""
    text = _plain(text[:MAX_ANSWER])
    body = _BODY.match(text)
    assert body is not None
    if not _REST.match(text[body.end() :]):
        return []
    try:
        return [parse(side) for side in body[0].split("=")]
    except BadExpression:
        return []


def _value(tree: Tree) -> Fraction | None:
    """Exact; None where it divides by zero."""
    if isinstance(tree, int):
        return Fraction(tree)
    left, right_ = _value(tree[1]), _value(tree[2])
    if left is None or right_ is None or (tree[0] == "/" and right_ == 0):
        return None
    return {"+": left + right_, "-": left - right_, "*": left * right_, "/": left / (right_ or 1)}[tree[0]]


def _numbers(tree: Tree) -> list[int]:
    return [abs(tree)] if isinstance(tree, int) else sorted([*_numbers(tree[1]), *_numbers(tree[2])])


def _target(target: str) -> tuple[Tree, Fraction]:
    sides = _read(target)
    value = _value(sides[0]) if len(sides) == 2 else None
    if value is None or value != _value(sides[1]):
        raise DataError(f"target {target[:80]!r} is no solution of a countdown, such as '(8 - 5) * 8 = 24'")
    return sides[0], value


class CountdownGrader(InProcessGrader):
    """See the module docstring."""

    name = "countdown"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find the expression of a reply."""
        marked = explicit_answer(answer_text)
        if marked is not None:
            return Extracted(marked[:MAX_ANSWER], True)
        for line in reversed(answer_text[-MAX_ANSWER:].splitlines()):
            told = _TOLD.match(line)
            said = line[told.end() :] if told and not _DENIED.search(told[0]) else line
            if re.search(r"\d", said) and _read(said):
                return Extracted(said.strip(), False)
        return None

    def grade(self, target: str, answer: str) -> Score:
        """Right if every side has the target's value and one of them uses each number exactly once."""
        solution, value = _target(target)
        sides = _read(answer)
        if not sides:
            return wrong(answer[:200], "no single expression of + - * / and brackets")
        if any(_value(side) != value for side in sides):
            return wrong(answer[:200], f"that is not {value}")
        needed = _numbers(solution)
        if all(_numbers(side) != needed for side in sides):
            return wrong(answer[:200], f"does not use exactly the numbers {', '.join(map(str, needed))}")
        return right(write(solution))

    def gold_text(self, problem: Problem) -> str:
        """The solution, as the prompt asks for it."""
        return f"The answer is {write(_target(problem.target)[0])}."

    def wrong_text(self, problem: Problem) -> str:
        """The solution with its last operation changed."""
        solution, value = _target(problem.target)
        if isinstance(solution, int):
            raise DataError(f"target {problem.target!r} is no countdown: it has one number")
        op, left, right_ = solution
        changed: Tree = (_OPPOSITE[op], left, right_)
        return f"The answer is {write(changed if _value(changed) != value else (op, left, 0))}."


GRADER = CountdownGrader()
