r"""Whether two trees mean the same: structures part by part, values at random points, rounded decimals by their digits.

The only tolerance: where the target is written as a decimal (`0.5613`, `1.4903e4`), a value within a millionth of it,
and within half of its last digit, is right; of another decimal only the noise of floating arithmetic is forgiven, a
billionth. A target that is exact is met only exactly, or by a decimal of ten significant digits or more that is its
correct rounding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Literal, TypeVar

import mpmath

from harness.grading.mathexact import exact
from harness.grading.mathnode import Node, is_time
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
)  # fmt: skip

MAX_DIGITS = 20_000
TOLERANCE = Fraction(1, 10**6)
NOISE = Fraction(1, 10**9)
LONG_DECIMAL = 10
STRUCTURES = frozenset({"tuple", "interval", "set", "cup", "cap", "minus", "matrix"})
T = TypeVar("T")
Kind = Literal["equal", "proportional", "positive"]


class Undecided(Exception):
    """No verdict: too large to be computed, or without a value at any point."""


def same(gold: Node, answer: Node) -> bool:
    """Whether an answer is the gold. Raises `Undecided`."""
    if gold == answer:
        return True
    if gold.op in STRUCTURES or answer.op in STRUCTURES:
        return _same_structure(gold, answer)
    infinite = _infinity(gold), _infinity(answer)
    if infinite != (None, None):
        return infinite[0] == infinite[1]
    based = re.fullmatch(r"([0-9A-F]+)_\w+", gold.name) if gold.op == "var" else None
    if based is not None and answer.op == "num":
        return answer.name == based[1]
    if gold.op == answer.op == "ratio":
        return _same_ratio(gold, answer)
    left, right = exact(gold), exact(answer)
    if left is not None and right is not None:
        return left == right or _rounds(gold, left, answer, right)
    try:
        return agree((gold,), (answer,), "equal") or _close(gold, answer)
    except Undecided:
        if not (_is_tower(gold) or _is_tower(answer)):
            raise
        return _same_tower(gold, answer)


def _is_tower(node: Node) -> bool:
    """Whether a tree is made of powers, factorials and products of numbers from 2 on: it is large for certain."""
    if node.op == "num":
        return node.value >= 2
    return node.op in ("add", "pow", "fact", "mul") and all(_is_tower(arg) for arg in node.args)


def _same_tower(gold: Node, answer: Node) -> bool:
    """Two numbers of which at least one is too large to be computed: by their exponents, if both are powers."""
    if not (_is_tower(gold) and _is_tower(answer)) or _computable(gold) or _computable(answer):
        return False
    if not gold.op == answer.op == "pow":
        raise Undecided("two numbers too large to be computed")
    for place in range(2):
        if gold.args[place] == answer.args[place]:
            return same(gold.args[1 - place], answer.args[1 - place])
    return same(_logarithm(gold), _logarithm(answer))


def _computable(node: Node) -> bool:
    try:
        return _values((node,), 0, None, DIGITS, True) is not None
    except Undecided:
        return False


def _logarithm(power: Node) -> Node:
    return Node("mul", (power.args[1], Node("func", (power.args[0],), "ln")))


def _infinity(node: Node) -> int | None:
    if node.op == "neg":
        inner = _infinity(node.args[0])
        return None if inner is None else -inner
    return 1 if node.op == "const" and node.name == "inf" else None


def _same_ratio(gold: Node, answer: Node) -> bool:
    """`3:4` is `6:8`; times of day are compared as written."""
    names = [[part.name for part in node.args] for node in (gold, answer)]
    if len(names[0]) != len(names[1]):
        return False
    if (is_time(gold) and is_time(answer)) or "0" in {name.lstrip("0") or "0" for part in names for name in part}:
        plain = [[(part.op, part.name.lstrip("0")) for part in node.args] for node in (gold, answer)]
        return plain[0] == plain[1] or _scaled(gold, answer)
    return all(
        same(Node("mul", (g, b)), Node("mul", (a, h)))
        for (g, a), (h, b) in pairwise(zip(gold.args, answer.args, strict=True))
    )


def _scaled(gold: Node, answer: Node) -> bool:
    left, right = ([part.value if part.op == "num" else 0 for part in node.args] for node in (gold, answer))
    return 0 not in left and 0 not in right and len({a / b for a, b in zip(left, right, strict=True)}) == 1


def _same_structure(gold: Node, answer: Node) -> bool:
    gold, answer = _plain(gold), _plain(answer)
    pair = gold.op, answer.op
    if pair == ("matrix", "matrix") and gold.name == answer.name:
        return all(same(g, a) for g, a in zip(gold.args, answer.args, strict=True))
    if "matrix" in pair and not {"tuple", "set", "interval"} & set(pair):
        return agree((gold,), (answer,), "equal")
    if "set" in pair and set(pair) <= {"set", "tuple"}:
        left, right = (list(_elements(node)) for node in (gold, answer))
        return unordered(left, right, same) if pair == ("set", "set") else ordered(left, right)
    if pair == ("tuple", "tuple"):
        return gold.name == answer.name and ordered(gold.args, answer.args)
    if set(pair) <= {"tuple", "interval", "cup", "set"}:
        return unordered(_pieces(gold), _pieces(answer), _same_piece)
    if gold.op == answer.op and gold.name == answer.name and len(gold.args) == len(answer.args):
        return ordered(gold.args, answer.args)
    return False


def _plain(node: Node) -> Node:
    """A vector written as a column or row is a tuple."""
    if node.op == "matrix" and ("1x" in node.name[:2] or node.name.endswith("x1")) and len(node.args) > 1:
        return Node("tuple", node.args)
    return node


def ordered(left: Sequence[Node], right: Sequence[Node]) -> bool:
    """Whether two sequences agree one by one."""
    return len(left) == len(right) and all(same(g, a) for g, a in zip(left, right, strict=True))


def unordered(left: Sequence[T], right: Sequence[T], equal: Callable[[T, T], bool]) -> bool:
    """Whether two lists agree in some order."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        place = next((place for place, other in enumerate(rest) if equal(item, other)), None)
        if place is None:
            return False
        del rest[place]
    return True


def _elements(node: Node) -> Iterator[Node]:
    for arg in node.args:
        yield from both_signs(arg)


def _pieces(node: Node) -> list[Node]:
    return [piece for arg in node.args for piece in _pieces(arg)] if node.op == "cup" else [node]


def _same_piece(gold: Node, answer: Node) -> bool:
    if gold.op == "set" and answer.op == "set":
        return _same_structure(gold, answer)
    if len(gold.args) != 2 or len(answer.args) != 2 or "set" in (gold.op, answer.op):
        return same(gold, answer) if gold.op not in STRUCTURES and answer.op not in STRUCTURES else False
    return (gold.name or "()") == (answer.name or "()") and ordered(gold.args, answer.args)


def both_signs(node: Node) -> tuple[Node, ...]:
    r"""The one or two trees that a tree with `\pm` stands for."""
    if not _has(node, lambda part: part.op in ("pm", "mp")):
        return (node,)
    return _with_sign(node, 1), _with_sign(node, -1)


def _with_sign(node: Node, sign: int) -> Node:
    args = tuple(_with_sign(arg, sign) for arg in node.args)
    if node.op not in ("pm", "mp"):
        return Node(node.op, args, node.name, node.value)
    minus = (node.op == "pm") == (sign < 0)
    return Node("add", (args[0], Node("neg", (args[1],)) if minus else args[1]))


def _has(node: Node, wanted: Callable[[Node], bool]) -> bool:
    return wanted(node) or any(_has(arg, wanted) for arg in node.args)


def mentions(node: Node, *ops: str) -> bool:
    """Whether an operation of these kinds occurs in a tree."""
    return _has(node, lambda part: part.op in ops)


def is_constant(node: Node) -> bool:
    """Whether no variable and no unknown function occurs in a tree."""
    return not mentions(node, "var", "app", "big")


def difference(left: Node, right: Node) -> Node:
    """The tree of left - right."""
    return Node("add", (left, Node("neg", (right,))))


def agree(golds: Sequence[Node], answers: Sequence[Node], kind: Kind) -> bool:
    """Whether these values are equal (or in one proportion) at random points. Raises `Undecided`."""
    bases: list[float | None] = [None]
    if any(_has(node, lambda part: part.op == "func" and part.name == "log") for node in (*golds, *answers)):
        bases.append(10.0)
    return any(_agree_at_points(golds, answers, kind, base) for base in bases)


def _agree_at_points(golds: Sequence[Node], answers: Sequence[Node], kind: Kind, base: float | None) -> bool:
    nodes = (*golds, *answers)
    complex_too = any(_has(node, lambda part: part.op == "const" and part.name == "i") for node in nodes)
    constant = all(is_constant(node) for node in nodes)
    for complex_allowed in (True,) if complex_too else (False, True):
        met = 0
        defined = [0, 0]
        factors: list[Number] = []
        for index in range(1 if constant else POINTS):
            values = _values(nodes, index, base, DIGITS, complex_allowed)
            if values is None:
                for place, side in enumerate((golds, answers)):
                    defined[place] += _values(side, index, base, DIGITS, complex_allowed) is not None
                continue
            met += 1
            if not _agree_here(nodes, values, len(golds), kind, factors, (index, base, constant)):
                return False
            if met == WANTED:
                break
        if met >= (1 if constant else 2):
            return True
        if complex_allowed and bool(defined[0]) != bool(defined[1]):
            return False
    raise Undecided("no value at any point")


def _values(
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
    again = _values(nodes, index, base, digits, True)
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
    if gold == 0 or answer == 0:
        return 0.0 if gold == answer else 1.0
    factor = gold / answer
    if kind == "positive" and not (abs(factor.imag) < abs(factor.real) * 1e-30 and factor.real > 0):
        return 1.0
    if not factors:
        factors.append(factor)
        return 0.0
    return abs(factor - factors[0]) / abs(factor)


def _close(gold: Node, answer: Node) -> bool:
    """Whether one side is a decimal that rounds the other; see the module docstring."""
    if not (is_constant(gold) and is_constant(answer)):
        return False
    values = _values((gold, answer), 0, None, DIGITS, False)
    if values is None or any(isinstance(value, Matrix) for value in values):
        return False
    left, right = (_fraction(value) for value in values)
    return _rounds(gold, left, answer, right)


def real_value(node: Node) -> Fraction | None:
    """The value of a constant tree; None if it is no real number."""
    if not is_constant(node):
        return None
    known = exact(node)
    if known is not None:
        return known
    values = _values((node,), 0, None, DIGITS, False)
    return None if values is None or isinstance(values[0], Matrix) else _fraction(values[0])


def _fraction(value: Number) -> Fraction:
    sign, mantissa, exponent, _ = value.real._mpf_
    return (
        Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** int(exponent) if abs(exponent) < 50_000 else Fraction(0)
    )


def _rounds(gold: Node, left: Fraction, answer: Node, right: Fraction) -> bool:
    last, other = last_digit(gold), last_digit(answer)
    if last is not None:
        return abs(left - right) <= min((TOLERANCE if other is None else NOISE) * abs(right), last / 2)
    last = other
    if last is None or last == 0 or abs(right) / last < 10 ** (LONG_DECIMAL - 1):
        return False
    return abs(left - right) <= max(last / 2, abs(left) * Fraction(4, 10**16))


def last_digit(node: Node) -> Fraction | None:
    r"""What one unit in the last written digit of a decimal is worth (`1.25`, `3e8`, `3.1 \times 10^4`); else None."""
    if node.op == "neg" or node.op == "percent":
        inner = last_digit(node.args[0])
        return inner if inner is None or node.op == "neg" else inner / 100
    if node.op == "mul" and len(node.args) == 2 and node.args[1].op == "pow":
        base, scale = node.args[1].args[0], exact(node.args[1])
        last = last_digit(node.args[0]) or (Fraction(1) if node.args[0].op == "num" else None)
        return last * scale if last is not None and base.value == 10 and scale is not None else None
    if node.op != "num" or "\\" in node.name or not re.search(r"[.eE]", node.name):
        return None
    mantissa, _, exponent = node.name.lower().partition("e")
    places = len(mantissa.partition(".")[2])
    return Fraction(10) ** (int(exponent or 0) - places)
