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
from typing import TypeVar

from harness.grading.mathnode import Node, exact, is_time
from harness.grading.mathpoints import Undecided, agree, both_signs, fraction, is_constant, real_value, values_at
from harness.grading.mathvalue import DIGITS, Matrix

TOLERANCE = Fraction(1, 10**6)
NOISE = Fraction(1, 10**9)
LONG_DECIMAL = 10
STRUCTURES = frozenset({"tuple", "interval", "set", "cup", "cap", "minus", "matrix"})
T = TypeVar("T")


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
        below = [_denominator(gold), _denominator(answer)]
        if all(below) or (any(below) and (_computable(gold) or _computable(answer))):
            return _same_tower(below[0] or gold, below[1] or answer)
        if not (_is_tower(gold) or _is_tower(answer)):
            raise
        return _same_tower(gold, answer)


def _is_tower(node: Node) -> bool:
    """Whether a tree is made of powers, factorials and products of numbers from 2 on: it is large for certain."""
    if node.op == "num":
        return node.value >= 2
    if node.op == "const":
        return node.name in ("e", "pi")
    if node.op == "add":
        return any(_is_tower(arg) for arg in node.args) and all(
            _is_tower(arg) or (arg.op == "num" and arg.value >= 0) for arg in node.args
        )
    return node.op in ("pow", "fact", "mul") and all(_is_tower(arg) for arg in node.args)


def _denominator(node: Node) -> Node | None:
    """What 1 is divided by, if that is large for certain: then the value is next to 0, and not 0."""
    return node.args[1] if node.op == "div" and node.args[0].value == 1 and _is_tower(node.args[1]) else None


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
        return values_at((node,), 0, None, DIGITS, True) is not None
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
    if set(pair) <= {"tuple", "interval", "cup", "set", "minus"} or "mathbb(R)" in (gold.name, answer.name):
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
    if node.op == "cup":
        return [piece for arg in node.args for piece in _pieces(arg)]
    if node.op == "var" and node.name == "mathbb(R)":
        return [Node("interval", (Node("neg", (_INFINITE,)), _INFINITE), "()")]
    return _cut(node) if node.op == "minus" else [node]


_INFINITE = Node("const", name="inf")


def _cut(node: Node) -> list[Node]:
    r"""`\mathbb{R} \setminus \{2, 3\}` as intervals."""
    whole, points = _pieces(node.args[0]), node.args[1]
    values = [real_value(point) for point in points.args]
    if len(whole) != 1 or whole[0].op != "interval" or points.op != "set" or None in values:
        return [node]
    inner = [point for _, point in sorted(zip(values, points.args, strict=True), key=lambda pair: pair[0] or 0)]
    bounds = [whole[0].args[0], *inner, whole[0].args[1]]
    ends = [whole[0].name[0], *"(" * len(inner)], [*")" * len(inner), whole[0].name[1]]
    return [
        Node("interval", pair, left + right)
        for pair, left, right in zip(pairwise(bounds), *ends, strict=True)
    ]  # fmt: skip


def _same_piece(gold: Node, answer: Node) -> bool:
    if gold.op == "set" and answer.op == "set":
        return _same_structure(gold, answer)
    if len(gold.args) != 2 or len(answer.args) != 2 or "set" in (gold.op, answer.op):
        return same(gold, answer) if gold.op not in STRUCTURES and answer.op not in STRUCTURES else False
    return (gold.name or "()") == (answer.name or "()") and ordered(gold.args, answer.args)


def _close(gold: Node, answer: Node) -> bool:
    """Whether one side is a decimal that rounds the other; see the module docstring."""
    if not (is_constant(gold) and is_constant(answer)):
        return False
    values = values_at((gold, answer), 0, None, DIGITS, False)
    if values is None or any(isinstance(value, Matrix) for value in values):
        return False
    left, right = (fraction(value) for value in values)
    return _rounds(gold, left, answer, right)


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
