"""Correct chains of thought of a problem: three styles, and every step order that the graph allows.

The chains are a pure function of the problem, so that a stream of questions costs nothing for chains nobody reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from harness.synth.expressions import Op, apply
from harness.synth.records import Chain, Equation, Operand, Style, SubProblem, SynthProblem
from harness.synth.rng import Rng

Form = Literal["think", "plain", "steps"]
INSTRUCTION = "Answer with the equations, then write 'The answer is' and the number."
"""What follows a question in a prompt, after an empty line: the same when a model is trained and when it is asked."""
_INVERSE: dict[Op, Op] = {"+": "-", "-": "+", "*": "/", "/": "*"}


def random_order(problem: SynthProblem, rng: Rng) -> tuple[str, ...]:
    """A topological order: at every point one of the sub-problems that are ready."""
    done: list[str] = []
    waiting = list(problem.subproblems)
    while waiting:
        ready = [sub for sub in waiting if all(need in done for need in sub.depends)]
        chosen = rng.pick(ready)
        done.append(chosen.id)
        waiting.remove(chosen)
    return tuple(done)


def orders(problem: SynthProblem, limit: int = 24) -> list[tuple[str, ...]]:
    """Up to `limit` different topological orders of the sub-problems: the question's own, then random ones.

    The random ones are drawn by the problem's id, 4 x `limit` tries; a graph that is one line has one order.
    """
    found = {tuple(sub.id for sub in problem.subproblems): None}
    rng = Rng("orders", problem.id)
    for _ in range(4 * limit):
        if len(found) >= limit:
            break
        found.setdefault(random_order(problem, rng))
    return list(found)[:limit]


def expand(op: Op, left: int, right: int) -> list[tuple[Op, int | str, int | str]]:
    """How a person does it on paper: `47 * 18` is `47 * 10`, `47 * 8` and their sum.

    Operands that are strings, "#0" and "#1", are the results of earlier parts. The last entry gives the result; an
    operation that is simple enough is its own only entry.
    """
    tens, ones = right - right % 10, right % 10
    if op == "/" or tens == 0 or ones == 0 or min(left, right) < 10:
        return [(op, left, right)]
    if op == "*":
        return [("*", left, tens), ("*", left, ones), ("+", "#0", "#1")]
    return [(op, left, tens), (op, "#0", ones)]


def operand_value(operand: Operand, claimed: Mapping[str, int]) -> int:
    """The number behind an operand, given what has been claimed so far; raises KeyError if nothing was."""
    return operand if isinstance(operand, int) else claimed[operand]


def inverse(sub: SubProblem, claimed: Mapping[str, int]) -> tuple[Op, int, int]:
    """The operation that undoes a sub-problem's: applied, it gives back the left operand."""
    return _INVERSE[sub.op], claimed[sub.id], operand_value(sub.right, claimed)


def solve_step(sub: SubProblem, style: Style, op: Op, left: int, right: int, result: int) -> Equation:
    """One equation as a step, in the words of its style."""
    equation = f"{left} {op} {right} = {result}"
    if style == "short":
        text = f"{equation}."
    elif style == "plain":
        text = sub.statement.format(equation)
    else:
        text = f"{sub.question} {sub.statement.format(equation)}"
    return Equation(sub.id, f"{left} {op} {right}", result, text)


def _long_steps(sub: SubProblem, left: int, right: int) -> list[Equation]:
    """The parts of a sub-problem, the last of which settles it."""
    plan = expand(sub.op, left, right)
    if len(plan) == 1:
        return [solve_step(sub, "long", sub.op, left, right, sub.answer)]
    parts: dict[str, int] = {}
    steps: list[Equation] = []
    for index, (op, a, b) in enumerate(plan):
        x, y = operand_value(a, parts), operand_value(b, parts)
        result = parts[f"#{index}"] = apply(op, x, y)
        if index == len(plan) - 1:
            text = sub.statement.format(f"{x} {op} {y} = {result}")
            steps.append(Equation(sub.id, f"{x} {op} {y}", result, text))
        else:
            whole = f"{left} {sub.op} {right}"
            restated = "" if whole in sub.question else f" That is {whole}."
            opening = f"{sub.question}{restated} " if index == 0 else ""
            steps.append(Equation(sub.id, f"{x} {op} {y}", result, f"{opening}{x} {op} {y} = {result}.", "part"))
    return steps


def build(problem: SynthProblem, style: Style, order: tuple[str, ...] | None = None) -> Chain:
    """The correct chain of that style and order (default: the question's own).

    Raises KeyError if the order is not topological or names no sub-problem.
    """
    claimed: dict[str, int] = {}
    steps: list[Equation] = []
    for sub_id in order if order is not None else tuple(sub.id for sub in problem.subproblems):
        sub = problem.sub(sub_id)
        left, right = operand_value(sub.left, claimed), operand_value(sub.right, claimed)
        if style == "long":
            steps += _long_steps(sub, left, right)
        else:
            steps.append(solve_step(sub, style, sub.op, left, right, sub.answer))
        claimed[sub_id] = sub.answer
    last = problem.subproblems[-1]
    undo, result, right = inverse(last, claimed)
    if style == "long" and not (undo == "/" and right == 0):
        back = operand_value(last.left, claimed)
        text = f"Check: {result} {undo} {right} = {back}."
        steps.append(Equation(last.id, f"{result} {undo} {right}", back, text, "check"))
    return Chain(style, tuple(steps), problem.answer)


def correct_chains(problem: SynthProblem, limit: int = 6) -> tuple[Chain, ...]:
    """Up to `limit` different correct chains.

    First short, plain and long in the question's own order; then plain and short chains in other orders, drawn by
    the problem's id. Fewer where the graph allows fewer.
    """
    first = [build(problem, style) for style in ("short", "plain", "long")]
    styles: tuple[Style, ...] = ("plain", "short")
    others = orders(problem, max(1, limit - 2))[1:]
    more = [build(problem, styles[index % 2], order) for index, order in enumerate(others)]
    distinct = {tuple(step.text for step in chain.steps): chain for chain in reversed(first + more)}
    return tuple(reversed(distinct.values()))[:limit]


def render(chain: Chain, form: Form = "think", boxed: bool = True) -> str:
    r"""A chain as a model would write it.

    "think": steps in a think block, then the answer. "plain": steps, then the answer. "steps": steps only.
    The answer is `\boxed{…}` or bare. Steps are joined by blanks: tokens are dear to small models.
    """
    body = " ".join(step.text for step in chain.steps)
    if form == "steps":
        return body
    answer = f"The answer is \\boxed{{{chain.answer}}}." if boxed else f"The answer is {chain.answer}."
    return f"<think>\n{body}\n</think>\n{answer}" if form == "think" else f"{body}\n{answer}"
