"""Wrong chains: one realistic mistake at a known step, everything after it computed rightly from the wrong number.

Why one mistake only, and why propagated: a method that learns where reasoning goes wrong needs pairs of chains that
agree up to a known step, and later steps that are wrong only because of that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.errors import DataError
from harness.synth.bugs import BUGS
from harness.synth.chains import build, operand_value, solve_step
from harness.synth.expressions import BadExpression, Op, apply
from harness.synth.records import ERROR_KINDS, Chain, Equation, ErrorKind, Operand, Style, SubProblem, SynthProblem
from harness.synth.rng import Rng

_SWAPS: dict[Op, tuple[Op, ...]] = {"+": ("-", "*"), "-": ("+",), "*": ("+",), "/": ("*", "-")}


def _slips(answer: int) -> list[int]:
    """Results with one digit off by one, two neighbours swapped, or a digit lost: never negative, never the same."""
    text = str(answer)
    found: list[int] = []
    for index, digit in enumerate(text):
        for delta in (-1, 1):
            slipped = int(digit) + delta
            if 0 <= slipped <= 9 and not (index == 0 and slipped == 0 and len(text) > 1):
                found.append(int(text[:index] + str(slipped) + text[index + 1 :]))
        if index and text[index - 1] != digit and not (index == 1 and digit == "0"):
            found.append(int(text[: index - 1] + digit + text[index - 1] + text[index + 1 :]))
    return sorted({value for value in found if value != answer})


class _Mistake:
    """One way to go wrong: what is written at the wrong step, and the sub-problem that is left out, if any."""

    def __init__(
        self, at: str, op: Op, left: Operand, right: Operand, slip: int | None, skip: str | None, again: bool = False
    ) -> None:
        self.at, self.op, self.left, self.right, self.slip, self.skip = at, op, left, right, slip, skip
        self.again = again


def _mistakes(problem: SynthProblem, kind: ErrorKind) -> Iterator[_Mistake]:
    """All mistakes of a kind, in a fixed order."""
    subs = problem.subproblems
    users = {sub.id: [other for other in subs if sub.id in other.depends] for sub in subs}
    for index, sub in enumerate(subs):
        if kind == "digit_slip":
            for slip in _slips(sub.answer):
                yield _Mistake(sub.id, sub.op, sub.left, sub.right, slip, None)
        elif kind == "wrong_operation":
            for op in _SWAPS[sub.op]:
                yield _Mistake(sub.id, op, sub.left, sub.right, None, None)
        elif kind == "wrong_operand":
            for left, right in _other_operands(problem, index):
                yield _Mistake(sub.id, sub.op, left, right, None, None)
        elif kind in BUGS:
            left_value, right_value = (_told(problem, operand) for operand in (sub.left, sub.right))
            for slip in BUGS[kind](sub.op, left_value, right_value, sub.answer):
                yield _Mistake(sub.id, sub.op, sub.left, sub.right, slip, None)
        elif kind == "miscopied":
            if isinstance(sub.left, str):
                yield from (
                    _Mistake(sub.id, sub.op, n, sub.right, None, None) for n in _slips(_told(problem, sub.left))
                )
            if isinstance(sub.right, str):
                yield from (
                    _Mistake(sub.id, sub.op, sub.left, n, None, None) for n in _slips(_told(problem, sub.right))
                )
        elif kind == "repeated_step":
            yield _Mistake(sub.id, sub.op, sub.id, sub.right, None, None, again=True)
        elif kind == "skipped_step" and len(users[sub.id]) == 1:
            user = users[sub.id][0]
            for instead in (sub.left, sub.right):
                left = instead if user.left == sub.id else user.left
                right = instead if user.right == sub.id else user.right
                yield _Mistake(user.id, user.op, left, right, None, sub.id)


def _told(problem: SynthProblem, operand: Operand) -> int:
    """The right number behind an operand."""
    return operand if isinstance(operand, int) else problem.sub(operand).answer


def _other_operands(problem: SynthProblem, index: int) -> Iterator[tuple[Operand, Operand]]:
    """The operands of a sub-problem with one of them wrong: another number at hand there, or a digit misread."""
    sub = problem.subproblems[index]
    before = problem.subproblems[:index]
    at_hand: list[Operand] = [item for other in problem.subproblems for item in (other.left, other.right)]
    at_hand = [item for item in dict.fromkeys(at_hand) if isinstance(item, int)] + [other.id for other in before]
    for other in at_hand:
        if other not in (sub.left, sub.right):
            yield other, sub.right
            yield sub.left, other
    if isinstance(sub.left, int):
        yield from ((misread, sub.right) for misread in _slips(sub.left))
    if isinstance(sub.right, int):
        yield from ((sub.left, misread) for misread in _slips(sub.right))


def _apply(problem: SynthProblem, mistake: _Mistake, kind: ErrorKind, style: Style) -> Chain | None:
    """The chain with that mistake; None if it would not look natural or would still end in the right answer."""
    claimed: dict[str, int] = {}
    steps: list[Equation] = []
    error_step = 0
    ceiling = 20 * max(sub.answer for sub in problem.subproblems) + 100
    for sub in problem.subproblems:
        if sub.id == mistake.skip:
            continue
        here = sub.id == mistake.at
        if here and mistake.again:
            claimed[sub.id] = sub.answer
            x, y = operand_value(sub.left, claimed), operand_value(sub.right, claimed)
            steps.append(solve_step(sub, style, sub.op, x, y, sub.answer))
        op, left, right = (mistake.op, mistake.left, mistake.right) if here else (sub.op, sub.left, sub.right)
        try:
            x, y = operand_value(left, claimed), operand_value(right, claimed)
            result = apply(op, x, y)
        except BadExpression:
            return None
        if here:
            error_step = len(steps)
            result = mistake.slip if mistake.slip is not None else result
            if result == sub.answer or (_same_operation(sub, op, x, y, claimed) and mistake.slip is None):
                return None
        if not 0 <= result <= ceiling:
            return None
        claimed[sub.id] = result
        steps.append(solve_step(sub, style, op, x, y, result))
    answer = claimed[problem.subproblems[-1].id]
    if answer == problem.answer:
        return None
    return Chain(style, tuple(steps), answer, error_step, kind)


def _same_operation(sub: SubProblem, op: Op, x: int, y: int, claimed: dict[str, int]) -> bool:
    """True if the step is the right one after all, operands of a sum or product in whatever order."""
    if op != sub.op or any(need not in claimed for need in sub.depends):
        return False
    right = [operand_value(sub.left, claimed), operand_value(sub.right, claimed)]
    return [x, y] == right or (op in "+*" and [y, x] == right)


def wrong_chain(
    problem: SynthProblem, variant: int = 0, style: Style = "plain", kinds: Sequence[ErrorKind] = ERROR_KINDS
) -> Chain:
    """A chain with one labelled mistake that ends in a wrong answer; `variant` names further ones.

    `style` is "short" or "plain": one step per sub-problem, in the question's own order, so that it lines up with
    `build(problem, style)`. The mistake is drawn by the problem's id and the variant: first its kind, then its place.
    `kinds` are the mistakes it may be. Raises `DataError` for style "long", and where no such mistake is possible in
    the problem: a slip in the last step always is.
    """
    if style == "long":
        raise DataError("wrong chains have style 'short' or 'plain': they must line up with a right twin step by step")
    rng = Rng("wrong", problem.id, variant)
    for kind in rng.shuffled(kinds):
        for mistake in rng.shuffled(list(_mistakes(problem, kind))):
            chain = _apply(problem, mistake, kind, style)
            if chain is not None:
                return chain
    raise DataError(f"{problem.id}: no mistake of the kind {', '.join(kinds)} is possible; add digit_slip")


def twins(problem: SynthProblem, variant: int = 0, style: Style = "plain") -> tuple[Chain, Chain]:
    """(right, wrong): the dual chain. Steps pair up by sub-problem, see `aligned`."""
    return build(problem, style), wrong_chain(problem, variant, style)


def aligned(right: Chain, wrong: Chain) -> list[tuple[Equation, Equation | None]]:
    """Pairs of twin steps in the right chain's order; None where the wrong chain skips the step."""
    other = {step.sub: step for step in wrong.steps}
    return [(step, other.get(step.sub)) for step in right.steps]
