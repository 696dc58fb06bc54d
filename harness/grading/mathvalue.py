r"""Values of trees at seeded random points, to sixty digits: what differs there is different, what agrees is equal.

Every variable gets a number from its name, so both sides see the same point. Functions that nobody defined (`f(2)`,
a sum) get a number from their name and arguments. A point where a side has no value is skipped: division by zero, or a
complex value of formulas that name no `i`. All comparisons are relative. Power towers and factorials are bounded by
their logarithms before they are computed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath

from harness.grading.mathnode import Node

DIGITS = 60
POINTS = 12
WANTED = 5
"""Points that both sides must have a value at; with fewer, complex values count too."""
MAX_LOG = 10.0**12
"""Largest natural logarithm of a value that is computed."""
MAX_FACTORIAL = 10**9
MAX_ARGUMENT = 10**30
"""Largest argument of a sine and its like: more would need as many more digits."""

Number = Any
"""A number of mpmath, which is untyped."""


class NoValue(Exception):
    """Undefined at this point."""


class TooLarge(Exception):
    """Too large to be computed."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of numbers."""

    rows: tuple[tuple[Number, ...], ...]


Value = Any
"""A number or a `Matrix`."""


@lru_cache(maxsize=4)
def _context(digits: int) -> Any:
    context = mpmath.MPContext()
    context.dps = digits
    return context


@dataclass(slots=True)
class Point:
    """One evaluation: where the variables are, with what precision."""

    index: int
    digits: int = DIGITS
    log_base: float | None = None
    """What `\\log` without a base means: None is the natural logarithm."""
    bound: dict[str, Number] = field(default_factory=dict)

    @property
    def context(self) -> Any:
        """The arithmetic of this precision."""
        return _context(self.digits)

    def variable(self, name: str) -> Number:
        """The number of a variable, the same for the same name."""
        if name not in self.bound:
            draw = random.Random(f"{name}:{self.index}").random()
            low, high = _RANGES[self.index % len(_RANGES)]
            scale = 2**40
            self.bound[name] = self.context.mpf(round((low + (high - low) * draw) * scale)) / scale
        return self.bound[name]


_RANGES = ((0.1, 0.95), (1.1, 3.0), (-2.0, 2.0), (0.05, 0.6), (-0.9, 0.9), (2.0, 7.0))


def evaluate(node: Node, point: Point) -> Value:
    """The value of a tree. Raises `NoValue` and `TooLarge`."""
    try:
        rule = _RULES.get(node.op)
        if rule is None:
            raise NoValue
        return rule(node, point)
    except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.libhyper.NoConvergence) as error:
        raise NoValue from error


def _number(value: Value) -> Number:
    if isinstance(value, Matrix):
        raise NoValue
    return value


def _num(node: Node, point: Point) -> Value:
    context = point.context
    return context.mpf(node.value.numerator) / node.value.denominator


def _const(node: Node, point: Point) -> Value:
    context = point.context
    match node.name:
        case "pi":
            return +context.pi
        case "e":
            return +context.e
        case "i":
            return context.mpc(0, 1)
        case "inf":
            raise NoValue
    return point.variable(f"const {node.name}")


def _add(node: Node, point: Point) -> Value:
    parts = [evaluate(arg, point) for arg in node.args]
    if any(isinstance(part, Matrix) for part in parts):
        return _added(parts)
    total = sum(parts[1:], parts[0])
    return _snapped(total, max(abs(part) for part in parts), point)


def _snapped(total: Number, largest: Number, point: Point) -> Number:
    """Zero where nothing but rounding is left of a sum."""
    return total * 0 if abs(total) <= largest * point.context.mpf(10) ** (8 - point.digits) else total


def _added(parts: list[Value]) -> Matrix:
    if not all(isinstance(part, Matrix) for part in parts):
        raise NoValue
    shapes = {(len(part.rows), len(part.rows[0])) for part in parts}
    if len(shapes) > 1:
        raise NoValue
    return Matrix(tuple(tuple(sum(cells) for cells in zip(*rows, strict=True))
                        for rows in zip(*(part.rows for part in parts), strict=True)))  # fmt: skip


def _mul(node: Node, point: Point) -> Value:
    total = evaluate(node.args[0], point)
    for arg in node.args[1:]:
        total = _product(total, evaluate(arg, point))
    return total


def _product(left: Value, right: Value) -> Value:
    if not isinstance(left, Matrix):
        return (
            Matrix(tuple(tuple(left * cell for cell in row) for row in right.rows))
            if isinstance(right, Matrix)
            else left * right
        )
    if not isinstance(right, Matrix):
        return _product(right, left)
    if len(left.rows[0]) != len(right.rows):
        raise NoValue
    columns = list(zip(*right.rows, strict=True))
    return Matrix(tuple(tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in columns)
                        for row in left.rows))  # fmt: skip


def _neg(node: Node, point: Point) -> Value:
    return _product(point.context.mpf(-1), evaluate(node.args[0], point))


def _div(node: Node, point: Point) -> Value:
    above, below = evaluate(node.args[0], point), _number(evaluate(node.args[1], point))
    if below == 0:
        raise NoValue
    return _product(1 / below, above)


def _pow(node: Node, point: Point) -> Value:
    base, exponent = evaluate(node.args[0], point), evaluate(node.args[1], point)
    if isinstance(base, Matrix):
        return _matrix_power(base, exponent)
    return _power(base, _number(exponent), point)


def _matrix_power(base: Matrix, exponent: Value) -> Value:
    if isinstance(exponent, Matrix) or exponent != int(abs(exponent)) or not 1 <= exponent <= 20:
        raise NoValue
    total: Value = base
    for _ in range(int(exponent) - 1):
        total = _product(total, base)
    return total


def _power(base: Number, exponent: Number, point: Point) -> Number:
    context = point.context
    if base == 0:
        if context.re(exponent) <= 0:
            raise NoValue
        return base
    if abs(exponent * context.log(base)) > MAX_LOG:
        raise TooLarge
    return context.power(base, exponent)


def _root(node: Node, point: Point) -> Value:
    context = point.context
    body = _number(evaluate(node.args[0], point))
    index = _number(evaluate(node.args[1], point)) if len(node.args) > 1 else context.mpf(2)
    odd = context.isint(index) and int(context.re(index)) % 2 == 1
    if odd and context.im(body) == 0 and context.re(body) < 0:
        return -_power(-body, 1 / index, point)
    return _power(body, 1 / index, point) if body != 0 else body


def _fact(node: Node, point: Point) -> Value:
    value = _number(evaluate(node.args[0], point))
    if abs(value) > MAX_FACTORIAL:
        raise TooLarge
    return point.context.gamma(value + 1)


def _binom(node: Node, point: Point) -> Value:
    top, bottom = (_number(evaluate(arg, point)) for arg in node.args)
    if max(abs(top), abs(bottom)) > MAX_FACTORIAL:
        raise TooLarge
    return point.context.binomial(top, bottom)


def _floor(node: Node, point: Point) -> Value:
    value = _number(evaluate(node.args[0], point))
    return point.context.floor(value) if node.op == "floor" else point.context.ceil(value)


def _matrix(node: Node, point: Point) -> Value:
    width = int(node.name.split("x")[1])
    cells = [_number(evaluate(arg, point)) for arg in node.args]
    return Matrix(tuple(tuple(cells[start : start + width]) for start in range(0, len(cells), width)))


def _ratio(node: Node, point: Point) -> Value:
    if len(node.args) != 2 or any(arg.value == 0 and arg.op == "num" for arg in node.args):
        return _opaque(node, point)
    return _div(node, point)


def _opaque(node: Node, point: Point) -> Value:
    """A number for something that is not computed, from its name and the values of its parts."""
    key = [str(point.index), node.op, node.name]
    for arg in node.args:
        value = evaluate(arg, point)
        cells = [cell for row in value.rows for cell in row] if isinstance(value, Matrix) else [value]
        key += [_key(cell, point) for cell in cells]
    digest = hashlib.sha256("|".join(key).encode(errors="replace")).digest()
    return point.context.mpf(int.from_bytes(digest[:8], "big") + 2**62) / 2**63


def _key(value: Number, point: Point) -> str:
    context = point.context
    return f"{context.nstr(context.re(value), 25)},{context.nstr(context.im(value), 25)}"


def _app(node: Node, point: Point) -> Value:
    return _opaque(node, point)


def _func(node: Node, point: Point) -> Value:
    values = [evaluate(arg, point) for arg in node.args]
    context = point.context
    if node.name == "det":
        return _determinant(values[0]) if isinstance(values[0], Matrix) else _opaque(node, point)
    numbers = [_number(value) for value in values]
    if node.name in ("log_", "lg_", "ln_") and len(numbers) == 2:
        return context.log(_positive(numbers[0])) / context.log(_positive(numbers[1]))
    if node.name in ("max", "min") and len(numbers) > 1 and all(context.im(value) == 0 for value in numbers):
        return max(numbers) if node.name == "max" else min(numbers)
    rule = _FUNCTIONS.get(node.name)
    if rule is None or len(numbers) != 1:
        return _opaque(node, point)
    return rule(numbers[0], point)


def _determinant(matrix: Matrix) -> Number:
    rows = matrix.rows
    if len(rows) != len(rows[0]) or len(rows) > 4:
        raise NoValue
    if len(rows) == 1:
        return rows[0][0]
    return sum(
        (-1) ** column
        * rows[0][column]
        * _determinant(Matrix(tuple(row[:column] + row[column + 1 :] for row in rows[1:])))
        for column in range(len(rows))
    )


def _positive(value: Number) -> Number:
    if value == 0:
        raise NoValue
    return value


def _exp(value: Number, point: Point) -> Number:
    if abs(value) > MAX_LOG:
        raise TooLarge
    return point.context.exp(value)


def _log(value: Number, point: Point) -> Number:
    scale = 1 if point.log_base is None else point.context.log(point.log_base)
    return point.context.log(_positive(value)) / scale


def _plain(name: str) -> Callable[[Number, Point], Number]:
    def call(value: Number, point: Point) -> Number:
        if abs(value) > MAX_ARGUMENT:
            raise TooLarge
        return getattr(point.context, name)(value)

    return call


_FUNCTIONS: dict[str, Callable[[Number, Point], Number]] = {
    name: _plain(other)
    for name, other in {
        **{
            name: name
            for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "csch"]
        },
        **{f"arc{name}": f"a{name}" for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"]},
        **{name: name for name in ("asin", "acos", "atan")},
        "cis": "expj",
        "Re": "re",
        "Im": "im",
        "sgn": "sign",
        "arg": "arg",
        "Arg": "arg",
    }.items()
} | {
    "exp": _exp,
    "ln": lambda value, point: point.context.log(_positive(value)),
    "lg": lambda value, point: point.context.log10(_positive(value)),
    "log": _log,
    "sqrt": lambda value, point: point.context.sqrt(value),
}
_RULES: dict[str, Callable[[Node, Point], Value]] = {
    "num": _num,
    "var": lambda node, point: point.variable(node.name),
    "const": _const,
    "add": _add,
    "neg": _neg,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "root": _root,
    "func": _func,
    "app": _app,
    "abs": lambda node, point: abs(_number(evaluate(node.args[0], point))),
    "floor": _floor,
    "ceil": _floor,
    "fact": _fact,
    "binom": _binom,
    "percent": lambda node, point: _number(evaluate(node.args[0], point)) / 100,
    "degree": lambda node, point: _number(evaluate(node.args[0], point)) * point.context.pi / 180,
    "matrix": _matrix,
    "tuple": _opaque,
    "interval": _opaque,
    "set": _opaque,
    "cup": _opaque,
    "cap": _opaque,
    "minus": _opaque,
    "ratio": _ratio,
    "big": _opaque,
}
