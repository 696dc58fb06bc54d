r"""The nodes of expression trees, and what is built from them while a text is parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from harness.grading.mathtext import TexToken, Unreadable

Op = Literal[
    "num", "var", "const", "add", "neg", "mul", "div", "pow", "root", "func", "app", "abs", "floor", "ceil", "fact",
    "binom", "pm", "mp", "percent", "degree", "matrix", "tuple", "interval", "set", "cup", "cap", "minus", "ratio",
    "big",
]  # fmt: skip
ATOMS = frozenset({"num", "var", "const"})


@dataclass(frozen=True, slots=True)
class Node:
    """An operation, its arguments, and the name that belongs to it (a variable's, a function's, an interval's ends)."""

    op: Op
    args: tuple[Node, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)
    """Of a number; how it was written is its `name`."""


def times(left: Node, right: Node) -> Node:
    """The product of two trees, flat."""
    return Node("mul", (*left.args, right)) if left.op == "mul" else Node("mul", (left, right))


def is_atom(node: Node) -> bool:
    """Whether a tree is one number, letter or constant."""
    return node.op in ATOMS or (node.op == "neg" and node.args[0].op == "num")


def letters_only(node: Node) -> bool:
    """Whether a tree is a product of letters and their powers."""
    if node.op == "mul":
        return all(letters_only(arg) for arg in node.args)
    return node.op == "var" or (node.op == "pow" and node.args[0].op == "var")


def mixed(left: Node, right: Node, token: TexToken | None) -> Node | None:
    r"""`1\frac{4}{5}` and "2 1/2" as a sum; None if these are factors."""
    if left.op != "num" or not left.name.isdigit() or token is None:
        return None
    if (
        token.text == "frac"
        and right.op == "div"
        and all(part.op == "num" and part.name.isdigit() for part in right.args)
    ):
        return Node("add", (left, right))
    if token.kind == "num" and token.gap:
        raise Unreadable("two numbers side by side")
    return None


def renamed(node: Node, mark: str) -> Node:
    """A name with a mark behind it: a prime, a star."""
    if node.op in ("var", "app") or (node.op == "const" and node.name in ("e", "i")):
        return Node("var" if node.op == "const" else node.op, node.args, node.name + mark)
    raise Unreadable(f"{mark} behind no name")


def bracketed(opening: str, closing: str, parts: tuple[Node, ...]) -> Node:
    """What a pair of brackets around these parts means."""
    match opening, closing:
        case ("\\{", "\\}"):
            return Node("set", parts)
        case ("{", "}"):
            return parts[0] if len(parts) == 1 else Node("set", parts)
        case ("|(", ")|") if len(parts) == 1:
            return Node("abs", parts)
        case ("floor", "floor") if len(parts) == 1:
            return Node("floor", parts)
        case ("ceil", "ceil") if len(parts) == 1:
            return Node("ceil", parts)
        case ("<", ">"):
            return Node("tuple", parts)
        case ("(" | "[", ")" | "]"):
            if opening + closing in ("()", "[]") and len(parts) == 1:
                return parts[0]
            if opening + closing == "()":
                return Node("tuple", parts)
            if len(parts) == 2:
                return Node("interval", parts, opening + closing)
            if opening + closing == "[]":
                return Node("tuple", parts, "[]")
    raise Unreadable(f"{opening} is closed by {closing}")


TIME = re.compile(r"\d{1,2}")


def is_time(node: Node) -> bool:
    """Whether a ratio reads like a time of day: two digits behind each colon, not all of them numbers of a ratio."""
    names = [part.name for part in node.args]
    return (
        all(part.op == "num" for part in node.args)
        and all(len(name) == 2 and name.isdigit() and int(name) < 60 for name in names[1:])
        and TIME.fullmatch(names[0]) is not None
    )


LONG = 40_000
"""Bits of the longest fractions that are computed."""
LONG_WHOLE = 1_000_000
"""Bits of the longest whole numbers."""


def exact(node: Node) -> Fraction | None:
    """The value of a tree of whole numbers and fractions, if it is short enough to be computed exactly."""
    args = [exact(arg) for arg in node.args]
    if any(arg is None for arg in args):
        return None
    values = [arg for arg in args if arg is not None]
    bits = sum(value.numerator.bit_length() + value.denominator.bit_length() for value in values)
    if bits > (LONG_WHOLE if all(value.denominator == 1 for value in values) else LONG):
        return None
    match node.op:
        case "num":
            return node.value
        case "add":
            return sum(values, Fraction(0))
        case "neg":
            return -values[0]
        case "mul":
            product = Fraction(1)
            for value in values:
                product *= value
            return product
        case "div" | "ratio" if len(values) == 2:
            return values[0] / values[1] if values[1] else None
        case "pow":
            return _exact_power(*values)
        case "percent":
            return values[0] / 100
        case "fact" if values[0].denominator == 1 and 0 <= values[0] <= 1000:
            product = Fraction(1)
            for factor in range(2, int(values[0]) + 1):
                product *= factor
            return product
    return None


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1 or (base == 0 and exponent <= 0):
        return None
    bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(int(exponent))
    return base ** int(exponent) if bits <= (LONG_WHOLE if base.denominator == 1 else LONG) else None
