r"""Trees compared by their values at random points: equal, or in one proportion at all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal

import mpmath

from harness.grading.mathnode import Node, exact
from harness.grading.mathvalue import (
    DIGITS,
    POINTS,
    WANTED,
    Matrix,
    NoValue,
    Number,
    Point,
    TooLarge,
    Value,
    evaluate,
)

MAX_DIGITS = 20_000
Kind = Literal["equal", "proportional", "positive"]


class Undecided(Exception):
    """No verdict: too large to be computed, or without a value at any point."""


def both_signs(node: Node) -> tuple[Node, ...]:
    r"""The one or two trees that a tree with `\pm` stands for."""
    if not has(node, lambda part: part.op in ("pm", "mp")):
        return (node,)
    return _with_sign(node, 1), _with_sign(node, -1)


def _with_sign(node: Node, sign: int) -> Node:
    args = tuple(_with_sign(arg, sign) for arg in node.args)
    if node.op not in ("pm", "mp"):
        return Node(node.op, args, node.name, node.value)
    minus = (node.op == "pm") == (sign < 0)
    return Node("add", (args[0], Node("neg", (args[1],)) if minus else args[1]))


def has(node: Node, wanted: Callable[[Node], bool]) -> bool:
    """Whether any node of a tree is wanted."""
    return wanted(node) or any(has(arg, wanted) for arg in node.args)


def mentions(node: Node, *ops: str) -> bool:
    """Whether an operation of these kinds occurs in a tree."""
    return has(node, lambda part: part.op in ops)


def is_constant(node: Node) -> bool:
    """Whether no variable and no unknown function occurs in a tree."""
    return not mentions(node, "var", "app", "big")


def difference(left: Node, right: Node) -> Node:
    """The tree of left - right."""
    return Node("add", (left, Node("neg", (right,))))


def agree(golds: Sequence[Node], answers: Sequence[Node], kind: Kind) -> bool:
    """Whether these values are equal (or in one proportion) at random points. Raises `Undecided`."""
    bases: list[float | None] = [None]
    if any(has(node, lambda part: part.op == "func" and part.name == "log") for node in (*golds, *answers)):
        bases.append(10.0)
    return any(_agree_at_points(golds, answers, kind, base) for base in bases)


def _agree_at_points(golds: Sequence[Node], answers: Sequence[Node], kind: Kind, base: float | None) -> bool:
    nodes = (*golds, *answers)
    complex_too = any(has(node, lambda part: part.name in ("i", "cis") and part.op != "var") for node in nodes)
    constant = all(is_constant(node) for node in nodes)
    for complex_allowed in (True,) if complex_too else (False, True):
        met, defined, large = 0, [0, 0], None
        factors: list[Number] = []
        for index in range(1 if constant else POINTS):
            try:
                values = values_at(nodes, index, base, DIGITS, complex_allowed)
                if values is None:
                    for place, side in enumerate((golds, answers)):
                        defined[place] += values_at(side, index, base, DIGITS, complex_allowed) is not None
                    continue
            except Undecided as error:  # too large at this point
                large = error
                continue
            met += 1
            if not _agree_here(nodes, values, len(golds), kind, factors, (index, base, constant)):
                return False
            if met == WANTED:
                break
        if met >= (1 if constant else 2):
            return True
        if large is not None:
            raise large
        if complex_allowed and bool(defined[0]) != bool(defined[1]):
            return False
    raise Undecided("no value at any point")


def values_at(
    nodes: Sequence[Node], index: int, base: float | None, digits: int, complex_allowed: bool
) -> list[Value] | None:
    """The values at one point; None where one of them has none."""
    point = Point(index, digits, base)
    found = []
    for node in nodes:
        try:
            value = evaluate(node, point)
        except NoValue:
            return None
        except TooLarge as error:
            raise Undecided("a number is too large to be computed") from error
        if not complex_allowed and any(point.context.im(cell) != 0 for cell in _cells(value)):
            return None
        found.append(value)
    return found


def _cells(value: Value) -> list[Number]:
    return [cell for row in value.rows for cell in row] if isinstance(value, Matrix) else [value]


def _agree_here(
    nodes: Sequence[Node], values: list[Value], count: int, kind: Kind, factors: list[Number],
    where: tuple[int, float | None, bool],
) -> bool:  # fmt: skip
    """Whether the values at one point agree; those that nearly do are computed again with more digits."""
    index, base, constant = where
    distance = _distance(values, count, kind, factors)
    if distance > 1e-12:
        return False
    if distance <= 1e-40 and not constant:
        return True
    digits = _digits_for(values) if constant else 400
    again = values_at(nodes, index, base, digits, True)
    allowed = mpmath.mpf(10) ** (100 - digits if constant else -50)
    return again is not None and _distance(again, count, kind, factors[:]) < allowed


def _digits_for(values: list[Value]) -> int:
    """Digits at which two constants that agree so far are computed again: to the last one before the point."""
    largest = max(float(mpmath.log10(abs(cell) + 1)) for value in values for cell in _cells(value))
    if largest > MAX_DIGITS:
        raise Undecided("two numbers too large to be told apart")
    return 700 + int(largest)


def _distance(values: list[Value], count: int, kind: Kind, factors: list[Number]) -> Number:
    """The largest relative distance of two values; in a proportion, after division by the first factor."""
    worst: Number = 0
    for gold, answer in zip(values[:count], values[count:], strict=True):
        left, right = _cells(gold), _cells(answer)
        if len(left) != len(right):
            return 1.0
        if kind != "equal":
            worst = max(worst, _factor_distance(left[0], right[0], kind, factors))
            continue
        for a, b in zip(left, right, strict=True):
            scale = max(abs(a), abs(b))
            worst = max(worst, abs(a - b) / scale if scale else 0)
    return worst


def _factor_distance(gold: Number, answer: Number, kind: Kind, factors: list[Number]) -> Number:
    if gold == 0 or answer == 0:  # an identity, or no factor: the sides themselves must be compared
        return 1.0
    factor = gold / answer
    if kind == "positive" and not (abs(factor.imag) < abs(factor.real) * 1e-30 and factor.real > 0):
        return 1.0
    if not factors:
        factors.append(factor)
        return 0.0
    return abs(factor - factors[0]) / abs(factor)


def real_value(node: Node) -> Fraction | None:
    """The value of a constant tree; None if it is no real number."""
    if not is_constant(node):
        return None
    known = exact(node)
    if known is not None:
        return known
    values = values_at((node,), 0, None, DIGITS, False)
    return None if values is None or isinstance(values[0], Matrix) else fraction(values[0])


def fraction(value: Number) -> Fraction:
    """A real number of mpmath, exactly; what is too small to be written counts as zero."""
    sign, mantissa, exponent, _ = value.real._mpf_
    return (
        Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** int(exponent) if abs(exponent) < 50_000 else Fraction(0)
    )
